"""When the schedules of an application fire."""

from __future__ import annotations

from collections.abc import Callable

from portafaas.plan import BuildPlan, FunctionPlan, ScheduleTrigger


def fires_after(function: FunctionPlan, moment: float) -> float:
    """Return when a schedule fires next at or after *moment*, in seconds since 1970."""
    from datetime import UTC, datetime

    from portafaas.schedule import parse_cron

    trigger = function.trigger
    assert isinstance(trigger, ScheduleTrigger)
    start = datetime.fromtimestamp(moment, UTC)
    found = parse_cron(trigger.cron, trigger.timezone).fire_times(start, 1)
    # A cron expression of no day at all, 30 February, never fires.
    return found[0].timestamp() if found else float("inf")


class Schedules:
    """When each schedule fires next, from now on by the clock *now*."""

    def __init__(self, plan: BuildPlan, now: Callable[[], float]) -> None:
        self._now = now
        self._functions = [f for f in plan.functions if isinstance(f.trigger, ScheduleTrigger)]
        self._next = {f.name: fires_after(f, now()) for f in self._functions}

    def next(self) -> float:
        """Return when the next one fires, in seconds since 1970; infinity for never."""
        return min(self._next.values(), default=float("inf"))

    def due(self) -> list[tuple[FunctionPlan, str]]:
        """Return the functions whose instant has come, and the instant."""
        from portafaas.runtime.text import epoch_time

        now, found = self._now(), []
        for function in self._functions:
            instant = self._next[function.name]
            if instant <= now:
                found.append((function, epoch_time(instant)))
                self._next[function.name] = fires_after(function, max(now, instant + 1.0))
        return found
