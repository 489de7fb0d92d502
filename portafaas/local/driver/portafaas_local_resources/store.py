"""The store: a connection, its clock, and the effects that are kept of what a run does."""

# ruff: noqa: PTH103, PTH118, PTH120, PTH123 (plain strings: pathlib costs the handler time)
from __future__ import annotations

import json
import os
import sqlite3
import sys
from contextlib import contextmanager
from time import sleep, time

from portafaas.runtime.resources import ResourceError

from .tables import back, prepare

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

#: Variable with the mark under which effects are kept, so that a run finds its own.
RUN = "PORTAFAAS_RUN"
#: Variable with a file that has the mark, for a process whose variables stay as they are.
RUN_FILE = "PORTAFAAS_RUN_FILE"


def database(folder: str) -> sqlite3.Connection:
    """Return a connection to the store in *folder*, made when it is not there."""
    os.makedirs(folder, exist_ok=True)
    connection = sqlite3.connect(
        os.path.join(folder, "resources.db"), timeout=10, isolation_level=None
    )
    end = time() + 10
    while True:
        try:
            connection.execute("pragma journal_mode = wal")
            break
        except sqlite3.DatabaseError as exc:
            # The change itself does not wait for others who open the store at the same time.
            if "locked" not in str(exc) or time() > end:
                connection.close()
                raise
            sleep(0.01)
    try:
        prepare(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def now(connection: sqlite3.Connection) -> float:
    """Return the time by the store's clock, which a dispatcher may set forward, or hold."""
    found = dict(
        connection.execute("select name, value from broker where name in ('clock', 'held')")
    )
    held = found.get("held")
    return float(held) if held is not None else time() + float(found.get("clock", 0.0))


@contextmanager
def opened(address: str) -> Iterator[tuple[sqlite3.Connection, str]]:
    """Yield a connection inside a transaction, and the resource's name."""
    rest, name = os.path.split(address)
    try:
        connection = database(os.path.dirname(rest))
        try:
            connection.execute("begin immediate")
            try:
                yield connection, name
                connection.execute("commit")
            except BaseException:
                back(connection)
                raise
        finally:
            connection.close()
    except (sqlite3.DatabaseError, OSError) as exc:
        # Of another kind are a file that is no store, and what is too big for one.
        later = isinstance(exc, (sqlite3.OperationalError, OSError))
        raise ResourceError(f"the local store of {name!r} failed: {exc}", retryable=later) from exc


def effect(connection: sqlite3.Connection, **facts: Any) -> None:
    """Keep what a run does, if there is one, for who looks at it."""
    # Here there may be nothing of portafaas but its runtime.
    marks: Any = sys.modules.get("portafaas.local.marks")
    run = (marks.current if marks is not None else "") or os.environ.get(RUN)
    file = os.environ.get(RUN_FILE)
    if file:
        with open(file, encoding="utf-8") as lines:
            run = lines.read()
    if run:
        connection.execute(
            "insert into effects (run, effect) values (?, ?)",
            (run, json.dumps(facts, ensure_ascii=False)),
        )
