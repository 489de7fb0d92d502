"""One run's history on each engine, as ``portafaas workflow history`` tells it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from portafaas.deployment.workflows import StepEvent
from portafaas.local.history import history
from tests.workflows import scripts
from tests.workflows.cases import Case, by, err, ok
from tests.workflows.local import Local

#: Of each thing that a history tells.
RUN = Case(
    "told",
    {
        "a": {"task": "one", "input": 1, "result": "$.a", "retry": {"errors": ["Busy"], "attempts": 3, "initial": 1},
              "compensate": {"task": "undo", "input": "$.a"}},
        "m": {"map": {"items": "$.list", "most": 9, "concurrency": 1, "steps": {
            "t": {"task": "two", "catch": [{"errors": ["Gone"], "next": "s", "result": "$"}], "end": True},
            "s": {"set": {"none": True}}}}, "result": "$.m"},
        "l": {"loop": {"while": {"$.n": {"<": 2}}, "most": 5, "steps": {"i": {"task": "three", "input": "$.n", "result": "$.n"}}}},
        "c": {"workflow": "inner", "input": {"x": 1}, "result": "$.c"},
        "w": {"wait": {"signal": "go", "timeout": "1h"}, "result": "$.by"},
        "p": {"wait": {"seconds": 1}},
        "z": {"task": "one", "input": 2, "catch": [{"errors": ["Other"], "next": "end"}]},
        "end": {"succeed": True},
    },
    {"list": [7, 8], "n": 0},
    answers={
        "one": by((1, [err("Busy", "wait"), ok(5)]), (2, [err("Declined", "no money")])),
        "two": by((7, [ok(70)]), (8, [err("Gone", "away")])),
        "three": by((0, [ok(1)]), (1, [ok(2)])),
    },
    signals={"go": (1, {"by": "Ana"})},
    workflows={"inner": {"q": {"task": "unmake", "input": 3}}},
)  # fmt: skip


def local(folder: Path) -> list[StepEvent]:
    engine = Local(folder, scripts.machines(RUN), scripts.world(RUN), RUN.signals)
    engine.run(RUN.name, RUN.input)
    run = engine.engine.runs.run("run-1")
    assert run is not None
    return history(run, engine.engine.runs.steps("run-1"))


def told(events: Iterable[StepEvent]) -> list[tuple[Any, ...]]:
    """Return what is the same on all engines, but for what one of them does not keep."""
    return [(e.step, e.place, e.what, e.attempt, e.error, e.cause, e.detail) for e in events]
