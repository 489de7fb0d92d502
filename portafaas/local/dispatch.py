"""Delivers what waits in the local broker to functions, each in processes of its own.

One thread: it gives orders to child processes, waits for the first to answer, and records what
became of it. A handler that exits, hangs or is killed loses its lease and no more; so does this
process, at whatever moment it is killed.
"""

from __future__ import annotations

import json
import selectors
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import monotonic, sleep, time
from typing import IO, Any, Literal, Self

from portafaas.local.broker import Broker, Lease, Settled, has_dead_letters, inbox
from portafaas.local.process import Child, described
from portafaas.local.resources import environment, store
from portafaas.local.worker import order_of
from portafaas.plan import BuildPlan, FunctionPlan, QueueTrigger, ScheduleTrigger
from portafaas.plan.entry import function_spec
from portafaas.record import dataclass, field
from portafaas.runtime.recovery import delay_of

#: Seconds beyond its timeout after which a function that does not answer is killed.
GRACE = 3.0
#: Seconds that a new process may take until it calls the handler, imports included.
START = 60.0
#: Seconds a lease outlives the moment its function is killed.
_SLACK = 15.0
#: Seconds between two looks at what other processes have sent.
_LOOK = 0.05
#: Seconds between two looks for dispatchers that are gone, and for what has expired.
_SWEEP = 1.0

What = Literal["delivered", "again", "dead", "held"]


@dataclass(frozen=True, slots=True)
class Report:
    """What became of one delivery.

    ``delivered``; ``again``, in ``seconds``; ``dead``, with the letter; ``held``: not tried, since
    an earlier message of its key failed. ``error`` is why, as far as is known.
    """

    function: str
    #: ``queue/<name>`` or ``function/<name>``.
    box: str
    id: str
    attempt: int
    what: What
    seconds: float = 0.0
    error: str = ""
    letter: Mapping[str, Any] = field(default_factory=dict)


class Hooks:
    """What a dispatcher tells of its work; nothing is done here."""

    def leased(self, lease: Lease, pid: int) -> None:
        """Deliveries go to a function's process; nothing is recorded but the lease."""

    def answered(self, lease: Lease, settled: Settled) -> Settled:
        """A function has answered; return what is to be recorded."""
        return settled

    def settled(self, reports: Sequence[Report]) -> None:
        """It is recorded."""

    def fired(self, function: str, instant: str) -> None:
        """A schedule's function is due."""


class Dispatcher:
    """Delivers to the functions of one service and stage on this machine; a context manager.

    *root* is the project's folder. *fast*: instead of waiting for what is due later, the broker's
    clock is set forward. *schedules*: functions with a schedule are called when it fires. *extra*
    is added to every function's environment. What handlers print goes to *output* (default:
    stderr). Each function has as many processes as it declares ``concurrency``, at most the
    ``max-concurrency`` of its queue.
    """

    def __init__(
        self,
        plan: BuildPlan,
        root: Path,
        *,
        fast: bool = False,
        schedules: bool = False,
        hooks: Hooks | None = None,
        extra: Mapping[str, str] | None = None,
        output: IO[Any] | int = 2,
        broker: Broker | None = None,
    ) -> None:
        self._plan = plan
        self._root = root
        self._fast = fast
        self._hooks = hooks or Hooks()
        self._extra = dict(extra or {})
        self._output = output
        self.broker = broker or Broker(store(root, plan.stage), plan)
        self._selector = selectors.DefaultSelector()
        self._workers = [
            _Worker(self, function)
            for function in plan.functions
            if function.kind != "http"
            for _ in range(_processes(plan, function))
        ]
        self._schedules = _Schedules(plan) if schedules else None
        self._swept = 0.0
        self._looked = 0.0
        self._stopped = False

    def close(self) -> None:
        """End the processes; what they had is as if it had not been tried."""
        for worker in self._workers:
            worker.stop()
        self._selector.close()
        self.broker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def stop(self) -> None:
        """Have :meth:`run` end when what is under way is done; may be called from a hook."""
        self._stopped = True

    def run(
        self,
        *,
        wait: bool = True,
        follow: bool = False,
        until: Callable[[], bool] | None = None,
    ) -> None:
        """Deliver until nothing waits that a function is to get.

        With *wait* that is until what is due later, or held by another dispatcher, is done as well;
        without it, until nothing is due now. With *follow* it goes on for what comes. *until* is
        asked after each step, and ends it when true, as :meth:`stop` does.
        """
        self._stopped = False
        while True:
            self._upkeep()
            if not self._stopped:
                self._give()
            busy = [worker for worker in self._workers if worker.lease is not None]
            if busy:
                self._hear(busy)
            elif self._stopped or not self._pause(wait, follow):
                return
            if until is not None and until():
                self._stopped = True

    def _upkeep(self) -> None:
        now = monotonic()
        if now - self._swept > _SWEEP:
            self._swept = now
            self.broker.sweep()
        self.broker.take_in()
        if self._schedules is not None and now - self._looked > _LOOK:
            self._looked = now
            for function, instant in self._schedules.due():
                if self.broker.fire(function, instant):
                    self._hooks.fired(function.name, instant)

    def _give(self) -> None:
        for worker in self._workers:
            if worker.lease is None:
                worker.take()

    def _hear(self, busy: Sequence[_Worker]) -> None:
        """Wait for an answer, for what is next due, or for a function that must be killed."""
        end = min(worker.ends for worker in busy) - monotonic()
        end = min(end, _LOOK if len(busy) < len(self._workers) else _SWEEP)
        for key, _ in self._selector.select(max(0.0, end)):
            key.data.hear()
        for worker in busy:
            if worker.lease is not None and monotonic() >= worker.ends:
                worker.kill()

    def _pause(self, wait: bool, follow: bool) -> bool:
        """Pass the time until something is due; tell whether to go on."""
        due = self.broker.next_due()
        if due is None or not (wait or follow):
            # Something may be left that is due: held by another dispatcher, or by what it has.
            left = wait and any(self.broker.waiting(worker.function) for worker in self._workers)
            if not (follow or left):
                return False
            sleep(_LOOK)
        elif self._fast:
            self.broker.advance(due)
        else:
            sleep(min(due, _LOOK))
        return True

    def _start(self, function: FunctionPlan) -> Child:
        variables = {
            **function.environment,
            **environment(self._plan, function, self._root, "", packaged=False),
            **self._extra,
        }
        if has_dead_letters(self._plan, function):
            name = f"PORTAFAAS_DEAD_{function.name}".upper().replace("-", "_")
            variables[name] = inbox(function)
        keep = (self.broker.lock(),)
        return Child(self._root, variables, keep=keep, output=self._output, apart=True)


class _Worker:
    """One process of one function, started when there is something to do."""

    def __init__(self, dispatcher: Dispatcher, function: FunctionPlan) -> None:
        self._dispatcher = dispatcher
        self.function = function
        self._spec = function_spec(dispatcher._plan, function)
        self._child: Child | None = None
        self.lease: Lease | None = None
        #: When the function is killed, on the monotonic clock.
        self.ends = 0.0

    def take(self) -> None:
        """Give the process what is due, if anything is."""
        seconds = self.function.timeout + GRACE + (0 if self._child else START)
        lease = self._dispatcher.broker.lease(self.function, seconds + _SLACK)
        if lease is None:
            return
        self.lease = lease
        if self._child is None:
            self._child = self._dispatcher._start(self.function)
            self._dispatcher._selector.register(self._child, selectors.EVENT_READ, self)
        self.ends = monotonic() + seconds
        self._dispatcher._hooks.leased(lease, self._child.pid)
        self._child.send({"spec": self._spec, "items": order_of(lease.items)})

    def hear(self) -> None:
        """Take in what the process says."""
        assert self._child is not None
        try:
            answer = self._child.receive()
        except EOFError:
            self._crashed(f"the function ended its process: {described(self._end())}")
            return
        if answer is not None and self.lease is not None:
            settled = Settled(dict(answer["again"]), dict(answer["dead"]), answer["untried"])
            self._settle(settled, "")

    def kill(self) -> None:
        """End a process that does not answer."""
        self._end()
        self._crashed(f"the function did not answer within {self.function.timeout} s")

    def _end(self) -> int:
        child, self._child = self._child, None
        assert child is not None
        self._dispatcher._selector.unregister(child)
        return child.kill()

    def stop(self) -> None:
        """End the process, whatever it does."""
        self.lease = None
        if self._child is not None:
            self._end()

    def _crashed(self, why: str) -> None:
        """Have it come again; core buries what has had all its attempts."""
        lease = self.lease
        if lease is None:
            return
        policy = self._spec.get("retry")
        again = {}
        for item in lease.items:
            spent = policy is not None and item.attempts >= policy["attempts"]
            delay = 0.0 if spent or policy is None else delay_of(policy, item.attempts)
            again[item.number] = delay
        self._settle(Settled(again, alone=True), why)

    def _settle(self, settled: Settled, why: str) -> None:
        lease, self.lease = self.lease, None
        assert lease is not None
        settled = self._dispatcher._hooks.answered(lease, settled)
        self._dispatcher.broker.settle(lease, settled)
        self._dispatcher._hooks.settled(_reports(lease, settled, why))


def _reports(lease: Lease, settled: Settled, why: str) -> list[Report]:
    found = []
    for item in lease.items:
        facts = (lease.function, item.box, item.id, item.attempts)
        if item.number in settled.dead:
            letter = json.loads(settled.dead[item.number])
            found.append(Report(*facts, "dead", 0.0, letter.get("error", ""), letter))
        elif item.number in settled.again:
            found.append(Report(*facts, "again", settled.again[item.number], why))
        elif item.number in settled.untried:
            found.append(Report(*facts, "held"))
        else:
            found.append(Report(*facts, "delivered"))
    return found


def _processes(plan: BuildPlan, function: FunctionPlan) -> int:
    most = 0
    if isinstance(function.trigger, QueueTrigger):
        most = plan.queue(function.trigger.queue).max_concurrency
    return min(function.concurrency, most) if most else function.concurrency


class _Schedules:
    """When each schedule fires next, from now on."""

    def __init__(self, plan: BuildPlan) -> None:
        self._functions = [f for f in plan.functions if isinstance(f.trigger, ScheduleTrigger)]
        self._next = {f.name: self._after(f, time()) for f in self._functions}

    @staticmethod
    def _after(function: FunctionPlan, moment: float) -> float:
        from datetime import UTC, datetime

        from portafaas.schedule import parse_cron

        trigger = function.trigger
        assert isinstance(trigger, ScheduleTrigger)
        start = datetime.fromtimestamp(moment, UTC)
        found = parse_cron(trigger.cron, trigger.timezone).fire_times(start, 1)
        # A cron expression of no day at all, 30 February, never fires.
        return found[0].timestamp() if found else float("inf")

    def due(self) -> list[tuple[FunctionPlan, str]]:
        """Return the functions whose instant has come, and the instant."""
        from portafaas.runtime.text import epoch_time

        now, found = time(), []
        for function in self._functions:
            instant = self._next[function.name]
            if instant <= now:
                found.append((function, epoch_time(instant)))
                self._next[function.name] = self._after(function, max(now, instant + 1.0))
        return found
