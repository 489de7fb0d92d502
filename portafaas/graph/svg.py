"""The graph as SVG: no script, no font, no file besides it; light and dark as the reader likes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from portafaas.graph.layout import Area, Box, Layout, Link, layout
from portafaas.graph.model import Edge, Graph, Node
from portafaas.graph.text import cut, escape, width
from portafaas.record import dataclass

#: kind -> what people call it, hue of its colours, roundness of its corners.
KINDS: Mapping[str, tuple[str, int, float]] = {
    "http": ("http", 160, 21),
    "schedule": ("schedule", 135, 21),
    "function": ("function", 220, 9),
    "queue": ("queue", 30, 3),
    "topic": ("topic", 280, 3),
    "bucket": ("bucket", 190, 3),
    "table": ("table", 190, 3),
    "secret": ("secret", 330, 3),
    "workflow": ("workflow", 255, 9),
    "dead-letters": ("dead letters", 0, 3),
}
#: Edges that are what a function reaches for, not what starts something.
_QUIET = ("read", "write", "dead-letter")

_NAME = 13.0
_SMALL = 10.5
_PADDING = 12.0
_NAME_CELLS = 34
_LABEL_CELLS = 30
_LABEL_LINES = 4
_LINE = 13.0
_MARGIN = 24.0
_HEAD = 52.0

STYLE = """\
.pf{--ink:#1c2430;--soft:#5a6675;--line:#8592a3;--page:#ffffff;--fill:95%;--edge:45%;--kind:32%;\
--sat:62%}
@media (prefers-color-scheme:dark){.pf{--ink:#e8ecf2;--soft:#a3afbf;--line:#7d8a9c;--page:#12161c;\
--fill:16%;--edge:58%;--kind:76%;--sat:45%}}
.pf .page{fill:var(--page)}
.pf text{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono","Liberation \
Mono",monospace;fill:var(--ink)}
.pf .head{font-size:17px;font-weight:600}.pf .about{font-size:11.5px;fill:var(--soft)}
.pf .name{font-size:13px;font-weight:600}.pf .kind{font-size:10.5px}
.pf .box{stroke-width:1.4;fill:hsl(var(--hue) var(--sat) var(--fill));\
stroke:hsl(var(--hue) var(--sat) var(--edge))}
.pf .kind{fill:hsl(var(--hue) var(--sat) var(--kind))}
.pf .dead-letters .box,.pf .secret .box{stroke-dasharray:5 3}
.pf .inner{fill:none;stroke:hsl(var(--hue) var(--sat) var(--edge));stroke-width:1}
.pf .wire{fill:none;stroke:var(--line);stroke-width:1.5}
.pf .tip{fill:var(--line);stroke:none}
.pf .quiet .wire{stroke-dasharray:4 3;stroke-width:1.2}
.pf .dead-letter .wire{stroke:hsl(0 60% 55%)}.pf .dead-letter .tip{fill:hsl(0 60% 55%)}
.pf .label{font-size:10.5px;fill:var(--soft)}
"""


@dataclass(frozen=True, slots=True)
class Drawn:
    """One line of the picture: the edges it stands for, and its arrows."""

    link: Link
    edges: tuple[Edge, ...]
    lines: tuple[str, ...]
    forward: bool
    backward: bool


def identifier(name: str) -> str:
    """Return the ``id`` of the element of a node or edge; one of a kind."""
    kept = (c if c.isascii() and (c.isalnum() or c == "-") else f"_{ord(c):x}." for c in name)
    return f"pf-{''.join(kept)}"


def svg(graph: Graph, embedded: bool = False) -> str:
    """Return the picture; *embedded* ones are part of a page, which has the title."""
    placed, lines = arrange(graph)
    top = _MARGIN if embedded else _HEAD
    full_width = max(placed.width + 2 * _MARGIN, 0 if embedded else 380)
    full_height = placed.height + top + _MARGIN
    title = escape(title_of(graph))
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="pf" viewBox="0 0 {n(full_width)} '
        f'{n(full_height)}" width="{n(full_width)}" height="{n(full_height)}" role="img" '
        'aria-labelledby="pf-title pf-desc">',
        f'<title id="pf-title">{title}</title>',
        f'<desc id="pf-desc">{escape(description(graph))}</desc>',
        f"<style>{STYLE}</style>",
        f'<rect class="page" width="{n(full_width)}" height="{n(full_height)}"/>',
    ]
    if not embedded:
        shown = escape(cut(title_of(graph), 32))
        out.append(f'<text class="head" x="{n(_MARGIN)}" y="32">{shown}</text>')
    out.append(f'<g transform="translate({n(_MARGIN)} {n(top)})">')
    for drawn in lines:
        out.extend(_line(drawn, placed))
    for node in graph.nodes:
        out.extend(_node(node, placed.boxes[node.id]))
    out += ["</g>", "</svg>"]
    return "\n".join(out) + "\n"


def title_of(graph: Graph) -> str:
    """Return what the picture is of: ``shop (prod)``."""
    return f"{graph.service} ({graph.stage})" if graph.stage else graph.service


def description(graph: Graph) -> str:
    """Return in words what the picture shows, for those who cannot see it."""
    counts: dict[str, int] = {}
    for node in graph.nodes:
        counts[KINDS[node.kind][0]] = counts.get(KINDS[node.kind][0], 0) + 1
    told = ", ".join(_several(count, kind) for kind, count in counts.items())
    return f"What starts what in the service {title_of(graph)}: {told or 'nothing'}."


def _several(count: int, kind: str) -> str:
    kind = {"http": "HTTP route", "dead letters": "dead-letter queue"}.get(kind, kind)
    return f"{count} {kind}{'s' * (count != 1)}"


def arrange(graph: Graph) -> tuple[Layout, list[Drawn]]:
    """Return where everything is, and the lines of the picture."""
    drawn = list(_lines(graph))
    return layout([_box(node) for node in graph.nodes], [one.link for one in drawn]), drawn


def caption(node: Node) -> str:
    """Return the small line above a node's name."""
    kind = KINDS[node.kind][0]
    if node.kind == "schedule":
        return cut(f"{kind} · {node.notes[0]}", _NAME_CELLS)
    marks = [note for note in node.notes if note in ("ordered", "idempotent", "outbox")]
    marks += ["guard"] * any(note.startswith("guard: ") for note in node.notes)
    return " · ".join([kind, *marks])


def _box(node: Node) -> Box:
    text = max(
        width(cut(node.name, _NAME_CELLS), _NAME) * 1.02, width(caption(node), _SMALL)
    )
    round_ends = 10 if node.kind in ("http", "schedule") else 0
    return Box(node.id, text + 2 * _PADDING + round_ends, 42.0)


def _lines(graph: Graph) -> Iterator[Drawn]:
    """Yield the lines: what is read goes with what else is between the two, or runs backwards.

    A table that a function reads stands behind the function, like one that it writes.
    """
    pairs = {(edge.source, edge.target): edge for edge in graph.edges if edge.kind == "read"}
    for edge in graph.edges:
        if edge.kind == "read":
            continue
        also = pairs.pop((edge.source, edge.target), None)
        back = None
        if also is None and edge.kind == "write":
            # Unless another edge leads the way that the reading goes.
            ways = [e for e in graph.edges if (e.source, e.target) == (edge.target, edge.source)]
            if [e.kind for e in ways] == ["read"]:
                back = pairs.pop((edge.target, edge.source), None)
        edges = tuple(one for one in (edge, also or back) if one is not None)
        text = edge.label + (("and reads",) if also is not None else ())
        yield _drawn(edge, edges, text, True, back is not None)
    for edge in pairs.values():
        yield _drawn(edge, (edge,), edge.label, False, True)


def _drawn(
    edge: Edge, edges: tuple[Edge, ...], text: tuple[str, ...], forward: bool, backward: bool
) -> Drawn:
    lines = tuple(cut(line, _LABEL_CELLS) for line in text)
    if len(lines) > _LABEL_LINES:
        rest = len(lines) - _LABEL_LINES + 1
        lines = (*lines[: _LABEL_LINES - 1], f"and {rest} more")
    across = max((width(line, _SMALL) for line in lines), default=0.0)
    size = (across + 8, len(lines) * _LINE + 3) if lines else (0.0, 0.0)
    ends = (edge.source, edge.target) if forward else (edge.target, edge.source)
    return Drawn(Link(edge.id, *ends, *size), edges, lines, forward, backward)


def _line(drawn: Drawn, placed: Layout) -> Iterator[str]:
    points = placed.routes[drawn.link.id]
    kinds = {edge.kind for edge in drawn.edges}
    quiet = " quiet" if kinds <= set(_QUIET) else ""
    first = drawn.edges[0]
    names = " ".join(identifier(edge.id) for edge in drawn.edges)
    ends = f'data-from="{identifier(first.source)}" data-to="{identifier(first.target)}"'
    yield f'<g class="edge {first.kind}{quiet}" data-edges="{names}" {ends}>'
    told = "; ".join(
        f"{_name(edge.source)} {edge.kind} {_name(edge.target)}"
        + (f": {', '.join(edge.label)}" if edge.label else "")
        for edge in drawn.edges
    )
    yield f"<title>{escape(told)}</title>"
    yield f'<path class="wire" d="{_path(points)}"/>'
    if drawn.forward:
        yield _tip(points[-1], points[-2])
    if drawn.backward:
        yield _tip(points[0], points[1])
    if drawn.lines:
        area = placed.labels[drawn.link.id]
        for index, line in enumerate(drawn.lines):
            y = area.y + 10 + index * _LINE
            yield (
                f'<text class="label" x="{n(area.x + 4)}" y="{n(y)}">{escape(line)}</text>'
            )
    yield "</g>"


def _name(node_id: str) -> str:
    kind, _, name = node_id.partition(":")
    return f"{KINDS[kind][0]} {name}"


def _path(points: tuple[tuple[float, float], ...]) -> str:
    x, y = points[0]
    out = [f"M{n(x)} {n(y)}"]
    for number, (nx, ny) in enumerate(points[1:], 1):
        if number % 2 == 0 or abs(ny - y) < 0.05:
            out.append(f"L{n(nx)} {n(ny)}")
        else:
            middle = (x + nx) / 2
            out.append(f"C{n(middle)} {n(y)} {n(middle)} {n(ny)} {n(nx)} {n(ny)}")
        x, y = nx, ny
    return "".join(out)


def _tip(end: tuple[float, float], before: tuple[float, float]) -> str:
    x, y = end
    back = -8 if before[0] < x else 8
    return (
        f'<path class="tip" d="M{n(x)} {n(y)}L{n(x + back)} {n(y - 4)}'
        f'L{n(x + back)} {n(y + 4)}Z"/>'
    )


def _node(node: Node, area: Area) -> Iterator[str]:
    _, hue, round_ = KINDS[node.kind]
    x, y, w, h = area.x, area.y, area.width, area.height
    round_ = min(round_, h / 2)
    yield f'<g class="node {node.kind}" id="{identifier(node.id)}" style="--hue:{hue}">'
    yield f"<title>{escape('; '.join([_name(f'{node.kind}:{node.name}'), *node.notes]))}</title>"
    yield (
        f'<rect class="box" x="{n(x)}" y="{n(y)}" width="{n(w)}" height="{n(h)}" '
        f'rx="{n(round_)}"/>'
    )
    yield from _mark(node.kind, x, y, w, h)
    left, middle = x + _PADDING + (5 if node.kind in ("http", "schedule") else 0), y + h / 2
    yield f'<text class="kind" x="{n(left)}" y="{n(middle - 5)}">{escape(caption(node))}</text>'
    name = escape(cut(node.name, _NAME_CELLS))
    yield f'<text class="name" x="{n(left)}" y="{n(middle + 11)}">{name}</text>'
    yield "</g>"


def _mark(kind: str, x: float, y: float, w: float, h: float) -> Iterator[str]:
    """Yield what tells kinds apart besides colour: the slots of a queue, the lid of a store."""
    right, bottom = x + w, y + h
    match kind:
        case "queue" | "dead-letters":
            parts = [f"M{n(right - d)} {n(y)}V{n(bottom)}" for d in (4, 8)]
        case "topic":
            parts = [f"M{n(x + 4)} {n(y)}V{n(bottom)}M{n(right - 4)} {n(y)}V{n(bottom)}"]
        case "bucket" | "table":
            parts = [f"M{n(x)} {n(y + 4)}H{n(right)}"]
        case "workflow":
            parts = [f"M{n(x + 4)} {n(y + 4)}H{n(right - 4)}V{n(bottom - 4)}H{n(x + 4)}Z"]
        case _:
            return
    yield f'<path class="inner" d="{"".join(parts)}"/>'


def n(value: float) -> str:
    """Return a number with at most one decimal: ``12``, ``12.5``."""
    text = f"{value:.1f}"
    return text.removesuffix(".0") if text != "-0.0" else "0"
