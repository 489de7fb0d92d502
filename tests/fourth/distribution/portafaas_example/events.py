"""Stimuli to the platform's events, and its answers to outcomes.

An event is ``{"event": id, "attempt": number, <kind>: {...}}`` with the kinds

* ``request``: ``method``, ``target`` (path and query as sent), ``fields`` ([[name, value]]) and
  ``body`` (base64); answered by ``{"status", "fields", "body"}``
* ``letters``: up to ``batch`` messages of a queue, each with ``ticket``, ``tries``, ``sent``,
  ``labels``, ``lane`` (the ordering key) and ``payload`` (base64); answered by ``{"returned":
  [ticket]}``. A queue in order sends one at a time.
* ``notice``: the message of a topic: as a letter, with its media type under ``type``
* ``file``: ``change`` (``put`` or ``removed``), ``name`` (percent-encoded), ``bytes``, ``tag``,
  ``at``, ``serial``
* ``row``: ``change`` (``added``, ``edited`` or ``dropped``), ``key``, ``row``, ``at``
* ``tick``: ``at``
* ``task``: what a workflow calls with, answered by ``{"ok"}`` or ``{"error", "cause"}``

What is not said to be answered otherwise is answered by anything at all, or by an error, after
which the platform sends the event again.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, assert_never

from portafaas.adapter import (
    ChangeStimulus,
    DeliveryOutcome,
    HttpOutcome,
    HttpStimulus,
    MessageStimulus,
    NativeRequest,
    ObjectStimulus,
    Outcome,
    QueueStimulus,
    ScheduleStimulus,
    Stimulus,
    TaskOutcome,
    TaskStimulus,
    TopicStimulus,
)
from portafaas.plan import BuildPlan, FunctionPlan, QueueTrigger

_CHANGES = {"insert": "added", "update": "edited", "delete": "dropped"}


def encode(
    plan: BuildPlan, function: FunctionPlan, stimulus: Stimulus
) -> Sequence[NativeRequest]:
    """Return the events that the platform sends to *function*."""
    match stimulus:
        case HttpStimulus():
            target = f"{stimulus.path}?{stimulus.query}" if stimulus.query else stimulus.path
            request = {
                "method": stimulus.method,
                "target": target,
                "fields": [list(pair) for pair in stimulus.headers],
                "body": _base64(stimulus.body),
            }
            return [_event("request", request, ("request",))]
        case QueueStimulus():
            return _letters(plan, function, stimulus.messages)
        case TopicStimulus():
            message = stimulus.message
            notice = {**_letter(message), "type": message.content_type}
            return [_event("notice", notice, attempt=message.attempt)]
        case ObjectStimulus():
            from portafaas.runtime.text import percent_encode

            file = {
                "change": "put" if stimulus.kind == "created" else "removed",
                "name": percent_encode(stimulus.key),
                "bytes": stimulus.size,
                "tag": stimulus.etag,
                "at": stimulus.time,
                "serial": stimulus.sequencer,
            }
            return [_event("file", file)]
        case ChangeStimulus():
            row = {
                "change": _CHANGES[stimulus.kind],
                "key": dict(stimulus.keys),
                "row": None if stimulus.new is None else dict(stimulus.new),
                "at": stimulus.time,
            }
            return [_event("row", row, id=stimulus.id)]
        case ScheduleStimulus():
            return [_event("tick", {"at": stimulus.time})]
        case TaskStimulus():
            names = ("input", "workflow", "run", "step", "attempt", "key")
            return [_event("task", {name: getattr(stimulus, name) for name in names})]
        case _:
            assert_never(stimulus)


def _event(
    kind: str,
    content: Any,
    ids: tuple[str, ...] = ("event",),
    *,
    id: str = "event-1",
    attempt: int = 1,
) -> NativeRequest:
    return NativeRequest({"event": id, "attempt": attempt, kind: content}, ids)


def _letters(
    plan: BuildPlan, function: FunctionPlan, messages: Sequence[MessageStimulus]
) -> list[NativeRequest]:
    trigger = function.trigger
    assert isinstance(trigger, QueueTrigger)
    if plan.queue(trigger.queue).ordered:
        return [_event("letters", [_letter(m)], (m.id,)) for m in messages]
    groups = [
        messages[start : start + trigger.batch] for start in range(0, len(messages), trigger.batch)
    ]
    return [
        _event("letters", [_letter(m) for m in group], tuple(m.id for m in group))
        for group in groups
    ]


def _letter(message: MessageStimulus) -> dict[str, Any]:
    return {
        "ticket": message.id,
        "tries": message.attempt,
        "sent": message.time,
        "labels": dict(message.attributes),
        "lane": message.key,
        "payload": _base64(message.body),
    }


def _base64(body: bytes) -> str:
    return base64.b64encode(body).decode("ascii")


def decode(
    stimulus: Stimulus, results: Sequence[tuple[NativeRequest, Mapping[str, Any]]]
) -> Outcome:
    """Return what the client receives, or which messages or events the platform sends again."""
    if isinstance(stimulus, HttpStimulus):
        result = results[0][1]
        return _response(result["value"]) if result["ok"] else HttpOutcome(502, (), (), b"")
    if isinstance(stimulus, TaskStimulus):
        result = results[0][1]
        if not result["ok"]:
            return TaskOutcome(error="States.TaskFailed")
        answer = result["value"]
        return TaskOutcome(
            answer.get("ok"), answer.get("error", ""), answer.get("cause", "")
        )
    failed: list[str] = []
    for request, result in results:
        if not result["ok"]:
            failed += request.ids
        elif isinstance(stimulus, QueueStimulus):
            failed += result["value"]["returned"]
    return DeliveryOutcome(tuple(failed))


def _response(value: Mapping[str, Any]) -> HttpOutcome:
    fields = [(str(name), str(text)) for name, text in value["fields"]]
    return HttpOutcome(
        value["status"],
        tuple(sorted(pair for pair in fields if pair[0] != "set-cookie")),
        tuple(text for name, text in fields if name == "set-cookie"),
        base64.b64decode(value["body"]),
    )
