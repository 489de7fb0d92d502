"""What a JSON Schema says by itself: its types, values, bounds, and what it says of a property."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from portafaas.runtime.schema import same

_TYPES = ("array", "boolean", "null", "number", "object", "string")
#: keyword -> -1 when a lower value allows more, 1 when a higher one does.
BOUNDS: Mapping[str, int] = {
    "minLength": -1, "minItems": -1, "minProperties": -1, "minContains": -1,
    "maxLength": 1, "maxItems": 1, "maxProperties": 1, "maxContains": 1,
}  # fmt: skip
_NOUNS = {
    "array": "lists", "boolean": "true and false", "null": "null", "number": "numbers",
    "object": "objects", "string": "text",
}  # fmt: skip
#: Keywords that say nothing of what fits.
IGNORED = frozenset(
    ("$schema", "$id", "$anchor", "$dynamicAnchor", "$comment", "$defs", "$vocabulary", "title",
     "description", "default", "deprecated", "readOnly", "writeOnly", "examples",
     "contentEncoding", "contentMediaType", "contentSchema")
)  # fmt: skip


def said_of(schema: Mapping[str, Any], name: str) -> list[Any]:
    """Return what *schema* says of the property *name*, all of which holds."""
    import re

    found = [schema["properties"][name]] if name in schema.get("properties", {}) else []
    for pattern, part in schema.get("patternProperties", {}).items():
        try:
            matches = re.search(pattern, name) is not None
        except re.error:
            matches = False
        if matches:
            found.append(part)
    return found or [schema.get("additionalProperties", True)]


def bound(schema: Mapping[str, Any], name: str, sign: int) -> tuple[float, int] | None:
    """Return the tighter bound as (value, 1 if exclusive), such that more is tighter."""
    found = []
    if f"m{name}" in schema:
        found.append((schema[f"m{name}"] * sign, 0))
    if f"exclusiveM{name}" in schema:
        found.append((schema[f"exclusiveM{name}"] * sign, 1))
    return max(found, default=None)


def mapping(schema: Any) -> Mapping[str, Any]:
    """Return *schema*, an empty one for true and false."""
    return schema if isinstance(schema, Mapping) else {}


def impossible(schema: Any) -> bool:
    """Tell whether nothing fits *schema*, as far as it says so at once."""
    return schema is False or (isinstance(schema, Mapping) and same(schema.get("not"), {}))


def references(schema: Any) -> Iterator[str]:
    """Yield what *schema* refers to."""
    if isinstance(schema, Mapping):
        for key, value in schema.items():
            if key in ("$ref", "$dynamicRef") and isinstance(value, str):
                yield value
            else:
                yield from references(value)
    elif isinstance(schema, list):
        for item in schema:
            yield from references(item)


def types_of(schema: Mapping[str, Any]) -> frozenset[str]:
    """Return the types that *schema* allows; ``number`` stands for whole ones, too."""
    values = values_of(schema)
    if values is not None:
        return frozenset(_type(value) for value in values)
    given = schema.get("type")
    if given is None:
        return frozenset(_TYPES)
    return frozenset([given] if isinstance(given, str) else given)


def _type(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "integer" if float(value).is_integer() else "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def lost_types(old: frozenset[str], new: frozenset[str]) -> list[str]:
    """Return the types of *old* that *new* does not have, in words."""
    lost = []
    for kind in sorted(old):
        if kind in new or (kind == "integer" and "number" in new):
            continue
        if kind == "number" and "integer" in new:
            lost.append("fractions")
        else:
            lost.append("whole numbers" if kind == "integer" else _NOUNS[kind])
    return lost


def common_types(one: frozenset[str], other: frozenset[str]) -> set[str]:
    """Return the types of both."""
    wide = [kinds | {"integer"} if "number" in kinds else kinds for kinds in (one, other)]
    return set(wide[0] & wide[1])


def few_values(schema: Mapping[str, Any]) -> list[Any] | None:
    """Return the values of types that have few, when *schema* allows no others."""
    types = types_of(schema)
    if not types <= {"boolean", "null"}:
        return None
    return [*([False, True] if "boolean" in types else []), *([None] if "null" in types else [])]


def values_of(schema: Mapping[str, Any]) -> list[Any] | None:
    """Return the only values that *schema* lists, or None."""
    if "const" in schema:
        return [schema["const"]]
    found: list[Any] | None = schema.get("enum")
    return found


def merge(into: dict[str, Any], part: Mapping[str, Any]) -> bool:
    """Add *part* to *into*, both of which must hold; False, and nothing done, when that is hard."""
    joined: dict[str, Any] = {}
    for key, value in part.items():
        if key in IGNORED:
            continue
        if key not in into or same(into[key], value):
            joined[key] = value
        elif key == "required":
            joined[key] = list(dict.fromkeys([*into[key], *value]))
        elif key == "properties":
            both = {name: value[name] for name in value if name in into[key]}
            if any(not same(into[key][name], one) for name, one in both.items()):
                return False
            joined[key] = {**into[key], **value}
        elif key in BOUNDS:
            joined[key] = max(into[key], value) if BOUNDS[key] < 0 else min(into[key], value)
        elif key in ("minimum", "exclusiveMinimum"):
            joined[key] = max(into[key], value)
        elif key in ("maximum", "exclusiveMaximum"):
            joined[key] = min(into[key], value)
        else:
            return False
    # These are about the properties and items that stand beside them, not about those of others.
    near = {"properties", "patternProperties", "additionalProperties", "items", "prefixItems", "if",
            "contains", "unevaluatedProperties", "unevaluatedItems", "then", "else"}  # fmt: skip
    mine, theirs = near & into.keys(), near & joined.keys()
    if mine and theirs and (mine | theirs) - {"properties"}:
        return False
    into.update(joined)
    return True
