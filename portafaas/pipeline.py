"""The stages of a build, in the order they run; the only module that knows that order.

load -> validate -> model    ``portafaas.manifest``     YAML to a checked document    PF10xx
plan                         ``portafaas.plan``         document to frozen IR         PF20xx
choreography                 ``portafaas.choreography`` how functions work together   PF21xx
capability check             ``portafaas.capabilities`` IR against one target         PF30xx PF40xx
lower                        adapter                    IR to platform files          (pure)
link -> verify -> package    ``portafaas.artifact``     sources, dependencies, zip    PF50xx-53xx
publish                      ``portafaas.publish``      rename into the output folder

Before all that a child of the target's Python starts, which compiles the sources while the plan is
made, and imports the handlers in the end (``docs/adr/0010-build-speed.md``).

Every stage reports all of its problems at once. All targets of one command are published together
or not at all, and an earlier build stays whole until then. The module is long because the order
stands nowhere else.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from portafaas.errors import (
    ArtifactError,
    Diagnostic,
    DiagnosticsError,
    PlanError,
    UnsupportedCapabilityError,
)
from portafaas.manifest.model import DEFAULT_PYTHON
from portafaas.paths import absolute
from portafaas.publish import descriptor, publish, scratch_beside
from portafaas.publish import output_folder as output_folder
from portafaas.record import dataclass

if TYPE_CHECKING:
    from portafaas.adapter import Adapter, Infrastructure, Lowered
    from portafaas.artifact import Assembly, Package
    from portafaas.artifact.project import Project
    from portafaas.manifest import Manifest
    from portafaas.plan import BuildPlan
    from portafaas.plan.build import Code

#: Folder of the project that holds caches; safe to delete at any time.
STATE = ".portafaas"
DEFAULT_OUT = "out"

Progress = Callable[[str], None]


def _quiet(_: str) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Checked:
    """One target's plan after the capability check; ``notes`` are warnings and notes."""

    manifest: Manifest
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
    #: Documents for the platform's own engine: a template, a configuration.
    infrastructure: tuple[Path, ...]
    notes: tuple[Diagnostic, ...]


def check(
    manifest_file: Path,
    targets: Sequence[str],
    stage: str | None = None,
    *,
    against: Path | None = None,
    thorough: bool = False,
) -> list[Checked]:
    """Run every stage that writes nothing; raises the problems of all targets at once.

    Schemas are compared with those kept in the file *against*, else with the last build's. A
    *thorough* check also looks at retries, for which it makes each target's infrastructure.
    """
    from portafaas.manifest.load import load_manifest

    checked = _check(load_manifest(manifest_file, stage), targets, against=against)
    if not thorough:
        return checked
    return [
        Checked(
            item.manifest,
            item.adapter,
            item.plan,
            (*item.notes, *_retries(item, item.adapter.infrastructure(item.plan))),
        )
        for item in checked
    ]


def _retries(item: Checked, infrastructure: Infrastructure) -> list[Diagnostic]:
    """Return warnings about retries that multiply, or take too long."""
    from portafaas.choreography import retries

    attempts = item.adapter.client_attempts
    stacks = retries.stacks(item.plan, infrastructure.redeliveries, attempts)
    return retries.findings(item.manifest, item.plan, item.adapter.target, stacks)


def _choreography(
    manifest: Manifest, plan: BuildPlan, against: Path | None
) -> tuple[Diagnostic, ...]:
    """Return warnings about how functions work together, the same for every target.

    Raises PlanError for schemas that do not fit the last build's (PF2117), or a file *against* that
    is none (PF2118).
    """
    from portafaas.choreography import baseline, flow

    kept = None
    if against is not None or baseline.declares(plan):
        file = against or baseline.place(manifest.root, plan.stage)
        try:
            kept = baseline.read(file)
        except FileNotFoundError:
            if against is not None:
                problem = Diagnostic("PF2118", f"{against} does not exist")
                raise PlanError("schemas cannot be compared:", [problem]) from None
    if kept is not None:
        problems = baseline.problems(manifest, plan, kept)
        if problems:
            raise PlanError(f"schemas of {manifest.file.name} do not fit:", problems)
    return tuple(flow.findings(manifest, plan))


def _check(
    manifest: Manifest,
    targets: Sequence[str],
    code: Code = lambda name: None,
    against: Path | None = None,
) -> list[Checked]:
    from portafaas.capabilities import check_target
    from portafaas.plan.build import build_plan
    from portafaas.registry import get_adapter

    checked: list[Checked] = []
    failures: list[DiagnosticsError] = []
    common: tuple[Diagnostic, ...] | None = None
    for target in targets:
        adapter = get_adapter(target)
        plan = build_plan(manifest, target, code)
        if common is None:
            common = _choreography(manifest, plan, against)
        try:
            notes = check_target(manifest, plan, adapter)
        except DiagnosticsError as error:
            failures.append(error)
        else:
            checked.append(Checked(manifest, adapter, plan, (*common, *notes)))
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
    infrastructure: bool = False,
    progress: Progress = _quiet,
) -> list[Built]:
    """Build a package for each target and publish all of them; see :func:`output_folder`.

    With *infrastructure* what each package needs around it is written beside it. Raises a
    DiagnosticsError of the stage that failed; then the output folder is as it was.
    """
    progress("checking the manifest")
    manifest_file = absolute(manifest_file)
    root = manifest_file.parent
    out = root / DEFAULT_OUT if out is None else absolute(out)
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
    python = _glimpse(manifest_file)
    with scratch_beside(out) as scratch, _begun(python, root, scratch) as project:
        manifest = _load(manifest_file, stage)
        project.read(
            str(root), manifest.python, manifest.include, manifest.exclude, _inside(root, out)
        )
        checked = _check(manifest, targets, project.code)
        emitted = _emitted(manifest, checked) if infrastructure else {}
        made = _packages(checked, emitted, project, (root, out, scratch), progress)
        publish(
            scratch,
            [(folder, output_folder(out, stage, folder.name)) for folder, _ in made],
        )
    _keep_schemas(root, checked, made)
    return [_built(output_folder(out, stage, folder.name), facts) for folder, facts in made]


def _keep_schemas(
    root: Path, checked: Sequence[Checked], made: Sequence[tuple[Path, dict[str, Any]]]
) -> None:
    """Keep the schemas for the next build to be compared with; a warning when that fails."""
    from portafaas.choreography import baseline

    if not checked:
        return
    try:
        baseline.write(root, checked[0].plan)
    except OSError as exc:
        text = f"the schemas cannot be kept, so that the next build compares none: {exc.strerror}"
        for _, facts in made:
            facts["notes"].append(Diagnostic("PF2119", text, severity="warning").as_dict())


def _glimpse(manifest_file: Path) -> str:
    """Return the Python version that the manifest seems to name, without parsing it.

    A wrong guess costs the start of a child. Raises ManifestError (PF1000) for a manifest that is
    not there, before anything is written.
    """
    import re

    try:
        text = manifest_file.read_bytes()
    except OSError:
        from portafaas.manifest.load import load_manifest

        load_manifest(manifest_file)  # says why
        raise
    found = re.search(rb"""^python:[ \t]*["']?(\d+\.\d+)""", text, re.MULTILINE)
    return found[1].decode() if found else DEFAULT_PYTHON


def _load(manifest_file: Path, stage: str | None) -> Manifest:
    from portafaas.manifest.load import load_manifest
    from portafaas.registry import installed_targets

    manifest = load_manifest(manifest_file, stage)
    if stage in installed_targets():
        raise ArtifactError(
            "nothing was built:",
            [
                manifest.diagnostic(
                    "PF5000",
                    ("stages", stage),
                    f"stage {stage!r} would share a folder with target {stage!r} built without one",
                    "choose another name",
                )
            ],
        )
    return manifest


def _inside(root: Path, out: Path) -> str | None:
    return out.relative_to(root).as_posix() if out.is_relative_to(root) else None


@contextmanager
def _begun(python: str, root: Path, scratch: Path) -> Iterator[Project]:
    """Start what compiles the project's modules, while the manifest is read and the plan made."""
    from portafaas.artifact.cache import home
    from portafaas.artifact.project import Project

    work = scratch / ".work"
    work.mkdir()
    project = Project(python, str(root / STATE / "cache"), home(), str(work))
    try:
        yield project
    finally:
        project.stop()


def _emitted(manifest: Manifest, checked: Sequence[Checked]) -> dict[str, Infrastructure]:
    """Return the infrastructure by target; raises what the platforms' engines would refuse."""
    from portafaas.adapter import Infrastructure
    from portafaas.capabilities import place

    emitted: dict[str, Infrastructure] = {}
    failures: list[DiagnosticsError] = []
    for item in checked:
        target = item.adapter.target
        made = item.adapter.infrastructure(item.plan).placed(item.plan)
        notes = tuple(place(manifest, note) for note in made.notes)
        errors = [note for note in notes if note.severity == "error"]
        if errors:
            summary = f"target {target!r} has no such infrastructure:"
            failures.append(UnsupportedCapabilityError(summary, errors))
        else:
            notes += tuple(_retries(item, made))
        emitted[target] = Infrastructure(
            made.documents, made.permissions, notes, made.resources, made.redeliveries
        )
    _raise_all(failures)
    return emitted


def _packages(
    checked: Sequence[Checked],
    emitted: Mapping[str, Infrastructure],
    project: Project,
    places: tuple[Path, Path, Path],
    progress: Progress,
) -> list[tuple[Path, dict[str, Any]]]:
    """Return the finished folder of each target, called like it, and what is known of it."""
    from portafaas.artifact import Assembly, PackageRequest

    root, out, scratch = places
    jobs: list[Assembly] = []
    started: list[tuple[Checked, Lowered, Assembly]] = []
    failures: list[DiagnosticsError] = []
    made: list[tuple[Path, dict[str, Any]]] = []
    try:
        for item in checked:
            lowered = item.adapter.lower(item.plan)
            request = PackageRequest(
                *(root, item.plan, item.adapter.target, item.adapter.layout, lowered.files),
                _inside(root, out),
                tuple(item.adapter.requirements(item.plan)),
            )
            folder = scratch / request.target
            folder.mkdir()
            job = Assembly(request, project, folder, progress)
            jobs.append(job)
            try:
                job.start()
            except DiagnosticsError as error:
                failures.append(error)
            else:
                started.append((item, lowered, job))
        for item, lowered, job in started:
            folder = scratch / item.adapter.target
            try:
                package = job.finish()
            except DiagnosticsError as error:
                failures.append(error)
            else:
                around = emitted.get(item.adapter.target)
                made.append((folder, _described(item, lowered, package, around, folder)))
    finally:
        for job in jobs:
            job.stop()
        project.save()
    _raise_all(failures)
    return made


def _described(
    item: Checked,
    lowered: Lowered,
    package: Package,
    infrastructure: Infrastructure | None,
    folder: Path,
) -> dict[str, Any]:
    """Write the infrastructure and the deployment description beside *package*.

    Returns what is known of all of them.
    """
    plan = item.plan
    document = descriptor(plan, item.adapter, lowered, package.digest)
    around = infrastructure.documents if infrastructure is not None else {}
    notes = infrastructure.notes if infrastructure is not None else ()
    documents = {f"{plan.service}.deployment.json": document, **around}
    for name, content in documents.items():
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        (folder / name).write_text(text, encoding="utf-8")
    return {
        "target": item.adapter.target,
        "service": plan.service,
        "digest": package.digest,
        "size": package.size,
        "unzipped": package.unzipped,
        "files": package.files,
        "infrastructure": sorted(around),
        "notes": [note.as_dict() for note in (*item.notes, *package.notes, *notes)],
    }


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
        tuple(place / name for name in facts["infrastructure"]),
        tuple(Diagnostic(**note) for note in facts["notes"]),
    )
