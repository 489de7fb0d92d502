"""Reads SQS records and SNS envelopes. Ships; imports nothing.

https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from portafaas.runtime.event import Event


def body_of(text: Any, attributes: dict[str, str]) -> bytes:
    """Return the body as it was sent.

    SQS and SNS carry text only; the attribute ``pf-encoding: base64`` marks any other body.
    Raises ValueError for a body that is no text, or not the base64 it claims to be.
    """
    if not isinstance(text, str):
        raise ValueError(f"the message's body is {type(text).__name__!r}, not text")
    if attributes.get("pf-encoding") == "base64":
        from binascii import a2b_base64

        try:
            return a2b_base64(text)
        except ValueError as exc:
            raise ValueError(f"the message's body is not base64: {exc}") from None
    return text.encode()


def attributes_of(values: Any, text: str, binary: str) -> dict[str, str]:
    """Return message attributes as text; a binary one stays the base64 it travels as.

    *text* and *binary* name the members: ``stringValue`` and ``binaryValue`` in SQS records,
    ``Value`` for both in SNS. Raises ValueError for what is no object.
    """
    found: dict[str, str] = {}
    if values and not isinstance(values, dict):
        raise ValueError(f"the message's attributes are {type(values).__name__!r}, no object")
    for name, value in (values or {}).items():
        if isinstance(value, dict):
            content = value.get(text)
            found[name] = str(value.get(binary, "") if content is None else content)
    return found


def unpacked(attributes: dict[str, str]) -> dict[str, str]:
    """Return *attributes* with those in ``pf-attributes``: a JSON object of such as do not fit.

    Raises ValueError when it is none.
    """
    packed = attributes.get("pf-attributes")
    if packed is None:
        return attributes
    import json

    found = dict(attributes)
    for name, value in json.loads(packed).items():
        found[name] = str(value)
    return found


def split(attributes: dict[str, str]) -> tuple[dict[str, str], dict[str, str] | None]:
    """Return *attributes*, unpacked before, as the sender gave them, and portafaas' own."""
    for name in attributes:
        if name[:3] == "pf-":
            from portafaas.runtime import control

            return control.split(attributes)
    return attributes, None


def key_of(record: dict[str, Any], attributes: dict[str, str]) -> Any:
    """Return the ordering key: the message group, or what ``pf-key`` says that one stands for."""
    group = (record.get("attributes") or {}).get("MessageGroupId")
    return group if group is None else attributes.get("pf-key", group)


def attempt_of(record: dict[str, Any]) -> int:
    """Return how often SQS has delivered the message, this time included."""
    return int((record.get("attributes") or {}).get("ApproximateReceiveCount", 1))


def mark(event: Event, record: dict[str, Any], control: dict[str, str] | None) -> None:
    """Tell *event*, which *record* holds, how often it was delivered, and what is ours of it."""
    event.attempt = attempt_of(record)
    event.control = control
    if control is not None and "pf-attempt" in control:
        from portafaas.runtime.control import carried

        event.attempt += carried(control)


def sent_at(record: dict[str, Any]) -> str | None:
    """Return when the message was sent, RFC 3339 UTC; SQS has milliseconds since 1970."""
    stamp = (record.get("attributes") or {}).get("SentTimestamp")
    if stamp is None:
        return None
    from portafaas.runtime.text import epoch_time

    return epoch_time(int(stamp) / 1000)


def failures(ids: list[str]) -> dict[str, list[dict[str, str]]]:
    """Return the answer that has *ids* delivered again and all others deleted.

    The event source must have ``ReportBatchItemFailures``.
    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
    """
    return {"batchItemFailures": [{"itemIdentifier": id} for id in ids]}
