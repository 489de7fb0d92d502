"""What the bridges of queue, topic, object, table and schedule functions share. Ships.

The platform delivers an event by POST and takes any 2xx for done; everything else is delivered
again: 204 on success, 500 when the handler failed, 400 when the payload cannot be read. A payload
that never can be read is delivered until the subscription's dead-letter policy or retention ends
it, as a broken message would be on every broker. A failure that ``settlement`` has put off or
buried is a success.
https://cloud.google.com/pubsub/docs/push#receive_push
"""

from __future__ import annotations

from portafaas_gcp.runtime.bridge import context_of, publish, reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from portafaas.runtime.context import Context
    from portafaas.runtime.event import Event
    from portafaas.runtime.function import Function
    from portafaas_gcp.runtime.settlement import Settlement

    Delivered = tuple[Event, Settlement]

#: Event attributes, and the headers of a delivery, that are no CloudEvents context attributes.
_LEGACY = ("eventId", "eventType", "timestamp", "resource")


def open_delivery(environ: dict[str, Any], body: bytes) -> tuple[dict[str, Any], Any]:
    """Return a delivery's CloudEvents context attributes and its data.

    Knows binary and structured CloudEvents (Eventarc), the background events of 1st gen, and
    plain Pub/Sub pushes, which have no context attributes. Data is parsed JSON, or bytes for other
    content types. Raises ValueError for anything else.
    https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md
    """
    kind = (environ.get("CONTENT_TYPE") or "").partition(";")[0].strip().lower()
    if environ.get("HTTP_CE_TYPE"):
        from portafaas.runtime.text import percent_decode

        context: dict[str, Any] = {
            name[8:].lower(): percent_decode(value)
            for name, value in environ.items()
            if name.startswith("HTTP_CE_")
        }
        is_json = kind == "application/json" or kind.endswith("+json")
        return context, _json(body) if is_json else body
    document = _json(body)
    if not isinstance(document, dict):
        raise ValueError(f"the event must be a JSON object, not {type(document).__name__}")
    if kind == "application/cloudevents+json" or "specversion" in document:
        if "data_base64" in document:
            return document, decode_base64(document["data_base64"], "data_base64")
        return document, document.get("data")
    old = document.get("context", document)
    if isinstance(old, dict) and "eventType" in old and "data" in document:
        names = {"eventId": "id", "eventType": "type", "timestamp": "time", "resource": "source"}
        return {names[key]: old[key] for key in _LEGACY if key in old}, document["data"]
    return {}, document


def _json(body: bytes) -> Any:
    from json import loads

    try:
        return loads(body)
    except (ValueError, RecursionError) as exc:
        raise ValueError(f"the event is not valid JSON: {exc}") from exc


def decode_base64(text: Any, name: str) -> bytes:
    """Return the bytes of a base64 field; raises ValueError that names the field."""
    from binascii import a2b_base64

    if not isinstance(text, str):
        raise ValueError(f"{name} must be base64 text, not {type(text).__name__}")
    try:
        return a2b_base64(text.replace("-", "+").replace("_", "/"))
    except ValueError as exc:
        raise ValueError(f"{name} is not base64: {exc}") from exc


def traced(context: Context, attributes: dict[str, str]) -> None:
    """Prefer the trace the sender wrote on the message to the one of the delivery."""
    for name in ("traceparent", "ce-traceparent", "googclient_traceparent"):
        if name in attributes:
            context.trace_parent = attributes[name]
            return


def bind_delivery(
    function: Function, deliver: Callable[[dict[str, Any], bytes, Context], bool]
) -> Callable[[Any], Any]:
    """Return the framework's entry function around *deliver*.

    *deliver* takes the WSGI environment, the body and the context; it returns True when the event
    is done, and raises ValueError when it cannot be read.
    """

    def entry(request: Any) -> Any:
        if request.method != "POST":
            return reply(405, [("allow", "POST")])
        environ = request.environ
        context = context_of(function, request)
        try:
            return reply(204 if deliver(environ, request.get_data(), context) else 500)
        except ValueError as exc:
            context.logger.error("unreadable delivery: %s", exc)
            return reply(400, [("content-type", "text/plain; charset=utf-8")], str(exc).encode())

    return publish(entry, function.name.replace("-", "_"))


def has_dead_letters(function: Function) -> bool:
    """Tell whether the function was told where its dead letters go."""
    from os import environ

    return bool(environ.get(f"PORTAFAAS_DEAD_{function.name}".upper().replace("-", "_")))


def bind_event(
    function: Function,
    read: Callable[[dict[str, Any], bytes, Context], Delivered | None],
    counted: bool = True,
) -> Callable[[Any], Any]:
    """Return the entry function of a function that gets one event at a time.

    *read* returns the event and what can be done with its delivery, None for one that the function
    did not ask for, or raises ValueError. *counted*: the platform counts deliveries.
    """
    from portafaas.runtime.deliver import run_event

    # Where deliveries are not counted, only what can become a dead letter is tried here again.
    settled = counted or has_dead_letters(function)

    def deliver(environ: dict[str, Any], body: bytes, context: Context) -> bool:
        delivered = read(environ, body, context)
        if delivered is None:
            return True
        event = delivered[0]
        settlement = delivered[1] if settled else None
        context.attempt = event.attempt
        try:
            run_event(function, event, context, settlement, counted)
        except Exception:
            return False  # run_event has logged it
        return True

    return bind_delivery(function, deliver)
