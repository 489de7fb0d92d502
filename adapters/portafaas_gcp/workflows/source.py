"""The source of one workflow: its routines, those of the workflows that it runs, and the library."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from portafaas.plan import BuildPlan
from portafaas.plan.machines import subworkflows
from portafaas.plan.model import WorkflowPlan
from portafaas_gcp.workflows import names
from portafaas_gcp.workflows.expressions import expression, literal
from portafaas_gcp.workflows.library import Routine, library
from portafaas_gcp.workflows.machine import Writer

Source = dict[str, Any]


def source(plan: BuildPlan, workflow: WorkflowPlan, url: Callable[[str], str]) -> Source:
    """Return the source of *workflow* as JSON; *url* returns the address of a function.

    A run's argument is ``{"input": value}``. It returns the output, or raises
    ``{"error", "cause"}``.
    """
    timeouts = {function.name: float(function.timeout) for function in plan.functions}
    known = {item.name: item for item in plan.workflows}
    out: Source = {names.MAIN: _main(workflow.name)}
    waiting, seen = [workflow.name], set()
    while waiting:
        name = waiting.pop(0)
        if name in seen:
            continue
        seen.add(name)
        writer = Writer(name, url, timeouts.__getitem__)
        machine = known[name].machine
        routine = writer.machine(machine)
        out[names.run(name)] = _run(name, routine, writer.undo)
        out |= writer.routines
        waiting += subworkflows(machine)
    return {**out, **library()}


def _main(workflow: str) -> Routine:
    return {
        "params": ["args"],
        "steps": [
            {"run": {
                "call": names.run(workflow),
                "args": {
                    "input": expression('args["input"]'),
                    "run": expression('sys.get_env("GOOGLE_CLOUD_WORKFLOW_EXECUTION_ID")'),
                    "place": "",
                },
                "result": "answer",
            }},
            {"check": {
                "switch": [{"condition": expression('"error" in answer'), "next": "failed"}],
            }},
            {"done": {"return": expression('answer["ok"]')}},
            {"failed": {"raise": {
                "error": expression('answer["error"]'),
                "cause": expression('answer["cause"]'),
            }}},
        ],
    }  # fmt: skip


def _run(name: str, routine: str, undo: dict[str, Any]) -> Routine:
    """Return what runs a workflow, and undoes what it has done when it fails."""
    fatal = {"call": "portafaas_names", "args": {"errors": ["States.ALL"],
             "error": expression('answer["error"]')}, "result": "undone"}  # fmt: skip
    result = {
        "error": expression('answer["error"]'),
        "cause": expression('answer["cause"]'),
    }
    steps: list[dict[str, Any]] = [
        {"begin": {"assign": [{"answer": {"log": []}}, {"context": {"Execution": {
            "Id": expression("run"), "Input": expression("input")}}}]}},
        {"input": {
            "try": {"call": "portafaas_sized", "args": {"value": expression("input")}},
            "except": {"as": "error", "steps": [
                {"broken": {"call": "portafaas_broken", "args": {"error": expression("error")},
                            "result": "answer"}},
            ]},
        }},
        {"sized": {"switch": [{"condition": expression('"error" in answer'), "next": "over"}]}},
        {"steps": {
            "call": routine,
            "args": {"document": expression("input"), "context": expression("context"),
                     "place": expression("place")},
            "result": "answer",
        }},
        {"check": {"switch": [
            {"condition": expression('"error" in answer'), "next": "failed" if undo else "over"}]}},
        {"done": {"return": {"ok": expression('answer["ok"]')}}},
    ]  # fmt: skip
    if undo:
        steps += [
            {"failed": fatal},
            {"fatal": {"switch": [{"condition": expression("not undone"), "next": "over"}]}},
            {"undo": {
                "call": "portafaas_undo",
                "args": {"log": expression('answer["log"]'), "table": undo,
                         "workflow": literal(name), "run": expression("run")},
                "result": "failed_undo",
            }},
            {"undone": {"switch": [
                {"condition": expression("not failed_undo"), "next": "over"}]}},
            {"compensation": {"return": {
                "error": "Compensation.Failed", "cause": expression('answer["error"]')}}},
        ]  # fmt: skip
    return {"params": ["input", "run", "place"], "steps": [*steps, {"over": {"return": result}}]}
