"""The handler that messages of the suite arrive at."""

from __future__ import annotations

from typing import Any

#: What was handed over, in order, since the test began.
seen: list[Any] = []
#: Numbers of calls, from 0, that fail.
failing: set[int] = set()
_calls = [0]


def reset() -> None:
    """Forget everything."""
    seen.clear()
    failing.clear()
    _calls[0] = 0


def receive(item: Any, context: Any) -> None:
    """Keep what comes, unless it is to fail."""
    number = _calls[0]
    _calls[0] += 1
    if number in failing:
        raise RuntimeError("on purpose")
    seen.append(item)
