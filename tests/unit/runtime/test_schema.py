"""The shipped evaluator of JSON Schema gives the verdicts of the jsonschema library."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from portafaas.plan.machine_schemas import unevaluated
from portafaas.plan.schemas import META, SEVERAL, SINGLE
from portafaas.runtime import schema as evaluator

VALUES: list[Any] = [
    None, True, False, 0, 1, 1.0, 1.5, -2, 3, 4, 10**400, 1e300, "", "a", "ab", "abc", "é🙂", "1",
    [], [1], [1, 1.0], [1, True], [0, False], [[1], [1.0]], ["a", 1], [1, 2, 3], [{"a": 1}, {"a": 1}],
    {}, {"a": 1}, {"a": "x"}, {"b": 1}, {"a": 1, "b": 2}, {"a": {"a": 1}}, {"ab": 1, "x-y": 2, "a.b": []},
]  # fmt: skip
SCHEMAS: list[Any] = [
    {"type": "integer"}, {"type": "number"}, {"type": ["string", "null"]}, {"type": "object"},
    {"enum": [1, "a", [1], {"a": 1}, None]}, {"const": 1}, {"const": False}, {"const": {"a": 1.0}},
    {"minimum": 1}, {"maximum": 1}, {"exclusiveMinimum": 1}, {"exclusiveMaximum": 1.5},
    {"minimum": 1, "maximum": 1}, {"multipleOf": 2}, {"multipleOf": 0.5}, {"multipleOf": 1.5},
    {"minLength": 2}, {"maxLength": 2}, {"pattern": "b"}, {"pattern": "^.$"},
    {"required": ["a", "b"]}, {"properties": {"a": {"type": "integer"}, "b": False}},
    {"patternProperties": {"^a": {"type": "integer"}}},
    {"additionalProperties": False, "properties": {"a": True}, "patternProperties": {"-": True}},
    {"additionalProperties": {"type": "integer"}}, {"propertyNames": {"maxLength": 1}},
    {"minProperties": 1}, {"maxProperties": 1}, {"dependentRequired": {"a": ["b"]}},
    {"dependentSchemas": {"a": {"required": ["b"]}}},
    {"items": {"type": "integer"}}, {"prefixItems": [{"const": 1}, {"const": True}]},
    {"prefixItems": [True], "items": False}, {"contains": {"const": 1}},
    {"contains": {"const": 1}, "minContains": 0, "maxContains": 1}, {"contains": True, "minContains": 3},
    {"minContains": 9}, {"uniqueItems": True}, {"uniqueItems": False}, {"minItems": 1}, {"maxItems": 1},
    {"allOf": [{"type": "integer"}, {"minimum": 2}]}, {"anyOf": [{"type": "string"}, {"minimum": 2}]},
    {"oneOf": [{"type": "number"}, {"minimum": 2}]}, {"not": {"type": "number"}}, {"not": True},
    {"if": {"type": "number"}, "then": {"minimum": 1}, "else": {"minLength": 1}},
    {"if": {"type": "number"}}, {"then": False}, {"else": False},
    {"$ref": "#/$defs/x~1y", "$defs": {"x/y": {"type": "integer"}}},
    {"$ref": "#here", "$defs": {"x": {"$anchor": "here", "type": "string"}}, "minLength": 2},
    {"properties": {"a": {"$ref": "#"}}, "additionalProperties": False},
    {"$ref": "#/$defs/a%20b", "$defs": {"a b": {"type": "array"}}},
    {"format": "date", "title": "t", "x-own": 1, "default": 3, "contentEncoding": "base64"},
]  # fmt: skip


def agree(schema: Any, value: Any) -> None:
    ours = list(evaluator.problems(schema, value))
    theirs = list(Draft202012Validator(schema).iter_errors(value))
    assert bool(ours) == bool(theirs), (schema, value, ours, theirs)
    # The places of simple rules are those that the library names, but where nothing may be at all.
    if not {"if", "anyOf", "oneOf", "allOf"} & set(schema) and "False" not in str(schema):
        assert {path for path, _ in ours} == {error.json_path for error in theirs}


@pytest.mark.parametrize("schema", SCHEMAS, ids=str)
def test_each_keyword(schema: Any) -> None:
    assert list(unevaluated(schema)) == []
    for value in VALUES:
        if "multipleOf" in schema and value == 10**400:
            # The library cannot divide it.
            assert (evaluator.first(schema, value) == "") == (schema["multipleOf"] == 2)
            continue
        agree(schema, value)


_schemas = st.recursive(
    st.booleans() | st.sampled_from([one for one in SCHEMAS if "$ref" not in str(one)]),
    lambda inner: st.one_of([
        st.fixed_dictionaries({word: inner}) for word in ("items", "not", "contains", "additionalProperties")
    ])
    | st.fixed_dictionaries({"properties": st.dictionaries(st.sampled_from("ab"), inner, max_size=2)})
    | st.one_of([
        st.fixed_dictionaries({word: st.lists(inner, min_size=1, max_size=3)})
        for word in ("allOf", "anyOf", "oneOf", "prefixItems")
    ])
    | st.fixed_dictionaries({"if": inner, "then": inner, "else": inner}),
    max_leaves=6,
)
_values = st.recursive(
    st.sampled_from(VALUES),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(_schemas, _values)
def test_schemas_in_schemas(schema: Any, value: Any) -> None:
    assert (evaluator.first(schema, value) == "") == Draft202012Validator(schema).is_valid(value)


def test_every_keyword_is_evaluated_refused_or_an_annotation() -> None:
    known = META["$defs"]["schema"]["anyOf"][1]["properties"]
    evaluated = {name for name, _ in evaluator._CHECKS} | {"then", "else", "minContains", "maxContains"}
    silent = {
        "$id", "$schema", "$anchor", "$comment", "$defs", "title", "description", "format", "examples",
        "contentEncoding", "contentMediaType", "contentSchema", "deprecated", "readOnly", "writeOnly",
    }  # fmt: skip
    assert set(known) | {"const"} == evaluated | silent | (set(known) & set(evaluator.UNKNOWN))
    assert {*SINGLE, *SEVERAL} <= evaluated | silent | set(evaluator.UNKNOWN)


@pytest.mark.parametrize(
    ("schema", "word"),
    [
        ({"unevaluatedProperties": False}, "not evaluated"),
        ({"properties": {"a": {"$dynamicRef": "#"}}}, "not evaluated"),
        ({"$ref": "#/definitions/a", "definitions": {"a": {"dependencies": {}}}}, "not evaluated"),
        ({"items": {"$id": "x"}}, "no '$id'"),
        ({"pattern": "("}, "regular expression"),
        ({"patternProperties": {"[": True}}, "regular expression"),
        ({"$ref": "#"}, "refers to itself"),
        ({"properties": {"a": {"anyOf": [{"$ref": "#/$defs/b"}]}}, "$defs": {"b": {"not": {"$ref": "#/$defs/b"}}}}, "itself"),
    ],
)  # fmt: skip
def test_what_is_not_evaluated_is_refused(schema: Any, word: str) -> None:
    assert any(word in message for _, message in unevaluated(schema))


def test_messages() -> None:
    schema = {"required": ["id"], "properties": {"lines": {"items": {"properties": {"a b": {"type": "string"}}}}}}
    found = list(evaluator.problems(schema, {"lines": [{}, {"a b": 1}]}))
    assert found == [("$", '"id" is missing'), ("$.lines[1]['a b']", "1 is not of type string")]
    assert evaluator.first(schema, {"id": 1}) == ""
    long = evaluator.first({"type": "null"}, "x" * 999)
    assert len(long) < 100
