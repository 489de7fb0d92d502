"""What a workflow may not exceed on Google Cloud, and what it cannot keep: PF3002.

Numbers without a page of their own: https://cloud.google.com/workflows/quotas
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from portafaas.errors import Diagnostic
from portafaas.plan import BuildPlan
from portafaas.plan.machines import inner, subworkflows
from portafaas.plan.model import WorkflowPlan
from portafaas_gcp.workflows.calling import LONGEST_CALL
from portafaas_gcp.workflows.expressions import LONGEST, every_expression, odd_names
from portafaas_gcp.workflows.source import written
from portafaas_gcp.workflows.steps import YEAR

QUOTAS = "https://cloud.google.com/workflows/quotas"
#: Bytes of a source.
LARGEST = 131_072
#: Calls within one another, and how many of them the library makes within a routine of steps.
CALLS = 20
_LIBRARY = 5
#: Steps of a run, and how many of them a step of the manifest takes about.
STEPS = 100_000
_EACH = 25
#: An address of a function is at most about that long.
_ADDRESS = "https://{:->63}-0123456789-ew.a.run.app"


def over(plan: BuildPlan) -> Iterator[Diagnostic]:
    """Yield what each workflow of *plan* is too large for, and what it cannot keep."""
    usable = {function.name for function in plan.functions}
    for workflow in plan.workflows:
        path = f"$.workflows.{workflow.name}"
        yield from _steps(workflow.machine, path)
        calls = _depth(plan, workflow.machine)
        # main, and the routine that compensates.
        deepest = calls + 2 + _LIBRARY
        if deepest > CALLS:
            yield _problem(
                path,
                f"{deepest} calls would be within one another; at most {CALLS} are",
                "nest fewer workflows, branches and items",
            )
        wanted = _weight(plan, workflow.machine)
        if wanted > STEPS:
            yield _problem(
                path,
                f"a run that goes on as long as it may takes about {wanted} of Google's steps, and "
                f"fails after {STEPS}",
                "lower 'most' of its loops and maps",
                "warning",
            )
        if _usable(plan, workflow.machine, usable):
            yield from _written(plan, workflow, path)


def _problem(path: str, message: str, hint: str, severity: Any = "error") -> Diagnostic:
    return Diagnostic("PF3002", f"{message} ({QUOTAS})", path=path, hint=hint, severity=severity)


def _steps(machine: Mapping[str, Any], path: str) -> Iterator[Diagnostic]:
    for name, step in machine["steps"].items():
        here = f"{path}.steps.{name}"
        timeout = step.get("timeout")
        if step["kind"] == "task" and timeout is not None and timeout > LONGEST_CALL:
            yield _problem(
                f"{here}.timeout",
                f"timeout {timeout:g} s is over the {LONGEST_CALL} s of a call",
                "start the work, and wait for a signal",
            )
        elif step["kind"] == "wait" and timeout is not None and timeout > YEAR:
            yield _problem(
                f"{here}.wait.timeout", f"timeout {timeout:g} s is over a year", "run it for less"
            )
        for one in inner(step):
            yield from _steps(one, here)


def _depth(plan: BuildPlan, machine: Mapping[str, Any]) -> int:
    """Return how many routines are within one another, as if all were in one execution."""
    calls = 1
    for step in machine["steps"].values():
        if step["kind"] == "workflow":
            calls = max(calls, _depth(plan, plan.workflow(step["workflow"]).machine) + 2)
        for one in inner(step):
            calls = max(calls, _depth(plan, one) + (step["kind"] != "loop"))
    return calls


def _weight(plan: BuildPlan, machine: Mapping[str, Any]) -> int:
    total = 0
    for step in machine["steps"].values():
        total += _EACH
        if step["kind"] == "workflow":
            total += _weight(plan, plan.workflow(step["workflow"]).machine)
        for one in inner(step):
            total += _weight(plan, one) * step.get("most", 1)
    return total


def _usable(plan: BuildPlan, machine: Mapping[str, Any], functions: set[str]) -> bool:
    """Return whether a source can be made: what is missing has been told before."""
    return all(name in {one.name for one in plan.workflows} for name in subworkflows(machine))


def _signals(plan: BuildPlan, machine: Mapping[str, Any]) -> Iterator[str]:
    for name, step in machine["steps"].items():
        if "signal" in step:
            yield name
        if step["kind"] == "workflow":
            yield from _signals(plan, plan.workflow(step["workflow"]).machine)
        for one in inner(step):
            yield from _signals(plan, one)


def _written(plan: BuildPlan, workflow: WorkflowPlan, path: str) -> Iterator[Diagnostic]:
    made, apart = written(plan, workflow, _ADDRESS.format)
    for name, machine in apart.values():
        part = plan.workflow(name).machine if machine is None else machine
        for step in _signals(plan, part):
            yield _problem(
                f"$.workflows.{name}",
                f"the step {step!r} waits for a signal in what needs an execution of its own: "
                "within more than two parallel or map steps, or in a sub-workflow with a timeout. "
                "No signal gets there",
                "nest it less, or give the signal the timeout",
            )
    size = len(json.dumps(made, ensure_ascii=False, separators=(",", ":")).encode())
    if size > LARGEST:
        yield _problem(
            path,
            f"its source would have {size} bytes, with those that it runs; at most {LARGEST} are "
            "taken",
            "make workflows of its parts that functions start",
        )
    for name in odd_names(made):
        yield _problem(
            path, f"the name {name[:60]!r} holds ${{, which an expression begins with", "rename it"
        )
    longest = max(every_expression(made), key=len)
    if len(longest) > LONGEST:
        yield _problem(
            path,
            f"an expression would have {len(longest)} characters, {longest[:60]}...; at most "
            f"{LONGEST} are taken",
            "shorten texts that hold ${",
        )
