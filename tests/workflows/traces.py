"""Compares what an engine did with the reference (``virtual.Trace``).

Equal are the calls with their inputs and attempts, in an order that the reference allows: what
comes one after the other in its order, branches and items in any, at most as many items begun and
not ended as may run at once. Errors that nobody catches may cut other branches short. The causes of
errors that the engine makes are not compared, neither in the outcome nor within inputs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tests.workflows.project.scripted import MADE, plain
from tests.workflows.virtual import Both, Called, Lane, Trace

FATAL = ("States.Runtime", "States.DataLimitExceeded")
__all__ = ["MADE", "difference", "keys", "orders", "outcomes", "plain"]


def text(value: Any) -> str:
    return json.dumps(plain(value), sort_keys=True, ensure_ascii=False)


def difference(
    trace: Trace, ledger: Sequence[Mapping[str, Any]], outcome: Mapping[str, Any]
) -> str:
    """Return in which way an engine differs from the reference; "" if it does not.

    *ledger*: one mapping a call in the order of their beginnings, with ``workflow``, ``step``,
    ``function``, ``input``, ``attempt``, and ``key`` if that is to be checked. *outcome*:
    ``{"ok": value}`` or ``{"error", "cause"}``.
    """
    return (
        outcomes(trace.outcome, outcome)
        or orders(trace, ledger)
        or keys([entry for entry in ledger if "key" in entry])
    )


def outcomes(wanted: Mapping[str, Any], got: Mapping[str, Any]) -> str:
    if "error" in wanted or "error" in got:
        same = wanted.get("error") == got.get("error") and (
            wanted["error"] in MADE or wanted["cause"] == got.get("cause")
        )
    else:
        same = text(wanted) == text(got)
    return "" if same else f"outcome: wanted {text(wanted)}, got {text(got)}"


def keys(ledger: Sequence[Mapping[str, Any]]) -> str:
    """A key is one for all attempts at one entry into a step, and another for every other."""
    seen: dict[str, list[Mapping[str, Any]]] = {}
    for entry in ledger:
        seen.setdefault(entry["key"], []).append(entry)
    for key, entries in seen.items():
        if [entry["attempt"] for entry in entries] != list(range(1, len(entries) + 1)):
            return f"key {key!r} has attempts {[entry['attempt'] for entry in entries]}"
        if len({(e["step"], e["function"], text(e["input"])) for e in entries}) != 1:
            return f"key {key!r} is of different calls"
    return ""


#: What is left of a lane: labels, or (limit, lanes not begun or begun).
_Left = tuple[Any, ...]


def _frozen(lane: Lane) -> _Left:
    out: list[Any] = []
    for one in lane:
        if isinstance(one, Called):
            out.append(_label(one.workflow, one.step, one.function, one.input, one.attempt))
        else:
            assert isinstance(one, Both)
            lanes = [_frozen(inner) for inner in one.lanes]
            lanes = [inner for inner in lanes if inner]
            if lanes and one.limit == 1:
                out.extend(label for inner in lanes for label in inner)
            elif lanes:
                out.append(
                    (one.limit, tuple(sorted(((False, inner) for inner in lanes), key=repr)))
                )
    return tuple(out)


def _label(workflow: str, step: str, function: str, input: Any, attempt: int) -> str:
    return f"{workflow}/{step}: {function}({text(input)}) attempt {attempt}"


def _after(left: _Left, label: str) -> list[_Left]:
    """Return what may be left after a call; [] when it may not be now."""
    if not left:
        return []
    head, rest = left[0], left[1:]
    if isinstance(head, str):
        return [rest] if head == label else []
    limit, lanes = head
    running = sum(begun for begun, _ in lanes)
    found = []
    for index, (begun, lane) in enumerate(lanes):
        if lane in [one for b, one in lanes[:index] if b == begun]:
            continue
        if not begun and running >= limit:
            continue
        for inner in _after(lane, label):
            others = [*lanes[:index], *lanes[index + 1 :]]
            # The last call of a lane has begun: another may.
            if inner:
                others.append((True, inner))
            if others:
                found.append(((limit, tuple(sorted(others, key=repr))), *rest))
            else:
                found.append(rest)
    return found


def _next(left: _Left) -> list[str]:
    if not left:
        return []
    if isinstance(left[0], str):
        return [left[0]]
    return [label for _, lane in left[0][1] for label in _next(lane)]


def orders(trace: Trace, ledger: Sequence[Mapping[str, Any]]) -> str:
    """Return which call may not be where it is, or is missing."""
    possible: set[_Left] = {_frozen(trace.lane)}
    for number, entry in enumerate(ledger):
        label = _label(
            entry["workflow"], entry["step"], entry["function"], entry["input"], entry["attempt"]
        )
        following = {after for left in possible for after in _after(left, label)}
        if not following:
            wanted = sorted({label for left in possible for label in _next(left)})
            return f"call {number}: got {label}, wanted {' or '.join(wanted) or 'none'}"
        possible = following
    if () in possible:
        return ""
    if trace.outcome.get("error") in FATAL and any(_only_branches(left) for left in possible):
        return ""
    wanted = sorted({label for left in possible for label in _next(left)})
    return f"after {len(ledger)} calls: wanted {' or '.join(wanted)}"


def _only_branches(left: _Left) -> bool:
    return len(left) == 1 and not isinstance(left[0], str)
