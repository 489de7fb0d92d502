"""Bridge of object functions: Cloud Storage events, direct or through Pub/Sub. Ships.

https://github.com/googleapis/google-cloudevents/blob/main/proto/google/events/cloud/storage/v1
and https://cloud.google.com/storage/docs/pubsub-notifications#format
"""

from __future__ import annotations

from portafaas.runtime.event import ObjectEvent
from portafaas.runtime.text import utc_time
from portafaas_gcp.runtime.delivery import bind_event, open_delivery
from portafaas_gcp.runtime.settlement import Settlement, event_message

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from portafaas.runtime.context import Context
    from portafaas.runtime.function import Function
    from portafaas_gcp.runtime.delivery import Delivered
    from portafaas_gcp.runtime.pubsub import Received

# Last word of the event type: CloudEvents, 1st gen, notification. In a bucket with versions a
# deletion only archives the live version.
_KINDS = {
    "finalized": "created",
    "finalize": "created",
    "OBJECT_FINALIZE": "created",
    "deleted": "deleted",
    "delete": "deleted",
    "OBJECT_DELETE": "deleted",
    "archived": "deleted",
    "archive": "deleted",
    "OBJECT_ARCHIVE": "deleted",
}


def bind(function: Function) -> Callable[[Any], Any]:
    """Return the framework's entry function for an object function."""

    def read(environ: dict[str, Any], body: bytes, context: Context) -> Delivered | None:
        outer, data = open_delivery(environ, body)
        if not (isinstance(data, dict) and "message" in data):
            if not outer:
                raise ValueError("the delivery is no Cloud Storage event: it has no type")
            event = _event(function, outer, data, data)
            if event is None:
                return None
            return event, Settlement(function, context, event_message(outer, data))
        from portafaas_gcp.runtime.pubsub import Received

        received = Received(outer, data)
        event = event_of(function, received, data)
        if event is None:
            return None
        return event, Settlement(function, context, received.message, received.attempt)

    return bind_event(function, read)


def event_of(function: Function, received: Received, raw: Any = None) -> ObjectEvent | None:
    """Return the event of a bucket's notification, None for one that nobody asked for.

    Raises ValueError when it is none.
    """
    outer, data = _notification(received)
    if outer.get("overwritten"):
        return None  # a new version took its place: no deletion
    event = _event(function, outer, data, raw, received.attempt)
    control = received.split()[1]
    if event is not None and control is not None:
        from portafaas.runtime.control import carried

        event.control = control
        event.attempt += carried(control)
    return event


def _event(
    function: Function, outer: dict[str, Any], data: Any, raw: Any, attempt: int = 1
) -> ObjectEvent | None:
    kind = _KINDS.get(str(outer.get("type")).rpartition(".")[2])
    if kind is None:
        return None
    if not isinstance(data, dict) or not isinstance(data.get("name"), str):
        raise ValueError("a Cloud Storage event must have an object with a name as its data")
    key, etag = data["name"], data.get("etag")
    time = outer.get("time") or data.get("timeDeleted") or data.get("updated")
    size = data.get("size")
    if size is not None and not str(size).isdecimal():
        raise ValueError(f"size {size!r} is not a number of bytes")
    return ObjectEvent(
        f"{key}@{data.get('generation', '')}",
        function.source,
        bucket=function.trigger["bucket"],
        key=key,
        kind=kind,
        size=None if kind == "deleted" or size is None else int(size),
        etag=etag.strip('"') if isinstance(etag, str) else None,
        time=utc_time(time if isinstance(time, str) else None),
        attempt=attempt,
        raw=raw,
    )


def _notification(received: Received) -> tuple[dict[str, Any], Any]:
    """Return context attributes and object of a Pub/Sub notification of a bucket."""
    attributes = received.attributes
    data: Any = {}
    if received.body and attributes.get("payloadFormat") != "NONE":
        from json import loads

        try:
            data = loads(received.body)
        except (ValueError, RecursionError) as exc:
            raise ValueError(f"message.data is not valid JSON: {exc}") from exc
    if isinstance(data, dict):
        if "objectId" in attributes:
            data.setdefault("name", attributes["objectId"])
        if "objectGeneration" in attributes:
            data.setdefault("generation", attributes["objectGeneration"])
    context = {
        "type": attributes.get("eventType"),
        "time": attributes.get("eventTime") or received.time,
        "overwritten": "overwrittenByGeneration" in attributes,
    }
    if context["type"] is None:
        raise ValueError("the message is no Cloud Storage notification: it has no eventType")
    return context, data
