"""The local engine equals the reference, also when it is killed behind every transaction.

``PORTAFAAS_FLOW_MANY``: generated definitions of each family (500 take minutes).
``PORTAFAAS_FLOW_KILLS=1``: a real process is killed at every boundary, not at every ninth.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from portafaas.local import workflows
from portafaas.local.driver import portafaas_local_resources as driver
from portafaas.local.history import history
from portafaas.manifest.load import load_manifest
from portafaas.plan.build import build_plan
from portafaas.runtime.resources import NotFound, NotWaiting
from tests.workflows.cases import CASES, Case
from tests.workflows.generated import FAMILIES, generate
from tests.workflows.kills import PROJECT, STEPS
from tests.workflows.local import Local
from tests.workflows.scripts import machines, reference, world
from tests.workflows.traces import difference

MANY = int(os.environ.get("PORTAFAAS_FLOW_MANY", "6"))


def play(folder: Path, case: Case, crashes: bool) -> Local:
    made = machines(case)
    local = Local(folder, made, world(case), case.signals, crashes)
    try:
        outcome = local.run(case.name, case.input)
    finally:
        local.engine.abandon()
    wrong = difference(reference(case), local.ledger, outcome)
    assert not wrong, f"{case.name}: {wrong}"
    return local


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(tmp_path: Path, case: Case) -> None:
    play(tmp_path / "once", case, False)
    local = play(tmp_path / "killed", case, True)
    assert local.kills >= len(local.ledger)


@pytest.mark.parametrize("family", FAMILIES)
def test_generated(tmp_path: Path, family: str) -> None:
    called = 0
    for seed in range(MANY):
        case = generate(family, seed)
        called += len(play(tmp_path / str(seed), case, seed % 2 == 1).ledger)
    assert called


# A saga, under every failure, and killed at every boundary

DONE = [
    "pay", "both/left/tell", "both/right/pack", "both/right/label", "lines/0/take", "lines/1/take",
    "lines/2/take",
]  # fmt: skip


@pytest.mark.parametrize(
    ("failing", "undone"),
    [
        ("pay", []),
        ("both/left/tell", ["both/right/label", "both/right/pack", "pay"]),
        ("both/right/pack", ["both/left/tell", "pay"]),
        ("both/right/label", ["both/right/pack", "both/left/tell", "pay"]),
        ("lines/0/take", [DONE[6], DONE[5], *DONE[3::-1]]),
        ("lines/1/take", [DONE[6], DONE[4], *DONE[3::-1]]),
        ("lines/2/take", [DONE[5], DONE[4], *DONE[3::-1]]),
        ("book", DONE[::-1]),
        ("last", ["inner", *DONE[::-1]]),
    ],
)
@pytest.mark.parametrize("crashes", [False, True])
def test_what_was_done_is_undone_in_reverse(
    tmp_path: Path, failing: str, undone: list[str], crashes: bool
) -> None:
    plan = build_plan(load_manifest(PROJECT / "portafaas.yaml"))
    made = {flow.name: flow.machine for flow in plan.workflows}

    def answer(call: Any) -> tuple[float, dict[str, Any]]:
        if call.key == failing:
            return 1.0, {"error": "Broken", "cause": call.key}
        return 1.0, {"ok": {"did": call.step}}

    local = Local(tmp_path, made, answer, None, crashes)
    try:
        outcome = local.run("saga", {"lines": ["a", "b", "c"], "fail": ""})
    finally:
        local.engine.abandon()
    assert outcome == {"error": "Broken", "cause": failing}
    places = [entry["key"].partition("/")[2] for entry in local.ledger]
    assert [place for place in places if place.endswith("~undo")] == [f"{p}~undo" for p in undone]
    assert len(places) == len(set(places))


def test_a_killed_process_loses_and_repeats_nothing(tmp_path: Path) -> None:
    every = "1" if os.environ.get("PORTAFAAS_FLOW_KILLS") else "9"
    done = subprocess.run(
        [sys.executable, "-m", "tests.workflows.kills", str(tmp_path), every],
        capture_output=True, text=True, cwd=PROJECT.parents[2], timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    runs = [json.loads(line) for line in done.stdout.splitlines()]
    assert {run["killed"] for run in runs} >= {None, 0, 9, 18, 27, "pay", "book"}
    everything = {f"do {place}" for place in (*DONE, "book")}
    for run in runs:
        done_ = [line for line in run["ledger"] if line.startswith("do ")]
        undone = [line for line in run["ledger"] if line.startswith("undo ")]
        # Each once.
        assert len(done_) == len(set(done_)), run
        if run["fail"]:
            assert (run["state"], run["error"], run["cause"]) == ("failed", "LookupError", "no last")
            assert set(done_) == everything
            assert undone == [f"undo {place}~undo" for place in ["inner", *DONE[::-1]]], run
        else:
            assert (run["state"], run["output"]) == ("succeeded", {"did": "last"})
            assert set(done_) == everything | {"do last"}
            assert not undone
    assert len(STEPS) == 6


# By hand

WAITS: dict[str, Any] = {
    "flow": {
        "start": "one",
        "steps": {
            "one": {"kind": "task", "function": "one", "next": "both"},
            "both": {"kind": "parallel", "next": None, "branches": [
                {"name": "a", "machine": {"start": "wait", "steps": {
                    "wait": {"kind": "wait", "signal": "go", "timeout": 60, "next": None}}}},
                {"name": "b", "machine": {"start": "again", "steps": {
                    "again": {"kind": "wait", "signal": "go", "next": None}}}},
            ]},
        },
    }
}  # fmt: skip


def flow(folder: Path, machines: dict[str, Any] = WAITS) -> Local:
    return Local(folder, machines, lambda call: (1.0, {"ok": call.step}))


def started(local: Local, input: Any = None) -> str:
    return driver.start_run(str(local.folder / "workflow" / "flow"), input)


def on(local: Local, run: str) -> None:
    """Go on until nothing can."""
    while local.step(run):
        pass


def test_a_signal_is_for_one_who_waits(tmp_path: Path) -> None:
    local = flow(tmp_path)
    address = str(tmp_path / "workflow" / "flow")
    run = started(local, {"n": 1})
    with pytest.raises(NotWaiting, match="does not wait for the signal 'go'"):
        driver.signal_run(address, run, "go", 1)
    assert local.step(run)  # called
    assert driver.run_status(address, run).waiting == ()
    local.engine.upkeep()
    local.step(run)
    status = driver.run_status(address, run)
    assert (status.state, status.waiting) == ("running", ("go",))
    with pytest.raises(NotWaiting):
        driver.signal_run(address, run, "come", 1)
    with pytest.raises(NotFound):
        driver.signal_run(address, "other", "go", 1)
    with pytest.raises(NotFound):
        driver.run_status(str(tmp_path / "workflow" / "other"), run)
    # Two signals of one name go to two who wait.
    driver.signal_run(address, run, "go", "first")
    driver.signal_run(address, run, "go", "second")
    with pytest.raises(NotWaiting):
        driver.signal_run(address, run, "go", "third")
    on(local, run)
    assert driver.run_status(address, run).output == ["first", "second"]
    with pytest.raises(NotWaiting, match="has ended: it is succeeded"):
        driver.signal_run(address, run, "go", 1)
    kept = local.engine.runs.run(run)
    assert kept is not None
    told = [(e.place, e.what) for e in history(kept, local.engine.runs.steps(run))]
    # The signals came by another clock than the test's.
    assert sorted(told) == sorted([
        ("one", "started"), ("one", "succeeded"), ("both", "started"), ("both/a/wait", "waiting"),
        ("both/b/again", "waiting"), ("both/a/wait", "succeeded"), ("both/b/again", "succeeded"),
        ("both", "succeeded"),
    ])  # fmt: skip
    local.engine.close()


def test_a_signal_reaches_the_workflow_within(tmp_path: Path) -> None:
    wait = {"kind": "wait", "signal": "go", "next": None}
    local = flow(tmp_path, {
        "flow": {"start": "sub", "steps": {
            "sub": {"kind": "workflow", "workflow": "inner", "next": None}}},
        "inner": {"start": "wait", "steps": {"wait": wait}},
    })  # fmt: skip
    run = started(local)
    on(local, run)
    address = str(tmp_path / "workflow" / "flow")
    assert driver.run_status(address, run).waiting == ("go",)
    driver.signal_run(address, run, "go", 7)
    on(local, run)
    assert driver.run_status(address, run).output == 7
    local.engine.close()


def test_a_cancelled_run_goes_no_further(tmp_path: Path) -> None:
    outer = {"flow": {"start": "sub", "steps": {
        "sub": {"kind": "workflow", "workflow": "inner", "next": None}}},
        "inner": {"start": "a", "steps": {
            "a": {"kind": "task", "function": "one", "next": "b"},
            "b": {"kind": "task", "function": "one", "next": None}}}}  # fmt: skip
    local = flow(tmp_path, outer)
    run = started(local)
    while not local.busy:
        local.step(run)
    runs = local.engine.runs
    with runs.transaction():
        found = runs.run(run)
        assert found is not None
        runs.cancel(found, local.now)
    # What is being called ends; its answer changes nothing.
    local.step(run)
    on(local, run)
    for _ in range(3):
        local.engine.upkeep()
    assert [entry["step"] for entry in local.ledger] == ["a"]
    states = runs.connection.execute("select state, wake, owner from runs").fetchall()
    assert states == [("canceled", None, None)] * 2
    assert local.engine.next_due() is None
    assert not local.engine.left()
    local.engine.close()


def test_several_engines_share_the_runs(tmp_path: Path) -> None:
    one = {"flow": {"start": "a", "steps": {"a": {"kind": "task", "function": "one", "next": None}}}}
    local = flow(tmp_path, one)
    other = flow(tmp_path, one)
    other.engine._owner = "another"
    run = started(local)
    local.step(run)
    other.engine.upkeep()
    assert local.busy and not other.engine._making
    assert other.engine.left()
    # Its owner is gone: the other takes over, and who comes back too late changes nothing.
    assert other.engine.sweep() == ["engine-1"] if not other.engine._alive("engine-1") else True
    other.engine.runs.free("another", alive=lambda owner: False)
    other.step(run)
    assert other.busy
    local.step(run)
    found = other.engine.runs.run(run)
    assert found is not None and found.state == "running" and found.owner == "another"
    on(other, run)
    found = other.engine.runs.run(run)
    assert found is not None and found.outcome == {"ok": "a"}
    local.engine.close()
    other.engine.close()


def test_what_waits_long_is_not_kept_in_memory(tmp_path: Path) -> None:
    local = flow(tmp_path)
    run = started(local)
    local.step(run)
    local.step(run)
    assert run in local.engine._making
    local.now += 10
    local.engine.sweep()
    assert run not in local.engine._making
    # It is found again for its timer.
    assert local.engine.next_due(timeouts=False) is None
    assert local.engine.next_due() == 50
    local.now += 50
    address = str(tmp_path / "workflow" / "flow")
    local.engine.upkeep()
    driver.signal_run(address, run, "go", 2)
    on(local, run)
    assert driver.run_status(address, run).error == "States.Timeout"
    local.engine.close()


def test_a_killed_tasks_record_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is still in the record of idempotency that nobody is at the task any more."""
    monkeypatch.setattr(workflows, "_AGAIN", 0.0)
    local = flow(tmp_path)
    local.world = lambda call: (1.0, {"error": "Throttled", "cause": "elsewhere"})
    run = started(local)
    local.step(run)
    local.kill()
    local.engine.sweep()
    local.step(run)
    order = local.busy.pop()[2]
    local.busy.clear()
    local.engine.answer(order, {"error": "Throttled", "cause": "elsewhere"})
    assert local.engine.deferred() and local.engine.left()
    local.engine.upkeep()
    assert local.engine.order("one") is order
    local.engine.answer(order, {"ok": 1})
    address = str(tmp_path / "workflow" / "flow")
    local.engine.upkeep()
    assert driver.run_status(address, run).waiting == ("go",)
    # One that nobody was at is throttled by itself.
    other = started(local)
    local.step(other)
    order = local.busy.pop()[2]
    local.engine.answer(order, {"error": "Throttled", "cause": "by itself"})
    assert driver.run_status(address, other).error == "Throttled"
    local.engine.close()


@pytest.mark.parametrize(
    ("step", "error", "cause"),
    [
        ({"kind": "task", "function": "gone"}, "States.TaskFailed", "no function of the manifest is called 'gone'"),
        ({"kind": "workflow", "workflow": "gone"}, "States.TaskFailed", "no workflow of the manifest is called 'gone'"),
        ({"kind": "wait", "until": "tomorrow"}, "States.Runtime", None),
        ({"kind": "nonsense"}, "States.Runtime", None),
    ],
)  # fmt: skip
def test_what_cannot_be_done_fails_the_run(
    tmp_path: Path, step: dict[str, Any], error: str, cause: str | None
) -> None:
    local = flow(tmp_path, {"flow": {"start": "a", "steps": {"a": {**step, "next": None}}}})
    local.engine.orders.timeouts.pop("gone", None)
    run = started(local)
    on(local, run)
    status = driver.run_status(str(tmp_path / "workflow" / "flow"), run)
    assert (status.state, status.error) == ("failed", error)
    assert cause is None or status.cause == cause
    local.engine.close()


def test_a_run_keeps_its_definition(tmp_path: Path) -> None:
    step = {"kind": "task", "function": "one", "next": "b"}
    last = {"kind": "task", "function": "one", "next": None}
    first = {"flow": {"start": "a", "steps": {"a": step, "b": last}}}
    local = flow(tmp_path, first)
    run = started(local)
    local.step(run)
    local.engine.close()
    later = flow(tmp_path, {"flow": {"start": "other", "steps": {"other": last}}})
    on(later, run)
    assert [entry["step"] for entry in later.ledger] == ["a", "b"]
    gone = driver.start_run(str(tmp_path / "workflow" / "gone"), None)
    on(later, gone)
    status = driver.run_status(str(tmp_path / "workflow" / "gone"), gone)
    assert (status.error, status.cause) == ("States.Runtime", "no workflow of the manifest is called 'gone'")
    later.engine.close()


def test_a_long_loop_is_made_anew(tmp_path: Path) -> None:
    """Deep neither in calls nor in time, with all of its answers kept."""
    items = list(range(1000))
    machine = {"flow": {"start": "all", "steps": {"all": {
        "kind": "map", "items": "$", "most": 1000, "concurrency": 1, "next": None,
        "machine": {"start": "n", "steps": {"n": {"kind": "task", "function": "one", "next": None}}}}}}}  # fmt: skip
    local = flow(tmp_path, machine)
    run = started(local, items)
    for _ in range(2000):
        local.step(run)
    assert 900 < len(local.ledger) <= 1000
    local.kill()
    local.engine.sweep()
    on(local, run)
    assert driver.run_status(str(tmp_path / "workflow" / "flow"), run).output == ["n"] * 1000
    assert len(local.ledger) == 1000
    local.engine.close()


def test_a_function_that_comes_back_finds_what_its_absence_has_done(tmp_path: Path) -> None:
    catch = [{"errors": ["States.ALL"], "next": "two", "result": "$"}]
    machine = {"start": "one", "steps": {
        "one": {"kind": "task", "function": "one", "catch": catch, "next": None},
        "two": {"kind": "task", "function": "two", "next": None},
    }}  # fmt: skip
    local = flow(tmp_path, {"flow": machine})
    run = started(local)
    local.engine.upkeep()
    whole = local.plan
    local.plan = replace(whole, functions=tuple(f for f in whole.functions if f.name != "one"))
    local.kill()
    local.engine.sweep()
    local.engine.upkeep()
    assert local.engine.order("two")
    local.plan = whole
    local.kill()
    local.engine.sweep()
    local.engine.upkeep()
    assert local.engine.order("one") is None
    on(local, run)
    (first, second) = local.engine.runs.steps(run)
    assert (first.name, first.answer["error"]) == ("one", "States.TaskFailed")
    assert (second.name, second.answer) == ("two", {"ok": "two"})


def test_a_subworkflow_that_is_under_way_goes_on_when_the_manifest_has_it_no_more(
    tmp_path: Path,
) -> None:
    outer = {"start": "run", "steps": {"run": {"kind": "workflow", "workflow": "inner",
                                               "next": None}}}  # fmt: skip
    inner = {"start": "one", "steps": {"one": {"kind": "task", "function": "one", "next": None}}}
    local = flow(tmp_path, {"flow": outer, "inner": inner})
    run = started(local)
    local.engine.upkeep()
    local.engine.upkeep()
    local.plan = replace(local.plan, workflows=local.plan.workflows[:1])
    local.kill()
    local.engine.sweep()
    on(local, run)
    assert driver.run_status(str(tmp_path / "workflow" / "flow"), run).output == "one"
