"""The stages of a build, in the order they run; the only module that knows that order.

load -> validate -> model    ``portafaas.manifest``     YAML to a checked document    PF10xx
begin                        ``portafaas.artifact``     a child starts to compile the sources
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
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from portafaas.errors import ArtifactError, Diagnostic, DiagnosticsError
from portafaas.record import dataclass

if TYPE_CHECKING:
    from portafaas.adapter import Adapter, Lowered
    from portafaas.artifact.project import Project
    from portafaas.manifest import Manifest
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
    from portafaas.manifest.load import load_manifest

    return _check(load_manifest(manifest_file, stage), targets)


def _check(manifest: Manifest, targets: Sequence[str]) -> list[Checked]:
    from portafaas.capabilities import check_target
    from portafaas.plan.build import build_plan
    from portafaas.registry import get_adapter

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
    from portafaas.manifest.load import load_manifest

    progress("checking the manifest")
    manifest = load_manifest(manifest_file, stage)
    root = manifest_file.absolute().parent
    out = root / DEFAULT_OUT if out is None else out.absolute()
    _refuse_place(manifest, root, out, stage)
    with _scratch(out) as scratch, _begun(manifest, root, out, scratch) as project:
        checked = _check(manifest, targets)
        failures: list[DiagnosticsError] = []
        made: list[tuple[Path, Path, dict[str, Any]]] = []
        for item in checked:
            folder = scratch / item.adapter.target
            folder.mkdir()
            try:
                facts = _package(item, project, root, out, folder, progress)
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


def _refuse_place(manifest: Manifest, root: Path, out: Path, stage: str | None) -> None:
    from portafaas.registry import installed_targets

    if out == root or out in root.parents:
        problem = Diagnostic(
            "PF5000",
            f"the output folder {out} holds the project itself",
            hint="name a folder of its own, such as 'out'",
        )
    elif stage in installed_targets():
        problem = manifest.diagnostic(
            "PF5000",
            ("stages", stage),
            f"stage {stage!r} would share a folder with target {stage!r} built without a stage",
            "choose another name",
        )
    else:
        return
    raise ArtifactError("nothing was built:", [problem])


def _inside(root: Path, out: Path) -> str | None:
    return out.relative_to(root).as_posix() if out.is_relative_to(root) else None


@contextmanager
def _scratch(out: Path) -> Iterator[Path]:
    """Make a folder beside the final one, on the same file system, so that renaming is atomic."""
    from portafaas.artifact.tree import remove

    made = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
        # What tempfile does, without its imports.
        folder = out / f".building-{os.getpid()}-{time.time_ns():x}"
        folder.mkdir(mode=0o700)
    except OSError as exc:
        raise ArtifactError(
            "nothing was built:",
            [Diagnostic("PF5030", f"cannot write to {out}: {exc.strerror}")],
        ) from exc
    try:
        yield folder
    finally:
        remove(str(folder))
        if made:
            with suppress(OSError):
                out.rmdir()  # fails unless nothing was built


@contextmanager
def _begun(manifest: Manifest, root: Path, out: Path, scratch: Path) -> Iterator[Project]:
    """Let the project's modules compile while the plan is made."""
    from portafaas.artifact.project import Project
    from portafaas.plan.build import python_of, sources_of

    document = manifest.document
    include, exclude = sources_of(document)
    work = scratch / ".work"
    work.mkdir()
    project = Project(
        *(str(root), python_of(document), include, exclude, _inside(root, out)),
        *(str(root / STATE / "cache"), str(work)),
    )
    try:
        yield project
    finally:
        project.stop()


def _package(
    item: Checked, project: Project, root: Path, out: Path, folder: Path, progress: Progress
) -> dict[str, Any]:
    from portafaas.artifact import PackageRequest, assemble
    from portafaas.artifact.cache import home

    adapter, plan = item.adapter, item.plan
    target = adapter.target
    lowered = adapter.lower(plan)
    request = PackageRequest(
        root, plan, target, adapter.layout, lowered.files, _inside(root, out)
    )
    package = assemble(
        request,
        folder,
        root / STATE / "cache",
        lambda text: progress(f"{target}: {text}"),
        project=project,
        shared=Path(home()),
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
    from portafaas.artifact.tree import remove

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
                remove(str(place))
            if old is not None:
                old.rename(place)
        raise ArtifactError(
            "nothing was published:",
            [Diagnostic("PF5030", f"cannot write to {exc.filename}: {exc.strerror}")],
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
