"""The normal form and what runs it: a first set of rules, each by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from portafaas.manifest.load import load_manifest
from portafaas.plan.build import build_plan
from tests.workflows.virtual import Trace, execute

TASKS = ("one", "two", "three", "undo", "undo2")


def machines(tmp_path: Path, **steps: Any) -> dict[str, Any]:
    (tmp_path / "app.py").write_text("def work(task, context): ...\n")
    document = {
        "portafaas": 1, "name": "flow",
        "functions": {n: {"handler": "app:work", "trigger": {"task": {}}} for n in TASKS},
        "workflows": {name: {"steps": value} for name, value in steps.items()},
    }  # fmt: skip
    file = tmp_path / "portafaas.yaml"
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    return {w.name: w.machine for w in build_plan(load_manifest(file)).workflows}


def play(tmp_path: Path, steps: Any, input: Any, answers: dict[str, list[Any]]) -> Trace:
    left = {name: list(values) for name, values in answers.items()}

    def world(call: Any) -> tuple[float, dict[str, Any]]:
        answer = left[call.name].pop(0) if left.get(call.name) else {"did": call.name}
        if isinstance(answer, str):
            return 1.0, {"error": answer, "cause": "so it is"}
        return 1.0, {"ok": answer}

    made = machines(tmp_path, main=steps)
    return execute(made["main"], input, world, made)


def test_a_saga_is_undone_in_reverse(tmp_path: Path) -> None:
    steps = {
        "a": {"task": "one", "result": "$.a", "compensate": {"task": "undo", "input": {"a": "$.a"}}},
        "b": {"parallel": {
            "x": {"steps": {"bx": {"task": "two", "compensate": {"task": "undo2"}}}},
            "y": {"steps": {"by": {"task": "three"}}}}, "result": "$.b"},
        "c": {"task": "three", "retry": {"attempts": 2, "initial": "5s"}},
    }  # fmt: skip
    trace = play(tmp_path, steps, {"n": 1}, {"three": [{"fine": True}, "Broken", "Broken"]})
    assert trace.outcome == {"error": "Broken", "cause": "so it is"}
    names = [(time, name) for time, _, name, *_ in trace.calls]
    assert names == [
        (0, "one"), (1, "two"), (1, "three"), (2, "three"), (8, "three"), (9, "undo2"), (10, "undo"),
    ]  # fmt: skip
    assert trace.calls[-1][3] == {"a": {"did": "one"}}


def test_choice_loop_map_and_catch(tmp_path: Path) -> None:
    steps = {
        "start": {"set": {"n": 0, "items": "$.items"}},
        "again": {"loop": {"while": {"$.n": {"<": 2}}, "most": 5, "steps": {
            "count": {"task": "one", "input": "$.n", "result": "$.n"}}}},
        "each": {"map": {"items": "$.items", "most": 3, "concurrency": 1, "steps": {
            "take": {"task": "two"}}}, "result": "$.taken",
            "catch": [{"errors": ["Gone"], "next": "sorry", "result": "$.error"}]},
        "end": {"succeed": True},
        "sorry": {"fail": {"error": "Sorry", "cause": "$.error.Error"}},
    }  # fmt: skip
    found = play(tmp_path, steps, {"items": ["a", "b"]}, {"one": [1, 2]})
    assert found.outcome == {"ok": {"n": 2, "items": ["a", "b"], "taken": [{"did": "two"}] * 2}}
    found = play(tmp_path, steps, {"items": ["a", "b"]}, {"one": [1, 2], "two": ["Gone", 1]})
    # Both items have run.
    assert [call[3] for call in found.calls] == [0, 1, "a", "b"]
    assert found.outcome == {"error": "Sorry", "cause": "Gone"}
