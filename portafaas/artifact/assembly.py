"""From sources, generated files, runtime and dependencies to one zip and its bill of materials.

The order is chosen for time: children (bytecode, import check) run while this process hashes and
compresses. Everything is written to the caller's scratch folder.
"""

# Plain strings instead of pathlib: it would cost more than the work itself.
# ruff: noqa: PTH100, PTH103, PTH108, PTH114, PTH118, PTH123
from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from portafaas.artifact import secretscan, sources, verify, zipper
from portafaas.artifact.bytecode import UserBytecode, missing_interpreter
from portafaas.artifact.interpreter import Interpreter, find
from portafaas.artifact.member import Member, content_digest
from portafaas.artifact.model import Package, PackageRequest
from portafaas.artifact.runtime import runtime_files
from portafaas.errors import ArtifactError, DependencyError, Diagnostic, DiagnosticsError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from portafaas.artifact.dependencies import Tree
    from portafaas.artifact.importcheck import ImportCheck


def assemble(
    request: PackageRequest,
    scratch: Path,
    cache: Path,
    progress: Callable[[str], None] = lambda message: None,
) -> Package:
    """Write ``<service>.zip`` and ``<service>.cdx.json`` to *scratch* and describe them.

    *cache* may be shared by all projects. The one file written elsewhere is the project's lock.
    Raises ArtifactError (PF50xx, PF52xx, PF53xx, with PF51xx among them when both occur) or
    DependencyError (PF51xx), each with every problem found.
    """
    work = os.path.join(os.path.abspath(scratch), f".{request.target}.work")
    os.makedirs(work, exist_ok=True)
    job = _Assembly(request, str(scratch), os.path.abspath(cache), work, progress)
    try:
        return job.run()
    finally:
        job.stop()
        from shutil import rmtree

        rmtree(work, ignore_errors=True)


class _Assembly:
    def __init__(
        self,
        request: PackageRequest,
        scratch: str,
        cache: str,
        work: str,
        progress: Callable[[str], None],
    ) -> None:
        self.request = request
        self.plan = request.plan
        self.layout = request.layout
        self.scratch = scratch
        self.cache = cache
        self.work = work
        self.progress = progress
        self.found: list[Diagnostic] = []
        self.unmet: list[Diagnostic] = []
        self.bytecode: UserBytecode | None = None
        self.check: ImportCheck | None = None

    def stop(self) -> None:
        """Kill what still runs."""
        if self.bytecode is not None:
            self.bytecode.stop()
        if self.check is not None:
            self.check.stop()

    def run(self) -> Package:
        own = self._own_members()
        interpreter = find(self.plan.python, self.cache, self.work)
        stage = os.path.join(self.work, "stage")
        if interpreter is None:
            from portafaas.artifact.importcheck import not_run

            self.found.append(missing_interpreter(self.plan.python))
            self.found.append(not_run(f"that takes Python {self.plan.python}"))
        else:
            self.bytecode = UserBytecode(own, interpreter, self.cache, self.work)
            _write_stage(own, stage)
        tree = self._dependencies(own, interpreter)
        if interpreter is not None and not self.unmet:
            self.check = self._start_check(interpreter, stage, tree)
        self._scan(own)
        members = [*own]
        if tree is not None:
            members += tree.members(self.layout.dependencies)
            self.found += verify.names(members, self._reserved())
        compiled = 0
        if self.bytecode is not None:
            extra, problems = self.bytecode.collect()
            members += extra
            self.found += problems
            compiled = self.bytecode.compiled
        members.sort(key=lambda member: member.name)
        return self._write(members, tree, reused=not compiled and (tree is None or tree.reused))

    def _own_members(self) -> list[Member]:
        """Return the project's, the generated and the runtime's files; raise if names are wrong."""
        request = self.request
        chosen, problems = sources.select(
            str(request.root), self.plan.include, self.plan.exclude, request.out
        )
        members = []
        for source in chosen:
            try:
                with open(source.path, "rb") as file:
                    members.append(
                        Member(source.name, source.mode, file.read(), "user", path=source.path)
                    )
            except OSError as error:
                problems.append(
                    Diagnostic(
                        "PF5006", f"cannot be read: {error.strerror}", file=source.name
                    )
                )
        for name, data in request.generated.items():
            members.append(Member(name, 0o644, bytes(data), "generated"))
        for package in ("portafaas.runtime", self.layout.runtime_package):
            for name, path in runtime_files(package):
                with open(path, "rb") as file:
                    members.append(Member(name, 0o644, file.read(), "runtime", path=path))
        problems += verify.names(members, self._reserved())
        if problems:
            self._scan(members)
            raise ArtifactError(
                f"the package for {request.target} cannot be made", [*problems, *self.found]
            )
        return members

    def _reserved(self) -> set[str]:
        return {"portafaas", self.layout.runtime_package.partition(".")[0]}

    def _scan(self, members: list[Member]) -> None:
        for member in members:
            if member.origin != "user":
                continue
            refused = secretscan.environment_file(member.name)
            if refused is not None:
                self.found.append(refused)
            self.found += secretscan.scan(member.name, member.data)

    def _dependencies(self, own: list[Member], interpreter: Interpreter | None) -> Tree | None:
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
                (member.name, member.data) for member in own if member.origin == "user"
            )
            return dependencies.ensure(
                self.plan, lock, platform, interpreter, mentioned, self.cache, self.work
            )
        except DependencyError as error:
            self.unmet += error.diagnostics
            return None

    def _start_check(
        self, interpreter: Interpreter, stage: str, tree: Tree | None
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
            interpreter,
            stage,
            tree.files if tree is not None else None,
            entries=sorted(
                name.removesuffix(".py")
                for name in self.request.generated
                if name.endswith(".py") and "/" not in name
            ),
            provided=self.layout.provided,
            # Read so for adapters that were written before the field.
            variables=getattr(self.layout, "environment", {}),
            scratch=self.work,
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

        libraries = tree.components() if tree is not None else []
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
