"""Workers on a few keys, interleaved at every call of the table, that crash, fail and run late.

Each worker is a thread that stops before and after each call of the local driver until the machine
lets it go on: what is drawn is the schedule. A key's work is never done by two at once, and never
again unless somebody did it and ended without having said so.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import threading
import types
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from portafaas.local import resources
from portafaas.runtime import Message, ResourceError, Throttled
from portafaas.runtime.context import Context, HandlerTimeout
from portafaas.runtime.function import Function

MODULE = "handlers_of_properties"
TIMEOUT = 20
KEYS = st.sampled_from(["a", "a", "a", "b"])
#: Where it matters who comes first.
PLACES = ["in the handler", "in the handler", "after get_row", "after the effect", "the end"]
#: The worker that a thread is, if it is one.
current = threading.local()


class Crash(BaseException):
    """The process is gone: nothing it would do is done any more."""


class Worker(threading.Thread):
    """One delivery of one message."""

    def __init__(self, machine: Machine, key: str) -> None:
        super().__init__(daemon=True)
        self.machine = machine
        self.key = key
        self.context = Context(machine.function, "i")
        self.order: BaseException | None = None
        self.crashed = self.late = self.effect = self.faulty = False
        self.at = self.outcome = ""
        self.stopped, self.go = threading.Event(), threading.Event()

    def run(self) -> None:
        current.worker = self
        try:
            self.pause("start")
            self.machine.function.handle(Message(self.key, b"{}"), self.context)
            self.outcome = "done"
        except Throttled:
            self.outcome = "busy"
        except BaseException as exc:
            self.outcome = type(exc).__name__
        self.stopped.set()

    def pause(self, at: str) -> None:
        """Wait for the machine, and do as it says."""
        if self.crashed:
            raise Crash
        self.at = at
        self.stopped.set()
        assert self.go.wait(20)
        self.go.clear()
        order, self.order = self.order, None
        if order is not None:
            raise order

    def step(self, order: BaseException | None = None) -> None:
        """Let it go on to where it stops next, or ends."""
        self.order = order
        self.stopped.clear()
        self.go.set()
        assert self.stopped.wait(20), f"stuck at {self.at}"


class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.now = 1_800_000_000.0
        self.workers: list[Worker] = []
        self.ended: list[Worker] = []
        self.running: dict[str, int] = {}
        self.effects: dict[str, int] = {}
        self.broken: list[str] = []
        self.stack = ExitStack()
        module = types.ModuleType(MODULE)
        module.handler = self.handler  # type: ignore[attr-defined]
        self.stack.enter_context(mock.patch.dict(sys.modules, {MODULE: module}))
        for place in ("time.time", "portafaas.runtime.context.time",
                      "portafaas.local.driver.portafaas_local_resources.rows.time"):  # fmt: skip
            self.stack.enter_context(mock.patch(place, lambda: self.now))
        self.stack.enter_context(
            mock.patch("portafaas.runtime.idempotency._PAUSES", (0.0, 0.0, 0.0))
        )
        for name in ("get_row", "write_row"):
            call = self.stopping(name, getattr(resources, name))
            self.stack.enter_context(mock.patch.object(resources, name, call))
        table = {"verbs": ["read", "write"], "key": "id", "sort": "", "ttl": "expires",
                 "address": str(self.folder / "table" / "done")}  # fmt: skip
        self.function = Function(
            {
                "name": "f", "service": "shop", "kind": "queue", "handler": f"{MODULE}:handler",
                "timeout": TIMEOUT, "memory": 256, "source": "/shop/x", "trigger": {},
                "uses": {"table": {"done": table}},
                "idempotency": {"table": "done", "expires": 86_400},
            }
        )  # fmt: skip
        self.function.load()

    @staticmethod
    def stopping(name: str, real: Any) -> Any:
        def call(*args: Any) -> Any:
            worker: Worker = current.worker
            worker.pause(f"before {name}")
            result = real(*args)
            worker.pause(f"after {name}")
            return result

        return call

    def handler(self, message: Message, context: Context) -> None:
        worker: Worker = current.worker
        key = message.id
        self.running[key] = self.running.get(key, 0) + 1
        if self.running[key] > 1:
            self.broken.append(f"two are at {key!r}")
        try:
            worker.pause("in the handler")
            self.effects[key] = self.effects.get(key, 0) + 1
            worker.effect = True
            worker.pause("after the effect")
        finally:
            self.running[key] -= 1

    def settle(self) -> None:
        for worker in [w for w in self.workers if w.outcome]:
            worker.join(20)
            self.workers.remove(worker)
            self.ended.append(worker)

    def some(self) -> bool:
        return bool(self.workers)

    @precondition(lambda self: len(self.workers) < 4)
    @rule(key=KEYS, place=st.one_of(st.none(), st.sampled_from(PLACES)))
    def deliver(self, key: str, place: str | None = None) -> None:
        worker = Worker(self, key)
        worker.start()
        assert worker.stopped.wait(20)
        self.workers.append(worker)
        if place is not None:
            self.until(worker, place)

    @precondition(some)
    @rule(data=st.data(), steps=st.integers(1, 3))
    def go_on(self, data: st.DataObject, steps: int) -> None:
        worker = data.draw(st.sampled_from(self.workers))
        for _ in range(steps):
            if not worker.outcome:
                worker.step()
        self.settle()

    @precondition(some)
    @rule(data=st.data(), place=st.sampled_from(PLACES))
    def go_to(self, data: st.DataObject, place: str) -> None:
        """Go on to a place that matters, if it comes by there."""
        worker = data.draw(st.sampled_from(self.workers))
        self.until(worker, place)

    def until(self, worker: Worker, place: str) -> None:
        while not worker.outcome:
            worker.step()
            if worker.at == place:
                break
        self.settle()

    @precondition(some)
    @rule(data=st.data(), how=st.sampled_from(["crash", "fail"]))
    def mishap(self, data: st.DataObject, how: str) -> None:
        """The process is gone; or the handler raises; or the table's answer is lost."""
        worker = data.draw(st.sampled_from(self.workers))
        if how == "crash":
            worker.crashed = True
            worker.step(Crash())
        elif worker.at in ("in the handler", "after the effect"):
            worker.step(ValueError())
        elif worker.at.startswith("after"):
            worker.faulty = True
            worker.step(ResourceError("lost", retryable=True))
        self.settle()

    @rule(seconds=st.sampled_from([1, 10, 10, 26]))
    def wait(self, seconds: int) -> None:
        """Time passes; what is over its deadline is stopped."""
        self.now += seconds
        for worker in self.workers:
            if worker.context.deadline <= self.now and not worker.late:
                worker.late = True
                worker.step(HandlerTimeout())
        self.settle()

    @invariant()
    def once(self) -> None:
        assert not self.broken
        for key, count in self.effects.items():
            unsaid = sum(
                w.key == key and w.effect and (w.outcome != "done" or w.faulty)
                for w in (*self.ended, *self.workers)
            )
            said = any(w.key == key and w.effect and w.outcome == "done" for w in self.ended)
            assert count <= unsaid + (1 if said else 0), (key, count, unsaid, said)

    def teardown(self) -> None:
        try:
            # Whatever happened, all is done in the end, and stays done.
            while self.workers:
                for worker in self.workers:
                    worker.crashed = True
                    worker.step(Crash())
                self.settle()
            self.now += TIMEOUT + 60
            for key in ("a", "b"):
                for _ in range(2):
                    before = self.effects.get(key, 0)
                    self.deliver(key)
                    while self.workers:
                        self.go_on_alone()
                    assert self.ended[-1].outcome == "done"
                assert self.effects[key] == before >= 1
        finally:
            self.stack.close()
            shutil.rmtree(self.folder, ignore_errors=True)

    def go_on_alone(self) -> None:
        self.workers[0].step()
        self.settle()


TestIdempotency = Machine.TestCase
TestIdempotency.settings = settings(
    max_examples=50, stateful_step_count=30, deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)  # fmt: skip


def test_two_that_take_over_at_once() -> None:
    machine = Machine()
    try:
        machine.deliver("a", "in the handler")
        machine.workers[0].crashed = True
        machine.workers[0].step(Crash())
        machine.settle()
        machine.now += 26
        machine.deliver("a", "after get_row")
        machine.deliver("a", "after get_row")
        one, two = machine.workers
        machine.until(one, "in the handler")
        machine.until(two, "in the handler")
        assert two.outcome == "busy"
        machine.once()
    finally:
        machine.teardown()


def test_one_that_lets_go_late() -> None:
    machine = Machine()
    try:
        machine.deliver("a", "in the handler")
        (late,) = machine.workers
        machine.wait(26)
        assert late.at == "before write_row", "it is about to delete its record"
        machine.deliver("a", "in the handler")
        machine.until(late, "the end")
        machine.deliver("a", "in the handler")
        assert machine.ended[-1].outcome == "busy"
        machine.once()
    finally:
        machine.teardown()


def test_a_lease_is_not_cut_short() -> None:
    machine = Machine()
    try:
        machine.deliver("a", "in the handler")
        machine.now += TIMEOUT - 1
        machine.deliver("a", "in the handler")
        assert machine.ended[-1].outcome == "busy"
        machine.once()
    finally:
        machine.teardown()
