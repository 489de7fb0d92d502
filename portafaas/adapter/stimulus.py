"""What happens to a function, in neutral terms: the input of conformance cases and ``invoke``.

An adapter turns a stimulus into its platform's native requests (``encode``) and the platform's
native results back into an outcome (``decode``). The same stimulus must give the same outcome on
every target.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from portafaas.record import dataclass, field


@dataclass(frozen=True, slots=True)
class HttpStimulus:
    """An HTTP request as the client sends it; ``path`` is percent-encoded, ``query`` raw."""

    method: str = "GET"
    path: str = "/"
    query: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    #: What the platform's own gate found out about the caller (``auth: iam``), or None.
    caller: str | None = None


@dataclass(frozen=True, slots=True)
class MessageStimulus:
    """One message on a queue or topic; times are RFC 3339 UTC."""

    id: str
    body: bytes
    attributes: Mapping[str, str] = field(default_factory=dict)
    key: str | None = None
    attempt: int = 1
    time: str = "2026-11-23T10:00:00.000Z"
    content_type: str | None = None


@dataclass(frozen=True, slots=True)
class QueueStimulus:
    """Messages that wait on the queue, in order."""

    messages: tuple[MessageStimulus, ...]


@dataclass(frozen=True, slots=True)
class TopicStimulus:
    """One message published to the topic.

    Attributes that begin with ``ce-`` are CloudEvents context attributes; an adapter writes them
    with its own transport's prefix.
    """

    message: MessageStimulus


@dataclass(frozen=True, slots=True)
class ObjectStimulus:
    """An object was created or deleted; ``key`` is the plain, decoded name."""

    kind: str
    key: str
    size: int = 0
    etag: str = "0123456789abcdef"
    time: str = "2026-11-23T10:00:00.000Z"
    sequencer: str = "0055AED6DCD90281E5"


@dataclass(frozen=True, slots=True)
class ChangeStimulus:
    """A row changed: ``insert``, ``update`` or ``delete``; images as JSON values."""

    kind: str
    keys: Mapping[str, Any]
    new: Mapping[str, Any] | None = None
    old: Mapping[str, Any] | None = None
    time: str = "2026-11-23T10:00:00.000Z"
    id: str = "change-1"


@dataclass(frozen=True, slots=True)
class ScheduleStimulus:
    """The schedule fired; ``time`` is the instant it names."""

    time: str = "2026-11-23T10:00:00.000Z"


@dataclass(frozen=True, slots=True)
class TaskStimulus:
    """A workflow calls the function; *input* is a JSON value."""

    input: Any = None
    workflow: str = "sample"
    run: str = "run-1"
    step: str = "step"
    attempt: int = 1
    key: str = "run-1/step"


Stimulus = (
    HttpStimulus
    | QueueStimulus
    | TopicStimulus
    | ObjectStimulus
    | ChangeStimulus
    | ScheduleStimulus
    | TaskStimulus
)


@dataclass(frozen=True, slots=True)
class HttpOutcome:
    """What the HTTP client receives; header names in lower case, only those the function set."""

    status: int
    headers: tuple[tuple[str, str], ...]
    cookies: tuple[str, ...]
    body: bytes


@dataclass(frozen=True, slots=True)
class DeliveryOutcome:
    """What the broker is told: ``failed`` holds the ids (or ``event``) to be delivered again."""

    failed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TaskOutcome:
    """What the workflow gets: ``output``, or an ``error`` ("" for none) and its ``cause``."""

    output: Any = None
    error: str = ""
    cause: str = ""


Outcome = HttpOutcome | DeliveryOutcome | TaskOutcome
