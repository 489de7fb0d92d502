"""Which of the project's files are shipped. Reads the tree, never the files.

Shipped: every ``*.py`` and what ``sources.include`` matches. Never: what ``sources.exclude``
matches, version control, virtual environments, caches, the output folder, the manifest. Hidden
names, ``tests`` at the top and folders that hold another manifest only where an include asks.
"""

# Plain strings instead of pathlib: it would cost more than the work itself.
# ruff: noqa: PTH110, PTH118, PTH120
from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from portafaas.artifact.globs import matcher
from portafaas.errors import Diagnostic

MANIFESTS = ("portafaas.yaml", "portafaas.yml")
#: Folders that are never part of a program, at any depth.
_NEVER = frozenset(
    (".git", ".hg", ".svn", ".venv", ".portafaas", "__pycache__", "node_modules")
)


class Source:
    """A file to ship: ``name`` relative to the root with ``/``, ``path`` to read, ``mode``."""

    __slots__ = ("mode", "name", "path")

    def __init__(self, name: str, path: str, facts: os.stat_result) -> None:
        self.name = name
        self.path = path
        # Of a mode only the owner's x means anything: the rest is the umask of whoever checked out.
        self.mode = 0o755 if facts.st_mode & 0o100 else 0o644


def select(
    root: str, include: Sequence[str] = (), exclude: Sequence[str] = (), out: str | None = None
) -> tuple[list[Source], list[Diagnostic]]:
    """Return the files to ship, sorted by name, and what is wrong with them.

    PF5002: a link that leaves the project, or loops. PF5004: an include that matches nothing.
    PF5006: not a regular file.
    """
    walk = _Walk(os.path.realpath(root), include, exclude, out)
    found = sorted(walk.files(root, ""), key=lambda source: source.name)
    for pattern, hit in walk.hits.items():
        if not hit:
            walk.problems.append(
                Diagnostic(
                    "PF5004",
                    f"sources.include {pattern!r} matches no file that may be shipped",
                    path="$.sources.include",
                    hint="patterns are relative to the manifest; sources.exclude wins over them",
                )
            )
    return found, walk.problems


class _Walk:
    def __init__(
        self, root: str, include: Sequence[str], exclude: Sequence[str], out: str | None
    ) -> None:
        self.root = root
        self.out = out.strip("/").removeprefix("./") if out else None
        self.excluded = matcher(exclude)
        self.included = [(pattern, matcher([pattern])) for pattern in include]
        self.hits = dict.fromkeys(include, False)
        self.problems: list[Diagnostic] = []
        self.nested: set[str] = set()

    def files(self, folder: str, prefix: str) -> Iterator[Source]:
        with os.scandir(folder) as entries:
            for entry in entries:
                name = prefix + entry.name
                if entry.name in _NEVER or name == self.out or self.excluded(name):
                    continue
                if entry.is_dir():
                    if self._enter(entry, name):
                        yield from self.files(entry.path, name + "/")
                elif self._wanted(entry.name, name) and self._sound(entry, name):
                    yield Source(name, entry.path, entry.stat())

    def _wanted(self, base: str, name: str) -> bool:
        if name in MANIFESTS or base.endswith((".pyc", ".pyo")):
            return False
        asked = False
        for pattern, matches in self.included:
            if matches(name):
                self.hits[pattern] = asked = True
        return asked or (base.endswith(".py") and not self._set_aside(name))

    def _set_aside(self, name: str) -> bool:
        """Tell whether *name* is shipped only when an include asks for it."""
        if name.startswith((".", "tests/")) or "/." in name or ".egg-info/" in name:
            return True
        folder = name
        while "/" in folder:
            folder = folder.rpartition("/")[0]
            if folder in self.nested:
                return True
        return False

    def _enter(self, entry: os.DirEntry[str], name: str) -> bool:
        path = entry.path
        if os.path.exists(os.path.join(path, "pyvenv.cfg")):
            return False
        if any(os.path.exists(os.path.join(path, manifest)) for manifest in MANIFESTS):
            self.nested.add(name)
        aside = self._set_aside(name + "/")
        if not entry.is_symlink():
            return bool(self.included) or not aside
        if aside:
            return False
        real = os.path.realpath(path)
        if not self._inside(real):
            self._refuse(name, "is a link to a folder outside the project")
        elif os.path.realpath(os.path.dirname(path)).startswith(real + os.sep) or (
            os.path.realpath(os.path.dirname(path)) == real
        ):
            self._refuse(name, "is a link to a folder that contains it")
        else:
            return True
        return False

    def _sound(self, entry: os.DirEntry[str], name: str) -> bool:
        if entry.is_symlink():
            if not self._inside(os.path.realpath(entry.path)):
                self._refuse(name, "is a link to a file outside the project")
                return False
            if not os.path.exists(entry.path):
                self._refuse(name, "is a link to nothing")
                return False
        if not entry.is_file():
            self.problems.append(
                Diagnostic("PF5006", f"{name} is neither a file nor a folder", file=name)
            )
            return False
        return True

    def _inside(self, real: str) -> bool:
        return real.startswith(self.root + os.sep)

    def _refuse(self, name: str, what: str) -> None:
        self.problems.append(
            Diagnostic(
                "PF5002",
                f"{name} {what}",
                file=name,
                hint="replace it by a copy, or name it in sources.exclude",
            )
        )
