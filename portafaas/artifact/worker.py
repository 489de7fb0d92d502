"""Children of the target's Python that compile modules and import handlers."""

# Plain strings instead of pathlib: it would cost more than the work itself.
# ruff: noqa: PTH100, PTH103, PTH118, PTH120, PTH123
from __future__ import annotations

import marshal
import os
from collections.abc import Mapping

from portafaas.artifact.child import Child, environment
from portafaas.artifact.interpreter import Interpreter

# Imported rather than run as a script, for the sake of its own bytecode. Then nothing is left of
# that: no folder to import from, no module, no bytecode written.
_START = f"""
import sys
sys.path[0] = {os.path.dirname(__file__)!r}
from worker_child import main
sys.dont_write_bytecode = True
del sys.path[0], sys.modules["worker_child"]
main(*sys.argv[1:])
"""
#: No site-packages; warnings would import what shows them.
_OPTIONS = ("-S", "-s", "-W", "ignore", "-c", _START)

#: ``(name, line or 0, message)`` of a module that does not compile.
Failure = tuple[str, int, str]


class Worker:
    """One child that compiles, and then imports what it compiled.

    It is started before there is work, so that its own start costs no time, and takes orders
    without making this process wait. Everything is in files below *scratch*.
    """

    __slots__ = ("_orders", "_replies", "_scratch", "_sent", "child", "home")

    def __init__(self, interpreter: Interpreter, scratch: str) -> None:
        self._scratch = os.path.abspath(scratch)
        #: Its home and working folder: empty.
        self.home = os.path.join(self._scratch, "home")
        os.makedirs(self.home, exist_ok=True)
        reader, self._orders = os.pipe()
        self._replies, writer = os.pipe()
        self._sent = 0
        try:
            self.child = Child(
                [interpreter.path, *_OPTIONS, "serve"],
                environment(PYTHONHASHSEED="0", HOME=self.home, TMPDIR=self.home),
                os.path.join(self._scratch, "worker.log"),
                pipes=(reader, writer),
            )
        finally:
            os.close(reader)
            os.close(writer)

    def compile(self, sources: Mapping[str, bytes]) -> str:
        """Order bytecode of *sources* by name, and return where it will be; see :meth:`answer`."""
        self._sent += 1
        path = os.path.join(self._scratch, f"bytecode-{self._sent}")
        _write(path, packed(sources))
        self._order("compile", path, f"{path}.answers")
        return f"{path}.answers"

    def answer(self, path: str) -> tuple[dict[str, bytes], list[Failure]]:
        """Wait for the oldest order not waited for, and return its bytecode and failures.

        Raises RuntimeError when the interpreter itself failed.
        """
        if not os.read(self._replies, 1):
            _raise(self.child)
        return unpacked(_read(path)), _failures(path)

    def load(self, bytecode: Mapping[str, bytes]) -> None:
        """Give it bytecode by name to import."""
        path = os.path.join(self._scratch, "known")
        _write(path, packed(bytecode))
        self._order("load", path)

    def check(self, task: Mapping[str, object]) -> None:
        """Let it import, and end; *task* as in ``worker_child.check``."""
        path = os.path.join(self._scratch, "imports")
        _write(path, marshal.dumps(dict(task), 2))
        self._order("import", path)

    def stop(self) -> None:
        """Kill the child if it still runs."""
        for end in ("_orders", "_replies"):
            handle = getattr(self, end)
            if handle >= 0:
                os.close(handle)
                setattr(self, end, -1)
        self.child.stop()

    def _order(self, *words: str) -> None:
        # A line is far below the size of a pipe's buffer: this never waits.
        try:
            os.write(self._orders, os.fsencode("\0".join(words)) + b"\n")
        except BrokenPipeError:
            _raise(self.child)


class Compilation:
    """One child that compiles files: started at once, waited for by :meth:`failures`."""

    __slots__ = ("_answers", "_child")

    def __init__(
        self, interpreter: Interpreter, work: list[tuple[str, str, str]], scratch: str, label: str
    ) -> None:
        """Start it on *work*: paths of sources, their names, and paths for their bytecode."""
        path = os.path.join(scratch, f"{label}.work")
        self._answers = f"{path}.answers"
        _write(path, "\n".join(map("\0".join, work)).encode("utf-8", "surrogateescape"))
        self._child = Child(
            [interpreter.path, *_OPTIONS, "files", path, self._answers],
            environment(PYTHONHASHSEED="0"),
            os.path.join(scratch, f"{label}.log"),
        )

    def failures(self) -> list[Failure]:
        """Wait, and return what does not compile.

        Raises RuntimeError when the interpreter itself failed.
        """
        if self._child.wait() != 0:
            _raise(self._child)
        return _failures(self._answers)

    def stop(self) -> None:
        """Kill the child if it still runs."""
        self._child.stop()


def _raise(child: Child) -> None:
    code = child.wait()
    raise RuntimeError(
        f"the bytecode compiler ended with {code}: {child.output().strip()[-2000:]}"
    )


def _failures(answers: str) -> list[Failure]:
    text = _read(f"{answers}.failed").decode("utf-8", "surrogateescape")
    lines = [line.split("\0") for line in text.split("\n") if line]
    return [(name, int(line), message) for name, line, message in lines]


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _write(path: str, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)


def packed(contents: Mapping[str, bytes]) -> bytes:
    """Return a pack: lines ``name NUL length``, an empty line, the contents back to back."""
    head = "\n".join([f"{name}\0{len(data)}" for name, data in contents.items()])
    return b"".join((head.encode(), b"\n\n", *contents.values()))


def unpacked(pack: bytes) -> dict[str, bytes]:
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
