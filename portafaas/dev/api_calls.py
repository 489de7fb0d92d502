"""What has been called, and how it ended: lists, one invocation, traces."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from portafaas.dev.api_http import Call, Refused

#: How an invocation ended that did what it was for, and all other ways.
FINE = ("ok",)
FAILED = ("error", "again", "dead", "timeout", "crash", "memory", "refused")


def invocations(call: Call) -> dict[str, Any]:
    """Return invocations, the newest first.

    Query: ``function``, ``status`` (``failed``: all but ok), ``before`` (of the page before),
    ``limit``.
    """
    activity, query = call.dev.activity, call.query
    limit = call.number("limit", 50, 500)
    before = call.number("before", 1, 1 << 62) if query.get("before") else None
    function, status = query.get("function") or None, query.get("status") or None
    found: list[dict[str, Any]] = []
    for one in FAILED if status == "failed" else (status,):
        found += activity.list(function, one, before, limit + 1)
    found.sort(key=lambda item: item["number"], reverse=True)
    part = [listed(activity, item) for item in found[:limit]]
    return {"invocations": part, "before": part[-1]["number"] if len(found) > limit else None}


def listed(activity: Any, item: Mapping[str, Any]) -> dict[str, Any]:
    """Return a line of a list, with what it was for."""
    return {**item, "summary": summary(activity.get(item["id"]) or item)}


def summary(item: Mapping[str, Any]) -> str:
    """Return in a few words what an invocation was for: ``POST /orders → 201``."""
    request = item.get("request") or {}
    if not isinstance(request, Mapping):
        return ""
    kind, values = next(iter(request.items()), ("", None))
    if not isinstance(values, Mapping):
        return ""
    match kind:
        case "http":
            status = (item.get("response") or {}).get("status")
            text = f"{values.get('method', '')} {values.get('path', '')}"
            return f"{text} → {status}" if status else text
        case "queue":
            messages = values.get("messages") or []
            if len(messages) != 1:
                return f"{len(messages)} messages"
            body = messages[0].get("body") or messages[0].get("id") or ""
            return (body if isinstance(body, str) else json.dumps(body, ensure_ascii=False))[:200]
        case "topic":
            attributes = values.get("attributes") or {}
            said = (attributes.get("ce-type"), attributes.get("ce-subject"))
            return " ".join(str(part) for part in said if part) or str(values.get("id", ""))
        case "object":
            return f"{values.get('kind', '')} {values.get('key', '')}"
        case "table":
            keys = values.get("keys") or {}
            return f"{values.get('kind', '')} {', '.join(str(key) for key in keys.values())}"
        case "schedule":
            return str(values.get("time", ""))
        case "task":
            return f"{values.get('workflow', '')} {values.get('step', '')}"
        case _:
            return ""


def invocation(call: Call) -> dict[str, Any]:
    """Return one invocation with all that is known of it, and the others of its trace."""
    found = call.dev.activity.get(call.params["id"])
    if found is None:
        hint = "the newest 5 000 are kept"
        raise Refused(404, "PF8059", f"there is no invocation {call.params['id']!r}", hint)
    together = [found]
    if found["trace_id"]:
        known = (found["trace_id"], found["correlation_id"], found.get("links", ()))
        together = [*call.dev.activity.trace(*known)]
    return {**found, "summary": summary(found), "trace": _timeline(together or [found])}


def trace(call: Call) -> dict[str, Any]:
    """Return the invocations of one trace."""
    together = call.dev.activity.trace(call.params["trace"])
    if not together:
        raise Refused(404, "PF8059", f"there is no trace {call.params['trace']!r}")
    return {"trace_id": call.params["trace"], "trace": _timeline(together)}


def _timeline(together: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    names = (
        "id", "function", "kind", "started", "seconds", "status", "attempt", "span_id",
        "parent_id", "error", "spans",
    )  # fmt: skip
    return [
        {name: item.get(name) for name in names}
        | {"summary": summary(item), "parent_id": item.get("parent_id") or _sender(item)}
        for item in sorted(together, key=lambda item: item["started"])
    ]


def _sender(item: Mapping[str, Any]) -> str:
    """Return the span that a batch's first message was sent in; "" for none.

    A batch has no parent, since its messages may come from several; ``traceparent`` is
    https://www.w3.org/TR/trace-context/#traceparent-header.
    """
    request = item.get("request")
    queue = request.get("queue") if isinstance(request, Mapping) else None
    messages = queue.get("messages") if isinstance(queue, Mapping) else None
    if not isinstance(messages, list) or not messages or not isinstance(messages[0], Mapping):
        return ""
    parts = str((messages[0].get("attributes") or {}).get("traceparent", "")).split("-")
    return parts[2] if len(parts) == 4 else ""
