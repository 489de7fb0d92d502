"""Delivers what waits in the local broker, and runs workflows: functions in their own processes.

One thread: it gives orders to child processes, waits for the first to answer, and records what
became of it. A handler that exits, hangs or is killed loses its lease and no more; so does this
process, at whatever moment it is killed.
"""

from __future__ import annotations

import selectors
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import monotonic, time
from typing import IO, TYPE_CHECKING, Any, Self

from portafaas.local.broker import Broker
from portafaas.local.hooks import Hooks
from portafaas.local.resources import store
from portafaas.local.schedules import Schedules
from portafaas.local.staff import staff
from portafaas.local.starter import Starter
from portafaas.local.waker import Waker
from portafaas.local.workers import GRACE, SLACK, START, Worker
from portafaas.local.workflows import Engine
from portafaas.plan import BuildPlan

if TYPE_CHECKING:
    from portafaas.local.vendor import Vendor

#: Seconds between two looks at what other processes have sent.
_LOOK = 0.05
#: Seconds between two looks for dispatchers that are gone, and for what has expired.
_SWEEP = 1.0
#: Seconds between two looks at the memory of processes, if it is limited.
_WEIGH = 0.2


class Dispatcher:
    """Delivers to the functions of one service and stage on this machine; a context manager.

    It works on the runs of workflows, too. *root* is the project's folder. *fast*: instead of
    waiting for what is due later, the broker's clock is set forward. *timeouts*: those of signals
    and sub-workflows are waited for, too. *schedules*: functions with a schedule are called when it
    fires. *extra* is added to every function's environment. What handlers print goes to *output*,
    what they log to *errors* (default: stderr). Each function has as many processes as it declares
    ``concurrency``, at most the ``max-concurrency`` of its queue; one that workflows call as many
    as are needed, 8 or what ``max-instances`` allows. With a *vendor* functions run as its built
    package, in a platform's own runtime, and are delivered to by that platform's rules.

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
        errors: IO[Any] | int | None = None,
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
        rules = None if vendor is None else vendor.rules()
        self.broker = broker or Broker(store(root, plan.stage), plan, rules)
        self.broker.intake.limit()
        self._limited = limited
        self._weighed = 0.0
        self._virtual = virtual
        self._goal: float | None = None
        self._reached = threading.Event()
        self._generation = 0
        clock = self.broker.clock
        if virtual:
            clock.keep_held()
        if clock.held() != virtual:
            clock.hold() if virtual else clock.release()
        self._selector = selectors.DefaultSelector()
        self._waker = Waker()
        self._selector.register(self._waker, selectors.EVENT_READ, self._waker)
        starter = Starter(
            plan, root, self.broker.owner, vendor, output=output, errors=errors, extra=extra or {},
            debugging=debugging or {}, observed=self._hooks.observed if observed else None,
        )  # fmt: skip
        self.engine = self._made() if plan.workflows else None
        self._workers = staff(starter, self._selector, self.broker, self.engine, self._hooks)
        now = clock.now if virtual else time
        self._schedules = Schedules(plan, now) if schedules else None
        self._swept = 0.0
        self._looked = 0.0
        self._stopped = False
        self._aborted = False

    def _made(self) -> Engine:
        owner = self.broker.owner
        owner.lock()
        longest = max((f.timeout for f in self._plan.functions if f.kind == "task"), default=0)
        return Engine(
            store(self._root, self._plan.stage), self._plan, owner=owner.id,
            now=self.broker.clock.now, alive=owner.alive,
            lease=longest + GRACE + START + SLACK, told=self._hooks.noted,
        )  # fmt: skip

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
                    self.broker.owner.gone(owner)
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
                worker.weigh()

    def _rest(self, seconds: float) -> None:
        """Wait for what processes say, or for :meth:`wake`."""
        for key, _ in self._selector.select(max(0.0, seconds)):
            key.data.hear()

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
            self.broker.clock.advance(due)
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
        now, goal = self.broker.clock.now(), self._goal
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
            self.broker.clock.hold(min(goal, now + step))
