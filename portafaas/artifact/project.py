"""What all targets' packages share: the project's files, read, checked and compiled once."""

# Plain strings instead of pathlib: it would cost more than the work itself.
# ruff: noqa: PTH100, PTH123
from __future__ import annotations

import os
from collections.abc import Sequence

from portafaas.artifact import secretscan, sources
from portafaas.artifact.bytecode import Bytecode
from portafaas.artifact.interpreter import Interpreter, find
from portafaas.artifact.member import Member
from portafaas.artifact.worker import Worker
from portafaas.errors import Diagnostic


class Project:
    """The files of one project that ship, and a worker that compiles them from now on.

    ``problems`` are the PF500x of the files' names and of reading them; ``interpreter`` is None
    when none of the wanted version is installed. Call :meth:`stop` at the end.
    """

    def __init__(
        self,
        root: str,
        python: str,
        include: Sequence[str],
        exclude: Sequence[str],
        out: str | None,
        cache: str,
        scratch: str,
    ) -> None:
        """*out* is the output folder relative to *root*; the others as in a plan."""
        self.cache = os.path.abspath(cache)
        self.interpreter: Interpreter | None = find(python, self.cache, scratch)
        # Before the files are read: both take about as long.
        self._spare = Worker(self.interpreter, scratch) if self.interpreter else None
        self._bytecode: tuple[Bytecode, dict[str, str]] | None = None
        chosen, self.problems = sources.select(root, include, exclude, out)
        self.members: list[Member] = []
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
            self._bytecode = self._compile(self.interpreter, self._spare)
        self._secrets: list[Diagnostic] | None = None

    def _compile(
        self, interpreter: Interpreter, worker: Worker
    ) -> tuple[Bytecode, dict[str, str]]:
        bytecode = Bytecode(interpreter, worker, self.cache)
        return bytecode, bytecode.start(self.members)

    def take(self, scratch: str) -> tuple[Bytecode, dict[str, str]] | None:
        """Return a target's own compiler with the keys of the project's modules, if there is one.

        The caller stops its worker.
        """
        if self.interpreter is None:
            return None
        taken, self._bytecode, self._spare = self._bytecode, None, None
        return taken or self._compile(self.interpreter, Worker(self.interpreter, scratch))

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
        """Kill the worker that nobody took."""
        if self._spare is not None:
            self._spare.stop()
