"""SQS to queue handlers. Ships.

https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
"""

from __future__ import annotations

from portafaas.runtime.message import Message
from portafaas_aws.runtime import sqs
from portafaas_aws.runtime.settlement import Settlement
from portafaas_aws.runtime.start import context_of, load, read, records_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from portafaas.runtime.function import Function


def bind(function: Function) -> Callable[[Any, Any], dict[str, Any]]:
    """Return the Lambda handler of a queue function.

    It answers with SQS's ids of what failed. It raises, and SQS delivers the whole batch again,
    for a payload that is none of SQS (ValueError) and for a handler that cannot be loaded.
    """
    from portafaas.runtime.deliver import run_messages

    load(function)
    settlement = Settlement(function)

    def invoke(event: Any, context: Any) -> dict[str, Any]:
        records = records_of(event, "aws:sqs")
        messages = read(messages_of, function, records)
        trace = messages[0].attributes.get("traceparent") if len(messages) == 1 else None
        neutral = context_of(function, context, messages[0].attempt, trace)
        failed = run_messages(function, messages, neutral, settlement)
        if not failed:
            return sqs.failures(failed)
        # The ids of handlers are the senders'.
        names = set(failed)
        return sqs.failures(
            [
                record["messageId"]
                for record, message in zip(records, messages)  # noqa: B905 (Python 3.10)
                if message.id in names
            ]
        )

    return invoke


def messages_of(function: Function, records: list[dict[str, Any]]) -> list[Message]:
    """Return the messages of SQS records; raises ValueError as :func:`message_of`."""
    return [message_of(function, record) for record in records]


def message_of(function: Function, record: dict[str, Any]) -> Message:
    """Return the message of an SQS record; raises ValueError when it lacks its id or body."""
    id, text, system = record.get("messageId"), record.get("body"), record.get("attributes")
    trigger = function.trigger
    if (
        type(id) is not str
        or type(text) is not str
        or type(system) is not dict
        or trigger.get("ordered")
    ):
        return _read(function, record)
    visible: dict[str, str] = {}
    control: dict[str, str] | None = None
    values = record.get("messageAttributes")
    if values:
        for name, value in values.items():
            content = value.get("stringValue")
            if type(content) is not str:
                return _read(function, record)
            if name[:3] != "pf-":
                visible[name] = content
            elif name == "pf-id":
                control = {name: content}
                id = content
            else:
                return _read(function, record)
    stamp = system.get("SentTimestamp")
    if type(stamp) is not str or not stamp.isdigit():
        return _read(function, record)
    # Not by its constructor, which would cost as much as all of the above.
    message = Message.__new__(Message)
    message._text, message._sent = text, stamp
    if not text.isascii():
        message.body = text.encode()
    message.id = id
    message.attributes = visible
    message.key = None
    message.queue = trigger["queue"]
    message.attempt = int(system.get("ApproximateReceiveCount", 1))
    message.raw = record
    message.control = control
    return message


def _read(function: Function, record: dict[str, Any]) -> Message:
    """Return the message of any SQS record, however rare."""
    id = record.get("messageId")
    if not isinstance(id, str):
        raise ValueError("an SQS record has no messageId")
    attributes = sqs.unpacked(
        sqs.attributes_of(record.get("messageAttributes"), "stringValue", "binaryValue")
    )
    visible, control = sqs.split(attributes)
    key = None
    if function.trigger.get("ordered"):
        key = sqs.key_of(record, attributes)
        if key is not None and not isinstance(key, str):
            raise ValueError(f"an SQS record's MessageGroupId is {key!r}")
    return Message(
        id,
        sqs.body_of(record.get("body"), attributes),
        attributes=visible,
        key=key,
        queue=function.trigger["queue"],
        attempt=sqs.attempt_of(record),
        time=sqs.sent_at(record),
        raw=record,
        control=control,
    )
