"""Whether everything that fitted one JSON Schema fits another: ``old`` within ``new``.

A consumer with the new schema must read what was sent under the old one and is still under way
(backward); the other way round, consumers of the old version read what is sent under the new one
(forward). Both are :func:`narrowed`, with the arguments swapped.

The question has no complete answer for schemas of any kind; what cannot be shown to be compatible
is reported, so that nothing incompatible passes. Two exceptions, by the conventions of schema
registries: a new optional property is compatible, although an open schema allowed anything under
its name before; and ``format`` is held to be checked. Annotations do not count.

One class of a little over 300 lines: each method is a keyword or a few, and calls the others.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from portafaas.choreography.schema_facts import (
    BOUNDS,
    IGNORED,
    bound,
    common_types,
    few_values,
    impossible,
    lost_types,
    mapping,
    merge,
    references,
    said_of,
    types_of,
    values_of,
)
from portafaas.plan.schemas import resolve
from portafaas.runtime.schema import same

Path = tuple[str | int, ...]
#: Where in the new schema, or where it was in the old one; and what is narrower there.
Narrowed = tuple[Path, str]

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
_STEPS = 20_000
_DEPTH = 60


def narrowed(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Narrowed]:
    """Return what fits *old* but not *new*, by the path in *new*; empty when all of it fits."""
    if same(old, new):
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
        if key in self.open or impossible(old) or self._equal(old, new):
            return
        self.open.add(key)
        try:
            old, new = self._flat(self.old, old), self._flat(self.new, new)
            if impossible(old):
                return
            if impossible(new):
                yield path, "nothing is allowed here any more"
                return
            old, new = mapping(old), mapping(new)
            # Parts that could not be merged; all of them hold, so one that fits will do.
            if not any(self._fits(part, new) for part in old.get("allOf", ())):
                yield from self._compare(old, new, path)
        finally:
            self.open.discard(key)

    def _fits(self, old: Any, new: Any) -> bool:
        return not list(self.within(old, new, ()))

    def _equal(self, old: Any, new: Any) -> bool:
        """Tell whether the two are the same, and what they refer to is, too."""
        if not same(old, new):
            return False
        seen: set[str] = set()
        waiting = list(references(old))
        while waiting:
            name = waiting.pop()
            if name not in seen:
                seen.add(name)
                one = resolve(self.old, name)
                if not same(one, resolve(self.new, name)):
                    return False
                waiting += references(one)
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
            if isinstance(part, Mapping) and not merge(flat, part):
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
        values = values_of(old)
        if values is None and ("enum" in new or "const" in new):
            values = few_values(old)
        if values is not None:
            yield from self._listed(values, old, new, path)
            return
        types = types_of(old)
        lost = lost_types(types, types_of(new))
        if lost:
            where = (*path, "type") if "type" in new else (*path, "enum")
            yield where, f"{' and '.join(lost)} no longer allowed"
        elif values_of(new) is not None:
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
        if impossible(one) or impossible(other):
            return True
        one, other = mapping(one), mapping(other)
        mine, theirs = types_of(one), types_of(other)
        if not common_types(mine, theirs):
            return True
        if common_types(mine, theirs) != {"object"}:
            return False
        for name in set(one.get("required", ())) & set(other.get("required", ())):
            left = mapping(self._flat(self.old, one.get("properties", {}).get(name)))
            right = mapping(self._flat(self.new, other.get("properties", {}).get(name)))
            values, others = values_of(left), values_of(right)
            if values is not None and others is not None:
                if not any(same(v, o) for v in values for o in others):
                    return True
        return False

    def _listed(
        self, values: list[Any], old: Mapping[str, Any], new: Mapping[str, Any], path: Path
    ) -> Iterator[Narrowed]:
        """Compare when *old* allows no more than *values*."""
        taken = values_of(new)
        if taken is not None:
            gone = [value for value in values if not any(same(value, other) for other in taken)]
            if gone:
                where = (*path, "const" if "const" in new else "enum")
                yield where, f"no longer allowed: {_shown(gone)}"
                return
        if not set(new) - IGNORED - {"enum", "const"}:
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
        for key, direction in BOUNDS.items():
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
            now = said_of(new, name)
            if any(map(impossible, now)) and not any(map(impossible, said_of(old, name))):
                yield (*path, *where), f"property {name!r} is no longer allowed"
                continue
            for part in now:
                yield from self._property(said_of(old, name), part, (*path, *where))
        patterns = old.get("patternProperties", {})
        for name in after:
            # Where the old schema takes any other property, a new one is nobody's yet.
            if name not in before and not all(same(part, True) for part in said_of(old, name)):
                for part in said_of(new, name):
                    yield from self._property(said_of(old, name), part, (*path, "properties", name))
        for pattern, part in new.get("patternProperties", {}).items():
            if pattern in patterns:
                yield from self.within(
                    patterns[pattern], part, (*path, "patternProperties", pattern)
                )
            elif not same(part, True) and old.get("additionalProperties", True) is not False:
                yield (
                    (*path, "patternProperties", pattern),
                    "the pattern is new: older messages may not fit it",
                )
        other = new.get("additionalProperties", True)
        where = (*path, "additionalProperties")
        for pattern, part in patterns.items():
            if pattern not in new.get("patternProperties", {}):
                yield from self.within(part, other, where)
        if other is False and not impossible(old.get("additionalProperties", True)):
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


def _numbers(old: Mapping[str, Any], new: Mapping[str, Any], path: Path) -> Iterator[Narrowed]:
    for low, sign in (("inimum", 1), ("aximum", -1)):
        was, now = bound(old, low, sign), bound(new, low, sign)
        if now is not None and (was is None or now > was):
            inclusive, exclusive = f"m{low}", f"exclusiveM{low}"
            # Whichever of the two decides.
            given = new.get(exclusive)
            key = exclusive if given is not None and now == (given * sign, 1) else inclusive
            before = None if was is None else was[0] * sign
            yield (*path, key), f"{_was(before)}, is now {new[key]}"
    step, earlier = new.get("multipleOf"), old.get("multipleOf")
    if step is not None and not same(step, earlier):
        from fractions import Fraction

        # As written: 0.1 is a tenth.
        known = earlier
        if earlier is None and "number" not in types_of(old):
            known = 1
        if known is None or Fraction(str(known)) % Fraction(str(step)) != 0:
            yield (*path, "multipleOf"), f"{_was(earlier)}, is now {step}"


def _was(before: Any) -> str:
    return "had no bound" if before is None else f"was {before}"


def _shown(values: list[Any]) -> str:
    return ", ".join(json.dumps(value, ensure_ascii=False) for value in values)
