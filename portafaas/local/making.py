"""One run of a workflow in memory, made anew from what is kept of it by whoever takes it up."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from datetime import datetime
from time import monotonic
from typing import Any

from portafaas.deployment.replay import PENDING, Replay, Strand
from portafaas.local.orders import Order, Orders
from portafaas.local.runs import Kept, Run, Runs
from portafaas.record import dataclass
from portafaas.runtime import states
from portafaas.runtime.workflow import Call, Request, Signal, Sleep

#: Seconds, beyond the function's timeout, for which a task that was under way when its process was
#: killed may have a record of idempotency that is still that process'.
_MORE = 10.0


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


class Open:
    """A request without an answer."""

    __slots__ = ("due", "kind", "request", "strand")

    def __init__(self, request: Request, strand: Strand, kind: str, due: float | None) -> None:
        self.request = request
        self.strand = strand
        self.kind = kind
        self.due = due


class Making:
    """A run in memory: made of what is kept, and as far as that.

    *workflows* are the names of those that the manifest has. To *notes* is put what is recorded.
    """

    def __init__(
        self,
        runs: Runs,
        orders: Orders,
        workflows: Collection[str],
        run: Run,
        machine: Mapping[str, Any],
        now: float,
        notes: list[Note],
    ) -> None:
        self.now = self.touched = now
        self.notes = notes
        self.open: dict[str, Open] = {}
        #: How many of these are calls of functions.
        self.calls = 0
        self._runs = runs
        self._orders = orders
        self._workflows = workflows
        self._run = run
        self._kept: dict[str, Kept] = {}
        self.replay = Replay(machine, run.input, run.id, run.started, self._ask)

    def begin(self, kept: list[Kept]) -> None:
        """Make it as far as what is *kept*, and go on."""
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
        """Return when the next timer is due; None when there is none."""
        dues = [waiting.due for waiting in self.open.values() if waiting.due is not None]
        return min(dues, default=None)

    def _ask(self, request: Request, strand: Strand) -> tuple[Any, float]:
        kept = self._kept.get(request.place)
        if kept is not None and kept.ended is not None:
            return kept.answer, kept.ended
        kind, name, due, answer = self._facts(request, kept is not None)
        if kept is None:
            call = request if isinstance(request, Call) else None
            self._runs.open(
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
                self._runs.answer(self._run.id, request.place, answer, self.now)
        if answer is not PENDING:
            self._note(request, kind, answer)
            return answer, self.now
        self.open[request.place] = Open(request, strand, kind, due)
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
            if not begun and name not in self._workflows:
                return "workflow", name, None, nowhere("workflow", name)
            id = child_id(self._run.id, request.place)
            self._runs.start(id, name, request.input, self.now, self._run.id, request.place)
            return "workflow", name, self._later(request.timeout), PENDING
        unknown = name not in self._orders.timeouts
        return "function", name, None, nowhere("function", name) if unknown else PENDING

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
        longest = self._orders.timeouts[request.name] + _MORE
        self._orders.add(
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


def nowhere(kind: str, name: str, error: str = states.TASK_FAILED) -> dict[str, Any]:
    """Return the answer of what the manifest does not have."""
    return {"error": error, "cause": f"no {kind} of the manifest is called {name!r}"}
