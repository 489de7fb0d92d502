"""What happened in a run, where its answers are kept: the run is made anew, and told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from portafaas.deployment.replay import PENDING, Replay, Strand
from portafaas.deployment.workflows import StepEvent, What
from portafaas.plan.machines import every_step
from portafaas.record import dataclass
from portafaas.runtime.states import Fault
from portafaas.runtime.workflow import Call, Request, Signal

#: Steps whose calls are told of each for itself.
_CALLS = ("task", "workflow")


@dataclass(frozen=True, slots=True)
class Kept:
    """What is known of a request: when it was made, when it was answered (None: not yet), and how.

    *answer* is what the generator of ``portafaas.runtime.workflow`` is sent.
    """

    begun: float
    ended: float | None = None
    answer: Any = None


#: Told of a request and of the time then; None for one that nothing is known of.
Find = Callable[[Request, float], Kept | None]


class _Told:
    def __init__(self, machine: Mapping[str, Any], find: Find) -> None:
        self.events: list[StepEvent] = []
        self.find = find
        self.steps = dict(every_step(machine))
        self.replay: Replay | None = None

    def tell(self, what: Any, step: str, place: str, value: Any) -> None:
        """Take note of a step's beginning or end."""
        spec = self.steps.get(step, {})
        kind = spec.get("kind", "")
        if what != "caught" and kind in _CALLS:
            return
        if what == "started" and kind == "wait":
            return
        time = self.replay.time if self.replay else 0.0
        if isinstance(value, Fault):
            made = StepEvent(time, step, what, place, error=value.error, cause=value.cause)
        else:
            # What passes time makes nothing; a signal's is what it carried.
            detail = None if kind == "wait" and "signal" not in spec else value
            made = StepEvent(time, step, what, place, detail=detail)
        self.events.append(made)

    def ask(self, request: Request, strand: Strand) -> tuple[Any, float]:
        """Answer a request of the run, and take note of it."""
        kept = self.find(request, strand.time)
        if kept is None:
            return PENDING, 0.0
        if isinstance(request, Call):
            self.called(request, kept)
        elif isinstance(request, Signal) or self.steps[request.step]["kind"] == "wait":
            # A pause before the next attempt is no step.
            self.events.append(StepEvent(kept.begun, request.step, "waiting", request.place))
        if kept.ended is None:
            return PENDING, 0.0
        return kept.answer, kept.ended

    def called(self, call: Call, kept: Kept) -> None:
        """Take note of a call."""
        place = call.place.rpartition("!")[0]
        facts = (place, call.attempt)
        self.events.append(StepEvent(kept.begun, call.step, "started", *facts, call.input))
        if kept.ended is None:
            return
        undo = bool(call.compensates)
        what: What
        if "error" in kept.answer:
            what = "undo-failed" if undo else "failed"
            why = (str(kept.answer["error"]), str(kept.answer["cause"]))
            self.events.append(StepEvent(kept.ended, call.step, what, *facts, None, *why))
        else:
            what = "undone" if undo else "succeeded"
            self.events.append(StepEvent(kept.ended, call.step, what, *facts, kept.answer["ok"]))


def history(
    machine: Mapping[str, Any], input: Any, run: str, started: float, find: Find
) -> list[StepEvent]:
    """Return what happened in *run*, which began at *started*, in the order of time."""
    told = _Told(machine, find)
    told.replay = Replay(machine, input, run, started, told.ask, told.tell)
    told.replay.begin()
    return sorted(told.events, key=lambda event: event.time)
