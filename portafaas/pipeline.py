"""The stages of a build, in the order they run; the only module that knows that order.

load -> validate -> model    ``portafaas.manifest``     YAML to a checked document    PF10xx
plan                         ``portafaas.plan``         document to frozen IR         PF20xx
capability check             ``portafaas.capabilities`` IR against one target         PF30xx PF40xx
lower                        adapter                    IR to platform files          (pure)
link -> verify -> package    ``portafaas.artifact``     sources, dependencies, bytecode, zip  PF50xx-53xx
publish                      here                       rename into the output folder

Every stage reports all of its problems at once. All targets of one command are published together
or not at all, and an earlier build stays whole until then.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from portafaas.adapter import Adapter, Lowered
from portafaas.errors import ArtifactError, Diagnostic, DiagnosticsError
from portafaas.plan import BuildPlan

#: Folder of the project that holds caches; safe to delete at any time.
STATE = ".portafaas"
DEFAULT_OUT = "out"

Progress = Callable[[str], None]


def _quiet(_: str) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Checked:
    """One target's plan after the capability check; ``notes`` are warnings and notes."""

    adapter: Adapter
    plan: BuildPlan
    notes: tuple[Diagnostic, ...]


@dataclass(frozen=True, slots=True)
class Built:
    """One target's package: ``digest`` is of the content, ``size`` and ``unzipped`` in bytes."""

    target: str
    package: Path
    deployment: Path
    sbom: Path
    digest: str
    size: int
    unzipped: int
    files: int
    notes: tuple[Diagnostic, ...]


def check(manifest_file: Path, targets: Sequence[str], stage: str | None = None) -> list[Checked]:
    """Run every stage that writes nothing; raises the problems of all targets at once."""
    from portafaas.capabilities import check_target
    from portafaas.manifest.load import load_manifest
    from portafaas.plan.build import build_plan
    from portafaas.registry import get_adapter

    manifest = load_manifest(manifest_file, stage)
    checked: list[Checked] = []
    failures: list[DiagnosticsError] = []
    for target in targets:
        adapter = get_adapter(target)
        plan = build_plan(manifest, target)
        try:
            notes = check_target(manifest, plan, adapter)
        except DiagnosticsError as error:
            failures.append(error)
        else:
            checked.append(Checked(adapter, plan, tuple(notes)))
    _raise_all(failures)
    return checked


def _raise_all(failures: Sequence[DiagnosticsError]) -> None:
    if not failures:
        return
    if len(failures) == 1:
        raise failures[0]
    # The code and exit status of the first; the problems of all, each said once.
    problems = dict.fromkeys(problem for error in failures for problem in error.diagnostics)
    summary = "\n".join(dict.fromkeys(error.message for error in failures))
    raise type(failures[0])(summary, problems)


def build(
    manifest_file: Path,
    targets: Sequence[str],
    *,
    stage: str | None = None,
    out: Path | None = None,
    progress: Progress = _quiet,
) -> list[Built]:
    """Build a package for each target and publish all of them; see :func:`output_folder`.

    Raises a DiagnosticsError of the stage that failed; then the output folder is as it was.
    """
    progress("checking the manifest")
    checked = check(manifest_file, targets, stage)
    root = manifest_file.absolute().parent
    out = root / DEFAULT_OUT if out is None else out.absolute()
    if out == root or out in root.parents:
        raise ArtifactError(
            "nothing was built:",
            [
                Diagnostic(
                    "PF5000",
                    f"the output folder {out} holds the project itself",
                    hint="name a folder of its own, such as 'out'",
                )
            ],
        )
    with _scratch(out) as scratch:
        failures: list[DiagnosticsError] = []
        made: list[tuple[Path, Path, dict[str, Any]]] = []
        for item in checked:
            folder = scratch / item.adapter.target
            folder.mkdir()
            try:
                facts = _package(item, root, out, folder, progress)
            except DiagnosticsError as error:
                failures.append(error)
            else:
                made.append((folder, output_folder(out, stage, item.adapter.target), facts))
        _raise_all(failures)
        _publish(scratch, [(new, place) for new, place, _ in made])
    return [_built(place, facts) for _, place, facts in made]


def output_folder(out: Path, stage: str | None, target: str) -> Path:
    """Return the folder of one target's package: ``out/[stage/]target``."""
    return out / stage / target if stage else out / target


@contextmanager
def _scratch(out: Path) -> Iterator[Path]:
    """Make a folder beside the final one, on the same file system, so that renaming is atomic."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".building-", dir=out))
    except OSError as exc:
        raise ArtifactError(
            "nothing was built:",
            [Diagnostic("PF5001", f"cannot write to {out}: {exc.strerror}")],
        ) from exc
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _package(
    item: Checked, root: Path, out: Path, folder: Path, progress: Progress
) -> dict[str, Any]:
    from portafaas.artifact import PackageRequest, assemble

    adapter, plan = item.adapter, item.plan
    target = adapter.target
    lowered = adapter.lower(plan)
    inside = out.relative_to(root).as_posix() if out.is_relative_to(root) else None
    request = PackageRequest(root, plan, target, adapter.layout, lowered.files, inside)
    package = assemble(
        request, folder, root / STATE / "cache", lambda text: progress(f"{target}: {text}")
    )
    descriptor = _descriptor(plan, adapter, lowered, package.digest)
    (folder / f"{plan.service}.deployment.json").write_text(
        json.dumps(descriptor, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    return {
        "target": target,
        "service": plan.service,
        "digest": package.digest,
        "size": package.size,
        "unzipped": package.unzipped,
        "files": package.files,
        "notes": [note.as_dict() for note in (*item.notes, *package.notes)],
    }


def _descriptor(
    plan: BuildPlan, adapter: Adapter, lowered: Lowered, digest: str
) -> dict[str, Any]:
    """Return what a deployment needs to know beside the package, as JSON values."""
    return {
        "portafaas": 1,
        "service": plan.service,
        "stage": plan.stage,
        "target": adapter.target,
        "python": plan.python,
        "architecture": plan.architecture,
        "package": f"{plan.service}.zip",
        "digest": digest,
        "functions": {
            deployment.function: {
                "entry": deployment.entry,
                "memory": deployment.memory,
                "timeout": deployment.timeout,
                "environment": dict(deployment.environment),
                "binding": dict(deployment.binding),
            }
            for deployment in lowered.deployments
        },
    }


def _publish(scratch: Path, pairs: Sequence[tuple[Path, Path]]) -> None:
    """Rename every new folder into place; put the old ones back when one rename fails."""
    done: list[tuple[Path, Path | None]] = []
    try:
        for number, (new, place) in enumerate(pairs):
            place.parent.mkdir(parents=True, exist_ok=True)
            old = None
            if place.exists() or place.is_symlink():
                old = scratch / f"old-{number}"
                place.rename(old)
            done.append((place, old))
            new.rename(place)
    except OSError as exc:
        for place, old in reversed(done):
            if place.exists():
                shutil.rmtree(place, ignore_errors=True)
            if old is not None:
                old.rename(place)
        raise ArtifactError(
            "nothing was published:",
            [Diagnostic("PF5001", f"cannot write to {exc.filename}: {exc.strerror}")],
        ) from exc


def _built(place: Path, facts: dict[str, Any]) -> Built:
    service = facts["service"]
    return Built(
        facts["target"],
        place / f"{service}.zip",
        place / f"{service}.deployment.json",
        place / f"{service}.cdx.json",
        facts["digest"],
        facts["size"],
        facts["unzipped"],
        facts["files"],
        tuple(Diagnostic(**note) for note in facts["notes"]),
    )
