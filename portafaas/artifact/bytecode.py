"""Bytecode for the target's Python version, compiled at build time.

A zip's files bear the date 1980, so a ``.pyc`` that is checked by time is never valid in one;
unchecked-hash files (PEP 552, https://peps.python.org/pep-0552/) are valid always, which at the
cold start saves compiling everything that is imported. They must be made by an interpreter of the
very version that runs them.
"""

# Plain strings instead of pathlib: it would cost more than the work itself.
# ruff: noqa: PTH110, PTH118, PTH120, PTH123
from __future__ import annotations

import os
from collections.abc import Sequence

from portafaas.artifact.cache import FORMAT, read
from portafaas.artifact.child import Child, environment
from portafaas.artifact.interpreter import Interpreter
from portafaas.artifact.member import Member
from portafaas.errors import Diagnostic

_SCRIPT = os.path.join(os.path.dirname(__file__), "compile_child.py")


def pyc_name(name: str, tag: str) -> str:
    """Return where the bytecode of ``a/b.py`` goes: ``a/__pycache__/b.cpython-312.pyc``."""
    folder, slash, base = name.rpartition("/")
    return f"{folder}{slash}__pycache__/{base.removesuffix('.py')}.{tag}.pyc"


class Compilation:
    """One child that compiles files: started at once, waited for by :meth:`failures`."""

    __slots__ = ("_answers", "_child", "jobs")

    def __init__(
        self,
        interpreter: Interpreter,
        jobs: Sequence[tuple[str, str, str]],
        scratch: str,
        label: str,
    ) -> None:
        """Each job is ``(source path, name inside the package, path of the .pyc)``."""
        self.jobs = jobs
        self._child: Child | None = None
        self._answers = os.path.join(scratch, f"{label}.answers")
        if not jobs:
            return
        work = os.path.join(scratch, f"{label}.work")
        with open(work, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write("\n".join("\0".join(job) for job in jobs))
        self._child = Child(
            [interpreter.path, "-S", "-s", "-B", "-W", "ignore", _SCRIPT, work, self._answers],
            environment(PYTHONHASHSEED="0"),
            os.path.join(scratch, f"{label}.log"),
        )

    def failures(self) -> list[tuple[str, int, str]]:
        """Wait, and return ``(name, line or 0, message)`` of what does not compile.

        Raises RuntimeError when the interpreter itself failed.
        """
        if self._child is None:
            return []
        code = self._child.wait()
        if code != 0:
            output = self._child.output().strip()
            raise RuntimeError(f"the bytecode compiler ended with {code}: {output[-2000:]}")
        with open(self._answers, encoding="utf-8", errors="surrogateescape") as file:
            answers = [line.split("\0") for line in file.read().split("\n") if line]
        return [(name, int(line), message) for name, line, message in answers]

    def stop(self) -> None:
        """Kill the child if it still runs."""
        if self._child is not None:
            self._child.stop()


class UserBytecode:
    """The bytecode of the project's, the generated and the runtime's modules, cached by content.

    The name is part of the key, for it is inside the bytecode.
    """

    __slots__ = ("_compilation", "_interpreter", "_paths", "compiled")

    def __init__(
        self,
        members: Sequence[Member],
        stage: str,
        interpreter: Interpreter,
        cache: str,
        scratch: str,
    ) -> None:
        """Start compiling whatever the cache lacks; *stage* is a folder with the members' files."""
        from hashlib import sha256

        self._interpreter = interpreter
        folder = os.path.join(cache, "bytecode", f"{FORMAT}-{interpreter.identity}")
        self._paths: list[tuple[Member, str]] = []
        jobs = []
        for member in members:
            if not member.name.endswith(".py"):
                continue
            key = sha256(f"{member.sha256}\0{member.name}".encode()).hexdigest()
            path = os.path.join(folder, key[:2], key)
            self._paths.append((member, path))
            if not os.path.exists(path):
                jobs.append((os.path.join(stage, member.name), member.name, path))
        #: Number of modules that were not in the cache.
        self.compiled = len(jobs)
        self._compilation = Compilation(interpreter, jobs, scratch, "bytecode")

    def collect(self) -> tuple[list[Member], list[Diagnostic]]:
        """Wait, and return the ``.pyc`` members and a PF5202 for each file that fails."""
        failed = {name: (line, why) for name, line, why in self._compilation.failures()}
        members: list[Member] = []
        problems: list[Diagnostic] = []
        for source, path in self._paths:
            if source.name in failed:
                line, why = failed[source.name]
                problems.append(
                    Diagnostic(
                        "PF5202",
                        f"does not compile with {self._interpreter.tag}: {why}",
                        file=source.name,
                        line=line or None,
                        hint="correct it, or name it in sources.exclude",
                    )
                )
                continue
            data = read(path)
            if data is None:
                raise RuntimeError(f"the bytecode of {source.name} vanished from the cache")
            name = pyc_name(source.name, self._interpreter.tag)
            members.append(Member(name, 0o644, data, source.origin))
        return members, problems

    def stop(self) -> None:
        """Kill the compiler if it still runs."""
        self._compilation.stop()


def missing_interpreter(version: str) -> Diagnostic:
    """Return the note PF5201: no bytecode in this package."""
    return Diagnostic(
        "PF5201",
        f"no Python {version} is installed here, so the package has no bytecode and starts slower",
        hint=f"install Python {version}, or put python{version} on PATH",
        severity="note",
    )
