"""Conditions, retries and durations of workflows in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def condition(when: Mapping[str, Any]) -> str:
    """Return a condition as text: ``$.total > 100000 and not ($.vip == true)``."""
    ((word, rest),) = when.items()
    if word in ("and", "or"):
        parts = [condition(one) for one in rest]
        return f" {word} ".join(
            f"({text})" if next(iter(one)) in ("and", "or") and len(parts) > 1 else text
            for one, text in zip(rest, parts, strict=True)
        )
    if word == "not":
        return f"not ({condition(rest)})"
    ((operator, value),) = rest.items()
    if operator == "is":
        return f"{word} is {value}"
    return f"{word} {operator} {value_text(value)}"


def value_text(value: Any) -> str:
    """Return a value of a condition; a path stands for itself."""
    import json

    from portafaas.runtime.states import is_path

    return value if is_path(value) else json.dumps(value, ensure_ascii=False)


def retry(rule: Mapping[str, Any]) -> str:
    """Return a retry rule as text: ``tries 3 times: 1 s, x2, up to 1 min``."""
    errors = [] if rule["errors"] == ["States.ALL"] else list(rule["errors"])
    if rule["attempts"] == 1:
        return f"does not retry {', '.join(errors) or 'anything'}"
    parts = [length(rule["initial"])]
    if rule["factor"] != 1:
        parts.append(f"x{rule['factor']:g}")
    if "max" in rule:
        parts.append(f"up to {length(rule['max'])}")
    if rule["jitter"]:
        parts.append("jitter")
    of = f" on {', '.join(errors)}" if errors else ""
    return f"tries {rule['attempts']} times{of}: {', '.join(parts)}"


#: Keeps a number and its unit on one line.
_JOINT = "\u00a0"


def length(seconds: float) -> str:
    """Return a duration with at most two units: ``350 ms``, ``1.5 s``, ``2 min 5 s``, ``1 d``."""
    if seconds < 0.9995:
        return f"{round(seconds * 1000)}{_JOINT}ms" if seconds > 0 else f"0{_JOINT}s"
    if seconds < 59.95:
        return f"{seconds:.1f}".removesuffix(".0") + f"{_JOINT}s"
    left = round(seconds)
    units = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))
    place = next(place for place, (_, size) in enumerate(units) if left >= size)
    parts = []
    for unit, size in units[place : place + 2]:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{_JOINT}{unit}")
    return _JOINT.join(parts)


def wrapped(text: str, cells: int, most: int) -> tuple[str, ...]:
    """Return *text* on at most *most* lines of *cells* cells, broken at spaces where there are."""
    from portafaas.graph.text import cut

    lines: list[str] = []
    # Control characters, line breaks among them, become spaces.
    words = [word for word in cut(text, len(text) * 2 + 1).split(" ") if word]
    while words:
        line = words.pop(0)
        while words and len(line) + 1 + len(words[0]) <= cells:
            line += " " + words.pop(0)
        lines.append(line)
    if len(lines) > most:
        lines = [*lines[: most - 1], " ".join(lines[most - 1 :])]
    return tuple(cut(line, cells) for line in lines)
