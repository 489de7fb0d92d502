"""What steps do with documents, as far as the cases of ``tests/workflows`` do not show it."""

from __future__ import annotations

import fnmatch
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portafaas.runtime import states
from portafaas.runtime.states import Fault


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("$", ()), ("$$", ()), ("$.a", ("a",)), ("$.a.b[0]['c d']", ("a", "b", 0, "c d")), ("$[2]", (2,)),
        ("$$.Map.Item.Index", ("Map", "Item", "Index")), ("$.ä-b_c1", ("ä-b_c1",)), ("$['']", ("",)),
    ],
)  # fmt: skip
def test_paths(path: str, parts: tuple[Any, ...]) -> None:
    assert states.parsed(path) == parts


@pytest.mark.parametrize(
    "path",
    ["", "a", "$.", "$..a", "$.a.", "$[", "$[]", "$[a]", "$[-1]", "$['a", "$[*]", "$.a b", "$x"],
)
def test_what_is_no_path(path: str) -> None:
    with pytest.raises(ValueError, match=r"path|missing|may be"):
        states.parsed(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text("ab$.*\\", max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner),
    max_leaves=8,
)


@given(JSON, JSON, st.lists(st.sampled_from("abc"), min_size=1, max_size=3))
def test_what_was_put_is_there_and_nothing_else_has_changed(
    document: Any, value: Any, names: list[str]
) -> None:
    path = "$" + "".join(f".{name}" for name in names)
    before = repr(document)
    try:
        after = states.put(path, document, value)
    except Fault as fault:
        assert fault.error == states.RUNTIME
        after = None
    assert repr(document) == before
    if after is not None:
        assert states.lookup(path, after, {}) == (True, value)
        assert {k: v for k, v in after.items() if k != names[0]} == {
            k: v for k, v in document.items() if k != names[0]
        }


@given(JSON, JSON)
def test_a_literal_stands_for_itself(value: Any, document: Any) -> None:
    assert states.filled({"x": {"$literal": value}}, document, {}) == {"x": value}


@given(st.text("abc", max_size=6), st.text("abc*", max_size=6))
def test_matches_as_shells_do(text: str, pattern: str) -> None:
    assert states._matches(text, pattern) == fnmatch.fnmatchcase(text, pattern)


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("2030-01-31T12:00:00Z", True), ("2030-01-31T12:00:00.5Z", True),
        ("2030-02-31T12:00:00Z", False), ("2030-01-31T12:00:00+00:00", False),
        ("2030-01-31", False), ("2030-1-31T12:00:00Z", False), ("2030-01-31T12:00:00.Z", False),
        ("2030-01-31T25:00:00Z", False), (" 2030-01-31T12:00:00Z", False), (5, False), ("", False),
    ],
)  # fmt: skip
def test_times(text: Any, right: bool) -> None:
    assert states.is_time(text) is right


@pytest.mark.parametrize(
    ("rule", "tries", "seconds"),
    [
        ({"initial": 1, "factor": 2}, 1, 1), ({"initial": 1, "factor": 2}, 4, 8),
        ({"initial": 1, "factor": 2, "max": 5}, 4, 5), ({"initial": 9, "factor": 1, "max": 5}, 1, 5),
        ({"initial": 1, "factor": 100, "max": 60}, 5000, 60), ({"initial": 0, "factor": 2}, 3, 0),
    ],
)  # fmt: skip
def test_pauses(rule: dict[str, Any], tries: int, seconds: float) -> None:
    assert states.delay(rule, tries) == seconds


def test_sizes() -> None:
    assert states.check_size("x" * (states.LARGEST - 2))
    for value in ("x" * (states.LARGEST - 1), "ü" * (states.LARGEST // 2), ["🙂" * 65_536]):
        with pytest.raises(Fault, match=r"States\.DataLimitExceeded"):
            states.check_size(value)
