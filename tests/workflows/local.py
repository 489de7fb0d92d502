"""Runs machines on the local engine: its real store, a virtual clock, answers that are scripted.

``crash``: after so many steps the engine is dropped as by a kill, and another goes on.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from portafaas.local.driver import portafaas_local_resources as driver
from portafaas.local.runs import Runs
from portafaas.local.workflows import Engine, Order
from portafaas.plan import BuildPlan, FunctionPlan, TaskTrigger, WorkflowPlan
from portafaas.plan.machines import called
from portafaas.runtime.workflow import Call
from tests.workflows.virtual import Trace, World


def plan_of(machines: Mapping[str, Mapping[str, Any]]) -> BuildPlan:
    names = {name for machine in machines.values() for name in called(machine)}
    return BuildPlan(
        "flow", "", "3.12", "x86_64",
        tuple(FunctionPlan(name, "app", "work", TaskTrigger()) for name in sorted(names)),
        workflows=tuple(WorkflowPlan(name, machine) for name, machine in machines.items()),
    )  # fmt: skip


class Local:
    """One store; engines on it come and go."""

    def __init__(
        self, folder: Path, machines: Mapping[str, Mapping[str, Any]], world: World,
        signals: Mapping[str, tuple[float, Any]] | None = None, crash: Callable[[], bool] | None = None,
    ) -> None:
        self.folder, self.plan, self.world = folder, plan_of(machines), world
        self.signals = dict(signals or {})
        self.crash = crash or (lambda: False)
        self.now = self.start = 1_800_000_000.0
        self.engines = 0
        self.trace = Trace()
        #: What is under way: when it ends, and what comes of it.
        self.busy: list[tuple[float, int, Order, dict[str, Any]]] = []
        self.sent: set[str] = set()
        self.count = 0
        self.engine = self.made()

    def made(self) -> Engine:
        self.engines += 1
        return Engine(
            self.folder, self.plan, owner=f"engine-{self.engines}", now=lambda: self.now,
            alive=lambda owner: owner == f"engine-{self.engines}",
        )

    def kill(self) -> None:
        self.engine.abandon()
        self.busy.clear()
        self.engine = self.made()

    def run(self, workflow: str, input: Any) -> Trace:
        id = "run-1"
        with self.engine.runs.transaction():
            self.engine.runs.start(id, workflow, input, self.now)
        while self.step(id):
            if self.crash():
                self.kill()
        found = self.engine.runs.run(id)
        assert found is not None
        self.trace.outcome = dict(found.outcome or {"state": found.state})
        self.trace.seconds = self.now - self.start
        return self.trace

    def step(self, id: str) -> bool:
        """Do one thing; tell whether the run may go on."""
        run = self.engine.runs.run(id)
        if run is None or run.state != "running":
            return False
        self.engine.sweep()
        self.engine.upkeep()
        given = False
        for function in self.engine._functions:
            while order := self.engine.order(function):
                self.begin(order)
                given = True
        if given or self.signal():
            return True
        due = self.engine.next_due()
        ends = self.busy[0][0] - self.now if self.busy else None
        if self.engine.runs.awake(self.engine._owner, self.now, 1):
            return True
        if ends is not None and (due is None or ends <= due):
            self.now, _, order, answer = heapq.heappop(self.busy)
            self.engine.answer(order, answer)
            return True
        coming = [when for _, when in self.expected() if when is not None]
        if due is None and not coming:
            return False
        self.now = min([*coming, *([self.now + due] if due is not None else [])])
        return True

    def begin(self, order: Order) -> None:
        call = Call(
            order.place.rpartition("!")[0], order.step, "function", order.function, order.input,
            order.attempt, order.timeout,
        )
        self.trace.calls.append(
            (self.now - self.start, order.step, order.function, order.input, order.attempt, order.place)
        )
        seconds, answer = self.world(call)
        if order.timeout is not None and seconds > order.timeout:
            seconds, answer = order.timeout, {"error": "States.Timeout", "cause": ""}
        self.count += 1
        heapq.heappush(self.busy, (self.now + seconds, self.count, order, answer))

    def expected(self) -> list[tuple[tuple[str, str, str], float | None]]:
        rows = self.engine.runs.connection.execute(
            "select run, place, name, begun, due from steps where kind = 'signal' and ended is null"
        ).fetchall()
        found = []
        for run, place, name, begun, due in rows:
            after = self.signals.get(name, (None, None))[0]
            late = after is None or (due is not None and begun + after > due)
            found.append(((run, place, name), None if late else begun + after))
        return found

    def signal(self) -> bool:
        for (run, _, name), when in self.expected():
            if when is not None and when <= self.now:
                workflow = self.engine.runs.run(run).workflow  # type: ignore[union-attr]
                address = self.folder / "workflow" / workflow
                driver.signal_run(str(address), run, name, self.signals[name][1])
                return True
        return False


def execute(
    folder: Path, machine: Mapping[str, Any], input: Any, world: World,
    machines: Mapping[str, Mapping[str, Any]] | None = None,
    signals: Mapping[str, tuple[float, Any]] | None = None, crash: Callable[[], bool] | None = None,
) -> Trace:
    """As ``virtual.execute``."""
    known = {**(machines or {}), "main-of-test": machine}
    local = Local(folder, known, world, signals, crash)
    try:
        return local.run("main-of-test", input)
    finally:
        local.engine.abandon()


__all__ = ["Local", "Runs", "execute", "plan_of"]
