"""Checks and encodes what is sent to queues and topics. Ships; loaded with the first client.

The limits are the narrowest of the targets, so that what one takes all take:
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
https://learn.microsoft.com/azure/service-bus-messaging/service-bus-quotas
https://cloud.google.com/pubsub/quotas#resource_limits
"""

from __future__ import annotations

from portafaas.runtime.resources import Outgoing, ResourceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from portafaas.runtime.context import Context

#: Bytes of body and attributes: 256 KiB (Service Bus standard) less what platforms add.
MAX_MESSAGE = 256_000
#: Attributes of a message to a queue, ours included (SQS: 10, of which ``pf-encoding`` may be one).
MAX_ATTRIBUTES = 9
#: Bytes of one attribute's value (Pub/Sub).
MAX_VALUE = 1024
#: Characters of an attribute's name (all three: 256), of a key and of ``dedup`` (SQS: 128).
MAX_NAME = 256
MAX_KEY = 128
#: Seconds (SQS).
MAX_DELAY = 900
#: Seconds: what a queue keeps at most (SQS: 14 days).
MAX_TTL = 1_209_600

#: Takes out what is no character of XML: https://www.w3.org/TR/xml/#charsets
_NO_XML = dict.fromkeys((*range(9), 11, 12, *range(14, 32), 0xFFFE, 0xFFFF))
_NAME = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.")
#: Prefixes that a platform or portafaas has taken.
_TAKEN = ("aws.", "amazon.", "goog", "ce-", "pf-", "diagnostic-id")


def encode(value: Any) -> tuple[bytes, str]:
    """Return the bytes and the content type of bytes, str or a JSON value.

    Raises TypeError or ValueError for what has no JSON form, NaN among them.
    """
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value), "application/octet-stream"
    if isinstance(value, str):
        return value.encode("utf-8"), "text/plain; charset=utf-8"
    return to_json(value), "application/json"


def to_json(value: Any) -> bytes:
    """Return the JSON text of *value*; raises TypeError or ValueError when it has none."""
    import json

    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except RecursionError:
        raise ValueError("the value is nested too deeply") from None
    return text.encode("utf-8")


def checked_attributes(attributes: Mapping[str, str] | None) -> dict[str, str]:
    """Return a copy of a sender's *attributes*; raises TypeError or ValueError for bad ones."""
    found: dict[str, str] = {}
    if attributes is None:
        return found
    if not hasattr(attributes, "items"):
        raise TypeError(f"attributes are a mapping, not {type(attributes).__name__!r}")
    for name, value in attributes.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError(f"attribute {name!r}: names and values are text")
        if (
            not 0 < len(name) <= MAX_NAME
            or not _NAME.issuperset(name)
            or name[0] == "."
            or name[-1] == "."
            or ".." in name
        ):
            raise ValueError(
                f"attribute name {name!r} is not 1 to {MAX_NAME} letters, digits, '_', '-' and "
                "single '.' inside"
            )
        if name.lower().startswith(_TAKEN):
            raise ValueError(f"attribute name {name!r} is reserved")
        check_value(name, value)
        found[name] = value
    return found


def check_value(name: str, value: str) -> None:
    """Raise ValueError for a value that not all targets carry: empty, long, control characters."""
    size = len(value.encode("utf-8", "surrogatepass"))
    if not 0 < size <= MAX_VALUE:
        raise ValueError(f"attribute {name!r} has {size} bytes; 1 to {MAX_VALUE} are carried")
    # XML characters only: https://www.w3.org/TR/xml/#charsets
    if not value.isprintable() and any(
        char < " " or "\ud800" <= char <= "\udfff" or char in "\ufffe\uffff" for char in value
    ):
        raise ValueError(f"attribute {name!r} may not hold control characters")


def checked_key(client: Any, ordered: bool, key: str | None) -> str | None:
    """Return *key*; raises ValueError when it does not fit the queue or topic."""
    if key is None:
        if ordered:
            raise ValueError(f"{client!r} is ordered: give a key=, order holds within one key")
        return None
    if not ordered:
        raise ValueError(f"{client!r} is not ordered: it takes no key=; use an attribute")
    return _token("key", key)


def checked_dedup(dedup: str | None) -> str | None:
    """Return *dedup*; raises TypeError or ValueError for a bad one."""
    return None if dedup is None else _token("dedup", dedup)


def _token(what: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{what} must be text, not {type(value).__name__!r}")
    if (
        not 0 < len(value) <= MAX_KEY
        or not value.isascii()
        or not value.isprintable()
        or " " in value
    ):
        raise ValueError(f"{what} {value!r} is not 1 to {MAX_KEY} visible ASCII characters")
    return value


def checked_delay(client: Any, ordered: bool, delay: Any) -> int:
    """Return *delay*, whole seconds; raises TypeError or ValueError for a bad one."""
    if isinstance(delay, bool) or not isinstance(delay, int):
        raise TypeError(f"delay must be whole seconds, not {delay!r}")
    if not 0 <= delay <= MAX_DELAY:
        raise ValueError(f"delay {delay} s is not between 0 and {MAX_DELAY} s")
    if delay and ordered:
        # SQS takes a delay for a whole FIFO queue only (API_SendMessage).
        raise ValueError(f"{client!r} is ordered: its messages cannot be delayed one by one")
    return delay


def expiry(ttl: Any, delay: int) -> str:
    """Return when a message expires, in whole seconds since 1970."""
    if isinstance(ttl, bool) or not isinstance(ttl, int):
        raise TypeError(f"ttl must be whole seconds, not {ttl!r}")
    if not 0 < ttl <= MAX_TTL:
        raise ValueError(f"ttl {ttl} s is not between 1 and {MAX_TTL} s")
    from time import time

    return str(int(time()) + 1 + delay + ttl)


def check_size(message: Outgoing, client: Any) -> None:
    """Raise ValueError for a message that is larger than the smallest of the targets' limits.

    Where the queue or topic *client* has a ``claim-check``, its body is marked for the bucket.
    """
    size = _size(message)
    if size <= MAX_MESSAGE:
        return
    claims = "claims" in client._grant
    if claims:
        from portafaas.runtime.claims import claim

        claim(client, message)
        size -= _body_size(message.body)
    if size > MAX_MESSAGE:
        raise ValueError(
            f"the message has {size} bytes, attributes included; at most {MAX_MESSAGE}: "
            + (
                "attributes stay with it"
                if claims
                else "write the content to a bucket and send its key, or give the "
                f"{client.kind} a 'claim-check' in portafaas.yaml"
            )
        )


def _size(message: Outgoing) -> int:
    attributes = message.attributes
    return _body_size(message.body) + sum(
        len(name) + len(value.encode()) for name, value in attributes.items()
    )


def _body_size(body: bytes) -> int:
    size = len(body)
    if size > MAX_MESSAGE:
        return size
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        text = "\0"
    # SQS and SNS carry the characters of XML only.
    if not text.isprintable() and text.translate(_NO_XML) != text:
        size = (size + 2) // 3 * 4  # what base64 makes of it
    return size


def carry(context: Context, attributes: dict[str, str], prefix: str = "", most: int = 0) -> None:
    """Add the trace and the correlation id of this invocation, unless the sender has set them.

    Attributes ``traceparent``, ``tracestate``, ``correlationid``; with *prefix* ``ce-`` they are
    the extension attributes of a CloudEvent:
    https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/extensions/distributed-tracing.md
    ``tracestate`` gives way when there would be more than *most*: a trace goes on without it.
    """
    span = context.span
    attributes.setdefault(f"{prefix}correlationid", context.correlation_id)
    if f"{prefix}traceparent" in attributes:
        return
    attributes[f"{prefix}traceparent"] = span.header()
    if span.state and len(span.state) <= MAX_VALUE and not (most and len(attributes) >= most):
        attributes.setdefault(f"{prefix}tracestate", span.state)


def deposited(client: Any, messages: Sequence[Outgoing]) -> None:
    """Have long bodies of *messages* written to the bucket of the queue's or topic's claim check.

    Raises ResourceError when one cannot be; then nothing is to be sent.
    """
    if "claims" in client._grant:
        from portafaas.runtime.claims import deposit

        deposit(client._context, messages)


def outcome(
    context: Context,
    client: Any,
    messages: Sequence[Outgoing],
    failed: Sequence[tuple[int, str]],
) -> list[str]:
    """Return the ids of *messages*, or raise ResourceError naming those that *failed*."""
    if failed:
        index, reason = failed[0]
        text = f"{client!r} did not take {len(failed)} of {len(messages)} messages"
        raise ResourceError(
            f"{text}: number {index}: {reason}" if len(messages) > 1 else f"{text}: {reason}",
            retryable=True,
            failed=failed,
        )
    return [message.id for message in messages]
