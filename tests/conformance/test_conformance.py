"""The conformance suite on each target, and the differential corpus over all of them.

In the vendors' own runtimes. One file, since all share the kits, which take a while to start.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from portafaas.testing.cases import CASES, Case, Observation, problems
from portafaas.testing.kit import Kit, LocalKit
from portafaas.testing.suite import ConformanceSuite

pytestmark = pytest.mark.vendor
TARGETS = ("aws", "azure", "gcp")


class _Shared(ConformanceSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def kit(cls, kit_of: Callable[[str], Kit]) -> Kit:
        return kit_of(cls.target)


class TestAws(_Shared):
    target = "aws"


class TestAzure(_Shared):
    target = "azure"


class TestGcp(_Shared):
    target = "gcp"


def text(observation: Observation) -> str:
    return json.dumps([observation.outcome, observation.seen], sort_keys=True, indent=1)


def test_the_corpus_is_large_and_its_names_are_unique() -> None:
    assert len(CASES) >= 150
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_all_targets_agree(case: Case, neutral: LocalKit, kit_of: Callable[[str], Kit]) -> None:
    reference = neutral.observe(case)
    assert problems(case, reference) == []
    observed: dict[str, Observation] = {}
    for target in TARGETS:
        kit = kit_of(target)
        if kit.supports(case):
            observed[target] = kit.observe(case)
    # What only one cloud can do is no portable feature; none may be able to do it yet.
    assert len(observed) != 1
    for target, observation in observed.items():
        # As text: 1, 1.0 and True are equal, and a handler sees the difference.
        assert text(observation) == text(reference), target


def test_at_least_150_cases_run_on_all_three(kit_of: Callable[[str], Kit]) -> None:
    shared = [c for c in CASES if all(kit_of(target).supports(c) for target in TARGETS)]
    assert len(shared) >= 150
