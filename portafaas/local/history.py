"""What happened in a run, from what is kept of it: the run is made anew, and told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from portafaas.deployment.workflows import StepEvent, What
from portafaas.local.replay import PENDING, Replay, Strand
from portafaas.local.runs import Kept, Run
from portafaas.plan.machines import every_step
from portafaas.runtime.states import Fault
from portafaas.runtime.workflow import Request

#: Steps whose calls, or whose waiting, are told of each for itself.
_CALLS = ("task", "workflow")


class _History:
    def __init__(self, run: Run, kept: Sequence[Kept]) -> None:
        self.events: list[StepEvent] = []
        self._kept = {each.place: each for each in kept}
        self._passing = {
            name for name, step in every_step(run.machine or {"steps": {}})
            if step["kind"] == "wait" and "signal" not in step
        }  # fmt: skip
        self._kinds = dict(_kinds(run.machine or {"steps": {}}))
        self._replay: Replay | None = None
        if run.machine is None:
            return
        self._replay = Replay(run.machine, run.input, run.id, run.started, self._ask, self._tell)
        self._replay.begin()

    def _tell(self, what: Any, step: str, place: str, value: Any) -> None:
        kind = self._kinds.get(step, "")
        if what != "caught" and kind in _CALLS:
            return
        if what == "started" and kind == "wait":
            return
        time = self._replay.time if self._replay else 0.0
        if isinstance(value, Fault):
            made = StepEvent(time, step, what, place, error=value.error, cause=value.cause)
        else:
            # What passes time makes nothing; a signal's is what it carried.
            detail = None if step in self._passing else value
            made = StepEvent(time, step, what, place, detail=detail)
        self.events.append(made)

    def _ask(self, request: Request, strand: Strand) -> tuple[Any, float]:
        kept = self._kept.get(request.place)
        if kept is None:
            return PENDING, 0.0
        # A pause before the next attempt is no step.
        if kept.kind != "sleep":
            self._told(kept)
        elif self._kinds.get(kept.step) == "wait":
            self.events.append(StepEvent(kept.begun, kept.step, "waiting", kept.place))
        if kept.ended is None:
            return PENDING, 0.0
        return kept.answer, kept.ended

    def _told(self, kept: Kept) -> None:
        place = kept.place.rpartition("!")[0] if kept.attempt else kept.place
        begun: What = "waiting" if kept.kind == "signal" else "started"
        facts = (place, kept.attempt)
        self.events.append(StepEvent(kept.begun, kept.step, begun, *facts, kept.input))
        if kept.ended is None or kept.kind == "signal":
            return
        undo = bool(kept.compensates)
        what: What
        if "error" in kept.answer:
            what = "undo-failed" if undo else "failed"
            why = (kept.answer["error"], kept.answer["cause"])
            self.events.append(StepEvent(kept.ended, kept.step, what, *facts, None, *why))
        else:
            what = "undone" if undo else "succeeded"
            self.events.append(StepEvent(kept.ended, kept.step, what, *facts, kept.answer["ok"]))


def history(run: Run, kept: Sequence[Kept]) -> list[StepEvent]:
    """Return what happened in *run*, in the order of time, by the store's clock."""
    return sorted(_History(run, kept).events, key=lambda event: event.time)


def _kinds(machine: Mapping[str, Any]) -> Any:
    return ((name, step["kind"]) for name, step in every_step(machine))
