"""The schemas of the last build, and whether those of this one still fit.

A build that succeeds writes ``.portafaas/schemas/<stage, or ->.json`` in the project; the same
file, kept elsewhere, is what ``check --against`` takes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path as FilePath
from typing import Any

from portafaas.errors import Diagnostic, PlanError
from portafaas.manifest import Manifest
from portafaas.plan import BuildPlan, MessageSchema

Path = tuple[str | int, ...]
#: Version of the file.
VERSION = 1


def place(root: FilePath, stage: str) -> FilePath:
    """Return where the schemas of the last build of *stage* are kept."""
    return root / ".portafaas" / "schemas" / f"{stage or '-'}.json"


def _declared(plan: BuildPlan) -> Iterator[tuple[str, str, MessageSchema]]:
    """Yield (``events`` or ``queues``, name, schema) of everything that has a schema."""
    for block, things in (("events", plan.events), ("queues", plan.queues)):
        for thing in things:
            if thing.schema.document:
                yield block, thing.name, thing.schema


def declares(plan: BuildPlan) -> bool:
    """Tell whether anything in *plan* has a schema."""
    return any(True for _ in _declared(plan))


def document(plan: BuildPlan) -> dict[str, Any]:
    """Return what is kept of *plan*, as JSON values."""
    kept: dict[str, Any] = {
        "portafaas": VERSION, "service": plan.service, "stage": plan.stage, "events": {},
        "queues": {},
    }  # fmt: skip
    for block, name, schema in _declared(plan):
        kept[block][name] = {"version": schema.version, "schema": schema.document}
    return kept


def write(root: FilePath, plan: BuildPlan) -> None:
    """Keep the schemas of *plan*, if there are any or were any; raises OSError."""
    from portafaas.artifact.cache import write_atomically

    file = place(root, plan.stage)
    if not declares(plan):
        file.unlink(missing_ok=True)
        return
    data = (json.dumps(document(plan), indent=1, ensure_ascii=False) + "\n").encode()
    try:
        if file.read_bytes() == data:
            return
    except OSError:
        pass
    write_atomically(str(file), data)


def read(file: FilePath) -> Mapping[str, Any]:
    """Return what is kept in *file*; raises PlanError (PF2118), but FileNotFoundError as it is."""
    hint = "it is .portafaas/schemas/<stage>.json of a build; without it nothing is compared"
    try:
        kept = json.loads(file.read_bytes())
    except FileNotFoundError:
        raise
    except OSError as exc:
        raise _unreadable(file, f"cannot be read: {exc.strerror}", hint) from exc
    except (ValueError, RecursionError) as exc:
        raise _unreadable(file, "is not JSON", hint) from exc
    try:
        good = kept["portafaas"] == VERSION and all(
            isinstance(entry["schema"], dict) and isinstance(entry["version"], int)
            for block in ("events", "queues")
            for entry in kept[block].values()
        )
    except (KeyError, TypeError, AttributeError):
        good = False
    if not good:
        raise _unreadable(file, "does not hold the schemas of a build", hint)
    found: Mapping[str, Any] = kept
    return found


def _unreadable(file: FilePath, problem: str, hint: str) -> PlanError:
    shown = os.path.relpath(file)
    return PlanError(
        "schemas cannot be compared:", [Diagnostic("PF2118", f"{shown} {problem}", hint=hint)]
    )


def problems(manifest: Manifest, plan: BuildPlan, kept: Mapping[str, Any]) -> list[Diagnostic]:
    """Return an error for every place of a schema that does not fit the one that is *kept*."""
    from portafaas.choreography.compatibility import narrowed

    found: list[Diagnostic] = []
    for block, name, schema in _declared(plan):
        before = kept[block].get(name)
        # A higher version says that nothing of the old one is under way any more.
        if before is None or before["version"] < schema.version:
            continue
        what = f"{'event' if block == 'events' else 'queue'} {name!r}"
        if before["version"] > schema.version:
            found.append(
                manifest.diagnostic(
                    "PF2117",
                    (block, name, "schema-version"),
                    f"{what}: the last build had version {before['version']} of the schema, "
                    f"not {schema.version}",
                    f"schema-version: {before['version']}, or more",
                )
            )
            continue
        old, new = before["schema"], schema.document
        told: list[tuple[Path, str, str]] = []
        if schema.compatibility != "forward":
            told += [(*one, "what was sent before would be refused") for one in narrowed(old, new)]
        if schema.compatibility != "backward":
            told += [
                (*one, "consumers of the last build would refuse what is sent now")
                for one in narrowed(new, old)
            ]
        for at, message, why in told:
            pointer = "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in at)
            inner = () if schema.file else at
            found.append(
                manifest.diagnostic(
                    "PF2117",
                    (block, name, "schema", *inner),
                    f"{what}: {schema.file}#{pointer}: {message}; {why}",
                    "publish a new type of event instead"
                    if block == "events"
                    else "send it to a new queue instead",
                )
            )
    if found:
        last = found[-1]
        last.hint = f"{last.hint}, or raise 'schema-version' once nothing old is under way"
    return found
