"""What all targets' packages share: the project's files, read, checked and compiled once."""

# Plain strings instead of pathlib: it would cost more than the work itself.
# ruff: noqa: PTH100, PTH123
from __future__ import annotations

import marshal
import os
from collections.abc import Sequence
from types import CodeType

from portafaas.artifact import secretscan, sources
from portafaas.artifact.bytecode import Bytecode, Store
from portafaas.artifact.interpreter import Interpreter, find
from portafaas.artifact.member import Member
from portafaas.artifact.worker import Worker
from portafaas.errors import Diagnostic


class Project:
    """The files of one project that ship, and a worker that compiles them.

    Made before anything but the Python version is known, so that the worker starts meanwhile;
    :meth:`read` tells the rest. ``problems`` are the PF500x of the files' names and of reading
    them; ``interpreter`` is None when none of the wanted version is installed. Call :meth:`stop`
    at the end.
    """

    def __init__(self, python: str, cache: str, shared: str, scratch: str) -> None:
        """*python* is the version that :meth:`read` will probably be told.

        *cache* is for this project, *shared* for what all projects can use; neither is written to
        before :meth:`save` or an assembly, but for where interpreters are, in *shared*.
        """
        self.cache = os.path.abspath(cache)
        self.shared = os.path.abspath(shared)
        self._scratch = scratch
        self._start(python)
        self.problems: list[Diagnostic] = []
        self.members: list[Member] = []
        self._latest: Bytecode | None = None
        self._secrets: list[Diagnostic] | None = None

    def _start(self, python: str) -> None:
        self._python = python
        self.interpreter: Interpreter | None = find(python, self.shared, self._scratch)
        self._spare = Worker(self.interpreter, self._scratch) if self.interpreter else None

    def read(
        self,
        root: str,
        python: str,
        include: Sequence[str],
        exclude: Sequence[str],
        out: str | None,
    ) -> None:
        """Read the files and start compiling; *out* is the output folder relative to *root*."""
        if python != self._python:
            self.stop()
            self._start(python)
        chosen, self.problems = sources.select(root, include, exclude, out)
        for source in chosen:
            try:
                with open(source.path, "rb", buffering=0) as file:
                    data = file.read()
            except OSError as error:
                self.problems.append(
                    Diagnostic("PF5006", f"cannot be read: {error.strerror}", file=source.name)
                )
                continue
            self.members.append(
                Member(source.name, source.mode, data, "user", path=source.path)
            )
        if self.interpreter is not None and self._spare is not None:
            self._store = Store(self.interpreter, self.cache)
            self._latest = self._compile(self.interpreter, self._spare)

    def _compile(self, interpreter: Interpreter, worker: Worker) -> Bytecode:
        bytecode = Bytecode(interpreter, worker, self._store)
        bytecode.start(self.members)
        return bytecode

    def code(self, name: str) -> CodeType | None:
        """Return a module of the project, compiled, where this process can read the bytecode."""
        if self._latest is None or self.interpreter is None or not self.interpreter.is_this:
            return None
        self._latest.drain()
        data = self._latest.get(name)
        return None if data is None else marshal.loads(memoryview(data)[16:])

    def take(self, scratch: str) -> Bytecode | None:
        """Return a compiler of its own for a target, if there is an interpreter.

        The caller stops its worker.
        """
        if self.interpreter is None or self._latest is None:
            return None
        if self._spare is not None:
            self._spare = None
            return self._latest
        worker = Worker(self.interpreter, scratch)
        self._latest.drain()  # what one target has compiled, no other compiles again
        self._latest = self._compile(self.interpreter, worker)
        return self._latest

    def secrets(self) -> list[Diagnostic]:
        """Return PF5010 and PF5011 of all files."""
        if self._secrets is None:
            self._secrets = []
            for member in self.members:
                refused = secretscan.environment_file(member.name)
                if refused is not None:
                    self._secrets.append(refused)
                self._secrets += secretscan.scan(member.name, member.data)
        return self._secrets

    def stop(self) -> None:
        """Kill the worker that no target took."""
        if self._spare is not None:
            self._spare.stop()

    def save(self) -> None:
        """Write what was compiled to the cache."""
        if self._latest is not None:
            self._store.save()
