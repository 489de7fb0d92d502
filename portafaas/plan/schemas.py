"""What a JSON Schema of version 2020-12 looks like, checked by our own evaluator.

The published meta-schemas (https://json-schema.org/draft/2020-12/schema) say the same by means of
``$dynamicRef``; the jsonschema library, which evaluates that, takes longer to import than a build
may last (``docs/adr/0002-manifest-validation.md``). A test holds the two to the same verdict.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Path = tuple[str | int, ...]

#: The one dialect; a schema need not name it.
DIALECT = "https://json-schema.org/draft/2020-12/schema"

#: Keywords that hold one schema, a list of them, or a mapping of them.
SINGLE = (
    "items", "contains", "additionalProperties", "propertyNames", "unevaluatedItems",
    "unevaluatedProperties", "if", "then", "else", "not", "contentSchema",
)  # fmt: skip
SEVERAL = ("prefixItems", "allOf", "anyOf", "oneOf")
NAMED = ("$defs", "properties", "patternProperties", "dependentSchemas")

_SELF = {"$ref": "#/$defs/schema"}
_LIST = {"type": "array", "items": _SELF, "minItems": 1}
_MAP = {"type": "object", "additionalProperties": _SELF}
_TEXT = {"type": "string"}
_ANCHOR = {"type": "string", "pattern": "^[A-Za-z_][-A-Za-z0-9._]*$"}
_COUNT = {"type": "integer", "minimum": 0}
_NUMBER = {"type": "number"}
_FLAG = {"type": "boolean"}
_NAMES = {"type": "array", "items": _TEXT, "uniqueItems": True}
_TYPE = {"enum": ["array", "boolean", "integer", "null", "number", "object", "string"]}

META: Mapping[str, Any] = {
    "$ref": "#/$defs/schema",
    "$defs": {
        "schema": {
            "anyOf": [
                _FLAG,
                {
                    "type": "object",
                    "properties": {
                        **dict.fromkeys(SINGLE, _SELF),
                        **dict.fromkeys(SEVERAL, _LIST),
                        **dict.fromkeys(NAMED, _MAP),
                        **dict.fromkeys(
                            (
                                "minLength", "maxLength", "minItems", "maxItems", "minProperties",
                                "maxProperties", "minContains", "maxContains",
                            ),
                            _COUNT,
                        ),
                        **dict.fromkeys(
                            (
                                "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum",
                                "multipleOf",
                            ),
                            _NUMBER,
                        ),
                        **dict.fromkeys(
                            ("uniqueItems", "deprecated", "readOnly", "writeOnly"), _FLAG
                        ),
                        **dict.fromkeys(
                            (
                                "$id", "$ref", "$dynamicRef", "$comment", "title", "description",
                                "pattern", "format", "contentEncoding", "contentMediaType",
                            ),
                            _TEXT,
                        ),
                        **dict.fromkeys(("$anchor", "$dynamicAnchor"), _ANCHOR),
                        "$schema": {"enum": [DIALECT, f"{DIALECT}#"]},
                        "$vocabulary": {"type": "object", "additionalProperties": _FLAG},
                        "enum": {"type": "array"},
                        "examples": {"type": "array"},
                        "required": _NAMES,
                        "dependentRequired": {"type": "object", "additionalProperties": _NAMES},
                        "type": {
                            "anyOf": [
                                _TYPE,
                                {
                                    "type": "array",
                                    "items": _TYPE,
                                    "minItems": 1,
                                    "uniqueItems": True,
                                },
                            ],
                            "x-expect": "array, boolean, integer, null, number, object, string, "
                            "or some of them in a list",
                        },
                    },
                },
            ],
            "x-expect": "a schema: a mapping, true or false",
        }
    },
}


def problems(document: Any) -> list[tuple[Path, str]]:
    """Return (path, message) of what makes *document* no schema of version 2020-12.

    References must stay within the document, since it is kept and compared alone.
    """
    from portafaas.manifest.validate import Validator

    found = [
        (path, f"{message}; {hint}" if hint else message)
        for _, path, message, hint in Validator(META).problems(document)
    ]
    return found or list(_inner(document))


def _inner(document: Any) -> Iterator[tuple[Path, str]]:
    """Yield what no meta-schema says, of a document that fits ours."""
    for path, schema in subschemas(document):
        if not schema.get("multipleOf", 1) > 0:
            yield (*path, "multipleOf"), f"{schema['multipleOf']} is not above 0"
        for key in ("$ref", "$dynamicRef"):
            if key in schema and resolve(document, schema[key]) is None:
                yield (*path, key), f"{schema[key]!r} is not a place in the same schema"


def subschemas(schema: Any, path: Path = ()) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Yield *schema* and all schemas in it that are mappings, with their paths."""
    if not isinstance(schema, Mapping):
        return
    yield path, schema
    for key in SINGLE:
        if key in schema:
            yield from subschemas(schema[key], (*path, key))
    for key in SEVERAL:
        for index, item in enumerate(schema.get(key, ())):
            yield from subschemas(item, (*path, key, index))
    for key in NAMED:
        for name, item in schema.get(key, {}).items():
            yield from subschemas(item, (*path, key, name))


def resolve(document: Any, reference: str) -> Any:
    """Return the schema that ``#``, ``#/json/pointer`` or ``#anchor`` names; None for none."""
    if reference == "#":
        return document
    if reference.startswith("#/"):
        from urllib.parse import unquote

        found = document
        for part in unquote(reference[2:]).split("/"):
            name = part.replace("~1", "/").replace("~0", "~")
            if isinstance(found, Mapping) and name in found:
                found = found[name]
            elif isinstance(found, list) and name.isdigit() and int(name) < len(found):
                found = found[int(name)]
            else:
                return None
        return found if isinstance(found, (Mapping, bool)) else None
    if reference.startswith("#"):
        for _, schema in subschemas(document):
            if reference[1:] in (schema.get("$anchor"), schema.get("$dynamicAnchor")):
                return schema
    return None
