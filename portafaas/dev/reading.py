"""What can be asked of the record: from any thread, and any process."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from portafaas.dev.record import SUMMARY

#: Invocations that are shown together.
TOGETHER = 500
_SCHEMA = """
create table if not exists invocations (
    number integer primary key autoincrement, id text not null unique, function text not null,
    kind text not null, status text not null, started real not null, seconds real not null,
    trace_id text not null, document text not null
);
create index if not exists invocations_function on invocations (function, number);
create index if not exists invocations_status on invocations (status, number);
create index if not exists invocations_trace on invocations (trace_id);
create index if not exists invocations_correlation
    on invocations (json_extract(document, '$.correlation_id'));
create table if not exists links (
    trace_id text not null, number integer not null, primary key (trace_id, number)
) without rowid;
create index if not exists links_number on links (number);
"""


class Reading:
    """The record in *folder*, that of ``portafaas.local.resources.store``, as it is now."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / "activity.db"
        self._local = threading.local()

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.file, timeout=10, isolation_level=None, check_same_thread=False
        )
        connection.execute("pragma journal_mode = wal")
        # After a crash of the machine the last of it may be missing.
        connection.execute("pragma synchronous = off")
        connection.executescript(_SCHEMA)
        return connection

    def _reader(self) -> sqlite3.Connection:
        found: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if found is None or self._local.process != os.getpid():
            found = self._local.connection = self._open()
            self._local.process = os.getpid()
        return found

    def list(
        self,
        function: str | None = None,
        status: str | None = None,
        before: int | None = None,
        limit: int = 100,
        trace_id: str | None = None,
    ) -> Sequence[dict[str, Any]]:
        """Return invocations, the newest first: summaries, and ``number`` for the next *before*."""
        wheres: list[str] = []
        values: list[Any] = []
        for column, value in (("function", function), ("status", status), ("trace_id", trace_id)):
            if value is not None:
                wheres.append(f"{column} = ?")
                values.append(value)
        if before is not None:
            wheres.append("number < ?")
            values.append(before)
        where = f"where {' and '.join(wheres)} " if wheres else ""
        rows = self._reader().execute(
            f"select number, document from invocations {where}order by number desc limit ?",
            (*values, limit),
        )
        found = []
        for number, text in rows.fetchall():
            document = json.loads(text)
            found.append({"number": number, **{name: document.get(name) for name in SUMMARY}})
        return found

    def get(self, id: str) -> dict[str, Any] | None:
        """Return all of one invocation, None when it is not known (any more)."""
        row = (
            self._reader()
            .execute("select number, document from invocations where id = ?", (id,))
            .fetchone()
        )
        return None if row is None else {"number": row[0], **json.loads(row[1])}

    def trace(
        self, trace_id: str, correlation_id: str = "", links: Sequence[str] = ()
    ) -> Sequence[dict[str, Any]]:
        """Return all of the invocations of one trace, or correlation, the earliest first.

        A batch begins a trace of its own: it belongs to those of its messages, too, and these, its
        *links*, to it. Of very many the newest are returned.
        """
        which = (
            "trace_id in (select value from json_each(:traces))",
            "number in (select number from links where trace_id = :trace)",
            "json_extract(document, '$.correlation_id') = :correlation",
        )
        rows = self._reader().execute(
            " union ".join(f"select number, document from invocations where {one}" for one in which)
            + " order by number desc limit :most",
            {
                "traces": json.dumps([trace_id, *links]), "trace": trace_id,
                "correlation": correlation_id or None, "most": TOGETHER,
            },
        )  # fmt: skip
        found = [{"number": number, **json.loads(text)} for number, text in rows.fetchall()]
        return sorted(found, key=lambda one: (one["started"], one["number"]))

    def counts(self, since: float = 0.0) -> dict[str, dict[str, int]]:
        """Return function -> status -> how many began at *since* (seconds since 1970) or later."""
        found: dict[str, dict[str, int]] = {}
        rows = self._reader().execute(
            "select function, status, count(*) from invocations where started >= ? "
            "group by function, status",
            (since,),
        )
        for function, status, count in rows.fetchall():
            found.setdefault(function, {})[status] = count
        return found
