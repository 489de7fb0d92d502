"""The fault matrix is green on every target; ``docs/faults.md`` has what a larger run printed.

``FAULTS_MESSAGES`` is how many messages of each pattern there are (default: 60).
"""

from __future__ import annotations

import os
from typing import Any

import pytest

from tests.faults.matrix import TARGETS, execute_all, summary, table
from tests.faults.scenario import FAULTS, PATTERNS, faults_of

pytestmark = pytest.mark.vendor

MESSAGES = int(os.environ.get("FAULTS_MESSAGES", "60"))


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    """Run all targets together: most of the time they wait for delays."""
    found = execute_all(TARGETS, dict.fromkeys(TARGETS, MESSAGES), 7, 1, len(TARGETS))
    print(table(found))
    print(summary(found))
    return found


@pytest.mark.parametrize("target", TARGETS)
def test_every_promise_is_kept(results: dict[str, Any], target: str) -> None:
    result = results[target]
    if "skipped" in result:
        pytest.skip(result["skipped"])
    assert "error" not in result, result["error"]
    assert not result["problems"], "\n".join(result["problems"])
    assert not result["broken"], "\n".join(result["broken"])


@pytest.mark.parametrize("target", TARGETS)
def test_faults_really_happened(results: dict[str, Any], target: str) -> None:
    result = results[target]
    if "skipped" in result:
        pytest.skip(result["skipped"])
    cells = {(cell["pattern"], cell["fault"]): cell for cell in result["cells"]}
    ran = {pattern for pattern, _ in cells}
    assert {"queue", "batch", "ordered", "topic"} <= ran
    for pattern in PATTERNS:
        if pattern.name not in ran:
            continue
        for fault in faults_of(pattern):
            cell = cells[pattern.name, fault.name]
            assert cell["messages"], (pattern.name, fault.name)
            if fault.letters:
                assert cell["letters"] >= cell["messages"], (pattern.name, cell)
                assert cell["redriven"] >= cell["messages"], (pattern.name, cell)
    again = cells["queue", "raises 3 of 4 times"]
    assert again["redeliveries"] >= 3 * again["messages"]
    twice = cells["queue", "is delivered twice"]
    assert twice["duplicates"] >= twice["messages"]
    if "idempotent" in ran:
        assert cells["idempotent", "is delivered twice"]["duplicates"] == 0


@pytest.mark.parametrize("target", TARGETS)
def test_every_pattern_ran(results: dict[str, Any], target: str) -> None:
    result = results[target]
    if "skipped" in result:
        pytest.skip(result["skipped"])
    assert "error" not in result, result["error"]
    if result["without"]:
        pytest.skip(str(result["without"]))
    assert {cell["pattern"] for cell in result["cells"]} == {p.name for p in PATTERNS}


def test_the_matrix_has_every_fault() -> None:
    # A fault that no pattern has would be green for ever.
    for fault in FAULTS:
        assert any(fault.name in [f.name for f in faults_of(p)] for p in PATTERNS), fault
