"""Says where a value is not what a JSON Schema of version 2020-12 asks for. Ships.

https://json-schema.org/draft/2020-12/json-schema-validation. All assertions but
``unevaluatedItems`` and ``unevaluatedProperties``, and no ``$dynamicRef``; references stay within
the schema, ``format`` is an annotation. The plan refuses what is not evaluated here (PF2219), so
that a schema never means less than it says (``docs/adr/0034-workflow-schemas.md``).

One table of keywords, a function each, and therefore one module.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    #: ``(path, message)``.
    Problems = Iterator[tuple[str, str]]

#: Keywords that nothing here evaluates, though they would say something.
UNKNOWN = (
    "$dynamicAnchor", "$dynamicRef", "$recursiveAnchor", "$recursiveRef", "$vocabulary",
    "additionalItems", "dependencies", "unevaluatedItems", "unevaluatedProperties",
)  # fmt: skip
#: Characters of a value that a message shows.
_SHOWN = 60


def first(schema: Mapping[str, Any], value: Any) -> str:
    """Return what is wrong with *value* first, after where it is; "" if nothing is."""
    for path, message in problems(schema, value):
        return f"{path}: {message}"
    return ""


def problems(schema: Mapping[str, Any], value: Any) -> Problems:
    """Yield ``(path, message)`` of what is wrong with *value*, a JSON value."""
    return _problems(schema, value, "$", schema)


def _problems(schema: Any, value: Any, path: str, root: Any) -> Problems:
    if isinstance(schema, bool):
        if not schema:
            yield path, "nothing may be here"
        return
    for name, check in _CHECKS:
        if name in schema:
            yield from check(schema, schema[name], value, path, root)


def _fits(schema: Any, value: Any, root: Any) -> bool:
    return next(_problems(schema, value, "", root), None) is None


def at(root: Any, reference: str) -> Any:
    """Return the schema that ``#``, ``#/json/pointer`` or ``#anchor`` names; None for none."""
    if not reference.startswith("#/"):
        return root if reference == "#" else _anchored(root, reference[1:])
    from urllib.parse import unquote

    found = root
    for part in unquote(reference[2:]).split("/"):
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict):
            found = found.get(name)
        elif isinstance(found, list) and name.isdecimal() and int(name) < len(found):
            found = found[int(name)]
        else:
            return None
    return found


def _anchored(schema: Any, name: str) -> Any:
    if isinstance(schema, dict):
        if schema.get("$anchor") == name:
            return schema
        inner = [value for key, value in schema.items() if key not in ("const", "enum")]
    else:
        inner = schema if isinstance(schema, list) else []
    for one in inner:
        found = _anchored(one, name)
        if found is not None:
            return found
    return None


def same(left: Any, right: Any) -> bool:
    """Tell whether two JSON values are equal: 1 and 1.0 are, 1 and true are not."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[k], right[k]) for k in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if isinstance(value, (int, float)):
        whole = isinstance(value, int) or value.is_integer()
        return kind == "number" or (kind == "integer" and whole)
    if value is None:
        return kind == "null"
    if isinstance(value, str):
        return kind == "string"
    return kind == ("array" if isinstance(value, list) else "object")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _shown(value: Any) -> str:
    import json

    text = json.dumps(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def _below(path: str, name: str) -> str:
    plain = name.replace("_", "").replace("-", "").isalnum()
    return f"{path}.{name}" if plain else f"{path}['{name}']"


def _ref(schema: Any, rule: Any, value: Any, path: str, root: Any) -> Problems:
    return _problems(at(root, rule), value, path, root)


def _type(schema: Any, rule: Any, value: Any, path: str, root: Any) -> Problems:
    kinds = [rule] if isinstance(rule, str) else rule
    if not any(_is(value, kind) for kind in kinds):
        yield path, f"{_shown(value)} is not of type {' or '.join(kinds)}"


def _enum(schema: Any, rule: Any, value: Any, path: str, root: Any) -> Problems:
    if not any(same(value, one) for one in rule):
        yield path, f"{_shown(value)} is not one of {', '.join(_shown(one) for one in rule[:20])}"


def _const(schema: Any, rule: Any, value: Any, path: str, root: Any) -> Problems:
    if not same(value, rule):
        yield path, f"{_shown(value)} is not {_shown(rule)}"


def _all_of(schema: Any, rule: Any, value: Any, path: str, root: Any) -> Problems:
    for one in rule:
        yield from _problems(one, value, path, root)


def _any_of(schema: Any, rule: Any, value: Any, path: str, root: Any) -> Problems:
    if not any(_fits(one, value, root) for one in rule):
        yield path, f"{_shown(value)} fits none of anyOf"


def _one_of(schema: Any, rule: Any, value: Any, path: str, root: Any) -> Problems:
    count = sum(_fits(one, value, root) for one in rule)
    if count != 1:
        yield path, f"{_shown(value)} fits {count} of oneOf, not one"


def _not(schema: Any, rule: Any, value: Any, path: str, root: Any) -> Problems:
    if _fits(rule, value, root):
        yield path, f"{_shown(value)} is what it must not be"


def _if(schema: Any, rule: Any, value: Any, path: str, root: Any) -> Problems:
    word = "then" if _fits(rule, value, root) else "else"
    return _problems(schema.get(word, True), value, path, root)


def _bound(words: str, wrong: Any) -> Any:
    def check(schema: Any, rule: Any, value: Any, path: str, root: Any) -> Problems:
        if _is_number(value) and wrong(value, rule):
            yield path, f"{_shown(value)} is {words} {_shown(rule)}"

    return check


def _multiple(schema: Any, rule: Any, value: Any, path: str, root: Any) -> Problems:
    if not _is_number(value):
        return
    if isinstance(value, int) and isinstance(rule, int):
        whole = not value % rule
    else:
        try:
            whole = value / rule == int(value / rule)
        except (OverflowError, ValueError):
            whole = False
    if not whole:
        yield path, f"{_shown(value)} is no multiple of {_shown(rule)}"


def _sized(word: str, kind: str, what: str, least: bool) -> Any:
    def check(schema: Any, rule: Any, value: Any, path: str, root: Any) -> Problems:
        if _is(value, kind) and (len(value) < rule if least else len(value) > rule):
            yield path, f"it has {len(value)} {what}, {word} {rule}"

    return check


def _pattern(schema: Any, rule: Any, value: Any, path: str, root: Any) -> Problems:
    import re

    if isinstance(value, str) and not re.search(rule, value):
        yield path, f"{_shown(value)} is not as {rule}"


def _required(schema: Any, rule: Any, value: Any, path: str, root: Any) -> Problems:
    if isinstance(value, dict):
        for name in rule:
            if name not in value:
                yield path, f"{_shown(name)} is missing"


def _with(schema: Any, rule: Any, value: Any, path: str, root: Any) -> Problems:
    if isinstance(value, dict):
        for name, others in rule.items():
            for other in others if name in value else ():
                if other not in value:
                    yield path, f"{_shown(other)} is missing beside {_shown(name)}"


def _with_schema(schema: Any, rule: Any, value: Any, path: str, root: Any) -> Problems:
    if isinstance(value, dict):
        for name, one in rule.items():
            if name in value:
                yield from _problems(one, value, path, root)


def _properties(schema: Any, rule: Any, value: Any, path: str, root: Any) -> Problems:
    if isinstance(value, dict):
        for name, one in rule.items():
            if name in value:
                yield from _problems(one, value[name], _below(path, name), root)


def _patterned(schema: Any, rule: Any, value: Any, path: str, root: Any) -> Problems:
    import re

    if isinstance(value, dict):
        for pattern, one in rule.items():
            for name in value:
                if re.search(pattern, name):
                    yield from _problems(one, value[name], _below(path, name), root)


def _others(schema: Any, rule: Any, value: Any, path: str, root: Any) -> Problems:
    import re

    if not isinstance(value, dict):
        return
    for name in value:
        if name in schema.get("properties", ()):
            continue
        if any(re.search(pattern, name) for pattern in schema.get("patternProperties", ())):
            continue
        if rule is False:
            yield path, f"{_shown(name)} is not known here"
        else:
            yield from _problems(rule, value[name], _below(path, name), root)


def _names(schema: Any, rule: Any, value: Any, path: str, root: Any) -> Problems:
    if isinstance(value, dict):
        for name in value:
            for _, message in _problems(rule, name, path, root):
                yield path, f"the name {_shown(name)}: {message}"


def _prefix(schema: Any, rule: Any, value: Any, path: str, root: Any) -> Problems:
    if isinstance(value, list):
        for index, (one, item) in enumerate(zip(rule, value)):  # noqa: B905 (the shorter ends it)
            yield from _problems(one, item, f"{path}[{index}]", root)


def _items(schema: Any, rule: Any, value: Any, path: str, root: Any) -> Problems:
    if isinstance(value, list):
        before = len(schema.get("prefixItems", ()))
        for index, item in enumerate(value[before:], before):
            yield from _problems(rule, item, f"{path}[{index}]", root)


def _contains(schema: Any, rule: Any, value: Any, path: str, root: Any) -> Problems:
    if not isinstance(value, list):
        return
    count = sum(_fits(rule, item, root) for item in value)
    least, most = schema.get("minContains", 1), schema.get("maxContains", len(value))
    if not least <= count <= most:
        yield path, f"{count} of its items are as 'contains' asks"


def _unique(schema: Any, rule: Any, value: Any, path: str, root: Any) -> Problems:
    if not rule or not isinstance(value, list):
        return
    for index, item in enumerate(value):
        if any(same(item, other) for other in value[:index]):
            yield path, f"{_shown(item)} is there twice"
            return


#: In the order in which problems are told; ``then``, ``minContains`` and the like go with others.
_CHECKS: tuple[tuple[str, Any], ...] = (
    ("$ref", _ref),
    ("type", _type),
    ("enum", _enum),
    ("const", _const),
    ("required", _required),
    ("properties", _properties),
    ("patternProperties", _patterned),
    ("additionalProperties", _others),
    ("propertyNames", _names),
    ("dependentRequired", _with),
    ("dependentSchemas", _with_schema),
    ("minProperties", _sized("at least", "object", "names", True)),
    ("maxProperties", _sized("at most", "object", "names", False)),
    ("prefixItems", _prefix),
    ("items", _items),
    ("contains", _contains),
    ("uniqueItems", _unique),
    ("minItems", _sized("at least", "array", "items", True)),
    ("maxItems", _sized("at most", "array", "items", False)),
    ("minLength", _sized("at least", "string", "characters", True)),
    ("maxLength", _sized("at most", "string", "characters", False)),
    ("pattern", _pattern),
    ("minimum", _bound("less than", lambda value, rule: value < rule)),
    ("maximum", _bound("more than", lambda value, rule: value > rule)),
    ("exclusiveMinimum", _bound("not above", lambda value, rule: value <= rule)),
    ("exclusiveMaximum", _bound("not below", lambda value, rule: value >= rule)),
    ("multipleOf", _multiple),
    ("allOf", _all_of),
    ("anyOf", _any_of),
    ("oneOf", _one_of),
    ("not", _not),
    ("if", _if),
)
