"""Runs machines on the local engine: its real store, a virtual clock, answers that are scripted."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from portafaas.local.driver import portafaas_local_resources as driver
from portafaas.local.orders import Order
from portafaas.local.workflows import Engine
from portafaas.plan import BuildPlan, FunctionPlan, TaskTrigger, WorkflowPlan
from portafaas.plan.machines import called
from portafaas.runtime.workflow import Call
from tests.workflows.virtual import World


def plan_of(machines: Mapping[str, Mapping[str, Any]]) -> BuildPlan:
    names = {name for machine in machines.values() for name in called(machine)}
    return BuildPlan(
        "flow", "", "3.12", "x86_64",
        tuple(FunctionPlan(name, "app", "work", TaskTrigger()) for name in sorted(names)),
        workflows=tuple(WorkflowPlan(name, machine) for name, machine in machines.items()),
    )  # fmt: skip


class Local:
    """One store; engines on it come and go.

    *crashes*: behind every transaction the engine is dropped as by a kill, with all that is under
    way, and another goes on.
    """

    def __init__(
        self, folder: Path, machines: Mapping[str, Mapping[str, Any]], world: World,
        signals: Mapping[str, tuple[float, Any]] | None = None, crashes: bool = False,
    ) -> None:  # fmt: skip
        self.folder, self.plan, self.world = folder, plan_of(machines), world
        self.signals = dict(signals or {})
        self.crashes = crashes
        self.now = self.start = 1_800_000_000.0
        self.engines = 0
        self.kills = 0
        #: As the comparison of traces takes it: calls in the order of their beginnings, each once.
        self.ledger: list[dict[str, Any]] = []
        #: By run and place: when a call ends, and what comes of it.
        self.known: dict[tuple[str, str], tuple[float, dict[str, Any]]] = {}
        self.answered: set[tuple[str, str]] = set()
        #: What is under way: when it ends, a number, the order.
        self.busy: list[tuple[float, int, Order]] = []
        self.count = 0
        self.engine = self.made()

    def made(self) -> Engine:
        self.engines += 1
        return Engine(
            self.folder, self.plan, owner=f"engine-{self.engines}", now=lambda: self.now,
            alive=lambda owner: owner == f"engine-{self.engines}",
        )  # fmt: skip

    def kill(self) -> None:
        self.kills += 1
        self.engine.abandon()
        self.busy.clear()
        self.engine = self.made()

    def run(self, workflow: str, input: Any) -> dict[str, Any]:
        """Return the outcome: {} for one that waits for what does not come."""
        with self.engine.runs.transaction():
            self.engine.runs.start("run-1", workflow, input, self.now)
        kept = self.kept()
        while self.step("run-1"):
            if self.crashes and self.kept() != kept:
                self.kill()
                self.engine.sweep()
                kept = self.kept()
        found = self.engine.runs.run("run-1")
        assert found is not None
        return dict(found.outcome or {})

    def kept(self) -> tuple[int, ...]:
        """Return how far the runs are; a claim alone, which a crash undoes, is nothing."""
        found: tuple[int, ...] = self.engine.runs.connection.execute(
            "select (select count(*) from steps), (select count(ended) from steps), "
            "(select count(*) from runs), (select count(ended) from runs)"
        ).fetchone()
        return found

    def step(self, id: str) -> bool:
        """Do one thing; tell whether the run may go on."""
        run = self.engine.runs.run(id)
        if run is None or run.state != "running":
            return False
        if self.engine.pressing():
            self.engine.upkeep()
            for function in self.engine.orders.timeouts:
                while order := self.engine.order(function):
                    self.begin(order)
            return True
        if self.signal():
            return True
        due = self.engine.next_due()
        coming = [when for _, when in self.expected() if when is not None]
        timer = min([*coming, *([self.now + due] if due is not None else [])], default=None)
        if self.busy and (timer is None or self.busy[0][0] <= timer):
            ends, _, order = heapq.heappop(self.busy)
            self.now = max(self.now, ends)
            self.answered.add((order.run, order.place))
            self.engine.answer(order, self.known[order.run, order.place][1])
            return True
        if timer is None:
            return False
        self.now = max(timer, self.now)
        return True

    def begin(self, order: Order) -> None:
        mark = (order.run, order.place)
        assert mark not in self.answered, f"{mark} is done, and called again"
        if mark not in self.known:
            self.ledger.append(
                {"workflow": order.workflow, "step": order.step, "function": order.function,
                 "input": order.input, "attempt": order.attempt, "key": order.key}
            )  # fmt: skip
            key = order.place.rpartition("!")[0]
            call = Call(
                key, order.step, "function", order.function, order.input, order.attempt,
                order.timeout,
            )  # fmt: skip
            seconds, answer = self.world(call)
            if order.timeout is not None and seconds > order.timeout:
                seconds, answer = order.timeout, {"error": "States.Timeout", "cause": ""}
            self.known[mark] = (self.now + seconds, answer)
        self.count += 1
        heapq.heappush(self.busy, (self.known[mark][0], self.count, order))

    def expected(self) -> list[tuple[tuple[str, str], float | None]]:
        """Return the signals that are waited for, and when each comes."""
        rows = self.engine.runs.connection.execute(
            "select steps.run, name, begun, due from steps join runs on runs.id = steps.run "
            "where kind = 'signal' and steps.ended is null and runs.state = 'running'"
        ).fetchall()
        found = []
        for run, name, begun, due in rows:
            after = self.signals.get(name, (None, None))[0]
            never = after is None or (due is not None and begun + after > due)
            found.append(((run, name), None if never else begun + after))
        return found

    def signal(self) -> bool:
        for (id, name), when in self.expected():
            run = self.engine.runs.run(id)
            if run is not None and when is not None and when <= self.now:
                address = self.folder / "workflow" / run.workflow
                driver.signal_run(str(address), id, name, self.signals[name][1])
                return True
        return False
