"""Compiles sources to unchecked-hash ``.pyc``; run by the target's interpreter, as a script.

Arguments: a file of lines ``source NUL name NUL target`` and a file for the answers, of lines
``name NUL line NUL message``. Only the standard library of Python 3.10 and later.

The result depends on the interpreter and the source alone: ``name`` is what tracebacks get before
the import system puts in the real path, and the hash seed is fixed by the caller, since before
Python 3.11 the order of a frozen set was not (https://github.com/python/cpython/issues/81777).
"""

# Plain strings instead of pathlib: it would cost more than the work itself.
# ruff: noqa: PTH103, PTH105, PTH120, PTH123
from __future__ import annotations

import sys

# The script's own folder must not lend its modules to the standard library's imports.
sys.path.pop(0)

import importlib.util
import marshal
import os


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


def store(path: str, data: bytes) -> None:
    """Write *data* to *path*, whole or not at all."""
    temporary = f"{path}.{os.getpid()}.new"
    try:
        handle = open(temporary, "wb")
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        handle = open(temporary, "wb")
    with handle:
        handle.write(data)
    os.replace(temporary, path)


def main(work: str, answers: str) -> None:
    """Compile everything listed in *work*; write what failed to *answers*."""
    with open(work, encoding="utf-8", errors="surrogateescape") as file:
        lines = file.read().split("\n")
    failed = []
    for line in filter(None, lines):
        source, name, target = line.split("\0")
        with open(source, "rb") as handle:
            text = handle.read()
        try:
            data = compile_one(text, name)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            number = getattr(error, "lineno", None) or 0
            reason = str(getattr(error, "msg", None) or error).replace("\n", " ")
            failed.append(f"{name}\0{number}\0{reason}")
        else:
            store(target, data)
    with open(answers, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write("\n".join(failed))


if __name__ == "__main__":
    main(*sys.argv[1:])
