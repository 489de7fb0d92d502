"""Delivers what waits in the local broker, and runs workflows: functions in their own processes.

One thread: it gives orders to child processes, waits for the first to answer, and records what
became of it. A handler that exits, hangs or is killed loses its lease and no more; so does this
process, at whatever moment it is killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import monotonic, time
from typing import IO, TYPE_CHECKING, Any, Literal, Self

from portafaas.local.broker import Broker, Item, Lease, Settled, letters_to
from portafaas.local.memory import resident
from portafaas.local.process import Child
from portafaas.local.resources import environment, store
from portafaas.local.worker import order_of
from portafaas.local.workers import GRACE, SLACK, START, TaskWorker, Worker, processes
from portafaas.local.workflows import Engine, Note, Order
from portafaas.plan import BuildPlan, FunctionPlan, QueueTrigger, ScheduleTrigger
from portafaas.record import dataclass, field
from portafaas.runtime.recovery import delay_of

if TYPE_CHECKING:
    from portafaas.local.vendor import Vendor

#: Seconds between two looks at what other processes have sent.
_LOOK = 0.05
#: Seconds between two looks for dispatchers that are gone, and for what has expired.
_SWEEP = 1.0
#: Seconds between two looks at the memory of processes, if it is limited.
_WEIGH = 0.2

What = Literal["delivered", "again", "dead", "held", "lost"]
How = Literal["crash", "timeout", "memory"]


@dataclass(frozen=True, slots=True)
class Report:
    """What became of one delivery.

    ``delivered``; ``again``, in ``seconds``; ``dead``, with the letter; ``held``: not tried, since
    an earlier message of its key failed; ``lost``, as on some platforms. ``error`` is why, as far
    as is known.
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

    def called(self, order: Order, pid: int) -> None:
        """A workflow calls a function; that it asks for it is recorded."""

    def replied(self, order: Order, answer: Mapping[str, Any]) -> Mapping[str, Any]:
        """A function has answered a workflow; return what is to be recorded."""
        return answer

    def ended(self, subject: Lease | Order, how: How, why: str) -> None:
        """A function's process ended, or was ended, while it was at *subject*."""

    def observed(self, facts: Mapping[str, Any]) -> None:
        """A process tells of what it is at (``portafaas.local.observed``), if it is to."""

    def noted(self, note: Note) -> None:
        """Something of a run is recorded."""


class Dispatcher:
    """Delivers to the functions of one service and stage on this machine; a context manager.

    It works on the runs of workflows, too. *root* is the project's folder. *fast*: instead of
    waiting for what is due later, the broker's clock is set forward. *timeouts*: those of signals
    and sub-workflows are waited for, too. *schedules*: functions with a schedule are called when it
    fires. *extra* is added to every function's environment. What handlers print goes to *output*
    (default: stderr). Each function has as many processes as it declares ``concurrency``, at most
    the ``max-concurrency`` of its queue; one that workflows call as many as are needed, 8 or what
    ``max-instances`` allows. With a *vendor* functions run as its built package, in a platform's
    own runtime, and are delivered to by that platform's rules.

    *observed*: processes tell :meth:`Hooks.observed` what they print, and effects are marked with
    the lease's id, or ``<run>/<place>/<attempt>`` of a call. *limited*: a process that has more
    memory than its function declares is ended. *virtual*: schedules and all times follow the
    store's clock, which stands still but for :meth:`advance`. *debugging*: the variables of
    functions that are debugged, whose memory is not limited.
    """

    def __init__(
        self,
        plan: BuildPlan,
        root: Path,
        *,
        fast: bool = False,
        timeouts: bool = False,
        schedules: bool = False,
        hooks: Hooks | None = None,
        extra: Mapping[str, str] | None = None,
        output: IO[Any] | int = 2,
        broker: Broker | None = None,
        vendor: Vendor | None = None,
        observed: bool = False,
        limited: bool = False,
        virtual: bool = False,
        debugging: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        self._plan = plan
        self._root = root
        self._fast = fast
        self._timeouts = timeouts
        self._hooks = hooks or Hooks()
        self._extra = dict(extra or {})
        self._output = output
        self._vendor = vendor
        rules = None if vendor is None else vendor.rules()
        self.broker = broker or Broker(store(root, plan.stage), plan, rules)
        self.broker.limit()
        self._observed = observed
        self._limited = limited
        self._weighed = 0.0
        self._virtual = virtual
        self._debugging = debugging or {}
        self._goal: float | None = None
        self._reached = threading.Event()
        self._generation = 0
        if virtual:
            self.broker.keep_held()
        if self.broker.held() != virtual:
            self.broker.hold() if virtual else self.broker.release()
        self._selector = selectors.DefaultSelector()
        self._waker = _Waker()
        self._selector.register(self._waker, selectors.EVENT_READ, self._waker)
        self.engine = self._made() if plan.workflows else None
        self._workers: list[Worker] = []
        for function in plan.functions:
            if function.kind == "task":
                self._workers += self._callees(function)
            elif function.kind != "http":
                for _ in range(_processes(plan, function)):
                    self._workers.append(_Deliverer(self, function))
        for worker in self._workers:
            # What a vendor's runtime has, who has started it looks after.
            worker.unlimited = vendor is not None or worker.function.name in self._debugging
        now = self.broker.now if virtual else time
        self._schedules = _Schedules(plan, now) if schedules else None
        self._swept = 0.0
        self._looked = 0.0
        self._stopped = False
        self._aborted = False

    def _made(self) -> Engine:
        self.broker.lock()
        longest = max((f.timeout for f in self._plan.functions if f.kind == "task"), default=0)
        return Engine(
            store(self._root, self._plan.stage), self._plan, owner=self.broker.owner,
            now=self.broker.now, alive=self.broker.alive,
            lease=longest + GRACE + START + SLACK, told=self._hooks.noted,
        )  # fmt: skip

    def _callees(self, function: FunctionPlan) -> list[TaskWorker]:
        if self.engine is None:
            return []
        hooks, rest = self._hooks, (self._start, self._selector, self.engine)
        return [
            TaskWorker(self._plan, function, *rest, hooks.called, hooks.replied, hooks.ended)
            for _ in range(processes(function))
        ]

    def close(self) -> None:
        """End the processes; what they had is as if it had not been tried."""
        for worker in self._workers:
            worker.stop()
        self._selector.close()
        self._waker.close()
        if self.engine is not None:
            self.engine.close()
        self.broker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def stop(self) -> None:
        """Have :meth:`run` end when what is under way is done; from a hook, or another thread."""
        self._stopped = True
        self._waker.wake()

    def abort(self) -> None:
        """Have :meth:`run` end now, whatever is under way; from another thread."""
        self._aborted = True
        self._waker.wake()

    def wake(self) -> None:
        """Have :meth:`run` look at once for what was sent; from any thread."""
        self._waker.wake()

    def renew(self) -> None:
        """Have each function's next call run by a new process, of new code; from any thread."""
        self._generation += 1
        self._waker.wake()

    def advance(self, until: float, timeout: float | None = None) -> bool:
        """Set a virtual clock forward to *until*, and do all that is due on the way, in order.

        From another thread than that of :meth:`run`; returns False when that takes more than
        *timeout* seconds. Schedules fire at each of their instants.
        """
        self._reached.clear()
        self._goal = until
        self._waker.wake()
        return self._reached.wait(timeout)

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
        while True:
            self._upkeep()
            if not self._stopped:
                self._give()
            busy = [worker for worker in self._workers if worker.busy]
            if self._aborted:
                return
            if busy:
                self._hear(busy)
            elif self._stopped or not self._pause(wait, follow):
                self._stopped = False
                return
            if until is not None and until():
                self._stopped = True

    def _upkeep(self) -> None:
        now = monotonic()
        if now - self._swept > _SWEEP:
            self._swept = now
            self.broker.sweep()
            if self.engine is not None:
                for owner in self.engine.sweep():
                    self.broker.gone(owner)
        self.broker.take_in()
        if self.engine is not None:
            self.engine.upkeep()
        if self._schedules is not None and now - self._looked > _LOOK:
            self._looked = now
            for function, instant in self._schedules.due():
                if self.broker.fire(function, instant):
                    self._hooks.fired(function.name, instant)

    def _give(self) -> None:
        ready = self.broker.ready()
        idle = [
            worker
            for worker in self._workers
            if not worker.busy and (worker.function.kind == "task" or worker.function.name in ready)
        ]
        # Processes that are there before new ones.
        for worker in sorted(idle, key=lambda worker: not worker.running):
            if worker.generation != self._generation:
                worker.generation = self._generation
                if worker.running:
                    worker.discard()
            worker.take()

    def _hear(self, busy: Sequence[Worker]) -> None:
        """Wait for an answer, for what is next due, or for a function that must be killed."""
        end = min(worker.ends for worker in busy) - monotonic()
        end = min(end, _LOOK if len(busy) < len(self._workers) else _SWEEP)
        self._rest(min(end, _WEIGH) if self._limited else end)
        for worker in busy:
            if worker.busy and monotonic() >= worker.ends:
                worker.kill()
        now = monotonic()
        if self._limited and now - self._weighed > _WEIGH:
            self._weighed = now
            for worker in busy:
                self._weigh(worker)

    def _rest(self, seconds: float) -> None:
        """Wait for what processes say, or for :meth:`wake`."""
        for key, _ in self._selector.select(max(0.0, seconds)):
            key.data.hear()

    @staticmethod
    def _weigh(worker: Worker) -> None:
        """End a process that has too much memory."""
        pid, most = worker.pid, worker.function.memory
        if not worker.busy or pid is None or worker.unlimited:
            return
        used = resident(pid) // (1 << 20)
        if used > most:
            worker.outgrown(f"the function used {used} MiB of memory; it has {most} MiB")

    def _pause(self, wait: bool, follow: bool) -> bool:
        """Pass the time until something is due; tell whether to go on."""
        if self._virtual:
            self._step()
            return True
        due = self.broker.next_due()
        if self.engine is not None:
            if self.engine.pressing():
                return True
            if self.engine.deferred():
                self._rest(_LOOK)
                return True
            timer = self.engine.next_due(self._timeouts or (follow and not self._fast))
            due = timer if due is None else due if timer is None else min(due, timer)
        if due is None or not (wait or follow):
            # Something may be left that is due: held by another dispatcher, or by what it has.
            left = wait and (
                any(self.broker.waiting(function) for function in self._plan.functions)
                or (self.engine is not None and self.engine.left())
            )
            if not (follow or left):
                return False
            self._rest(_LOOK)
        elif self._fast:
            self.broker.advance(due)
        else:
            self._rest(min(due, _LOOK))
        return True

    def _step(self) -> None:
        """Set a virtual clock forward to what is due next, if it is to come that far."""
        if self.engine is not None:
            if self.engine.pressing():
                return
            if self.engine.deferred():
                self._rest(_LOOK)
                return
        now, goal = self.broker.now(), self._goal
        if goal is None:
            self._rest(_LOOK)
        elif now >= goal:
            self._goal = None
            self._reached.set()
        else:
            dues = [self.broker.next_due()]
            if self.engine is not None:
                dues.append(self.engine.next_due(True))
            if self._schedules is not None:
                dues.append(self._schedules.next() - now)
                self._looked = 0.0
            # Not by less than what two times differ in, else it would not come there.
            step = max(1e-6, min(due for due in (*dues, goal - now) if due is not None))
            self.broker.hold(min(goal, now + step))

    def _start(self, function: FunctionPlan) -> Child:
        keep = (self.broker.lock(),)
        observed = self._hooks.observed if self._observed else None
        if self._vendor is not None:
            return self._vendor.child(
                function, self._root, self._extra, keep, self._output, observed
            )
        variables = {
            **function.environment,
            **environment(self._plan, function, self._root, "", packaged=False),
            **self._extra,
            **self._debugging.get(function.name, {}),
            **letters_to(self._plan, function),
        }
        return Child(
            self._root, variables, keep=keep, output=self._output, apart=True, observed=observed
        )


class _Waker:
    """Ends the selector's wait; from any thread."""

    def __init__(self) -> None:
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._reading, False)
        os.set_blocking(self._writing, False)
        self._open = True

    def fileno(self) -> int:
        return self._reading

    def hear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while os.read(self._reading, 4096):
                continue

    def wake(self) -> None:
        # Full: it is awake.
        if self._open:
            with contextlib.suppress(BlockingIOError, OSError):
                os.write(self._writing, b"!")

    def close(self) -> None:
        self._open = False
        os.close(self._reading)
        os.close(self._writing)


class _Deliverer(Worker):
    """One process of one function that gets deliveries."""

    def __init__(self, dispatcher: Dispatcher, function: FunctionPlan) -> None:
        super().__init__(dispatcher._plan, function, dispatcher._start, dispatcher._selector)
        self._broker = dispatcher.broker
        self._hooks = dispatcher._hooks
        vendor = dispatcher._vendor
        self._rules = None if vendor is None else vendor.rules()[function.name]
        #: Seconds that the handler may take, with what its bridge does after it.
        self._seconds = function.timeout if vendor is None else vendor.seconds(function)
        self.lease: Lease | None = None

    @property
    def busy(self) -> bool:
        """Tell whether it is at a lease."""
        return self.lease is not None

    def take(self) -> None:
        """Give the process what is due, if anything is."""
        # A vendor's runtime may have ended, and is started again.
        cold = self._rules is not None or not self.running
        seconds = self._seconds + GRACE + (START if cold else 0)
        lease = self._broker.lease(self.function, seconds + SLACK)
        if self._broker.ended:
            found, self._broker.ended = self._broker.ended, []
            self._hooks.settled([_ended(*each) for each in found])
        if lease is None:
            return
        self.lease = lease
        child = self.child()
        self.ends = monotonic() + seconds
        self._hooks.leased(lease, child.pid)
        child.send({"spec": self.spec, "items": order_of(lease.items), "run": lease.id})

    def answered(self, answer: Mapping[str, Any]) -> None:
        """Record what the function says."""
        if how := answer.get("how"):
            assert self.lease is not None
            self._hooks.ended(self.lease, how, answer["why"])
        settled = Settled(
            dict(answer["again"]),
            dict(answer["dead"]),
            answer["untried"],
            answer.get("alone", False),
            dict(answer.get("copies", ())),
            answer.get("lost", ()),
        )
        self._settle(settled, answer.get("why", ""))

    def ended(self, why: str, late: bool) -> None:
        """Have it come again; core buries what has had all its attempts."""
        lease = self.lease
        assert lease is not None
        self._hooks.ended(lease, self.how(late), why)
        if self._rules is not None:
            rules = self._rules
            again = {item.number: rules.gone for item in lease.items}
            self._settle(Settled(again, alone=rules.parts, anew=rules.forgets), why)
            return
        policy = self.spec.get("retry")
        again = {}
        for item in lease.items:
            spent = policy is not None and item.attempts >= policy["attempts"]
            delay = 0.0 if spent or policy is None else delay_of(policy, item.attempts)
            again[item.number] = delay
        self._settle(Settled(again, alone=True), why)

    def given_up(self) -> None:
        """Forget the lease: the broker takes it back."""
        self.lease = None

    def _settle(self, settled: Settled, why: str) -> None:
        lease, self.lease = self.lease, None
        assert lease is not None
        settled = self._hooks.answered(lease, settled)
        self._broker.settle(lease, settled)
        self._hooks.settled(_reports(lease, settled, why))


def _reports(lease: Lease, settled: Settled, why: str) -> list[Report]:
    found = []
    for item in lease.items:
        facts = (lease.function, item.box, item.id, item.deliveries)
        if item.number in settled.lost:
            found.append(Report(*facts, "lost", 0.0, why))
        elif item.number in settled.dead:
            letter = json.loads(settled.dead[item.number])
            found.append(Report(*facts, "dead", 0.0, letter.get("error", ""), letter))
        elif item.number in settled.again:
            found.append(Report(*facts, "again", settled.again[item.number], why))
        elif item.number in settled.untried:
            found.append(Report(*facts, "held"))
        else:
            found.append(Report(*facts, "delivered"))
    return found


def _ended(function: str, letter: str, item: Item) -> Report:
    """Return what is told of what the platform itself has made an end of."""
    what: What = "dead" if letter else "lost"
    facts = json.loads(letter) if letter else {}
    error = "the platform gave it up"
    return Report(function, item.box, item.id, item.deliveries, what, 0.0, error, facts)


def _processes(plan: BuildPlan, function: FunctionPlan) -> int:
    most = 0
    if isinstance(function.trigger, QueueTrigger):
        most = plan.queue(function.trigger.queue).max_concurrency
    return min(function.concurrency, most) if most else function.concurrency


def fires_after(function: FunctionPlan, moment: float) -> float:
    """Return when a schedule fires next at or after *moment*, in seconds since 1970."""
    from datetime import UTC, datetime

    from portafaas.schedule import parse_cron

    trigger = function.trigger
    assert isinstance(trigger, ScheduleTrigger)
    start = datetime.fromtimestamp(moment, UTC)
    found = parse_cron(trigger.cron, trigger.timezone).fire_times(start, 1)
    # A cron expression of no day at all, 30 February, never fires.
    return found[0].timestamp() if found else float("inf")


class _Schedules:
    """When each schedule fires next, from now on by the clock *now*."""

    def __init__(self, plan: BuildPlan, now: Callable[[], float]) -> None:
        self._now = now
        self._functions = [f for f in plan.functions if isinstance(f.trigger, ScheduleTrigger)]
        self._next = {f.name: fires_after(f, now()) for f in self._functions}

    def next(self) -> float:
        """Return when the next one fires, in seconds since 1970; infinity for never."""
        return min(self._next.values(), default=float("inf"))

    def due(self) -> list[tuple[FunctionPlan, str]]:
        """Return the functions whose instant has come, and the instant."""
        from portafaas.runtime.text import epoch_time

        now, found = self._now(), []
        for function in self._functions:
            instant = self._next[function.name]
            if instant <= now:
                found.append((function, epoch_time(instant)))
                self._next[function.name] = fires_after(function, max(now, instant + 1.0))
        return found
