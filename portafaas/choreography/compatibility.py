"""Whether everything that fitted one JSON Schema fits another: ``old`` within ``new``.

A consumer with the new schema must read what was sent under the old one and is still under way
(backward); the other way round, consumers of the old version read what is sent under the new one
(forward). Both are :func:`narrowed`, with the arguments swapped.

The question has no complete answer for schemas of any kind; what cannot be shown to be compatible
is reported, so that nothing incompatible passes. Two exceptions, by the conventions of schema
registries: a new optional property is compatible, although an open schema allowed anything under
its name before; and ``format`` is held to be checked. Annotations do not count.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from portafaas.plan.schemas import resolve

Path = tuple[str | int, ...]
#: Where in the new schema, or where it was in the old one; and what is narrower there.
Narrowed = tuple[Path, str]

_TYPES = ("array", "boolean", "null", "number", "object", "string")
#: keyword -> -1 when a lower value allows more, 1 when a higher one does.
_BOUNDS: Mapping[str, int] = {
    "minLength": -1, "minItems": -1, "minProperties": -1, "minContains": -1,
    "maxLength": 1, "maxItems": 1, "maxProperties": 1, "maxContains": 1,
}  # fmt: skip
_NOUNS = {
    "array": "lists", "boolean": "true and false", "null": "null", "number": "numbers",
    "object": "objects", "string": "text",
}  # fmt: skip
#: keyword -> the type of the values it is about.
_OF: Mapping[str, str] = {
    "minLength": "string", "maxLength": "string", "pattern": "string", "format": "string",
    "minItems": "array", "maxItems": "array", "uniqueItems": "array", "contains": "array",
    "minContains": "array", "maxContains": "array", "unevaluatedItems": "array",
    "minProperties": "object", "maxProperties": "object", "propertyNames": "object",
    "dependentRequired": "object", "dependentSchemas": "object",
    "unevaluatedProperties": "object",
}  # fmt: skip
#: Compared as they are: equal, or gone, is compatible.
_OPAQUE = (
    "pattern", "format", "contains", "propertyNames", "dependentRequired", "dependentSchemas",
    "unevaluatedItems", "unevaluatedProperties", "not", "$dynamicRef",
)  # fmt: skip
_IGNORED = frozenset(
    ("$schema", "$id", "$anchor", "$dynamicAnchor", "$comment", "$defs", "$vocabulary", "title",
     "description", "default", "deprecated", "readOnly", "writeOnly", "examples",
     "contentEncoding", "contentMediaType", "contentSchema")
)  # fmt: skip
_STEPS = 20_000
_DEPTH = 60


def narrowed(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Narrowed]:
    """Return what fits *old* but not *new*, by the path in *new*; empty when all of it fits."""
    if _same(old, new):
        return []
    return list(dict.fromkeys(_Comparison(old, new).within(old, new, ())))


class _Comparison:
    """Compares parts of two documents, which references name."""

    def __init__(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        self.old = old
        self.new = new
        self.open: set[tuple[int, int]] = set()
        #: What identities in ``open`` are of must live as long as this.
        self.kept: list[Any] = []
        self.steps = 0

    def within(self, old: Any, new: Any, path: Path) -> Iterator[Narrowed]:
        """Yield where *new* does not take what *old* took."""
        self.steps += 1
        if self.steps > _STEPS or len(self.open) > _DEPTH:
            yield path, "the schemas are too large, or nested too deeply, to be compared"
            return
        # References that lead round: what is being compared already holds if the rest does.
        key = (id(old), id(new))
        if key in self.open or _impossible(old) or self._equal(old, new):
            return
        self.open.add(key)
        try:
            old, new = self._flat(self.old, old), self._flat(self.new, new)
            if _impossible(old):
                return
            if _impossible(new):
                yield path, "nothing is allowed here any more"
                return
            old, new = _mapping(old), _mapping(new)
            # Parts that could not be merged; all of them hold, so one that fits will do.
            if not any(self._fits(part, new) for part in old.get("allOf", ())):
                yield from self._compare(old, new, path)
        finally:
            self.open.discard(key)

    def _fits(self, old: Any, new: Any) -> bool:
        return not list(self.within(old, new, ()))

    def _equal(self, old: Any, new: Any) -> bool:
        """Tell whether the two are the same, and what they refer to is, too."""
        if not _same(old, new):
            return False
        seen: set[str] = set()
        waiting = list(_references(old))
        while waiting:
            name = waiting.pop()
            if name not in seen:
                seen.add(name)
                one = resolve(self.old, name)
                if not _same(one, resolve(self.new, name)):
                    return False
                waiting += _references(one)
        return True

    def _flat(self, root: Any, schema: Any, depth: int = 0) -> Any:
        """Return *schema* with its reference and its ``allOf`` merged into it where they can."""
        if not isinstance(schema, Mapping) or depth > _DEPTH:
            return schema
        parts: list[Any] = []
        if "$ref" in schema:
            parts.append(resolve(root, schema["$ref"]))
        parts += schema.get("allOf", ())
        if not parts:
            return schema
        flat: dict[str, Any] = {k: v for k, v in schema.items() if k not in ("$ref", "allOf")}
        rest: list[Any] = []
        for given in parts:
            part = self._flat(root, given, depth + 1)
            if part is False:
                return False
            if isinstance(part, Mapping) and not _merge(flat, part):
                rest.append(part)
        if rest:
            flat["allOf"] = rest
        self.kept.append(flat)
        return flat

    def _compare(
        self, old: Mapping[str, Any], new: Mapping[str, Any], path: Path
    ) -> Iterator[Narrowed]:
        for number, part in enumerate(new.get("allOf", ())):
            yield from self.within(old, part, (*path, "allOf", number))
        for key in ("anyOf", "oneOf"):
            if key in old and not self._equal(old[key], new.get(key)):
                yield from self._branches(key, old, new, path)
                return
        for key in ("anyOf", "oneOf"):
            if key in new and not self._equal(old.get(key), new[key]):
                yield from self._alternatives(key, old, new[key], [], path)
        values = _values(old)
        if values is None and ("enum" in new or "const" in new):
            values = _few(old)
        if values is not None:
            yield from self._listed(values, old, new, path)
            return
        types = _types(old)
        lost = _without(types, _types(new))
        if lost:
            where = (*path, "type") if "type" in new else (*path, "enum")
            yield where, f"{' and '.join(lost)} no longer allowed"
        elif _values(new) is not None:
            yield (*path, "const" if "const" in new else "enum"), "only listed values are allowed"
        yield from self._plain(old, new, path, types)
        if "number" in types or "integer" in types:
            yield from _numbers(old, new, path)
        if "array" in types:
            yield from self._items(old, new, path)
        if "object" in types:
            yield from self._properties(old, new, path)

    def _branches(
        self, key: str, old: Mapping[str, Any], new: Mapping[str, Any], path: Path
    ) -> Iterator[Narrowed]:
        """Compare each alternative of *old*, with what stands beside them."""
        beside = {k: v for k, v in old.items() if k != key}
        rest: Mapping[str, Any] = new
        if key == "oneOf" and "oneOf" in new:
            rest = {k: v for k, v in new.items() if k != "oneOf"}
        self.kept.append(rest)
        for branch in old[key]:
            joined = {**beside, "allOf": [*beside.get("allOf", ()), branch]}
            self.kept.append(joined)
            if rest is not new:
                # What fits one of the old alternatives fits none of the others.
                others = [other for other in old["oneOf"] if other is not branch]
                yield from self._alternatives("oneOf", joined, new["oneOf"], others, path)
            yield from self.within(joined, rest, path)

    def _alternatives(
        self, key: str, old: Any, branches: list[Any], excluded: list[Any], path: Path
    ) -> Iterator[Narrowed]:
        """Yield unless all of *old* fits one of *branches*; of ``oneOf`` none of the others."""
        chosen = next((branch for branch in branches if self._fits(old, branch)), None)
        if chosen is None:
            yield (*path, key), "no alternative takes all that was allowed here"
        elif key == "oneOf" and not all(
            branch is chosen
            or any(self._equal(other, branch) for other in excluded)
            or self._apart(old, branch)
            for branch in branches
        ):
            yield (*path, key), "more than one alternative may take what was allowed here"

    def _apart(self, old: Any, new: Any) -> bool:
        """Tell whether nothing fits both, as far as types, listed values and one property tell."""
        one, other = self._flat(self.old, old), self._flat(self.new, new)
        if _impossible(one) or _impossible(other):
            return True
        one, other = _mapping(one), _mapping(other)
        mine, theirs = _types(one), _types(other)
        if not _common(mine, theirs):
            return True
        if _common(mine, theirs) != {"object"}:
            return False
        for name in set(one.get("required", ())) & set(other.get("required", ())):
            left = _mapping(self._flat(self.old, one.get("properties", {}).get(name)))
            right = _mapping(self._flat(self.new, other.get("properties", {}).get(name)))
            values, others = _values(left), _values(right)
            if values is not None and others is not None:
                if not any(_same(v, o) for v in values for o in others):
                    return True
        return False

    def _listed(
        self, values: list[Any], old: Mapping[str, Any], new: Mapping[str, Any], path: Path
    ) -> Iterator[Narrowed]:
        """Compare when *old* allows no more than *values*."""
        taken = _values(new)
        if taken is not None:
            gone = [value for value in values if not any(_same(value, other) for other in taken)]
            if gone:
                where = (*path, "const" if "const" in new else "enum")
                yield where, f"no longer allowed: {_shown(gone)}"
                return
        if not set(new) - _IGNORED - {"enum", "const"}:
            return
        from jsonschema import Draft202012Validator

        before, after = Draft202012Validator(self.old), Draft202012Validator(self.new)
        gone = [
            value
            for value in values
            if not any(before.descend(value, old)) and any(after.descend(value, new))
        ]
        if gone:
            yield path, f"no longer allowed: {_shown(gone)}"

    def _plain(
        self, old: Mapping[str, Any], new: Mapping[str, Any], path: Path, types: frozenset[str]
    ) -> Iterator[Narrowed]:
        for key, direction in _BOUNDS.items():
            if key not in new or _OF[key] not in types:
                continue
            before = old.get(key, 1 if key == "minContains" else 0 if direction < 0 else None)
            tighter = before is None or (new[key] - before) * direction < 0
            # minContains and maxContains say nothing without what they count.
            if tighter and (not key.endswith("Contains") or "contains" in new):
                yield (*path, key), f"{_was(before)}, is now {new[key]}"
        if new.get("uniqueItems") and not old.get("uniqueItems") and "array" in types:
            yield (*path, "uniqueItems"), "repeated items are no longer allowed"
        for key in _OPAQUE:
            concerned = key in new and _OF.get(key, "") in ("", *types)
            if concerned and not self._equal(old.get(key), new[key]):
                what = "is new" if key not in old else "has changed"
                yield (*path, key), f"{key!r} {what}: older messages may not fit it"
        was, now = ([s.get("if"), s.get("then"), s.get("else")] for s in (old, new))
        if "if" in new and ("then" in new or "else" in new) and not self._equal(was, now):
            yield (*path, "if"), "the condition has changed: older messages may not fit it"

    def _items(
        self, old: Mapping[str, Any], new: Mapping[str, Any], path: Path
    ) -> Iterator[Narrowed]:
        first, then = old.get("prefixItems", []), new.get("prefixItems", [])
        for index in range(max(len(first), len(then))):
            if index >= old.get("maxItems", index + 1):
                return
            one = first[index] if index < len(first) else old.get("items", True)
            other = then[index] if index < len(then) else new.get("items", True)
            where = ("prefixItems", index) if index < len(then) else ("items",)
            yield from self.within(one, other, (*path, *where))
        most = max(len(first), len(then))
        if most < old.get("maxItems", most + 1):
            yield from self.within(old.get("items", True), new.get("items", True), (*path, "items"))

    def _properties(
        self, old: Mapping[str, Any], new: Mapping[str, Any], path: Path
    ) -> Iterator[Narrowed]:
        for name in new.get("required", ()):
            if name not in old.get("required", ()):
                yield (*path, "required"), f"property {name!r} is now required"
        before, after = old.get("properties", {}), new.get("properties", {})
        for name in before:
            where: Path = ("properties", name) if name in after else ("additionalProperties",)
            now = _of(new, name)
            if any(map(_impossible, now)) and not any(map(_impossible, _of(old, name))):
                yield (*path, *where), f"property {name!r} is no longer allowed"
                continue
            for part in now:
                yield from self._property(_of(old, name), part, (*path, *where))
        patterns = old.get("patternProperties", {})
        for name in after:
            # Where the old schema takes any other property, a new one is nobody's yet.
            if name not in before and not all(_same(part, True) for part in _of(old, name)):
                for part in _of(new, name):
                    yield from self._property(_of(old, name), part, (*path, "properties", name))
        for pattern, part in new.get("patternProperties", {}).items():
            if pattern in patterns:
                yield from self.within(
                    patterns[pattern], part, (*path, "patternProperties", pattern)
                )
            elif not _same(part, True) and old.get("additionalProperties", True) is not False:
                yield (
                    (*path, "patternProperties", pattern),
                    "the pattern is new: older messages may not fit it",
                )
        other = new.get("additionalProperties", True)
        where = (*path, "additionalProperties")
        for pattern, part in patterns.items():
            if pattern not in new.get("patternProperties", {}):
                yield from self.within(part, other, where)
        if other is False and not _impossible(old.get("additionalProperties", True)):
            yield where, "other properties are no longer allowed"
        else:
            yield from self.within(old.get("additionalProperties", True), other, where)

    def _property(self, old: list[Any], new: Any, path: Path) -> Iterator[Narrowed]:
        if len(old) == 1:
            yield from self.within(old[0], new, path)
        else:
            joined = {"allOf": old}
            self.kept.append(joined)
            yield from self.within(joined, new, path)


def _of(schema: Mapping[str, Any], name: str) -> list[Any]:
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


def _numbers(old: Mapping[str, Any], new: Mapping[str, Any], path: Path) -> Iterator[Narrowed]:
    for low, sign in (("inimum", 1), ("aximum", -1)):
        was, now = _edge(old, low, sign), _edge(new, low, sign)
        if now is not None and (was is None or now > was):
            inclusive, exclusive = f"m{low}", f"exclusiveM{low}"
            # Whichever of the two decides.
            given = new.get(exclusive)
            key = exclusive if given is not None and now == (given * sign, 1) else inclusive
            before = None if was is None else was[0] * sign
            yield (*path, key), f"{_was(before)}, is now {new[key]}"
    step, earlier = new.get("multipleOf"), old.get("multipleOf")
    if step is not None and not _same(step, earlier):
        from fractions import Fraction

        # As written: 0.1 is a tenth.
        known = earlier
        if earlier is None and "number" not in _types(old):
            known = 1
        if known is None or Fraction(str(known)) % Fraction(str(step)) != 0:
            yield (*path, "multipleOf"), f"{_was(earlier)}, is now {step}"


def _edge(schema: Mapping[str, Any], name: str, sign: int) -> tuple[float, int] | None:
    """Return the tighter bound as (value, 1 if exclusive), such that more is tighter."""
    found = []
    if f"m{name}" in schema:
        found.append((schema[f"m{name}"] * sign, 0))
    if f"exclusiveM{name}" in schema:
        found.append((schema[f"exclusiveM{name}"] * sign, 1))
    return max(found, default=None)


def _was(before: Any) -> str:
    return "had no bound" if before is None else f"was {before}"


def _mapping(schema: Any) -> Mapping[str, Any]:
    return schema if isinstance(schema, Mapping) else {}


def _impossible(schema: Any) -> bool:
    return schema is False or (isinstance(schema, Mapping) and _same(schema.get("not"), {}))


def _same(one: Any, other: Any) -> bool:
    """Tell whether two JSON values are one: 1 is 1.0, and not true."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_same(one[k], other[k]) for k in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


def _references(schema: Any) -> Iterator[str]:
    """Yield what *schema* refers to."""
    if isinstance(schema, Mapping):
        for key, value in schema.items():
            if key in ("$ref", "$dynamicRef") and isinstance(value, str):
                yield value
            else:
                yield from _references(value)
    elif isinstance(schema, list):
        for item in schema:
            yield from _references(item)


def _types(schema: Mapping[str, Any]) -> frozenset[str]:
    """Return the types that *schema* allows; ``number`` stands for whole ones, too."""
    values = _values(schema)
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


def _without(old: frozenset[str], new: frozenset[str]) -> list[str]:
    lost = []
    for kind in sorted(old):
        if kind in new or (kind == "integer" and "number" in new):
            continue
        if kind == "number" and "integer" in new:
            lost.append("fractions")
        else:
            lost.append("whole numbers" if kind == "integer" else _NOUNS[kind])
    return lost


def _common(one: frozenset[str], other: frozenset[str]) -> set[str]:
    wide = [kinds | {"integer"} if "number" in kinds else kinds for kinds in (one, other)]
    return set(wide[0] & wide[1])


def _few(schema: Mapping[str, Any]) -> list[Any] | None:
    """Return the values of types that have few, when *schema* allows no others."""
    types = _types(schema)
    if not types <= {"boolean", "null"}:
        return None
    return [*([False, True] if "boolean" in types else []), *([None] if "null" in types else [])]


def _shown(values: list[Any]) -> str:
    return ", ".join(json.dumps(value, ensure_ascii=False) for value in values)


def _values(schema: Mapping[str, Any]) -> list[Any] | None:
    """Return the only values that *schema* lists, or None."""
    if "const" in schema:
        return [schema["const"]]
    found: list[Any] | None = schema.get("enum")
    return found


def _merge(into: dict[str, Any], part: Mapping[str, Any]) -> bool:
    """Add *part* to *into*, both of which must hold; False, and nothing done, when that is hard."""
    joined: dict[str, Any] = {}
    for key, value in part.items():
        if key in _IGNORED:
            continue
        if key not in into or _same(into[key], value):
            joined[key] = value
        elif key == "required":
            joined[key] = list(dict.fromkeys([*into[key], *value]))
        elif key == "properties":
            both = {name: value[name] for name in value if name in into[key]}
            if any(not _same(into[key][name], one) for name, one in both.items()):
                return False
            joined[key] = {**into[key], **value}
        elif key in _BOUNDS:
            joined[key] = max(into[key], value) if _BOUNDS[key] < 0 else min(into[key], value)
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
