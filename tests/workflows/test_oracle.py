"""The runtime's machine does what an interpreter does that was written from the rules alone.

``PORTAFAAS_FLOW_MANY=1`` does so for 500 definitions of each family rather than for a few.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tests.workflows.cases import CASES, Case
from tests.workflows.generated import FAMILIES, generate, strategy
from tests.workflows.oracle import Oracle
from tests.workflows.scripts import definitions, reference, world
from tests.workflows.traces import MADE, plain
from tests.workflows.virtual import Both, Called, Trace

MANY = bool(os.environ.get("PORTAFAAS_FLOW_MANY"))


def shape(lane: list[Any]) -> list[Any]:
    """Return a lane as lists and texts, as they are compared."""
    out: list[Any] = []
    for one in lane:
        if isinstance(one, Called):
            out.append([one.workflow, one.step, one.function, plain(one.input), one.attempt])
        else:
            assert isinstance(one, Both)
            out.append([one.limit, [shape(inner) for inner in one.lanes]])
    return out


def ending(trace: Trace) -> Any:
    made = trace.outcome.get("error") in MADE
    return {k: "" if made and k == "cause" else plain(v) for k, v in trace.outcome.items()}


def compare(case: Case) -> Trace:
    machine = reference(case)
    oracle = Oracle(definitions(case), world(case), case.signals).run(case.name, case.input)
    assert ending(machine) == ending(oracle)
    assert shape(machine.lane) == shape(oracle.lane)
    assert machine.seconds == pytest.approx(oracle.seconds, abs=1e-3)
    return machine


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_cases(case: Case) -> None:
    compare(case)


@pytest.mark.parametrize("family", FAMILIES)
def test_families(family: str) -> None:
    called, failed, number = 0, 0, 500 if MANY else 60
    for seed in range(number):
        case = generate(family, seed)
        assert case == generate(family, seed)
        trace = compare(case)
        called += len(trace.calls)
        failed += "error" in trace.outcome
    assert called > number / 2
    assert 0 < failed < number


@pytest.mark.parametrize("family", FAMILIES)
def test_hypothesis(family: str) -> None:
    @settings(
        max_examples=500 if MANY else 25,
        deadline=None,
        database=None,
        derandomize=not MANY,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy(family))
    def same(case: Case) -> None:
        compare(case)

    same()
