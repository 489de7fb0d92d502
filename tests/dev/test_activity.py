"""The record: what is kept, for how long, and who hears of it."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from portafaas.dev import activity as module
from portafaas.dev import record
from portafaas.dev.activity import Activity
from portafaas.dev.record import Invocation, cut


@pytest.fixture
def activity(tmp_path: Path) -> Iterator[Activity]:
    made = Activity(tmp_path)
    yield made
    made.close()


def one(number: int = 0, **values: object) -> Invocation:
    return Invocation("f", "http", float(number), id=f"id-{number}", **values)  # type: ignore[arg-type]


def test_what_is_recorded_can_be_read_from_anywhere(activity: Activity, tmp_path: Path) -> None:
    activity.record(one(1, status="error", error="why", trace_id="t"))
    activity.record(lambda: one(2))
    activity.flush()
    assert [row["id"] for row in activity.list()] == ["id-2", "id-1"]
    assert [row["id"] for row in activity.list(status="error")] == ["id-1"]
    assert activity.list(before=activity.list()[0]["number"])[0]["id"] == "id-1"
    assert activity.list(function="other") == []
    assert [row["id"] for row in activity.trace("t")] == ["id-1"]
    assert activity.counts() == {"f": {"error": 1, "ok": 1}}
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(activity.get("id-1")))
    thread.start()
    thread.join()
    assert found == [activity.get("id-1")]
    other = Activity(tmp_path, writing=False)
    assert other.get("id-1") == activity.get("id-1") and other.get("nobody") is None


def test_lines_that_come_late_are_added(activity: Activity) -> None:
    activity.record(one(1))
    activity.add("id-1", "logs", {"text": "at once"})
    activity.flush()
    activity.add("id-1", "logs", {"text": "later"})
    activity.add("gone", "logs", {"text": "to nobody"})
    activity.flush()
    found = activity.get("id-1")
    assert found is not None and [e["text"] for e in found["logs"]] == ["at once", "later"]


def test_only_the_newest_are_kept(activity: Activity, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT", 10)
    for number in range(30):
        activity.record(one(number))
    activity.flush()
    assert [row["id"] for row in activity.list()] == [f"id-{n}" for n in range(29, 19, -1)]


def test_the_file_has_an_end(activity: Activity, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST", 1_000_000)
    for number in range(100):
        activity.record(one(number, response={"body": "x" * 50_000}))
        activity.flush()
    rows = activity.list(limit=1000)
    assert rows[0]["id"] == "id-99" and 5 < len(rows) < 25
    with sqlite3.connect(activity.file) as connection:
        connection.execute("pragma wal_checkpoint(truncate)")
    connection.close()
    assert activity.file.stat().st_size < 2_500_000


def test_in_a_crowd_what_fails_is_kept_and_the_newest_of_the_rest(activity: Activity) -> None:
    for number in range(5000):
        if number % 1000 == 7:
            activity.record(one(number, status="crash"))
        else:
            activity.record(lambda number=number: one(number))  # type: ignore[misc]
    activity.flush()
    rows = activity.list(limit=10_000)
    assert {row["id"] for row in rows if row["status"] == "crash"} == {
        f"id-{n}" for n in range(7, 5000, 1000)
    }
    assert len(rows) + activity.skipped == 5000
    assert any(row["id"] == "id-4999" for row in rows)


def test_what_is_too_long_is_cut() -> None:
    whole = {"http": {"method": "POST", "body": "x" * 10}}
    assert cut(whole) == whole
    shorter = cut({"http": {"method": "POST", "body": "x" * 1_000_000}})
    assert shorter["cut"] is True and shorter["http"]["method"] == "POST"
    many = cut({"queue": {"messages": [{"body": "y" * 5000} for _ in range(1000)]}})
    assert many["cut"] is True and many["queue"]["messages"]
    for value in (shorter, many):
        assert len(json.dumps(value)) <= record.LONGEST + 20


def test_effects_and_logs_have_an_end(activity: Activity) -> None:
    effects = [{"kind": "queue", "body": "x" * 100_000} for _ in range(1000)]
    activity.record(one(1, effects=effects, logs=[{"text": "y" * 100_000}] * 5000))
    activity.flush()
    found = activity.get("id-1")
    assert found is not None and found["effects"][0]["cut"] is True
    assert len(found["effects"]) == record.MOST_EFFECTS and len(found["logs"]) == record.MOST_LINES
    assert len(found["logs"][0]["text"]) < 20_000


def test_listeners(activity: Activity) -> None:
    def tell() -> None:
        for number in range(3):
            activity.tell({"n": number})

    async def heard() -> list[int]:
        found = []
        with activity.listen() as listener:
            threading.Timer(0.01, tell).start()
            async for event in listener:
                found.append(event["n"])
                if len(found) == 3:
                    listener.close()
        return found

    assert asyncio.run(heard()) == [0, 1, 2]
    with activity.listen() as slow:
        for number in range(3000):
            activity.tell({"n": number})
        # The oldest are lost, and nobody waited for it.
        first = slow.get(1)
        assert first is not None and first["n"] == 1000
    activity.tell({"n": 0})


def test_what_belongs_together(activity: Activity, monkeypatch: pytest.MonkeyPatch) -> None:
    """By trace; by correlation; and a batch, which has neither of its messages, by its links."""
    for number, (trace, correlation, links) in enumerate(
        [("t", "c", []), ("u", "c", []), ("t", "d", []), ("v", "e", []), ("b", "b", ["t", "v"])]
    ):
        activity.record(
            Invocation(
                "f", "queue", float(number), trace_id=trace, correlation_id=correlation, links=links
            )
        )
    activity.flush()

    def together(*known: Any) -> list[float]:
        return [one["started"] for one in activity.trace(*known)]

    assert together("t") == [0.0, 2.0, 4.0]
    assert together("t", "c") == [0.0, 1.0, 2.0, 4.0]
    assert together("u", "c") == [0.0, 1.0]
    assert together("u") == [1.0]
    assert together("v", "e") == [3.0, 4.0]
    assert together("b", "b", ["t", "v"]) == [0.0, 2.0, 3.0, 4.0]
    monkeypatch.setattr("portafaas.dev.reading.TOGETHER", 2)
    assert together("t", "c") == [2.0, 4.0]
    # What is gone leaves no links behind.
    monkeypatch.setattr(module, "KEPT", 1)
    activity.record(Invocation("f", "queue", 9.0, trace_id="w"))
    activity.flush()
    assert together("t") == []
    with sqlite3.connect(activity.file) as connection:
        assert connection.execute("select count(*) from links").fetchone() == (0,)
