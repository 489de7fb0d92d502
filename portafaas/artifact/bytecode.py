"""Bytecode for the target's Python version, compiled at build time.

A zip's files bear the date 1980, so a ``.pyc`` that is checked by time is never valid in one;
unchecked-hash files (PEP 552, https://peps.python.org/pep-0552/) are valid always, which at the
cold start saves compiling everything that is imported. They must be made by an interpreter of the
very version that runs them.
"""

# Plain strings instead of pathlib: it would cost more than the work itself.
# ruff: noqa: PTH118, PTH120, PTH123
from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from portafaas.artifact.cache import FORMAT, read, write_atomically
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
    """One child that compiles modules: started at once, waited for by :meth:`failures`."""

    __slots__ = ("_child", "answers")

    def __init__(
        self, interpreter: Interpreter, form: str, work: bytes, scratch: str, label: str
    ) -> None:
        """Start it on *work*, in the *form* ``files`` or ``pack`` of ``compile_child``."""
        #: Where a pack of bytecode goes.
        self.answers = os.path.join(scratch, f"{label}.answers")
        path = os.path.join(scratch, f"{label}.work")
        with open(path, "wb") as file:
            file.write(work)
        options = ("-S", "-s", "-B", "-W", "ignore")
        self._child = Child(
            [interpreter.path, *options, _SCRIPT, form, path, self.answers],
            environment(PYTHONHASHSEED="0"),
            os.path.join(scratch, f"{label}.log"),
        )

    def failures(self) -> list[tuple[str, int, str]]:
        """Wait, and return ``(name, line or 0, message)`` of what does not compile.

        Raises RuntimeError when the interpreter itself failed.
        """
        code = self._child.wait()
        if code != 0:
            output = self._child.output().strip()
            raise RuntimeError(f"the bytecode compiler ended with {code}: {output[-2000:]}")
        path = f"{self.answers}.failed"
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            answers = [line.split("\0") for line in file.read().split("\n") if line]
        return [(name, int(line), message) for name, line, message in answers]

    def stop(self) -> None:
        """Kill the child if it still runs."""
        self._child.stop()


class UserBytecode:
    """The bytecode of the project's, the generated and the runtime's modules, cached by content.

    The name is part of the key, for it is inside the bytecode. All is in one file per interpreter:
    on some file systems creating a file takes longer than compiling a module.
    """

    __slots__ = ("_cached", "_compilation", "_interpreter", "_keys", "_path", "compiled")

    def __init__(
        self, members: Sequence[Member], interpreter: Interpreter, cache: str, scratch: str
    ) -> None:
        """Start compiling whatever the cache lacks."""
        from hashlib import sha256

        self._interpreter = interpreter
        self._path = os.path.join(cache, "bytecode", f"{FORMAT}-{interpreter.identity}.pack")
        self._cached = _unpacked(read(self._path) or b"")
        self._keys = {
            member.name: (member, sha256(f"{member.sha256}\0{member.name}".encode()).hexdigest())
            for member in members
            if member.name.endswith(".py")
        }
        lacking = {
            name: member.data
            for name, (member, key) in self._keys.items()
            if key not in self._cached
        }
        #: Number of modules that were not in the cache.
        self.compiled = len(lacking)
        self._compilation = (
            Compilation(interpreter, "pack", _packed(lacking), scratch, "bytecode")
            if lacking
            else None
        )

    def collect(self) -> tuple[list[Member], list[Diagnostic]]:
        """Wait, and return the ``.pyc`` members and a PF5202 for each file that fails."""
        problems: list[Diagnostic] = []
        if self._compilation is not None:
            for name, line, why in self._compilation.failures():
                problems.append(
                    Diagnostic(
                        "PF5202",
                        f"does not compile with {self._interpreter.tag}: {why}",
                        file=name,
                        line=line or None,
                        hint="correct it, or name it in sources.exclude",
                    )
                )
            fresh = _unpacked(read(self._compilation.answers) or b"")
            self._cached |= {self._keys[name][1]: data for name, data in fresh.items()}
            self._keep()
        tag = self._interpreter.tag
        members = [
            Member(pyc_name(name, tag), 0o644, self._cached[key], member.origin)
            for name, (member, key) in self._keys.items()
            if key in self._cached
        ]
        return members, problems

    def _keep(self) -> None:
        used = {key for _, key in self._keys.values() if key in self._cached}
        # Other targets and branches share the file; what nobody used for long goes with the rest.
        if len(self._cached) > 4 * len(used) + 200:
            self._cached = {key: self._cached[key] for key in used}
        write_atomically(self._path, _packed(self._cached))

    def stop(self) -> None:
        """Kill the compiler if it still runs."""
        if self._compilation is not None:
            self._compilation.stop()


def _packed(contents: Mapping[str, bytes]) -> bytes:
    head = "\n".join(f"{name}\0{len(data)}" for name, data in contents.items())
    return head.encode() + b"\n\n" + b"".join(contents.values())


def _unpacked(pack: bytes) -> dict[str, bytes]:
    """Return what is in *pack*; nothing when it is damaged."""
    head, _, rest = pack.partition(b"\n\n")
    contents: dict[str, bytes] = {}
    at = 0
    try:
        for line in filter(None, head.decode().split("\n")):
            name, length = line.split("\0")
            contents[name] = rest[at : at + int(length)]
            at += int(length)
    except ValueError:
        return {}
    return contents if at == len(rest) else {}


def missing_interpreter(version: str) -> Diagnostic:
    """Return the note PF5201: no bytecode in this package."""
    return Diagnostic(
        "PF5201",
        f"no Python {version} is installed here, so the package has no bytecode and starts slower",
        hint=f"install Python {version}, or put python{version} on PATH",
        severity="note",
    )
