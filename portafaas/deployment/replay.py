"""Drives the generator of a run with the answers that are kept, and on with those that come.

Pure: what is asked for is told to who drives it, and what comes of it is fed. The same answers make
the same run, so that any process goes on where another ended, and history is read by running anew.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from portafaas.runtime import states
from portafaas.runtime.workflow import Request, Together, run

if TYPE_CHECKING:
    from portafaas.runtime.workflow import Running

#: Stands for an answer that is not there yet.
PENDING: Any = object()
#: Told of a request; returns the answer, or PENDING, and when it came.
Ask = Callable[[Request, "Strand"], tuple[Any, float]]


class Strand:
    """One generator of a run, and what to do when it ends. ``time`` is of its last answer."""

    __slots__ = ("done", "running", "time")

    def __init__(
        self, running: Running, time: float, done: Callable[[Any, float], None]
    ) -> None:
        self.running = running
        self.time = time
        self.done = done


class Replay:
    """One run. ``outcome`` is None until it has ended."""

    def __init__(
        self,
        machine: Mapping[str, Any],
        input: Any,
        id: str,
        started: float,
        ask: Ask,
        tell: Callable[[str, str, str, Any], None] | None = None,
    ) -> None:
        self._ask = ask
        self.outcome: dict[str, Any] | None = None
        #: When what is going on right now happened.
        self.time = started
        self._root = Strand(run(machine, input, id, tell), started, self._end)

    def _end(self, outcome: Any, time: float) -> None:
        self.outcome = outcome

    def begin(self) -> None:
        """Run until answers are missing."""
        self.feed(self._root, None, self._root.time)

    def feed(self, strand: Strand, answer: Any, time: float) -> None:
        """Give *strand* an answer, and run until others are missing."""
        try:
            self._go(strand, answer, time)
        except Exception as exc:
            # Never of the run's own: it must not hang for that.
            self.outcome = {"error": states.RUNTIME, "cause": f"{type(exc).__name__}: {exc}"}

    def _go(self, strand: Strand, answer: Any, time: float) -> None:
        while True:
            self.time = strand.time = max(strand.time, time)
            try:
                request = strand.running.send(answer)
            except StopIteration as end:
                strand.done(end.value, strand.time)
                return
            if isinstance(request, Together):
                answer, time = _Group(self, strand, request).fill()
            else:
                answer, time = self._ask(request, strand)
            if answer is PENDING:
                return


class _Group:
    """Generators of which some run at once."""

    __slots__ = (
        "_answers", "_ends", "_filling", "_left", "_next", "_replay", "_request", "_strand",
    )  # fmt: skip

    def __init__(self, replay: Replay, strand: Strand, request: Together) -> None:
        self._replay = replay
        self._strand = strand
        self._request = request
        self._answers: list[Any] = [None] * len(request.running)
        self._left = len(request.running)
        self._next = 0
        self._filling = False
        #: When each place became free.
        self._ends = [strand.time] * min(request.limit, self._left)

    def fill(self) -> tuple[Any, float]:
        """Begin as many as may run; return the answers when all have ended."""
        self._filling = True
        while self._ends and self._next < len(self._answers):
            self._begin(self._next, heapq.heappop(self._ends))
        self._filling = False
        if self._left:
            return PENDING, 0.0
        return self._answers, max(self._ends, default=self._strand.time)

    def _begin(self, index: int, time: float) -> None:
        self._next += 1

        def done(value: Any, time: float) -> None:
            self._answers[index] = value
            self._left -= 1
            heapq.heappush(self._ends, time)
            if not self._filling:
                answers, latest = self.fill()
                if answers is not PENDING:
                    self._replay._go(self._strand, answers, latest)

        strand = Strand(self._request.running[index], time, done)
        self._replay._go(strand, None, time)
