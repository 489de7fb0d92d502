"""Bytecode for the target's Python version, compiled at build time.

A zip's files bear the date 1980, so a ``.pyc`` that is checked by time is never valid in one;
unchecked-hash files (PEP 552, https://peps.python.org/pep-0552/) are valid always, which at the
cold start saves compiling everything that is imported. They must be made by an interpreter of the
very version that runs them.
"""

# Plain strings instead of pathlib: it would cost more than the work itself.
# ruff: noqa: PTH118
from __future__ import annotations

import contextlib
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


class Store:
    """The bytecode of the project's and the generated modules, cached by content.

    The name is part of the key, for it is inside the bytecode. All is in one file per interpreter:
    on some file systems creating a file takes longer than compiling a module.
    """

    __slots__ = ("_fresh", "_path", "_used", "contents")

    def __init__(self, interpreter: Interpreter, cache: str) -> None:
        self._path = os.path.join(cache, "bytecode", f"{FORMAT}-{interpreter.identity}.pack")
        self.contents = unpacked(read(self._path) or b"")
        self._used: set[str] = set()
        self._fresh = False

    def key(self, member: Member) -> str:
        """Return the key of a module, which counts as used."""
        from hashlib import sha256

        key = sha256(f"{member.sha256}\0{member.name}".encode()).hexdigest()
        self._used.add(key)
        return key

    def add(self, key: str, data: bytes) -> None:
        """Put in what was compiled."""
        self.contents[key] = data
        self._fresh = True

    def save(self) -> None:
        """Write it back, if there is anything new."""
        if not self._fresh:
            return
        used = self._used & self.contents.keys()
        # Other branches share the file; what nobody used for long goes with the rest.
        if len(self.contents) > 4 * len(used) + 200:
            self.contents = {key: self.contents[key] for key in used}
        with contextlib.suppress(OSError):  # costs the next build time, nothing else
            write_atomically(self._path, packed(self.contents))


class Bytecode:
    """The bytecode of one target's modules: from the store, or made by a worker."""

    __slots__ = ("_keys", "_orders", "_problems", "_store", "compiled", "interpreter", "worker")

    def __init__(self, interpreter: Interpreter, worker: Worker, store: Store) -> None:
        self.interpreter = interpreter
        self.worker = worker
        self._store = store
        self._keys: dict[str, tuple[Member, str]] = {}
        self._orders: list[tuple[str, dict[str, str]]] = []
        self._problems: list[Diagnostic] = []
        #: Number of modules that were not in the store.
        self.compiled = 0

    def start(self, members: Iterable[Member]) -> None:
        """Tell the worker what is known of *members*, and to compile the rest."""
        known, lacking, ordered = {}, {}, {}
        for member in members:
            name = member.name
            if not name.endswith(".py"):
                continue
            key = self._store.key(member)
            self._keys[name] = member, key
            if key in self._store.contents:
                known[name] = self._store.contents[key]
            else:
                lacking[name] = member.data
                ordered[name] = key
        if known:
            self.worker.load(known)
        if lacking:
            self.compiled += len(lacking)
            self._orders.append((self.worker.compile(lacking), ordered))

    def drain(self) -> None:
        """Wait until all is compiled."""
        while self._orders:
            path, ordered = self._orders.pop(0)
            compiled, failures = self.worker.answer(path)
            for name, data in compiled.items():
                self._store.add(ordered[name], data)
            for name, line, why in failures:
                self._problems.append(
                    Diagnostic(
                        "PF5202",
                        f"does not compile with {self.interpreter.tag}: {why}",
                        file=name,
                        line=line or None,
                        hint="correct it, or name it in sources.exclude",
                    )
                )

    def get(self, name: str) -> bytes | None:
        """Return the bytecode of one module, if it has been compiled."""
        _, key = self._keys.get(name, (None, ""))
        return self._store.contents.get(key)

    def collect(self) -> tuple[list[Member], list[Diagnostic]]:
        """Wait, and return the ``.pyc`` members, and a PF5202 for each module that fails."""
        self.drain()
        tag = self.interpreter.tag
        contents = self._store.contents
        found = [
            Member(pyc_name(member.name, tag), 0o644, contents[key], member.origin)
            for member, key in self._keys.values()
            if key in contents
        ]
        return found, self._problems


def missing_interpreter(version: str) -> Diagnostic:
    """Return the note PF5201: no bytecode in this package."""
    return Diagnostic(
        "PF5201",
        f"no Python {version} is installed here, so the package has no bytecode and starts slower",
        hint=f"install Python {version}, or put python{version} on PATH",
        severity="note",
    )
