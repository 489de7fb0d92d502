"""A workflow, or one of its runs, as SVG: no script, no font, no file besides it.

One picture in one module: its parts are drawn in each other's measures.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from portafaas.deployment.workflows import RunState, StepEvent
from portafaas.graph.layout import Area
from portafaas.graph.machine import END, START, Machine, Step, Way, every, machine_of, machines
from portafaas.graph.machine_layout import Placed, Route, placed
from portafaas.graph.machine_run import StepRun, steps_of, taken
from portafaas.graph.machine_words import length, wrapped
from portafaas.graph.svg import STYLE, identifier
from portafaas.graph.svg import n as number
from portafaas.graph.text import cut, escape, width
from portafaas.plan import WorkflowPlan
from portafaas.record import dataclass

#: kind -> what people call it, hue of its colours, roundness of its corners.
KINDS: Mapping[str, tuple[str, int, float]] = {
    "task": ("task", 220, 9),
    "workflow": ("workflow", 255, 9),
    "choice": ("choice", 45, 0),
    "parallel": ("parallel", 190, 6),
    "map": ("map", 175, 6),
    "loop": ("loop", 30, 6),
    "wait": ("wait", 285, 9),
    "set": ("set", 205, 3),
    "succeed": ("succeed", 140, 99),
    "fail": ("fail", 0, 99),
}
#: How a step is in a run -> what people call it, hue, saturation of its colours.
STATES: Mapping[str, tuple[str, int, int]] = {
    "": ("not reached", 215, 8),
    "running": ("running", 215, 85),
    "retrying": ("failed, to be tried again", 30, 90),
    "waiting": ("waiting", 280, 60),
    "failed": ("failed", 0, 75),
    "caught": ("failed, caught", 30, 90),
    "stopped": ("stopped", 215, 25),
    "succeeded": ("succeeded", 140, 55),
    "passed": ("passed", 140, 55),
}
_NAME, _SMALL, _LINE, _PADDING, _MARGIN = 13.0, 10.5, 14.0, 12.0, 24.0
_CELLS = 34
_LABEL_CELLS, _LABEL_LINES = 26, 4

#: What the style of `graph.svg` has besides.
MORE = """\
.pf .catch .wire{stroke:hsl(0 60% 55%);stroke-dasharray:5 4}.pf .catch .tip{fill:hsl(0 60% 55%)}
.pf .catch .label{fill:hsl(0 55% var(--kind))}
.pf .frame{fill:none;stroke:var(--line);stroke-width:1;stroke-dasharray:2 3}
.pf .within>.box{fill-opacity:.45}.pf .behind{fill-opacity:.45}
.pf .undo{font-size:10.5px;fill:hsl(320 55% var(--kind))}
.pf .bend{fill:none;stroke:hsl(320 55% var(--kind));stroke-width:1.3}
.pf .dot{fill:var(--line)}.pf .ring{fill:none;stroke:var(--line);stroke-width:1.5}
.pf .state{font-size:10.5px;font-weight:600;fill:hsl(var(--hue) var(--sat) var(--kind))}
.pf .error{font-size:10.5px;fill:hsl(0 60% var(--kind))}
.pf .in-run .kind{fill:var(--soft)}
.pf .untouched .box{stroke-dasharray:3 3}.pf .untouched .name{fill:var(--soft)}
.pf .way.went .wire{stroke:var(--ink);stroke-width:2}.pf .way.went .tip{fill:var(--ink)}
.pf .way.left .wire,.pf .way.left .tip{opacity:.45}
"""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text within a step, of a class of the style."""

    kind: str
    text: str


def machine_svg(
    workflow: WorkflowPlan,
    run: RunState | None = None,
    events: Sequence[StepEvent] = (),
    embedded: bool = False,
) -> str:
    """Return the picture of *workflow*, or of one run of it.

    *embedded* ones are part of a page, which has the title.
    """
    machine = machine_of(workflow)
    runs = steps_of(workflow, machine, run, events)
    steps = {step.name: step for step in every(machine)}
    lines = {
        name: list(_lines(step, runs[name] if run else None)) for name, step in steps.items()
    }
    sizes = {name: _size(step, lines[name]) for name, step in steps.items()}
    labels = {way: _label_size(way) for one in machines(machine) for way in one.ways if way.label}
    made = placed(machine, sizes, labels)
    heads = head(workflow, run)
    top = _MARGIN if embedded else 48.0 + 18 * len(heads)
    title = title_of(workflow, run)
    least = 0.0 if embedded else max(
        [300.0, width(title, 17), *(width(text, 11.5) for text in heads)]
    ) + 2 * _MARGIN
    wide = max(made.width + 2 * _MARGIN, least)
    high = made.height + top + _MARGIN
    size = f'{number(wide)} {number(high)}"'
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="pf" viewBox="0 0 {size} '
        f'width="{number(wide)}" height="{number(high)}" role="img" '
        'aria-labelledby="pf-title pf-desc">',
        f'<title id="pf-title">{escape(title)}</title>',
        f'<desc id="pf-desc">{escape(description(workflow, run, events))}</desc>',
        f"<style>{STYLE}{MORE}</style>",
        f'<rect class="page" width="{number(wide)}" height="{number(high)}"/>',
    ]
    if not embedded:
        out.append(f'<text class="head" x="{number(_MARGIN)}" y="32">{escape(title)}</text>')
        for place, text in enumerate(heads):
            y = 52 + 17 * place
            out.append(f'<text class="about" x="{number(_MARGIN)}" y="{y}">{escape(text)}</text>')
    left = (wide - made.width) / 2
    out.append(f'<g transform="translate({number(left)} {number(top)})">')
    for step in every(machine):
        if step.machines:
            out.extend(_node(step, made.steps[step.name], lines[step.name], runs, run))
    for name, area in made.frames:
        out.extend(_frame(name, area))
    for route in made.routes:
        within = next(one for one in machines(machine) if route.way in one.ways)
        out.extend(_route(route, within, runs, run))
    out.extend(_dots(made))
    for step in every(machine):
        if not step.machines:
            out.extend(_node(step, made.steps[step.name], lines[step.name], runs, run))
    out += ["</g>", "</svg>"]
    return "\n".join(out) + "\n"


def title_of(workflow: WorkflowPlan, run: RunState | None = None) -> str:
    """Return what the picture is of."""
    if run is None:
        return f"workflow {workflow.name}"
    return cut(f"run {run.run} of {workflow.name}", 80)


def head(workflow: WorkflowPlan, run: RunState | None) -> list[str]:
    """Return the lines under the title: how a run is."""
    if run is None:
        return []
    parts: list[str] = [run.state]
    if run.started:
        from datetime import UTC, datetime

        began = datetime.fromtimestamp(run.started, UTC)
        parts.append(f"started {began:%Y-%m-%d %H:%M:%S} UTC")
        if run.ended:
            parts.append(f"took {length(max(run.ended - run.started, 0.0))}")
    if run.waiting:
        parts.append(f"waits for {', '.join(run.waiting)}")
    out = [cut(" · ".join(parts), 110)]
    if run.error:
        out.append(cut(run.error + (f": {run.cause}" if run.cause else ""), 110))
    return out


def description(
    workflow: WorkflowPlan, run: RunState | None = None, events: Sequence[StepEvent] = ()
) -> str:
    """Return in words what the picture shows, for those who cannot see it."""
    machine = machine_of(workflow)
    counts: dict[str, int] = {}
    for step in every(machine):
        counts[step.kind] = counts.get(step.kind, 0) + 1
    told = ", ".join(f"{count} {KINDS[kind][0]}" for kind, count in counts.items())
    text = f"The steps of the workflow {workflow.name}, by kind: {told or 'none'}."
    if run is None:
        return text
    by: dict[str, list[str]] = {}
    for name, one in steps_of(workflow, machine, run, events).items():
        by.setdefault(STATES[one.progress][0], []).append(name)
    said = "; ".join(f"{word}: {', '.join(names)}" for word, names in by.items())
    return f"{text} {'. '.join(head(workflow, run))}. Steps {said}."




def told(run: StepRun) -> list[Line]:
    """Return what a run has to say of a step."""
    word = STATES[run.progress][0]
    parts = [word]
    if run.entries > 1:
        parts.append(f"{run.done} of {run.entries} done")
    if run.attempts > 1:
        parts.append(f"{run.attempts} attempts")
    if run.seconds and run.seconds >= 0.0005 and run.progress not in ("running", "waiting"):
        parts.append(length(max(run.seconds, 0.0)))
    out = [Line("state" if run.progress else "label", " · ".join(parts))]
    if run.error:
        out.append(Line("error", run.error + (f": {run.cause}" if run.cause else "")))
    if run.undone:
        times = f" {run.undone} times" if run.undone > 1 else ""
        out.append(Line("state", f"compensated{times}"))
    if run.undo_failed:
        out.append(Line("error", "its compensation failed"))
    return out


def _lines(step: Step, run: StepRun | None) -> Iterator[Line]:
    yield Line("kind", KINDS[step.kind][0])
    yield Line("name", cut(step.name, _CELLS))
    about = step.about
    if run is not None and not step.machines and step.kind not in ("wait", "fail"):
        # Room for what happened; how it is defined is in the title and the other picture.
        about = tuple(text for text in about if text.startswith(("calls ", "runs ")))
    for text in about:
        for part in wrapped(text, _CELLS, 2):
            yield Line("label", part)
    if step.undo:
        yield Line("undo", cut(f"undone by {step.undo}", _CELLS))
    for line in told(run) if run is not None else ():
        for part in wrapped(line.text, _CELLS, 2):
            yield Line(line.kind, part)


def _size(step: Step, lines: Sequence[Line]) -> tuple[float, float]:
    def wide(line: Line) -> float:
        size = _NAME if line.kind == "name" else _SMALL
        return width(line.text, size) * 1.02 + (16 if line.kind == "undo" else 0)

    more = 16 if step.kind in ("choice", "succeed", "fail") else 0
    return (
        max(100.0, *map(wide, lines)) + 2 * _PADDING + more,
        42.0 + max(0, len(lines) - 2) * _LINE + (2 if len(lines) > 2 else 0)
        + (6 if step.machines else 0),
    )  # fmt: skip


def _label_lines(way: Way) -> tuple[str, ...]:
    return wrapped(", ".join(way.label), _LABEL_CELLS, _LABEL_LINES)


def _label_size(way: Way) -> tuple[float, float]:
    lines = _label_lines(way)
    across = max((width(line, _SMALL) for line in lines), default=0.0)
    return (across + 8, len(lines) * 13.0 + 3)


def _frame(name: str, area: Area) -> Iterator[str]:
    yield f'<rect class="frame" {_rect(area)} rx="5"/>'
    yield (
        f'<text class="label" x="{number(area.x + 8)}" y="{number(area.y + 14)}">'
        f"{escape(cut(name, _CELLS))}</text>"
    )


def _dots(made: Placed) -> Iterator[str]:
    for name, area in made.dots:
        x, y = area.x + area.width / 2, area.y + area.height / 2
        if name == START:
            yield f'<circle class="dot" cx="{number(x)}" cy="{number(y)}" r="7"/>'
        elif area.width <= 24:
            yield f'<circle class="ring" cx="{number(x)}" cy="{number(y)}" r="6.5"/>'
            yield f'<circle class="dot" cx="{number(x)}" cy="{number(y)}" r="3.5"/>'
        else:
            yield f'<rect class="ring" {_rect(area)} rx="7"/>'
            yield f'<circle class="dot" cx="{number(x)}" cy="{number(y)}" r="3.5"/>'


def _route(
    route: Route, machine: Machine, runs: Mapping[str, StepRun], run: RunState | None
) -> Iterator[str]:
    way = route.way
    went = ""
    if run is not None:
        begun = not route.inside or runs[route.inside].progress != ""
        done = run.state == "succeeded"
        went = " went" if taken(way, machine, runs, begun, done) else " left"
    names = {START: "start", END: "end"}
    ends = " ".join(
        f'data-{word}="{identifier(name)}"'
        for word, name in (("from", way.source), ("to", way.target))
        if name not in names
    )
    yield f'<g class="edge way {way.kind}{went}" {ends}>'
    why = {"catch": "on "}.get(way.kind, "if " if way.kind == "choice" else "")
    text = f": {why}{', '.join(way.label)}" if way.label else ""
    told = f"{names.get(way.source, way.source)} to {names.get(way.target, way.target)}{text}"
    yield f"<title>{escape(told)}</title>"
    (x, y), before = route.points[-1], route.points[-3]
    if way.source == way.target:
        (x1, y1), (x2, y2), (x3, y3), (x4, y4) = (map(number, point) for point in route.points)
        wire, tip = f"M{x1} {y1}C{x2} {y2} {x3} {y3} {x4} {y4}", "l8 -4v8Z"
    else:
        wire, tip = _path(route.points), "l-4 -8h8Z" if before[1] < y else "l-4 8h8Z"
    yield f'<path class="wire" d="{wire}"/>'
    yield f'<path class="tip" d="M{number(x)} {number(y)}{tip}"/>'
    if route.label is not None:
        for place, line in enumerate(_label_lines(way)):
            yield (
                f'<text class="label" x="{number(route.label.x + 2)}" '
                f'y="{number(route.label.y + 11 + place * 13)}">{escape(line)}</text>'
            )
    yield "</g>"


def _path(points: tuple[tuple[float, float], ...]) -> str:
    x, y = points[0]
    out = [f"M{number(x)} {number(y)}"]
    for place, (nx, ny) in enumerate(points[1:], 1):
        if place % 2 or abs(nx - x) < 0.05:
            out.append(f"L{number(nx)} {number(ny)}")
        else:
            middle = (y + ny) / 2
            out.append(
                f"C{number(x)} {number(middle)} {number(nx)} {number(middle)} "
                f"{number(nx)} {number(ny)}"
            )
        x, y = nx, ny
    return "".join(out)


def _node(
    step: Step, area: Area, lines: Sequence[Line], runs: Mapping[str, StepRun], run: RunState | None
) -> Iterator[str]:
    word, hue, round_ = KINDS[step.kind]
    one = runs[step.name]
    style, classes = f"--hue:{hue}", step.kind + (" within" if step.machines else "")
    facts = [f"{word} {step.name}", *step.about]
    if step.undo:
        facts.append(f"undone by {step.undo}")
    if run is not None:
        _, hue, full = STATES[one.progress]
        style, classes = f"--hue:{hue};--sat:{full}%", f"{classes} in-run"
        if not one.progress:
            classes += " untouched"
        facts += [line.text for line in told(one)]
    yield f'<g class="node {classes}" id="{identifier(step.name)}" style="{style}">'
    yield f"<title>{escape('; '.join(facts))}</title>"
    yield from _shape(step.kind, area, round_)
    left = area.x + _PADDING + (8 if step.kind in ("choice", "succeed", "fail") else 0)
    y = area.y + 16
    for line in lines:
        shift = 0.0
        if line.kind == "undo":
            shift = 16.0
            # An arrow that turns back.
            yield (
                f'<path class="bend" d="M{number(left + 3)} {number(y - 7)}l-3 3l3 3m-3 -3h7'
                'a2.6 2.6 0 0 1 0 5.2h-4"/>'
            )
        yield (
            f'<text class="{line.kind}" x="{number(left + shift)}" y="{number(y)}">'
            f"{escape(line.text)}</text>"
        )
        y += 16 if line.kind == "kind" else _LINE + (2 if line.kind == "name" else 0)
    yield "</g>"


def _shape(kind: str, area: Area, round_: float) -> Iterator[str]:
    """Yield the outline, which tells kinds apart besides colour."""
    x, y, w, h = area.x, area.y, area.width, area.height
    if kind == "map":
        for by in (6, 3):
            behind = Area(x + by, y + by, w, h)
            yield f'<rect class="box behind" {_rect(behind)} rx="{number(round_)}"/>'
    if kind == "choice":
        cut_ = 12.0
        yield (
            f'<path class="box" d="M{number(x + cut_)} {number(y)}H{number(x + w - cut_)}'
            f"L{number(x + w)} {number(y + h / 2)}L{number(x + w - cut_)} {number(y + h)}"
            f'H{number(x + cut_)}L{number(x)} {number(y + h / 2)}Z"/>'
        )
        return
    round_ = min(round_, h / 2, 21)
    yield f'<rect class="box" {_rect(area)} rx="{number(round_)}"/>'
    right = x + w
    if kind == "workflow":
        yield (
            f'<path class="inner" d="M{number(x + 4)} {number(y + 4)}H{number(right - 4)}'
            f'V{number(y + h - 4)}H{number(x + 4)}Z"/>'
        )
    elif kind == "wait":
        yield (
            f'<path class="inner" d="M{number(right - 20)} {number(y + 14)}a6 6 0 1 1 12 0'
            f'a6 6 0 1 1 -12 0M{number(right - 14)} {number(y + 10)}v4h3"/>'
        )
    elif kind == "loop":
        yield (
            f'<path class="inner" d="M{number(right - 10)} {number(y + 10)}a6 6 0 1 0 2 5'
            f'm-2.6 -9.4v4.6h-4.6"/>'
        )


def _rect(area: Area) -> str:
    return (
        f'x="{number(area.x)}" y="{number(area.y)}" width="{number(area.width)}" '
        f'height="{number(area.height)}"'
    )
