"""Places boxes in layers from left to right and leads the links between them. Knows no service.

The steps of Sugiyama, Tagawa and Toda (https://doi.org/10.1109/TSMC.1981.4308636): links that go
round are turned, layers are the longest paths, links over several layers get a point in each, the
order in a layer follows the barycentres of the neighbours, and heights are those that bend links
least (least squares with distances, by pooling adjacent violators). Boxes stand in even layers,
labels in odd ones, so that nothing can cover anything. All ties are broken by the order given.

One algorithm, whose steps share the points and links of a part: one class, and therefore one
module.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from portafaas.record import dataclass, field

#: Distances in the units of the boxes: between boxes, around points of links, between layers.
GAP = 26.0
LINE_GAP = 9.0
COLUMN_GAP = 34.0
COMPONENT_GAP = 44.0
#: Distance of links at the side of a box.
PORT = 13.0
_SWEEPS = 14
_PASSES = 90


@dataclass(frozen=True, slots=True)
class Box:
    """A box to place."""

    id: str
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Link:
    """A link to lead, with the size of its label; 0 for none."""

    id: str
    source: str
    target: str
    width: float = 0.0
    height: float = 0.0


@dataclass(frozen=True, slots=True)
class Area:
    """Where a box or label is: its upper left corner and size."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Layout:
    """The picture, from 0, 0.

    ``routes``: the points of each link from source to target, alternately ends of a level piece;
    between pieces it bends. ``labels``: of the links that have one.
    """

    width: float
    height: float
    boxes: dict[str, Area] = field(default_factory=dict)
    routes: dict[str, tuple[tuple[float, float], ...]] = field(default_factory=dict)
    labels: dict[str, Area] = field(default_factory=dict)


def layout(boxes: Sequence[Box], links: Sequence[Link]) -> Layout:
    """Return where everything is; ids are unique, and links lead between different boxes."""
    parts = [_Part(*part).placed() for part in _components(boxes, links)]
    widest = max([1200.0, *(part.width for part in parts)])
    made = Layout(0.0, 0.0)
    x = y = row = width = 0.0
    for part in parts:
        if x and x + part.width > widest:
            x, y, row = 0.0, y + row + COMPONENT_GAP, 0.0
        for name, area in part.boxes.items():
            made.boxes[name] = Area(area.x + x, area.y + y, area.width, area.height)
        for name, area in part.labels.items():
            made.labels[name] = Area(area.x + x, area.y + y, area.width, area.height)
        for name, points in part.routes.items():
            made.routes[name] = tuple((px + x, py + y) for px, py in points)
        width, row = max(width, x + part.width), max(row, part.height)
        x += part.width + COMPONENT_GAP
    return Layout(width, y + row, made.boxes, made.routes, made.labels)


def _components(
    boxes: Sequence[Box], links: Sequence[Link]
) -> Iterator[tuple[list[Box], list[Link]]]:
    """Yield what hangs together, in the order of the first boxes."""
    root = {box.id: box.id for box in boxes}

    def find(name: str) -> str:
        while root[name] != name:
            root[name] = name = root[root[name]]
        return name

    for link in links:
        root[find(link.source)] = find(link.target)
    parts: dict[str, tuple[list[Box], list[Link]]] = {}
    for box in boxes:
        parts.setdefault(find(box.id), ([], []))[0].append(box)
    for link in links:
        parts[find(link.source)][1].append(link)
    yield from parts.values()


class _Point:
    """Something in a layer: a box, or where a link passes, perhaps with its label."""

    __slots__ = ("box", "height", "left", "right", "width", "y")

    def __init__(self, width: float, height: float, box: Box | None) -> None:
        self.width = width
        self.height = height
        self.box = box
        self.left: list[_Point] = []
        self.right: list[_Point] = []
        #: Of its middle.
        self.y = 0.0


class _Part:
    """One component on its way to be placed."""

    def __init__(self, boxes: list[Box], links: list[Link]) -> None:
        self.boxes = boxes
        self.links = links
        self.turned = self._turned()
        self.rank = self._ranks()
        self.points = {box.id: _Point(box.width, box.height, box) for box in boxes}
        self.chains: dict[str, list[_Point]] = {}
        self.layers: list[list[_Point]] = []

    def ends(self, link: Link) -> tuple[str, str]:
        """Return the ends of *link* from left to right."""
        if link.id in self.turned:
            return link.target, link.source
        return link.source, link.target

    def _turned(self) -> set[str]:
        """Return the links to turn so that nothing goes round: those that close a circle.

        The walk begins where nothing leads to, which is where a reader begins.
        """
        out: dict[str, list[Link]] = {box.id: [] for box in self.boxes}
        entered = {link.target for link in self.links}
        for link in self.links:
            out[link.source].append(link)
        turned: set[str] = set()
        state: dict[str, int] = {}
        names = [box.id for box in self.boxes]
        for start in [*(n for n in names if n not in entered), *names]:
            if start in state:
                continue
            state[start] = 1
            stack = [(start, iter(out[start]))]
            while stack:
                name, rest = stack[-1]
                for link in rest:
                    if state.get(link.target) == 1:
                        turned.add(link.id)
                    elif link.target not in state:
                        state[link.target] = 1
                        stack.append((link.target, iter(out[link.target])))
                        break
                else:
                    state[name] = 2
                    stack.pop()
        return turned

    def _ranks(self) -> dict[str, int]:
        """Return the layer of each box: the longest path to it, then as near to what follows."""
        after: dict[str, list[str]] = {box.id: [] for box in self.boxes}
        before: dict[str, list[str]] = {box.id: [] for box in self.boxes}
        for link in self.links:
            left, right = self.ends(link)
            after[left].append(right)
            before[right].append(left)
        waiting = {name: len(found) for name, found in before.items()}
        ready = [name for name, count in waiting.items() if not count]
        rank = dict.fromkeys(ready, 0)
        order: list[str] = []
        while ready:
            name = ready.pop(0)
            order.append(name)
            for other in after[name]:
                rank[other] = max(rank.get(other, 0), rank[name] + 2)
                waiting[other] -= 1
                if not waiting[other]:
                    ready.append(other)
        for name in reversed(order):
            if after[name] and len(after[name]) >= len(before[name]):
                rank[name] = max(rank[name], min(rank[other] for other in after[name]) - 2)
        lowest = min(rank.values())
        return {name: value - lowest for name, value in rank.items()}

    def placed(self) -> Layout:
        """Return the component's picture."""
        self._chain()
        self._order()
        self._heights()
        return self._draw()

    def _chain(self) -> None:
        """Put a point into every layer that a link passes, and make boxes fit their links."""
        self.layers = [[] for _ in range(max(self.rank.values()) + 1)]
        for box in self.boxes:
            self.layers[self.rank[box.id]].append(self.points[box.id])
        for link in self.links:
            left, right = self.ends(link)
            chain = [self.points[left]]
            first = self.rank[left] + 1
            for layer in range(first, self.rank[right]):
                sized = layer == first and link.width > 0
                point = _Point(link.width if sized else 0.0, link.height if sized else 0.0, None)
                chain.append(point)
                self.layers[layer].append(point)
            chain.append(self.points[right])
            for one, other in pairwise(chain):
                one.right.append(other)
                other.left.append(one)
            self.chains[link.id] = chain
        for point in self.points.values():
            most = max(len(point.left), len(point.right))
            point.height = max(point.height, most * PORT + 8)

    def _order(self) -> None:
        """Order the layers such that few links cross."""
        place: dict[int, int] = {}

        def number(layer: list[_Point]) -> None:
            for index, point in enumerate(layer):
                place[id(point)] = index

        for layer in self.layers:
            number(layer)
        best, least = [list(layer) for layer in self.layers], self._crossings(place)
        for sweep in range(_SWEEPS):
            forward = sweep % 2 == 0
            for layer in self.layers if forward else reversed(self.layers):
                heart: dict[int, float] = {}
                for index, point in enumerate(layer):
                    near = point.left if forward else point.right
                    near = near or (point.right if forward else point.left)
                    spots = sorted(place[id(other)] for other in near)
                    heart[id(point)] = sum(spots) / len(spots) if spots else float(index)
                layer.sort(key=lambda point: heart[id(point)])
                number(layer)
            self._swap(place)
            crossings = self._crossings(place)
            if crossings < least:
                best, least = [list(layer) for layer in self.layers], crossings
            if not least:
                break
        self.layers = best

    def _swap(self, place: dict[int, int]) -> None:
        """Swap neighbours while that takes crossings away."""
        for layer in self.layers:
            for index in range(len(layer) - 1):
                one, other = layer[index], layer[index + 1]
                gain = 0
                for side in ("left", "right"):
                    near = sorted(place[id(point)] for point in getattr(one, side))
                    far = sorted(place[id(point)] for point in getattr(other, side))
                    gain += _inversions(near, far) - _inversions(far, near)
                if gain > 0:
                    layer[index], layer[index + 1] = other, one
                    place[id(other)], place[id(one)] = index, index + 1

    def _crossings(self, place: dict[int, int]) -> int:
        from bisect import bisect_right, insort

        count = 0
        for layer in self.layers:
            seen: list[int] = []
            for point in layer:
                spots = sorted(place[id(other)] for other in point.right)
                count += sum(len(seen) - bisect_right(seen, spot) for spot in spots)
                for spot in spots:
                    insort(seen, spot)
        return count

    def _heights(self) -> None:
        """Give every point its height: in order, apart, and near to what it is linked with."""
        for layer in self.layers:
            _spread(layer, [0.0] * len(layer), [1.0] * len(layer))
        for sweep in range(_PASSES):
            forward = sweep % 2 == 0
            for layer in self.layers if forward else reversed(self.layers):
                wanted, weights = [], []
                for point in layer:
                    # Half of the sweeps look both ways, so that both sides have their say.
                    near = point.left + point.right if sweep >= _PASSES // 3 else (
                        point.left if forward else point.right
                    )
                    pulls = [(_pull(point, other), other.y) for other in near]
                    total = sum(pull for pull, _ in pulls)
                    wanted.append(
                        sum(pull * y for pull, y in pulls) / total if total else point.y
                    )
                    weights.append(total or 0.05)
                _spread(layer, wanted, weights)

        self._straighten()

    def _straighten(self) -> None:
        """Make the points of each long link level with the one before where there is room."""
        beside: dict[int, tuple[_Point | None, _Point | None]] = {}
        for layer in self.layers:
            for above, point, below in zip(
                [None, *layer[:-1]], layer, [*layer[1:], None], strict=True
            ):
                beside[id(point)] = (above, below)
        for _ in range(2):
            for link in self.links:
                passed = self.chains[link.id][1:-1]
                for one, other in pairwise(passed):
                    # The line runs below a label, and through the middle of what has none.
                    level = one.y + (one.height - other.height) / 2
                    above, below = beside[id(other)]
                    fits = above is None or level - above.y >= _distance(above, other)
                    if fits and (below is None or below.y - level >= _distance(other, below)):
                        other.y = level

    def _draw(self) -> Layout:
        lefts, widths, x = [], [], 0.0
        for number, layer in enumerate(self.layers):
            width = max((point.width for point in layer), default=0.0)
            lefts.append(x)
            widths.append(width)
            ahead = [abs(p.y - other.y) for p in layer for other in p.right]
            # Steep links need room to bend.
            gap = COLUMN_GAP + min(60.0, max(ahead, default=0.0) * 0.12) + min(40.0, len(ahead))
            if not width:
                gap *= 0.5
            x += width + (gap if number + 1 < len(self.layers) else 0.0)
        top = min(p.y - p.height / 2 for layer in self.layers for p in layer)
        bottom = max(p.y + p.height / 2 for layer in self.layers for p in layer)
        column = {
            id(point): number for number, layer in enumerate(self.layers) for point in layer
        }
        made = Layout(x, bottom - top)
        for name, point in self.points.items():
            number = column[id(point)]
            made.boxes[name] = Area(
                lefts[number], point.y - point.height / 2 - top, widths[number], point.height
            )
        leaving, arriving = self._ports(top)
        for link in self.links:
            chain = self.chains[link.id]
            first, last = column[id(chain[0])], column[id(chain[-1])]
            points = [(lefts[first] + widths[first], leaving[link.id])]
            for point in chain[1:-1]:
                number = column[id(point)]
                # A link runs below its label.
                y = point.y - top + (point.height / 2 if point.width else 0.0)
                points += [(lefts[number], y), (lefts[number] + widths[number], y)]
                if point.width:
                    middle = lefts[number] + (widths[number] - point.width) / 2
                    area = Area(middle, y - point.height, point.width, point.height)
                    made.labels[link.id] = area
            points.append((lefts[last], arriving[link.id]))
            if link.id in self.turned:
                points.reverse()
            made.routes[link.id] = tuple(points)
        return made

    def _ports(self, top: float) -> tuple[dict[str, float], dict[str, float]]:
        """Return how high each link leaves its left box and arrives at its right one."""
        sides: tuple[dict[str, float], dict[str, float]] = ({}, {})
        for end, side in enumerate(sides):
            at: dict[str, list[tuple[float, int, str]]] = {}
            for number, link in enumerate(self.links):
                chain = self.chains[link.id]
                next_to = chain[1] if end == 0 else chain[-2]
                at.setdefault(self.ends(link)[end], []).append((next_to.y, number, link.id))
            for name, found in at.items():
                point = self.points[name]
                for index, (_, _, link_id) in enumerate(sorted(found)):
                    side[link_id] = point.y - top + (index - (len(found) - 1) / 2) * PORT
        return sides


def _pull(point: _Point, other: _Point) -> float:
    """Return how much two linked points want to be level: points of one long link the most."""
    loose = (point.box is None) + (other.box is None)
    return (1.0, 2.0, 16.0)[loose]


def _inversions(upper: list[int], lower: list[int]) -> int:
    """Return how many links of the upper point cross links of the lower one; both sorted."""
    from bisect import bisect_left

    return sum(bisect_left(lower, spot) for spot in upper)


def _distance(one: _Point, other: _Point) -> float:
    gap = GAP if one.box is not None and other.box is not None else LINE_GAP
    return (one.height + other.height) / 2 + gap


def _spread(layer: list[_Point], wanted: list[float], weights: list[float]) -> None:
    """Set the heights nearest to *wanted* (least squares) that keep order and distances."""
    offset = 0.0
    offsets: list[float] = []
    pools: list[list[float]] = []  # value, weight, count
    for index, point in enumerate(layer):
        if index:
            offset += _distance(layer[index - 1], point)
        offsets.append(offset)
        pools.append([wanted[index] - offset, weights[index], 1])
        while len(pools) > 1 and pools[-2][0] >= pools[-1][0]:
            value, weight, count = pools.pop()
            into = pools[-1]
            into[0] = (into[0] * into[1] + value * weight) / (into[1] + weight)
            into[1] += weight
            into[2] += count
    index = 0
    for value, _, count in pools:
        for _ in range(int(count)):
            layer[index].y = value + offsets[index]
            index += 1
