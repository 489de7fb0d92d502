"""Path templates."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portafaas.runtime.route import Route


@pytest.mark.parametrize(
    ("template", "path", "values"),
    [
        ("/", "/", {}),
        ("/", "", None),
        ("/", "/a", None),
        ("/a", "/a", {}),
        ("/a", "/A", None),
        ("/a", "/a/", None),
        ("/a/", "/a/", {}),
        ("/a/", "/a", None),
        ("/a", "a", None),
        ("/a", "//a", None),
        ("/{id}", "/1", {"id": "1"}),
        ("/{id}", "/", None),
        ("/{id}", "/1/2", None),
        ("/{id}", "/{id}", {"id": "{id}"}),
        ("/o/{id}", "/o/a b", {"id": "a b"}),
        ("/o/{id}/i/{n}", "/o/1/i/2", {"id": "1", "n": "2"}),
        ("/o/{id}/i/{n}", "/o//i/2", None),
        ("/{path*}", "/", {"path": ""}),
        ("/{path*}", "/a/b/", {"path": "a/b/"}),
        ("/f/{path*}", "/f", {"path": ""}),
        ("/f/{path*}", "/f/", {"path": ""}),
        ("/f/{path*}", "/f//", {"path": "/"}),
        ("/f/{path*}", "/g/x", None),
        ("/f/{path*}", "/fx", None),
        ("/{a}/{b*}", "/x/y/z", {"a": "x", "b": "y/z"}),
        ("/{a}/{b*}", "/", None),
    ],
)
def test_match(template: str, path: str, values: dict[str, str] | None) -> None:
    assert Route(template).match(path) == values


NAMES = st.sampled_from(["a", "b_c", "id", "x9"])
SEGMENTS = st.text(st.characters(exclude_characters="/"), min_size=1, max_size=8)


@given(st.lists(st.tuples(st.booleans(), SEGMENTS), min_size=1, max_size=5))
def test_a_filled_template_matches_with_its_values(parts: list[tuple[bool, str]]) -> None:
    template, values = "", {}
    for index, (variable, text) in enumerate(parts):
        if variable or "{" in text:
            values[f"v{index}"] = text
            template += f"/{{v{index}}}"
        else:
            template += f"/{text}"
    path = "".join(f"/{text}" for _, text in parts)
    assert Route(template).match(path) == values
    assert Route(template).match(path + "/") is None
    assert Route(template + "/{rest*}").match(path) == values | {"rest": ""}
    assert Route(template + "/{rest*}").match(path + "/u/v") == values | {"rest": "u/v"}
