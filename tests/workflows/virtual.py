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
class Trace:
    """What a run did. ``calls`` in the order of their beginnings: (time, step, name, input,
    attempt, place)."""

    outcome: dict[str, Any] = field(default_factory=dict)
    calls: list[tuple[float, str, str, Any, int, str]] = field(default_factory=list)
    seconds: float = 0.0


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
) -> Trace:
    """Run *machine*; *signals*: name -> (seconds after it is waited for, payload)."""
    trace, clock = Trace(), Clock()

    def drive(running: Any, done: Callable[[Any], None], answer: Any = None) -> None:
        try:
            request = running.send(answer)
        except StopIteration as end:
            done(end.value)
            return

        def go_on(answer: Any) -> None:
            drive(running, done, answer)

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
            _together(request, drive, go_on)
        elif request.kind == "workflow":
            assert machines is not None
            child = run(machines[request.name], request.input, request.place)
            drive(child, go_on)
        else:
            assert isinstance(request, Call)
            trace.calls.append(
                (clock.now - clock.start, request.step, request.name, request.input,
                 request.attempt, request.place)
            )  # fmt: skip
            seconds, answer_ = world(request)
            if request.timeout is not None and seconds > request.timeout:
                seconds, answer_ = request.timeout, {"error": "States.Timeout", "cause": ""}
            clock.after(seconds, lambda: go_on(answer_))

    drive(run(machine, input, "run-1"), lambda value: trace.__setattr__("outcome", value))
    clock.run()
    trace.seconds = clock.now - clock.start
    return trace


def _together(request: Together, drive: Any, go_on: Callable[[Any], None]) -> None:
    waiting = list(enumerate(request.running))
    answers: list[Any] = [None] * len(waiting)
    left = len(waiting)
    if not left:
        go_on([])
        return

    def begin() -> None:
        index, running = waiting.pop(0)

        def done(value: Any) -> None:
            nonlocal left
            answers[index] = value
            left -= 1
            if waiting:
                begin()
            elif not left:
                go_on(answers)

        drive(running, done)

    for _ in range(min(request.limit, left)):
        begin()
