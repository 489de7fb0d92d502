"""The evaluators against what the platforms document."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from portafaas.schedule.dialects import cloud_scheduler_times, eventbridge_times, ncrontab_times

START = datetime(2026, 1, 1, tzinfo=UTC)


def text(times: list[datetime]) -> list[str]:
    return [time.strftime("%m-%dT%H:%M") for time in times]


def test_eventbridge() -> None:
    # 1 is Sunday. 4 January 2026 is one.
    assert text(eventbridge_times("cron(0 10 ? * 1 *)", "UTC", START, 2)) == [
        "01-04T10:00",
        "01-11T10:00",
    ]
    assert text(eventbridge_times("cron(5/25 8 1 * ? *)", "UTC", START, 3)) == [
        "01-01T08:05",
        "01-01T08:30",
        "01-01T08:55",
    ]
    assert text(eventbridge_times("cron(0 0 ? JAN MON-TUE 2027)", "UTC", START, 2)) == [
        "01-04T00:00",
        "01-05T00:00",
    ]
    berlin = "Europe/Berlin"
    march, october = datetime(2026, 3, 28, 12, tzinfo=UTC), datetime(2026, 10, 24, 12, tzinfo=UTC)
    daily = "cron(30 2 * * ? *)"
    assert text(eventbridge_times(daily, berlin, march, 1)) == ["03-30T00:30"]
    assert text(eventbridge_times(daily, berlin, october, 2)) == ["10-25T00:30", "10-26T01:30"]
    assert text(eventbridge_times(daily, berlin, october, 2, repeated="second")) == [
        "10-25T01:30",
        "10-26T01:30",
    ]


@pytest.mark.parametrize(
    "expression",
    [
        "0 10 * * ? *",
        "cron(0 10 * * *)",
        "cron(0 10 * * * *)",
        "cron(0 10 ? * ? *)",
        "cron(0 24 * * ? *)",
        "cron(0 10 ? * 0 *)",
        "cron(0 10 ? * 8 *)",
        "cron(0 10 ? * FRI-MON *)",
        "cron(1-2-3 10 * * ? *)",
        f"cron({','.join(str(n) for n in range(60))} {','.join(str(n) for n in range(24))} "
        f"{','.join(str(n) for n in range(1, 32))} * ? *)",
    ],
)
def test_eventbridge_refuses(expression: str) -> None:
    with pytest.raises(ValueError):
        eventbridge_times(expression, "UTC", START, 1)


def test_ncrontab() -> None:
    # Both day fields must match: Fridays the 13th.
    assert text(ncrontab_times("0 0 0 13 * 5", START, 2)) == ["02-13T00:00", "03-13T00:00"]
    assert text(ncrontab_times("0 */30 23 * Jan Sun", START, 2)) == ["01-04T23:00", "01-04T23:30"]


@pytest.mark.parametrize("expression", ["0 0 * * *", "0 0 0 * * 7", "0 0 0 * 0 *", "30 0 0 * * *"])
def test_ncrontab_refuses(expression: str) -> None:
    with pytest.raises(ValueError):
        ncrontab_times(expression, START, 1)


def test_cloud_scheduler() -> None:
    # Either day field may match: the 13th, and Fridays.
    assert text(cloud_scheduler_times("0 0 13 * 5", "Etc/UTC", START, 4)) == [
        "01-02T00:00",
        "01-09T00:00",
        "01-13T00:00",
        "01-16T00:00",
    ]
    assert cloud_scheduler_times("0 0 * * 7", "Etc/UTC", START, 3) == cloud_scheduler_times(
        "0 0 * * sun", "Etc/UTC", START, 3
    )
    start = datetime(2026, 3, 28, 12, tzinfo=UTC)
    daily = ("30 2 * * *", "Europe/Berlin", start, 1)
    assert text(cloud_scheduler_times(*daily)) == ["03-29T01:30"]
    assert text(cloud_scheduler_times(*daily, skipped="never")) == ["03-30T00:30"]
    start = datetime(2026, 10, 24, 12, tzinfo=UTC)
    assert text(cloud_scheduler_times("30 2 * * *", "Europe/Berlin", start, 2)) == [
        "10-25T00:30",
        "10-25T01:30",
    ]
    with pytest.raises(ValueError):
        cloud_scheduler_times("0 0 * *", "UTC", START, 1)


def test_recorded_conversions(cron_cases: dict[str, Any]) -> None:
    cases = cron_cases["conversions.derived"]["convert"]
    for case in cases:
        expected = [datetime.fromisoformat(time).replace(tzinfo=UTC) for time in case["next"]]
        start = datetime.fromisoformat(case["start"]).replace(tzinfo=UTC) + timedelta(minutes=1)
        count = len(expected)
        assert eventbridge_times(case["aws_eventbridge"], "UTC", start, count) == expected
        assert ncrontab_times(case["azure_ncrontab"], start, count) == expected
        assert cloud_scheduler_times(case["gcp_cloud_scheduler"], "UTC", start, count) == expected
    assert len(cases) > 20
