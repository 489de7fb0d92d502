"""Calls of functions that runs of workflows have asked for, until somebody makes them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Any

from portafaas.record import dataclass


@dataclass(frozen=True, slots=True)
class Order:
    """One call of a function for a run; ``timeout`` in seconds, None for the function's own."""

    run: str
    workflow: str
    place: str
    step: str
    function: str
    input: Any
    attempt: int
    key: str
    timeout: float | None
    #: Which of the engine's makings of the run asks: a later one asks again.
    making: object
    #: On the monotonic clock, until when the one who was at it before may be; 0 for nobody.
    patience: float = 0.0

    @property
    def mark(self) -> str:
        """The mark of the call, which its effects have."""
        return f"{self.run}/{self.place}/{self.attempt}"

    def task(self) -> dict[str, Any]:
        """Return it as ``portafaas.runtime.task.task_of`` takes it."""
        return {
            "input": self.input,
            "workflow": self.workflow,
            "run": self.run,
            "step": self.step,
            "attempt": self.attempt,
            "key": self.key,
        }


class Orders:
    """The calls that are to be made, the oldest of each function first.

    *timeouts* are the functions that can be called, and for how many seconds at most.
    """

    def __init__(self, timeouts: dict[str, int]) -> None:
        self.timeouts = timeouts
        self._waiting: dict[str, deque[Order]] = {name: deque() for name in timeouts}
        #: Calls to be made again, and when, on the monotonic clock.
        self._deferred: list[tuple[float, Order]] = []

    def add(self, order: Order) -> None:
        """Have it made."""
        self._waiting[order.function].append(order)

    def next(self, function: str) -> Order | None:
        """Return the next call of *function*, None when there is none; it is given once."""
        waiting = self._waiting.get(function)
        return waiting.popleft() if waiting else None

    def defer(self, order: Order, seconds: float) -> None:
        """Have it made again in *seconds*."""
        self._deferred.append((monotonic() + seconds, order))

    def renew(self, wanted: Callable[[Order], bool]) -> None:
        """Have those made again that were deferred for as long, and are *wanted* still."""
        waiting, self._deferred = self._deferred, []
        for when, order in waiting:
            if not wanted(order):
                continue
            if when > monotonic():
                self._deferred.append((when, order))
            else:
                self.add(order)

    def forget(self, run: str) -> None:
        """Make no more calls of a run."""
        for waiting in self._waiting.values():
            for order in [order for order in waiting if order.run == run]:
                waiting.remove(order)

    @property
    def some(self) -> bool:
        """Tell whether there is a call to be made now."""
        return any(self._waiting.values())

    @property
    def deferred(self) -> bool:
        """Tell whether calls are to be made again soon, by the real clock."""
        return bool(self._deferred)
