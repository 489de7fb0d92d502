"""The part of portafaas, and of an adapter, that ships in every package.

It is the same for all projects: compiled and compressed once per user, adapter and interpreter.
"""

# Plain strings instead of pathlib: it would cost more than the work itself.
# ruff: noqa: PTH103, PTH110, PTH112, PTH116, PTH118, PTH120, PTH123
from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from time import time

from portafaas.artifact.cache import FORMAT
from portafaas.artifact.interpreter import Interpreter
from portafaas.artifact.tree import Tree, compile_tree, ensure_tree, pack_tree, remove
from portafaas.artifact.zipper import compressor

#: What of portafaas itself ships.
CORE = "portafaas.runtime"
#: Seconds since its last use after which a tree of an earlier version goes: no build lasts so long.
_IDLE = 86_400


def runtime_files(package: str) -> list[tuple[str, str]]:
    """Return ``(name in the zip, path)`` of the files of an import package, sorted.

    ``portafaas_aws.runtime`` means ``portafaas_aws/__init__.py`` and everything below
    ``portafaas_aws/runtime``: the rest of an adapter is build-time code. Raises
    ModuleNotFoundError when it is not installed.
    """
    top, *rest = package.split(".")
    base = _folder_of(top)
    found: list[tuple[str, str]] = []
    folder, prefix = base, f"{top}/"
    for part in rest:
        init = os.path.join(folder, "__init__.py")
        if os.path.exists(init):
            found.append((f"{prefix}__init__.py", init))
        folder, prefix = os.path.join(folder, part), f"{prefix}{part}/"
    if not os.path.isdir(folder):
        raise ModuleNotFoundError(f"no package {package!r} is installed", name=package)
    found += _walk(folder, prefix)
    return sorted(found)


def ensure(package: str, interpreter: Interpreter | None, cache: str, scratch: str) -> Tree:
    """Return the tree of ``portafaas.runtime`` and *package*, from the cache or made now.

    Raises ModuleNotFoundError when *package* is not installed.
    """
    from hashlib import sha256

    files = [*runtime_files(CORE), *runtime_files(package)]
    facts = [(name, path, *_stamp(path)) for name, path in files]
    identity = interpreter.identity if interpreter else ""
    # By time, not by content: reading everything is what this saves.
    key = sha256(repr((FORMAT, identity, compressor()[0], facts)).encode()).hexdigest()[:32]
    folder = os.path.join(cache, "runtime", key)

    def make(fresh: str) -> None:
        _fill(files, fresh, interpreter, scratch)
        _thin_out(os.path.dirname(folder))

    tree = ensure_tree(folder, make)
    with suppress(OSError):
        os.utime(folder)  # somebody else's folder may be read-only
    return tree


def _thin_out(folder: str) -> None:
    """Remove trees out of use: every version of portafaas and of each adapter makes one.

    Never one that another process may be reading from.
    """
    oldest = time() - _IDLE
    for entry in list(os.scandir(folder)):
        with suppress(OSError):
            if entry.stat().st_mtime < oldest:
                remove(entry.path)


def _stamp(path: str) -> tuple[int, int]:
    facts = os.stat(path)
    return facts.st_size, facts.st_mtime_ns


def _fill(
    files: list[tuple[str, str]], folder: str, interpreter: Interpreter | None, scratch: str
) -> None:
    from portafaas.artifact.cache import write_atomically

    inside = os.path.join(folder, "files")
    for name, path in files:
        place = os.path.join(inside, name)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with open(path, "rb") as source, open(place, "xb") as target:
            target.write(source.read())
    names = [name for name, _ in files]
    jobs = compile_tree(inside, names, interpreter, scratch, "runtime")
    try:
        writer = pack_tree(folder, names, jobs, interpreter)
    finally:
        for job in jobs:
            job.stop()
    write_atomically(os.path.join(folder, "index"), writer.close())


def _folder_of(top: str) -> str:
    import importlib.util

    spec = importlib.util.find_spec(top)
    places = list(spec.submodule_search_locations or ()) if spec else []
    if not places:
        raise ModuleNotFoundError(f"no package {top!r} is installed", name=top)
    return places[0]


def _walk(folder: str, prefix: str) -> Iterator[tuple[str, str]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                if entry.name != "__pycache__":
                    yield from _walk(entry.path, f"{prefix}{entry.name}/")
            elif not entry.name.endswith((".pyc", ".pyi", ".so")):
                yield prefix + entry.name, entry.path
