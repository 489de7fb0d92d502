"""What is caught of mistakes: by the checks that run at every build, and by Google's documents."""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from portafaas.plan import BuildPlan
from portafaas_gcp.infrastructure.verify import verify


def _table() -> Any:
    path = Path(__file__).with_name("infrastructure_mutants.py")
    spec = importlib.util.spec_from_file_location("infrastructure_mutants", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to everything in *value*."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for name, item in pairs:
        yield (*path, name)
        if isinstance(item, (dict, list)):
            yield from _places(item, (*path, name))


MUTANTS = _table()
#: One of so many places is spoilt, by turns.
STRIDE = 13


@pytest.mark.parametrize(
    "name", [*MUTANTS.STUDY, *MUTANTS.OWN, *MUTANTS.WATCH, *MUTANTS.FAILED]
)
def test_each_mistake_is_caught(
    document: dict[str, Any], everything: BuildPlan, name: str
) -> None:
    against = {**MUTANTS.WATCH, **MUTANTS.FAILED}
    spoil: Callable[[dict[str, Any]], Any] = {**MUTANTS.STUDY, **MUTANTS.OWN, **against}[name]
    assert verify(document, everything) == []
    before = copy.deepcopy(document)
    spoil(document)
    assert document != before
    assert verify(document, everything if name in against else None)


@pytest.mark.parametrize(("spoilt", "least"), [("dropped", 0.85), ("garbled", 0.75)])
def test_most_of_whatever_is_spoilt_is_caught(
    document: dict[str, Any], everything: BuildPlan, spoilt: str, least: float
) -> None:
    """What is not caught are other sound documents: another name, no retries, fewer images kept."""
    tried = caught = 0
    for path in list(_places(document["resource"]))[::STRIDE]:
        broken = copy.deepcopy(document)
        place = broken["resource"]
        for step in path[:-1]:
            place = place[step]
        if spoilt == "dropped":
            del place[path[-1]]
        elif isinstance(place[path[-1]], str):
            place[path[-1]] = "nonsense"
        if broken != document:
            tried += 1
            caught += bool(verify(broken, everything))
    assert tried > 40
    assert caught / tried >= least
