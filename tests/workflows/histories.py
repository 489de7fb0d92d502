"""One run's history on each engine, as ``portafaas workflow history`` tells it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from portafaas.deployment.workflows import StepEvent
from portafaas.local.history import history
from tests.workflows import scripts
from tests.workflows.cases import Case, by, err, ok
from tests.workflows.local import Local

Told = list[tuple[Any, ...]]
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


@cache
def wanted() -> list[StepEvent]:
    """Return what the others' histories are held against: the local engine's."""
    with TemporaryDirectory() as folder:
        events = local(Path(folder))
    assert [(e.step, e.what) for e in events][-4:] == [
        ("z", "started"), ("z", "failed"), ("a", "started"), ("a", "undone"),
    ]  # fmt: skip
    assert {e.what for e in events} == {"started", "succeeded", "failed", "waiting", "caught", "undone"}
    return events


def places(events: Sequence[StepEvent]) -> Told:
    return [(e.step, e.place, e.what, e.attempt) for e in events]


def errors(events: Sequence[StepEvent]) -> Told:
    return [(e.error, e.cause) for e in events]


def details(events: Sequence[StepEvent], *without: str) -> Told:
    return [(e.place, e.what, e.detail) for e in events if e.step not in without]


def in_order(events: Sequence[StepEvent]) -> bool:
    times = [event.time for event in events]
    return times == sorted(times) and times[0] > 0
