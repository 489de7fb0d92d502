"""Processes of functions, as a dispatcher has them: one order at a time, killed when late."""

from __future__ import annotations

import selectors
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any

from portafaas.local.hooks import Hooks, How
from portafaas.local.memory import outgrown, resident
from portafaas.local.orders import Order
from portafaas.local.process import Child, ending
from portafaas.local.workflows import Engine
from portafaas.plan import BuildPlan, FunctionPlan
from portafaas.plan.entry import function_spec
from portafaas.runtime import states

#: Seconds beyond its timeout after which a function that does not answer is killed.
GRACE = 3.0
#: Seconds that a new process may take until it calls the handler, imports included.
START = 60.0
#: Seconds a lease outlives the moment its function is killed.
SLACK = 15.0


class Worker(ABC):
    """One process of one function, started when there is something to do.

    ``ends`` is when it is killed, on the monotonic clock.
    """

    def __init__(
        self,
        plan: BuildPlan,
        function: FunctionPlan,
        start: Callable[[FunctionPlan], Child],
        selector: selectors.BaseSelector,
    ) -> None:
        self.function = function
        self.spec = function_spec(plan, function)
        self.ends = 0.0
        #: Of the code that its process runs; see ``Dispatcher.renew``.
        self.generation = 0
        #: Whether its process may have any amount of memory.
        self.unlimited = False
        self._outgrown = False
        self._start = start
        self._selector = selector
        self._child: Child | None = None

    @property
    @abstractmethod
    def busy(self) -> bool:
        """Tell whether it is at something."""

    @abstractmethod
    def take(self) -> None:
        """Give the process what there is for it, if anything."""

    @abstractmethod
    def answered(self, answer: Mapping[str, Any]) -> None:
        """Take what the process says of what it was at."""

    @abstractmethod
    def ended(self, why: str, late: bool) -> None:
        """Record that the process ended while it was at something; *late*: it was killed."""

    @abstractmethod
    def given_up(self) -> None:
        """Forget what it was at, as if it had not been tried."""

    @property
    def running(self) -> bool:
        """Tell whether there is a process."""
        return self._child is not None

    @property
    def pid(self) -> int | None:
        """The process' id, None when there is none."""
        return None if self._child is None else self._child.pid

    def discard(self) -> None:
        """End a process that is at nothing: the next call gets a new one."""
        self._end()

    def how(self, late: bool) -> How:
        """Return how a process came to its end."""
        return "memory" if self._outgrown else "timeout" if late else "crash"

    def child(self) -> Child:
        """Return the process, started when there is none."""
        if self._child is None:
            self._outgrown = False
            self._child = self._start(self.function)
            self._selector.register(self._child, selectors.EVENT_READ, self)
        return self._child

    def hear(self) -> None:
        """Take in what the process says."""
        assert self._child is not None
        try:
            answer = self._child.receive()
        except EOFError:
            why = ending(self._end())
            if self.busy:
                self.ended(why, False)
            return
        if answer is not None and self.busy:
            self.answered(answer)

    def kill(self) -> None:
        """End a process that does not answer."""
        self._end()
        if self.busy:
            self.ended(f"the function did not answer within {self.function.timeout} s", True)

    def weigh(self) -> None:
        """End a process that has more memory than its function declares."""
        pid, most = self.pid, self.function.memory
        if not self.busy or pid is None or self.unlimited:
            return
        used = resident(pid) // (1 << 20)
        if used > most:
            self._outgrow(outgrown(used, most))

    def _outgrow(self, why: str) -> None:
        self._outgrown = True
        self._end()
        if self.busy:
            self.ended(why, False)

    def stop(self) -> None:
        """End the process, whatever it does."""
        self.given_up()
        if self._child is not None:
            self._end()

    def _end(self) -> int:
        child, self._child = self._child, None
        assert child is not None
        self._selector.unregister(child)
        return child.kill()


class TaskWorker(Worker):
    """One process of one function that workflows call.

    A new process gets ready before it is called, so that this takes nothing of the call's time.
    """

    def __init__(
        self,
        plan: BuildPlan,
        function: FunctionPlan,
        start: Callable[[FunctionPlan], Child],
        selector: selectors.BaseSelector,
        engine: Engine,
        hooks: Hooks,
    ) -> None:
        super().__init__(plan, function, start, selector)
        self._engine = engine
        self._hooks = hooks
        self._order: Order | None = None
        self._ready = False

    @property
    def busy(self) -> bool:
        """Tell whether it is at a call."""
        return self._order is not None

    def take(self) -> None:
        """Give the process the next call."""
        self._order = self._engine.order(self.function.name)
        if self._order is None:
            return
        if self.running and self._ready:
            self._call()
            return
        self._ready = False
        # It may wait for a debugger.
        self.ends = monotonic() + START + (self.function.timeout if self.unlimited else 0)
        self.child().send({"spec": self.spec, "load": True, "run": self._order.mark})

    def _call(self) -> None:
        order = self._order
        assert order is not None
        seconds = self.function.timeout + GRACE
        if order.timeout is not None:
            seconds = min(seconds, order.timeout)
        self.ends = monotonic() + seconds
        child = self.child()
        self._hooks.called(order, child.pid)
        child.send({"spec": self.spec, "task": order.task(), "run": order.mark})

    def answered(self, answer: Mapping[str, Any]) -> None:
        """Keep the answer; what was called to get ready is called for the task now."""
        if not self._ready:
            self._ready = True
            self._call()
            return
        self._settle(answer)

    def ended(self, why: str, late: bool) -> None:
        """Have the call fail."""
        order = self._order
        assert order is not None
        if late and self._ready:
            within = order.timeout is not None and order.timeout < self.function.timeout + GRACE
            cause = f"{self.function.name} took over {self.function.timeout} s"
            self._hooks.ended(order, "timeout", cause)
            self._settle({"error": states.TIMEOUT, "cause": "" if within else cause})
        else:
            if late:
                why = f"the function's module was not loaded within {START:.0f} s"
            self._hooks.ended(order, self.how(late), why)
            self._settle({"error": states.TASK_FAILED, "cause": why})

    def given_up(self) -> None:
        """Forget the call: it is made again by who takes up the run."""
        self._order = None

    def _settle(self, answer: Mapping[str, Any]) -> None:
        order, self._order = self._order, None
        assert order is not None
        self._engine.answer(order, self._hooks.replied(order, answer))
