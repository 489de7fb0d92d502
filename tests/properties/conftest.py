"""One stimulus, delivered locally and in every vendor runtime: all must say the same."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from portafaas.adapter import Stimulus
from portafaas.testing.cases import Case, Observation
from portafaas.testing.kit import Kit, LocalKit

TARGETS = ("aws", "azure", "gcp")

Agree = Callable[[str, Stimulus], Observation]


def _text(observation: Observation) -> str:
    # Not by ==: 1, 1.0 and True are equal, but a handler sees the difference.
    return json.dumps([observation.outcome, observation.seen], sort_keys=True, indent=1)


@pytest.fixture(scope="session")
def agree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agree]:
    """Return a function that delivers to all and gives what they agree on."""
    numbers = itertools.count()
    with ExitStack() as stack:
        neutral = stack.enter_context(LocalKit(tmp_path_factory.mktemp("properties-local")))
        kits: dict[str, Kit] = {}

        def kit_of(target: str) -> Kit:
            if target not in kits:
                folder = tmp_path_factory.mktemp(f"properties-{target}")
                kits[target] = stack.enter_context(Kit(target, folder))
            return kits[target]

        def deliver(function: str, stimulus: Stimulus) -> Observation:
            # A name of its own: the kits remember what came of a case.
            case = Case(name=f"property-{next(numbers)}", function=function, stimulus=stimulus)
            reference = neutral.observe(case)
            observed = {
                target: kit_of(target).observe(case)
                for target in TARGETS
                if kit_of(target).supports(case)
            }
            assert observed, "no target offers the function"
            for target, observation in observed.items():
                assert _text(observation) == _text(reference), (
                    target,
                    kit_of(target).logs[case.name],
                )
            return reference

        yield deliver
