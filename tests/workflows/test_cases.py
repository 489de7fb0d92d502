"""The cases are what they say, on the virtual engine."""

from __future__ import annotations

from typing import Any

import pytest

from tests.workflows.cases import CASES, Case
from tests.workflows.scripts import reference
from tests.workflows.traces import difference, outcomes, plain
from tests.workflows.virtual import Trace


def as_ledger(case: Case, trace: Trace) -> list[dict[str, Any]]:
    """Return the reference's calls as an engine's ledger; of one without sub-workflows."""
    return [
        {"workflow": case.name, "step": step, "function": name, "input": input, "attempt": attempt,
         "key": place.rpartition("!")[0]}
        for _, step, name, input, attempt, place in trace.calls
    ]  # fmt: skip


def test_cases_have_names_of_their_own() -> None:
    assert len({case.name for case in CASES}) == len(CASES) > 60


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Case) -> None:
    trace = reference(case)
    if case.outcome is not None:
        assert not outcomes(case.outcome, trace.outcome)
    else:
        assert trace.outcome
    if case.calls is not None:
        got = [(name, plain(input), attempt) for _, _, name, input, attempt, _ in trace.calls]
        wanted = [(*call, 1)[:3] for call in case.calls]
        if any(len(call) == 3 for call in case.calls):
            assert got == wanted
        else:
            assert [call[:2] for call in got] == [call[:2] for call in wanted]
    if not case.workflows:
        assert not difference(trace, as_ledger(case, trace), trace.outcome)
