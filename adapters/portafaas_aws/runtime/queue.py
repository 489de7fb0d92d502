"""SQS to queue handlers. Ships.

https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
"""

from __future__ import annotations

from portafaas_aws.runtime import sqs
from portafaas_aws.runtime.settlement import Settlement, refused
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
    for a payload that is none of SQS (ValueError) and for a handler that cannot be loaded. One
    record that cannot be read is a dead letter, and no matter of the others.
    """
    from portafaas.runtime.deliver import run_messages

    load(function)
    settlement = Settlement(function)

    def invoke(event: Any, context: Any) -> dict[str, Any]:
        records = records_of(event, "aws:sqs")
        lost: list[str] = []
        try:
            messages = [read(message_of, function, record) for record in records]
        except ValueError:
            records, messages, lost = _readable(function, records, context, settlement)
            if not messages:
                return sqs.failures(lost)
        trace = messages[0].attributes.get("traceparent") if len(messages) == 1 else None
        neutral = context_of(function, context, messages[0].attempt, trace)
        failed = run_messages(function, messages, neutral, settlement)
        if not failed:
            return sqs.failures(lost)
        # The ids of handlers are the senders'.
        names = set(failed)
        lost += [
            record["messageId"]
            for record, message in zip(records, messages)  # noqa: B905 (Python 3.10)
            if message.id in names
        ]
        return sqs.failures(lost)

    return invoke


def _readable(
    function: Function, records: list[dict[str, Any]], context: Any, settlement: Settlement
) -> tuple[list[dict[str, Any]], list[Message], list[str]]:
    """Return the records that can be read, their messages, and SQS's ids of those that failed.

    In an ordered queue one that is no dead letter holds back the later ones of its group.
    """
    found: list[dict[str, Any]] = []
    messages: list[Message] = []
    failed: list[str] = []
    held: set[Any] = set()
    for record in records:
        group = sqs.key_of(record, {})
        if function.trigger.get("ordered") and group in held:
            failed.append(record["messageId"])
            continue
        try:
            message = read(message_of, function, record)
        except ValueError as exc:
            if not refused(function, record, context, exc, settlement):
                failed.append(record["messageId"])
                held.add(group)
        else:
            found.append(record)
            messages.append(message)
    return found, messages, failed


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
