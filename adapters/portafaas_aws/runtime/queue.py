"""SQS to queue handlers. Ships.

https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
"""

from __future__ import annotations

from portafaas_aws.runtime import sqs
from portafaas_aws.runtime.settlement import Settlement
from portafaas_aws.runtime.start import context_of, load, read, records_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from portafaas.runtime.function import Function
    from portafaas.runtime.message import Message


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
        messages = [read(message_of, function, record) for record in records]
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


def message_of(function: Function, record: dict[str, Any]) -> Message:
    """Return the message of an SQS record; raises ValueError when it lacks its id or body."""
    from portafaas.runtime.message import Message

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
