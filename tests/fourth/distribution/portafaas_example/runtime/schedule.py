"""Bridge of schedule functions. Ships."""

from __future__ import annotations

from portafaas.runtime.event import ScheduleEvent
from portafaas_example.runtime.common import bind_event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from portafaas.runtime.function import Function
    from portafaas_example.runtime.common import Entry


def bind(function: Function) -> Entry:
    """Return the entry of a schedule function."""
    cron, timezone = function.trigger["cron"], function.trigger["timezone"]

    def read(event: Mapping[str, Any]) -> ScheduleEvent | None:
        from calendar import timegm
        from time import strptime

        from portafaas.runtime.cron import should_fire

        time = event["tick"]["at"]
        moment = float(timegm(strptime(time[:19], "%Y-%m-%dT%H:%M:%S")))
        if not should_fire(cron, timezone, moment):
            return None
        return ScheduleEvent(
            f"{function.name}@{time}",
            function.source,
            time=time,
            attempt=event["attempt"],
            raw=event,
        )

    return bind_event(function, read)
