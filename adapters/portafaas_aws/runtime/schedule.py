"""EventBridge Scheduler by way of SQS, and EventBridge's own rules, to schedule handlers. Ships.

https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-run-lambda-schedule.html
"""

from __future__ import annotations

from portafaas_aws.runtime import inbox, sqs
from portafaas_aws.runtime.start import context_of, load, records_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from portafaas.runtime.event import ScheduleEvent
    from portafaas.runtime.function import Function


def bind(function: Function) -> Callable[[Any, Any], dict[str, Any] | None]:
    """Return the Lambda handler of a schedule function.

    Records of SQS are answered with the ids that failed; else it raises what the handler raised,
    and Lambda invokes again. Instants the manifest does not name are dropped. A payload that is no
    JSON object, or whose time is no time, raises ValueError.
    """
    from portafaas.runtime.deliver import run_event

    load(function)

    def invoke(event: Any, context: Any) -> dict[str, Any] | None:
        if inbox.is_queued(event):
            return inbox.run(function, records_of(event, "aws:sqs"), context, queued)
        for found in events_of(function, event):
            run_event(function, found, context_of(function, context, found.attempt))
        return None

    return invoke


def queued(function: Function, record: dict[str, Any]) -> list[ScheduleEvent]:
    """Return the event in the body of an SQS record, none for an instant nobody planned."""
    found = events_of(function, inbox.payload(record))
    for event in found:
        # Scheduler's own attempts, which it replaces, were those to reach the queue.
        sqs.mark(event, record, inbox.control_of(record))
    return found


def events_of(function: Function, payload: Any) -> list[ScheduleEvent]:
    """Return the event of what Scheduler sends, none for an instant nobody planned."""
    from portafaas.runtime.event import ScheduleEvent
    from portafaas.runtime.text import epoch_time

    if not isinstance(payload, dict):
        kind = type(payload).__name__
        raise ValueError(f"a schedule's payload must be an object, not {kind!r}")
    moment = planned(function, payload)
    if moment is None:
        return []
    time = epoch_time(moment)
    return [
        ScheduleEvent(
            f"{function.name}@{time}",
            function.source,
            time=time,
            attempt=_attempt(payload),
            raw=payload,
        )
    ]


def planned(function: Function, event: dict[str, Any]) -> float | None:
    """Return the instant the schedule names, in seconds since 1970; None if it names none.

    Scheduler says which instant it stands for. A rule says when it fired, and a payload without
    ``time`` (a constant input) nothing at all: the instant is then the one just passed.
    """
    from portafaas.runtime.cron import nominal, should_fire

    cron, timezone = function.trigger["cron"], function.trigger["timezone"]
    text = event.get("time")
    if text is None:
        from time import time

        return nominal(cron, timezone, time())
    moment = _epoch(text)
    if event.get("detail-type") == "Scheduled Event":
        return nominal(cron, timezone, moment)
    return moment // 60 * 60 if should_fire(cron, timezone, moment) else None


def _epoch(text: Any) -> float:
    from datetime import datetime, timezone

    if not isinstance(text, str):
        raise ValueError(f"the schedule's time is {text!r}")
    try:
        # Python 3.10 does not know the Z.
        moment = datetime.fromisoformat(text[:-1] + "+00:00" if text[-1:] == "Z" else text)
    except ValueError:
        raise ValueError(f"the schedule's time is {text!r}") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)  # noqa: UP017 (Python 3.10)
    return moment.timestamp()


def _attempt(event: dict[str, Any]) -> int:
    try:
        return max(1, int(event.get("attempt", 1)))
    except (TypeError, ValueError):
        return 1
