"""The driver of resources on a developer's machine: SQLite, and files for secrets.

A module on its own: ``portafaas invoke --target`` puts its folder on the import path of the
vendor's runtime, where the package has nothing of portafaas but its runtime. Standard library only,
Python 3.10. Addresses are ``<folder>/<kind>/<name>``; the folder holds ``resources.db``. A secret's
is the path of the file with its value.
"""

# ruff: noqa: PTH103, PTH118, PTH119, PTH120, PTH123 (plain strings: pathlib costs the handler time)
from __future__ import annotations

import json
import os
import sqlite3
from contextlib import contextmanager
from time import sleep, time

from portafaas.runtime.control import split
from portafaas.runtime.resources import Conflict, NotFound, ResourceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from portafaas.runtime.resources import Outgoing

#: Variable with the mark under which effects are kept, so that a run finds its own.
RUN = "PORTAFAAS_RUN"
#: Seconds for which an ordered queue or topic knows what it has had (SQS FIFO: 5 minutes).
DEDUP = 300

_SCHEMA = """
create table if not exists messages (
    number integer primary key, kind text not null, name text not null, id text not null,
    body blob not null, content_type text, attributes text not null, key text,
    delay integer not null, dedup text, sent real not null
);
create index if not exists messages_of on messages (kind, name, number);
create table if not exists rows (
    name text not null, key text not null, row text not null, primary key (name, key)
) without rowid;
create table if not exists objects (
    name text not null, key text not null, data blob not null, content_type text,
    primary key (name, key)
);
create table if not exists effects (
    number integer primary key, run text not null, effect text not null
);
"""


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
        except sqlite3.OperationalError:
            # The change itself does not wait for others who open the store at the same time.
            if time() > end:
                connection.close()
                raise
            sleep(0.01)
    connection.execute("pragma synchronous = normal")
    connection.executescript(_SCHEMA)
    return connection


@contextmanager
def _opened(address: str) -> Iterator[tuple[sqlite3.Connection, str]]:
    """Yield a connection inside a transaction, and the resource's name."""
    rest, name = os.path.split(address)
    try:
        connection = database(os.path.dirname(rest))
        try:
            connection.execute("begin immediate")
            try:
                yield connection, name
            except BaseException:
                connection.execute("rollback")
                raise
            connection.execute("commit")
        finally:
            connection.close()
    except (sqlite3.OperationalError, OSError) as exc:
        raise ResourceError(f"the local store of {name!r} failed: {exc}", retryable=True) from exc


def _effect(connection: sqlite3.Connection, **effect: Any) -> None:
    connection.execute(
        "insert into effects (run, effect) values (?, ?)",
        (os.environ.get(RUN, ""), json.dumps(effect, ensure_ascii=False)),
    )


def send(address: str, messages: Sequence[Outgoing], ordered: bool) -> list[tuple[int, str]]:
    """Keep messages of a queue; none fails."""
    return _keep("queue", "send", address, messages, ordered)


def publish(address: str, messages: Sequence[Outgoing], ordered: bool) -> list[tuple[int, str]]:
    """Keep messages of a topic; none fails."""
    return _keep("topic", "publish", address, messages, ordered)


def _keep(
    kind: str, verb: str, address: str, messages: Sequence[Outgoing], ordered: bool
) -> list[tuple[int, str]]:
    with _opened(address) as (connection, name):
        for message in messages:
            if ordered and message.dedup is not None:
                known = connection.execute(
                    "select 1 from messages where kind = ? and name = ? and dedup = ? "
                    "and sent > ?",
                    (kind, name, message.dedup, time() - DEDUP),
                ).fetchone()
                if known:
                    continue
            connection.execute(
                "insert into messages (kind, name, id, body, content_type, attributes, key, delay,"
                " dedup, sent) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    kind, name, message.id, message.body, message.content_type,
                    json.dumps(message.attributes), message.key, message.delay, message.dedup,
                    time(),
                ),
            )  # fmt: skip
            facts: dict[str, Any] = {"id": message.id, "content_type": message.content_type}
            facts.update(_readable(message.body))
            facts["attributes"] = split(message.attributes)[0]
            for fact in ("key", "delay", "dedup"):
                if getattr(message, fact):
                    facts[fact] = getattr(message, fact)
            _effect(connection, kind=kind, name=name, verb=verb, **facts)
    return []


def _readable(body: bytes) -> dict[str, str]:
    try:
        return {"body": body.decode("utf-8")}
    except UnicodeDecodeError:
        from base64 import b64encode

        return {"body_base64": b64encode(body).decode("ascii")}


def get_row(address: str, key: dict[str, Any]) -> dict[str, Any] | None:
    """Return the row with that key, or None."""
    with _opened(address) as (connection, name):
        found = connection.execute(
            "select row from rows where name = ? and key = ?", (name, _key(key.values()))
        ).fetchone()
    if found is None:
        return None
    row: dict[str, Any] = json.loads(found[0])
    return row


def scan(address: str) -> Iterator[dict[str, Any]]:
    """Yield every row, a hundred at a time."""
    last = ""
    while True:
        with _opened(address) as (connection, name):
            page = connection.execute(
                "select key, row from rows where name = ? and key > ? order by key limit 100",
                (name, last),
            ).fetchall()
        yield from (json.loads(row) for _, row in page)
        if not page:
            return
        last = page[-1][0]


def put_row(
    address: str, row: dict[str, Any], key_names: tuple[str, ...], if_absent: bool
) -> None:
    """Store a row; raises Conflict when there is one and *if_absent*."""
    key = _key([row[name] for name in key_names])
    with _opened(address) as (connection, name):
        if (
            if_absent
            and connection.execute(
                "select 1 from rows where name = ? and key = ?", (name, key)
            ).fetchone()
        ):
            raise Conflict(f"table {name!r} has a row with key {key}")
        connection.execute(
            "insert or replace into rows (name, key, row) values (?, ?, ?)",
            (name, key, json.dumps(row, ensure_ascii=False)),
        )
        _effect(connection, kind="table", name=name, verb="put", row=row)


def delete_row(address: str, key: dict[str, Any]) -> None:
    """Delete a row, if there is one."""
    with _opened(address) as (connection, name):
        connection.execute(
            "delete from rows where name = ? and key = ?", (name, _key(key.values()))
        )
        _effect(connection, kind="table", name=name, verb="delete", key=key)


def _key(values: Any) -> str:
    return json.dumps(list(values), ensure_ascii=False)


def read(address: str, key: str) -> bytes:
    """Return an object's content; raises NotFound."""
    with _opened(address) as (connection, name):
        found = connection.execute(
            "select data from objects where name = ? and key = ?", (name, key)
        ).fetchone()
    if found is None:
        raise NotFound(f"bucket {name!r} has no object {key!r}")
    return bytes(found[0])


def write(address: str, key: str, data: bytes, content_type: str | None) -> None:
    """Store an object."""
    with _opened(address) as (connection, name):
        connection.execute(
            "insert or replace into objects (name, key, data, content_type) values (?, ?, ?, ?)",
            (name, key, data, content_type),
        )
        _effect(
            connection, kind="bucket", name=name, verb="write", key=key, size=len(data),
            content_type=content_type,
        )  # fmt: skip


def delete(address: str, key: str) -> None:
    """Delete an object, if there is one."""
    with _opened(address) as (connection, name):
        connection.execute("delete from objects where name = ? and key = ?", (name, key))
        _effect(connection, kind="bucket", name=name, verb="delete", key=key)


def secret(address: str) -> bytes:
    """Return a secret's value; raises NotFound when there is no file."""
    name = os.path.basename(address)
    try:
        with open(address, "rb") as file:
            return file.read()
    except FileNotFoundError:
        raise NotFound(
            f"secret {name!r} has no value here: portafaas secrets set {name}"
        ) from None
    except OSError as exc:
        raise ResourceError(f"secret {name!r} cannot be read: {exc.strerror}") from None
