"""SeBS-Flow's benchmarks, translated, call the functions that SeBS's own interpreter calls.

The definitions and calls are in ``shared/cases/sebs`` beside the repository, when they are there.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from portafaas.manifest.load import load_manifest
from portafaas.plan.build import build_plan
from tests.workflows.cases import Case, by, ok
from tests.workflows.oracle import Oracle
from tests.workflows.scripts import world
from tests.workflows.shared import shared
from tests.workflows.virtual import Trace, execute

FOLDER = shared("sebs/workflows")
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="shared/cases is not here")


def translated(machine: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the steps of a machine of SeBS-Flow (its docs/workflows.md)."""
    out: dict[str, Any] = {}
    names = list(machine["states"])
    names.remove(machine["root"])
    for name in [machine["root"], *names]:
        state = machine["states"][name]
        here = prefix + name
        way = {"next": prefix + state["next"]} if "next" in state else {"end": True}
        match state["type"]:
            case "task":
                out[here] = {"task": state["func_name"], **way}
            case "map" | "loop":
                spec: dict[str, Any] = {
                    "items": f"$.{state['array']}", "most": 1000,
                    "concurrency": 40 if state["type"] == "map" else 1,
                    "steps": translated(state, f"{here}-"),
                }  # fmt: skip
                if "common_params" in state:
                    names_ = state["common_params"].split(",")
                    spec["each"] = {"array_element": "$$.Map.Item.Value"}
                    spec["each"] |= {one: f"$.{one}" for one in names_}
                out[here] = {"map": spec, "result": f"$.{state['array']}", **way}
            case "repeat":
                # A task so many times, each on what the one before it returned.
                for number in range(state["count"]):
                    last = number + 1 == state["count"]
                    following = way if last else {"next": f"{here}-{number + 1}"}
                    mine = f"{here}-{number}" if number else here
                    out[mine] = {"task": state["func_name"], **following}
            case "switch":
                out[here] = {
                    "choice": [
                        {"when": {f"$.{one['var']}": {one["op"]: one["val"]}}, "next": one["next"]}
                        for one in state["cases"]
                    ],
                    "default": state["default"],
                }
            case "parallel":
                branches = {
                    f"b{number}": {"steps": translated(one, f"{here}-{number}-")}
                    for number, one in enumerate(state["parallel_functions"])
                }
                out[here] = {"parallel": branches, **way}
            case other:
                raise AssertionError(other)
    return out


def plan(tmp_path: Path, steps: dict[str, Any], functions: set[str]) -> dict[str, Any]:
    (tmp_path / "app.py").write_text("def work(task, context): ...\n")
    trigger = {"handler": "app:work", "trigger": {"task": {}}}
    document = {
        "portafaas": 1, "name": "sebs", "functions": dict.fromkeys(sorted(functions), trigger),
        "workflows": {"main": {"steps": steps}},
    }  # fmt: skip
    file = tmp_path / "portafaas.yaml"
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    (workflow,) = build_plan(load_manifest(file)).workflows
    machine: dict[str, Any] = dict(workflow.machine)
    return machine


def functions(machine: Any) -> set[str]:
    found = set()
    if isinstance(machine, dict):
        found |= {machine["func_name"]} if "func_name" in machine else set()
        machine = list(machine.values())
    for one in machine if isinstance(machine, list) else ():
        found |= functions(one)
    return found


def folders() -> list[Path]:
    return sorted(FOLDER.glob("*/definition.json"))


@pytest.mark.parametrize("file", folders(), ids=lambda file: file.parent.name)
def test_definition(tmp_path: Path, file: Path) -> None:
    definition = json.loads(file.read_text())
    plan(tmp_path, translated(definition), functions(definition))


@pytest.mark.parametrize(
    "file", sorted(FOLDER.glob("*/cases.json")), ids=lambda file: file.parent.name
)
def test_calls(tmp_path: Path, file: Path) -> None:
    definition = json.loads((file.parent / "definition.json").read_text())
    steps = translated(definition)
    machine = plan(tmp_path, steps, functions(definition))
    for number, given in enumerate(json.loads(file.read_text())):
        answers: dict[str, list[tuple[Any, list[Any]]]] = {}
        for call in given["calls"]:
            rules = answers.setdefault(call["func"], [])
            for input, outputs in rules:
                if input == call["input"]:
                    outputs.append(ok(call["output"]))
                    break
            else:
                rules.append((call["input"], [ok(call["output"])]))
        case = Case(
            f"case-{number}", steps, given["input"], {k: by(*v) for k, v in answers.items()}
        )
        trace = execute(machine, case.input, world(case), {"main": machine})
        same(trace, given)
        same(Oracle({"main": {"steps": steps}}, world(case)).run("main", case.input), given)
        wanted = [(call["func"], call["input"]) for call in given["calls"]]
        assert [(name, input) for _, _, name, input, *_ in trace.calls] == wanted


def same(trace: Trace, given: dict[str, Any]) -> None:
    assert given["status"] == "succeeded"
    assert trace.outcome == {"ok": given["output"]}
