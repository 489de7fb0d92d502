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
from tests.workflows import published
from tests.workflows.cases import Case
from tests.workflows.oracle import Oracle
from tests.workflows.scripts import world
from tests.workflows.virtual import Trace, execute

FOLDER = published.SEBS
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="shared/cases is not here")


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


@pytest.mark.parametrize("file", published.definitions(), ids=lambda file: file.parent.name)
def test_definition(tmp_path: Path, file: Path) -> None:
    definition = json.loads(file.read_text())
    plan(tmp_path, published.translated(definition), published.functions(definition))


@pytest.mark.parametrize(
    "file", sorted(FOLDER.glob("*/cases.json")), ids=lambda file: file.parent.name
)
def test_calls(tmp_path: Path, file: Path) -> None:
    definition = json.loads((file.parent / "definition.json").read_text())
    steps = published.translated(definition)
    machine = plan(tmp_path, steps, published.functions(definition))
    for number, given in enumerate(json.loads(file.read_text())):
        case = Case(f"case-{number}", steps, given["input"], published.answers(given["calls"]))
        trace = execute(machine, case.input, world(case), {"main": machine})
        same(trace, given)
        same(Oracle({"main": {"steps": steps}}, world(case)).run("main", case.input), given)
        wanted = [(call["func"], call["input"]) for call in given["calls"]]
        assert [(name, input) for _, _, name, input, *_ in trace.calls] == wanted


def same(trace: Trace, given: dict[str, Any]) -> None:
    assert given["status"] == "succeeded"
    assert trace.outcome == {"ok": given["output"]}
