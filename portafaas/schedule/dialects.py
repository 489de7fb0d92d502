"""When each platform fires, after its own documents: the other side of the proof.

Shares nothing with the parser and the lowering. Every function raises ValueError for an expression
the platform would refuse.

- EventBridge Scheduler: https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
  Six fields; one of the day fields is ``?``; days of the week 1-7 from Sunday. Local times that do
  not exist are skipped; repeated ones fire once.
- NCRONTAB: CrontabSchedule.cs and CrontabFieldImpl.cs of https://github.com/atifaziz/NCrontab
  Six fields, seconds first; days of the week 0-6 from Sunday; a day must match both day fields.
- Cloud Scheduler: https://cloud.google.com/scheduler/docs/configuring/cron-job-schedules
  Five fields; days of the week 0-7; if both day fields are restricted, a day may match either. What
  happens to skipped and repeated local times is not documented: the caller chooses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING

from portafaas.schedule.times import zone_of

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

_YEAR = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split()
_MONTHS = {name: number for number, name in enumerate(_YEAR, 1)}
_WEEK = "SUN MON TUE WED THU FRI SAT".split()
_LAST_YEAR = 9000


def eventbridge_times(
    expression: str, timezone: str, start: datetime, count: int, *, repeated: str = "first"
) -> list[datetime]:
    """The first *count* firings at or after *start* of ``cron(...)`` in *timezone*, UTC.

    *repeated* says which of two equal local times fires, ``first`` or ``second``: the document
    only says that it is one.
    """
    return list(islice(eventbridge(expression, timezone, start, repeated), count))


def ncrontab_times(expression: str, start: datetime, count: int) -> list[datetime]:
    """The first *count* firings at or after *start* of an NCRONTAB expression on a UTC host."""
    return list(islice(ncrontab(expression, start), count))


def cloud_scheduler_times(
    cron: str,
    timezone: str,
    start: datetime,
    count: int,
    *,
    repeated: str = "both",
    skipped: str = "later",
) -> list[datetime]:
    """The first *count* firings at or after *start* of a Cloud Scheduler job, UTC.

    *repeated* is ``first``, ``second`` or ``both``; *skipped* is ``never`` or ``later`` (by the
    length of the gap).
    """
    return list(islice(cloud_scheduler(cron, timezone, start, repeated, skipped), count))


def eventbridge(
    expression: str, timezone: str, start: datetime, repeated: str = "first"
) -> Iterator[datetime]:
    """As :func:`eventbridge_times`, without end."""
    if not (expression.startswith("cron(") and expression.endswith(")")):
        raise ValueError(f"{expression!r} is not cron(...)")
    parts = expression[5:-1].split(" ")
    if len(parts) != 6 or (parts[2] == "?") == (parts[4] == "?"):
        raise ValueError(f"{expression!r} needs six fields and '?' in one day field")
    if len(expression) > 256:
        raise ValueError("ScheduleExpression has at most 256 characters")
    minutes, hours = _set(parts[0], 0, 59), _set(parts[1], 0, 23)
    days = None if parts[2] == "?" else _set(parts[2], 1, 31)
    months = _set(parts[3], 1, 12, _MONTHS)
    names = {name: number for number, name in enumerate(_WEEK, 1)}
    week = None if parts[4] == "?" else _set(parts[4], 1, 7, names)
    years = _set(parts[5], 1970, 2199) if parts[5] != "*" else None

    def on(day: date) -> bool:
        return (
            (years is None or day.year in years)
            and day.month in months
            and (days is None or day.day in days)
            and (week is None or day.isoweekday() % 7 + 1 in week)
        )

    return _wall_clock(on, months, hours, minutes, timezone, start, repeated, "never")


def ncrontab(expression: str, start: datetime) -> Iterator[datetime]:
    """As :func:`ncrontab_times`, without end."""
    parts = expression.split(" ")
    if len(parts) != 6:
        raise ValueError(f"{expression!r} needs six fields, seconds first")
    if _set(parts[0], 0, 59) != {0}:
        raise ValueError(f"{expression!r}: only second 0 is evaluated here")
    minutes, hours = _set(parts[1], 0, 59), _set(parts[2], 0, 23)
    days, months = _set(parts[3], 1, 31), _set(parts[4], 1, 12, _MONTHS)
    week = _set(parts[5], 0, 6, {name: number for number, name in enumerate(_WEEK)})

    def on(day: date) -> bool:
        return day.month in months and day.day in days and day.isoweekday() % 7 in week

    return _wall_clock(on, months, hours, minutes, "UTC", start, "first", "never")


def cloud_scheduler(
    cron: str, timezone: str, start: datetime, repeated: str = "both", skipped: str = "later"
) -> Iterator[datetime]:
    """As :func:`cloud_scheduler_times`, without end."""
    parts = cron.split(" ")
    if len(parts) != 5:
        raise ValueError(f"{cron!r} needs five fields")
    minutes, hours = _set(parts[0], 0, 59), _set(parts[1], 0, 23)
    days, months = _set(parts[2], 1, 31), _set(parts[3], 1, 12, _MONTHS)
    week = {n % 7 for n in _set(parts[4], 0, 7, {name: n for n, name in enumerate(_WEEK)})}
    either = parts[2] != "*" and parts[4] != "*"

    def on(day: date) -> bool:
        in_month, in_week = day.day in days, day.isoweekday() % 7 in week
        return day.month in months and (in_month or in_week if either else in_month and in_week)

    return _wall_clock(on, months, hours, minutes, timezone, start, repeated, skipped)


def _set(text: str, low: int, high: int, names: dict[str, int] | None = None) -> set[int]:
    found: set[int] = set()
    for item in text.split(","):
        span, slash, step = item.partition("/")
        if span == "*":
            first, last = low, high
        else:
            ends = [
                (names or {}).get(end.upper()) if end.isalpha() else int(end)
                for end in span.split("-")
            ]
            if len(ends) > 2 or None in ends:
                raise ValueError(f"{item!r} is not a value or a range")
            first = ends[0] or 0
            last = (ends[1] or 0) if len(ends) == 2 else high if slash else first
        if not low <= first <= last <= high:
            raise ValueError(f"{item!r} is not within {low}-{high}")
        found.update(range(first, last + 1, int(step) if slash else 1))
    return found


def _wall_clock(
    on: Callable[[date], bool],
    months: set[int],
    hours: set[int],
    minutes: set[int],
    timezone: str,
    start: datetime,
    repeated: str,
    skipped: str,
) -> Iterator[datetime]:
    """Local dates and times one after the other, each looked up in the zone."""
    zone = zone_of(timezone)
    times = [(hour, minute) for hour in sorted(hours) for minute in sorted(minutes)]
    since = start.timestamp()
    day = start.astimezone(zone).date() - timedelta(days=1)
    pending: list[float] = []
    while day.year < _LAST_YEAR:
        if day.month not in months and not pending:
            day = (day.replace(day=28) + timedelta(days=4)).replace(day=1)
            continue
        if on(day):
            noon = datetime(day.year, day.month, day.day, 12)
            before, after = (
                (noon + timedelta(days=shift)).replace(tzinfo=zone).utcoffset() for shift in (-1, 1)
            )
            if before == after and before is not None:
                midnight = datetime(day.year, day.month, day.day, tzinfo=UTC) - before
                begin = midnight.timestamp()
                pending += [begin + 3600 * hour + 60 * minute for hour, minute in times]
            else:
                for hour, minute in times:
                    naive = noon.replace(hour=hour, minute=minute)
                    pending += _readings(naive, zone, repeated, skipped)
        if pending:
            # Local dates overlap in real time where a clock is turned back over midnight.
            limit = datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() - 86400
            pending.sort()
            for moment in pending:
                if since <= moment < limit:
                    yield datetime.fromtimestamp(moment, UTC)
            pending = [moment for moment in pending if moment >= limit]
        day += timedelta(days=1)


def _readings(naive: datetime, zone: ZoneInfo, repeated: str, skipped: str) -> list[float]:
    """Instants a platform takes a local time for, on a day when clocks may change."""
    early = naive.replace(tzinfo=zone, fold=0).timestamp()
    late = naive.replace(tzinfo=zone, fold=1).timestamp()
    if early == late:
        return [early]
    if early < late:
        return {"first": [early], "second": [late], "both": [early, late]}[repeated]
    return [early] if skipped == "later" else []  # fold=0 in a gap counts on from before it
