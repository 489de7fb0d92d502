"""One invocation as it is kept, with request and answer that are cut when they are too long."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from typing import Any, Literal

#: Bytes of a request or an answer that are kept.
LONGEST = 65_536
#: Lines of log of one invocation that are kept.
MOST_LINES = 1000
#: Effects of one invocation that are kept, characters of each, and of a line of log.
MOST_EFFECTS, _EFFECT, _LINE = 200, 4_000, 16_000
Status = Literal["ok", "error", "again", "dead", "timeout", "crash", "memory", "refused"]


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
        links: ids of the traces that its messages come from, if they are not its own.
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
    links: list[str] = field(default_factory=list)
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
        return {name: getattr(self, name) for name in SUMMARY}


SUMMARY = (
    "id", "function", "kind", "started", "seconds", "status", "target", "attempt", "box", "error",
    "trace_id", "correlation_id",
)  # fmt: skip


def text_of(one: Invocation) -> str:
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
