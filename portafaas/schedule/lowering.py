"""What each platform is programmed with: a superset of the instants of a schedule.

The shipped gate (``portafaas.runtime.cron``) drops what is too much. A schedule that never meets a
change of its clock is given to AWS and Google in its own zone, where it fires exactly as wanted
whatever the platform does when clocks change. Every other schedule, and all on Azure, is given in
UTC, with the hours for every offset the zone has from 2024 to 2064.

Sources: https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html,
https://cloud.google.com/scheduler/docs/configuring/cron-job-schedules,
https://learn.microsoft.com/azure/azure-functions/functions-bindings-timer (time zones: not on
Linux Consumption and Flex Consumption), CrontabFieldImpl.cs of https://github.com/atifaziz/NCrontab
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from portafaas.schedule.times import Change, changes, zone_of

if TYPE_CHECKING:
    from portafaas.schedule.parse import Schedule

#: Years whose offsets count: fixed, so that one manifest always builds the same package.
SPAN = (2024, 2064)

_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")


def to_eventbridge(schedule: Schedule) -> tuple[str, str]:
    """For EventBridge Scheduler: ``("cron(minute hour dom month dow year)", time zone)``."""
    given = _portable(schedule)
    days = _field(given.days, 1, 31)
    weekdays = _field(given.weekdays, 0, 6, _DAYS)
    # Exactly one of the two must be "?"; at most one of ours is restricted.
    days, weekdays = ("?", weekdays) if weekdays != "*" else (days, "?")
    minutes, hours = _stepped(given.minutes, 60, "0"), _stepped(given.hours, 24, "0")
    months = _field(given.months, 1, 12)
    return f"cron({minutes} {hours} {days} {months} {weekdays} *)", given.timezone


def to_cloud_scheduler(schedule: Schedule) -> tuple[str, str]:
    """For Cloud Scheduler: ``("minute hour dom month dow", time zone)``."""
    given = _portable(schedule)
    zone = "Etc/UTC" if given.timezone == "UTC" else given.timezone
    return _five(given), zone


def to_ncrontab(schedule: Schedule) -> str:
    """For a timer of Azure Functions: ``"0 minute hour dom month dow"``, in UTC."""
    return f"0 {_five(in_utc(schedule))}"


def in_utc(schedule: Schedule) -> Schedule:
    """A schedule in UTC that fires at every instant of *schedule* from 2024 to 2064, and others."""
    minutes: set[int] = set()
    hours: set[int] = set()
    shifts: set[int] = set()
    for offset in offsets(schedule.timezone):
        for hour in schedule.hours:
            for minute in schedule.minutes:
                shift, rest = divmod(60 * hour + minute - offset, 1440)
                shifts.add(shift)
                hours.add(rest // 60)
                minutes.add(rest % 60)
    days, months = set(schedule.days), set(schedule.months)
    if shifts != {0} and len(days) < 31:
        dates = _shifted(schedule, shifts)
        days, months = {day for _, day in dates}, {month for month, _ in dates}
    elif shifts != {0}:
        months = {month for month, _ in _shifted(schedule, shifts)}
    weekdays = {(day + shift) % 7 for day in schedule.weekdays for shift in shifts}
    return replace(
        schedule,
        cron="",
        timezone="UTC",
        minutes=tuple(sorted(minutes)),
        hours=tuple(sorted(hours)),
        days=tuple(sorted(days)),
        months=tuple(sorted(months)),
        weekdays=tuple(sorted(weekdays)),
    )


@lru_cache(maxsize=64)
def clock_changes(timezone: str) -> tuple[Change, ...]:
    """Changes of the clock of the zone from 2024 to 2064."""
    begin, end = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) for year in SPAN)
    # The shortest stay is 6.96 days (Gaza, between Ramadan and a change of season).
    return tuple(changes(zone_of(timezone), begin, end, 6 * 86400))


def offsets(timezone: str) -> tuple[int, ...]:
    """Minutes east of UTC the zone has from 2024 to 2064, ascending."""
    found = {part for change in clock_changes(timezone) for part in (change.before, change.after)}
    if not found:
        start = datetime(SPAN[0], 1, 1, tzinfo=zone_of(timezone)).utcoffset()
        assert start is not None
        found = {round(start.total_seconds())}
    return tuple(sorted(seconds // 60 for seconds in found))


def meets_change(schedule: Schedule) -> bool:
    """Whether a local time of the schedule is skipped or repeated from 2024 to 2064."""
    for change in clock_changes(schedule.timezone):
        # Skipped: from the old reading of the clock to the new; repeated: the other way round.
        low, high = sorted((change.at + change.before, change.at + change.after))
        for reading in range(low, high, 60):
            local = datetime.fromtimestamp(reading, UTC)  # the reading, not an instant
            if (
                local.hour in schedule.hours
                and local.minute in schedule.minutes
                and local.day in schedule.days
                and local.month in schedule.months
                and local.isoweekday() % 7 in schedule.weekdays
            ):
                return True
    return False


def _portable(schedule: Schedule) -> Schedule:
    return in_utc(schedule) if meets_change(schedule) else schedule


def _shifted(schedule: Schedule, shifts: Iterable[int]) -> set[tuple[int, int]]:
    """(month, day) of every date of the schedule moved by *shifts*, in either kind of year."""
    found = set()
    for year in (2023, 2024):
        day = date(year, 1, 1)
        while day.year == year:
            if day.month in schedule.months and day.day in schedule.days:
                for shift in shifts:
                    moved = day + timedelta(days=shift)
                    found.add((moved.month, moved.day))
            day += timedelta(days=1)
    return found


def _five(schedule: Schedule) -> str:
    return " ".join(
        (
            _stepped(schedule.minutes, 60, "*"),
            _stepped(schedule.hours, 24, "*"),
            _field(schedule.days, 1, 31),
            _field(schedule.months, 1, 12),
            _field(schedule.weekdays, 0, 6),
        )
    )


def _stepped(values: tuple[int, ...], size: int, start: str) -> str:
    """As a step where the values are every n-th from 0; *start* is how the platform writes it."""
    if 2 < len(values) < size:
        step = values[1] - values[0]
        if values == tuple(range(0, size, step)):
            return f"{start}/{step}"
    return _field(values, 0, size - 1)


def _field(values: tuple[int, ...], low: int, high: int, names: tuple[str, ...] = ()) -> str:
    """``*``, or a list of single values and of ranges of three or more."""
    if len(values) == high - low + 1:
        return "*"
    text = [names[value - low] if names else str(value) for value in values]
    parts: list[str] = []
    begin = 0
    for index, value in enumerate(values):
        if index + 1 < len(values) and values[index + 1] == value + 1:
            continue
        if index - begin >= 2:
            parts.append(f"{text[begin]}-{text[index]}")
        else:
            parts.extend(text[begin : index + 1])
        begin = index + 1
    return ",".join(parts)
