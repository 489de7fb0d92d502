"""Sample events, to be edited before they are sent: generated ones, and those of the project."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from portafaas.adapter.neutral import is_neutral, sample, stimulus_to_json
from portafaas.dev.api_http import Call, Refused
from portafaas.dev.api_views import known_function
from portafaas.plan import BuildPlan, FunctionPlan, QueueTrigger, TopicTrigger
from portafaas.plan.examples import draft

#: Bytes of a file that can be an event.
_LARGEST = 256 << 10


def function(call: Call) -> dict[str, Any]:
    """Return events for a function: ``name`` of the sample, and the neutral ``event``."""
    found = known_function(call.dev.plan, call.params["function"])
    made = _generated(call.dev.plan, found)
    return {
        "function": found.name,
        "kind": found.kind,
        "samples": [*_files(call.dev.root, found), {"name": "generated", "event": made}],
    }


def _files(root: Path, function: FunctionPlan) -> list[dict[str, Any]]:
    """Return ``events/<function>*.json`` of the project, as ``invoke --event`` takes them."""
    out = []
    folder = root / "events"
    for file in sorted(folder.glob(f"{function.name}*.json")):
        stem = file.stem.removeprefix(function.name)
        if stem[:1] not in ("", ".", "-", "_") or file.stat().st_size > _LARGEST:
            continue
        try:
            event = json.loads(file.read_bytes())
        except (ValueError, OSError, RecursionError):
            continue
        if is_neutral(event) and next(iter(event)) == function.kind:
            out.append({"name": f"events/{file.name}", "event": event})
    return out


def _generated(plan: BuildPlan, function: FunctionPlan) -> dict[str, Any]:
    """Return a sample with a body that the schema allows, where there is one."""
    document = stimulus_to_json(sample(plan, function))
    trigger = function.trigger
    if isinstance(trigger, QueueTrigger):
        body = draft(plan.queue(trigger.queue).schema.document)
        if body is not None:
            for message in document["queue"]["messages"]:
                message["body"] = body
    elif isinstance(trigger, TopicTrigger):
        attributes = document["topic"]["attributes"]
        body = _data(plan, attributes.get("ce-type", ""))
        if body is not None:
            document["topic"]["body"] = body
    found: dict[str, Any] = _readable(document)
    return found


def _readable(value: Any) -> Any:
    """Return bodies that are JSON as its values: they are easier to edit."""
    if isinstance(value, dict):
        return {
            name: _json(item) if name == "body" and isinstance(item, str) else _readable(item)
            for name, item in value.items()
        }
    return [_readable(item) for item in value] if isinstance(value, list) else value


def _json(text: str) -> Any:
    try:
        found = json.loads(text)
    except ValueError:
        return text
    return found if isinstance(found, (dict, list)) else text


def queue(call: Call) -> dict[str, Any]:
    """Return what ``queues/<name>/send`` takes."""
    plan, name = call.dev.plan, call.params["queue"]
    found = next((one for one in plan.queues if one.name == name), None)
    if found is None:
        raise Refused(404, "PF8059", f"there is no queue {name!r}")
    made: dict[str, Any] = {"body": draft(found.schema.document) or {"sample": True}}
    if found.ordered:
        made["key"] = "key-1"
    samples = [{"name": "generated", "event": made}]
    for one in plan.functions:
        if isinstance(one.trigger, QueueTrigger) and one.trigger.queue == name:
            for file in _files(call.dev.root, one):
                for number, message in enumerate(file["event"]["queue"].get("messages", ()), 1):
                    event = {k: message[k] for k in ("body", "key", "attributes") if k in message}
                    samples.insert(-1, {"name": f"{file['name']}, {number}", "event": event})
    return {"queue": name, "samples": samples}


def topic(call: Call) -> dict[str, Any]:
    """Return what ``topics/<name>/publish`` takes: one for each type of event."""
    plan, name = call.dev.plan, call.params["topic"]
    found = next((one for one in plan.topics if one.name == name), None)
    if found is None:
        raise Refused(404, "PF8059", f"there is no topic {name!r}")
    types: dict[str, None] = {}
    for one in plan.functions:
        types |= dict.fromkeys(one.emitted(name) or ())
        trigger = one.trigger
        if isinstance(trigger, TopicTrigger) and trigger.topic == name:
            types |= dict.fromkeys(v for k, vs in trigger.filter if k == "type" for v in vs)
    samples = []
    for kind in types or {"sample.event": None}:
        data = _data(plan, kind)
        event: dict[str, Any] = {"type": kind, "subject": _subject(data), "data": data or {}}
        if found.ordered:
            event["key"] = "key-1"
        samples.append({"name": kind, "event": event})
    return {"topic": name, "samples": samples}


def workflow(plan: BuildPlan, name: str) -> Any:
    """Return an input that a workflow's schema allows."""
    return draft(plan.workflow(name).input.document) or {}


def _data(plan: BuildPlan, kind: str) -> Any:
    for event in plan.events:
        if event.name == kind:
            return draft(event.schema.document)
    return None


def _subject(data: Any) -> str:
    found = data.get("id") if isinstance(data, dict) else None
    return found if isinstance(found, str) else "sample"
