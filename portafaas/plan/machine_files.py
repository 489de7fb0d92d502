"""A workflow's ``file``: YAML with steps, or a machine in the Amazon States Language.

What is wrong in it is told with that file's name, lines and paths.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path as FilePath
from typing import Any

from portafaas.errors import Diagnostic
from portafaas.manifest.model import locate
from portafaas.manifest.text import parse
from portafaas.manifest.validate import Problem
from portafaas.plan.triggers import Findings

Path = tuple[str | int, ...]

#: https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html: a definition's size.
MAX_BYTES = 1_048_576


class Elsewhere(Findings):
    """Tells the problems of a file that the manifest names; they join those of the manifest.

    *prefix* is what all paths begin with, *places* leads from paths of what was made of the file to
    paths in it.
    """

    def __init__(
        self, outer: Findings, file: str, positions: Mapping[Path, tuple[int, int]], prefix: Path
    ) -> None:
        super().__init__(outer.manifest)
        self.problems = outer.problems
        self.file = file
        self.positions = positions
        self.prefix = prefix
        self.places: dict[Path, Path] = {}

    def add(self, code: str, path: Path, message: str, hint: str | None = None) -> None:
        """Add an error at *path*."""
        found = locate(FilePath(self.file), self.positions, code, self.inside(path), message, hint)
        found.file = self.file
        self.problems.append(found)

    def known(self, path: Path) -> bool:
        """Tell whether the file has something at *path*."""
        return self.inside(path) in self.positions

    def inside(self, path: Path) -> Path:
        """Return the path in the file."""
        path = path[len(self.prefix) :] if path[: len(self.prefix)] == self.prefix else path
        for length in range(len(path), 0, -1):
            if path[:length] in self.places:
                return self.places[path[:length]]
        return path


def is_json(name: str) -> bool:
    """Tell whether a file of that name is read as JSON, not as YAML."""
    return name.lower().endswith(".json")


def parsed(
    text: str, name: str, json: bool
) -> tuple[Any, dict[Path, tuple[int, int]], list[Diagnostic]]:
    """Return what a file called *name* holds, where each value is in it, and what is wrong."""
    if json:
        from portafaas.manifest.json_text import parse_json

        return parse_json(text, name)
    return parse(text, name)


def definition(
    found: Findings,
    path: Path,
    spec: Mapping[str, Any],
    functions: Iterable[str],
    workflows: Iterable[str],
) -> tuple[Findings, Mapping[str, Any]]:
    """Return where problems go, and the workflow with the steps of its file.

    Without steps when something is wrong with it (PF2220 to PF2223, PF10xx), all of it told.
    """
    name = spec["file"]
    if "steps" in spec:
        found.add("PF2220", (*path, "steps"), "a workflow has 'file' or 'steps', not both")
        return found, {}
    text = _text(found, (*path, "file"), name)
    if text is None:
        return found, {}
    document, positions, problems = parsed(text, name, is_json(name))
    if problems:
        found.problems.extend(problems)
        return found, {}
    inner = Elsewhere(found, name, positions, path)
    if isinstance(document, dict) and ("StartAt" in document or "States" in document):
        from portafaas.plan.asl import imported

        mapping = spec.get("functions") or {}
        steps, places = imported(inner, document, mapping, tuple(functions), tuple(workflows))
        inner.places = places
        return inner, {**spec, "steps": steps} if steps else {}
    if "functions" in spec:
        found.add("PF2220", (*path, "functions"), "'functions' is of a file in the States Language")
    if not isinstance(document, dict) or "steps" not in document:
        inner.add("PF2220", path, "neither 'steps' nor 'StartAt' is in it", "see docs/manifest.md")
        return found, {}
    return inner, {**spec, **document} if _right(found, inner, path, spec, document) else {}


def violations(document: Any) -> list[Problem]:
    """Return where *document* is not what the manifest's schema has a workflow be."""
    from portafaas.manifest.load import manifest_schema
    from portafaas.manifest.validate import Validator

    schema = {"$ref": "#/$defs/workflow", "$defs": manifest_schema()["$defs"]}
    return Validator(schema).problems(document)


def _right(
    found: Findings, inner: Elsewhere, path: Path, spec: Any, document: Mapping[str, Any]
) -> bool:
    """Tell whether the file is as the manifest's schema has a workflow."""
    from portafaas.manifest.asl_hints import with_hints

    before = len(found.problems)
    for code, where, message, hint in with_hints(violations(document), path):
        inner.add(code, (*path, *where), message, hint)
    for key in ("file", "functions", "targets"):
        if key in document:
            inner.add("PF2220", (*path, key), f"{key!r} belongs into the manifest")
    for key in ("input", "output"):
        if key in document and key in spec:
            found.add("PF2220", (*path, key), f"{spec['file']} has {key!r} too", "remove one")
    return len(found.problems) == before


def _text(found: Findings, path: Path, name: str) -> str | None:
    root = os.path.realpath(found.manifest.root)
    place = os.path.realpath(os.path.join(root, name))  # noqa: PTH118
    hint = "name a YAML or JSON file of the project, relative to the manifest"
    if os.path.isabs(name) or not place.startswith(f"{root}{os.sep}"):  # noqa: PTH117
        found.add("PF2220", path, f"{name} is not in the project", hint)
    elif not os.path.isfile(place):  # noqa: PTH113
        found.add("PF2220", path, f"{name} does not exist, or is no file", hint)
    elif os.path.getsize(place) > MAX_BYTES:  # noqa: PTH202
        found.add("PF2220", path, f"{name} is larger than {MAX_BYTES} bytes")
    else:
        try:
            return FilePath(place).read_text("utf-8-sig")
        except (OSError, UnicodeDecodeError) as exc:
            found.add("PF2220", path, f"{name} cannot be read: {exc}", hint)
    return None
