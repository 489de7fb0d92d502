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

import hashlib
from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import Any

from portafaas.deployment.replay import PENDING, Replay, Strand
from portafaas.local.runs import Kept, Run, Runs
from portafaas.plan import BuildPlan
from portafaas.record import dataclass
from portafaas.runtime import states
from portafaas.runtime.workflow import Call, Request, Signal, Sleep

#: Runs that are looked after in one go.
_PART = 50
#: Seconds after which a run that waits is no longer kept in memory.
_IDLE = 5.0
#: Seconds between two calls of a task that was under way when its process was killed, as long as
#: its record of idempotency is still that process', and beyond the function's timeout in all.
_AGAIN, _MORE = 2.0, 10.0


@dataclass(frozen=True, slots=True)
class Order:
    """One call of a function for a run; ``timeout`` in seconds, None for the function's own."""

    run: str
    workflow: str
    place: str
    step: str
    function: str
    input: Any
    attempt: int
    key: str
    timeout: float | None
    #: Which of the engine's makings of the run asks: a later one asks again.
    making: object
    #: On the monotonic clock, until when the one who was at it before may be; 0 for nobody.
    patience: float = 0.0

    def task(self) -> dict[str, Any]:
        """Return it as ``portafaas.runtime.task.task_of`` takes it."""
        return {
            "input": self.input,
            "workflow": self.workflow,
            "run": self.run,
            "step": self.step,
            "attempt": self.attempt,
            "key": self.key,
        }


@dataclass(frozen=True, slots=True)
class Note:
    """One thing that an engine has recorded of a run.

    ``what`` is ``called``, ``succeeded``, ``failed``, ``waiting`` of a step, and ``ended`` of the
    run (``error`` is how, "" when it has succeeded). ``inner``: another run waits for it.
    """

    workflow: str
    run: str
    what: str
    step: str = ""
    place: str = ""
    attempt: int = 0
    error: str = ""
    cause: str = ""
    inner: bool = False


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
        self._functions = {f.name: f.timeout for f in plan.functions if f.kind == "task"}
        self._owner = owner
        self._now = now
        self._alive = alive
        self._lease = lease
        self._told = told
        self._making: dict[str, _Making] = {}
        self._orders: dict[str, deque[Order]] = {name: deque() for name in self._functions}
        #: Calls to be made again, and when, on the monotonic clock.
        self._deferred: list[tuple[float, Order]] = []
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
        if self._deferred:
            waiting, self._deferred = self._deferred, []
            for when, order in waiting:
                if self._making.get(order.run) is not order.making:
                    continue
                if when > monotonic():
                    self._deferred.append((when, order))
                else:
                    self._orders[order.function].append(order)

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
        waiting = self._orders.get(function)
        return waiting.popleft() if waiting else None

    def answer(self, order: Order, answer: Mapping[str, Any]) -> None:
        """Keep what came of a call, ``{"ok"}`` or ``{"error", "cause"}``, and go on."""
        making = self._making.get(order.run)
        if making is None or making is not order.making or order.place not in making.open:
            return
        if answer.get("error") == "Throttled" and monotonic() < order.patience:
            # The killed process' record; that it was killed is no failure of the task.
            self._deferred.append((monotonic() + _AGAIN, order))
            return
        self._step(order.run, order.place, answer)

    def deferred(self) -> bool:
        """Tell whether calls are to be made again soon, by the real clock."""
        return bool(self._deferred)

    def next_due(self, timeouts: bool = True) -> float | None:
        """Return in how many seconds a timer is due; see ``Runs.next_due``."""
        now = self._now()
        found = self.runs.next_due(now, timeouts)
        return None if found is None else max(0.0, found - now)

    def pressing(self) -> bool:
        """Tell whether there is something for this engine to do now."""
        waits = any(self._orders.values())
        return waits or bool(self.runs.awake(self._owner, self._now(), 1))

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
            for waiting in self._orders.values():
                for order in [order for order in waiting if order.run == id]:
                    waiting.remove(order)

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
                self._end(run, _nowhere("workflow", run.workflow, states.RUNTIME), now, notes)
                return
            self.runs.claim(id, self._owner, self._lease, machine)
            making = self._making[id] = _Making(self, run, machine, now, notes)
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

    def _end(
        self, run: Run, outcome: Mapping[str, Any], now: float, notes: list[Note]
    ) -> None:
        self.runs.end(run, "failed" if "error" in outcome else "succeeded", outcome, now)
        self._forget(run.id)
        error, cause = outcome.get("error", ""), outcome.get("cause", "")
        inner = run.parent is not None
        notes.append(
            Note(run.workflow, run.id, "ended", error=error, cause=cause, inner=inner)
        )


#: What others answer.
_TOLD = ("signal", "workflow")


class _Open:
    """A request without an answer."""

    __slots__ = ("due", "kind", "request", "strand")

    def __init__(self, request: Request, strand: Strand, kind: str, due: float | None) -> None:
        self.request = request
        self.strand = strand
        self.kind = kind
        self.due = due


class _Making:
    """A run in memory: made of what is kept, and as far as that."""

    def __init__(
        self, engine: Engine, run: Run, machine: Mapping[str, Any], now: float, notes: list[Note]
    ) -> None:
        self.now = self.touched = now
        self.notes = notes
        self.open: dict[str, _Open] = {}
        #: How many of these are calls of functions.
        self.calls = 0
        self._engine = engine
        self._run = run
        self._kept: dict[str, Kept] = {}
        self.replay = Replay(machine, run.input, run.id, run.started, self._ask)

    def begin(self, kept: list[Kept]) -> None:
        self._kept = {each.place: each for each in kept}
        self.replay.begin()
        self._kept = {}

    def answered(self, place: str, answer: Any, when: float) -> None:
        """Go on with what has been answered."""
        waiting = self.open.pop(place, None)
        if waiting is None:
            return
        self.calls -= waiting.kind == "function"
        self._note(waiting.request, waiting.kind, answer)
        self.replay.feed(waiting.strand, answer, when)

    def due(self) -> list[tuple[str, str]]:
        """Return the places, and kinds, of timers that are due, the earliest first."""
        found = sorted(
            (waiting.due, place, waiting.kind)
            for place, waiting in self.open.items()
            if waiting.due is not None and waiting.due <= self.now
        )
        return [(place, kind) for _, place, kind in found]

    def next_due(self) -> float | None:
        dues = [waiting.due for waiting in self.open.values() if waiting.due is not None]
        return min(dues, default=None)

    def _ask(self, request: Request, strand: Strand) -> tuple[Any, float]:
        kept = self._kept.get(request.place)
        if kept is not None and kept.ended is not None:
            return kept.answer, kept.ended
        kind, name, due, answer = self._facts(request, kept is not None)
        if kept is None:
            call = request if isinstance(request, Call) else None
            self._engine.runs.open(
                self._run.id,
                Kept(
                    request.place, kind, request.step, name, call.attempt if call else 0,
                    call.compensates if call else "", call.input if call else None, self.now, due,
                    None if answer is PENDING else self.now, None if answer is PENDING else answer,
                ),
            )  # fmt: skip
            if kind != "sleep":
                self._note(request, kind, PENDING)
        else:
            due = kept.due
            if answer is not PENDING:
                # Also for whoever makes the run anew when the manifest has it again.
                self._engine.runs.answer(self._run.id, request.place, answer, self.now)
        if answer is not PENDING:
            self._note(request, kind, answer)
            return answer, self.now
        self.open[request.place] = _Open(request, strand, kind, due)
        if kind == "function":
            self._call(request, kept is not None)
        return PENDING, 0.0

    def _facts(self, request: Request, begun: bool) -> tuple[str, str, float | None, Any]:
        """Return kind, name, when it is due, and the answer of what cannot be done.

        *begun*: it is kept. A sub-workflow that was begun goes on by its own machine.
        """
        if isinstance(request, Sleep):
            return "sleep", "", self._until(request), PENDING
        if isinstance(request, Signal):
            return "signal", request.name, self._later(request.timeout), PENDING
        assert isinstance(request, Call)
        name = request.name
        if request.kind == "workflow":
            if not begun and name not in self._engine._machines:
                return "workflow", name, None, _nowhere("workflow", name)
            id = child_id(self._run.id, request.place)
            self._engine.runs.start(
                id, name, request.input, self.now, self._run.id, request.place
            )
            return "workflow", name, self._later(request.timeout), PENDING
        unknown = name not in self._engine._functions
        return "function", name, None, _nowhere("function", name) if unknown else PENDING

    def _later(self, seconds: float | None) -> float | None:
        return None if seconds is None else self.now + seconds

    def _until(self, request: Sleep) -> float:
        if request.until is None:
            assert request.seconds is not None
            part = share(self._run.id, request.place) if request.jitter else 1.0
            return self.now + request.seconds * part
        # It is a time, as the run has seen to.
        return datetime.fromisoformat(request.until).timestamp()

    def _call(self, request: Request, again: bool) -> None:
        assert isinstance(request, Call)
        self.calls += 1
        longest = self._engine._functions[request.name] + _MORE
        self._engine._orders[request.name].append(
            Order(
                self._run.id, self._run.workflow, request.place, request.step, request.name,
                request.input, request.attempt, f"{self._run.id}/{request.key}", request.timeout,
                self, monotonic() + longest if again else 0.0,
            )
        )  # fmt: skip

    def _note(self, request: Request, kind: str, answer: Any) -> None:
        attempt = request.attempt if isinstance(request, Call) else 0
        error = cause = ""
        if answer is PENDING:
            what = "waiting" if kind == "signal" else "called"
        elif kind == "sleep":
            return
        else:
            error, cause = answer.get("error", ""), answer.get("cause", "")
            what = "failed" if error else "succeeded"
        facts = (request.step, request.place, attempt, error, cause)
        self.notes.append(Note(self._run.workflow, self._run.id, what, *facts))


def child_id(run: str, place: str) -> str:
    """Return the id of the run that *run* waits for at *place*: the same when it is made anew."""
    return f"{run}-{hashlib.sha256(place.encode()).hexdigest()[:12]}"


def share(run: str, place: str) -> float:
    """Return the part of a delay with jitter that is waited for, 0 to 1; the same each time."""
    digest = hashlib.sha256(f"{run}/{place}".encode()).digest()
    return int.from_bytes(digest[:6]) / 2**48


def _nowhere(kind: str, name: str, error: str = states.TASK_FAILED) -> dict[str, Any]:
    return {"error": error, "cause": f"no {kind} of the manifest is called {name!r}"}
