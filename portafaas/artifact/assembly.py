"""From sources, generated files, runtime and dependencies to one zip and its bill of materials.

The order is chosen for time: children (bytecode, import check) run while this process hashes and
compresses. Everything is written to the caller's scratch folder.
"""

# Plain strings instead of pathlib: it would cost more than the work itself.
# ruff: noqa: PTH100, PTH103, PTH108, PTH118, PTH123
from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from portafaas.artifact import importcheck, runtime, verify, zipper, zones
from portafaas.artifact.bytecode import Bytecode, missing_interpreter
from portafaas.artifact.interpreter import Interpreter
from portafaas.artifact.member import Member, content_digest
from portafaas.artifact.model import Package, PackageRequest
from portafaas.artifact.project import Project
from portafaas.artifact.tree import remove
from portafaas.errors import ArtifactError, DependencyError, Diagnostic, DiagnosticsError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from portafaas.artifact.tree import Tree


def assemble(
    request: PackageRequest,
    scratch: Path,
    cache: Path,
    progress: Callable[[str], None] = lambda message: None,
    *,
    shared: Path | None = None,
) -> Package:
    """Write ``<service>.zip`` and ``<service>.cdx.json`` to *scratch* and describe them.

    One target alone; see :class:`Assembly` for the arguments and errors.
    """
    work = os.path.join(os.path.abspath(scratch), ".project.work")
    os.makedirs(work, exist_ok=True)
    plan = request.plan
    project = Project(plan.python, str(cache), str(shared or cache), work)
    try:
        project.read(str(request.root), plan.python, plan.include, plan.exclude, request.out)
        job = Assembly(request, project, scratch, progress)
        try:
            job.start()
            return job.finish()
        finally:
            job.stop()
            project.save()
    finally:
        project.stop()
        remove(work)


class Assembly:
    """The package of one target of a *project*, which has been read and is shared by all targets.

    Start all targets first: their children then run while this process compresses. Everything is
    written to *scratch*, but for the project's lock and the caches. :meth:`start` and
    :meth:`finish` raise ArtifactError (PF50xx, PF52xx, PF53xx, with PF51xx among them when both
    occur) or DependencyError (PF51xx), each with every problem found.
    """

    def __init__(
        self,
        request: PackageRequest,
        project: Project,
        scratch: Path,
        progress: Callable[[str], None] = lambda message: None,
    ) -> None:
        self.request = request
        self.project = project
        self.plan = request.plan
        self.layout = request.layout
        self.scratch = os.path.abspath(scratch)
        self.cache = project.cache
        self.work = os.path.join(self.scratch, f".{request.target}.work")
        self._progress = progress
        self.found: list[Diagnostic] = []
        self.unmet: list[Diagnostic] = []
        self.zones: list[Member] = []
        self.members: list[Member] = []
        self.tree: Tree | None = None
        self.bytecode: Bytecode | None = None
        self.check: importcheck.ImportCheck | None = None
        self.reused = False

    def stop(self) -> None:
        """Kill what still runs, and clear up."""
        if self.bytecode is not None:
            self.bytecode.worker.stop()
        remove(self.work)

    def start(self) -> None:
        """Gather the members, and start compiling them and importing the handlers."""
        os.makedirs(self.work, exist_ok=True)
        interpreter = self.project.interpreter
        generated = [
            Member(name, 0o644, bytes(data), "generated")
            for name, data in self.request.generated.items()
        ]
        own = [*self.project.members, *generated]
        self.bytecode = self.project.take(self.work)
        if self.bytecode is not None:
            self.bytecode.start(generated)
        shipped = self._runtime(interpreter)
        self.members = [*own, *shipped.members("", "runtime")]
        self._names(self.members)
        self.tree = tree = self._dependencies(interpreter)
        self.zones = zones.members(self.plan, self._importable(own, tree))
        self.reused = shipped.reused and (tree is None or tree.reused)
        self.members += self.zones
        if tree is not None:
            self.members += tree.members(self.layout.dependencies, "dependency")
            self.found += verify.names(self.members, self._reserved())
        if self.bytecode is None:
            self.found.append(missing_interpreter(self.plan.python))
            self.found.append(importcheck.not_run(f"that takes Python {self.plan.python}"))
            return
        stage = os.path.join(self.work, "stage")
        importcheck.write_stage([*own, *self.zones], stage)
        self.bytecode.start(self.zones)
        if not self.unmet:
            self.check = self._start_check(self.bytecode, stage, shipped, tree)

    def finish(self) -> Package:
        """Wait for the bytecode, write the files, and wait for the imports."""
        self.found += self.project.secrets()
        if self.bytecode is not None:
            compiled, problems = self.bytecode.collect()
            self.members += compiled
            self.found += problems
            self.reused &= not self.bytecode.compiled
        self.members.sort(key=lambda member: member.name)
        return self._write()

    def _runtime(self, interpreter: Interpreter | None) -> Tree:
        package = self.layout.runtime_package
        try:
            return runtime.ensure(package, interpreter, self.project.shared, self.work)
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

    def _say(self, text: str) -> None:
        self._progress(f"{self.request.target}: {text}")

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
        if not wanted.file and not self.request.added:
            return None
        from portafaas.artifact import dependencies, lockfile, prune

        platform = lockfile.platform_tag(
            self.layout.glibc.get(self.plan.python, "2.17"), self.plan.architecture
        )
        try:
            self._say("dependencies")
            lock = lockfile.ensure(
                str(self.request.root),
                wanted.file,
                self.plan.python,
                platform,
                wanted.allow_sdist,
                self.work,
                self.request.added,
                self.request.target,
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
    ) -> importcheck.ImportCheck | None:
        if tree is not None and tree.native and not importcheck.runs_here(self.plan.architecture):
            self.found.append(
                importcheck.not_run(
                    f"its extension modules are for Linux on {self.plan.architecture}"
                )
            )
            return None
        self._say("import check")
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

    def _write(self) -> Package:
        self._say("package")
        members = self.members
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
        if self.tree is not None:
            from portafaas.artifact.dependencies import components

            libraries = components(self.tree)
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
            self.reused,
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
