"""What a test asserts on: responses, messages, events, invocations, dead letters, lines of logs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, SupportsIndex, TypeVar, overload

T = TypeVar("T")

#: Characters of a body that are shown.
_LONGEST = 200


def shown(body: bytes) -> str:
    """Return a body for people: its text, cut, or how long it is."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        return f"<{len(body)} bytes>"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... ({len(body)} bytes)"


class Found(list[T], Generic[T]):
    """What was found, in order: a list that says what it is a list of.

    ``what`` is for messages: ``messages of queue 'payments'``.
    """

    def __init__(self, items: list[T], what: str) -> None:
        super().__init__(items)
        self.what = what

    def one(self) -> T:
        """Return the only one; raises AssertionError that lists what there is."""
        if len(self) != 1:
            raise AssertionError(f"expected 1, found {self._told()}")
        return self[0]

    def last(self) -> T:
        """Return the last one; raises AssertionError when there is none."""
        if not self:
            raise AssertionError(f"found {self._told()}")
        return self[-1]

    def where(self, test: Callable[[T], bool] | None = None, **values: Any) -> Found[T]:
        """Return those that pass *test* and whose attributes equal *values*."""
        kept = [
            item
            for item in self
            if (test is None or test(item))
            and all(getattr(item, name) == value for name, value in values.items())
        ]
        return Found(kept, self.what)

    @overload
    def __getitem__(self, index: SupportsIndex) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Found[T]: ...
    def __getitem__(self, index: SupportsIndex | slice) -> T | Found[T]:
        """Return one of them; IndexError says what there is."""
        if isinstance(index, slice):
            return Found(super().__getitem__(index), self.what)
        try:
            return super().__getitem__(index)
        except IndexError:
            raise IndexError(f"there is no [{index}]: found {self._told()}") from None

    def _told(self) -> str:
        lines = [f"\n  {item!r}" for item in self]
        return f"{len(self)} {self.what}{':' if lines else ''}{''.join(lines)}"

    def __repr__(self) -> str:
        return f"<{self._told()}>" if self else f"<no {self.what}>"


@dataclass(frozen=True)
class Response:
    """An answer to ``app.request``. Header names are in lower case; ``error`` is the handler's."""

    status: int
    headers: Mapping[str, str]
    cookies: tuple[str, ...]
    body: bytes
    error: str = ""

    @property
    def text(self) -> str:
        """The body as UTF-8."""
        return self.body.decode("utf-8")

    @property
    def ok(self) -> bool:
        """Whether the status is below 400."""
        return self.status < 400

    def json(self) -> Any:
        """Return the body's JSON; raises AssertionError that shows what there is instead."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise AssertionError(f"the body is no JSON: {self!r}") from None

    def __repr__(self) -> str:
        body = f" {shown(self.body)}" if self.body else ""
        error = f"\n  the handler failed: {self.error}" if self.error else ""
        return f"<Response {self.status}{body}{error}>"


@dataclass(frozen=True)
class Message:
    """A message of a queue. ``sent`` is by the test's clock, seconds since 1970.

    ``state``: ``waiting``, ``leased``, ``dead``, or ``done``.
    """

    id: str
    body: bytes
    content_type: str | None
    attributes: Mapping[str, str]
    key: str | None
    sent: float
    delay: int = 0
    dedup: str | None = None
    state: str = "done"
    #: Deliveries so far.
    attempts: int = 0

    def json(self) -> Any:
        """Return the body's JSON."""
        return json.loads(self.body)

    def __repr__(self) -> str:
        key = f" key={self.key!r}" if self.key is not None else ""
        return f"<Message {self.state}{key} {shown(self.body)}>"


@dataclass(frozen=True)
class Event:
    """An event of a topic."""

    id: str
    type: str
    source: str
    subject: str | None
    data: Any
    attributes: Mapping[str, str]
    key: str | None
    sent: float

    def __repr__(self) -> str:
        about = f" {self.subject}" if self.subject else ""
        text = json.dumps(self.data, ensure_ascii=False, default=repr)
        return f"<Event {self.type}{about} {shown(text.encode())}>"


@dataclass(frozen=True)
class Dead:
    """A dead letter: what was given up, and why (``reason``: recovery.md, F-5)."""

    id: str
    box: str
    reason: str
    error: str
    attempts: int
    function: str
    body: bytes
    attributes: Mapping[str, str]
    key: str | None

    def json(self) -> Any:
        """Return the body's JSON."""
        return json.loads(self.body)

    def __repr__(self) -> str:
        return (
            f"<Dead {self.reason} after {self.attempts} attempts of {self.function}: "
            f"{self.error or '?'}: {shown(self.body)}>"
        )


@dataclass(frozen=True)
class Line:
    """A line that a handler logged; ``fields`` holds all of it."""

    level: str
    message: str
    fields: Mapping[str, Any]

    def __repr__(self) -> str:
        more = f"\n{self.fields['exception']}" if self.fields.get("exception") else ""
        return f"<{self.level} {self.message}{more}>"


@dataclass
class Invocation:
    """One call of a function.

    ``status``: ``ok``; ``error`` (what failed comes again, or is a dead letter, or the answer of
    http is 5xx); ``crash``; ``timeout``; ``lost`` (it was done, and its answer did not arrive).
    ``outcomes`` says of each item (its id) ``done``, ``again``, ``dead`` or ``held``.
    """

    function: str
    kind: str
    #: By the test's clock, seconds since 1970.
    time: float
    attempt: int
    #: Messages or the event that it got; the request, or the task's input, is ``input``.
    ids: tuple[str, ...] = ()
    input: Any = None
    status: str = "ok"
    outcomes: Mapping[str, str] = field(default_factory=dict)
    #: Seconds until each item comes again.
    delays: Mapping[str, float] = field(default_factory=dict)
    #: Answer of http, result of a task.
    result: Any = None
    error: str = ""
    #: Of the same process only.
    exception: BaseException | None = None
    logs: list[Line] = field(default_factory=list)
    #: What was sent and written, in order, as ``portafaas invoke`` prints it.
    effects: list[Mapping[str, Any]] = field(default_factory=list)

    def __repr__(self) -> str:
        error = f": {self.error}" if self.error else ""
        again = f", again in {max(self.delays.values()):g} s" if self.delays else ""
        return f"<{self.function} attempt {self.attempt} {self.status}{error}{again}>"
