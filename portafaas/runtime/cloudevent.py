"""A topic's message to the CloudEvent that it carries. Ships.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md
"""

from __future__ import annotations

from portafaas.runtime.event import CORE, Event, is_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any


def decode_data(body: bytes, content_type: str | None) -> Any:
    """Return *body* as event data: JSON types, str for ``text/*``, else bytes; None if empty.

    A body that does not fit its content type stays bytes, so that no message is ever undecodable.
    """
    if not body:
        return None
    try:
        if is_json(content_type):
            import json

            return json.loads(body)
        if content_type is not None and content_type.lower().startswith("text/"):
            return body.decode("utf-8")
    except (ValueError, RecursionError):
        return body
    return body


def event_from_message(
    body: bytes,
    attributes: Mapping[str, str],
    *,
    id: str,
    source: str,
    prefixes: tuple[str, ...] = ("ce-",),
    content_type: str | None = None,
    time: str | None = None,
    key: str | None = None,
    attempt: int = 1,
    raw: Any = None,
    control: Mapping[str, str] | None = None,
) -> Event:
    """Return the event that a topic's message carries.

    A body of type ``application/cloudevents+json`` is a structured event; attributes that begin
    with one of *prefixes* make a binary one; anything else is wrapped as an event of type
    ``portafaas.topic.message`` with the message's own id, *source* and *time*.
    """
    from portafaas.runtime.text import utc_time

    if control is not None:
        id = control.get("pf-id", id)
    plain: dict[str, str] = {}
    context: dict[str, Any] = {}
    for name, value in attributes.items():
        for prefix in prefixes:
            if name.startswith(prefix):
                context[name[len(prefix) :].lower()] = value
                break
        else:
            if name.lower() == "content-type":
                content_type = content_type or value
            else:
                plain[name] = value
    data: Any
    if content_type and content_type.lower().startswith("application/cloudevents+json"):
        import json

        try:
            context = json.loads(body)
        except RecursionError:
            raise ValueError("the structured CloudEvent is nested too deeply") from None
        if not isinstance(context, dict):
            raise ValueError("a structured CloudEvent must be a JSON object")
        encoded = context.pop("data_base64", None)
        data = context.pop("data", None)
        if encoded is not None:
            from binascii import a2b_base64

            if not isinstance(encoded, str):
                raise ValueError("data_base64 of a structured CloudEvent must be text")
            data = a2b_base64(encoded)
        context = _as_text(context)
        # Data beside the attributes is JSON unless they say otherwise.
        content_type = context.get("datacontenttype") or (
            "application/json" if data is not None and encoded is None else None
        )
    else:
        content_type = context.get("datacontenttype") or content_type
        data = decode_data(body, content_type)
    context.pop("specversion", None)
    return Event(
        str(context.pop("id", id)),
        context.pop("source", source),
        context.pop("type", "portafaas.topic.message"),
        data,
        subject=context.pop("subject", None),
        time=utc_time(context.pop("time", None)) or time,
        datacontenttype=context.pop("datacontenttype", None) or content_type,
        dataschema=context.pop("dataschema", None),
        extensions=context,
        attributes=plain,
        key=key,
        attempt=attempt,
        raw=raw,
        control=control,
    )


def _as_text(context: Mapping[str, Any]) -> dict[str, Any]:
    """Return context attributes in their string form, as a binary event has them.

    JSON may hold Boolean and Integer attributes, and null for an absent one:
    https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md#22-type-system-mapping
    """
    out = {}
    for name, value in context.items():
        if value is None:
            continue
        if isinstance(value, bool):
            value = "true" if value else "false"
        elif isinstance(value, int):
            value = str(value)
        elif not isinstance(value, str):
            raise ValueError(f"attribute {name!r} of a structured CloudEvent must be text")
        out[name] = value
    return out


def matches_filter(event: Event, wanted: Mapping[str, Iterable[str]]) -> bool:
    """Tell whether *event* passes a topic filter: every attribute equals one of its values.

    ``id source type subject`` and ``datacontenttype`` name context attributes; any other name is
    an extension attribute, or an attribute of the message.
    """
    for name, values in wanted.items():
        if name in CORE:
            value = getattr(event, name)
        else:
            value = event.extensions.get(name, event.attributes.get(name))
        if value not in values:
            return False
    return True
