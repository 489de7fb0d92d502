"""Compiles modules and imports handlers; run by the target's interpreter.

It is imported by name, so that its own bytecode is kept, and :func:`main` is called.

``files WORK ANSWERS`` compiles file by file: WORK has lines ``source NUL name NUL target``.
``serve`` takes orders from its standard input, one a line, with NUL between words:

- ``compile WORK ANSWERS``: WORK is a pack of sources by name, ANSWERS becomes a pack of bytecode by
  name (creating one file is as quick as creating hundreds is slow). Answered with a byte on
  descriptor 3.
- ``load PACK``: a pack of bytecode by name, for the imports that follow.
- ``import REQUEST``: the last order, see :func:`check`.

A pack is lines ``name NUL length``, an empty line, and the contents back to back. What does not
compile is told in a file ``ANSWERS.failed``, of lines ``name NUL line NUL message``.

Only the standard library of Python 3.10 and later, and of that as little as possible: what this
module imports, the user's code finds imported. Bytecode depends on the interpreter and the source
alone: ``name`` is what tracebacks get before the import system puts in the real path, and the
caller fixes the hash seed, since before Python 3.11 the order of a frozen set was not fixed
(https://github.com/python/cpython/issues/81777). Nothing is imported before everything is compiled,
for what strings a process holds shows in its bytecode
(https://github.com/python/cpython/issues/78274).
"""

# Plain strings instead of pathlib: it would cost more than the work itself.
# ruff: noqa: PTH103, PTH120, PTH123
from __future__ import annotations

import _frozen_importlib_external as machinery
import _imp
import marshal
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType
    from typing import Any

FAILURES = (SyntaxError, ValueError, RecursionError, MemoryError)
MAGIC: bytes = machinery.MAGIC_NUMBER
CODE = type(compile("", "", "exec"))
PARTS = (
    "co_consts", "co_names", "co_varnames", "co_cellvars", "co_freevars", "co_filename", "co_name",
    "co_qualname",
)  # fmt: skip


def compile_one(source: bytes, name: str) -> bytes:
    """Return the ``.pyc`` of *source*: PEP 552 with flags 0b01, checked by nobody at run time."""
    code = compile(source, name, "exec", dont_inherit=True, optimize=0)
    # Kept until the code is written: marshal marks what something else refers to.
    known: dict[Any, Any] = {}
    if sys.version_info[:2] == (3, 12):
        code = canonical(code, known)
    # As importlib.util.source_hash does.
    key = int.from_bytes(MAGIC[:4], "little")
    return b"".join((MAGIC, b"\1\0\0\0", _imp.source_hash(key, source), marshal.dumps(code)))


def canonical(value: Any, known: dict[Any, Any]) -> Any:
    """Return *value*, a constant or code, with equal parts being one object.

    In 3.12, which of the equal constants of a module are one object depends on what was compiled
    before it, and bytecode tells objects apart: https://github.com/python/cpython/issues/78274.
    """
    kind = type(value)
    if kind is CODE:
        # The attributes of a code object that hold names or constants.
        parts = {part: canonical(getattr(value, part), known) for part in PARTS}
        return value.replace(**parts)
    key: Any
    if kind is tuple:
        value = tuple([canonical(item, known) for item in value])
        key = (kind, tuple([id(item) for item in value]))
    elif kind is float or kind is complex:
        # 0.0 and -0.0 are equal.
        key = (kind, repr(value))
    elif kind is frozenset:
        # By their text, since {1} and {True} are equal.
        key = (kind, tuple(sorted([repr(item) for item in value])))
    else:
        key = (kind, value)
    return known.setdefault(key, value)


def failure(name: str, error: BaseException) -> str:
    """Return the line that tells of *error*."""
    number = getattr(error, "lineno", None) or 0
    reason = str(getattr(error, "msg", None) or error).replace("\n", " ")
    return f"{name}\0{number}\0{reason}"


def compile_files(work: str, answers: str) -> None:
    """Compile file by file, into a folder that nobody else sees yet."""
    failed = []
    for line in filter(None, read(work).decode("utf-8", "surrogateescape").split("\n")):
        source, name, target = line.split("\0")
        try:
            data = compile_one(read(source), name)
        except FAILURES as error:
            failed.append(failure(name, error))
            continue
        try:
            compiled = open(target, "wb")
        except FileNotFoundError:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            compiled = open(target, "wb")
        with compiled:
            compiled.write(data)
    write(f"{answers}.failed", "\n".join(failed).encode("utf-8", "surrogateescape"))


def compile_pack(work: str, answers: str) -> dict[str, bytes]:
    """Compile the sources in a pack, and return the bytecode by name."""
    compiled, failed = {}, []
    for name, source in unpack(read(work)):
        try:
            compiled[name] = compile_one(source, name)
        except FAILURES as error:
            failed.append(failure(name, error))
    head = "\n".join([f"{name}\0{len(data)}" for name, data in compiled.items()]).encode()
    write(answers, b"".join((head, b"\n\n", *compiled.values())))
    write(f"{answers}.failed", "\n".join(failed).encode())
    return compiled


def unpack(pack: bytes) -> list[tuple[str, bytes]]:
    """Return the contents of a pack by name."""
    head, _, rest = pack.partition(b"\n\n")
    found = []
    at = 0
    for line in filter(None, head.decode().split("\n")):
        name, length = line.split("\0")
        found.append((name, rest[at : at + int(length)]))
        at += int(length)
    return found


def read(path: str) -> bytes:
    """Return what is in a file."""
    with open(path, "rb") as file:
        return file.read()


def write(path: str, data: bytes) -> None:
    """Make a file."""
    with open(path, "wb") as file:
        file.write(data)


def where(error: BaseException, stage: str) -> tuple[str, int]:
    """Return the innermost place in the package that *error* passed, as ``(name, line)``."""
    found = ("", 0)
    trace = error.__traceback__
    while trace is not None:
        path = trace.tb_frame.f_code.co_filename
        if path.startswith(stage):
            found = (path[len(stage) :], trace.tb_lineno)
        trace = trace.tb_next
    if isinstance(error, SyntaxError) and (error.filename or "").startswith(stage):
        found = (str(error.filename)[len(stage) :], error.lineno or 0)
    return found


def describe(subject: str, kind: str, error: BaseException, stage: str) -> tuple[object, ...]:
    """Return the answer for one failure; plain values only."""
    missing = getattr(error, "name", None) if isinstance(error, ModuleNotFoundError) else None
    try:
        text = str(error).replace(stage, "")  # a folder that is gone when the user reads it
    except Exception:
        text = ""
    return (subject, kind, type(error).__name__, text, str(missing or ""), *where(error, stage))


def import_from(stage: str, known: dict[str, bytes]) -> None:
    """Let imports from the folder *stage* take the bytecode in *known*, by name, where it is."""

    class Loader(machinery.SourceFileLoader):
        def get_code(self, fullname: str) -> CodeType | None:
            data = known.get(self.path[len(stage) :])
            if data is None:
                return super().get_code(fullname)
            code: CodeType = marshal.loads(memoryview(data)[16:])
            _imp._fix_co_filename(code, self.path)  # type: ignore[attr-defined]
            return code

    loaders = (
        (machinery.ExtensionFileLoader, _imp.extension_suffixes()),
        (Loader, machinery.SOURCE_SUFFIXES),
        (machinery.SourcelessFileLoader, machinery.BYTECODE_SUFFIXES),
    )

    def hook(path: str) -> machinery.FileFinder:
        if f"{path}{os.sep}".startswith(stage) and os.path.isdir(path):  # noqa: PTH112
            return machinery.FileFinder(path, *loaders)
        raise ImportError(path)

    sys.path_hooks.insert(0, hook)


def check(request: str, known: dict[str, bytes]) -> None:
    """Import what *request* lists and write one answer for each failure; does not return.

    *request* is a file with the marshalled ``{"stage", "path", "home", "result", "functions",
    "entries", "environment"}``: plain values, which all versions write alike. The answer is a file
    of literals, one a line: ``(subject, kind, type, message, missing module, file, line)``, and
    ``"done"`` last.
    """
    task = marshal.loads(read(request))
    stage = task["stage"] + os.sep
    with open(task["result"], "w", encoding="utf-8", buffering=1) as answers:
        os.chdir(task["home"])
        sys.path[:0] = task["path"]
        sys.argv[:] = [""]
        os.environ.pop("PYTHONHASHSEED", None)
        os.environ.update(task["environment"])
        import_from(stage, known)

        def report(subject: str, kind: str, error: BaseException) -> None:
            answers.write(repr(describe(subject, kind, error, stage)) + "\n")

        from importlib import import_module

        from portafaas.runtime.function import Function

        for spec, environment in task["functions"]:
            os.environ.update(environment)
            subject = spec["name"]
            module = spec["handler"].partition(":")[0]
            try:
                import_module(module)
            except SystemExit as error:
                report(subject, "exit", error)
                continue
            except BaseException as error:
                report(subject, "import", error)
                continue
            try:
                function = Function(spec)
                function.check(function.resolve())
            except BaseException as error:
                report(subject, "object", error)
        for entry in task["entries"]:
            try:
                import_module(entry)
            except SystemExit as error:
                report(entry, "exit", error)
            except BaseException as error:
                report(entry, "entry", error)
        answers.write('"done"\n')
    # Threads and exit hooks of user code have no say in how long a build takes.
    sys.stdout.flush()
    os._exit(0)


def serve() -> None:
    """Follow the orders on descriptor 0 until it is closed."""
    known: dict[str, bytes] = {}
    waiting = b""
    while data := os.read(0, 65536):
        *orders, waiting = (waiting + data).split(b"\n")
        for order in orders:
            what, *words = os.fsdecode(order).split("\0")
            if what == "compile":
                known.update(compile_pack(*words))
                os.write(3, b".")
            elif what == "load":
                known.update(unpack(read(*words)))
            else:
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
                os.close(3)
                check(words[0], known)


def main(form: str, *words: str) -> None:
    """Do what the command line says."""
    if form == "serve":
        serve()
    else:
        compile_files(*words)
