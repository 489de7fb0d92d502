"""S3 notifications, by way of SQS, by S3 itself or EventBridge, to object handlers. Ships.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
"""

from __future__ import annotations

from portafaas_aws.runtime import inbox, sqs
from portafaas_aws.runtime.start import context_of, load, read, records_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from portafaas.runtime.event import ObjectEvent
    from portafaas.runtime.function import Function

# A lifecycle rule that expires an object deletes it, as far as the manifest is concerned.
_KINDS = {
    "ObjectCreated": "created",
    "ObjectRemoved": "deleted",
    "LifecycleExpiration": "deleted",
    "Object Created": "created",
    "Object Deleted": "deleted",
}


def bind(function: Function) -> Callable[[Any, Any], dict[str, Any] | None]:
    """Return the Lambda handler of an object function.

    Records of SQS are answered with the ids that failed; else it raises what the handler raised,
    and Lambda invokes again. Other things that happen to objects are dropped. Any other payload
    raises ValueError.
    """
    from portafaas.runtime.deliver import run_event

    load(function)

    def invoke(event: Any, context: Any) -> dict[str, Any] | None:
        if inbox.is_queued(event):
            return inbox.run(function, records_of(event, "aws:sqs"), context, queued)
        for found in read(events_of, function, event):
            run_event(function, found, context_of(function, context))
        return None

    return invoke


def queued(function: Function, record: dict[str, Any]) -> list[ObjectEvent]:
    """Return the events in the body of an SQS record; raises ValueError when it is none of S3."""
    body = inbox.payload(record)
    if isinstance(body, dict) and body.get("Event") == "s3:TestEvent":
        # S3 asks whether it may send.
        # https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
        return []
    found = events_of(function, body)
    for event in found:
        sqs.mark(event, record, inbox.control_of(record))
    return found


def events_of(function: Function, event: Any) -> list[ObjectEvent]:
    """Return the events of an S3 or EventBridge payload."""
    if isinstance(event, dict) and event.get("source") == "aws.s3":
        detail = event.get("detail") or {}
        kind = _KINDS.get(str(event.get("detail-type")))
        item = detail.get("object") or {}
        return _one(function, kind, item, item.get("key"), event.get("time"), event)
    found = []
    for record in records_of(event, "aws:s3"):
        kind = _KINDS.get(str(record.get("eventName")).partition(":")[0])
        item = (record.get("s3") or {}).get("object") or {}
        key = item.get("key")
        if isinstance(key, str):
            from portafaas.runtime.text import percent_decode

            # Written as a form value here, plain in EventBridge.
            key = percent_decode(key.replace("+", " "))
        found += _one(function, kind, item, key, record.get("eventTime"), record)
    return found


def _one(
    function: Function, kind: str | None, item: dict[str, Any], key: Any, time: Any, raw: Any
) -> list[ObjectEvent]:
    from portafaas.runtime.event import ObjectEvent
    from portafaas.runtime.text import utc_time

    if kind is None:
        return []
    if not isinstance(key, str):
        raise ValueError("an S3 event names no object")
    etag = item.get("eTag") or item.get("etag")
    return [
        ObjectEvent(
            f"{key}@{item.get('sequencer', '')}",
            function.source,
            bucket=function.trigger["bucket"],
            key=key,
            kind=kind,
            size=None if kind == "deleted" else item.get("size"),
            etag=etag.strip('"') if etag else None,
            time=utc_time(time),
            raw=raw,
        )
    ]
