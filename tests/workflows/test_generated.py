"""Random definitions are right, end, and are the same for the same seed."""

from __future__ import annotations

import pytest

from tests.workflows.generated import FAMILIES, generate
from tests.workflows.scripts import reference
from tests.workflows.test_cases import as_ledger
from tests.workflows.traces import difference


@pytest.mark.parametrize("family", FAMILIES)
def test_generated(family: str) -> None:
    called, failed = 0, 0
    for seed in range(60):
        case = generate(family, seed)
        assert case == generate(family, seed)
        trace = reference(case)
        assert trace.outcome
        called += len(trace.calls)
        failed += "error" in trace.outcome
        if not case.workflows:
            assert not difference(trace, as_ledger(case, trace), trace.outcome)
    assert called > 30
    assert failed < 55
