"""Checks a document against the manifest's JSON Schema and words each problem for people.

The schema file is the truth, published for editors. This evaluator covers the keywords it uses
(a test refuses any other) because the jsonschema library takes longer to import than a whole
100-function build may last; tests hold the two to the same verdict on generated documents
(``docs/adr/0002-manifest-validation.md``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from portafaas.errors import guess

Path = tuple[str | int, ...]
#: (code, path, message, hint)
Problem = tuple[str, Path, str, str | None]

KEYWORDS = frozenset(
    ("$ref", "type", "enum", "const", "anyOf", "properties", "additionalProperties", "required",
     "propertyNames", "minProperties", "maxProperties", "items", "minItems", "maxItems",
     "uniqueItems", "pattern", "minLength", "maxLength", "minimum", "maximum")
)  # fmt: skip
ANNOTATIONS = frozenset(
    ("$schema", "$id", "$defs", "$comment", "title", "description", "x-expect", "default",
     "examples")
)  # fmt: skip

_TYPES: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "null": type(None),
}
_ARTICLES = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "boolean": "true or false",
    "null": "nothing",
    "integer": "a whole number",
    "number": "a number",
}

#: Characters of a text that is repeated in a hint.
_SHORT = 60

_compiled = lru_cache(maxsize=512)(re.compile)


def _is(value: Any, kind: str) -> bool:
    if kind == "integer":
        return (isinstance(value, int) and not isinstance(value, bool)) or (
            isinstance(value, float) and value.is_integer()
        )
    if kind == "number":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, _TYPES[kind])


def _show(value: Any) -> str:
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _same(left: Any, right: Any) -> bool:
    # JSON Schema: 1 and 1.0 are equal, 1 and true are not.
    return left == right and isinstance(left, bool) == isinstance(right, bool)


def knows(schema: Any) -> bool:
    """Tell whether :class:`Validator` evaluates every keyword of *schema*."""
    if not isinstance(schema, Mapping) or not set(schema) <= KEYWORDS | ANNOTATIONS:
        return False
    inner = [schema[key] for key in ("items", "propertyNames") if key in schema]
    if not isinstance(schema.get("additionalProperties", False), bool):
        inner.append(schema["additionalProperties"])
    for key in ("properties", "$defs"):
        inner += schema.get(key, {}).values()
    return all(knows(item) for item in [*inner, *schema.get("anyOf", ())])


class Validator:
    """Evaluates one schema; ``problems(document)`` lists every violation in document order."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._root = schema

    def problems(self, document: Any) -> list[Problem]:
        """Return all problems of *document*; empty when it is valid."""
        out: list[Problem] = []
        self._check(document, self._root, (), out)
        return out

    def _resolve(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        while (ref := schema.get("$ref")) is not None:
            found: Any = self._root
            for part in ref[2:].split("/"):
                found = found[part]
            rest = {
                key: value for key, value in schema.items() if key not in ("$ref", "description")
            }
            schema = {**found, **rest} if rest else found
        return schema

    def _check(self, value: Any, schema: Any, path: Path, out: list[Problem]) -> None:
        if "$ref" in schema:
            schema = self._resolve(schema)
        if "anyOf" in schema:
            self._any_of(value, schema, path, out)
            return
        if "const" in schema and not _same(value, schema["const"]):
            out.append(("PF1001", path, f"{_show(value)} is not {_show(schema['const'])}", None))
            return
        if "enum" in schema:
            if not any(_same(value, allowed) for allowed in schema["enum"]):
                self._not_one_of(value, schema, path, out)
            return
        kind = schema.get("type")
        if kind is not None:
            kinds = [kind] if isinstance(kind, str) else kind
            if not any(_is(value, each) for each in kinds):
                expect = schema.get("x-expect") or " or ".join(_ARTICLES[each] for each in kinds)
                hint = None
                needed = schema.get("required", ())
                if kinds == ["object"] and len(needed) == 1 and isinstance(value, str):
                    # Shorthand that the manifest does not have: "queue: jobs".
                    hint = f"write {{{needed[0]}: {value}}}" if len(value) < _SHORT else None
                out.append(("PF1001", path, f"{_show(value)} is not {expect}", hint))
                return
        if isinstance(value, dict):
            self._object(value, schema, path, out)
        elif isinstance(value, list):
            self._array(value, schema, path, out)
        elif isinstance(value, str):
            self._string(value, schema, path, out)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            self._number(value, schema, path, out)

    @staticmethod
    def _not_one_of(value: Any, schema: Any, path: Path, out: list[Problem]) -> None:
        allowed = [item for item in schema["enum"] if isinstance(item, str)] or schema["enum"]
        expect = schema.get("x-expect") or f"one of {', '.join(str(item) for item in allowed)}"
        hint = guess(value, [str(item) for item in allowed]) if isinstance(value, str) else None
        out.append(("PF1001", path, f"{_show(value)} is not {expect}", hint))

    def _any_of(self, value: Any, schema: Any, path: Path, out: list[Problem]) -> None:
        best: list[Problem] | None = None
        for option in schema["anyOf"]:
            found: list[Problem] = []
            self._check(value, option, path, found)
            if not found:
                return
            # The branch that got furthest says most about what the writer meant.
            deep = any(len(problem[1]) > len(path) or problem[0] != "PF1001" for problem in found)
            if deep and (best is None or len(found) < len(best)):
                best = found
        if best is not None:
            out.extend(best)
            return
        options = [self._resolve(option) for option in schema["anyOf"]]
        expect = schema.get("x-expect") or " or ".join(
            option.get("x-expect") or _ARTICLES.get(option.get("type", ""), "another value")
            for option in options
        )
        near = [
            item for option in options for item in option.get("enum", ()) if isinstance(item, str)
        ]
        hint = guess(value, near) if isinstance(value, str) and near else None
        out.append(("PF1001", path, f"{_show(value)} is not {expect}", hint))

    def _object(self, value: dict[str, Any], schema: Any, path: Path, out: list[Problem]) -> None:
        properties = schema.get("properties", {})
        additional = schema.get("additionalProperties", True)
        names = schema.get("propertyNames")
        for key, item in value.items():
            if names is not None:
                found: list[Problem] = []
                self._check(key, names, (*path, key), found)
                out.extend((c, p, f"name {m}", h) for c, p, m, h in found)
            if key in properties:
                self._check(item, properties[key], (*path, key), out)
            elif additional is False:
                allowed = ", ".join(sorted(properties))
                out.append(
                    (
                        "PF1002",
                        (*path, key),
                        f"unknown key {key!r}; allowed: {allowed or 'none'}",
                        guess(key, properties),
                    )
                )
            elif additional is not True:
                self._check(item, additional, (*path, key), out)
        for key in schema.get("required", ()):
            if key not in value:
                out.append(("PF1004", path, f"required key {key!r} is missing", None))
        count = len(value)
        if count < schema.get("minProperties", 0) or count > schema.get("maxProperties", count):
            low, high = schema.get("minProperties", 0), schema.get("maxProperties")
            number = f"exactly {low}" if low == high else f"{low} to {high}"
            if high is None:
                number = f"at least {low}"
            given = ", ".join(value) or "none"
            keys = " key" if number.endswith(" 1") else " keys"
            allowed = f" of {', '.join(sorted(properties))}" if properties else keys
            expect = schema.get("x-expect")
            hint = f"write {expect}" if expect else None
            out.append(("PF1001", path, f"needs {number}{allowed}; given: {given}", hint))

    def _array(self, value: list[Any], schema: Any, path: Path, out: list[Problem]) -> None:
        items = schema.get("items")
        if items is not None:
            for index, item in enumerate(value):
                self._check(item, items, (*path, index), out)
        if len(value) < schema.get("minItems", 0):
            out.append(("PF1001", path, f"needs at least {schema['minItems']} entries", None))
        if "maxItems" in schema and len(value) > schema["maxItems"]:
            out.append(
                ("PF1001", path, f"has {len(value)} entries; at most {schema['maxItems']}", None)
            )
        if schema.get("uniqueItems"):
            for index, item in enumerate(value):
                if any(_same(item, other) for other in value[:index]):
                    out.append(("PF1001", (*path, index), f"{_show(item)} appears twice", None))

    @staticmethod
    def _string(value: str, schema: Any, path: Path, out: list[Problem]) -> None:
        if "pattern" in schema and not _compiled(schema["pattern"]).search(value):
            expect = schema.get("x-expect") or f"text that matches {schema['pattern']}"
            out.append(("PF1001", path, f"{_show(value)} is not {expect}", None))
        elif len(value) > schema.get("maxLength", len(value)):
            out.append(
                (
                    "PF1001",
                    path,
                    f"{_show(value)} has {len(value)} characters; at most {schema['maxLength']}",
                    None,
                )
            )
        elif len(value) < schema.get("minLength", 0):
            out.append(("PF1001", path, f"needs at least {schema['minLength']} characters", None))

    @staticmethod
    def _number(value: float, schema: Any, path: Path, out: list[Problem]) -> None:
        low, high = schema.get("minimum"), schema.get("maximum")
        if (low is not None and value < low) or (high is not None and value > high):
            if high is None:
                expect = f"at least {low}"
            elif low is None:
                expect = f"at most {high}"
            else:
                expect = f"between {low} and {high}"
            out.append(("PF1001", path, f"{_show(value)} is not {expect}", None))
