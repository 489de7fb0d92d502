"""Schedules of the manifest: one cron dialect, and what each platform is programmed with for it.

``docs/spec/schedule.md`` has the rules. Names load on first use; importing the package is free::

    schedule = parse_cron("30 2 * * MON-FRI", "Europe/Berlin")
    schedule.fire_times(datetime(2026, 3, 1, tzinfo=UTC), 3)
    to_eventbridge(schedule)        # ("cron(...)", time zone)
    to_ncrontab(schedule)           # six fields, UTC
    to_cloud_scheduler(schedule)    # (five fields, time zone)
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from portafaas.schedule.lowering import to_cloud_scheduler as to_cloud_scheduler
    from portafaas.schedule.lowering import to_eventbridge as to_eventbridge
    from portafaas.schedule.lowering import to_ncrontab as to_ncrontab
    from portafaas.schedule.parse import Schedule as Schedule
    from portafaas.schedule.parse import ScheduleError as ScheduleError
    from portafaas.schedule.parse import parse_cron as parse_cron

_HOME = {
    "Schedule": "parse",
    "ScheduleError": "parse",
    "parse_cron": "parse",
    "to_cloud_scheduler": "lowering",
    "to_eventbridge": "lowering",
    "to_ncrontab": "lowering",
}

__all__ = [
    "Schedule",
    "ScheduleError",
    "parse_cron",
    "to_cloud_scheduler",
    "to_eventbridge",
    "to_ncrontab",
]


def __getattr__(name: str) -> Any:
    """Import the module that holds *name* and remember the value."""
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value
