"""JSON files: what ``json`` reads, with lines; what it does not, with line and column."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portafaas.manifest.json_text import parse_json
from portafaas.manifest.text import MAX_DEPTH

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(VALUES, st.sampled_from([None, 1, "\t"]), st.booleans())
def test_it_reads_what_json_does(value: Any, indent: Any, ascii: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii)
    found, positions, problems = parse_json(f" \n{text}\r\n", "f.json")
    assert not problems and json.dumps(found) == json.dumps(value)
    assert positions[()] == (2, 1)


@given(VALUES, st.data())
def test_it_refuses_what_json_does(value: Any, data: st.DataObject) -> None:
    text = json.dumps(value, indent=1)
    at = data.draw(st.integers(0, len(text) - 1))
    text = text[:at] + data.draw(st.sampled_from(["", ",", "}", '"', "x", "1"])) + text[at + 1 :]

    def constant(word: str) -> Any:
        raise ValueError(word)

    try:
        wanted: Any = [json.loads(text, parse_constant=constant)]
    except ValueError:
        wanted = None
    found, _, problems = parse_json(text, "f.json")
    if wanted is None:
        assert problems[-1].code == "PF1005" and (problems[-1].line or not text.strip())
    else:
        # Of two of one name both take the last.
        assert json.dumps([found]) == json.dumps(wanted)
        assert {one.code for one in problems} <= {"PF1003"}


def test_where_things_are() -> None:
    found, positions, problems = parse_json('{"a": [1,\n  {"b": "\\ud83d\\ude00"}],\n\t"c": {}}', "f.json")
    assert not problems and found == {"a": [1, {"b": "\U0001f600"}], "c": {}}
    assert positions == {
        (): (1, 1), ("a",): (1, 2), ("a", 0): (1, 8), ("a", 1): (2, 3), ("a", 1, "b"): (2, 9), ("c",): (3, 2),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "code", "line", "column", "words"),
    [
        ('{"a": 1\n "b": 2}', "PF1005", 2, 2, "',' or '}' is expected, not '\"'"),
        ('{"a": [1, 2,\n]}', "PF1005", 2, 1, "a value is expected, not ']'"),
        ('{"a": 1,}', "PF1005", 1, 9, "a name in double quotes is expected, not '}'"),
        ("{'a': 1}", "PF1005", 1, 2, "a name in double quotes"),
        ('{"a": "x\n"}', "PF1005", 1, 9, "invalid control character"),
        ('{"a": "x', "PF1005", 1, 7, "unterminated string"),
        ('{"a": {\n', "PF1005", 2, 1, "not the end of the file"),
        ('{"a": True}', "PF1005", 1, 7, "a value is expected, not 'T'"),
        ('{"a": NaN}', "PF1005", 1, 7, "a value"),
        ('{"a": 01}', "PF1005", 1, 8, "',' or '}'"),
        ('{"a": 1} // b', "PF1005", 1, 10, "the end of the file is expected"),
        ("a: 1\n", "PF1005", 1, 1, "a value"),
        ("", "PF1005", None, None, "empty"),
        ("[" * (MAX_DEPTH + 1), "PF1006", 1, MAX_DEPTH + 1, "too deeply"),
        ('{"a": {\n"b": 1,\n "b": 2}}', "PF1003", 3, 2, "first on line 2"),
    ],
)
def test_what_is_no_json(text: str, code: str, line: int, column: int, words: str) -> None:
    _, _, (problem,) = parse_json(text, "f.json")
    assert (problem.code, problem.line, problem.column, problem.file) == (code, line, column, "f.json")
    assert words in problem.message
