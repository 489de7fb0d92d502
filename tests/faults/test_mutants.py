"""The suite is able to fail: it catches each of ``mutants``."""

from __future__ import annotations

from typing import Any

import pytest

from tests.faults.matrix import execute_all
from tests.faults.mutants import MUTANTS

pytestmark = pytest.mark.vendor

_MESSAGES = 40


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    names = {f"{mutant.target}/{name}": name for name, mutant in MUTANTS.items()}
    extra = {
        key: ["--patterns", MUTANTS[name].pattern, "--mutant", name] for key, name in names.items()
    }
    found = execute_all(list(names), dict.fromkeys(names, _MESSAGES), 5, 1, 3, extra)
    return {names[key]: result for key, result in found.items()}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_caught(results: dict[str, Any], name: str) -> None:
    result = results[name]
    if "skipped" in result:
        pytest.skip(result["skipped"])
    assert "error" not in result, result["error"]
    assert set(result["rules"]) & MUTANTS[name].rules, (result["rules"], result["problems"])
