"""The schedule bridge: a timer trigger that fires too often, and the gate behind it. Ships."""

from __future__ import annotations

from portafaas.runtime.context import Context
from portafaas.runtime.event import ScheduleEvent
from portafaas.runtime.text import epoch_time
from portafaas_azure.runtime.run import Runner
from portafaas_azure.runtime.settlement import Settlement, settles

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

    from portafaas.runtime.function import Function


def bind(function: Function) -> Callable[[Any, Any], Awaitable[None]]:
    """Return the coroutine function that the worker calls."""
    runner = Runner(function)
    settled = settles(function)

    async def entry(native: Any, raw: Any) -> None:
        async with runner.slot():
            instant = planned(function, native)
            if instant is None:
                return
            time = epoch_time(instant)
            retries = getattr(getattr(raw, "retry_context", None), "retry_count", 0) or 0
            event = ScheduleEvent(
                f"{function.name}@{time}",
                function.source,
                time=time,
                attempt=retries + 1,
                raw=native,
            )
            context = Context(
                function, raw.invocation_id, target="azure", attempt=retries + 1, raw=raw
            )
            # Copies come by the queue of what comes again; only without one the host repeats.
            settlement = Settlement(function, context) if settled else None
            await runner.run_event(event, context, settlement)

    return entry


def bind_again(function: Function) -> Callable[[Any, Any], Awaitable[None]]:
    """Return the coroutine function for what comes again, by a queue."""
    runner = Runner(function)

    async def entry(native: Any, raw: Any) -> None:
        from portafaas_azure.runtime.again import deliver_again

        def made(document: Any, attempt: int) -> Any:
            time = document["time"]
            name = f"{function.name}@{time}"
            return ScheduleEvent(name, function.source, time=time, attempt=attempt)

        async with runner.slot():
            await deliver_again(runner, native, raw, made)

    return entry


def planned(function: Function, native: Any) -> float | None:
    """Return the instant the timer stands for, or None when the schedule does not name it.

    The host sends the status as the invocation before this one left it: ``Next`` is the instant
    that has come now. Without it (``useMonitor`` off, first run) the clock decides. Raises
    ValueError for anything but a timer.
    https://github.com/Azure/azure-webjobs-sdk-extensions/blob/dev/src/WebJobs.Extensions/Extensions/Timers/Listener/TimerListener.cs
    """
    from time import time

    from portafaas.runtime.cron import latest, nominal, should_fire

    trigger = function.trigger
    fields, timezone = trigger["cron"], trigger["timezone"]
    try:
        status = native.schedule_status or {}
        overdue = native.past_due
    except AttributeError as exc:
        raise ValueError(f"not a timer of the Functions host: {exc}") from exc
    instant = _epoch(status.get("Next"))
    if instant is None:
        return nominal(fields, timezone, time())
    if overdue:
        return latest(fields, timezone, instant, time())
    return instant // 60 * 60 if should_fire(fields, timezone, instant) else None


def _epoch(text: Any) -> float | None:
    """Return seconds since 1970 for .NET's round-trip format; None for its "no time" of year 1."""
    if not isinstance(text, str) or not text or text.startswith("0001-"):
        return None
    from datetime import datetime, timezone

    # Python 3.10 reads neither "Z" nor seven fractional digits.
    whole, dot, rest = text.partition(".")
    if dot:
        rest = rest.lstrip("0123456789")
    else:
        whole, rest = text[:19], text[19:]
    try:
        moment = datetime.fromisoformat(whole + ("+00:00" if rest == "Z" else rest))
    except ValueError as exc:
        raise ValueError(f"the timer's next occurrence {text!r} is not a time") from exc
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)  # noqa: UP017 (datetime.UTC is 3.11)
    return moment.timestamp()
