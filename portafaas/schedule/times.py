"""The instants of a schedule. Written apart from ``portafaas.runtime.cron``, to compare the two.

Works on stretches of UTC with one offset, so that skipped local times never come up, and finds
repeated local times by the length of the last turn back of the clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from portafaas.schedule.parse import Schedule

_DAY = 86400
_FIRST_YEAR, _LAST_YEAR = 1973, 9900
_EPOCH = date(1970, 1, 1).toordinal()


class Change(NamedTuple):
    """The clock changes at *at* (seconds since 1970) from *before* to *after* (seconds east)."""

    at: int
    before: int
    after: int


def fire_times(schedule: Schedule, start: datetime, count: int) -> list[datetime]:
    """See :meth:`Schedule.fire_times`."""
    if count < 0:
        raise ValueError(f"count is {count}, not 0 or more")
    return list(islice(instants(schedule, start), count))


def matches(schedule: Schedule, instant: datetime) -> bool:
    """See :meth:`Schedule.matches`."""
    _check(instant)
    minute = instant.astimezone(UTC).replace(second=0, microsecond=0)
    return next(instants(schedule, minute)) == minute if _may(schedule, minute) else False


def instants(schedule: Schedule, start: datetime) -> Iterator[datetime]:
    """Every instant at or after *start*, UTC, ascending, to the year 9900."""
    _check(start)
    zone = zone_of(schedule.timezone)
    first = start.astimezone(UTC)
    if first.second or first.microsecond:
        first = first.replace(second=0, microsecond=0) + timedelta(minutes=1)
    since = int(first.timestamp())
    clock = [3600 * hour + 60 * minute for hour in schedule.hours for minute in schedule.minutes]
    day = first.date()
    while day.year < _LAST_YEAR:
        around = [day + timedelta(days=shift) for shift in (-1, 0, 1)]
        if not any(near.month in schedule.months for near in around):
            # The first local date that can match is tomorrow of the day to go on with.
            day = _month_after(around[2]) - timedelta(days=1)
            continue
        if dates := [near for near in around if _date_matches(schedule, near)]:
            begin = (day.toordinal() - _EPOCH) * _DAY
            for low, high, offset, repeated_until in _stretches(zone, begin):
                for near in dates:
                    midnight = (near.toordinal() - _EPOCH) * _DAY - offset
                    if midnight + _DAY <= low or midnight >= high:
                        continue
                    for seconds in clock:
                        moment = midnight + seconds
                        if not low <= moment < high or moment < since:
                            continue
                        if moment >= repeated_until or schedule.real_time:
                            yield datetime.fromtimestamp(moment, UTC)
        day += timedelta(days=1)


def zone_of(name: str) -> ZoneInfo:
    """The zone, from the same data as the shipped gate."""
    from portafaas.runtime.cron import load_zone, zones

    return zones.get(name) or load_zone(name)


def changes(zone: ZoneInfo, begin: int, end: int, step: int) -> list[Change]:
    """Changes of the offset between two times, if none lasts less than *step* seconds."""
    found = []
    before = _offset(zone, begin)
    for low in range(begin, end, step):
        high = min(low + step, end)
        after = _offset(zone, high)
        if after != before:
            at, top = low, high  # at has the old offset, top the new one
            while top - at > 60:
                middle = (at + top) // 120 * 60
                at, top = (middle, top) if _offset(zone, middle) == before else (at, middle)
            found.append(Change(top, before, after))
        before = after
    return found


def _check(instant: datetime) -> None:
    if instant.utcoffset() is None:
        raise ValueError(f"{instant} has no time zone")
    if instant.astimezone(UTC).year < _FIRST_YEAR:
        raise ValueError(f"{instant} is before {_FIRST_YEAR}, when zones had offsets with seconds")


def _may(schedule: Schedule, minute: datetime) -> bool:
    """Whether the fields match, whatever the fold: spares a search for the next instant."""
    local = minute.astimezone(zone_of(schedule.timezone))
    return (
        local.minute in schedule.minutes
        and local.hour in schedule.hours
        and _date_matches(schedule, local.date())
    )


def _date_matches(schedule: Schedule, day: date) -> bool:
    return (
        day.month in schedule.months
        and day.day in schedule.days
        and day.isoweekday() % 7 in schedule.weekdays
    )


def _stretches(zone: ZoneInfo, begin: int) -> Iterator[tuple[int, int, int, int]]:
    """The UTC day from *begin* as (from, to, offset, end of the repeated local times)."""
    low, offset, repeated_until = begin, _offset(zone, begin - _DAY), 0
    # From the day before: its last local times may be repeated in this one.
    for change in changes(zone, begin - _DAY, begin + _DAY, _DAY):
        if change.at >= begin + _DAY:
            break
        if change.at > begin:
            yield low, change.at, offset, repeated_until
            low = change.at
        offset = change.after
        repeated_until = change.at + max(0, change.before - change.after)
    yield low, begin + _DAY, offset, repeated_until


def _offset(zone: ZoneInfo, moment: int) -> int:
    offset = datetime.fromtimestamp(moment, zone).utcoffset()
    assert offset is not None
    return offset.days * _DAY + offset.seconds


def _month_after(day: date) -> date:
    return date(day.year + day.month // 12, day.month % 12 + 1, 1)
