"""Paths, templates and conditions of a workflow in the words of the Amazon States Language.

JSONPath throughout: it hands values on as they are. Names in paths that are more than letters and
digits stand in brackets.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from portafaas.runtime import states

Condition = dict[str, Any]
_SIMPLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Unspeakable(Exception):
    """Something that the States Language has no words for."""


class Context:
    """How a scope says the paths of a workflow.

    ``document`` is where the document is, ``item`` where the context of the innermost map is ("":
    there is none).
    """

    __slots__ = ("document", "item")

    def __init__(self, document: str = "$", item: str = "") -> None:
        self.document = document
        self.item = item

    def at(self, document: str) -> Context:
        """Return the same context with the document elsewhere."""
        return Context(document, self.item)

    def path(self, path: str) -> str:
        """Return *path* of the workflow as one of the States Language."""
        parts = states.parsed(path)
        if not path.startswith("$$"):
            return self.document + brackets(parts)
        head, rest = parts[:2], parts[2:]
        if head == ("Execution", "Id"):
            # What the platform calls its id is an ARN; ours is the name.
            return "$$.Execution.Name" + brackets(rest)
        if head == ("Execution", "Input"):
            return "$$.Execution.Input" + brackets(rest)
        if parts[:1] == ("Map",) and self.item:
            if parts[1:2] != ("Item",) or len(parts) < 3:
                raise Unspeakable(f"the path {path}: only parts of an item have one")
            return self.item + "." + str(parts[2]) + brackets(parts[3:])
        raise Unspeakable(f"the path {path}: there is no such context here")


def brackets(parts: Sequence[str | int]) -> str:
    """Return the end of a path."""
    out = ""
    for part in parts:
        if isinstance(part, int):
            out += f"[{part}]"
        elif "'" in part or "\\" in part:
            raise Unspeakable(f"the name {part!r} in a path")
        elif _SIMPLE.fullmatch(part):
            out += f".{part}"
        else:
            out += f"['{part}']"
    return out


def plain(template: Any) -> bool:
    """Tell whether nothing in *template* stands for something else."""
    if isinstance(template, str):
        return not states.is_path(template)
    if isinstance(template, Mapping):
        if "$literal" in template and len(template) == 1:
            return False
        return all(plain(value) for value in template.values())
    if isinstance(template, list):
        return all(plain(value) for value in template)
    return True


def literal(template: Any) -> tuple[bool, Any]:
    """Return whether *template* is always the same, and what it then is."""
    if plain(template):
        return True, template
    if isinstance(template, Mapping):
        if "$literal" in template and len(template) == 1:
            return True, template["$literal"]
        pairs = {name: literal(value) for name, value in template.items()}
        if all(same for same, _ in pairs.values()):
            return True, {name: value for name, (_, value) in pairs.items()}
    elif isinstance(template, list):
        items = [literal(value) for value in template]
        if all(same for same, _ in items):
            return True, [value for _, value in items]
    return False, None


def _odd(value: Any) -> bool:
    """Tell whether a literal has a name that a payload template would take for an expression."""
    if isinstance(value, Mapping):
        return any(name.endswith(".$") or _odd(inner) for name, inner in value.items())
    return isinstance(value, list) and any(_odd(inner) for inner in value)


def quoted(text: str) -> str:
    """Return *text* as an argument of an intrinsic function."""
    for sign in "\\'{}":
        text = text.replace(sign, f"\\{sign}")
    return f"'{text}'"


def field(name: str, template: Any, context: Context) -> dict[str, Any]:
    """Return the field *name* of a payload template: one key, with ``.$`` if need be.

    https://states-language.net/spec.html#payload-template
    """
    same, value = literal(template)
    if same:
        return {f"{name}.$": _argument(template, context)} if _odd(value) else {name: value}
    if isinstance(template, str):
        return {f"{name}.$": context.path(template)}
    if isinstance(template, Mapping):
        return {name: fields(template, context)}
    if any(isinstance(item, str) and states.is_path(item) for item in template) or any(
        isinstance(item, list) for item in template
    ):
        return {f"{name}.$": _argument(template, context)}
    # Objects in a list are templates themselves.
    return {name: [field("v", item, context)["v"] for item in template]}


def fields(template: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Return a payload template of an object, of whose names none ends with ``.$`` (PF2225)."""
    out: dict[str, Any] = {}
    for name, value in template.items():
        out |= field(name, value, context)
    return out


def _argument(template: Any, context: Context) -> str:
    """Return *template* as an argument of an intrinsic function."""
    if isinstance(template, str) and states.is_path(template):
        return context.path(template)
    same, value = literal(template)
    if same and not isinstance(value, (list, Mapping)):
        return quoted(value) if isinstance(value, str) else json.dumps(value)
    if same:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        return f"States.StringToJson({quoted(text)})"
    if isinstance(template, list):
        return f"States.Array({', '.join(_argument(item, context) for item in template)})"
    raise Unspeakable("an object with paths beside a path in one list")


# Conditions.


def variable(path: str, operator: str, value: Any) -> Condition:
    """Return one comparison."""
    return {"Variable": path, operator: value}


def every(*conditions: Condition) -> Condition:
    """Return a condition that holds when all do; there is at least one."""
    return conditions[0] if len(conditions) == 1 else {"And": list(conditions)}


def some(*conditions: Condition) -> Condition:
    """Return a condition that holds when one does; there is at least one."""
    return conditions[0] if len(conditions) == 1 else {"Or": list(conditions)}


ALWAYS: Condition = {"Variable": "$", "IsPresent": True}
NEVER: Condition = {"Variable": "$", "IsPresent": False}
_KINDS = {"null": "IsNull", "string": "IsString", "number": "IsNumeric", "boolean": "IsBoolean"}
_ORDERS = {
    "<": "LessThan", "<=": "LessThanEquals", ">": "GreaterThan", ">=": "GreaterThanEquals",
}  # fmt: skip


def condition(when: Mapping[str, Any], context: Context) -> Condition:
    """Return a condition of the workflow; what is not there makes none an error (W-10)."""
    ((word, rest),) = when.items()
    if word == "and":
        return every(*(condition(one, context) for one in rest)) if rest else ALWAYS
    if word == "or":
        return some(*(condition(one, context) for one in rest)) if rest else NEVER
    if word == "not":
        return {"Not": condition(rest, context)}
    path = context.path(word)
    ((operator, other),) = rest.items()
    if operator == "!=":
        return {"Not": condition({word: {"==": other}}, context)}
    there = variable(path, "IsPresent", True)
    if operator == "is":
        if other == "present":
            return there
        return every(there, variable(path, _KINDS[other], True))
    if states.is_path(other):
        return _paths(path, operator, context.path(other))
    if operator == "matches":
        if not isinstance(other, str):
            return NEVER
        return _kind(path, "string", variable(path, "StringMatches", other))
    kind = states.kind_of(other)
    if operator == "==":
        if kind == "null":
            return _kind(path, "null")
        word = {"boolean": "Boolean", "number": "Numeric", "string": "String"}.get(kind, "")
        return _kind(path, kind, variable(path, f"{word}Equals", other)) if word else NEVER
    if kind not in ("number", "string"):
        return NEVER
    word = "Numeric" if kind == "number" else "String"
    return _kind(path, kind, variable(path, word + _ORDERS[operator], other))


def _kind(path: str, kind: str, *more: Condition) -> Condition:
    there = variable(path, "IsPresent", True)
    return every(there, variable(path, _KINDS[kind], True), *more)


def _paths(path: str, operator: str, other: str) -> Condition:
    """Return a comparison with what is elsewhere, whose kind nobody knows."""
    if operator == "matches":
        raise Unspeakable("a pattern that is a path")
    words = {"number": "Numeric", "string": "String"}
    if operator == "==":
        words["boolean"] = "Boolean"
    ending = "EqualsPath" if operator == "==" else f"{_ORDERS[operator]}Path"
    found = [
        every(
            variable(path, _KINDS[kind], True), variable(other, _KINDS[kind], True),
            variable(path, word + ending, other),
        )
        for kind, word in words.items()
    ]  # fmt: skip
    if operator == "==":
        found.append(every(variable(path, "IsNull", True), variable(other, "IsNull", True)))
    there = [variable(path, "IsPresent", True), variable(other, "IsPresent", True)]
    return every(*there, some(*found))
