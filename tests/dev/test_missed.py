"""Schedules whose instants fell while nothing ran: they are told, and made up for when asked."""

from __future__ import annotations

import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from portafaas.dev.missed import look, made_up, told
from portafaas.local.broker import Broker
from portafaas.local.driver.portafaas_local_resources import database
from portafaas.local.resources import store
from portafaas.manifest.load import load_manifest
from portafaas.plan import BuildPlan
from portafaas.plan.build import build_plan
from tests.dev.project import call, manifest, served, until, write

DAY = 86_400.0
#: A Tuesday in winter, 09:00 in Berlin.
NINE = datetime(2026, 1, 13, 8, tzinfo=UTC).timestamp()


def _plan(folder: Path, **crons: str) -> BuildPlan:
    document = manifest()
    document["functions"] = {
        name: {
            "handler": "app:tick",
            "trigger": {"schedule": {"cron": cron, "timezone": "Europe/Berlin"}},
        }
        for name, cron in crons.items()
    }
    document["workflows"], document["queues"], document["tables"] = {}, {}, {}
    return build_plan(load_manifest(write(folder, document)))


def test_what_was_missed(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    plan = _plan(tmp_path, night="30 2 * * *", noon="0 12 * * *")
    # What is new has missed nothing.
    assert look(folder, plan, NINE) == {}
    assert look(folder, plan, NINE + 3600) == {}
    with Broker(folder, plan) as broker:
        # That day it ran until after noon.
        assert broker.fire(plan.function("noon"), "2026-01-13T11:00:00Z")
    found = look(folder, plan, NINE + DAY)
    assert list(found) == ["night"]
    assert (found["night"].count, found["night"].last) == (1, NINE + DAY - 6.5 * 3600)
    lines = told(found, "http://here")
    assert lines[0].endswith("night once, at 2026-01-14 02:30 Europe/Berlin")
    assert "http://here/_portafaas/#/schedules" in lines[1] and "--catch-up" in lines[1]
    # It stays so until something is done about it.
    found = look(folder, plan, NINE + 3 * DAY)
    assert {name: one.count for name, one in found.items()} == {"night": 3, "noon": 2}
    assert "3 times, the last time at 2026-01-16 02:30" in str(found["night"])
    made_up(folder, plan, "night", NINE + 3 * DAY)
    assert list(look(folder, plan, NINE + 3 * DAY)) == ["noon"]
    assert look(folder, plan, NINE + 50 * DAY)["night"].count == 10
    # Other times: another schedule.
    other = _plan(tmp_path, night="31 2 * * *")
    assert look(folder, other, NINE + 60 * DAY) == {}
    assert list(look(folder, other, NINE + 61 * DAY)) == ["night"]
    assert told({}, "http://here") == []


@pytest.mark.parametrize("catch_up", [False, True])
def test_a_start_after_some_days(
    tmp_path: Path, catch_up: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = tmp_path / "ticks"
    monkeypatch.setenv("TICKS", str(ticks))
    folder = store(tmp_path / "p", "")
    with closing(database(str(folder))) as connection:
        connection.execute(
            "insert into broker values ('watched/tick/30 * * * * Europe/Berlin', ?)",
            (time.time() - 2 * DAY,),
        )

    def fired() -> list[str]:
        return ticks.read_text().splitlines() if ticks.exists() else []

    def shown(dev: Any) -> Any:
        return call(dev, "GET", "/_portafaas/api/schedules")[1][0]["missed"]

    with served(tmp_path / "p", catch_up=catch_up) as dev:
        (one,) = (dev.caught_up if catch_up else dev.missed).values()
        instant = datetime.fromtimestamp(one.last, UTC)
        assert (one.function, one.count, instant.minute) == ("tick", 10, 30)
        assert 0 <= time.time() - one.last < 3700
        if not catch_up:
            assert not dev.caught_up and shown(dev) == {"count": 10, "last": one.last}
            address = "/_portafaas/api/schedules/tick/fire"
            json_ = {"content-type": "application/json"}
            assert call(dev, "POST", address, b"{}", **json_)[0] == 200
        assert not dev.missed and shown(dev) is None
        assert until(fired) == [f"{instant:%Y-%m-%dT%H:%M}:00.000Z"]
        assert look(folder, dev.plan, time.time()) == {}
    # Nothing is done twice.
    with served(tmp_path / "p", catch_up=True) as dev:
        assert not dev.missed and not dev.caught_up


def test_instants_of_a_virtual_clock_come_again(tmp_path: Path) -> None:
    plan = _plan(tmp_path, night="30 2 * * *")
    with Broker(tmp_path / "store", plan) as broker:
        broker.clock.hold(time.time() + 400 * DAY)
        later = datetime.fromtimestamp(time.time() + 399 * DAY, UTC).isoformat()
        assert broker.fire(plan.function("night"), later)
        now = datetime.now(UTC).isoformat()
        assert not broker.fire(plan.function("night"), now)
        # As when 'dev' is started without '--clock virtual'.
        broker.clock.release()
        assert broker.fire(plan.function("night"), now)
        assert not broker.fire(plan.function("night"), now)
