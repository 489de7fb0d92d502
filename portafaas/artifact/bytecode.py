"""Bytecode for the target's Python version, compiled at build time.

A zip's files bear the date 1980, so a ``.pyc`` that is checked by time is never valid in one;
unchecked-hash files (PEP 552, https://peps.python.org/pep-0552/) are valid always, which at the
cold start saves compiling everything that is imported. They must be made by an interpreter of the
very version that runs them.
"""

# Plain strings instead of pathlib: it would cost more than the work itself.
# ruff: noqa: PTH118
from __future__ import annotations

import os
from collections.abc import Iterable

from portafaas.artifact.cache import FORMAT, read, write_atomically
from portafaas.artifact.interpreter import Interpreter
from portafaas.artifact.member import Member
from portafaas.artifact.worker import Worker, packed, unpacked
from portafaas.errors import Diagnostic


def pyc_name(name: str, tag: str) -> str:
    """Return where the bytecode of ``a/b.py`` goes: ``a/__pycache__/b.cpython-312.pyc``."""
    folder, slash, base = name.rpartition("/")
    return f"{folder}{slash}__pycache__/{base.removesuffix('.py')}.{tag}.pyc"


class Bytecode:
    """The bytecode of the project's and the generated modules, cached by content.

    The name is part of the key, for it is inside the bytecode. All is in one file per interpreter:
    on some file systems creating a file takes longer than compiling a module.
    """

    __slots__ = ("_cached", "_fresh", "_orders", "_path", "compiled", "interpreter", "worker")

    def __init__(self, interpreter: Interpreter, worker: Worker, cache: str) -> None:
        """Use *worker* for what is not in *cache*."""
        self.interpreter = interpreter
        self.worker = worker
        self._path = os.path.join(cache, "bytecode", f"{FORMAT}-{interpreter.identity}.pack")
        self._cached = unpacked(read(self._path) or b"")
        self._orders: list[tuple[str, dict[str, str]]] = []
        self._fresh = False
        #: Number of modules that were not in the cache.
        self.compiled = 0

    def start(self, members: Iterable[Member]) -> dict[str, str]:
        """Start compiling whatever the cache lacks; return the keys of *members* by name."""
        from hashlib import sha256

        modules = [member for member in members if member.name.endswith(".py")]
        keys = {
            member.name: sha256(f"{member.sha256}\0{member.name}".encode()).hexdigest()
            for member in modules
        }
        lacking = {
            member.name: member.data
            for member in modules
            if keys[member.name] not in self._cached
        }
        known = {
            name: self._cached[key] for name, key in keys.items() if key in self._cached
        }
        if known:
            self.worker.load(known)
        if lacking:
            self.compiled += len(lacking)
            path = self.worker.compile(lacking)
            self._orders.append((path, {name: keys[name] for name in lacking}))
        return keys

    def collect(
        self, members: Iterable[Member], keys: dict[str, str]
    ) -> tuple[list[Member], list[Diagnostic]]:
        """Wait, and return the ``.pyc`` of *members*, and a PF5202 for each that fails.

        *keys* are what :meth:`start` returned.
        """
        problems: list[Diagnostic] = []
        while self._orders:
            path, ordered = self._orders.pop(0)
            compiled, failures = self.worker.answer(path)
            for name, line, why in failures:
                problems.append(
                    Diagnostic(
                        "PF5202",
                        f"does not compile with {self.interpreter.tag}: {why}",
                        file=name,
                        line=line or None,
                        hint="correct it, or name it in sources.exclude",
                    )
                )
            self._cached |= {ordered[name]: data for name, data in compiled.items()}
            self._fresh = True
        tag = self.interpreter.tag
        found = [
            Member(pyc_name(member.name, tag), 0o644, self._cached[key], member.origin)
            for member in members
            if (key := keys.get(member.name)) is not None and key in self._cached
        ]
        return found, problems

    def keep(self, keys: Iterable[str]) -> None:
        """Write the cache, if there is anything new; *keys* are in use."""
        if not self._fresh:
            return
        used = {key for key in keys if key in self._cached}
        # Other branches share the file; what nobody used for long goes with the rest.
        if len(self._cached) > 4 * len(used) + 200:
            self._cached = {key: self._cached[key] for key in used}
        write_atomically(self._path, packed(self._cached))


def missing_interpreter(version: str) -> Diagnostic:
    """Return the note PF5201: no bytecode in this package."""
    return Diagnostic(
        "PF5201",
        f"no Python {version} is installed here, so the package has no bytecode and starts slower",
        hint=f"install Python {version}, or put python{version} on PATH",
        severity="note",
    )
