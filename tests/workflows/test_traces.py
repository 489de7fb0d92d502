"""The comparison of traces finds what differs, and allows what may."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.workflows.cases import BY_NAME
from tests.workflows.scripts import reference
from tests.workflows.test_cases import as_ledger
from tests.workflows.traces import difference

Ledger = list[dict[str, Any]]


def wrong(name: str, change: Callable[[Ledger], Ledger | None], **outcome: Any) -> str:
    case = BY_NAME[name]
    trace = reference(case)
    ledger = as_ledger(case, trace)
    return difference(trace, change(ledger) or ledger, outcome or trace.outcome)


def at(*places: int) -> Callable[[Ledger], Ledger]:
    return lambda ledger: [ledger[place] for place in places]


def with_(place: int, **change: Any) -> Callable[[Ledger], Ledger]:
    return lambda ledger: [*ledger[:place], {**ledger[place], **change}, *ledger[place + 1 :]]


@pytest.mark.parametrize(
    ("name", "change", "word"),
    [
        ("sequence", at(0, 1), "after 2 calls"),
        ("sequence", at(0, 1, 2, 2), "call 3"),
        ("sequence", at(0, 2, 1), "call 1"),
        ("sequence", with_(1, input={"x": 2}), "call 1"),
        ("sequence", with_(1, function="three"), "call 1"),
        ("sequence", with_(1, step="x"), "call 1"),
        ("retry-then-right", with_(1, attempt=1), "call 1"),
        ("retry-then-right", with_(1, key="another"), "key"),
        ("sequence", with_(1, key="a"), "key"),
        # b of a branch before its a; one of the five items more at once than may be.
        ("parallel", lambda ledger: [ledger[2], ledger[0], ledger[1]], "call 0"),
        ("map-concurrency", lambda ledger: [c for c in ledger if c["step"] == "a"], "call 2"),
        ("saga-third-fails", at(0, 1, 2, 4, 3), "call 3"),
    ],
)
def test_what_differs_is_found(name: str, change: Any, word: str) -> None:
    assert word in wrong(name, change)


def test_outcomes() -> None:
    assert "outcome" in wrong("sequence", list, ok={"did": "two"})
    assert "outcome" in wrong("sequence", list, error="X", cause="")
    assert "outcome" in wrong("error", list, error="Broken", cause="otherwise")
    assert "outcome" in wrong("error", list, ok=None)
    # The engine's own words.
    assert not wrong("map-too-many-fails", list, error="Map.TooManyItems", cause="otherwise")


@pytest.mark.parametrize("places", [(0, 1, 2), (1, 0, 2), (0, 2, 1)])
def test_branches_come_in_any_order(places: tuple[int, ...]) -> None:
    ledger = as_ledger(BY_NAME["parallel"], reference(BY_NAME["parallel"]))
    order = [ledger.index(one) for one in sorted(ledger, key=lambda c: "acb".index(c["step"]))]
    assert not wrong("parallel", at(*(order[place] for place in places)))
