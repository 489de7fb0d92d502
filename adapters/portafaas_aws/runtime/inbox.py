"""A queue of SQS in front of a function whose source is none: topics, objects, schedules. Ships.

The queue gives them what queues have: exact delays, attempts that are counted, dead letters.
"""

from __future__ import annotations

from portafaas_aws.runtime import sqs
from portafaas_aws.runtime.settlement import Settlement, refused
from portafaas_aws.runtime.start import context_of, read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from portafaas.runtime.event import Event
    from portafaas.runtime.function import Function


def run(
    function: Function,
    records: Iterable[dict[str, Any]],
    context: Any,
    events_of: Callable[[Function, dict[str, Any]], Iterable[Event]],
) -> dict[str, list[dict[str, str]]]:
    """Hand the events of each SQS record to the handler; return the answer for Lambda.

    A record that cannot be read is a dead letter.
    """
    from portafaas.runtime.deliver import run_event

    failed: list[str] = []
    for record in records:
        settlement = Settlement(function, record)
        try:
            sent = read(sqs.sent_at, record)
            events = read(events_of, function, record)
        except ValueError as exc:
            if not refused(function, record, context, exc, settlement):
                failed.append(record["messageId"])
            continue
        for event in events:
            control = event.control
            if sent is not None and (control is None or "pf-sent" not in control):
                # What an event is about may be older than the event, and is when it was redriven.
                event.control = {**(control or {}), "pf-sent": sent}
            trace = event.attributes.get("traceparent")
            neutral = context_of(function, context, event.attempt, trace)
            try:
                run_event(function, event, neutral, settlement)
            except Exception:
                failed.append(str(record.get("messageId")))
                break
    return sqs.failures(failed)


def payload(record: dict[str, Any]) -> Any:
    """Return the JSON in the body of an SQS record; raises ValueError when it is none."""
    import json

    text = record.get("body")
    if not isinstance(text, str):
        raise ValueError(f"the message's body is {type(text).__name__!r}, not text")
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("the message's body is nested too deeply") from None


def is_queued(event: Any) -> bool:
    """Tell whether *event* has records of SQS."""
    records = event.get("Records") if isinstance(event, dict) else None
    if not isinstance(records, list) or not records or not isinstance(records[0], dict):
        return False
    return bool(records[0].get("eventSource") == "aws:sqs")


def control_of(record: dict[str, Any]) -> dict[str, str] | None:
    """Return portafaas' own attributes of the message that *record* is."""
    attributes = sqs.attributes_of(record.get("messageAttributes"), "stringValue", "binaryValue")
    return sqs.split(sqs.unpacked(attributes))[1] if attributes else None
