"""Compiles sources to unchecked-hash ``.pyc``; run by the target's interpreter, as a script.

``files WORK ANSWERS``: WORK has lines ``source NUL name NUL target``; each ``.pyc`` is written to
its target. ``pack WORK ANSWERS``: WORK is a pack of sources by name, ANSWERS becomes a pack of
bytecode by name: creating one file is as quick as creating hundreds is slow. A pack is lines
``name NUL length``, an empty line, and the contents back to back. In both forms what does not
compile is told in a file ``ANSWERS.failed``, of lines ``name NUL line NUL message``.

Only the standard library of Python 3.10 and later. The result depends on the interpreter and the
source alone: ``name`` is what tracebacks get before the import system puts in the real path, and
the caller fixes the hash seed, since before Python 3.11 the order of a frozen set was not fixed
(https://github.com/python/cpython/issues/81777).
"""

# Plain strings instead of pathlib: it would cost more than the work itself.
# ruff: noqa: PTH103, PTH120, PTH123
from __future__ import annotations

import sys

# The script's own folder must not lend its modules to the standard library's imports.
sys.path.pop(0)

import importlib.util
import marshal
import os

FAILURES = (SyntaxError, ValueError, RecursionError, MemoryError)


def compile_one(source: bytes, name: str) -> bytes:
    """Return the ``.pyc`` of *source*: PEP 552 with flags 0b01, checked by nobody at run time."""
    code = compile(source, name, "exec", dont_inherit=True, optimize=0)
    return b"".join(
        (
            importlib.util.MAGIC_NUMBER,
            (0b01).to_bytes(4, "little"),
            importlib.util.source_hash(source),
            marshal.dumps(code),
        )
    )


def failure(name: str, error: BaseException) -> str:
    """Return the line that tells of *error*."""
    number = getattr(error, "lineno", None) or 0
    reason = str(getattr(error, "msg", None) or error).replace("\n", " ")
    return f"{name}\0{number}\0{reason}"


def compile_files(work: bytes) -> list[str]:
    """Compile file by file, into a folder that nobody else sees yet; return the failures."""
    failed = []
    for line in filter(None, work.decode("utf-8", "surrogateescape").split("\n")):
        source, name, target = line.split("\0")
        with open(source, "rb") as file:
            text = file.read()
        try:
            data = compile_one(text, name)
        except FAILURES as error:
            failed.append(failure(name, error))
            continue
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "wb") as compiled:
            compiled.write(data)
    return failed


def compile_pack(work: bytes, answers: str) -> list[str]:
    """Compile the sources in a pack; return the failures."""
    head, _, rest = work.partition(b"\n\n")
    names, chunks, failed = [], [], []
    at = 0
    for line in head.decode().split("\n"):
        name, length = line.split("\0")
        source = rest[at : at + int(length)]
        at += int(length)
        try:
            data = compile_one(source, name)
        except FAILURES as error:
            failed.append(failure(name, error))
            continue
        names.append(f"{name}\0{len(data)}")
        chunks.append(data)
    with open(answers, "wb") as file:
        file.write("\n".join(names).encode() + b"\n\n" + b"".join(chunks))
    return failed


def main(form: str, work: str, answers: str) -> None:
    """Compile everything in *work*."""
    with open(work, "rb") as file:
        data = file.read()
    failed = compile_files(data) if form == "files" else compile_pack(data, answers)
    with open(f"{answers}.failed", "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write("\n".join(failed))


if __name__ == "__main__":
    main(*sys.argv[1:])
