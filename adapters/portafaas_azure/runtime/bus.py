"""Reads Service Bus messages as the Functions SDK hands them over. Ships."""

from __future__ import annotations

from portafaas.runtime.control import split

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Received:
    """The facts of an ``azure.functions.ServiceBusMessage``; raises ValueError for anything else.

    Attributes:
        id, body: message id, or sequence number without one (str), and bytes.
        attributes: application properties as text, without those that begin with ``pf-``.
        control: portafaas' own of those, or None; see ``portafaas.runtime.control``.
        attempt: the delivery count, from 1.
        time: when it was enqueued, RFC 3339 UTC with three fractional digits, or None.
        session, partition: session id and partition key, or None.
        content_type: or None.
    """

    __slots__ = (
        "attempt",
        "attributes",
        "body",
        "content_type",
        "control",
        "id",
        "partition",
        "session",
        "time",
    )

    def __init__(self, native: Any) -> None:
        try:
            # A sender need not give it one; the broker's number stays with a message.
            self.id = native.message_id or str(native.sequence_number or "")
            self.body: bytes = native.get_body()
            properties = native.application_properties or native.user_properties or {}
            # Without a count (older hosts) it is the first delivery.
            self.attempt: int = native.delivery_count or 1
            self.time = _utc(native.enqueued_time_utc)
            self.session: str | None = native.session_id or None
            self.partition: str | None = native.partition_key or None
            self.content_type: str | None = native.content_type or None
        except AttributeError as exc:
            raise ValueError(f"not a message of the Service Bus trigger: {exc}") from exc
        if not self.id:
            raise ValueError("the Service Bus message has neither a message id nor a number")
        plain = {
            name: value if isinstance(value, str) else _text(value)
            for name, value in properties.items()
            if value is not None
        }
        self.attributes: dict[str, str]
        self.control: dict[str, str] | None
        self.attributes, self.control = split(plain)


def _text(value: Any) -> str:
    # AMQP properties are typed; booleans as in JSON.
    if value is True or value is False:
        return "true" if value else "false"
    return str(value)


def _utc(moment: Any) -> str | None:
    """Return a datetime as text; the SDK gives UTC, or local time without a zone as UTC."""
    if moment is None:
        return None
    offset = moment.utcoffset()
    if offset:
        moment = moment - offset
    whole = moment.replace(tzinfo=None, microsecond=0).isoformat()
    return f"{whole}.{moment.microsecond // 1000:03d}Z"


def trace_parent(received: Received) -> str | None:
    """Return the sender's W3C trace context; ``Diagnostic-Id`` is what Azure's SDKs call it."""
    attributes = received.attributes
    return attributes.get("traceparent") or attributes.get("Diagnostic-Id")
