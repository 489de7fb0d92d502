"""What a schedule may say, and what every refusal tells."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import FrozenInstanceError

import pytest

from portafaas.schedule import ScheduleError, parse_cron


def problems(text: str, timezone: str = "UTC") -> tuple[str, ...]:
    with pytest.raises(ScheduleError) as caught:
        parse_cron(text, timezone)
    assert isinstance(caught.value, ValueError)
    return caught.value.problems


def test_fields() -> None:
    schedule = parse_cron("  0,30-34/2  00-05  1,15 jan-MAR,12 *  ", "Europe/Berlin")
    assert schedule.cron == "0,30-34/2 00-05 1,15 jan-MAR,12 *"
    assert schedule.timezone == "Europe/Berlin"
    assert schedule.minutes == (0, 30, 32, 34)
    assert schedule.hours == (0, 1, 2, 3, 4, 5)
    assert schedule.days == (1, 15)
    assert schedule.months == (1, 2, 3, 12)
    assert schedule.weekdays == (0, 1, 2, 3, 4, 5, 6)
    assert not schedule.real_time


@pytest.mark.parametrize(
    ("text", "weekdays"),
    [
        ("0", (0,)),
        ("7", (0,)),
        ("SUN", (0,)),
        ("0,7", (0,)),
        ("5-7", (0, 5, 6)),
        ("FRI-SUN", (0, 5, 6)),
        ("sun-tue", (0, 1, 2)),
        ("1-7/2", (0, 1, 3, 5)),
        ("*/2", (0, 2, 4, 6)),
        ("0-7", (0, 1, 2, 3, 4, 5, 6)),
        ("Mon,3", (1, 3)),
    ],
)
def test_days_of_the_week(text: str, weekdays: tuple[int, ...]) -> None:
    assert parse_cron(f"0 0 * * {text}").weekdays == weekdays


@pytest.mark.parametrize(
    ("text", "real_time"),
    [
        ("* * * * *", True),
        ("7,9 * * * *", True),
        ("0 */1 */1 JAN-DEC 0-6", True),
        ("0 0-22 * * *", False),
        ("* * * * MON", False),
        ("* * 2-31 * *", False),
        ("* * * 1-11 *", False),
    ],
)
def test_real_time(text: str, real_time: bool) -> None:
    assert parse_cron(text).real_time is real_time


def test_every_name() -> None:
    months = "JAN,FEB,MAR,APR,MAY,JUN,JUL,AUG,SEP,OCT,NOV,DEC".split(",")
    weekdays = "sun,mon,tue,wed,thu,fri,sat".split(",")
    assert [parse_cron(f"0 0 1 {name} *").months for name in months] == [
        (number,) for number in range(1, 13)
    ]
    assert [parse_cron(f"0 0 * * {name}").weekdays for name in weekdays] == [
        (number,) for number in range(7)
    ]


def test_frozen() -> None:
    schedule = parse_cron("0 0 * * *")
    with pytest.raises(FrozenInstanceError):
        schedule.cron = "1 0 * * *"  # type: ignore[misc]
    assert schedule == parse_cron("0  0 * * *") and hash(schedule) == hash(parse_cron("0 0 * * *"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("61 * * * *", ["minute", "61", "0 to 59"]),
        ("-1 * * * *", ["minute", "'-1'"]),
        ("0 24 * * *", ["hour", "24"]),
        ("0 0 0 * *", ["day of month", "1 to 31"]),
        ("0 0 * 13 *", ["month", "1 to 12"]),
        ("0 0 * JANUARY *", ["JANUARY", "JAN, FEB"]),
        ("0 0 * * 8", ["day of week", "0 to 7"]),
        ("0 MON * * *", ["hour", "'MON'"]),
        ("1,,2 * * * *", ["empty", "'1,,2'"]),
        ("5- * * * *", ["'5-'", "lacks a value"]),
        ("30-10 * * * *", ["backwards"]),
        ("0 0 * * FRI-MON", ["backwards"]),
        ("0 0 * * 5-0", ["backwards", "7 for Sunday"]),
        ("0 0 * 11-2 *", ["backwards"]),
        ("*/0 * * * *", ["step '0'", "1 to 59"]),
        ("*/60 * * * *", ["step '60'"]),
        ("*/x * * * *", ["step 'x'"]),
        ("*/ * * * *", ["step ''"]),
        ("*/2/3 * * * *", ["step '2/3'"]),
        ("5/15 * * * *", ["'5/15'", "'5-59/15'"]),
        ("0 0 * * 1/2", ["'1-6/2'"]),
        ("1-2-3 * * * *", ["'2-3'"]),
        ("\u0663 * * * *", ["\u0663"]),
        ("0 0 L * *", ["'L'", "not supported"]),
        ("0 0 15W * *", ["'15W'", "not supported"]),
        ("0 0 L-3 * *", ["not supported"]),
        ("0 0 * * 5L", ["not supported"]),
        ("0 0 * * friL", ["not supported"]),
        ("0 0 LW * *", ["not supported"]),
        ("0 0 * * FRI#2", ["not supported"]),
        ("0 0 ? * MON", ["'?'", "write '*'"]),
        ("@daily", ["five fields", "'0 0 * * *'"]),
        ("@reboot", ["five fields"]),
        ("0 0 * *", ["4 fields"]),
        ("", ["0 fields"]),
        ("0 */5 * * * *", ["6 fields", "no seconds"]),
        ("TZ=UTC 0 0 * * *", ["6 fields"]),
        ("0 9 1 * 1", ["both restricted"]),
        ("0 9 1-31 * MON", ["both restricted"]),
        ("0 0 31 2 *", ["never fires"]),
        ("0 0 1-31 * 0-6", ["both restricted"]),
        ("0 0 30,31 FEB *", ["never fires"]),
        ("0 0 31 2,4,6,9,11 *", ["never fires"]),
    ],
)
def test_one_problem(text: str, words: list[str]) -> None:
    (problem,) = problems(text)
    for word in words:
        assert word in problem
    assert "time zone" not in problem


def test_every_problem_at_once() -> None:
    found = problems("60,61 24 0 13 8", "Europe/Berln")
    assert len(found) == 8
    assert [text.partition(":")[0] for text in found[:6]] == [
        "minute",
        "minute",
        "hour",
        "day of month",
        "month",
        "day of week",
    ]
    assert "both restricted" in found[6]
    assert "time zone 'Europe/Berln'" in found[7] and "'Europe/Berlin'" in found[7]


@pytest.mark.parametrize("text", ["0 0 29 2 *", "0 0 31 1,2 *", "0 9 * * MON", "0 9 */1 * MON"])
def test_accepted(text: str) -> None:
    assert parse_cron(text).cron == text


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("Berlin", "'Europe/Berlin'"),
        ("europe/berlin", "'Europe/Berlin'"),
        ("America/New York", "'America/New_York'"),
        ("Ameria/New_York", "'America/New_York'"),
        ("", "'UTC'"),
        ("localtime", ""),
        ("Factory", ""),
        ("../UTC", ""),
        ("/etc/localtime", ""),
        ("UTC+2", ""),
    ],
)
def test_time_zone(name: str, near: str) -> None:
    (problem,) = problems("0 0 * * *", name)
    assert "time zone" in problem and near in problem


@pytest.mark.parametrize("name", ["UTC", "Etc/UTC", "Asia/Calcutta", "America/Indiana/Knox", "GMT"])
def test_known_time_zones(name: str) -> None:
    assert parse_cron("0 0 * * *", name).timezone == name


def test_recorded_refusals(cron_cases: dict[str, object]) -> None:
    cases = cron_cases["conversions.derived"]
    assert isinstance(cases, dict)
    refused = [case["unix"] for case in cases["reject_or_note"] if case["expect"] == "reject"]
    assert len(refused) > 9
    for text in refused:
        assert problems(text)
    for case in cases["reject_or_note"]:
        if case["expect"] != "reject":
            parse_cron(case["unix"])


def test_importing_the_package_loads_nothing() -> None:
    code = (
        "import sys, portafaas.schedule, portafaas.runtime.cron\n"
        "for name in ('datetime', 'zoneinfo', 'dataclasses', 're', 'tzdata'):\n"
        "    assert name not in sys.modules, name\n"
        "from portafaas.runtime.cron import should_fire\n"
        "assert should_fire('* * * * *', 'UTC', 0)\n"
        "assert 'zoneinfo' not in sys.modules\n"
    )
    # -S: no site packages, whose start-up files import what they like.
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:] = {sys.path!r}\n{code}"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
