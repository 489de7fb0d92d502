"""Workflows on AWS: the emitted machines run as the reference does, case by case.

A third of them. All cases, and generated ones: ``python -m tests.workflows.test_aws [generated of each family [first
seed [families]]]``.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from portafaas.errors import PlanError
from portafaas.manifest.load import load_manifest
from portafaas.plan.build import build_plan
from portafaas.plan.machines import every_step
from tests.workflows import histories, published, scripts
from tests.workflows.cases import CASES, Case
from tests.workflows.generated import FAMILIES, generate
from tests.workflows.traces import FATAL, difference

pytest.importorskip("moto.stepfunctions.parser")

from tests.workflows.aws import Machines, each

#: Every third case, but what waits for seconds or is large: the interpreter takes its time.
CHOSEN = [
    case for case in CASES if not case.name.startswith("large-") and "slow" not in case.needs
][::4]


def differences(folder: Path, cases: list[Case]) -> dict[str, str]:
    """Run the cases; return what is wrong, by name."""
    with Machines(folder, cases) as machines:

        def play(case: Case) -> str:
            outcome, ledger = machines.run(case)
            wrong = difference(scripts.reference(case), ledger, outcome)
            return wrong or told(machines, case, ledger)

        found = each(cases, play)
    return {name: repr(result) for name, result in found.items() if result != ""}


def told(machines: Machines, case: Case, ledger: list[dict[str, Any]]) -> str:
    """Return in which way the history of the run is not what was called."""
    state = machines.workflows.status(case.name, machines.runs[case.name])
    if case is histories.RUN:
        found = machines.workflows.history(case.name, machines.runs[case.name])
        assert histories.places(found) == histories.places(histories.wanted())
        assert histories.errors(found) == histories.errors(histories.wanted())
        # What a set has made is in the document alone.
        assert histories.details(found, "s") == histories.details(histories.wanted(), "s")
        assert histories.in_order(found)
    if state.error in FATAL or "slow" in case.needs:
        # What else went on is cut short.
        return ""
    events = machines.workflows.history(case.name, machines.runs[case.name])
    calls = [e for e in events if e.what == "started" and e.attempt]
    wanted = [
        (entry["step"], entry["attempt"], repr(entry["input"]))
        for entry in ledger
        if entry["workflow"] == case.name
    ]
    steps = dict(every_step(machines.built.workflow(case.name).machine))
    got = [
        (e.step, e.attempt, repr(e.detail))
        for e in calls
        if steps[e.step]["kind"] == "task" or e.place.endswith("~undo")
    ]
    if sorted(got) != sorted(wanted):
        return f"history: wanted {wanted}, got {got}"
    ends = [e for e in events if e.attempt and e.what != "started"]
    if len(ends) != len(calls):
        return f"history: {len(calls)} calls began, {len(ends)} ended"
    return ""


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def test_cases(tmp_path: Path) -> None:
    assert len(CHOSEN) > 28
    large = [case for case in CASES if case.name == "large-undo"]
    assert differences(tmp_path, [*CHOSEN, *large, histories.RUN]) == {}


def test_generated(tmp_path: Path) -> None:
    cases = [generate(family, seed) for family in FAMILIES for seed in (20,)]
    assert differences(tmp_path, [*cases, *published.sample(12, 1)]) == {}


def test_published(tmp_path: Path) -> None:
    """Those of ``test_generated`` are a sample."""
    if not published.ALL or not published.there():
        pytest.skip("not all, or shared/cases is not here")
    assert differences(tmp_path, published.sample()) == {}


def planned(case: Case) -> bool:
    """Tell whether a generated case is one that a manifest may have."""
    with TemporaryDirectory() as folder:
        try:
            build_plan(load_manifest(scripts.project(Path(folder), [case])))
        except PlanError:
            return False
    return True


def main(arguments: list[str]) -> int:
    """Run all cases, or as many generated ones as *arguments* say; write what differs."""
    os.environ |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    os.environ["AWS_REGION"] = "eu-central-1"
    logging.disable(logging.CRITICAL)
    batches = [list(CASES)]
    if arguments:
        first = int(arguments[1]) if len(arguments) > 1 else 0
        seeds = range(first, first + int(arguments[0]))
        cases = [generate(f, seed) for f in arguments[2:] or FAMILIES for seed in seeds]
        cases = [case for case in cases if planned(case)]
        batches = [cases[start : start + 50] for start in range(0, len(cases), 50)]
    count = wrong = 0
    for batch in batches:
        with TemporaryDirectory() as folder:
            found = differences(Path(folder), batch)
        count, wrong = count + len(batch), wrong + len(found)
        for name, what in found.items():
            sys.stdout.write(f"{name}: {what}\n")
        sys.stdout.write(f"{count} cases, {wrong} differ\n")
        sys.stdout.flush()
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
