"""Pictures of runs, by what the local engine keeps of the hand-written cases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from portafaas.deployment.workflows import RunState
from portafaas.graph.machine import every, machine_of
from portafaas.graph.machine_html import machine_html
from portafaas.graph.machine_run import steps_of
from portafaas.graph.machine_svg import machine_svg
from portafaas.local.history import history
from portafaas.local.runs import Runs
from tests.unit.graph.test_machine import check
from tests.workflows.cases import CASES, Case
from tests.workflows.test_local import play

#: Of which nothing is kept when they fail: the document that they would make is wrong.
SILENT = (
    "States.Runtime", "States.DataLimitExceeded", "Schema.InvalidInput", "Schema.InvalidOutput",
)  # fmt: skip


@pytest.mark.parametrize("case", CASES[::3], ids=lambda case: case.name)
def test_picture(tmp_path: Path, case: Case) -> None:
    plan = play(tmp_path / "runs", case, False).plan
    runs = Runs(tmp_path / "runs")
    run = runs.run("run-1")
    assert run is not None
    events = history(run, runs.steps("run-1"))
    runs.close()
    outcome = run.outcome or {}
    error, cause = outcome.get("error", ""), outcome.get("cause", "")
    word: Any = run.state
    state = RunState(
        case.name, "run-1", word, run.started, run.ended or 0.0, error=error, cause=cause
    )
    workflow = plan.workflow(case.name)
    check(workflow, machine_svg(workflow))
    text = machine_svg(workflow, state, events)
    check(workflow, text)
    machine = machine_of(workflow)
    found = steps_of(workflow, machine, state, events)
    told = {event.step for event in events}
    assert told <= set(found)
    assert {name for name in told if not found[name].progress} == set()
    open_ = ("running", "retrying", "waiting", "stopped")
    if run.state == "succeeded":
        assert not [name for name, one in found.items() if one.progress in open_]
        assert all(found[step.name].progress != "failed" for step in machine.steps)
    elif run.state == "failed":
        kept = [step for step in every(machine) if found[step.name].progress in ("failed", "caught")]
        assert kept or error in SILENT
    more = {name for name, one in found.items() if one.progress} - told
    assert not more or error in SILENT
    assert machine_html(workflow, state, events).count("<tr>") == len(found) + 1
