"""A connection to the store of functions on this machine, and what is said when it cannot be used.

The tables are those of ``portafaas.local.driver``, and those that each part of the broker adds.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from portafaas.errors import DeploymentError, Diagnostic
from portafaas.local.driver.portafaas_local_resources import back, database


@contextmanager
def explained(
    folder: Path, kinds: tuple[type[Exception], ...] = (sqlite3.Error,)
) -> Iterator[None]:
    """Raise PF8018 instead of what says that the store in *folder* cannot be read or written."""
    try:
        yield
    except kinds as exc:
        raise DeploymentError(
            "the store on this machine cannot be used:",
            [
                Diagnostic(
                    "PF8018",
                    f"{folder / 'resources.db'}: {exc}",
                    hint="mend it, or remove the folder: it holds what functions have sent and "
                    "written here, and nothing else",
                )
            ],
        ) from exc


def claimed(connection: sqlite3.Connection, place: str) -> bytes:
    """Return the body of a message that was too large to be sent; empty when it is gone.

    *place* is what the message carries instead (``portafaas.runtime.control.CLAIM``).
    """
    bucket, _, key = place.partition("/")
    found = connection.execute(
        "select data from objects where name = ? and key = ?", (bucket, key)
    ).fetchone()
    return bytes(found[0]) if found else b""


class Store:
    """A connection to the store in *folder*, made when it is not there; not for several threads.

    *tables* is SQL that makes what the caller keeps there. Raises PF8018.
    """

    def __init__(self, folder: Path, tables: str = "") -> None:
        self.folder = folder
        with explained(folder, (sqlite3.Error, OSError)):
            self.connection = database(str(folder))
            self.connection.execute("pragma busy_timeout = 30000")
            if tables:
                self.connection.executescript(tables)

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Have what is done meanwhile happen as a whole or, when it raises, not at all."""
        self.connection.execute("begin immediate")
        try:
            yield self.connection
            self.connection.execute("commit")
        except BaseException:
            back(self.connection)
            raise
