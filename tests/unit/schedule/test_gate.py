"""The shipped gate: which deliveries reach the handler, and what instant they stand for."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

import portafaas.runtime.cron as cron
from portafaas.runtime.cron import latest, load_zone, nominal, should_fire
from portafaas.schedule import parse_cron
from portafaas.schedule.dialects import ncrontab_times
from portafaas.schedule.lowering import to_ncrontab

CASES = [
    ("* * * * *", "UTC"),
    ("*/5 * * * *", "Europe/Berlin"),
    ("0,20,59 * * * *", "UTC"),
    ("0 9 * * *", "UTC"),
    ("30 2 * * *", "Europe/Berlin"),
    ("0,7 9 * * MON-FRI", "Europe/Berlin"),
    ("10 * * * *", "Australia/Lord_Howe"),
    ("*/15 1-3 * * *", "Australia/Lord_Howe"),
    ("0 0 1 * *", "Asia/Kathmandu"),
    ("59 23 31 12 *", "America/New_York"),
]


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def test_should_fire_within_the_minute() -> None:
    minute = seconds("2026-01-05T09:00")
    for late in (0, 0.001, 30, 59.999):
        assert should_fire("0 9 * * MON", "UTC", minute + late)
    assert not should_fire("0 9 * * MON", "UTC", minute - 0.001)
    assert not should_fire("0 9 * * MON", "UTC", minute + 60)
    assert not should_fire("0 9 * * TUE", "UTC", minute)
    assert should_fire("0 9 * * FRI-SUN", "UTC", minute - 86400)
    assert should_fire("0 9 * * 7", "Etc/UTC", minute - 86400)
    assert should_fire("0 10 * * 1", "Europe/Berlin", minute)


@pytest.mark.parametrize(("text", "zone"), CASES)
@pytest.mark.parametrize("start", ["2026-03-27", "2026-10-02", "2026-10-23"])
def test_nominal_names_the_instant_of_late_and_early_deliveries(
    text: str, zone: str, start: str
) -> None:
    """Every firing of the superset, at every delay the tolerance covers."""
    begin = datetime.fromtimestamp(seconds(start), UTC)
    programmed = to_ncrontab(parse_cron(text, zone))
    fires = [moment.timestamp() for moment in ncrontab_times(programmed, begin, 120)]
    gap = min(after - before for before, after in pairwise(fires))
    promised = {"*/5": 300, "0": 900, "30": 900, "10": 900, "*/15": 900, "59": 900}
    covered = min(gap, promised.get(text.split()[0], gap), 3600)
    wanted = 0
    for fire in fires:
        due = fire if should_fire(text, zone, fire) else None
        wanted += due is not None
        for delay in (-1.9, -0.5, 0, 1, 30, 57.9, covered / 2, covered - 2.1):
            assert nominal(text, zone, fire + delay) == due, (fire, delay)
    assert wanted or text.startswith(("59 23", "0 0 1"))


def test_nominal_gives_up_on_what_is_too_late() -> None:
    due = seconds("2026-01-05T09:00")
    assert nominal("0 9 * * *", "UTC", due + 3597) == due
    assert nominal("0 9 * * *", "UTC", due + 3599) is None
    assert nominal("0 9 * * *", "Europe/Berlin", due - 3600 + 897) == due - 3600
    assert nominal("0 9 * * *", "Europe/Berlin", due) is None  # the firing for summer


def test_latest() -> None:
    due = seconds("2026-01-05T09:00")
    assert latest("0 9 * * *", "UTC", due - 86400, due + 40000) == due
    assert latest("0 9 * * *", "UTC", due, due) == due
    assert latest("0 9 * * *", "UTC", due + 1, due + 80000) is None
    assert latest("0 9 * * *", "UTC", due - 60, due - 1) is None
    # Overdue since the firing for summer (08:00 in Berlin): the wanted one was missed as well.
    assert latest("0 9 * * *", "Europe/Berlin", due - 7200, due + 600) == due - 3600
    leap = seconds("2024-02-29T00:00")
    assert latest("0 0 29 2 *", "UTC", 0, leap + 300 * 86400) == leap
    assert latest("0 0 29 2 *", "UTC", 0, leap + 400 * 86400) is None  # more than a year


@pytest.mark.parametrize(("text", "zone"), CASES)
def test_same_as_the_schedule(text: str, zone: str) -> None:
    schedule = parse_cron(text, zone)
    begin = datetime(2026, 10, 2, tzinfo=UTC)
    end = begin + timedelta(days=3)
    times = [time for time in schedule.fire_times(begin, 4400) if time < end]
    fired = [
        begin + timedelta(minutes=minute)
        for minute in range(3 * 1440)
        if should_fire(text, zone, begin.timestamp() + 60 * minute)
    ]
    assert fired == times


def test_zone_data_comes_from_the_package_first(tmp_path: Path) -> None:
    """The package's tzdata decides, not the system's: the same rules on every target."""
    source = Path(cron.__file__)
    folder = tmp_path / "tzdata"
    (folder / "zoneinfo" / "Europe").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    import tzdata  # type: ignore[import-untyped]

    here = Path(tzdata.__file__).parent / "zoneinfo"
    # Recognisable rules: Kathmandu's, under the name of Berlin.
    (folder / "zoneinfo" / "Europe" / "Berlin").write_bytes((here / "Asia/Kathmandu").read_bytes())
    code = (
        f"import sys; sys.path[:0] = [{str(tmp_path)!r}]\n"
        "import importlib.util as util\n"
        f"spec = util.spec_from_file_location('gate', {str(source)!r})\n"
        "gate = util.module_from_spec(spec); spec.loader.exec_module(gate)\n"
        "assert gate.should_fire('45 5 1 1 *', 'Europe/Berlin', 0) is False  # +5:30 in 1970\n"
        "assert gate.should_fire('45 5 1 1 *', 'Europe/Berlin', 1767225600)\n"
    )
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_no_zone_data(tmp_path: Path) -> None:
    """A machine with neither: UTC works, the rest says what to do."""
    code = (
        "import importlib.util as util\n"
        f"spec = util.spec_from_file_location('gate', {cron.__file__!r})\n"
        "gate = util.module_from_spec(spec); spec.loader.exec_module(gate)\n"
        "assert gate.should_fire('0 0 1 1 *', 'UTC', 0)\n"
        "try:\n"
        "    gate.should_fire('0 0 1 1 *', 'Europe/Berlin', 0)\n"
        "except RuntimeError as exc:\n"
        "    print(exc)\n"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        capture_output=True,
        text=True,
        env={"PYTHONTZPATH": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    assert "no data for the time zone 'Europe/Berlin'" in done.stdout and "tzdata" in done.stdout


def test_unknown_zone() -> None:
    with pytest.raises(RuntimeError, match="Nowhere/Land"):
        load_zone("Nowhere/Land")
