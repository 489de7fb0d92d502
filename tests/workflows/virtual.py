"""Runs a machine in this process with a virtual clock: what engines must equal."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from portafaas.runtime.workflow import Call, Signal, Sleep, Together, run

#: ``(kind, name, input, attempt)`` -> ``(seconds it takes, {"ok"} or {"error", "cause"})``.
World = Callable[[Call], tuple[float, dict[str, Any]]]


@dataclass
class Called:
    """One call of a task; ``workflow`` is the one whose step it is, also of a sub-workflow."""

    workflow: str
    step: str
    function: str
    input: Any
    attempt: int


@dataclass
class Both:
    """Lanes of which at most ``limit`` run at once."""

    limit: int
    lanes: list[list[Any]]


#: One after the other: :class:`Called` and :class:`Both`.
Lane = list[Any]


@dataclass
class Trace:
    """What a run did. ``calls`` in the order of their beginnings: (time, step, name, input,
    attempt, place). ``lane`` says what has to be before what."""

    outcome: dict[str, Any] = field(default_factory=dict)
    calls: list[tuple[float, str, str, Any, int, str]] = field(default_factory=list)
    seconds: float = 0.0
    lane: Lane = field(default_factory=list)


@dataclass
class Scope:
    """A run of a workflow within another; nothing of it goes on when its time is over."""

    workflow: str
    outer: Scope | None = None
    stopped: bool = False
    done: bool = False

    @property
    def over(self) -> bool:
        return self.stopped or (self.outer is not None and self.outer.over)


class Clock:
    """A heap of what happens when."""

    def __init__(self, start: float = 1_800_000_000.0) -> None:
        self.now = self.start = start
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def after(self, seconds: float, do: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._queue, (self.now + max(seconds, 0.0), self._count, do))

    def run(self) -> None:
        while self._queue:
            self.now, _, do = heapq.heappop(self._queue)
            do()


def execute(
    machine: Mapping[str, Any],
    input: Any,
    world: World,
    machines: Mapping[str, Mapping[str, Any]] | None = None,
    signals: Mapping[str, tuple[float, Any]] | None = None,
    workflow: str = "",
) -> Trace:
    """Run *machine*; *signals*: name -> (seconds after it is waited for, payload).

    The outcome is ``{}`` when it waits for a signal that does not come.
    """
    trace, clock = Trace(), Clock()

    def drive(
        running: Any, done: Callable[[Any], None], lane: Lane, scope: Scope, answer: Any = None
    ) -> None:
        if scope.over:
            return
        try:
            request = running.send(answer)
        except StopIteration as end:
            done(end.value)
            return

        def go_on(answer: Any) -> None:
            drive(running, done, lane, scope, answer)

        if isinstance(request, Sleep):
            seconds = request.seconds
            if seconds is None:
                text = str(request.until).replace("Z", "+00:00")
                seconds = datetime.fromisoformat(text).timestamp() - clock.now
            clock.after(seconds, lambda: go_on(None))
        elif isinstance(request, Signal):
            when, payload = (signals or {}).get(request.name, (float("inf"), None))
            if request.timeout is not None and when > request.timeout:
                late = {"error": "States.Timeout", "cause": ""}
                clock.after(request.timeout, lambda: go_on(late))
            elif when != float("inf"):
                clock.after(when, lambda: go_on({"ok": payload}))
        elif isinstance(request, Together):
            lanes: list[Lane] = [[] for _ in request.running]
            lane.append(Both(request.limit, lanes))

            def begin(running: Any, ended: Callable[[Any], None], index: int) -> None:
                drive(running, ended, lanes[index], scope)

            _together(request, begin, go_on)
        elif request.kind == "workflow":
            assert machines is not None
            child = run(machines[request.name], request.input, request.place)
            inner = Scope(request.name, scope)

            def child_ended(value: Any) -> None:
                inner.done = True
                go_on(value)

            def late_child() -> None:
                if not inner.done:
                    inner.stopped = True
                    go_on({"error": "States.Timeout", "cause": ""})

            if request.timeout is not None:
                clock.after(request.timeout, late_child)
            drive(child, child_ended, lane, inner)
        else:
            assert isinstance(request, Call)
            trace.calls.append(
                (clock.now - clock.start, request.step, request.name, request.input,
                 request.attempt, request.place)
            )  # fmt: skip
            lane.append(
                Called(scope.workflow, request.step, request.name, request.input, request.attempt)
            )
            seconds, answer_ = world(request)
            if request.timeout is not None and seconds > request.timeout:
                seconds, answer_ = request.timeout, {"error": "States.Timeout", "cause": ""}
            clock.after(seconds, lambda: go_on(answer_))

    def ended(outcome: Any) -> None:
        trace.outcome = outcome
        trace.seconds = clock.now - clock.start

    drive(run(machine, input, "run-1"), ended, trace.lane, Scope(workflow))
    clock.run()
    return trace


def _together(request: Together, drive: Any, go_on: Callable[[Any], None]) -> None:
    waiting = list(enumerate(request.running))
    answers: list[Any] = [None] * len(waiting)
    running, beginning = 0, False

    def begin() -> None:
        nonlocal running, beginning
        if beginning:
            # One that ended at once: the loop below goes on.
            return
        beginning = True
        while waiting and running < request.limit:
            index, one = waiting.pop(0)
            running += 1
            drive(one, lambda value, index=index: done(index, value), index)
        beginning = False
        if not waiting and not running:
            go_on(answers)

    def done(index: int, value: Any) -> None:
        nonlocal running
        answers[index] = value
        running -= 1
        begin()

    begin()
