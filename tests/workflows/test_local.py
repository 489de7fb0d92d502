"""The local engine equals the reference, also when it is killed behind every transaction."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.workflows.cases import CASES, Case
from tests.workflows.generated import FAMILIES, generate
from tests.workflows.local import Local
from tests.workflows.scripts import machines, reference, world
from tests.workflows.traces import difference

#: Generated definitions of each family; 500 take a few minutes.
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
