"""Delivers what waits to the functions of a test, one call after another, by the test's clock.

What ``portafaas.local.dispatch`` does with processes and the time that passes, without either.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from portafaas.adapter import HttpStimulus, Stimulus
from portafaas.local.deliveries import Item, Lease, Settled, settled_of
from portafaas.local.orders import Order
from portafaas.local.schedules import fires_after
from portafaas.local.workflows import Engine
from portafaas.plan import BuildPlan, FunctionPlan, ScheduleTrigger
from portafaas.runtime import states
from portafaas.testing.clock import FrozenBroker
from portafaas.testing.executor import Answer, Executor
from portafaas.testing.records import Invocation

#: Deliveries after which something goes in circles.
MOST = 10_000
#: Seconds that a lease lasts by the machine's clock: nobody else works on a test's store.
_LEASE = 3600.0
#: Seconds beyond an instant at which the clock stops: times are floating-point numbers.
_BEYOND = 0.000_1


class Loop:
    """The deliveries of one test."""

    def __init__(
        self, plan: BuildPlan, broker: FrozenBroker, folder: Path, executor: Executor
    ) -> None:
        self._plan = plan
        self._broker = broker
        self._executor = executor
        self._functions = {function.name: function for function in plan.functions}
        self.invocations: list[Invocation] = []
        #: function -> faults that are still to come.
        self.faults: dict[str, list[Any]] = {}
        #: function -> answers that are to be lost; box -> messages to be delivered again.
        self.dropped: dict[str, int] = {}
        self.repeated: dict[str, int] = {}
        self._effects = 0
        self.engine: Engine | None = None
        if plan.workflows:
            broker.owner.lock()
            owner, now = broker.owner.id, broker.clock.now
            self.engine = Engine(folder, plan, owner=owner, now=now, lease=_LEASE)

    def close(self) -> None:
        """Give up what is under way."""
        if self.engine is not None:
            self.engine.close()

    # What is due

    def settle(self) -> None:
        """Deliver until nothing is due."""
        for _ in range(MOST):
            if not self._round():
                return
        last = ", ".join(each.function for each in self.invocations[-6:])
        raise AssertionError(
            f"nothing is settled after {MOST} rounds of deliveries: do functions call one another "
            f"in a circle, or is a delay of 'retry' 0? The last ones: {last}"
        )

    def _round(self) -> bool:
        """Give each function what is due for it once; tell whether anything was."""
        self._broker.take_in()
        if self.engine is not None:
            self.engine.upkeep()
        some = False
        for function in self._plan.functions:
            if function.kind == "http":
                continue
            if function.kind == "task":
                order = self.engine.order(function.name) if self.engine is not None else None
                if order is not None:
                    self._call(function, order)
                    some = True
                continue
            lease = self._broker.lease(function, _LEASE)
            # What the platform itself has given up.
            self._broker.letters.ended()
            if lease is not None:
                self._deliver(function, lease)
                some = True
        return some or (self.engine is not None and self.engine.pressing())

    def drain(self, timeouts: bool) -> None:
        """Deliver until nothing waits, moving the clock to what is due next."""
        for _ in range(MOST):
            self.settle()
            due = self._due(timeouts)
            if due is None:
                return
            self._broker.advance(due - self._broker.clock.virtual + _BEYOND)
        raise AssertionError(f"something is due again and again, {MOST} times: {self.waiting()}")

    def until(self, target: float) -> None:
        """Let time pass: what becomes due on the way is delivered in the order of time."""
        start = self._broker.clock.virtual
        fires = {f.name: fires_after(f, start) for f in self._plan.functions
                 if isinstance(f.trigger, ScheduleTrigger)}  # fmt: skip
        while True:
            self.settle()
            soonest = min(fires.values(), default=None)
            due = min(
                (moment for moment in (self._due(True), soonest) if moment is not None),
                default=None,
            )
            if due is None or due > target:
                break
            self._broker.advance(due - self._broker.clock.virtual + _BEYOND)
            for name, moment in fires.items():
                if moment <= self._broker.clock.virtual:
                    function = self._functions[name]
                    self._broker.fire(function, instant(moment))
                    fires[name] = fires_after(function, moment + 1.0)
        self._broker.advance(max(0.0, target - self._broker.clock.virtual))
        self.settle()

    def _due(self, timeouts: bool) -> float | None:
        due = self._broker.due_at()
        if self.engine is None:
            return due
        timer = self.engine.runs.next_due(self._broker.clock.virtual, timeouts)
        return due if timer is None else timer if due is None else min(due, timer)

    def waiting(self) -> dict[str, int]:
        """Return how much waits for each function, now or later."""
        self._broker.take_in()
        counts = {f.name: self._broker.waiting(f) for f in self._plan.functions}
        return {name: count for name, count in counts.items() if count}

    # Calls

    def request(self, function: FunctionPlan, stimulus: HttpStimulus) -> tuple[Answer, Invocation]:
        """Have an http function answer."""
        invocation = Invocation(
            function.name, "http", self._broker.clock.virtual, 1, input=stimulus
        )
        answer = self._run(invocation, lambda: self._executor.request(function, stimulus))
        invocation.result = answer.value
        if answer.value is not None and not answer.ended:
            if answer.value.status >= 500:
                invocation.status = "error"
            else:
                # What a handler raises to answer with is no failure of it.
                invocation.error = ""
        return answer, invocation

    def invoke(self, function: FunctionPlan, stimulus: Stimulus) -> Any:
        """Call a function by itself; return what came of it as JSON. Nothing comes again."""
        name, now = function.name, self._broker.clock.virtual
        invocation = Invocation(name, function.kind, now, 1, input=stimulus)
        answer = self._run(invocation, lambda: self._executor.invoke(function, stimulus))
        if answer.value is None:
            return {"error": answer.why}
        invocation.result = answer.value
        if answer.value.get("failed") or answer.value.get("error"):
            invocation.status = "error"
        return answer.value

    def _run(self, invocation: Invocation, do: Callable[[], Answer]) -> Answer:
        self.invocations.append(invocation)
        self._executor.faults(self.faults)
        try:
            answer = do()
        finally:
            self.faults = self._executor.left()
        invocation.logs = answer.logs
        invocation.exception = answer.exception
        invocation.error = answer.error or answer.why
        if answer.ended:
            invocation.status = answer.ended
        invocation.effects = self._taken()
        return answer

    def _taken(self) -> list[Mapping[str, Any]]:
        rows = self._broker.rows(
            "select number, effect from effects where number > ? order by number", (self._effects,)
        )
        if rows:
            self._effects = int(str(rows[-1][0]))
        return [json.loads(str(effect)) for _, effect in rows]

    def _deliver(self, function: FunctionPlan, lease: Lease) -> None:
        items = lease.items
        invocation = Invocation(
            function.name, function.kind, self._broker.clock.virtual,
            max(item.deliveries for item in items), tuple(item.id for item in items), items,
        )  # fmt: skip
        answer = self._run(invocation, lambda: self._executor.deliver(function, items))
        if not answer.ended and self.dropped.get(function.name):
            self.dropped[function.name] -= 1
            answer.value, invocation.status = None, "lost"
            invocation.error = "the answer was lost, as the test wanted"
        if answer.value is None:
            settled = self._executor.gone(function, items)
        else:
            settled = settled_of(answer.value)
        failed = bool(settled.again or settled.dead)
        settled = self._twice(items, settled)
        self._broker.settle(lease, settled)
        self._tell(invocation, items, settled, failed)

    def _twice(self, items: Sequence[Item], settled: Settled) -> Settled:
        """Forget that some are done, as brokers may."""
        again = dict(settled.again)
        for item in items:
            done = (
                item.number not in again
                and item.number not in settled.dead
                and item.number not in settled.untried
                and item.number not in settled.lost
            )
            if done and self.repeated.get(item.box):
                self.repeated[item.box] -= 1
                again[item.number] = 0.0
        rest = (settled.untried, settled.alone, settled.copies, settled.lost, settled.anew)
        return Settled(again, settled.dead, *rest)

    @staticmethod
    def _tell(
        invocation: Invocation, items: Sequence[Item], settled: Settled, failed: bool
    ) -> None:
        outcomes, delays = {}, {}
        for item in items:
            if item.number in settled.lost:
                outcomes[item.id] = "lost"
            elif item.number in settled.dead:
                outcomes[item.id] = "dead"
            elif item.number in settled.again:
                outcomes[item.id] = "again"
                delays[item.id] = settled.again[item.number]
            else:
                outcomes[item.id] = "held" if item.number in settled.untried else "done"
        invocation.outcomes, invocation.delays = outcomes, delays
        if invocation.status == "ok" and (failed or invocation.error):
            late = invocation.error.startswith("handler exceeded its timeout")
            invocation.status = "timeout" if late else "error"
        if not invocation.error and settled.dead:
            letter = json.loads(next(iter(settled.dead.values())))
            invocation.error = letter.get("error", "")

    def _call(self, function: FunctionPlan, order: Order) -> None:
        assert self.engine is not None
        invocation = Invocation(
            function.name, "task", self._broker.clock.virtual, order.attempt, (order.key,),
            order.input,
        )  # fmt: skip
        answer = self._run(invocation, lambda: self._executor.call(function, order.task()))
        value = answer.value
        if value is None:
            name = states.TIMEOUT if answer.ended == "timeout" else states.TASK_FAILED
            value = {"error": name, "cause": answer.why}
        elif "error" in value:
            late = value["error"] == states.TIMEOUT
            invocation.status = "timeout" if late else "error"
            invocation.error = f"{value['error']}: {value['cause']}"
        else:
            invocation.result = value["ok"]
        self.engine.answer(order, value)


def instant(moment: float) -> str:
    """Return seconds since 1970 as RFC 3339 in UTC."""
    from portafaas.runtime.text import epoch_time

    return epoch_time(moment)
