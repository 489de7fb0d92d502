"""Sample events, to be edited before they are sent: generated ones, and those of the project."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from portafaas.adapter.neutral import is_neutral, sample, stimulus_to_json
from portafaas.dev.api_http import Call, Refused
from portafaas.dev.api_views import known_function
from portafaas.plan import BuildPlan, FunctionPlan, QueueTrigger, TopicTrigger

#: How deep an example of a schema goes.
_DEEP = 8
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
        body = example(plan.queue(trigger.queue).schema.document)
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
    made: dict[str, Any] = {"body": example(found.schema.document) or {"sample": True}}
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
    return example(plan.workflow(name).input.document) or {}


def _data(plan: BuildPlan, kind: str) -> Any:
    for event in plan.events:
        if event.name == kind:
            return example(event.schema.document)
    return None


def _subject(data: Any) -> str:
    found = data.get("id") if isinstance(data, dict) else None
    return found if isinstance(found, str) else "sample"


def example(schema: Mapping[str, Any], root: Mapping[str, Any] | None = None, deep: int = 0) -> Any:
    """Return a typical value that a JSON Schema allows, as far as its plain keywords say.

    None for an empty schema. https://json-schema.org/draft/2020-12/json-schema-validation
    """
    if not isinstance(schema, Mapping) or not schema or deep > _DEEP:
        return None
    root = schema if root is None else root
    for word in ("const", "default"):
        if word in schema:
            return schema[word]
    for word in ("examples", "enum"):
        if schema.get(word):
            return schema[word][0]
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith("#/"):
        found: Any = root
        for part in reference[2:].split("/"):
            found = found.get(part) if isinstance(found, Mapping) else None
        return example(found or {}, root, deep + 1)
    for word in ("allOf", "oneOf", "anyOf"):
        if schema.get(word):
            parts = schema[word] if word == "allOf" else schema[word][:1]
            return example(_merged([{**schema, word: []}, *parts]), root, deep + 1)
    return _typed(schema, root, deep)


def _merged(parts: list[Mapping[str, Any]]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for part in parts:
        for name, value in part.items():
            known = out.get(name)
            if isinstance(known, dict) and isinstance(value, Mapping):
                out[name] = {**known, **value}
            elif isinstance(known, list) and isinstance(value, list):
                out[name] = [*known, *value]
            else:
                out[name] = value
    return out


def _typed(schema: Mapping[str, Any], root: Mapping[str, Any], deep: int) -> Any:
    kind = schema.get("type") or ("object" if "properties" in schema else "")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    match kind:
        case "object":
            return {
                name: example(part, root, deep + 1)
                for name, part in (schema.get("properties") or {}).items()
                if part is not False
            }
        case "array":
            count = max(1, int(schema.get("minItems", 1)))
            inner = example(schema.get("items") or {}, root, deep + 1)
            return [inner] * min(count, 10)
        case "integer" | "number":
            low = schema.get("minimum")
            if low is None and "exclusiveMinimum" in schema:
                low = schema["exclusiveMinimum"] + 1
            return low if low is not None else min(1, schema.get("maximum", 1))
        case "boolean":
            return True
        case "string":
            return _text(schema)
        case _:
            return None


def _text(schema: Mapping[str, Any]) -> str:
    known = {
        "date-time": "2026-11-23T10:00:00Z", "date": "2026-11-23", "time": "10:00:00Z",
        "email": "ada@example.com", "uri": "https://example.com/",
        "uuid": "123e4567-e89b-12d3-a456-426614174000",
    }  # fmt: skip
    text = known.get(str(schema.get("format")), "sample")
    return (text + "x" * int(schema.get("minLength", 0)))[: max(
        int(schema.get("minLength", 0)), min(len(text), int(schema.get("maxLength", 10**6)))
    )]
