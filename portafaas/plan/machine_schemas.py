"""What a workflow's ``input`` and ``output`` schemas may be, and what certainly does not fit them.

Engines check with ``portafaas.runtime.schema``; what that does not evaluate is refused (PF2219).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from portafaas.plan.machine_checks import steps_at
from portafaas.plan.model import MessageSchema, WorkflowPlan
from portafaas.plan.schemas import resolve, subschemas
from portafaas.plan.triggers import Findings
from portafaas.runtime import schema as evaluator
from portafaas.runtime import states

Path = tuple[str | int, ...]
#: Keywords whose schemas are for the value itself, not for a part of it.
_SAME = ("allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas")


def evaluated(found: Findings, path: Path, schema: MessageSchema) -> None:
    """Refuse what engines cannot check of the schema at *path*."""
    if not schema.document:
        return
    for inner, message in unevaluated(schema.document):
        pointer = "/".join(str(part) for part in inner)
        told = f"{schema.file}#/{pointer}: {message}" if schema.file else message
        found.add(
            "PF2219", path if schema.file else (*path, *inner), told,
            "docs/spec/workflows.md says what a schema may have",
        )  # fmt: skip
        return


def unevaluated(document: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """Yield where, and what, engines do not evaluate of a schema."""
    every = [*subschemas(document)]
    for path, one in [*every]:
        # What a reference names need not be below a keyword that holds schemas.
        if "$ref" in one and (named := resolve(document, one["$ref"])) is not None:
            every += [((*path, "$ref", *more), inner) for more, inner in subschemas(named)]
    for path, one in every:
        for key in evaluator.UNKNOWN:
            if key in one:
                yield (*path, key), f"{key!r} is not evaluated on all engines"
        if "$id" in one and path:
            yield (*path, "$id"), "a schema within another has no '$id'"
        for pattern in [one["pattern"]] if "pattern" in one else []:
            yield from _pattern(pattern, (*path, "pattern"))
        for pattern in one.get("patternProperties", ()):
            yield from _pattern(pattern, (*path, "patternProperties", pattern))
        if _circle(document, one):
            yield path, "it refers to itself, for the same value"


def _pattern(pattern: str, path: Path) -> Iterator[tuple[Path, str]]:
    try:
        re.compile(pattern)
    except re.error as exc:
        yield path, f"{pattern!r} is no regular expression of Python: {exc}"


def _circle(document: Any, schema: Any) -> bool:
    """Tell whether evaluating *schema* would come to it again, for the same value."""
    seen: list[Any] = []
    waiting = [*_next(document, schema)]
    while waiting:
        one = waiting.pop()
        if one is schema:
            return True
        if not any(one is other for other in seen):
            seen.append(one)
            waiting += _next(document, one)
    return False


def _next(document: Any, schema: Any) -> Iterator[Any]:
    if not isinstance(schema, Mapping):
        return
    if "$ref" in schema:
        yield resolve(document, schema["$ref"])
    for key in _SAME:
        inner = schema.get(key)
        if isinstance(inner, list):
            yield from inner
        elif key == "dependentSchemas" and inner:
            yield from inner.values()
        elif inner is not None:
            yield inner


def equipped(found: Findings, workflows: Sequence[WorkflowPlan]) -> None:
    """Give machines the schemas that engines check, and who checks them; PF2219, PF2224."""
    from portafaas.plan.machines import called, subworkflows

    by_name = {workflow.name: workflow for workflow in workflows}

    def checker(name: str, seen: set[str]) -> str:
        """Return a function that the workflow, or one that it runs, calls; "" for none."""
        if name in seen or name not in by_name:
            return ""
        seen.add(name)
        machine = by_name[name].machine
        own = next(called(machine), "")
        inner = (checker(one, seen) for one in subworkflows(machine))
        return own or next(filter(None, inner), "")

    for workflow in workflows:
        for key, schema in (("input", workflow.input), ("output", workflow.output)):
            if not schema.document:
                continue
            function = checker(workflow.name, set())
            if not function:
                found.add(
                    "PF2219", ("workflows", workflow.name, key),
                    f"workflow {workflow.name!r} calls no function, whose code could check it",
                    "let a step call a function, or leave the schema out",
                )  # fmt: skip
                break
            machine: Any = workflow.machine
            machine[key] = dict(schema.document)
            machine["check"] = function


def fitting(found: Findings, workflows: Sequence[WorkflowPlan]) -> None:
    """Refuse constant inputs of sub-workflows that their schemas refuse (PF2224)."""
    by_name = {workflow.name: workflow for workflow in workflows}
    for workflow in workflows:
        for step, path in steps_at(workflow.machine, ("workflows", workflow.name, "steps")):
            inner = by_name.get(step.get("workflow", ""))
            if inner is None or not inner.input.document or _moves(step.get("input", "$")):
                continue
            given = states.filled(step["input"], None, {})
            if wrong := evaluator.first(inner.input.document, given):
                found.add(
                    "PF2224", (*path, "input"),
                    f"this is no input of workflow {inner.name!r}: {wrong}",
                )  # fmt: skip


def _moves(template: Any) -> bool:
    """Tell whether a template depends on a document."""
    if isinstance(template, Mapping):
        return "$literal" not in template and any(map(_moves, template.values()))
    return any(map(_moves, template)) if isinstance(template, list) else states.is_path(template)
