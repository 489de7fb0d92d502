"""The source of one workflow: its routines, those of workflows that it runs, the library."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from portafaas.plan import BuildPlan
from portafaas.plan.machines import subworkflows
from portafaas.plan.model import WorkflowPlan
from portafaas.runtime.states import INPUT, OUTPUT
from portafaas_gcp.workflows import names
from portafaas_gcp.workflows.expressions import expression, literal, quoted
from portafaas_gcp.workflows.library import library
from portafaas_gcp.workflows.machine import Writer
from portafaas_gcp.workflows.routines import Routine
from portafaas_gcp.workflows.steps import MOST_RULES

Source = dict[str, Any]


class Written(NamedTuple):
    """A source, and what of it runs in executions of its own.

    ``apart`` gives, by routine, the workflow and the machine of the part; None for all of it.
    """

    source: Source
    apart: Mapping[str, tuple[str, Mapping[str, Any] | None]]


def source(plan: BuildPlan, workflow: WorkflowPlan, url: Callable[[str], str]) -> Source:
    """Return the source of *workflow* as JSON; *url* returns the address of a function.

    A run's argument is ``{"input": value}``. It returns the output, or raises
    ``{"error", "cause"}``.
    """
    return written(plan, workflow, url).source


def written(plan: BuildPlan, workflow: WorkflowPlan, url: Callable[[str], str]) -> Written:
    """Return the source of *workflow* and its parts."""
    timeouts = {function.name: float(function.timeout) for function in plan.functions}
    known = {item.name: item for item in plan.workflows}

    def nested(name: str) -> int:
        return writer_of(name).depth(known[name].machine)

    def writer_of(name: str) -> Writer:
        return Writer(name, url, timeouts.__getitem__, nested)

    routines: Source = {}
    apart: dict[str, tuple[str, Mapping[str, Any] | None]] = {}
    schemas = False
    waiting, seen = [workflow.name], set()
    while waiting:
        name = waiting.pop(0)
        if name in seen:
            continue
        seen.add(name)
        writer = writer_of(name)
        machine = known[name].machine
        routine = writer.machine(machine)
        routines[names.run(name)] = _run(name, routine, writer.undo, _checks(writer, machine))
        schemas = schemas or "check" in machine
        routines |= writer.routines
        apart |= writer.apart
        waiting += subworkflows(machine)
    main = _main(workflow.name, list(apart))
    return Written({names.MAIN: main, **routines, **library(bool(apart), schemas)}, apart)


def _main(workflow: str, apart: Sequence[str]) -> Routine:
    return {
        "params": ["args"],
        "steps": [
            *_parts(apart),
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


def _parts(apart: Sequence[str]) -> list[dict[str, Any]]:
    """Return the steps of an execution that is for a part; they come before the others."""
    if not apart:
        return []
    out: list[dict[str, Any]] = [
        {"which": {
            "switch": [{"condition": expression('"portafaas" in args'), "next": "part"}],
            "next": "run",
        }},
        {"part": {"assign": [{"part": expression('args["portafaas"]["routine"]')},
                             {"given": expression('args["portafaas"]["given"]')}]}},
    ]  # fmt: skip
    for first in range(0, len(apart), MOST_RULES):
        out.append({f"part_which_{first}": {"switch": [
            {"condition": expression(f"part == {quoted(name)}"), "next": f"part_{first + index}"}
            for index, name in enumerate(apart[first : first + MOST_RULES])
        ]}})  # fmt: skip
    for index, name in enumerate(apart):
        whole = name.startswith("run_")
        arguments = ("input", "run", "place") if whole else ("document", "context", "place")
        out += [
            {f"part_{index}": {
                "call": name,
                "args": {word: expression(f"given[{quoted(word)}]") for word in arguments},
                "result": "answer",
                "next": "part_done",
            }},
        ]  # fmt: skip
    return [*out, {"part_done": {"return": expression("answer")}}]


def _checks(writer: Writer, machine: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what has the input, and the output, of a workflow checked, where it has schemas."""
    return {
        key: {
            **writer.call(machine["check"]),
            "schema": literal(json.dumps(machine[key], ensure_ascii=False)),
            "error": error,
        }
        for key, error in (("input", INPUT), ("output", OUTPUT))
        if key in machine
    }


def _run(
    name: str, routine: str, undo: dict[str, Any], checks: Mapping[str, dict[str, Any]]
) -> Routine:
    """Return what runs a workflow, and undoes what it has done when it fails."""
    fatal = {"call": "portafaas_names", "args": {"errors": ["States.ALL"],
             "error": expression('answer["error"]')}, "result": "undone"}  # fmt: skip
    result = {
        "error": expression('answer["error"]'),
        "cause": expression('answer["cause"]'),
    }
    steps: list[dict[str, Any]] = [
        {"begin": {"assign": [{"answer": {"log": []}}, {"bad": False}, {"context": {"Execution": {
            "Id": expression("run"), "Input": expression("input")}}}]}},
        {"input": {
            "try": {"call": "portafaas_sized", "args": {"value": expression("input")}},
            "except": {"as": "error", "steps": [
                {"broken": {"call": "portafaas_broken", "args": {"error": expression("error")},
                            "result": "answer"}},
            ]},
        }},
        {"sized": {"switch": [{"condition": expression('"error" in answer'), "next": "over"}]}},
        *_taken(checks),
        {"steps": {
            "call": routine,
            "args": {"document": expression("input"), "context": expression("context"),
                     "place": expression("place")},
            "result": "answer",
        }},
        {"check": {"switch": [
            {"condition": expression('"error" in answer'), "next": "failed" if undo else "over"}]}},
        *_given(checks, "failed" if undo else "over"),
        {"done": {"return": {"ok": expression('answer["ok"]')}}},
    ]  # fmt: skip
    if undo:
        steps += [
            {"failed": fatal},
            {"fatal": {"switch": [{"condition": expression("not undone"), "next": "over"}]}},
            *_undo(name, undo),
            {"undone": {"switch": [
                {"condition": expression("not bad"), "next": "over"}]}},
            {"compensation": {"return": {
                "error": "Compensation.Failed", "cause": expression('answer["error"]')}}},
        ]  # fmt: skip
    return {"params": ["input", "run", "place"], "steps": [*steps, {"over": {"return": result}}]}


def _taken(checks: Mapping[str, dict[str, Any]]) -> list[dict[str, Any]]:
    if "input" not in checks:
        return []
    args = {**checks["input"], "value": expression("input")}
    return [
        {"taken": {"call": "portafaas_fits", "args": args, "result": "answer"}},
        {"fits": {"switch": [{"condition": expression('"error" in answer'), "next": "over"}]}},
    ]


def _given(checks: Mapping[str, dict[str, Any]], failed: str) -> list[dict[str, Any]]:
    if "output" not in checks:
        return []
    args = {**checks["output"], "value": expression('answer["ok"]')}
    return [
        {"given": {"call": "portafaas_fits", "args": args, "result": "fit"}},
        {"good": {"switch": [{"condition": expression('"ok" in fit'), "next": "done"}]}},
        {"misfit": {"assign": [{"answer": {
            "error": expression('fit["error"]'), "cause": expression('fit["cause"]'),
            "log": expression('answer["log"]')}}], "next": failed}},
    ]  # fmt: skip


def _undo(name: str, undo: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the steps that undo what the log holds, the last first; each step has its own."""
    out: list[dict[str, Any]] = [
        {"undo": {"assign": [{"at": expression('len(answer["log"])')}, {"undone": {}}]}},
        {"undo_more": {"switch": [{"condition": expression("at == 0"), "next": "undone"}]}},
        {"undo_one": {"assign": [{"at": expression("at - 1")},
                                 {"entry": expression('answer["log"][at]')},
                                 {"of": expression('entry["step"]')}]}},
    ]  # fmt: skip
    keys = list(undo)
    for first in range(0, len(keys), MOST_RULES):
        out.append({f"undo_which_{first}": {"switch": [
            {"condition": expression(f"of == {quoted(key)}"), "next": names.undo(key)}
            for key in keys[first : first + MOST_RULES]
        ]}})  # fmt: skip
    for key, how in undo.items():
        out += [
            {names.undo(key): {
                "try": {
                    "call": "portafaas_call",
                    "args": {
                        "url": how["url"],
                        "given": expression('entry["input"]'),
                        "workflow": literal(name),
                        "run": expression("run"),
                        "step": literal(key),
                        "place": expression('entry["place"] + "~undo"'),
                        "timeout": how["timeout"],
                        "rules": how["retry"],
                    },
                    "result": "undone",
                },
                "except": {"as": "error", "steps": [
                    {f"{names.undo(key)}__broken": {
                        "call": "portafaas_broken", "args": {"error": expression("error")},
                        "result": "undone",
                    }},
                ]},
            }},
            {f"{names.undo(key)}__next": {"next": "undo_came"}},
        ]  # fmt: skip
    return [
        *out,
        {"undo_came": {"switch": [
            {"condition": expression('"ok" in undone'), "next": "undo_more"}]}},
        {"undo_bad": {"assign": [{"bad": True}], "next": "undo_more"}},
    ]  # fmt: skip
