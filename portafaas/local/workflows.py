"""Runs workflows on this machine, and goes on where another process ended.

An :class:`Engine` claims runs of the store and drives each by ``portafaas.runtime.workflow``: what
a run asks for is kept before it is done, an answer before the run goes on, both in one transaction.
So a process may be killed at any moment: whoever takes the run up makes it anew from the answers
that are kept. A call that was under way is made again, with the same key and attempt; nothing that
was answered is.

It calls nobody itself: :meth:`Engine.order` says what is to be called, :meth:`Engine.answer` takes
what came of it. Times are those of the store's clock, which may be virtual.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic
from typing import Any

from portafaas.local.making import Making, Note, child_id, nowhere
from portafaas.local.orders import Order, Orders
from portafaas.local.runs import Run, Runs
from portafaas.plan import BuildPlan
from portafaas.runtime import states

#: Runs that are looked after in one go.
_PART = 50
#: Seconds after which a run that waits is no longer kept in memory.
_IDLE = 5.0
#: Seconds between two calls of a task that was under way when its process was killed, as long as
#: its record of idempotency is still that process'.
_AGAIN = 2.0
#: What others answer.
_TOLD = ("signal", "workflow")


class Engine:
    """Works on the runs of one service and stage; for one thread.

    *owner* is who it is to others, who take over its runs when *alive* says no more of it, or when
    it has not been heard of for *lease* seconds. *now* is the store's clock. *told* gets a
    :class:`Note` of each thing that is recorded.
    """

    def __init__(
        self,
        folder: Path,
        plan: BuildPlan,
        *,
        owner: str,
        now: Callable[[], float],
        alive: Callable[[str], bool] = lambda owner: True,
        lease: float = 120.0,
        told: Callable[[Note], None] = lambda note: None,
    ) -> None:
        self._machines = {flow.name: flow.machine for flow in plan.workflows}
        self._owner = owner
        self._now = now
        self._alive = alive
        self._lease = lease
        self._told = told
        self._making: dict[str, Making] = {}
        self.orders = Orders({f.name: f.timeout for f in plan.functions if f.kind == "task"})
        self.runs = Runs(folder)
        self.runs.sweep(now())

    def close(self) -> None:
        """Give up the runs, as if what is under way had not been begun."""
        self.runs.drop(self._owner)
        self.abandon()

    def abandon(self) -> None:
        """Close the store and no more, as a crash does."""
        self.runs.close()

    def upkeep(self) -> None:
        """Take up runs, go on with those whose timers are due, and hear what others did."""
        for id in self.runs.awake(self._owner, self._now(), _PART):
            self._step(id)
        self.orders.renew(lambda order: self._making.get(order.run) is order.making)

    def sweep(self) -> list[str]:
        """Keep what is ours, take back what nobody works on; return owners that are gone."""
        self.runs.extend(self._owner, self._lease)
        gone = self.runs.free(self._owner, alive=self._alive)
        now = self._now()
        for id, making in list(self._making.items()):
            if now - making.touched > _IDLE and not making.calls:
                with self.runs.transaction():
                    run = self.runs.run(id)
                    if run is not None and run.owner == self._owner:
                        self.runs.connection.execute(
                            "update runs set owner = null where id = ?", (id,)
                        )
                del self._making[id]
        return gone

    def order(self, function: str) -> Order | None:
        """Return the next call of *function*, None when there is none; it is given once."""
        return self.orders.next(function)

    def answer(self, order: Order, answer: Mapping[str, Any]) -> None:
        """Keep what came of a call, ``{"ok"}`` or ``{"error", "cause"}``, and go on."""
        making = self._making.get(order.run)
        if making is None or making is not order.making or order.place not in making.open:
            return
        if answer.get("error") == "Throttled" and monotonic() < order.patience:
            # The killed process' record; that it was killed is no failure of the task.
            self.orders.defer(order, _AGAIN)
            return
        self._step(order.run, order.place, answer)

    def deferred(self) -> bool:
        """Tell whether calls are to be made again soon, by the real clock."""
        return self.orders.deferred

    def next_due(self, timeouts: bool = True) -> float | None:
        """Return in how many seconds a timer is due; see ``Runs.next_due``."""
        now = self._now()
        found = self.runs.next_due(now, timeouts)
        return None if found is None else max(0.0, found - now)

    def pressing(self) -> bool:
        """Tell whether there is something for this engine to do now."""
        return self.orders.some or bool(self.runs.awake(self._owner, self._now(), 1))

    def left(self) -> bool:
        """Tell whether there is something to do now, or others are at something."""
        return self.pressing() or self.deferred() or self.runs.at_work(self._owner, self._now())

    # One step of a run: a transaction

    def _step(self, id: str, place: str = "", answer: Any = None) -> None:
        notes: list[Note] = []
        try:
            with self.runs.transaction():
                self._within(id, place, answer, notes)
        except BaseException:
            # What is in memory may be further than what is kept.
            self._forget(id)
            raise
        for note in notes:
            self._told(note)

    def _forget(self, id: str) -> None:
        if self._making.pop(id, None) is not None:
            self.orders.forget(id)

    def _within(self, id: str, place: str, answer: Any, notes: list[Note]) -> None:
        run = self.runs.run(id)
        if run is None or run.state != "running":
            self._forget(id)
            if run is not None:
                self.runs.wake(id, None, None)
            return
        if run.owner not in (None, self._owner):
            self._forget(id)
            return
        making = self._making.get(id)
        now = self._now()
        if making is None or run.owner is None:
            self._forget(id)
            machine = run.machine or self._machines.get(run.workflow)
            if machine is None:
                self._end(run, nowhere("workflow", run.workflow, states.RUNTIME), now, notes)
                return
            self.runs.claim(id, self._owner, self._lease, machine)
            making = Making(self.runs, self.orders, self._machines, run, machine, now, notes)
            self._making[id] = making
            making.begin(self.runs.steps(id))
        else:
            making.now, making.notes = now, notes
        if place:
            self.runs.answer(id, place, answer, now)
            making.answered(place, answer, now)
        others = [each for each, waiting in making.open.items() if waiting.kind in _TOLD]
        for each, told, when in self.runs.answers(id, others):
            making.answered(each, told, when)
        for each, kind in making.due():
            late = None if kind == "sleep" else {"error": states.TIMEOUT, "cause": ""}
            self.runs.answer(id, each, late, now)
            if kind == "workflow":
                child = self.runs.run(child_id(id, each))
                if child is not None and child.state == "running":
                    self.runs.cancel(child, now)
            making.answered(each, late, now)
        if making.replay.outcome is not None:
            self._end(run, making.replay.outcome, now, notes)
            return
        making.touched = now
        self.runs.wake(id, making.next_due(), self._owner)

    def _end(self, run: Run, outcome: Mapping[str, Any], now: float, notes: list[Note]) -> None:
        self.runs.end(run, "failed" if "error" in outcome else "succeeded", outcome, now)
        self._forget(run.id)
        error, cause = outcome.get("error", ""), outcome.get("cause", "")
        inner = run.parent is not None
        notes.append(Note(run.workflow, run.id, "ended", error=error, cause=cause, inner=inner))
