"""What happened in a run, from what is kept of it."""

from __future__ import annotations

from collections.abc import Sequence

from portafaas.deployment.histories import Kept as Answered
from portafaas.deployment.histories import history as replayed
from portafaas.deployment.workflows import StepEvent
from portafaas.local.runs import Kept, Run
from portafaas.runtime.workflow import Request


def history(run: Run, kept: Sequence[Kept]) -> list[StepEvent]:
    """Return what happened in *run*, in the order of time, by the store's clock."""
    if run.machine is None:
        return []
    places = {each.place: each for each in kept}

    def find(request: Request, time: float) -> Answered | None:
        found = places.get(request.place)
        return None if found is None else Answered(found.begun, found.ended, found.answer)

    return replayed(run.machine, run.input, run.id, run.started, find)
