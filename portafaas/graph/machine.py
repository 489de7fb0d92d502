"""A workflow as nested parts: its steps, what is within them, and the ways between them.

Made of the normal form (``docs/spec/workflows.md``); what writes pictures of it is in
``machine_svg``, ``machine_html`` and ``machine_text``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from portafaas.graph.machine_words import condition, length, retry
from portafaas.plan import WorkflowPlan
from portafaas.record import dataclass

WayKind = Literal["next", "choice", "default", "catch"]
#: Where a machine begins and where its ends meet; no step is called so.
START, END = "$start", "$end"


@dataclass(frozen=True, slots=True)
class Way:
    """From one step to another of the same machine, or to its end.

    ``label``: the condition of a choice, the names of errors of a catch.
    """

    source: str
    target: str
    kind: WayKind
    label: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Machine:
    """Steps in the order in which they are written; ``name`` is of a branch, else ""."""

    name: str
    start: str
    steps: tuple[Step, ...]
    ways: tuple[Way, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One step. ``about`` are facts for people, one a line; ``undo`` is who compensates, or ""."""

    name: str
    kind: str
    about: tuple[str, ...] = ()
    undo: str = ""
    machines: tuple[Machine, ...] = ()


def machine_of(workflow: WorkflowPlan) -> Machine:
    """Return the steps of *workflow*."""
    return _machine("", workflow.machine)


def every(machine: Machine) -> Iterator[Step]:
    """Yield all steps, each before those within it."""
    for step in machine.steps:
        yield step
        for inner in step.machines:
            yield from every(inner)


def machines(machine: Machine) -> Iterator[Machine]:
    """Yield *machine* and all those within its steps."""
    yield machine
    for step in machine.steps:
        for inner in step.machines:
            yield from machines(inner)


def _machine(name: str, given: Mapping[str, Any]) -> Machine:
    steps = given["steps"]
    start = given["start"] or END
    ways = [Way(START, start, "next")]
    for key, step in steps.items():
        ways += _ways(key, step)
    return Machine(name, start, tuple(_step(key, step) for key, step in steps.items()), tuple(ways))


def _ways(name: str, step: Mapping[str, Any]) -> Iterator[Way]:
    if step["kind"] == "choice":
        for rule in step["rules"]:
            yield Way(name, rule["next"], "choice", (condition(rule["when"]),))
        if "default" in step:
            yield Way(name, step["default"], "default", ("otherwise",))
        return
    if step["kind"] in ("succeed", "fail"):
        return
    yield Way(name, step.get("next") or END, "next")
    for rule in step.get("catch", ()):
        errors = ["any error" if error == "States.ALL" else error for error in rule["errors"]]
        yield Way(name, rule["next"], "catch", tuple(errors))


def _step(name: str, step: Mapping[str, Any]) -> Step:
    inner = []
    if "machine" in step:
        inner.append(_machine("", step["machine"]))
    inner += [_machine(branch["name"], branch["machine"]) for branch in step.get("branches", ())]
    undo = (step.get("compensate") or {}).get("function", "")
    return Step(name, step["kind"], tuple(_about(name, step)), undo, tuple(inner))


def _about(name: str, step: Mapping[str, Any]) -> Iterator[str]:
    match step["kind"]:
        case "task" if step["function"] != name:
            yield f"calls {step['function']}"
        case "workflow" if step["workflow"] != name:
            yield f"runs {step['workflow']}"
        case "map":
            yield f"for each of {step['items']}"
            yield f"{step['concurrency']} at once, at most {step['most']}"
        case "loop":
            yield f"while {condition(step['while'])}"
            yield f"at most {step['most']} times"
        case "wait":
            if "signal" in step:
                yield f"for the signal {step['signal']}"
            elif "until" in step:
                yield f"until {step['until']}"
            else:
                value = step.get("seconds", 0)
                yield f"seconds of {value}" if isinstance(value, str) else length(value)
        case "set":
            result = step.get("result", "$")
            yield f"sets {'the document' if result == '$' else result or 'nothing'}"
        case "fail":
            yield str(step["error"])
    if "timeout" in step:
        yield f"timeout {length(step['timeout'])}"
    for rule in step.get("retry", ()):
        yield retry(rule)
