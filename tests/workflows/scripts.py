"""Lets cases and generated definitions run: their project, their answers, their reference trace.

* :func:`project`: a folder with ``portafaas.yaml`` and ``scripted.py`` that has the workflows of some
  cases; every case's workflow has the case's name, those that it runs are ``<case>-<name>``.
* :func:`prepare`: writes the plan and empties the ledger; :func:`ledger`: reads it.
* :func:`reference`: what the virtual engine makes of a case.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from portafaas.manifest.load import load_manifest
from portafaas.plan.build import build_plan
from tests.workflows.cases import Case
from tests.workflows.project.scripted import answer_of, canonical
from tests.workflows.virtual import Trace, execute

HERE = Path(__file__).parent / "project"
FUNCTIONS = ("one", "two", "three", "undo", "unmake", "slow")


def names(case: Case) -> dict[str, str]:
    """Return the names of the workflows of a case in a project, by their names in the case."""
    return {"": case.name, **{name: f"{case.name}-{name}" for name in case.workflows}}


def definitions(case: Case) -> dict[str, Any]:
    """Return the ``workflows:`` of a manifest that a case needs."""
    if case.machine:
        return {case.name: {"file": f"{case.name}.asl.json", "functions": mapped(case.machine)}}
    called = names(case)
    out = {case.name: {**case.schemas.get("", {}), "steps": _renamed(case.steps, called)}}
    for name, steps in case.workflows.items():
        out[called[name]] = {**case.schemas.get(name, {}), "steps": _renamed(steps, called)}
    return out


def mapped(text: str) -> dict[str, str]:
    """Return the functions that a machine names, as a manifest maps them."""
    found = set(re.findall(r"function:([\w${}-]+)|\$\{(\w+)\}", text))
    found |= set(re.findall(r'()"(?:FunctionName|StateMachineArn)": ?"([^"]+)"', text))
    last = {(one or other).rpartition(":")[2] for one, other in found}
    return dict.fromkeys(sorted(last), "one")


def _renamed(value: Any, called: Mapping[str, str]) -> Any:
    """Return steps where ``workflow: name`` is the name in the project."""
    out = {}
    for name, step in value.items():
        step = dict(step)
        if "workflow" in step:
            step["workflow"] = called.get(step["workflow"], step["workflow"])
        for kind in ("map", "loop"):
            if kind in step:
                step[kind] = {**step[kind], "steps": _renamed(step[kind]["steps"], called)}
        if "parallel" in step:
            step["parallel"] = {
                branch: {"steps": _renamed(one["steps"], called)}
                for branch, one in step["parallel"].items()
            }
        out[name] = step
    return out


def manifest(cases: Iterable[Case]) -> dict[str, Any]:
    """Return the manifest of a project with these cases."""
    document: dict[str, Any] = yaml.safe_load((HERE / "portafaas.yaml").read_text())
    document["workflows"] = {}
    for case in cases:
        document["workflows"] |= definitions(case)
    return document


def project(folder: Path, cases: Iterable[Case], **more: Any) -> Path:
    """Write a project into *folder*; *more* are further blocks of the manifest. Return its file."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(HERE / "scripted.py", folder)
    cases = list(cases)
    for case in cases:
        if case.machine:
            (folder / f"{case.name}.asl.json").write_text(case.machine)
    file = folder / "portafaas.yaml"
    file.write_text(yaml.safe_dump(manifest(cases) | more, sort_keys=False, allow_unicode=True))
    return file


def plan(cases: Iterable[Case]) -> dict[str, Any]:
    """Return what ``scripted.py`` answers by."""
    return {
        name: {"case": case.name, "scripts": case.scripts}
        for case in cases
        for name in names(case).values()
    }


def prepare(folder: Path, cases: Iterable[Case]) -> None:
    """Make *folder* one for ``PORTAFAAS_FLOW_PLAN``: the plan of the cases, an empty ledger."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plan.json").write_text(json.dumps(plan(cases)))
    (folder / "ledger.jsonl").write_text("")


def ledger(folder: Path, case: Case | None = None) -> list[dict[str, Any]]:
    """Return the calls so far, of one case if given, in the order of their beginnings."""
    lines = (folder / "ledger.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    if case is None:
        return found
    wanted = set(names(case).values())
    return [entry for entry in found if entry["workflow"] in wanted]


@lru_cache(1)
def _functions() -> Any:
    return build_plan(load_manifest(HERE / "portafaas.yaml")).functions


def machines(case: Case) -> dict[str, dict[str, Any]]:
    """Return the normal forms of a case's workflows, by their names in a project.

    Raises AssertionError when the definition is not right.
    """
    if case.machine:
        with TemporaryDirectory() as folder:
            made = build_plan(load_manifest(project(Path(folder), [case]))).workflows
        return {flow.name: dict(flow.machine) for flow in made}
    from portafaas.plan.machines import compiled
    from portafaas.plan.triggers import Findings

    found = Findings(load_manifest(HERE / "portafaas.yaml"))
    block = definitions(case)
    out = {
        name: compiled(found, spec["steps"], ("workflows", name, "steps"), _functions(), block)
        for name, spec in block.items()
    }
    assert not found.problems, found.problems
    for name, spec in block.items():
        out[name] |= {key: spec[key] for key in ("input", "output") if key in spec}
    return out


def world(case: Case) -> Callable[[Any], tuple[float, dict[str, Any]]]:
    """Return what answers the calls of one run of a case, for ``virtual.execute``."""
    before: dict[str, list[str]] = {}

    def answer(call: Any) -> tuple[float, dict[str, Any]]:
        earlier = before.setdefault(call.name, [])
        found = dict(
            answer_of(
                case.scripts.get(call.name), call.name, call.step, call.input, call.attempt, earlier
            )
        )
        earlier.append(canonical(call.input))
        seconds = found.pop("seconds", 0.01)
        # ``slow`` has a timeout of a second in the project.
        if call.name == "slow" and seconds > 1:
            return 1.0, {"error": "States.Timeout", "cause": "slow took over 1 s"}
        if "exit" in found:
            return seconds, {"error": "States.TaskFailed", "cause": "the process ended"}
        if "error" in found:
            return seconds, {"error": found["error"], "cause": found.get("cause", "")}
        return seconds, found

    return answer


def reference(case: Case) -> Trace:
    """Return the trace that every engine must equal."""
    made = machines(case)
    return execute(made[case.name], case.input, world(case), made, case.signals, workflow=case.name)
