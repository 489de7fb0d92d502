"""Conditions as programs: a list of comparisons, each with where to go on.

``portafaas_choose`` of the library runs them. Whether ``and`` and ``or`` of the expression language
look at their right side is not documented, so they are not used: a comparison that is not needed
is not made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from portafaas.runtime.states import is_path, parsed
from portafaas_gcp.workflows.expressions import literal


def program(conditions: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the program that finds the first condition that holds.

    Its outcome is the index of that condition, or how many there are if none holds.
    """
    out: list[dict[str, Any]] = []
    for index, condition in enumerate(conditions):
        last = index + 1 == len(conditions)
        size = _size(condition)
        start = len(out)
        _write(
            out,
            condition,
            _outcome(index),
            _outcome(index + 1) if last else start + size,
        )
    return out


def _outcome(number: int) -> int:
    return -1 - number


def _size(condition: Mapping[str, Any]) -> int:
    ((word, rest),) = condition.items()
    if word in ("and", "or"):
        return sum(_size(one) for one in rest)
    return _size(rest) if word == "not" else 1


def _write(out: list[dict[str, Any]], condition: Mapping[str, Any], yes: int, no: int) -> None:
    """Append *condition*; go on at *yes* if it holds, else at *no*."""
    ((word, rest),) = condition.items()
    if word == "not":
        _write(out, rest, no, yes)
        return
    if word in ("and", "or"):
        for one in rest[:-1]:
            following = len(out) + _size(one)
            if word == "and":
                _write(out, one, following, no)
            else:
                _write(out, one, yes, following)
        _write(out, rest[-1], yes, no)
        return
    ((operator, other),) = rest.items()
    leaf: dict[str, Any] = {"of": _of(word), "path": list(parsed(word)), "op": operator}
    if operator != "is" and is_path(other):
        leaf |= {"with": _of(other), "other": list(parsed(other))}
    else:
        leaf |= {"with": "value", "other": other}
    out.append(literal({**leaf, "yes": yes, "no": no}))


def _of(path: str) -> str:
    return "context" if path.startswith("$$") else "document"
