"""A workflow, or one of its runs, in a page of its own; one file that needs no network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from portafaas.deployment.workflows import RunState, StepEvent
from portafaas.graph.html import page, stroke, swatch
from portafaas.graph.machine import END, START, Machine, Step, every, machine_of, machines
from portafaas.graph.machine_run import StepRun, steps_of
from portafaas.graph.machine_svg import (
    KINDS,
    STATES,
    description,
    head,
    machine_svg,
    title_of,
    told,
)
from portafaas.graph.svg import identifier
from portafaas.graph.text import escape
from portafaas.plan import WorkflowPlan


def machine_html(
    workflow: WorkflowPlan, run: RunState | None = None, events: Sequence[StepEvent] = ()
) -> str:
    """Return the page."""
    machine = machine_of(workflow)
    runs = steps_of(workflow, machine, run, events)
    columns = ["Kind", "Step", "Goes to", "Notes"] + ["Run"] * (run is not None)
    rows = [_row(machine, step, runs[step.name], run) for step in every(machine)]
    picture = machine_svg(workflow, run, events, embedded=True)
    about = head(workflow, run) or [description(workflow)]
    return page(title_of(workflow, run), about, picture, list(_legend(runs, run)), columns, rows)


def _legend(runs: dict[str, StepRun], run: RunState | None) -> Iterator[str]:
    if run is None:
        yield f"{stroke('')}goes on"
    else:
        for word in dict.fromkeys(one.progress for one in runs.values()):
            name, hue, saturation = STATES[word]
            yield swatch(hue, saturation, not word) + escape(name)
    yield f"{stroke('4 3')}after an error"


def _row(machine: Machine, step: Step, one: StepRun, run: RunState | None) -> str:
    names = {START: "start", END: "end"}
    ways = [
        escape(
            names.get(way.target, way.target)
            + ({"catch": " on ", "choice": " if "}.get(way.kind, " ") + ", ".join(way.label))
            * bool(way.label)
        )
        for within in machines(machine)
        for way in within.ways
        if way.source == step.name
    ]
    notes = [escape(text) for text in step.about]
    if step.undo:
        notes.append(escape(f"undone by {step.undo}"))
    cells = [ways, notes]
    if run is not None:
        cells.append([escape(line.text) for line in told(one)])
    rest = "".join(f"<td>{'<br>'.join(found) or '&ndash;'}</td>" for found in cells)
    link = f'<a href="#view" data-node="{identifier(step.name)}">{escape(step.name)}</a>'
    kind = escape(KINDS[step.kind][0])
    return f'<tr><td>{kind}</td><th scope="row">{link}</th>{rest}</tr>\n'
