"""Nothing covers anything, whatever is linked with what."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portafaas.graph.layout import Area, Box, Layout, Link, layout

BOXES = st.lists(
    st.tuples(st.integers(20, 300), st.integers(20, 60)), min_size=1, max_size=14
)  # fmt: skip


def overlap(one: Area, other: Area) -> bool:
    return (
        one.x < other.x + other.width - 0.01
        and other.x < one.x + one.width - 0.01
        and one.y < other.y + other.height - 0.01
        and other.y < one.y + one.height - 0.01
    )


def examine(made: Layout, boxes: list[Box], links: list[Link]) -> None:
    assert list(made.boxes) and set(made.boxes) == {box.id for box in boxes}
    assert set(made.routes) == {link.id for link in links}
    assert set(made.labels) == {link.id for link in links if link.width}
    for box in boxes:
        area = made.boxes[box.id]
        assert area.width >= box.width - 0.01 and area.height >= box.height - 0.01
    for link in links:
        if link.width:
            assert made.labels[link.id].width == link.width
            assert made.labels[link.id].height == link.height
    areas = [*made.boxes.values(), *made.labels.values()]
    for index, one in enumerate(areas):
        assert one.x >= -0.01 and one.y >= -0.01
        assert one.x + one.width <= made.width + 0.01 and one.y + one.height <= made.height + 0.01
        assert not any(overlap(one, other) for other in areas[:index])
    for link in links:
        points = made.routes[link.id]
        assert len(points) % 2 == 0
        for (x, y), name in ((points[0], link.source), (points[-1], link.target)):
            area = made.boxes[name]
            assert min(abs(x - area.x), abs(x - area.x - area.width)) < 0.01
            assert area.y < y < area.y + area.height
        # The level pieces lead past boxes and labels; bends are between layers, where there are none.
        for (x, y), (nx, ny) in zip(points[1:-1:2], points[2:-1:2], strict=True):
            assert y == pytest.approx(ny)
            piece = Area(min(x, nx), y - 0.1, abs(nx - x), 0.1)
            assert not any(overlap(piece, area) for area in made.boxes.values())
            assert not any(
                overlap(piece, area) for name, area in made.labels.items() if name != link.id
            )


@settings(max_examples=150, deadline=None)
@given(BOXES, st.data())
def test_random_graphs(sizes: list[tuple[int, int]], data: st.DataObject) -> None:
    boxes = [Box(str(number), *size) for number, size in enumerate(sizes)]
    pairs = data.draw(
        st.lists(
            st.tuples(
                st.integers(0, len(boxes) - 1), st.integers(0, len(boxes) - 1),
                st.sampled_from([(0, 0), (50, 16), (180, 55)]),
            ),
            max_size=30,
        )
    )  # fmt: skip
    links = [
        Link(f"{number}", str(a), str(b), *size)
        for number, (a, b, size) in enumerate(pairs)
        if a != b
    ]
    made = layout(boxes, links)
    examine(made, boxes, links)
    assert made == layout(boxes, links)


def test_a_large_one_is_fast_enough_and_has_few_crossings() -> None:
    rng = random.Random(1)
    boxes = [Box(str(number), 120, 42) for number in range(200)]
    links = [
        Link(f"l{number}", str(rng.randrange(0, number + 1)), str(number + 1), 60 * (number % 2), 16)
        for number in range(199)
    ]
    links = [link if link.width else Link(link.id, link.source, link.target) for link in links]
    examine(layout(boxes, links), boxes, links)


def test_what_leads_on_stands_to_the_right() -> None:
    boxes = [Box(name, 50, 30) for name in "abc"]
    made = layout(boxes, [Link("1", "a", "b"), Link("2", "b", "c"), Link("3", "c", "a")])
    lefts = [made.boxes[name].x for name in "abc"]
    assert lefts == sorted(lefts) and len(set(lefts)) == 3
    # The link that closes the circle leads back: from the left of c to the right of a.
    assert made.routes["3"][0][0] == made.boxes["c"].x
    assert made.routes["3"][-1][0] == made.boxes["a"].x + made.boxes["a"].width


def test_nothing() -> None:
    assert layout([], []) == Layout(0.0, 0.0)


def test_crossings_are_undone() -> None:
    boxes = [Box(name, 50, 30) for name in ("a", "b", "x", "y")]
    made = layout(boxes, [Link("1", "a", "y"), Link("2", "b", "x"), Link("3", "a", "x")])
    upper = made.boxes["a"].y < made.boxes["b"].y
    assert (made.boxes["y"].y < made.boxes["x"].y) == upper
