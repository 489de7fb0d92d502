"""What the platforms are programmed with, and the proof that the gate makes it right."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portafaas.runtime.cron import load_zone, should_fire
from portafaas.schedule import (
    ScheduleError,
    parse_cron,
    to_cloud_scheduler,
    to_eventbridge,
    to_ncrontab,
)
from portafaas.schedule.dialects import ncrontab
from portafaas.schedule.lowering import meets_change
from portafaas.schedule.parse import _zones
from portafaas.schedule.prove import prove

START = datetime(2026, 2, 1, tzinfo=UTC)

ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Pacific/Apia",
    "Africa/Casablanca",
    "America/Santiago",
    "Pacific/Chatham",
    "Asia/Gaza",
]

CORPUS = [
    "* * * * *",
    "*/5 * * * *",
    "*/7 * * * *",
    "0 * * * *",
    "30 * * * *",
    "7,37 * * * *",
    "59 * * * *",
    "0-10 * * * *",
    "0 0 * * *",
    "30 0 * * *",
    "0 1 * * *",
    "30 1 * * *",
    "59 1 * * *",
    "0 2 * * *",
    "15 2 * * *",
    "30 2 * * *",
    "59 2 * * *",
    "0 3 * * *",
    "30 3 * * *",
    "45 2,3 * * *",
    "0 9 * * *",
    "0 12 * * *",
    "59 23 * * *",
    "0 23 * * *",
    "0 0,12 * * *",
    "0 */2 * * *",
    "15 */6 * * *",
    "0 */5 * * *",
    "*/30 0-3 * * *",
    "*/15 1-2 * * *",
    "* 2 * * *",
    "0 0-22 * * *",
    "10,40 22-23 * * *",
    "0 9 * * MON-FRI",
    "30 9 * * 1-5",
    "0 2 * * SUN",
    "30 2 * * 0",
    "0 2 * * 7",
    "0 2 * * 6,0",
    "0 2 * * 5-7",
    "0 0 * * */2",
    "* * * * SUN",
    "0 * * * SUN",
    "*/20 1-3 * * SAT,SUN",
    "0 22 * * 1-5",
    "0 0 1 * *",
    "30 23 1 * *",
    "0 12 15 * *",
    "0 0 1,15 * *",
    "0 6 */10 * *",
    "30 1 25-31 * *",
    "30 2 1-14 * *",
    "0 0 31 * *",
    "0 12 30 * *",
    "0 12 29 2 *",
    "0 0 1 1 *",
    "59 23 31 12 *",
    "0 12 1 JAN,JUL *",
    "30 2 * MAR,OCT *",
    "30 1 * NOV *",
    "0 4 28 FEB *",
    "0 0 * 6 *",
    "0 0 1 3 *",
    "*/10 8-17 * * MON-FRI",
    "0-30/10 8-17 * * 1-5",
    "5 4 * * sun",
    "*/15 0-3 * 6-8 *",
    "0 8 * 9-11 WED",
]


def check(text: str, zone: str, start: datetime = START, count: int = 400) -> None:
    for target, proof in prove(parse_cron(text, zone), start, count).items():
        assert not proof["missing"] and not proof["extra"], (target, text, zone, proof)
        assert proof["wanted"] == count or proof["wanted"] > 8


@pytest.mark.parametrize("text", CORPUS)
def test_every_target_fires_as_wanted(text: str) -> None:
    """Both changes of a year at least, or of several for schedules that seldom fire."""
    _, _, day, month, weekday = text.split()
    count = 400 if (day, month) == ("*", "*") and weekday in ("*", "MON-FRI") else 60
    for zone in ZONES:
        check(text, zone, count=count)


@pytest.mark.parametrize(
    "text", ["30 2 * * SUN", "0 0 1 * *", "30 2 * MAR,OCT *", "0 12 29 2 *"]
)
def test_four_hundred_or_to_the_end_of_the_lowering(text: str) -> None:
    for zone in ("Europe/Berlin", "Australia/Lord_Howe"):
        check(text, zone)


@pytest.mark.parametrize("zone", ZONES[1:])
@pytest.mark.parametrize("text", ["* * * * *", "*/10 * * * *", "*/15 1-3 * * *", "* 0-3 * * SUN"])
def test_around_every_change_of_two_years(text: str, zone: str) -> None:
    from portafaas.schedule.lowering import clock_changes

    for change in clock_changes(zone):
        moment = datetime.fromtimestamp(change.at, UTC)
        if moment.year in (2026, 2027):
            check(text, zone, moment - timedelta(hours=6), 400)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(sorted(_zones())),
    st.lists(st.integers(0, 59), min_size=1, max_size=3),
    st.lists(st.integers(0, 23), min_size=1, max_size=3),
    st.sampled_from(["* * *", "* * MON", "1 * *", "28-31 * *", "* 3,10 *", "* 4,11 SUN"]),
    st.datetimes(datetime(2024, 1, 1), datetime(2040, 1, 1)),
)
def test_any_zone(
    zone: str, minutes: list[int], hours: list[int], days: str, start: datetime
) -> None:
    text = f"{','.join(map(str, minutes))} {','.join(map(str, hours))} {days}"
    check(text, zone, start.replace(tzinfo=UTC), 60)


def test_recorded_expressions(cron_cases: dict[str, Any]) -> None:
    texts = {case["expr"] for case in cron_cases["unix__croniter"]}
    texts |= {case["unix"] for case in cron_cases["conversions.derived"]["convert"]}
    proved = 0
    for text in sorted(texts):
        try:
            parse_cron(text)
        except ScheduleError:
            continue
        for zone in ("UTC", "Europe/Berlin", "Australia/Lord_Howe"):
            check(text, zone, count=40)
        proved += 1
    assert proved >= 60


@pytest.mark.parametrize(
    ("text", "zone", "eventbridge", "ncrontab_text", "cloud_scheduler"),
    [
        (
            "*/5 * * * *",
            "UTC",
            ("cron(0/5 * * * ? *)", "UTC"),
            "0 */5 * * * *",
            ("*/5 * * * *", "Etc/UTC"),
        ),
        (
            "0 9 * * MON-FRI",
            "Europe/Berlin",
            ("cron(0 9 ? * MON-FRI *)", "Europe/Berlin"),
            "0 0 7,8 * * 1-5",
            ("0 9 * * 1-5", "Europe/Berlin"),
        ),
        # Meets the changes of the clock: UTC everywhere.
        (
            "30 2 * * *",
            "Europe/Berlin",
            ("cron(30 0,1 * * ? *)", "UTC"),
            "0 30 0,1 * * *",
            ("30 0,1 * * *", "Etc/UTC"),
        ),
        # The clock changes in March and October only.
        (
            "30 2 * 6 *",
            "Europe/Berlin",
            ("cron(30 2 * 6 ? *)", "Europe/Berlin"),
            "0 30 0,1 * 6 *",
            ("30 2 * 6 *", "Europe/Berlin"),
        ),
        # Midnight of a Monday is Sunday in UTC; the quarter is Nepal's.
        (
            "0 0 * * 1",
            "Asia/Kathmandu",
            ("cron(0 0 ? * MON *)", "Asia/Kathmandu"),
            "0 15 18 * * 0",
            ("0 0 * * 1", "Asia/Kathmandu"),
        ),
        # The first of March is the last of February, in either kind of year.
        (
            "0 0 1 3 *",
            "Asia/Kathmandu",
            ("cron(0 0 1 3 ? *)", "Asia/Kathmandu"),
            "0 15 18 28,29 2 *",
            ("0 0 1 3 *", "Asia/Kathmandu"),
        ),
        # West of Greenwich: the last of a month is the first of the next.
        (
            "0 20 31 12 *",
            "America/New_York",
            ("cron(0 20 31 12 ? *)", "America/New_York"),
            "0 0 0,1 1 1 *",
            ("0 20 31 12 *", "America/New_York"),
        ),
        # Half an hour between the offsets.
        (
            "10 * * * *",
            "Australia/Lord_Howe",
            ("cron(10,40 * * * ? *)", "UTC"),
            "0 10,40 * * * *",
            ("10,40 * * * *", "Etc/UTC"),
        ),
        (
            "0 12 * * SUN,SAT",
            "UTC",
            ("cron(0 12 ? * SUN,SAT *)", "UTC"),
            "0 0 12 * * 0,6",
            ("0 12 * * 0,6", "Etc/UTC"),
        ),
        (
            "1,2,3,5 0-23 1-31 1-12 *",
            "UTC",
            ("cron(1-3,5 * * * ? *)", "UTC"),
            "0 1-3,5 * * * *",
            ("1-3,5 * * * *", "Etc/UTC"),
        ),
    ],
)
def test_texts(
    text: str,
    zone: str,
    eventbridge: tuple[str, str],
    ncrontab_text: str,
    cloud_scheduler: tuple[str, str],
) -> None:
    schedule = parse_cron(text, zone)
    assert to_eventbridge(schedule) == eventbridge
    assert to_ncrontab(schedule) == ncrontab_text
    assert to_cloud_scheduler(schedule) == cloud_scheduler


def test_the_superset_is_tight() -> None:
    """One delivery more for each other offset, and no more than that on plain days."""
    for text in ("0 9 * * *", "30 2 * * *", "0 9 * * MON-FRI", "0 0 * * *"):
        proof = prove(parse_cron(text, "Europe/Berlin"), START)["azure"]
        assert proof["deliveries"] <= 2 * proof["wanted"] + 2
    for text in ("* * * * *", "*/15 * * * *", "0 * * * *"):
        proof = prove(parse_cron(text, "Europe/Berlin"), START)["azure"]
        assert proof["deliveries"] == proof["wanted"] == 400
    proof = prove(parse_cron("0 9 * * *", "Asia/Kathmandu"), START)["azure"]
    assert proof["deliveries"] == proof["wanted"] == 400


def test_every_zone_has_offsets_of_quarters() -> None:
    """``nominal`` counts on it."""
    days = [START + timedelta(days=20 * step) for step in range(40)]
    for name in _zones():
        zone = load_zone(name)
        for day in days:
            offset = day.astimezone(zone).utcoffset()
            assert offset is not None and offset % timedelta(minutes=15) == timedelta(0), name


def test_schedules_that_never_meet_a_change() -> None:
    assert not meets_change(parse_cron("0 3 * * *", "Europe/Berlin"))
    assert meets_change(parse_cron("0 2 * * *", "Europe/Berlin"))
    assert not meets_change(parse_cron("30 2 * * MON", "Europe/Berlin"))
    assert not meets_change(parse_cron("* * * * *", "Asia/Kathmandu"))


def test_the_proof_can_fail() -> None:
    """An expression for summer only loses the winter, and the proof says so."""
    schedule = parse_cron("0 9 * * *", "Europe/Berlin")
    wanted = schedule.fire_times(START, 60)
    reached = [
        moment
        for moment in ncrontab_until("0 0 7 * * *", wanted[-1])
        if should_fire(schedule.cron, schedule.timezone, moment.timestamp())
    ]
    assert 0 < len(reached) < len(wanted)


def ncrontab_until(text: str, last: datetime) -> list[datetime]:
    found = []
    for moment in ncrontab(text, START):
        if moment > last:
            break
        found.append(moment)
    return found


@pytest.mark.parametrize("start", [datetime(2026, 1, 1), datetime(2023, 12, 31, tzinfo=UTC)])
def test_prove_refuses(start: datetime) -> None:
    with pytest.raises(ValueError):
        prove(parse_cron("* * * * *"), start)
