"""What has happened: each invocation with request, answer and logs, in SQLite beside the store.

The newest :data:`KEPT` are kept. Recording never waits for the disk: a thread writes what has come
together, so that a process that is killed loses the last moments of this record, and nothing else.
Reading works from any thread and process.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from portafaas.dev.listener import Listener
from portafaas.dev.reading import Reading
from portafaas.dev.record import MOST_LINES, Invocation, text_of

#: Invocations that are kept.
KEPT = 5000
#: Bytes of the file beyond which the oldest go before that.
LARGEST = 200_000_000
#: Seconds between two writes.
_PAUSE = 0.05
#: Invocations that are written of those that went well: so many in a crowd, and a second for good.
#: Beyond that the newest are written, so that recording takes little of the time that they take.
_CROWD, _STEADY = 1000, 100
class Activity(Reading):
    """The record of one service and stage; *folder* is that of ``portafaas.local.resources.store``.

    With *writing* false it is read only: no thread, no event.
    """

    def __init__(self, folder: Path, *, writing: bool = True) -> None:
        super().__init__(folder)
        self._lock = threading.Lock()
        self._listeners: list[Listener] = []
        # Deques: others append while the thread takes from the front.
        self._pending: deque[Invocation | Callable[[], Invocation]] = deque()
        self._late: deque[tuple[str, str, Any]] = deque()
        self._wanted = threading.Event()
        self._written = threading.Condition()
        self._asked = self._done = 0
        self._closed = False
        #: Called with what has come together since the last write, by the thread that writes.
        self.before: Callable[[Sequence[Invocation]], None] | None = None
        self._room, self._filled = float(_CROWD), 0.0
        #: How many went well and were not written, since too many came at once.
        self.skipped = 0
        self._thread: threading.Thread | None = None
        if writing:
            self._thread = threading.Thread(target=self._run, name="activity", daemon=True)
            self._thread.start()

    # Writing

    def record(self, invocation: Invocation | Callable[[], Invocation]) -> None:
        """Keep *invocation*, or what the function given returns when it is time to write it."""
        self._pending.append(invocation)
        if not self._wanted.is_set():
            self._wanted.set()

    def add(self, id: str, what: Literal["logs", "spans"], value: Mapping[str, Any]) -> None:
        """Add a line of log, or a span, to an invocation that is recorded already, or soon."""
        self._late.append((id, what, value))
        if not self._wanted.is_set():
            self._wanted.set()

    def tell(self, event: dict[str, Any]) -> None:
        """Hand an event, a JSON object with ``type``, to who listens; it is not kept."""
        for listener in tuple(self._listeners):
            listener.put(event)

    def flush(self, timeout: float = 5.0) -> None:
        """Wait until what was recorded so far can be read."""
        if self._thread is None or threading.current_thread() is self._thread:
            return
        with self._written:
            self._asked += 1
            mine = self._asked
            self._wanted.set()
            self._written.wait_for(lambda: self._done >= mine or self._closed, timeout)

    def close(self) -> None:
        """Write what is left, and end."""
        if self._thread is not None:
            self._closed = True
            self._wanted.set()
            self._thread.join(10)
            self._thread = None
        for listener in tuple(self._listeners):
            listener.put(None)

    def _run(self) -> None:
        connection: sqlite3.Connection | None = None
        while True:
            self._wanted.wait()
            if not self._closed and self._asked == self._done:
                # What comes in a crowd is written together.
                time.sleep(_PAUSE)
            self._wanted.clear()
            asked, closed = self._asked, self._closed
            with contextlib.suppress(sqlite3.Error, OSError):
                # A full disk must not stop anything: what cannot be kept is lost.
                if connection is None:
                    connection = self._open()
                self._write(connection)
            with self._written:
                self._done = asked
                self._written.notify_all()
            if closed and not self._pending:
                break
        if connection is not None:
            connection.close()

    def _write(self, connection: sqlite3.Connection) -> None:
        late = _taken(self._late)
        pending = self._chosen(_taken(self._pending))
        made: list[Invocation] = []
        for one in pending:
            made.append(one if isinstance(one, Invocation) else one())
        if self.before is not None:
            self.before(made)
        here = {one.id: one for one in made}
        rest_late = []
        for id_, what, value in late:
            if id_ in here:
                _add(getattr(here[id_], what), what, value)
            else:
                rest_late.append((id_, what, value))
        connection.execute("begin immediate")
        try:
            connection.executemany(
                "insert or replace into invocations (id, function, kind, status, started, seconds, "
                "trace_id, document) values (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        one.id, one.function, one.kind, one.status, one.started, one.seconds,
                        one.trace_id, text_of(one),
                    )
                    for one in made
                ],
            )  # fmt: skip
            connection.executemany(
                "insert or ignore into links (trace_id, number) "
                "select ?, number from invocations where id = ?",
                [(trace, one.id) for one in made for trace in one.links],
            )
            for id_, what, value in rest_late:
                self._append(connection, id_, what, value)
            connection.execute(
                "delete from invocations where number <= (select max(number) from invocations) - ?",
                (KEPT,),
            )
            if used(connection) > LARGEST:
                connection.execute(
                    "delete from invocations where number <= (select number from invocations "
                    "order by number limit 1 offset (select count(*) / 4 from invocations))"
                )
            connection.execute(
                "delete from links where number < (select min(number) from invocations)"
            )
            connection.execute("commit")
        except BaseException:
            connection.execute("rollback")
            raise
        if self._listeners:
            for one in made:
                self.tell({"type": "invocation", **one.summary()})

    def _chosen(self, pending: list[Any]) -> list[Any]:
        """Return those of *pending* that are written."""
        now = time.monotonic()
        self._room = min(_CROWD, self._room + (now - self._filled) * _STEADY)
        self._filled = now
        room = int(self._room)
        if len(pending) <= room:
            self._room -= len(pending)
            return pending
        # What is given as a function went well, and nobody has logged anything.
        kept = [one for one in pending if isinstance(one, Invocation)][-KEPT:]
        rest = [one for one in pending if not isinstance(one, Invocation)]
        rest = rest[max(0, len(rest) - room) :]
        self._room -= len(rest)
        self.skipped += len(pending) - len(kept) - len(rest)
        return [*kept, *rest]

    @staticmethod
    def _append(connection: sqlite3.Connection, id_: str, what: str, value: Any) -> None:
        row = connection.execute("select document from invocations where id = ?", (id_,)).fetchone()
        if row is None:
            return
        document = json.loads(row[0])
        _add(document[what], what, value)
        connection.execute(
            "update invocations set document = ? where id = ?",
            (json.dumps(document, ensure_ascii=False), id_),
        )

    # Listening

    def listen(self) -> Listener:
        """Return what gets all events from now on."""
        listener = Listener(self._leave)
        with self._lock:
            self._listeners = [*self._listeners, listener]
        return listener

    def _leave(self, listener: Listener) -> None:
        with self._lock:
            self._listeners = [one for one in self._listeners if one is not listener]


def used(connection: sqlite3.Connection) -> int:
    """Return the bytes of a database that are not free; other writes take those that are."""
    pages, free, size = (
        connection.execute(f"pragma {name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


def _taken(waiting: deque[Any]) -> list[Any]:
    return [waiting.popleft() for _ in range(len(waiting))]


def _add(values: list[Any], what: str, value: Any) -> None:
    if what == "logs" and len(values) >= MOST_LINES:
        return
    values.append(dict(value))
