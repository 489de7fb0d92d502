"""A value that a JSON Schema allows, always the same: for samples and generated events.

:func:`example` returns one that was checked, :func:`draft` one that a person edits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from portafaas.plan.patterns import NoExample, matching
from portafaas.plan.schemas import resolve

#: Values of formats: https://json-schema.org/draft/2020-12/json-schema-validation#name-defined-formats
FORMATS: Mapping[str, str] = {
    "date-time": "2026-11-23T10:00:00Z",
    "date": "2026-11-23",
    "time": "10:00:00Z",
    "duration": "PT1H",
    "email": "ada@example.com",
    "idn-email": "ada@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uri-reference": "/example",
    "iri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "json-pointer": "/example",
    "regex": ".*",
}
#: References and optional parts that are followed into one another.
_DEEPEST = 24


def problems(schema: Mapping[str, Any], value: Any) -> list[str]:
    """Return what of *value* does not fit *schema*, as JSON Schema 2020-12."""
    from jsonschema import Draft202012Validator

    return [error.message for error in Draft202012Validator(schema).iter_errors(value)]


def example(schema: Mapping[str, Any] | bool) -> Any:
    """Return the same value each time, with all properties that are declared.

    Raises NoExample when what it finds does not fit: such a schema wants an ``examples``.
    """
    if isinstance(schema, bool):
        if schema:
            return {"sample": True}
        raise NoExample("nothing fits the schema false")
    value = _Maker(schema, False).value(schema, "", 0)
    # The library takes longer to import than a function takes to be invoked.
    if not _fits(schema, value) and (found := problems(schema, value)):
        raise NoExample(f"no example fits the schema, add 'examples' to it: {found[0]}")
    return value


def _fits(schema: Mapping[str, Any], value: Any) -> bool:
    """Tell whether *value* fits, as far as what ships can tell of *schema*; else False."""
    from portafaas.plan.machine_schemas import unevaluated
    from portafaas.runtime.schema import first

    return next(unevaluated(schema), None) is None and not first(schema, value)


def draft(schema: Mapping[str, Any] | bool) -> Any:
    """Return such a value as far as one is found, unchecked; None for an empty schema, or none."""
    if isinstance(schema, bool) or not schema:
        return None
    try:
        return _Maker(schema, True).value(schema, "", 0)
    except NoExample:
        return None


class _Maker:
    """Makes values of the schemas within *root*. *rough*: text need not fit a clever pattern."""

    def __init__(self, root: Mapping[str, Any], rough: bool) -> None:
        self._root = root
        self._rough = rough
        #: References that are being followed: one that comes again within itself goes no further.
        self._within = {"#"}

    def value(self, schema: Any, name: str, depth: int) -> Any:
        if schema is True or schema == {}:
            return "sample"
        if schema is False or depth > _DEEPEST:
            raise NoExample(f"{name or 'the schema'} goes too deep")
        followed: set[str] = set()
        schema = flat(schema, self._root, followed)
        if followed & self._within:
            raise NoExample(f"{name or 'the schema'} has itself within")
        self._within |= followed
        try:
            return self._made(schema, name, depth)
        finally:
            self._within -= followed

    def _made(self, schema: dict[str, Any], name: str, depth: int) -> Any:
        for key in ("const", "default"):
            if key in schema:
                return schema[key]
        for key in ("examples", "enum"):
            if schema.get(key):
                return schema[key][0]
        for key in ("oneOf", "anyOf"):
            if schema.get(key):
                return self._one_of(schema, key, name, depth)
        kind = schema.get("type") or implied(schema)
        if isinstance(kind, list):
            kind = next((each for each in kind if each != "null"), "null")
        make: Callable[[Mapping[str, Any], str, int], Any] = getattr(self, f"_{kind}")
        return make(schema, name, depth)

    def _one_of(self, schema: Mapping[str, Any], key: str, name: str, depth: int) -> Any:
        rest = {word: value for word, value in schema.items() if word != key}
        last: NoExample | None = None
        for option in schema[key]:
            try:
                return self.value(merged(rest, flat(option, self._root)), name, depth + 1)
            except NoExample as exc:
                last = exc
        assert last is not None
        raise last

    def _object(self, schema: Mapping[str, Any], name: str, depth: int) -> dict[str, Any]:
        required = schema.get("required", ())
        made = {}
        for key, part in (schema.get("properties") or {}).items():
            try:
                made[key] = self.value(part, key, depth + 1)
            except NoExample:
                if key in required:
                    raise
        for key in required:
            made.setdefault(key, "sample")
        number = 1
        while len(made) < schema.get("minProperties", 0):
            more = schema.get("additionalProperties", True)
            made[f"sample{number}"] = self.value(more, "", depth + 1)
            number += 1
        return made

    def _array(self, schema: Mapping[str, Any], name: str, depth: int) -> list[Any]:
        made = [self.value(part, name, depth + 1) for part in schema.get("prefixItems", ())]
        least = max(schema.get("minItems", 0), 0 if schema.get("maxItems") == 0 else 1)
        items = schema.get("items", True)
        while items is not False and len(made) < least:
            try:
                made.append(self.value(items, name, depth + 1))
            except NoExample:
                if len(made) < schema.get("minItems", 0):
                    raise
                break
        return made

    def _string(self, schema: Mapping[str, Any], name: str, depth: int) -> str:
        if schema.get("format") in FORMATS:
            return FORMATS[schema["format"]]
        if "pattern" in schema:
            try:
                return matching(schema["pattern"], schema.get("minLength", 0))
            except NoExample:
                if not self._rough:
                    raise
        text = name or "sample"
        least = schema.get("minLength", 0)
        while len(text) < least:
            text += text
        return text[: max(schema.get("maxLength", len(text)), least)]

    def _integer(self, schema: Mapping[str, Any], name: str, depth: int) -> int:
        return int(self._numeric(schema, 1))

    def _number(self, schema: Mapping[str, Any], name: str, depth: int) -> float:
        return float(self._numeric(schema, 0.5))

    @staticmethod
    def _numeric(schema: Mapping[str, Any], step: float) -> Any:
        least = schema.get("minimum")
        if (beyond := schema.get("exclusiveMinimum")) is not None:
            least = beyond + step if least is None else max(least, beyond + step)
        most = schema.get("maximum")
        if (below := schema.get("exclusiveMaximum")) is not None:
            most = below - step if most is None else min(most, below - step)
        found = 1 if least is None else max(1, least)
        if most is not None:
            found = min(found, most)
        if least is not None:
            found = max(found, least)
        many = schema.get("multipleOf")
        if many:
            found = -(-found // many) * many
        return found

    def _boolean(self, schema: Mapping[str, Any], name: str, depth: int) -> bool:
        return True

    def _null(self, schema: Mapping[str, Any], name: str, depth: int) -> None:
        return None


def implied(schema: Mapping[str, Any]) -> str:
    """Return the type of a schema that does not say it, by its other words."""
    for kind, words in (
        ("object", ("properties", "required", "minProperties", "additionalProperties")),
        ("array", ("items", "prefixItems", "minItems")),
        ("string", ("pattern", "format", "minLength", "maxLength")),
        ("number", ("minimum", "maximum", "multipleOf", "exclusiveMinimum", "exclusiveMaximum")),
    ):
        if any(word in schema for word in words):
            return kind
    return "string"


def flat(
    schema: Any, root: Mapping[str, Any], followed: set[str] | None = None
) -> dict[str, Any]:
    """Return *schema* without ``$ref`` and ``allOf`` at its top; references are within *root*.

    They are added to *followed*. Raises NoExample when they lead nowhere, or in a circle.
    """
    if isinstance(schema, bool):
        return {} if schema else {"not": {}}
    found = dict(schema)
    for _ in range(_DEEPEST):
        reference, parts = found.pop("$ref", None), found.pop("allOf", ())
        if reference is None and not parts:
            return found
        if reference is not None:
            if followed is not None:
                followed.add(reference)
            found = merged(dict(resolved(reference, root)), found)
        for part in parts:
            found = merged(found, flat(part, root, followed))
    raise NoExample("references go in a circle")


def resolved(reference: str, root: Mapping[str, Any]) -> Any:
    """Return what a reference within *root* leads to; raises NoExample."""
    if not reference.startswith("#"):
        raise NoExample(f"{reference!r} is outside of the schema")
    found = resolve(root, reference)
    if found is None:
        raise NoExample(f"{reference!r} leads nowhere")
    return found


def merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema of both, as far as that can be done word by word."""
    found = dict(one)
    for word, value in other.items():
        if word == "properties":
            found[word] = {**found.get(word, {}), **value}
        elif word == "required":
            found[word] = list(dict.fromkeys([*found.get(word, ()), *value]))
        elif word in ("minimum", "minLength", "minItems", "minProperties"):
            found[word] = max(value, found.get(word, value))
        elif word in ("maximum", "maxLength", "maxItems"):
            found[word] = min(value, found.get(word, value))
        else:
            found[word] = value
    return found
