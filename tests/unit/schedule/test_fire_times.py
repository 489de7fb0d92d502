"""The instants of a schedule: against croniter in UTC, against tables where clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter
from hypothesis import given, settings
from hypothesis import strategies as st

from portafaas.runtime.cron import load_zone
from portafaas.schedule import ScheduleError, parse_cron


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def field(low: int, high: int) -> st.SearchStrategy[str]:
    value = st.integers(low, high)
    ordered = st.tuples(value, value).map(sorted)
    item = st.one_of(
        value.map(str),
        # Not a-a, which croniter alone reads as every value.
        ordered.filter(lambda pair: pair[0] < pair[1]).map(lambda pair: f"{pair[0]}-{pair[1]}"),
        st.builds(
            lambda pair, step: f"{pair[0]}-{pair[1]}/{step}",
            ordered.filter(lambda pair: pair[0] < pair[1]),
            st.integers(1, 5),
        ),
        st.integers(1, high - low - 1).map(lambda step: f"*/{step}"),
    )
    return st.one_of(st.just("*"), st.lists(item, min_size=1, max_size=3).map(",".join))


@st.composite
def crons(draw: st.DrawFn) -> str:
    day, weekday = draw(
        st.one_of(
            st.tuples(field(1, 31), st.just("*")),
            st.tuples(st.just("*"), field(0, 6)),
        )
    )
    return " ".join((draw(field(0, 59)), draw(field(0, 23)), day, draw(field(1, 12)), weekday))


@settings(max_examples=80, deadline=None)
@given(crons(), st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1)))
def test_same_as_croniter_in_utc(text: str, start: datetime) -> None:
    try:
        schedule = parse_cron(text)
    except ScheduleError as exc:
        assert "never fires" in exc.problems[0]
        return
    start = start.replace(tzinfo=UTC)
    # croniter begins after its start; ours at it.
    other = croniter(text, start - timedelta(microseconds=1), max_years_between_matches=50)
    expected = [other.get_next(datetime) for _ in range(12)]
    assert schedule.fire_times(start, 12) == expected
    assert all(schedule.matches(moment + timedelta(seconds=59)) for moment in expected)
    for before, after in pairwise(expected):
        if after - before > timedelta(minutes=1):
            assert not schedule.matches(before + timedelta(minutes=1))


# zone, fields, start (UTC), instants (UTC). Worked out by hand from the published changes.
TABLES = [
    # Berlin, 29 March 2026: 02:00 CET -> 03:00 CEST at 01:00 UTC. 02:30 is skipped.
    (
        "Europe/Berlin",
        "30 2 * * *",
        "2026-03-28T00:00",
        ["2026-03-28T01:30", "2026-03-30T00:30", "2026-03-31T00:30"],
    ),
    # 25 October 2026: 03:00 CEST -> 02:00 CET at 01:00 UTC. 02:30 fires the first time.
    (
        "Europe/Berlin",
        "30 2 * * *",
        "2026-10-24T00:00",
        ["2026-10-24T00:30", "2026-10-25T00:30", "2026-10-26T01:30"],
    ),
    # Only the minute is restricted: both hours.
    (
        "Europe/Berlin",
        "30 * * * *",
        "2026-10-25T00:00",
        ["2026-10-25T00:30", "2026-10-25T01:30", "2026-10-25T02:30"],
    ),
    # The hour is restricted, though to much: the repeated ones fire once.
    (
        "Europe/Berlin",
        "30 0-22 * * *",
        "2026-10-25T00:00",
        ["2026-10-25T00:30", "2026-10-25T02:30", "2026-10-25T03:30"],
    ),
    (
        "Europe/Berlin",
        "0 * * * SUN",
        "2026-10-24T23:00",
        ["2026-10-24T23:00", "2026-10-25T00:00", "2026-10-25T02:00"],
    ),
    # New York, 8 March 2026 at 07:00 UTC; 1 November 2026 at 06:00 UTC.
    (
        "America/New_York",
        "0,30 1,2,3 * * *",
        "2026-03-08T06:00",
        ["2026-03-08T06:00", "2026-03-08T06:30", "2026-03-08T07:00", "2026-03-08T07:30"],
    ),
    (
        "America/New_York",
        "0 1,2 * * *",
        "2026-11-01T00:00",
        ["2026-11-01T05:00", "2026-11-01T07:00", "2026-11-02T06:00"],
    ),
    # Lord Howe turns by half an hour: 5 April 2026 02:00 +11 -> 01:30 +10:30 at 15:00 UTC the 4th.
    (
        "Australia/Lord_Howe",
        "15,45 1 * * *",
        "2026-04-04T12:00",
        ["2026-04-04T14:15", "2026-04-04T14:45", "2026-04-05T14:45", "2026-04-05T15:15"],
    ),
    (
        "Australia/Lord_Howe",
        "15,45 * * * *",
        "2026-04-04T14:15",
        ["2026-04-04T14:15", "2026-04-04T14:45", "2026-04-04T15:15", "2026-04-04T15:45"],
    ),
    # 4 October 2026 02:00 +10:30 -> 02:30 +11 at 15:30 UTC the 3rd: 02:00-02:29 is skipped.
    (
        "Australia/Lord_Howe",
        "0,30 2 * * *",
        "2026-10-03T12:00",
        ["2026-10-03T15:30", "2026-10-04T15:00", "2026-10-04T15:30"],
    ),
    # Kathmandu, +5:45, no changes.
    (
        "Asia/Kathmandu",
        "0 0 1 * *",
        "2026-01-01T00:00",
        ["2026-01-31T18:15", "2026-02-28T18:15", "2026-03-31T18:15"],
    ),
    # Apia left out 30 December 2011 (10:00 UTC that day: -10 -> +14).
    (
        "Pacific/Apia",
        "0 12 * * *",
        "2011-12-29T00:00",
        ["2011-12-29T22:00", "2011-12-30T22:00", "2011-12-31T22:00"],
    ),
    ("Pacific/Apia", "0 12 30 12 *", "2011-12-01T00:00", ["2012-12-29T22:00"]),
    # Casablanca was on +1 but for Ramadan: 15 February 2026 03:00 +1 -> 02:00 +0 at 02:00 UTC,
    # 22 March 2026 02:00 +0 -> 03:00 +1 at 02:00 UTC.
    (
        "Africa/Casablanca",
        "30 2 * * *",
        "2026-02-14T00:00",
        ["2026-02-14T01:30", "2026-02-15T01:30", "2026-02-16T02:30"],
    ),
    (
        "Africa/Casablanca",
        "30 2 * * *",
        "2026-03-21T00:00",
        ["2026-03-21T02:30", "2026-03-23T01:30"],
    ),
    # 20 September 2026 02:00 +1 -> 01:00 +0 at 01:00 UTC, to stay.
    (
        "Africa/Casablanca",
        "30 1,2 * * *",
        "2026-09-19T12:00",
        ["2026-09-20T00:30", "2026-09-20T02:30", "2026-09-21T01:30"],
    ),
    # Santiago turns back over midnight: 5 April 2026 00:00 -03 -> 4 April 23:00 -04 at 03:00 UTC.
    (
        "America/Santiago",
        "30 0,23 * * *",
        "2026-04-04T12:00",
        ["2026-04-05T02:30", "2026-04-05T04:30", "2026-04-06T03:30"],
    ),
    # Havana forward over midnight: 8 March 2026 00:00 -> 01:00 at 05:00 UTC.
    (
        "America/Havana",
        "0 0 * * *",
        "2026-03-07T00:00",
        ["2026-03-07T05:00", "2026-03-09T04:00"],
    ),
]


@pytest.mark.parametrize(("zone", "text", "start", "expected"), TABLES)
def test_where_clocks_change(zone: str, text: str, start: str, expected: list[str]) -> None:
    schedule = parse_cron(text, zone)
    times = [at(moment) for moment in expected]
    assert schedule.fire_times(at(start), len(times)) == times
    assert all(schedule.matches(moment) for moment in times)


@pytest.mark.parametrize(
    "zone",
    ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "UTC"],
)
@pytest.mark.parametrize("text", ["*/20 1-3 * * *", "0 * * * *", "59 23 * * SUN", "* 2 28-31 * *"])
def test_four_hundred_match_every_minute_between(zone: str, text: str) -> None:
    """Minute by minute, the plain way, over days around both changes of 2026 and 2027."""
    schedule = parse_cron(text, zone)
    there = load_zone(zone)  # the same data: a system may have older rules
    for begin in ("2026-02-13", "2026-03-06", "2026-03-20", "2026-03-27", "2026-10-23"):
        start = at(begin)
        expected = []
        for minute in range(5 * 1440):
            moment = start + timedelta(minutes=minute)
            local = moment.astimezone(there)
            if (
                local.minute in schedule.minutes
                and local.hour in schedule.hours
                and local.day in schedule.days
                and local.isoweekday() % 7 in schedule.weekdays
                and (local.fold == 0 or schedule.real_time)
            ):
                expected.append(moment)
        assert schedule.fire_times(start, len(expected)) == expected
    times = schedule.fire_times(at("2026-01-01"), 400)
    assert len(times) == len(set(times)) == 400 and times == sorted(times)


def test_start_is_included_and_rounded_up() -> None:
    schedule = parse_cron("* * * * *")
    start = datetime(2026, 1, 1, tzinfo=UTC)
    assert schedule.fire_times(start, 1) == [start]
    assert schedule.fire_times(start + timedelta(microseconds=1), 1) == [
        start + timedelta(minutes=1)
    ]
    assert schedule.fire_times(start, 0) == []
    elsewhere = start.astimezone(ZoneInfo("Asia/Kathmandu"))
    (first,) = schedule.fire_times(elsewhere, 1)
    assert first == start and first.tzinfo is UTC


def test_a_repeated_hour_is_known_when_starting_inside_it() -> None:
    schedule = parse_cron("30 2 * * *", "Europe/Berlin")
    assert schedule.fire_times(at("2026-10-25T01:10"), 1) == [at("2026-10-26T01:30")]
    assert not schedule.matches(at("2026-10-25T01:30"))


def test_leap_days() -> None:
    times = parse_cron("0 12 29 2 *", "Europe/Berlin").fire_times(at("2026-01-01"), 20)
    assert [time.year for time in times] == [*range(2028, 2100, 4), 2104, 2108]


@pytest.mark.parametrize(
    ("start", "count"),
    [(datetime(2026, 1, 1), 1), (datetime(1972, 1, 1, tzinfo=UTC), 1), (at("2026-01-01"), -1)],
)
def test_refused_arguments(start: datetime, count: int) -> None:
    schedule = parse_cron("* * * * *")
    with pytest.raises(ValueError):
        schedule.fire_times(start, count)
    if count > 0:
        with pytest.raises(ValueError):
            schedule.matches(start)


def test_recorded_cases(cron_cases: dict[str, Any]) -> None:
    """croniter's own table, where it means what we mean: no zone, and fields we accept."""
    compared = 0
    for case in cron_cases["unix__croniter"]:
        try:
            schedule = parse_cron(case["expr"])
        except ScheduleError:
            continue
        # croniter alone reads SUN-SUN as every day.
        if case["tz"] is None and case["expr"][8:] not in ("Sun-Sun", "7-7", "0-0"):
            start = at(case["start"]) + timedelta(microseconds=1)
            expected = [at(moment) for moment in case["next"]]
            assert schedule.fire_times(start, len(expected)) == expected, case
            compared += 1
    for case in cron_cases["conversions.derived"]["convert"]:
        start = at(case["start"]) + timedelta(microseconds=1)
        expected = [at(moment) for moment in case["next"]]
        assert parse_cron(case["unix"]).fire_times(start, len(expected)) == expected
        compared += 1
    assert compared > 60
