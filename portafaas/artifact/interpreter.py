"""The interpreter of the target's Python version, and what identifies it in cache keys."""

# Plain strings instead of pathlib: it would cost more than the work itself.
# ruff: noqa: PTH116, PTH118
from __future__ import annotations

import contextlib
import os
import sys

from portafaas.artifact.cache import read, write_atomically


class Interpreter:
    """An installed Python. ``identity`` changes with its version, ``tag`` names its ``.pyc``."""

    __slots__ = ("identity", "is_this", "path", "tag")

    def __init__(self, path: str, identity: str) -> None:
        #: True when it is the one that runs this process, so that both read the same bytecode.
        self.is_this = path == sys.executable
        self.path = path
        self.identity = identity
        self.tag = identity.partition("@")[0]


def find(version: str, cache: str, scratch: str) -> Interpreter | None:
    """Return an interpreter of *version* (``3.12``), or None when none is installed.

    The answer is remembered in *cache* for as long as the file found does not change: looking for
    one starts several processes.
    """
    info = sys.version_info
    if version == f"{info[0]}.{info[1]}" and sys.implementation.name == "cpython":
        tag = sys.implementation.cache_tag
        return Interpreter(sys.executable, f"{tag}@{sys.hexversion:08x}")
    note = os.path.join(cache, "interpreters", version)
    known = (read(note) or b"").decode().split("\n")
    if len(known) == 3 and known[1] == _stamp(known[0]):
        return Interpreter(known[0], known[2])
    from portafaas.vendor.environment import find_interpreter

    found = find_interpreter(version)
    if found is None:
        return None
    path = str(found)
    identity = _identity(path, scratch)
    if identity is None:
        return None
    with contextlib.suppress(OSError):  # looked for again next time
        write_atomically(note, f"{path}\n{_stamp(path)}\n{identity}".encode())
    return Interpreter(path, identity)


def _stamp(path: str) -> str:
    try:
        facts = os.stat(path)
    except OSError:
        return "missing"
    return f"{facts.st_size} {facts.st_mtime_ns}"


def _identity(path: str, scratch: str) -> str | None:
    from portafaas.artifact.child import Child, environment

    code = "import sys; print(sys.implementation.cache_tag + '@%08x' % sys.hexversion)"
    log = os.path.join(scratch, "interpreter.log")
    probe = Child([path, "-I", "-S", "-c", code], environment(), log)
    if probe.wait(30) != 0:
        probe.stop()
        return None
    return probe.output().strip()
