"""A machine in the Amazon States Language -> the definition of a workflow, for people to keep.

The same reader that takes such machines as they are (``portafaas.plan.asl``), and the same checks:
what is written compiles to what is read directly.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path as FilePath
from typing import Any

from portafaas.errors import PlanError
from portafaas.manifest.model import Manifest
from portafaas.plan.asl import imported
from portafaas.plan.machine_files import MAX_BYTES, Elsewhere, is_json, parsed, violations
from portafaas.plan.machines import compiled
from portafaas.plan.triggers import Findings
from portafaas.record import dataclass

Path = tuple[str | int, ...]
Steps = dict[str, Any]

_NAME = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*\Z")
_LONGEST = 40
_AT: Path = ("machine",)


@dataclass(frozen=True, slots=True)
class _Function:
    name: str
    kind: str


class _Anything(tuple[str, ...]):
    """Functions, or workflows, of a service that has no manifest: whatever may be called so."""

    __slots__ = ()

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and _NAME.match(name) is not None and len(name) <= _LONGEST


def imported_machine(
    text: str, name: str, mapping: Mapping[str, str], manifest: Manifest | None
) -> tuple[Steps, dict[Path, list[str]]]:
    """Return the steps of a machine, and comments for them, by path from ``steps`` on.

    *name*: of the file, for its form and for what is said of it; one without an ending is JSON if
    it begins like JSON. *mapping*: what the machine calls a function or workflow -> its name.
    Without a *manifest* every function and workflow is taken to exist. Raises PlanError with
    everything that is wrong, PF10xx and PF22xx.
    """
    found = Findings(manifest or Manifest(FilePath("portafaas.yaml"), {}, {}))
    json = is_json(name) or ("." not in name and text.lstrip().startswith("{"))
    document: Any = None
    positions: dict[Path, tuple[int, int]] = {}
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        found.add("PF2220", (), f"{name} is larger than {MAX_BYTES} bytes")
    else:
        document, positions, problems = parsed(text, name, json)
        found.problems += problems
    inner = Elsewhere(found, name, positions, _AT)
    steps: Steps = {}
    if not found.problems:
        if isinstance(document, dict) and "steps" in document and "StartAt" not in document:
            hint = "'file' of a workflow takes it as it is"
            inner.add("PF2222", (*_AT, "steps"), "this is a definition with steps already", hint)
        else:
            steps = _steps(inner, document, mapping, manifest)
    if found.problems:
        raise PlanError(f"{name} is not imported:", found.problems)
    return steps, _comments(document, inner.places)


def _steps(
    inner: Elsewhere, document: Any, mapping: Mapping[str, str], manifest: Manifest | None
) -> Steps:
    known: Mapping[str, Any] = manifest.document if manifest else {}
    declared: Mapping[str, Any] = known.get("functions") or {}
    workflows: tuple[str, ...] = tuple(known.get("workflows") or ())
    names: tuple[str, ...] = tuple(declared)
    if manifest is None:
        names, workflows = _Anything(), _Anything()
    say = "say which it is: --functions {name}=…"
    steps, inner.places = imported(inner, document, mapping, names, workflows, say)
    if not steps:
        return {}
    _fits(inner, steps)
    if manifest is None:
        functions = [_Function(one, "task") for one in dict.fromkeys(called(steps, "task"))]
        workflows = tuple(called(steps, "workflow"))
    else:
        functions = [_Function(one, next(iter(spec["trigger"]))) for one, spec in declared.items()]
    some: Any = tuple(functions)
    compiled(inner, steps, (*_AT, "steps"), some, dict.fromkeys(workflows))
    return steps


def _fits(inner: Elsewhere, steps: Steps) -> None:
    """Refuse what a definition of ours may not hold."""
    for _, where, message, hint in violations({"steps": steps}):
        inner.add("PF2221", (*_AT, *where), message, hint)
    for where, text in _texts(steps, (*_AT, "steps")):
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            inner.add("PF2221", where, "a text holds half a character, which YAML cannot")


def _texts(value: Any, path: Path) -> Iterable[tuple[Path, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for name, one in value.items():
            yield path, name
            yield from _texts(one, (*path, name))
    elif isinstance(value, list):
        for index, one in enumerate(value):
            yield from _texts(one, (*path, index))


def called(steps: Mapping[str, Any], kind: str) -> Iterable[str]:
    """Yield the functions (*kind* ``task``) or workflows (``workflow``) that steps name."""
    for step in steps.values():
        if kind in step:
            yield step[kind]
        for branch in (step.get("parallel") or {}).values():
            yield from called(branch["steps"], kind)
        if "map" in step:
            yield from called(step["map"]["steps"], kind)


def _comments(document: Any, places: Mapping[Path, Path]) -> dict[Path, list[str]]:
    """Return what the machine says of itself, where it is to be said."""
    out: dict[Path, list[str]] = {}

    def add(path: Path, *texts: Any) -> None:
        told = [text for text in texts if isinstance(text, str) and text.strip()]
        if told:
            out.setdefault(path, []).extend(told)

    add((), document.get("Comment"))
    told: set[Path] = set()
    for step, place in places.items():
        state: Any = document
        for part in place:
            state = state[part]
        if place in told:
            continue  # What was added for its OutputPath.
        told.add(place)
        add(step, f"{place[-1]}:" if place[-1] != step[-1] else None, state.get("Comment"))
        for index, branch in enumerate(state.get("Branches", ())):
            add((*step, "parallel", f"branch-{index + 1}"), branch.get("Comment"))
        for word in ("ItemProcessor", "Iterator"):
            add((*step, "map"), (state.get(word) or {}).get("Comment"))
        for index, rule in enumerate(state.get("Choices", ())):
            add((*step, "choice", index), rule.get("Comment"))
    return out
