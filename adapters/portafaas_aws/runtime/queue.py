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
    trigger = function.trigger
    visible: dict[str, str] = {}
    control: dict[str, str] | None = None
    try:
        id, text, system = record["messageId"], record["body"], record["attributes"]
        sent, count = system["SentTimestamp"], int(system["ApproximateReceiveCount"])
        values = record["messageAttributes"]
        if values:
            for name, value in values.items():
                content = value["stringValue"]
                if type(content) is not str:
                    return _read(function, record)
                if name[:3] != "pf-":
                    visible[name] = content
                elif name == "pf-id":
                    control = {name: content}
                else:
                    return _read(function, record)
        plain = text.isascii() and sent.isdigit() and type(id) is str
    except (AttributeError, LookupError, TypeError, ValueError):
        return _read(function, record)
    if not plain or trigger.get("ordered"):
        return _read(function, record)
    # Not by its constructor, which would cost as much as all of the above.
    message = Message.__new__(Message)
    message._text = text
    message._sent = sent
    message.id = id if control is None else control["pf-id"]
    message.attributes = visible
    message.key = None
    message.queue = trigger["queue"]
    message.attempt = count
    message.raw = record
    message.control = control
    return message


def _read(function: Function, record: dict[str, Any]) -> Message:
    """Return the message of any SQS record, however rare: not text of ASCII alone, say."""
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
