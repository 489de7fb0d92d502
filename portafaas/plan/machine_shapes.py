"""Finds paths that certainly lead nowhere: the shape of the document, step by step.

A shape is None (anything), ``"plain"`` (a value without parts), ``("list", shape)`` or
``("object", {name: shape})``: no other names than these, any of which may be missing. Where ways
meet, shapes are joined, so that what is told is wrong whatever way a run takes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from portafaas.plan.triggers import Findings
from portafaas.runtime import states

Path = tuple[str | int, ...]
Shape = Any
Tell = Callable[[Path, str], None]

#: Deeper than that anything is assumed: a set of ``$`` into itself would never end.
_DEEPEST = 8
_ERROR: Shape = ("object", {"Error": "plain", "Cause": "plain"})
_MISSING = object()


def undefined(
    found: Findings, machine: Mapping[str, Any], places: Mapping[str, Path], schema: Any
) -> None:
    """Tell *found* of paths that lead nowhere (PF2210)."""
    told: set[tuple[Path, str]] = set()

    def tell(path: Path, text: str) -> None:
        if (path, text) not in told:
            told.add((path, text))
            found.add(
                "PF2210", path, f"there is never anything at {text}",
                "name what is in the document there, or declare it in the input's schema",
            )  # fmt: skip

    start = of_schema(schema, schema, 0) if isinstance(schema, Mapping) and schema else None
    context: Shape = ("object", {"Execution": ("object", {"Id": "plain", "Input": start})})
    _Follow(places, tell).machine(machine, start, context)


def of_schema(schema: Any, root: Any, depth: int) -> Shape:
    """Return the shape of what fits a JSON Schema; what it does not name is not there.

    ``additionalProperties`` other than false, and keywords that this does not follow, make it
    anything.
    """
    if not isinstance(schema, Mapping) or depth > _DEEPEST:
        return None
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith("#/"):
        inner = root
        for part in reference[2:].split("/"):
            inner = inner.get(part) if isinstance(inner, Mapping) else None
        return of_schema(inner, root, depth + 1)
    unknown = (
        "allOf", "anyOf", "oneOf", "if", "$ref", "$dynamicRef", "patternProperties",
        "dependentSchemas", "not",
    )  # fmt: skip
    if any(word in schema for word in unknown):
        return None
    kind = schema.get("type")
    if kind in ("string", "number", "integer", "boolean", "null"):
        return "plain"
    if kind == "array":
        return ("list", of_schema(schema.get("items"), root, depth + 1))
    named = schema.get("properties")
    if kind == "object" and isinstance(named, Mapping):
        if schema.get("additionalProperties", False) is not False:
            return None
        return ("object", {name: of_schema(one, root, depth + 1) for name, one in named.items()})
    return None


def joined(one: Shape, other: Shape) -> Shape:
    """Return the shape of what has one shape or the other."""
    if one == other:
        return one
    if one is None or other is None or "plain" in (one, other) or one[0] != other[0]:
        return None
    if one[0] == "list":
        return ("list", joined(one[1], other[1]))
    names = {**one[1], **other[1]}
    return (
        "object",
        {
            name: joined(one[1][name], other[1][name])
            if name in one[1] and name in other[1]
            else shape
            for name, shape in names.items()
        },
    )


def _cut(shape: Shape, depth: int = 0) -> Shape:
    if shape is None or shape == "plain":
        return shape
    if depth > _DEEPEST:
        return None
    if shape[0] == "list":
        return ("list", _cut(shape[1], depth + 1))
    return ("object", {name: _cut(one, depth + 1) for name, one in shape[1].items()})


class _Follow:
    """Follows the document through the steps of one machine and those within."""

    def __init__(self, places: Mapping[str, Path], tell: Tell) -> None:
        self.places = places
        self.tell = tell
        #: Nothing is told as long as shapes still change.
        self.quiet = 0
        self._ends: dict[tuple[int, str, str], Shape] = {}

    def machine(self, machine: Mapping[str, Any], start: Shape, context: Shape) -> Shape:
        """Return the shape of the document at the end."""
        key = (id(machine), repr(start), repr(context))
        if self.quiet and key in self._ends:
            return self._ends[key]
        steps = machine["steps"]
        at: dict[str, Shape] = {machine["start"]: start}
        self.quiet += 1
        waiting = [machine["start"]]
        rounds = 0
        while waiting:
            name = waiting.pop(0)
            rounds += 1
            for following, shape in self.after(name, steps[name], at[name], context):
                if following is None:
                    continue
                new = shape if following not in at else joined(at[following], _cut(shape))
                if rounds > 20 * len(steps):
                    new = None
                if following not in at or new != at[following]:
                    at[following] = new
                    waiting.append(following)
        self.quiet -= 1
        ends: list[Shape] = []
        for name, shape in at.items():
            for following, left in self.after(name, steps[name], shape, context):
                if following is None:
                    ends.append(left)
        out = ends[0] if ends else None
        for shape in ends[1:]:
            out = joined(out, shape)
        self._ends[key] = out
        return out

    def after(
        self, name: str, step: Mapping[str, Any], document: Shape, context: Shape
    ) -> list[tuple[str | None, Shape]]:
        """Return where a step goes on, with which document; ends by an error are left out."""
        here = self.places[name]
        kind = step["kind"]
        if kind == "succeed":
            return [(None, document)]
        if kind == "fail":
            for key in ("error", "cause"):
                self.filled(step[key], document, context, (*here, "fail", key))
            return []
        if kind == "choice":
            names = [rule["next"] for rule in step["rules"]]
            names += [step["default"]] if "default" in step else []
            return [(one, document) for one in names]
        result = self.result(step, document, context, here)
        if "select" in step:
            result = self.filled(step["select"], result, context, (*here, "select"))
        left = self.put(step, document, result, (*here, "result"))
        if kind == "loop":
            left = result
        elif kind == "wait" and "signal" not in step:
            left = document
        if "input" in step.get("compensate", {}):
            where = (*here, "compensate", "input")
            self.filled(step["compensate"]["input"], left, context, where)
        out = [(step["next"], left)]
        for index, rule in enumerate(step.get("catch", ())):
            caught = self.put(rule, document, _ERROR, (*here, "catch", index, "result"))
            out.append((rule["next"], caught))
        return out

    def result(self, step: Mapping[str, Any], document: Shape, context: Shape, here: Path) -> Shape:
        kind = step["kind"]
        if kind == "wait":
            for word in ("seconds", "until"):
                if states.is_path(step.get(word)):
                    self.filled(step[word], document, context, (*here, "wait", word))
            return None
        if kind == "loop":
            return self.loop(step, document, context)
        given = document
        if "input" in step:
            key = "set" if kind == "set" else "input"
            given = self.filled(step["input"], document, context, (*here, key))
        if kind == "set":
            return given
        if kind == "parallel":
            outputs = [self.machine(b["machine"], given, context) for b in step["branches"]]
            out = outputs[0]
            for shape in outputs[1:]:
                out = joined(out, shape)
            return ("list", out)
        if kind == "map":
            return self.map(step, given, context, here)
        return None

    def map(self, step: Mapping[str, Any], given: Shape, context: Shape, here: Path) -> Shape:
        items = self.filled(step["items"], given, context, (*here, "map", "items"))
        if items is not None and items[0] != "list":
            if not self.quiet:
                self.tell((*here, "map", "items"), f"{step['items']} that is a list")
            items = None
        item = items[1] if items is not None else None
        inside = ("object", {**context[1], "Map": ("object", {"Item": (
            "object", {"Value": item, "Index": "plain"})})})  # fmt: skip
        document = item
        if "each" in step:
            document = self.filled(step["each"], given, inside, (*here, "map", "each"))
        return ("list", self.machine(step["machine"], document, inside))

    def loop(self, step: Mapping[str, Any], document: Shape, context: Shape) -> Shape:
        self.quiet += 1
        for turn in range(10):
            new = joined(document, _cut(self.machine(step["machine"], document, context)))
            if new == document:
                break
            document = None if turn == 9 else new
        self.quiet -= 1
        self.machine(step["machine"], document, context)
        return document

    def put(self, step: Mapping[str, Any], document: Shape, value: Shape, here: Path) -> Shape:
        path = step.get("result", "$")
        if path is None:
            return document
        return self._put(states.parsed(path), document, value, here, path)

    def _put(self, parts: Any, document: Shape, value: Shape, here: Path, text: str) -> Shape:
        if not parts:
            return value
        if document is None:
            return None
        if document == "plain" or document[0] == "list":
            if not self.quiet:
                self.tell(here, f"{text}: its place is in no object")
            return None
        inner = document[1].get(parts[0], ("object", {}))
        made = self._put(parts[1:], inner, value, here, text)
        return ("object", {**document[1], parts[0]: made})

    def filled(self, template: Any, document: Shape, context: Shape, here: Path) -> Shape:
        """Return the shape of a filled template."""
        if states.is_path(template):
            shape = context if template.startswith("$$") else document
            for part in states.parsed(template):
                shape = _part(shape, part)
                if shape is _MISSING:
                    if not self.quiet:
                        self.tell(here, template)
                    return None
            return shape
        if isinstance(template, dict):
            if "$literal" in template:
                return _literal(template["$literal"])
            return (
                "object",
                {n: self.filled(v, document, context, (*here, n)) for n, v in template.items()},
            )
        if isinstance(template, list):
            shapes = [
                self.filled(one, document, context, (*here, index))
                for index, one in enumerate(template)
            ]
            return _together(shapes)
        return "plain"


def _part(shape: Shape, part: str | int) -> Shape:
    if shape is None:
        return None
    if isinstance(part, int):
        return shape[1] if shape[0] == "list" else _MISSING
    return shape[1].get(part, _MISSING) if shape[0] == "object" else _MISSING


def _together(shapes: list[Shape]) -> Shape:
    if not shapes:
        return ("list", None)
    out = shapes[0]
    for shape in shapes[1:]:
        out = joined(out, shape)
    return ("list", out)


def _literal(value: Any) -> Shape:
    if isinstance(value, dict):
        return ("object", {name: _literal(one) for name, one in value.items()})
    return _together([_literal(one) for one in value]) if isinstance(value, list) else "plain"
