"""The rate limit of a route, as one instance enforces its share of it. Ships.

A token bucket: ``burst`` requests may come at once, ``per_second`` more become free each second.
"""

from __future__ import annotations

from threading import Lock
from time import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any


class Bucket:
    """Tokens of one route. *now* returns seconds; wall-clock time, which goes on in a frozen
    instance.
    """

    __slots__ = ("_last", "_lock", "_now", "burst", "per_second", "tokens")

    def __init__(self, limit: Mapping[str, Any], now: Callable[[], float] = time) -> None:
        self.per_second: float = limit["per_second"]
        self.burst: float = limit["burst"]
        self.tokens = self.burst
        self._now = now
        self._last = now()
        self._lock = Lock()

    def take(self) -> int:
        """Take a token and return 0, or return the whole seconds until one is free."""
        with self._lock:
            now = self._now()
            # A clock that was set back must not take tokens away.
            passed = max(0.0, now - self._last)
            self._last = now
            self.tokens = min(self.burst, self.tokens + passed * self.per_second)
            if self.tokens >= 1:
                self.tokens -= 1
                return 0
            return max(1, -int(-(1 - self.tokens) / self.per_second // 1))
