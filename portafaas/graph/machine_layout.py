"""Places the steps of a workflow from top to bottom, those within others in boxes of their own.

What is within a step is placed first and is one box for what is around it. ``layout`` does the
placing of each machine; it leads from left to right, so that width and height are swapped for it.
"""

from __future__ import annotations

from collections.abc import Mapping

from portafaas.graph.layout import Area, Box, Link, layout
from portafaas.graph.machine import END, START, Machine, Way
from portafaas.graph.text import width
from portafaas.record import dataclass, field

Point = tuple[float, float]

#: Between the edge of a box and what is within, and between branches.
INSET = 14.0
#: Height of the name of a branch.
BRANCH = 20.0
DOT = 14.0
#: How far a way from a step to itself goes away from it, and least height of it.
SELF = 24.0


@dataclass(frozen=True, slots=True)
class Route:
    """How a way is drawn: alternately bends and upright pieces from the first to the last point.

    The first and the last piece are upright, but those of a way from a step to itself are level.
    ``inside`` is the name of the step that the machine is in, or "".
    """

    way: Way
    points: tuple[Point, ...]
    label: Area | None
    inside: str


@dataclass(frozen=True, slots=True)
class Placed:
    """A machine: its size, steps by name, frames of branches, ways, and dots at start and end."""

    width: float
    height: float
    steps: dict[str, Area] = field(default_factory=dict)
    frames: list[tuple[str, Area]] = field(default_factory=list)
    routes: list[Route] = field(default_factory=list)
    dots: list[tuple[str, Area]] = field(default_factory=list)


def placed(
    machine: Machine,
    sizes: Mapping[str, tuple[float, float]],
    labels: Mapping[Way, tuple[float, float]],
    inside: str = "",
) -> Placed:
    """Return where everything is; *sizes* are those of the text of each step, by name."""
    inner = {
        step.name: _within(step.name, step.machines, sizes, labels)
        for step in machine.steps
        if step.machines
    }
    full = {}
    #: Room at the right of each step for the ways that lead from it to itself.
    selves = {}
    for step in machine.steps:
        across, height = sizes[step.name]
        selves[step.name] = _room(step.name, machine, labels)
        if step.name in inner:
            part = inner[step.name]
            across = max(across, part.width + 2 * INSET)
            height += part.height + INSET
        full[step.name] = (across, height)
    ways = [way for way in machine.ways if way.source != way.target and _shown(way, inside)]
    dots = [end for end in (START, END) if any(end in (way.source, way.target) for way in ways)]
    boxes = [
        Box(name, max(height, _high(name, machine, labels)), across + selves[name])
        for name, (across, height) in full.items()
    ]
    boxes = [*(Box(dot, DOT, DOT) for dot in dots if dot == START), *boxes]
    boxes += [Box(dot, DOT, DOT) for dot in dots if dot == END]
    links = [
        Link(str(number), way.source, way.target, *reversed(labels.get(way, (0.0, 0.0))))
        for number, way in enumerate(ways)
    ]
    made = layout(boxes, links)
    out = Placed(made.height, made.width)
    lanes = {}
    for name, lane in made.boxes.items():
        lanes[name] = Area(lane.y, lane.x, lane.height, lane.width)
        # All boxes of a layer are as high as the highest: a step is as high as it needs to be.
        height = full[name][1] if name in full else DOT
        area = Area(lane.y, lane.x, lane.height - selves.get(name, 0.0), height)
        if name in full:
            out.steps[name] = area
        else:
            out.dots.append((name, area))
    ends = {**out.steps, **dict(out.dots)}
    for number, way in enumerate(ways):
        route = [(y, x) for x, y in made.routes[str(number)]]
        route = [_touching(route[0], ends[way.source], lanes[way.source]), *route]
        route = [*route, _touching(route[-1], ends[way.target], lanes[way.target])]
        found = made.labels.get(str(number))
        label = Area(found.y, found.x, found.height, found.width) if found else None
        out.routes.append(Route(way, tuple(route), label, inside))
    _selves(out, machine, labels, inside)
    for name, part in inner.items():
        area = out.steps[name]
        dx = area.x + (area.width - part.width) / 2
        _put(out, part, dx, area.y + sizes[name][1])
    return out


def _room(name: str, machine: Machine, labels: Mapping[Way, tuple[float, float]]) -> float:
    """Return how much room the ways from a step to itself take beside it."""
    found = [labels.get(way, (0.0, 0.0))[0] for way in _to_itself(name, machine)]
    return SELF + max(found) if found else 0.0


def _high(name: str, machine: Machine, labels: Mapping[Way, tuple[float, float]]) -> float:
    return sum(max(SELF, labels.get(way, (0, 0))[1] + 6) for way in _to_itself(name, machine))


def _to_itself(name: str, machine: Machine) -> list[Way]:
    return [way for way in machine.ways if way.source == way.target == name]


def _selves(
    out: Placed, machine: Machine, labels: Mapping[Way, tuple[float, float]], inside: str
) -> None:
    """Lead the ways from a step to itself beside it."""
    for step in machine.steps:
        area = out.steps[step.name]
        right, y = area.x + area.width, area.y + 4
        for way in _to_itself(step.name, machine):
            across, down = labels.get(way, (0.0, 0.0))
            high = max(SELF, down + 6)
            far, back = right + SELF - 4, y + high - 4
            points = ((right, y + 4), (far, y + 4), (far, back), (right, back))
            label = Area(right + SELF, y + (high - down) / 2, across, down) if across else None
            out.routes.append(Route(way, points, label, inside))
            y += high


def _shown(way: Way, inside: str) -> bool:
    """Only the outermost machine shows where it begins and ends."""
    return not inside or (way.source != START and way.target != END)


def _touching(point: Point, area: Area, lane: Area) -> Point:
    """Return the point of the box's own edge, above or below *point* of its lane's edge."""
    upper = abs(point[1] - lane.y) < 0.01
    return (point[0], area.y if upper else area.y + area.height)


def _within(
    name: str,
    machines: tuple[Machine, ...],
    sizes: Mapping[str, tuple[float, float]],
    labels: Mapping[Way, tuple[float, float]],
) -> Placed:
    """Place branches beside one another, or the one machine of a map or loop."""
    out = Placed(0.0, 0.0)
    frames: list[tuple[str, Area]] = []
    x = height = 0.0
    for machine in machines:
        part = placed(machine, sizes, labels, name)
        if machine.name:
            wide = max(part.width, width(machine.name, 10.5)) + 2 * INSET
            frames.append((machine.name, Area(x, 0.0, wide, 0.0)))
            _put(out, part, x + (wide - part.width) / 2, BRANCH)
            height = max(height, part.height + BRANCH + INSET)
            x += wide + INSET
        else:
            _put(out, part, x, 0.0)
            height = max(height, part.height)
            x += part.width + INSET
    frames = [(name, Area(area.x, area.y, area.width, height)) for name, area in frames]
    return Placed(x - INSET, height, out.steps, frames + out.frames, out.routes, out.dots)


def _put(into: Placed, part: Placed, dx: float, dy: float) -> None:
    def moved(area: Area) -> Area:
        return Area(area.x + dx, area.y + dy, area.width, area.height)

    into.steps.update((name, moved(area)) for name, area in part.steps.items())
    into.frames.extend((name, moved(area)) for name, area in part.frames)
    into.dots.extend((name, moved(area)) for name, area in part.dots)
    into.routes.extend(
        Route(
            route.way, tuple((x + dx, y + dy) for x, y in route.points),
            moved(route.label) if route.label else None, route.inside,
        )
        for route in part.routes
    )  # fmt: skip
