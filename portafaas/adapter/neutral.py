"""Stimuli and outcomes as JSON: event files, ``events generate``, and what ``invoke`` prints.

A neutral event file holds one key: ``http``, ``queue``, ``topic``, ``object``, ``table``,
``schedule`` or ``task``. Bodies are text under ``body``, or base64 under ``body_base64``.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any, assert_never

from portafaas.adapter.stimulus import (
    ChangeStimulus,
    DeliveryOutcome,
    HttpOutcome,
    HttpStimulus,
    MessageStimulus,
    ObjectStimulus,
    Outcome,
    QueueStimulus,
    ScheduleStimulus,
    Stimulus,
    TaskOutcome,
    TaskStimulus,
    TopicStimulus,
)
from portafaas.errors import InvocationError
from portafaas.plan import (
    BuildPlan,
    FunctionPlan,
    HttpTrigger,
    ObjectTrigger,
    QueueTrigger,
    ScheduleTrigger,
    TableTrigger,
    TaskTrigger,
    TopicTrigger,
)

KINDS = ("http", "queue", "topic", "object", "table", "schedule", "task")


def is_neutral(document: Any) -> bool:
    """Tell whether *document* is a neutral event rather than a platform's own."""
    return isinstance(document, dict) and len(document) == 1 and next(iter(document)) in KINDS


def _body_out(body: bytes) -> dict[str, Any]:
    try:
        return {"body": body.decode("utf-8")}
    except UnicodeDecodeError:
        return {"body_base64": base64.b64encode(body).decode("ascii")}


def body_from_json(values: Mapping[str, Any]) -> bytes:
    """Return the ``body``, or ``body_base64``, of *values*; raises InvocationError."""
    if "body_base64" in values:
        try:
            return base64.b64decode(values["body_base64"], validate=True)
        except (ValueError, TypeError) as exc:
            raise InvocationError(f"body_base64 is not base64: {exc}") from exc
    body = values.get("body", "")
    return body.encode("utf-8") if isinstance(body, str) else json.dumps(body).encode("utf-8")


def _take(values: Any, kind: str, *allowed: str) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise InvocationError(f"the {kind} event must be a mapping, not {type(values).__name__}")
    unknown = sorted(set(values) - set(allowed))
    if unknown:
        raise InvocationError(
            f"unknown key {unknown[0]!r} in the {kind} event; allowed: {', '.join(allowed)}"
        )
    return values


_MESSAGE_KEYS = (
    "id", "body", "body_base64", "attributes", "key", "attempt", "time", "content_type",
)  # fmt: skip


def _message_in(values: Any) -> MessageStimulus:
    taken = _take(values, "message", *_MESSAGE_KEYS)
    return MessageStimulus(
        id=str(taken.get("id", "message-1")),
        body=body_from_json(taken),
        attributes={str(k): str(v) for k, v in (taken.get("attributes") or {}).items()},
        key=taken.get("key"),
        attempt=int(taken.get("attempt", 1)),
        time=taken.get("time", "2026-11-23T10:00:00.000Z"),
        content_type=taken.get("content_type"),
    )


def _message_out(message: MessageStimulus) -> dict[str, Any]:
    out: dict[str, Any] = {"id": message.id, **_body_out(message.body)}
    if message.attributes:
        out["attributes"] = dict(message.attributes)
    if message.key is not None:
        out["key"] = message.key
    if message.content_type is not None:
        out["content_type"] = message.content_type
    out |= {"attempt": message.attempt, "time": message.time}
    return out


def stimulus_from_json(document: Mapping[str, Any]) -> Stimulus:
    """Return the stimulus that a neutral event describes; raises InvocationError."""
    kind, values = next(iter(document.items()))
    if kind == "http":
        taken = _take(
            values, kind, "method", "path", "query", "headers", "body", "body_base64", "caller"
        )
        headers = taken.get("headers") or {}
        pairs = headers.items() if isinstance(headers, dict) else headers
        path, _, query = str(taken.get("path", "/")).partition("?")
        return HttpStimulus(
            str(taken.get("method", "GET")).upper(),
            path,
            str(taken.get("query", query)),
            tuple((str(name), str(value)) for name, value in pairs),
            body_from_json(taken),
            taken.get("caller"),
        )
    if kind == "queue":
        taken = _take(values, kind, "messages")
        return QueueStimulus(tuple(_message_in(item) for item in taken.get("messages", ())))
    if kind == "topic":
        return TopicStimulus(_message_in(values))
    if kind == "object":
        taken = _take(values, kind, "kind", "key", "size", "etag", "time", "sequencer")
        return ObjectStimulus(**{"kind": "created", "key": "", **taken})
    if kind == "table":
        taken = _take(values, kind, "kind", "keys", "new", "old", "time", "id")
        return ChangeStimulus(**{"kind": "insert", "keys": {}, **taken})
    if kind == "schedule":
        return ScheduleStimulus(**_take(values, kind, "time"))
    if kind == "task":
        return TaskStimulus(
            **_take(values, kind, "input", "workflow", "run", "step", "attempt", "key")
        )
    raise InvocationError(f"unknown event kind {kind!r}; allowed: {', '.join(KINDS)}")


def stimulus_to_json(stimulus: Stimulus) -> dict[str, Any]:
    """Return the neutral event file of *stimulus*."""
    match stimulus:
        case HttpStimulus():
            out: dict[str, Any] = {"method": stimulus.method, "path": stimulus.path}
            if stimulus.query:
                out["query"] = stimulus.query
            if stimulus.headers:
                out["headers"] = [list(pair) for pair in stimulus.headers]
            if stimulus.body:
                out |= _body_out(stimulus.body)
            if stimulus.caller is not None:
                out["caller"] = stimulus.caller
            return {"http": out}
        case QueueStimulus():
            return {"queue": {"messages": [_message_out(item) for item in stimulus.messages]}}
        case TopicStimulus():
            return {"topic": _message_out(stimulus.message)}
        case ObjectStimulus():
            return {
                "object": {
                    "kind": stimulus.kind,
                    "key": stimulus.key,
                    "size": stimulus.size,
                    "etag": stimulus.etag,
                    "time": stimulus.time,
                    "sequencer": stimulus.sequencer,
                }
            }
        case ChangeStimulus():
            row: dict[str, Any] = {"kind": stimulus.kind, "keys": dict(stimulus.keys)}
            if stimulus.new is not None:
                row["new"] = dict(stimulus.new)
            if stimulus.old is not None:
                row["old"] = dict(stimulus.old)
            return {"table": {**row, "time": stimulus.time, "id": stimulus.id}}
        case ScheduleStimulus():
            return {"schedule": {"time": stimulus.time}}
        case TaskStimulus():
            names = ("input", "workflow", "run", "step", "attempt", "key")
            return {"task": {name: getattr(stimulus, name) for name in names}}
        case _:
            assert_never(stimulus)


def outcome_to_json(outcome: Outcome) -> dict[str, Any]:
    """Return what ``invoke`` prints."""
    if isinstance(outcome, DeliveryOutcome):
        return {"delivered": not outcome.failed, "failed": list(outcome.failed)}
    if isinstance(outcome, TaskOutcome):
        if outcome.error:
            return {"error": outcome.error, "cause": outcome.cause}
        return {"output": outcome.output}
    return {
        "status": outcome.status,
        "headers": dict(outcome.headers),
        "cookies": list(outcome.cookies),
        **_body_out(outcome.body),
    }


def http_outcome_from_json(document: Mapping[str, Any]) -> HttpOutcome:
    """Return the answer of http that :func:`outcome_to_json` has written."""
    headers, cookies = tuple(document["headers"].items()), tuple(document["cookies"])
    return HttpOutcome(document["status"], headers, cookies, body_from_json(document))


def sample(plan: BuildPlan, function: FunctionPlan) -> Stimulus:
    """Return a typical stimulus for *function*; the same one every time."""
    trigger = function.trigger
    match trigger:
        case HttpTrigger():
            # Nothing for the rest of the path: an application has a root, if anything.
            path = "/".join(
                ("" if segment.endswith("*}") else "sample") if segment[:1] == "{" else segment
                for segment in trigger.path.split("/")
            )
            method = trigger.methods[0] if trigger.methods else "GET"
            if method in ("GET", "HEAD", "DELETE", "OPTIONS"):
                return HttpStimulus(method, path, "", (("accept", "application/json"),))
            return HttpStimulus(
                method,
                path,
                "",
                (("accept", "application/json"), ("content-type", "application/json")),
                b'{"sample": true}',
            )
        case QueueTrigger():
            ordered = plan.queue(trigger.queue).ordered
            return QueueStimulus(
                tuple(
                    MessageStimulus(
                        f"message-{number}",
                        json.dumps({"sample": number}).encode(),
                        {"origin": "sample"},
                        "key-1" if ordered else None,
                    )
                    for number in range(1, min(trigger.batch, 3) + 1)
                )
            )
        case TopicTrigger():
            plain: dict[str, str] = {}
            core = {
                "ce-specversion": "1.0",
                "ce-id": "event-1",
                "ce-source": "/sample",
                "ce-type": "sample.event",
            }
            for name, values in trigger.filter:
                if f"ce-{name}" in core or name == "subject":
                    core[f"ce-{name}"] = values[0]
                else:
                    plain[name] = values[0]
            return TopicStimulus(
                MessageStimulus(
                    "event-1",
                    b'{"sample": true}',
                    {**core, **plain},
                    content_type="application/json",
                )
            )
        case ObjectTrigger():
            return ObjectStimulus(
                trigger.on[0],
                f"{trigger.prefix}sample{trigger.suffix}",
                0 if trigger.on[0] == "deleted" else 5,
            )
        case TableTrigger():
            table = plan.table(trigger.table)
            keys = {table.key: "row-1", **({table.sort: "1"} if table.sort else {})}
            kind = "insert" if trigger.on[0] == "upsert" else trigger.on[0]
            row = {**keys, "sample": True}
            return ChangeStimulus(
                kind,
                keys,
                None if kind == "delete" else row,
                row if kind != "insert" else None,
            )
        case ScheduleTrigger():
            from datetime import UTC, datetime

            from portafaas.schedule import parse_cron

            start = datetime(2026, 11, 23, tzinfo=UTC)
            moment = parse_cron(trigger.cron, trigger.timezone).fire_times(start, 1)[0]
            return ScheduleStimulus(f"{moment:%Y-%m-%dT%H:%M:%S}.000Z")
        case TaskTrigger():
            return TaskStimulus({"sample": True})
        case _:
            assert_never(trigger)
