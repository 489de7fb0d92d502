"""The object bridge: Event Grid's blob events, through a Service Bus queue or directly. Ships."""

from __future__ import annotations

from portafaas.runtime.context import Context
from portafaas.runtime.control import carried
from portafaas.runtime.event import ObjectEvent
from portafaas.runtime.text import percent_decode, utc_time
from portafaas_azure.runtime.run import Runner
from portafaas_azure.runtime.settlement import Settlement, settles

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from typing import Any

    from portafaas.runtime.function import Function

_KINDS = {"Microsoft.Storage.BlobCreated": "created", "Microsoft.Storage.BlobDeleted": "deleted"}


def bind(function: Function) -> Callable[[Any, Any], Awaitable[None]]:
    """Return the coroutine function that the worker calls; it raises to have the event again."""
    runner = Runner(function)
    settled = settles(function)

    async def entry(native: Any, raw: Any) -> None:
        async with runner.slot():
            documents, attempt, trace, control = _read(native)
            for document in documents:
                event = object_event(function, document, attempt, native)
                if event is not None:
                    event.control = control
                    event.attempt += carried(control)
                    context = Context(
                        function,
                        raw.invocation_id,
                        target="azure",
                        attempt=event.attempt,
                        trace_parent=trace,
                        raw=raw,
                    )
                    # One of several cannot be settled without the others.
                    whole = settled and len(documents) == 1 and hasattr(native, "get_body")
                    settlement = Settlement(function, context) if whole else None
                    await runner.run_event(event, context, settlement)

    return entry


def _read(native: Any) -> tuple[list[Any], int, str | None, dict[str, str] | None]:
    """Return the Event Grid events as documents, delivery count, trace context, our attributes."""
    if hasattr(native, "get_body"):
        import json

        from portafaas_azure.runtime.bus import Received, trace_parent

        received = Received(native)
        try:
            document = json.loads(received.body)
        except (ValueError, RecursionError) as exc:
            raise ValueError(f"the message holds no Event Grid event: {exc}") from exc
        documents = document if isinstance(document, list) else [document]
        return documents, received.attempt, trace_parent(received), received.control
    # The SDK's EventGridEvent or CloudEvent.
    kind = getattr(native, "event_type", None) or getattr(native, "type", None)
    if kind is None:
        raise ValueError(f"not an Event Grid event: {type(native).__name__!r}")
    moment: Any = getattr(native, "event_time", None) or getattr(native, "time", None)
    data = native.get_json() if hasattr(native, "get_json") else native.data
    document = {
        "type": kind,
        "subject": native.subject,
        "time": moment.isoformat() if hasattr(moment, "isoformat") else moment,
        "data": data,
    }
    return [document], 1, None, None


def object_event(
    function: Function, document: Any, attempt: int = 1, raw: Any = None
) -> ObjectEvent | None:
    """Return the event of an Event Grid or CloudEvents document; None for one of another kind.

    Raises ValueError when it is neither, or lacks what a blob event has.
    https://learn.microsoft.com/azure/event-grid/event-schema-blob-storage
    """
    if not isinstance(document, dict):
        raise ValueError(f"an Event Grid event must be an object, not {type(document).__name__!r}")
    name = document.get("eventType") or document.get("type")
    if not isinstance(name, str):
        raise ValueError("the Event Grid event has no type")
    kind = _KINDS.get(name)
    if kind is None:
        return None
    data = document.get("data")
    if not isinstance(data, dict):
        raise ValueError(f"the {name} event has no data")
    key = _key(document, data)
    size = data.get("contentLength")
    tag = data.get("eTag")
    return ObjectEvent(
        f"{key}@{data.get('sequencer') or document.get('id', '')}",
        function.source,
        bucket=function.trigger["bucket"],
        key=key,
        kind=kind,
        size=size if kind == "created" and isinstance(size, int) else None,
        etag=tag.strip('"') if isinstance(tag, str) else None,
        time=utc_time(document.get("eventTime") or document.get("time")),
        attempt=attempt,
        raw=raw,
    )


def _key(document: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    """Return the blob's plain name: decoded from the URL, else from the subject, which is plain.

    The URL comes first because the subject has U+FFFD for characters outside the BMP.
    https://github.com/Azure-Samples/azure-event-grid-viewer/issues/9
    """
    subject = document.get("subject")
    head, blobs, plain = subject.partition("/blobs/") if isinstance(subject, str) else ("", "", "")
    container = head.rpartition("/containers/")[2]
    url = data.get("url")
    if isinstance(url, str) and container:
        _, found, encoded = url.partition("://")[2].partition(f"/{container}/")
        if found and encoded:
            return percent_decode(encoded)
    if not blobs or not plain:
        raise ValueError("the blob event names no blob: neither data.url nor subject has it")
    return plain
