"""Paths, templates and conditions of the Amazon States Language -> those of workflows."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from portafaas.runtime import states

#: What cannot be taken over: a message.
Refuse = Callable[[str], None]

_CONTEXT = ("$$.Execution.Id", "$$.Execution.Input", "$$.Map.Item.Value", "$$.Map.Item.Index")

_INTRINSIC = re.compile(r"\s*(States\.[A-Z]\w*)\(")
_JSONATA = re.compile(r"\s*\{%.*%\}\s*\Z", re.DOTALL)

_COMPARED = {
    "Equals": "==", "LessThan": "<", "LessThanEquals": "<=", "GreaterThan": ">",
    "GreaterThanEquals": ">=",
}  # fmt: skip
#: Type of the comparison -> operators it has, the kind of its values, their Python types.
_TYPES: dict[str, tuple[tuple[str, ...], str, tuple[type, ...]]] = {
    "String": (tuple(_COMPARED), "string", (str,)),
    "Numeric": (tuple(_COMPARED), "number", (int, float)),
    "Boolean": (("Equals",), "boolean", (bool,)),
}
_KINDS = {
    "IsNull": "null", "IsString": "string", "IsNumeric": "number", "IsBoolean": "boolean",
    "IsPresent": "present",
}  # fmt: skip


def foreign(text: Any) -> str | None:
    """Return what a text is that Step Functions would evaluate, None for any other value.

    It would be a constant in a workflow, and elsewhere in Step Functions.
    """
    if not isinstance(text, str):
        return None
    match = _INTRINSIC.match(text)
    if match:
        return f"the intrinsic function {match[1]}"
    if text.startswith("$states."):
        return "a variable of Step Functions"
    return "JSONata" if _JSONATA.match(text) else None


def path(text: Any, refuse: Refuse, base: str = "$") -> str:
    """Return a path, of what is at *base*; ``$`` when it cannot be had."""
    if not isinstance(text, str):
        refuse(f"{text!r} is no path")
        return "$"
    if text.startswith("States."):
        refuse(f"{text}: there are no intrinsic functions; let a task do it")
        return "$"
    if text.startswith("{%"):
        refuse("there is no JSONata; let a task do it")
        return "$"
    if not states.is_path(text):
        refuse(f"{text!r} is no path from $ or $$; there are no variables")
        return "$"
    try:
        states.parsed(text)
    except ValueError as exc:
        refuse(f"{exc}; a path has names and indices only")
        return "$"
    if text.startswith("$$"):
        if not text.startswith(_CONTEXT):
            refuse(f"{text}: of the context there is {', '.join(_CONTEXT)}")
        return text
    return base + text[1:] if base != "$" else text


def constant(value: Any) -> Any:
    """Return a template that is *value* whatever the document."""
    return {"$literal": value} if _odd(value) else value


def _odd(value: Any) -> bool:
    if isinstance(value, dict):
        odd = "$literal" in value or any(name.endswith(".$") for name in value)
        return odd or any(_odd(one) for one in value.values())
    if isinstance(value, list):
        return any(_odd(one) for one in value)
    return states.is_path(value) or foreign(value) is not None


def _evaluated(value: Any, refuse: Refuse) -> None:
    """Refuse texts that look as if they were evaluated, and are constants where they stand."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            _evaluated(one, refuse)
        return
    what = foreign(value)
    if what is not None:
        refuse(f"{value!r} is {what}, which workflows do not have, and a constant where it stands")


def _dynamic(value: Any) -> bool:
    if isinstance(value, dict):
        return any(name.endswith(".$") or _dynamic(one) for name, one in value.items())
    return isinstance(value, list) and any(_dynamic(one) for one in value)


def template(value: Any, refuse: Refuse, base: str = "$") -> Any:
    """Return the template that a payload template is."""
    if not _dynamic(value):
        _evaluated(value, refuse)
        return constant(value)
    if isinstance(value, list):
        return [template(one, refuse, base) for one in value]
    out = {}
    for name, one in value.items():
        if name.endswith(".$"):
            if name[:-2] in value:
                refuse(f"{name[:-2]!r} is there twice, also as {name!r}")
            out[name[:-2]] = path(one, refuse, base)
        else:
            out[name] = template(one, refuse, base)
    return out


def condition(rule: Any, refuse: Refuse) -> dict[str, Any]:
    """Return the condition that a rule of a Choice is."""
    nothing = {"$": {"is": "present"}}
    if not isinstance(rule, dict):
        refuse("a rule is an object")
        return nothing
    words = [word for word in rule if word not in ("Next", "Comment", "Variable")]
    for word in ("Condition", "Assign", "Output"):
        if word in words:
            refuse(f"{word!r}: there is no JSONata and no variable")
            return nothing
    if len(words) != 1:
        refuse(f"a rule has one comparison, this one {' and '.join(words) or 'none'}")
        return nothing
    (word,) = words
    value = rule[word]
    if word in ("And", "Or"):
        if not isinstance(value, list) or not value:
            refuse(f"{word!r} has a list of rules")
            return nothing
        return {word.lower(): [condition(one, refuse) for one in value]}
    if word == "Not":
        return {"not": condition(value, refuse)}
    if "Variable" not in rule:
        refuse("a comparison has a Variable")
        return nothing
    variable = path(rule["Variable"], refuse)
    if word in _KINDS:
        when = {variable: {"is": _KINDS[word]}}
        if not isinstance(value, bool):
            refuse(f"{word!r} takes true or false")
        return when if value else {"not": when}
    if word == "StringMatches":
        if not isinstance(value, str) or states.is_path(value):
            refuse(f"{word!r} takes a text that is no path")
        return {variable: {"matches": value}}
    return _comparison(word, value, variable, refuse) or nothing


def _comparison(word: str, value: Any, variable: str, refuse: Refuse) -> dict[str, Any] | None:
    for kind, (operators, name, types) in _TYPES.items():
        operator = word.removeprefix(kind).removesuffix("Path")
        if not word.startswith(kind) or operator not in operators:
            continue
        if word.endswith("Path"):
            other = path(value, refuse)
            # Only values of its type are compared.
            return {"and": [{variable: {"is": name}}, {variable: {_COMPARED[operator]: other}}]}
        right = isinstance(value, types) and (kind == "Boolean" or not isinstance(value, bool))
        if not right or states.is_path(value):
            refuse(f"{word!r} cannot take {value!r}")
        return {variable: {_COMPARED[operator]: value}}
    refuse(f"there is no comparison {word!r}")
    return None
