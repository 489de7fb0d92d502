"""What a handler sees, as JSON values, and where the kit reads it."""

from __future__ import annotations

import base64
import json
import os
from typing import Any

_SHOWN = ("content-type", "accept", "cookie", "authorization", "user-agent")


def data_view(data: Any) -> Any:
    if isinstance(data, bytes):
        return {"base64": base64.b64encode(data).decode()}
    return data


def request_view(request: Any, context: Any) -> dict[str, Any]:
    shown = {
        name: value
        for name, value in sorted(request.headers.items())
        if name.startswith("x-case") or "_" in name or name in _SHOWN
    }
    identity = request.identity
    return {
        "method": request.method,
        "path": request.path,
        "path_params": request.path_params,
        "raw_query": request.raw_query,
        "query": request.query.items(),
        "headers": shown,
        "cookies": request.cookies,
        "body": base64.b64encode(request.body).decode(),
        "identity": None if identity is None else [identity.subject, list(identity.scopes)],
        "context": context_view(context, "traceparent" in request.headers),
    }


def context_view(context: Any, traced: bool = False) -> dict[str, Any]:
    # Without the sender's, a platform may start a trace of its own.
    return {
        "trace": context.trace_parent if traced else None,
        # Ids that the sender did not set are random.
        "trace_id": context.trace_id if context.span.parent_id else None,
        "parent_id": context.span.parent_id or None,
        "trace_state": context.span.state,
        "links": [link.trace_id for link in context.span.links],
        "correlation": (
            None if context.correlation_id == context.trace_id else context.correlation_id
        ),
        "function": context.function,
        "service": context.service,
        "memory": context.memory,
        "attempt": context.attempt,
        "has_id": isinstance(context.invocation_id, str) and bool(context.invocation_id),
        "has_raw": context.raw is not None or context.target == "local",
        "in_time": 0 < context.remaining() <= 60,
    }


def event_view(event: Any, context: Any) -> dict[str, Any]:
    view: dict[str, Any] = {
        "class": type(event).__name__,
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "subject": event.subject,
        "time": event.time,
        "datacontenttype": event.datacontenttype,
        "dataschema": event.dataschema,
        "data": data_view(event.data),
        "extensions": dict(sorted(event.extensions.items())),
        "attributes": dict(sorted(event.attributes.items())),
        "key": event.key,
        "attempt": event.attempt,
        "context": context_view(
            context, "traceparent" in event.attributes or "traceparent" in event.extensions
        ),
    }
    for name in ("bucket", "kind", "size", "etag", "table", "keys", "new", "old"):
        if hasattr(event, name):
            view[name] = getattr(event, name)
    return view


def message_view(message: Any, context: Any) -> dict[str, Any]:
    return {
        "class": type(message).__name__,
        "id": message.id,
        "body": base64.b64encode(message.body).decode(),
        "attributes": dict(sorted(message.attributes.items())),
        "key": message.key,
        "queue": message.queue,
        "attempt": message.attempt,
        "time": message.time,
        # A batch has no one trace.
        "context": context_view(
            context, "traceparent" in message.attributes and context.function == "work"
        ),
    }


def record(view: Any) -> None:
    """Append *view* to the kit's record; one write, so that lines never mix."""
    line = json.dumps(view) + "\n"
    with open(os.environ["KIT_RECORD"], "ab", buffering=0) as file:
        file.write(line.encode())


def task_view(task: Any, context: Any) -> dict[str, Any]:
    return {
        "class": type(task).__name__,
        "input": task.input,
        "workflow": task.workflow,
        "run": task.run,
        "step": task.step,
        "attempt": task.attempt,
        "key": task.key,
        "context": context_view(context),
    }
