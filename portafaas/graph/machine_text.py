"""A workflow, or one of its runs, as JSON values and as a Mermaid flowchart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from portafaas.deployment.workflows import RunState, StepEvent
from portafaas.graph.machine import END, START, Machine, Step, Way, every, machine_of, machines
from portafaas.graph.machine_run import StepRun, steps_of
from portafaas.graph.machine_svg import KINDS, STATES, title_of, told
from portafaas.graph.mermaid import quoted, text_of
from portafaas.plan import WorkflowPlan

#: kind -> what its text stands between: https://mermaid.js.org/syntax/flowchart.html.
_SHAPES: Mapping[str, tuple[str, str]] = {
    "task": ("(", ")"),
    "workflow": ("[[", "]]"),
    "choice": ("{{", "}}"),
    "wait": (">", "]"),
    "set": ("[", "]"),
    "succeed": ("([", "])"),
    "fail": ("([", "])"),
}


def machine_document(
    workflow: WorkflowPlan, run: RunState | None = None, events: Sequence[StepEvent] = ()
) -> dict[str, Any]:
    """Return steps and ways as JSON values; ``portafaas`` is the version of this form.

    ``machine`` of a step is the place of the one that it is in, in ``machines``; the first is the
    outermost.
    """
    machine = machine_of(workflow)
    runs = steps_of(workflow, machine, run, events)
    out: dict[str, Any] = {"portafaas": 1, "workflow": workflow.name}
    if run is not None:
        out["run"] = {
            name: getattr(run, name)
            for name in ("run", "state", "started", "ended", "error", "cause")
        } | {"waiting": list(run.waiting)}
    owners = {id(inner): step.name for step in every(machine) for inner in step.machines}
    out["machines"] = [
        {
            "step": owners.get(id(one)),
            "branch": one.name,
            "start": one.start if one.start != END else None,
            "steps": [_step(step, runs[step.name], run) for step in one.steps],
            "ways": [
                {"source": way.source, "target": None if way.target == END else way.target,
                 "kind": way.kind, "label": list(way.label)}
                for way in one.ways if way.source != START
            ],
        }
        for one in machines(machine)
    ]  # fmt: skip
    return out


def _step(step: Step, one: StepRun, run: RunState | None) -> dict[str, Any]:
    out: dict[str, Any] = {"name": step.name, "kind": step.kind, "about": list(step.about)}
    if step.undo:
        out["undo"] = step.undo
    if run is not None:
        out["run"] = {
            "state": one.progress or "not-reached",
            "entries": one.entries,
            "done": one.done,
            "attempts": one.attempts,
            "seconds": one.seconds,
            "error": one.error,
            "cause": one.cause,
            "compensated": one.undone,
            "compensation-failed": one.undo_failed,
        }
    return out


def machine_mermaid(
    workflow: WorkflowPlan, run: RunState | None = None, events: Sequence[StepEvent] = ()
) -> str:
    """Return the flowchart; what is within a step is a subgraph."""
    machine = machine_of(workflow)
    runs = steps_of(workflow, machine, run, events)
    short = {step.name: f"s{place}" for place, step in enumerate(every(machine), 1)}
    out = ["---", f"title: {quoted(title_of(workflow, run))}", "---", "flowchart TB"]
    out += ["  start((start))"]
    if any(way.target == END for way in machine.ways):
        out.append("  stop((end))")
    out += _nodes(machine, short, runs, run, "  ")
    for one in machines(machine):
        for way in one.ways:
            if one is machine or (way.source != START and way.target != END):
                out.append(_way(way, short))
    styles = dict.fromkeys(_class(step, runs, run) for step in every(machine))
    for name in styles:
        hue, saturation = _colour(name)
        dashes = ",stroke-dasharray:3 3" if name == "untouched" else ""
        colours = f"fill:hsl({hue},{saturation}%,95%),stroke:hsl({hue},{saturation}%,45%)"
        out.append(f"  classDef {name} {colours},color:#1c2430{dashes}")
    return "\n".join(out) + "\n"


def _class(step: Step, runs: Mapping[str, StepRun], run: RunState | None) -> str:
    return f"k{step.kind}" if run is None else runs[step.name].progress or "untouched"


def _colour(name: str) -> tuple[int, int]:
    if name[0] == "k" and name[1:] in KINDS:
        return KINDS[name[1:]][1], 62
    return STATES["" if name == "untouched" else name][1:]


def _nodes(
    machine: Machine, short: Mapping[str, str], runs: Mapping[str, StepRun], run: RunState | None,
    indent: str,
) -> Iterator[str]:  # fmt: skip
    for step in machine.steps:
        lines = [KINDS[step.kind][0], step.name, *step.about]
        if step.undo:
            lines.append(f"undone by {step.undo}")
        if run is not None:
            lines += [line.text for line in told(runs[step.name])]
        text = "<br>".join(text_of(line) for line in lines)
        name, style = short[step.name], _class(step, runs, run)
        if not step.machines:
            opening, closing = _SHAPES[step.kind]
            yield f'{indent}{name}{opening}"{text}"{closing}:::{style}'
            continue
        yield f'{indent}subgraph {name} ["{text}"]'
        for place, inner in enumerate(step.machines):
            if inner.name:
                yield f'{indent}  subgraph {name}b{place} ["{text_of(inner.name)}"]'
                yield from _nodes(inner, short, runs, run, f"{indent}    ")
                yield f"{indent}  end"
            else:
                yield from _nodes(inner, short, runs, run, f"{indent}  ")
        yield f"{indent}end"
        yield f"{indent}class {name} {style}"


def _way(way: Way, short: Mapping[str, str]) -> str:
    names = {START: "start", END: "stop", **short}
    arrow = "-.->" if way.kind == "catch" else "-->"
    label = f'|"{text_of(", ".join(way.label))}"|' if way.label else ""
    return f"  {names[way.source]} {arrow}{label} {names[way.target]}"
