"""What a changed schema no longer takes, and where."""

from __future__ import annotations

import random
from typing import Any

import jsonschema
import pytest

from portafaas.choreography.compatibility import narrowed

EXAMPLES = 6000

OBJECT = {
    "type": "object",
    "properties": {"id": {"type": "string"}, "cents": {"type": "integer", "minimum": 0}},
    "required": ["id"],
}


def props(**changes: Any) -> dict[str, Any]:
    return {**OBJECT, "properties": {**OBJECT["properties"], **changes}}  # type: ignore[dict-item]


BREAKING: list[tuple[Any, Any, str, str]] = [
    (OBJECT, {**OBJECT, "required": ["id", "cents"]}, "required", "'cents' is now required"),
    (OBJECT, {**props(x={}), "required": ["id", "x"]}, "required", "'x' is now required"),
    (OBJECT, {**OBJECT, "additionalProperties": False}, "additionalProperties", "no longer allowed"),
    (OBJECT, {**OBJECT, "additionalProperties": {"type": "string"}}, "additionalProperties/type", "no longer"),
    (OBJECT, props(id={"type": "integer"}), "properties/id/type", "text no longer allowed"),
    (OBJECT, props(cents={"type": "integer", "minimum": 1}), "properties/cents/minimum", "was 0, is now 1"),
    (OBJECT, props(cents={"type": "integer", "exclusiveMinimum": 0}), "properties/cents/exclusiveMinimum", "was 0"),
    ({**OBJECT, "additionalProperties": False}, {"type": "object", "properties": {"id": {}}, "additionalProperties": False}, "additionalProperties", "'cents' is no longer allowed"),
    ({"type": ["string", "null"]}, {"type": "string"}, "type", "null no longer"),
    ({"type": "number"}, {"type": "integer"}, "type", "fractions no longer"),
    ({}, {"type": "object"}, "type", "text no longer allowed"),
    ({"enum": ["a", "b"]}, {"enum": ["a"]}, "enum", 'no longer allowed: "b"'),
    ({"enum": ["a", 1]}, {"type": "string"}, "", "no longer allowed: 1"),
    ({"enum": ["a", "bb"]}, {"enum": ["a", "bb", "c"], "maxLength": 1}, "", 'no longer allowed: "bb"'),
    ({"type": "string"}, {"enum": ["a"]}, "enum", "only listed values"),
    ({"const": 1}, {"const": 2}, "const", "no longer allowed: 1"),
    ({"const": True}, {"const": 1}, "const", "no longer allowed: true"),
    ({"type": "boolean"}, {"const": True}, "const", "no longer allowed: false"),
    ({"type": "string"}, {"type": "string", "maxLength": 9}, "maxLength", "had no bound, is now 9"),
    ({"type": "string", "maxLength": 9}, {"type": "string", "maxLength": 8}, "maxLength", "was 9, is now 8"),
    ({"type": "string"}, {"type": "string", "minLength": 1}, "minLength", "was 0, is now 1"),
    ({"type": "string"}, {"type": "string", "pattern": "^a"}, "pattern", "'pattern' is new"),
    ({"type": "string", "format": "date"}, {"type": "string", "format": "time"}, "format", "has changed"),
    ({"type": "integer"}, {"type": "integer", "multipleOf": 2}, "multipleOf", "is now 2"),
    ({"type": "number", "maximum": 5}, {"type": "number", "maximum": 4.5}, "maximum", "was 5, is now 4.5"),
    ({"type": "array"}, {"type": "array", "items": {"type": "string"}}, "items/type", "no longer"),
    ({"type": "array", "items": {"type": "string"}}, {"type": "array", "items": {"type": "string", "minLength": 2}}, "items/minLength", "is now 2"),
    ({"type": "array"}, {"type": "array", "uniqueItems": True}, "uniqueItems", "repeated items"),
    ({"type": "array", "items": {"type": "string"}}, {"type": "array", "prefixItems": [{"type": "null"}]}, "prefixItems/0/type", "text"),
    ({"type": "array"}, {"type": "array", "contains": {"type": "null"}}, "contains", "is new"),
    ({"type": "object"}, {"type": "object", "minProperties": 1}, "minProperties", "was 0"),
    ({"type": "object"}, {"type": "object", "patternProperties": {"^x": {"type": "null"}}}, "patternProperties/^x", "the pattern is new"),
    ({"type": "object"}, {"type": "object", "propertyNames": {"maxLength": 3}}, "propertyNames", "is new"),
    ({"anyOf": [{"type": "string"}, {"type": "null"}]}, {"type": "string"}, "type", "null no longer"),
    ({"anyOf": [{"type": "string"}, {"type": "null"}]}, {"anyOf": [{"type": "string"}]}, "anyOf", "no alternative"),
    ({"type": "string"}, {"oneOf": [{"type": "string"}, {"maxLength": 3}]}, "oneOf", "more than one alternative"),
    ({"oneOf": [{"type": "string"}, {"type": "null"}]}, {"oneOf": [{"type": "string"}, {"type": ["null", "string"]}]}, "oneOf", "more than one"),
    ({"allOf": [{"type": "string"}]}, {"allOf": [{"type": "string"}, {"maxLength": 2}]}, "maxLength", "is now 2"),
    ({}, {"not": {"type": "string"}}, "not", "'not' is new"),
    ({"type": "object"}, {"type": "object", "if": {"required": ["a"]}, "then": {"required": ["b"]}}, "if", "condition has changed"),
    ({}, {"not": {}}, "", "nothing is allowed"),
    ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}}, {"$ref": "#/$defs/a", "$defs": {"a": {"type": "null"}}}, "type", "text no longer"),
    ({"properties": {"n": {"$ref": "#"}}, "type": "object"}, {"properties": {"n": {"$ref": "#"}}, "type": "object", "required": ["n"]}, "required", "'n' is now required"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "path", "text"), BREAKING)
def test_breaking(old: Any, new: Any, path: str, text: str) -> None:
    found = narrowed(old, new)
    told = [("/".join(map(str, at)), message) for at, message in found]
    assert any(at == path and text in message for at, message in told), told


COMPATIBLE: list[tuple[Any, Any]] = [
    (OBJECT, OBJECT),
    (OBJECT, {**OBJECT, "required": []}),
    (OBJECT, props(note={"type": "string"})),
    ({**OBJECT, "additionalProperties": False}, {**props(note={"type": "string"}), "additionalProperties": False}),
    (OBJECT, props(id={"type": ["string", "null"]})),
    (OBJECT, props(cents={"type": "number"})),
    (OBJECT, {**OBJECT, "title": "x", "description": "y", "$comment": "z", "$id": "urn:x"}),
    ({**OBJECT, "additionalProperties": False}, OBJECT),
    ({"enum": ["a"]}, {"enum": ["a", "b"]}),
    ({"enum": ["a"]}, {"type": "string", "maxLength": 1}),
    ({"const": "a"}, {"enum": ["b", "a"]}),
    ({"type": "boolean"}, {"enum": [True, False, None]}),
    ({"type": "integer", "minimum": 2}, {"type": "integer", "exclusiveMinimum": 1}),
    ({"type": "integer", "multipleOf": 4}, {"type": "integer", "multipleOf": 2}),
    ({"type": "number", "multipleOf": 0.2}, {"type": "number", "multipleOf": 0.1}),
    ({"type": "string"}, {"anyOf": [{"type": "null"}, {"type": "string"}]}),
    ({"oneOf": [{"type": "string"}, {"maxLength": 3}]}, {"oneOf": [{"type": "string"}, {"maxLength": 3}]}),
    ({"oneOf": [{"type": "string"}, {"type": "null"}]}, {"oneOf": [{"type": "null"}, {"type": "string"}, {"type": "array"}]}),
    ({"oneOf": [{"properties": {"k": {"const": 1}}, "required": ["k"], "type": "object"}]},
     {"oneOf": [{"properties": {"k": {"const": 1}}, "required": ["k"], "type": "object"},
                {"properties": {"k": {"const": 2}}, "required": ["k"], "type": "object"}]}),
    ({"type": "string", "pattern": "^a"}, {"type": "string"}),
    ({"allOf": [{"type": "string"}, {"maxLength": 3}]}, {"type": "string", "maxLength": 4}),
    ({"type": "array", "prefixItems": [{"type": "string"}], "items": False}, {"type": "array", "items": {"type": "string"}}),
    ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}}, {"type": "string"}),
    ({"type": "object", "properties": {"n": {"anyOf": [{"type": "null"}, {"$ref": "#"}]}, "v": {"type": "integer"}}},
     {"type": "object", "properties": {"n": {"anyOf": [{"type": "null"}, {"$ref": "#"}]}, "v": {"type": "number"}}}),
    ({"type": "string"}, {"type": "string", "minItems": 3, "required": ["a"], "minimum": 3}),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new"), COMPATIBLE)
def test_compatible(old: Any, new: Any) -> None:
    assert narrowed(old, new) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"anyOf": [{"$ref": "#"}, {"type": "string"}]}, {"anyOf": [{"$ref": "#"}, {"type": "null"}]}),
        ({"$ref": "#"}, {"$ref": "#", "maxLength": 3}),
        ({"allOf": [{"$ref": "#"}], "type": "string"}, {"type": "null", "allOf": [{"$ref": "#"}]}),
    ],
)
def test_schemas_that_go_round_end(old: Any, new: Any) -> None:
    assert narrowed(old, new)


def test_a_deep_schema_is_not_held_to_be_compatible() -> None:
    old: Any = {"type": "string"}
    new: Any = {"type": "null"}
    for _ in range(200):
        old, new = {"items": old, "type": "array"}, {"items": new, "type": "array"}
    ((_, message),) = narrowed(old, new)
    assert "too deeply" in message


SCALARS: list[Any] = [None, True, False, 0, 1, 2, 3, 1.5, -1, "", "a", "ab", "b"]
TYPES = ["string", "number", "integer", "null", "boolean", "array", "object"]


def instance(rng: random.Random, depth: int = 2) -> Any:
    kind = rng.random()
    if depth and kind < 0.35:
        return {name: instance(rng, depth - 1) for name in "abc" if rng.random() < 0.5}
    if depth and kind < 0.6:
        return [instance(rng, depth - 1) for _ in range(rng.randrange(4))]
    return rng.choice(SCALARS)


def keyword(rng: random.Random, name: str, depth: int) -> Any:
    if name == "type":
        return rng.choice(TYPES) if rng.random() < 0.5 else rng.sample(TYPES, rng.randrange(1, 6))
    if name == "enum":
        return rng.sample(SCALARS, rng.randrange(1, 6))
    if name == "const":
        return rng.choice(SCALARS)
    if "imum" in name:
        return rng.randrange(-1, 4)
    if name == "multipleOf":
        return rng.choice([1, 2, 0.5])
    if name[:3] in ("min", "max"):
        return rng.randrange(3)
    if name == "pattern":
        return rng.choice(["^a", "b"])
    if name == "uniqueItems":
        return rng.random() < 0.7
    if name == "required":
        return rng.sample("abc", rng.randrange(3))
    if name == "dependentRequired":
        return {rng.choice("abc"): [rng.choice("abc")]}
    if name == "$ref":
        return rng.choice(["#/$defs/x", "#/$defs/y"])
    if name in ("properties", "patternProperties"):
        names = "abc" if name == "properties" else ["a", "^b"]
        return {key: schema(rng, depth - 1) for key in rng.sample(names, rng.randrange(1, 3))}
    if name in ("allOf", "anyOf", "oneOf", "prefixItems"):
        return [schema(rng, depth - 1) for _ in range(rng.randrange(1, 4))]
    return schema(rng, depth - 1)


LEAVES = ["type", "type", "enum", "const", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum",
          "multipleOf", "minLength", "maxLength", "pattern", "minItems", "maxItems", "uniqueItems",
          "required", "minProperties", "maxProperties", "dependentRequired", "minContains",
          "maxContains", "$ref"]  # fmt: skip
INNER = ["items", "prefixItems", "contains", "properties", "properties", "patternProperties",
         "additionalProperties", "propertyNames", "allOf", "anyOf", "oneOf", "not", "if", "then",
         "else"]  # fmt: skip


def schema(rng: random.Random, depth: int = 2) -> Any:
    if rng.random() < 0.12:
        return rng.random() < 0.8
    names = [rng.choice(LEAVES if depth <= 0 or rng.random() < 0.5 else INNER) for _ in range(rng.randrange(4))]
    return {name: keyword(rng, name, depth) for name in names}


def changed(rng: random.Random, old: Any, depth: int = 2) -> Any:
    """Return *old* with one small change somewhere."""
    if not isinstance(old, dict) or not old or rng.random() < 0.3:
        if not isinstance(old, dict):
            return schema(rng, depth)
        name = rng.choice(LEAVES + INNER)
        return {**old, name: keyword(rng, name, depth)}
    name = rng.choice(list(old))
    value = old[name]
    if rng.random() < 0.3:
        return {key: item for key, item in old.items() if key != name}
    if name in ("properties", "patternProperties"):
        key = rng.choice(list(value))
        return {**old, name: {**value, key: changed(rng, value[key], depth - 1)}}
    if name in ("allOf", "anyOf", "oneOf", "prefixItems"):
        index = rng.randrange(len(value))
        items = [*value[:index], changed(rng, value[index], depth - 1), *value[index + 1 :]]
        return {**old, name: items if rng.random() < 0.6 else [*value, schema(rng, depth - 1)]}
    if name in INNER:
        return {**old, name: changed(rng, value, depth - 1)}
    return {**old, name: keyword(rng, name, depth)}


def new_names(old: Any, new: Any) -> bool:
    """Tell whether *new* has optional properties that *old* had not: compatible by convention."""
    if isinstance(old, list) and isinstance(new, list):
        return any(new_names(one, other) for one in old for other in new)
    if not isinstance(old, dict) or not isinstance(new, dict):
        return "'properties'" in repr(new) and "'properties'" not in repr(old)
    if set(new.get("properties", ())) - set(old.get("properties", ())):
        return True
    return any(new_names(old.get(key), item) for key, item in new.items())


def test_what_is_compatible_takes_all_that_was_taken() -> None:
    """Nothing that fits the old schema fails the new one unless something was reported."""
    count = 0
    for seed in range(EXAMPLES):
        rng = random.Random(seed)
        first = schema(rng)
        second = changed(rng, first)
        if not isinstance(first, dict) or not isinstance(second, dict) or new_names(first, second):
            continue
        defs = {"$defs": {"x": {"type": ["string", "object", "integer"]}, "y": True}}
        old, new = {**defs, **first}, {**defs, **second}
        if narrowed(old, new):
            continue
        before, after = jsonschema.Draft202012Validator(old), jsonschema.Draft202012Validator(new)
        for _ in range(12):
            value = instance(rng)
            if before.is_valid(value):
                count += 1
                assert after.is_valid(value), (seed, first, second, value)
    assert count > EXAMPLES
