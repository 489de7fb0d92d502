"""What has happened: each invocation with request, answer and logs, in SQLite beside the store.

The newest :data:`KEPT` are kept. Recording never waits for the disk: a thread writes what has come
together, so that a process that is killed loses the last moments of this record, and nothing else.
Reading works from any thread and process.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import queue
import sqlite3
import threading
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

#: Invocations that are kept.
KEPT = 5000
#: Bytes of the file beyond which the oldest go before that.
LARGEST = 200_000_000
#: Bytes of a request or an answer that are kept.
LONGEST = 65_536
#: Lines of log of one invocation that are kept.
MOST_LINES = 1000
#: Effects of one invocation that are kept, characters of each, and of a line of log.
MOST_EFFECTS, _EFFECT, _LINE = 200, 4_000, 16_000
#: Invocations that are shown together.
TOGETHER = 500
#: Seconds between two writes.
_PAUSE = 0.05
#: Invocations that are written of those that went well: so many in a crowd, and a second for good.
#: Beyond that the newest are written, so that recording takes little of the time that they take.
_CROWD, _STEADY = 1000, 100
#: Events that wait for one listener; the oldest are dropped.
_WAITING = 2000

Status = Literal["ok", "error", "again", "dead", "timeout", "crash", "memory", "refused"]

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
"""


@dataclass(slots=True)
class Invocation:
    """One call of a function; all values are JSON's.

    Attributes:
        id: as the handler's ``context.invocation_id`` has it, or of the lease of a delivery.
        function: name of the function.
        kind: of its trigger.
        started: seconds since 1970.
        seconds: how long it took.
        status: ``ok``; ``error``, the handler failed; ``again``, comes again; ``dead``, a dead
            letter; ``timeout``; ``crash``, the process ended; ``memory``, it had too much;
            ``refused``, the request did not reach the handler.
        target: whose semantics it ran under; None for the neutral ones.
        attempt: of a delivery.
        box: where the delivery came from: ``queue/<name>``, ``function/<name>``.
        request: the neutral stimulus (``portafaas.adapter.neutral``), cut to :data:`LONGEST` bytes
            (``cut`` is then true in it).
        response: the outcome.
        error: why it failed.
        logs: ``{time, level, text, fields}`` each.
        trace_id, span_id, parent_id, correlation_id: as the handler's context has them.
        spans: ``{name, start, seconds, status, span_id, parent}`` each.
        effects: what it sent and wrote (``portafaas.local.resources.effects``).
    """

    function: str
    kind: str
    started: float
    seconds: float = 0.0
    status: str = "ok"
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    target: str | None = None
    attempt: int = 1
    box: str = ""
    request: Any = None
    response: Any = None
    error: str = ""
    logs: list[dict[str, Any]] = field(default_factory=list)
    trace_id: str = ""
    span_id: str = ""
    parent_id: str = ""
    correlation_id: str = ""
    spans: list[dict[str, Any]] = field(default_factory=list)
    effects: list[dict[str, Any]] = field(default_factory=list)
    #: Under which its effects are found; not kept.
    mark: str = ""
    #: Whether request and answer may be too long to be kept as they are; not kept.
    long: bool = True

    def document(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            name: getattr(self, name) for name in self.__slots__ if name not in ("mark", "long")
        }

    def summary(self) -> dict[str, Any]:
        """Return what a list shows of it."""
        return {name: getattr(self, name) for name in _SUMMARY}


_SUMMARY = (
    "id", "function", "kind", "started", "seconds", "status", "target", "attempt", "box", "error",
    "trace_id", "correlation_id",
)  # fmt: skip


class Listener:
    """Gets events as they come; one that is slow loses the oldest. Close it."""

    def __init__(self, activity: Activity) -> None:
        self._activity = activity
        self._queue: queue.Queue[dict[str, Any] | None] = queue.Queue(_WAITING)
        self._wakers: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    def put(self, event: dict[str, Any] | None) -> None:
        """Hand it an event; from any thread."""
        while True:
            try:
                self._queue.put_nowait(event)
                break
            except queue.Full:
                with contextlib.suppress(queue.Empty):
                    self._queue.get_nowait()
        for loop, waker in self._wakers:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(waker.set)

    def get(self, timeout: float | None = None) -> dict[str, Any] | None:
        """Return the next event; None when there was none for *timeout* seconds, or no more."""
        with contextlib.suppress(queue.Empty):
            return self._queue.get(timeout=timeout)
        return None

    async def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        waker = asyncio.Event()
        entry = (asyncio.get_running_loop(), waker)
        self._wakers.append(entry)
        try:
            while True:
                waker.clear()
                try:
                    event = self._queue.get_nowait()
                except queue.Empty:
                    await waker.wait()
                    continue
                if event is None:
                    return
                yield event
        finally:
            self._wakers.remove(entry)

    def close(self) -> None:
        """Get no more; who iterates ends."""
        self._activity._leave(self)
        self.put(None)

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Activity:
    """The record of one service and stage; *folder* is that of ``portafaas.local.resources.store``.

    With *writing* false it is read only: no thread, no event.
    """

    def __init__(self, folder: Path, *, writing: bool = True) -> None:
        self.file = folder / "activity.db"
        self._local = threading.local()
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
        folder.mkdir(parents=True, exist_ok=True)
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
                        one.trace_id, _text(one),
                    )
                    for one in made
                ],
            )  # fmt: skip
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

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.file, timeout=10, isolation_level=None, check_same_thread=False
        )
        connection.execute("pragma journal_mode = wal")
        # After a crash of the machine the last of it may be missing.
        connection.execute("pragma synchronous = off")
        connection.executescript(_SCHEMA)
        return connection

    # Reading

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
            found.append({"number": number, **{name: document.get(name) for name in _SUMMARY}})
        return found

    def get(self, id: str) -> dict[str, Any] | None:
        """Return all of one invocation, None when it is not known (any more)."""
        row = (
            self._reader()
            .execute("select number, document from invocations where id = ?", (id,))
            .fetchone()
        )
        return None if row is None else {"number": row[0], **json.loads(row[1])}

    def trace(self, trace_id: str, correlation_id: str = "") -> Sequence[dict[str, Any]]:
        """Return all of the invocations of one trace, or correlation, the earliest first.

        A batch begins a trace of its own, and has the correlation of its messages, if it is one.
        Of very many the newest are returned.
        """
        which = ["select number, document from invocations where trace_id = ?"]
        values = [trace_id]
        if correlation_id:
            which.append(
                "select number, document from invocations "
                "where json_extract(document, '$.correlation_id') = ?"
            )
            values.append(correlation_id)
        rows = self._reader().execute(
            f"{' union '.join(which)} order by number desc limit ?", (*values, TOGETHER)
        )
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

    def listen(self) -> Listener:
        """Return what gets all events from now on."""
        listener = Listener(self)
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


def _text(one: Invocation) -> str:
    """Return the JSON text of *one*, with what is too long of request and answer shortened."""
    document = one.document()
    if one.long:
        for name in ("request", "response"):
            document[name] = cut(document[name])
    if one.effects:
        document["effects"] = [cut(each, _EFFECT) for each in one.effects[:MOST_EFFECTS]]
    if one.logs:
        document["logs"] = [_shortened(each, _LINE) for each in one.logs[:MOST_LINES]]
    return json.dumps(document, ensure_ascii=False, default=str)


def cut(value: Any, longest: int = LONGEST) -> Any:
    """Return JSON *value* with its long texts shortened, and ``cut`` true in it, if that is needed.

    A list of messages that is too long as a whole loses its last ones.
    """
    if len(json.dumps(value, default=str)) <= longest:
        return value
    for length in (longest // 2, longest // 16, 500, 40):
        shorter = _shortened(value, length)
        if len(json.dumps(shorter, default=str)) <= longest:
            break
    else:
        shorter = {"text": json.dumps(value, default=str)[: longest // 2]}
    return {**shorter, "cut": True} if isinstance(shorter, dict) else {"cut": True, "of": shorter}


def _shortened(value: Any, length: int) -> Any:
    if isinstance(value, str):
        return value if len(value) <= length else value[:length] + "\u2026"
    if isinstance(value, dict):
        return {name: _shortened(each, length) for name, each in value.items()}
    if isinstance(value, list):
        most = max(1, length // 20)
        return [_shortened(each, length) for each in value[:most]]
    return value
