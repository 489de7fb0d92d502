"""Bridge of schedule functions: Cloud Scheduler jobs. Ships.

https://cloud.google.com/scheduler/docs/reference/rest/v1/projects.locations.jobs#httptarget
"""

from __future__ import annotations

from portafaas.runtime.event import ScheduleEvent
from portafaas.runtime.text import epoch_time
from portafaas_gcp.runtime.delivery import bind_event
from portafaas_gcp.runtime.settlement import Settlement

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from portafaas.runtime.context import Context
    from portafaas.runtime.function import Function
    from portafaas_gcp.runtime.delivery import Delivered

#: Attribute of a dead letter: the instant that the schedule named.
PLANNED = "pf-time"


def bind(function: Function) -> Callable[[Any], Any]:
    """Return the framework's entry function for a schedule function."""
    cron, timezone = function.trigger["cron"], function.trigger["timezone"]

    def read(environ: dict[str, Any], body: bytes, context: Context) -> Delivered | None:
        from portafaas.runtime.cron import nominal, should_fire

        planned = environ.get("HTTP_X_CLOUDSCHEDULER_SCHEDULETIME")
        if planned:
            moment = _epoch(planned)
            if not should_fire(cron, timezone, moment):
                return None
        else:
            from time import time

            found = nominal(cron, timezone, time())
            if found is None:
                return None
            moment = found
        text = epoch_time(moment // 60 * 60)
        event = ScheduleEvent(
            f"{function.name}@{text}", function.source, time=text, raw=context.raw
        )
        return event, Settlement(function, context, {"attributes": {PLANNED: text}})

    # Cloud Scheduler does not say how often it has tried.
    return bind_event(function, read, counted=False)


def _epoch(text: str) -> float:
    """Return the seconds since 1970 of an RFC 3339 time, whole seconds; raises ValueError."""
    from calendar import timegm
    from time import strptime

    from portafaas.runtime.text import utc_time

    try:
        return float(timegm(strptime((utc_time(text) or "")[:19], "%Y-%m-%dT%H:%M:%S")))
    except ValueError:
        raise ValueError(f"X-CloudScheduler-ScheduleTime {text!r} is not a time") from None
