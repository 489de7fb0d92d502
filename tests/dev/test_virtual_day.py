"""Days of virtual time on which clocks change: every schedule fires at its instants, and no other.

What is expected is told here by each local time of the day, apart from how schedules are read and
computed; for Berlin also by hand, as ``docs/spec/schedule.md`` has it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from portafaas.local.broker import Broker
from portafaas.local.dispatch import Dispatcher
from portafaas.local.hooks import Hooks
from portafaas.local.resources import store
from portafaas.manifest.load import load_manifest
from portafaas.plan.build import build_plan

HANDLER = """\
import json
import os

_ledger = os.open("ledger", os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o644)


def fire(event, context):
    line = json.dumps([context.function, event.time, event.id])
    os.write(_ledger, line.encode() + b"\\n")
"""


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule, and which hours and minutes of the clock it means."""

    cron: str
    zone: str
    wants: Callable[[int, int], bool]
    #: Only the minute is said: it runs on real time, and a repeated hour counts twice.
    real: bool = False

    def instants(self, start: datetime, end: datetime) -> list[str]:
        """Return its instants from after *start* to *end*, by looking at each minute."""
        found, moment, zone = [], start, ZoneInfo(self.zone)
        while moment < end:
            moment += timedelta(minutes=1)
            local = moment.astimezone(zone)
            if self.wants(local.hour, local.minute) and (self.real or not local.fold):
                found.append(moment.strftime("%Y-%m-%dT%H:%M:%S.000Z"))
        return found


def at(hour: int, minute: int) -> Callable[[int, int], bool]:
    return lambda h, m: (h, m) == (hour, minute)


CONTROL = Schedule("30 2 * * *", "UTC", at(2, 30))
BERLIN = {
    "night": Schedule("30 2 * * *", "Europe/Berlin", at(2, 30)),
    "hourly": Schedule("30 * * * *", "Europe/Berlin", lambda h, m: m == 30, real=True),
    "hours": Schedule("30 0-22 * * *", "Europe/Berlin", lambda h, m: m == 30 and h <= 22),
    "often": Schedule("*/20 * * * *", "Europe/Berlin", lambda h, m: m % 20 == 0, real=True),
    "lisbon": Schedule("30 1 * * *", "Europe/Lisbon", at(1, 30)),
    "control": CONTROL,
}
YORK = {
    "night": Schedule("30 1,2 * * *", "America/New_York", lambda h, m: m == 30 and h in (1, 2)),
    "often": Schedule("15 * * * *", "America/New_York", lambda h, m: m == 15, real=True),
    "control": CONTROL,
}
HOWE = {
    "hourly": Schedule("0 * * * *", "Australia/Lord_Howe", lambda h, m: m == 0, real=True),
    "night": Schedule("45 1 * * *", "Australia/Lord_Howe", at(1, 45)),
    "early": Schedule("15 2 * * *", "Australia/Lord_Howe", at(2, 15)),
    "control": CONTROL,
}
#: When each day begins, what is scheduled, and some of what must come of it, by hand.
DAYS = {
    "Berlin, to summer": (
        "2026-03-28T12:07", BERLIN,
        {"night": [], "lisbon": [], "control": ["2026-03-29T02:30:00.000Z"]},
    ),
    "Berlin, to winter": (
        "2026-10-24T12:07", BERLIN,
        {"night": ["2026-10-25T00:30:00.000Z"], "lisbon": ["2026-10-25T00:30:00.000Z"]},
    ),
    "New York, to summer": (
        "2026-03-07T18:07", YORK, {"night": ["2026-03-08T06:30:00.000Z"]}
    ),
    "New York, to winter": (
        "2026-10-31T18:07", YORK,
        {"night": ["2026-11-01T05:30:00.000Z", "2026-11-01T07:30:00.000Z"]},
    ),
    "Lord Howe, to winter": ("2026-04-04T00:07", HOWE, {"night": ["2026-04-04T14:45:00.000Z"]}),
    "Lord Howe, to summer": (
        "2026-10-03T03:07", HOWE, {"night": ["2026-10-03T15:15:00.000Z"], "early": []}
    ),
}  # fmt: skip


class Fired(Hooks):
    def __init__(self) -> None:
        self.all: list[tuple[str, str]] = []

    def fired(self, function: str, instant: str) -> None:
        self.all.append((function, instant))


def run(root: Path, start: datetime, schedules: dict[str, Schedule]) -> tuple[list[list[str]], Fired]:
    """Let a day pass; return what handlers saw, and what was fired."""
    functions = {
        name: {
            "handler": "app:fire",
            "trigger": {"schedule": {"cron": each.cron, "timezone": each.zone}},
        }
        for name, each in schedules.items()
    }
    manifest = {"portafaas": 1, "name": "day", "python": "3.11", "functions": functions}
    (root / "portafaas.yaml").write_text(json.dumps(manifest))
    (root / "app.py").write_text(HANDLER)
    plan = build_plan(load_manifest(root / "portafaas.yaml"))
    with Broker(store(root, plan.stage), plan) as broker:
        broker.clock.hold(start.timestamp())
    hooks = Fired()
    with Dispatcher(plan, root, hooks=hooks, schedules=True, virtual=True) as dispatcher:
        ended = []

        def pass_the_day() -> None:
            ended.append(dispatcher.advance((start + timedelta(days=1)).timestamp(), 120))
            dispatcher.stop()

        thread = threading.Thread(target=pass_the_day)
        thread.start()
        dispatcher.run(until=lambda: bool(ended))
        thread.join()
        assert ended == [True]
        assert dispatcher.broker.clock.now() == (start + timedelta(days=1)).timestamp()
    return [json.loads(line) for line in (root / "ledger").read_text().splitlines()], hooks


@pytest.mark.parametrize("name", DAYS)
def test_every_schedule_fires_at_its_instants(tmp_path: Path, name: str) -> None:
    day, schedules, by_hand = DAYS[name]
    start = datetime.fromisoformat(day).replace(tzinfo=UTC)
    seen, hooks = run(tmp_path, start, schedules)
    for function, schedule in schedules.items():
        expected = schedule.instants(start, start + timedelta(days=1))
        if function in by_hand:
            assert expected == by_hand[function]
        assert [time for each, time, _ in seen if each == function] == expected, function
        assert [time for each, time in hooks.all if each == function] == expected, function
    assert len({(function, id) for function, _, id in seen}) == len(seen), "each has an id of its own"
    # In order, over all of them.
    assert [time for _, time in hooks.all] == sorted(time for _, time in hooks.all)
    assert len(seen) > 20
