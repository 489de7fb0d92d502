"""SNS, with or without a queue in between, to topic handlers. Ships.

https://docs.aws.amazon.com/lambda/latest/dg/with-sns.html
https://docs.aws.amazon.com/sns/latest/dg/sns-sqs-as-subscriber.html

Three shapes arrive: SNS records, SQS records whose body is an SNS envelope, and SQS records of a
subscription with raw delivery. ``portafaas_aws.bindings`` binds the second one and says why.
"""

from __future__ import annotations

from portafaas_aws.runtime import inbox, sqs
from portafaas_aws.runtime.start import context_of, load, read, records_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from portafaas.runtime.event import Event
    from portafaas.runtime.function import Function


def bind(function: Function) -> Callable[[Any, Any], dict[str, Any] | None]:
    """Return the Lambda handler of a topic function.

    Records of SQS are answered with the ids that failed; SNS itself learns of a failure by the
    handler's exception. A payload of neither raises ValueError.
    """
    from portafaas.runtime.deliver import run_event

    load(function)

    def invoke(event: Any, context: Any) -> dict[str, Any] | None:
        records = records_of(event, "aws:sns", "aws:sqs")
        if "Sns" not in records[0]:
            return inbox.run(function, records, context, events_of)
        for record in records:
            found = read(event_of, function, record)
            trace = found.attributes.get("traceparent")
            run_event(function, found, context_of(function, context, found.attempt, trace))
        return None

    return invoke


def events_of(function: Function, record: dict[str, Any]) -> tuple[Event]:
    """Return the one event of a record."""
    return (event_of(function, record),)


def event_of(function: Function, record: dict[str, Any]) -> Event:
    """Return the event of an SNS or SQS record; raises ValueError when it is malformed."""
    from portafaas.runtime.cloudevent import event_from_message
    from portafaas.runtime.text import utc_time

    notification = record.get("Sns") or _envelope(record)
    copied = None
    if notification is not None:
        id, body = notification.get("MessageId"), notification.get("Message")
        attributes = sqs.attributes_of(notification.get("MessageAttributes"), "Value", "Value")
        time = utc_time(notification.get("Timestamp"))
        if record.get("messageAttributes"):
            # A copy of the envelope has its own.
            copied = inbox.control_of(record)
    else:
        id, body = record.get("messageId"), record.get("body")
        attributes = sqs.attributes_of(
            record.get("messageAttributes"), "stringValue", "binaryValue"
        )
        time = sqs.sent_at(record)
    if not isinstance(id, str):
        raise ValueError("a record of the topic has no message id")
    attributes = sqs.unpacked(attributes)
    visible, control = sqs.split(attributes)
    if copied:
        control = {**(control or {}), **copied}
    return event_from_message(
        sqs.body_of(body, attributes),
        visible,
        id=id,
        source=function.source,
        time=time,
        key=sqs.key_of(record, attributes),
        attempt=sqs.attempt_of(record),
        raw=record,
        control=control,
    )


def body_of(record: dict[str, Any]) -> bytes:
    """Return the body that was published; raises ValueError when it is none."""
    notification = record.get("Sns") or _envelope(record)
    if notification is not None:
        attributes = sqs.attributes_of(notification.get("MessageAttributes"), "Value", "Value")
        return sqs.body_of(notification.get("Message"), sqs.unpacked(attributes))
    attributes = sqs.attributes_of(record.get("messageAttributes"), "stringValue", "binaryValue")
    return sqs.body_of(record.get("body"), sqs.unpacked(attributes))


def _envelope(record: dict[str, Any]) -> dict[str, Any] | None:
    """Return the SNS notification in the body of an SQS record, or None for raw delivery."""
    text = record.get("body")
    # Sparing most bodies of raw deliveries the parser.
    if not isinstance(text, str) or '"TopicArn"' not in text or text[:1] != "{":
        return None
    import json

    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    is_notification = found.get("Type") == "Notification" and "TopicArn" in found
    return found if is_notification else None
