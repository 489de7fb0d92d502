"""From sources, generated files, runtime and dependencies to one zip and its bill of materials.

The order is chosen for time: children (bytecode, import check) run while this process hashes and
compresses. Everything is written to the caller's scratch folder.
"""

# Plain strings instead of pathlib: it would cost more than the work itself.
# ruff: noqa: PTH100, PTH103, PTH108, PTH114, PTH118, PTH123
from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from portafaas.artifact import runtime, verify, zipper, zones
from portafaas.artifact.bytecode import Bytecode, missing_interpreter
from portafaas.artifact.interpreter import Interpreter
from portafaas.artifact.member import Member, content_digest
from portafaas.artifact.model import Package, PackageRequest
from portafaas.artifact.project import Project
from portafaas.artifact.tree import remove
from portafaas.errors import ArtifactError, DependencyError, Diagnostic, DiagnosticsError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from portafaas.artifact.importcheck import ImportCheck
    from portafaas.artifact.tree import Tree


def begin(request: PackageRequest, scratch: Path, cache: Path) -> Project:
    """Read the project and start compiling it, for :func:`assemble`; to be stopped at the end."""
    plan = request.plan
    return Project(
        str(request.root), plan.python, plan.include, plan.exclude, request.out, str(cache),
        str(scratch),
    )  # fmt: skip


def assemble(
    request: PackageRequest,
    scratch: Path,
    cache: Path,
    progress: Callable[[str], None] = lambda message: None,
    *,
    project: Project | None = None,
    shared: Path | None = None,
) -> Package:
    """Write ``<service>.zip`` and ``<service>.cdx.json`` to *scratch* and describe them.

    *cache* may be shared by all projects, and *shared*, by default the same, should be. A *project*
    that :func:`begin` made is shared by the targets of one build. The one file written elsewhere
    is the project's lock.
    Raises ArtifactError (PF50xx, PF52xx, PF53xx, with PF51xx among them when both occur) or
    DependencyError (PF51xx), each with every problem found.
    """
    work = os.path.join(os.path.abspath(scratch), f".{request.target}.work")
    os.makedirs(work, exist_ok=True)
    own = project or begin(request, Path(work), cache)
    job = _Assembly(request, own, str(scratch), str(shared or cache), work, progress)
    try:
        return job.run()
    finally:
        job.stop()
        if project is None:
            own.stop()
        remove(work)


class _Assembly:
    def __init__(
        self,
        request: PackageRequest,
        project: Project,
        scratch: str,
        shared: str,
        work: str,
        progress: Callable[[str], None],
    ) -> None:
        self.request = request
        self.project = project
        self.plan = request.plan
        self.layout = request.layout
        self.scratch = scratch
        self.cache = project.cache
        self.shared = os.path.abspath(shared)
        self.work = work
        self.progress = progress
        self.found: list[Diagnostic] = []
        self.unmet: list[Diagnostic] = []
        self.zones: list[Member] = []
        self.bytecode: Bytecode | None = None
        self.check: ImportCheck | None = None

    def stop(self) -> None:
        """Kill what still runs."""
        if self.bytecode is not None:
            self.bytecode.worker.stop()

    def run(self) -> Package:
        interpreter = self.project.interpreter
        generated = [
            Member(name, 0o644, bytes(data), "generated")
            for name, data in self.request.generated.items()
        ]
        own = [*self.project.members, *generated]
        keys: dict[str, str] = {}
        taken = self.project.take(self.work)
        if taken is not None:
            self.bytecode, keys = taken
        shipped = self._runtime(interpreter)
        members = [*own, *shipped.members("", "runtime")]
        self._names(members)
        tree = self._dependencies(interpreter)
        installed = tree.members(self.layout.dependencies, "dependency") if tree else []
        self.zones = zones.members(self.plan, self._importable(own, tree))
        own += self.zones
        stage = os.path.join(self.work, "stage")
        if interpreter is None:
            from portafaas.artifact.importcheck import not_run

            self.found.append(missing_interpreter(self.plan.python))
            self.found.append(not_run(f"that takes Python {self.plan.python}"))
        else:
            _write_stage(own, stage)
        if self.bytecode is not None:
            keys = keys | self.bytecode.start([*generated, *self.zones])
        if self.bytecode is not None and not self.unmet:
            self.check = self._start_check(self.bytecode, stage, shipped, tree)
        self.found += self.project.secrets()
        members += (*self.zones, *installed)
        if tree is not None:
            self.found += verify.names(members, self._reserved())
        compiled = 0
        if self.bytecode is not None:
            extra, problems = self.bytecode.collect(own, keys)
            members += extra
            self.found += problems
            self.bytecode.keep(keys.values())
            compiled = self.bytecode.compiled
        members.sort(key=lambda member: member.name)
        reused = not compiled and shipped.reused and (tree is None or tree.reused)
        return self._write(members, tree, reused=reused)

    def _runtime(self, interpreter: Interpreter | None) -> Tree:
        package = self.layout.runtime_package
        try:
            return runtime.ensure(package, interpreter, self.shared, self.work)
        except OSError:
            # A home that cannot be written to costs time, not the build.
            return runtime.ensure(package, interpreter, self.cache, self.work)

    def _names(self, members: list[Member]) -> None:
        """Raise if there is something wrong with the names, or with reading the files."""
        problems = [*self.project.problems, *verify.names(members, self._reserved())]
        if problems:
            raise ArtifactError(
                f"the package for {self.request.target} cannot be made",
                [*problems, *self.project.secrets()],
            )

    @staticmethod
    def _importable(own: list[Member], tree: Tree | None) -> Iterator[str]:
        """Yield names as they are seen by imports."""
        yield from (member.name for member in own)
        if tree is not None:
            yield from (row[0] for row in tree.rows)

    def _reserved(self) -> set[str]:
        return {"portafaas", self.layout.runtime_package.partition(".")[0]}

    def _dependencies(self, interpreter: Interpreter | None) -> Tree | None:
        wanted = self.plan.dependencies
        if not wanted.file:
            return None
        from portafaas.artifact import dependencies, lockfile, prune

        platform = lockfile.platform_tag(
            self.layout.glibc.get(self.plan.python, "2.17"), self.plan.architecture
        )
        try:
            self.progress("dependencies")
            lock = lockfile.ensure(
                str(self.request.root),
                wanted.file,
                self.plan.python,
                platform,
                wanted.allow_sdist,
                self.work,
            )
            if lock.note is not None:
                self.found.append(lock.note)
            mentioned = prune.mentions(
                (member.name, member.data) for member in self.project.members
            )
            return dependencies.ensure(
                self.plan, lock, platform, interpreter, mentioned, self.cache, self.work
            )
        except DependencyError as error:
            self.unmet += error.diagnostics
            return None

    def _start_check(
        self, bytecode: Bytecode, stage: str, shipped: Tree, tree: Tree | None
    ) -> ImportCheck | None:
        from portafaas.artifact import importcheck

        if tree is not None and tree.native and not _runs_here(self.plan.architecture):
            self.found.append(
                importcheck.not_run(
                    f"its extension modules are for Linux on {self.plan.architecture}"
                )
            )
            return None
        self.progress("import check")
        return importcheck.ImportCheck(
            self.plan,
            bytecode.worker,
            stage,
            [part.files for part in (shipped, tree) if part is not None],
            entries=sorted(
                name.removesuffix(".py")
                for name in self.request.generated
                if name.endswith(".py") and "/" not in name
            ),
            provided=self.layout.provided,
            variables=self.layout.environment,
        )

    def _write(self, members: list[Member], tree: Tree | None, *, reused: bool) -> Package:
        self.progress("package")
        service, target = self.plan.service, self.request.target
        file = os.path.join(self.scratch, f"{service}.zip")
        bill = os.path.join(self.scratch, f"{service}.cdx.json")
        try:
            size = zipper.write(file, members, self.cache)
        except zipper.TooLargeError as error:
            size = 0
            self.found.append(
                Diagnostic("PF5020", f"the package is too large for a zip: {error}")
            )
        digest = content_digest(members)
        from portafaas.artifact import sbom

        libraries = []
        if tree is not None:
            from portafaas.artifact.dependencies import components

            libraries = components(tree)
        if self.zones:
            libraries.append(zones.component(self.zones))
        data = sbom.document(self.plan, target, members, libraries, digest)
        with open(bill, "wb") as handle:
            handle.write(data)
        self.found += verify.sizes(members, size, self.layout.limits, target)
        if self.check is not None:
            self.found += self.check.problems()
        self._raise(file, bill)
        return Package(
            Path(file),
            Path(bill),
            digest,
            size,
            sum(member.size for member in members),
            len(members),
            tuple(self.found),
            reused,
        )

    def _raise(self, *written: str) -> None:
        wrong = [problem for problem in self.found if problem.severity == "error"]
        if not wrong and not self.unmet:
            return
        for path in written:
            os.unlink(path)
        summary = f"the package for {self.request.target} cannot be made"
        kind: type[DiagnosticsError] = ArtifactError if wrong else DependencyError
        raise kind(summary, [*self.unmet, *wrong])


def _runs_here(architecture: str) -> bool:
    machine = os.uname()
    here = {"amd64": "x86_64", "arm64": "aarch64"}.get(machine.machine, machine.machine)
    return machine.sysname == "Linux" and here == architecture


def _write_stage(members: list[Member], folder: str) -> None:
    """Lay out *members* in *folder* for the import check.

    Links where it can: on some file systems a new file costs more than importing it.
    """
    made: set[str] = set()
    for member in members:
        path = f"{folder}/{member.name}"
        parent = path.rpartition("/")[0]
        if parent not in made:
            os.makedirs(parent, exist_ok=True)
            made.add(parent)
        if member.path and not os.path.islink(member.path):
            try:
                os.link(member.path, path)
                continue
            except OSError:
                pass  # another file system, or one without links
        with open(path, "wb") as file:
            file.write(member.data)
