"""Imports every handler of a package; run by the target's interpreter, as a script, with ``-I -S``.

Argument: a file with the Python literal ``{"stage", "path", "home", "result", "functions",
"entries", "environment"}``. The answer is a file of literals, one a line:
``(subject, kind, type, message, missing module, file, line)``, and ``"done"`` last. Only the
standard library of Python 3.10 and later, and of that as little as possible: what this script
imports, the user's code finds imported.
"""

# Plain strings instead of pathlib: it would cost more than the work itself.
# ruff: noqa: PTH123
from __future__ import annotations

import os
import sys


def where(error: BaseException, stage: str) -> tuple[str, int]:
    """Return the innermost place in the package that *error* passed, as ``(name, line)``."""
    found = ("", 0)
    trace = error.__traceback__
    while trace is not None:
        path = trace.tb_frame.f_code.co_filename
        if path.startswith(stage):
            name = path[len(stage) :]
            if not name.startswith("portafaas/"):
                found = (name, trace.tb_lineno)
        trace = trace.tb_next
    if isinstance(error, SyntaxError) and (error.filename or "").startswith(stage):
        found = (str(error.filename)[len(stage) :], error.lineno or 0)
    return found


def describe(subject: str, kind: str, error: BaseException, stage: str) -> tuple[object, ...]:
    """Return the answer for one failure; plain values only."""
    missing = getattr(error, "name", None) if isinstance(error, ModuleNotFoundError) else None
    try:
        text = str(error)
    except Exception:
        text = ""
    return (subject, kind, type(error).__name__, text, str(missing or ""), *where(error, stage))


def main(request: str) -> None:
    """Import what *request* lists and write one answer for each failure."""
    with open(request, encoding="utf-8") as file:
        task = eval(file.read(), {"__builtins__": {}})
    stage = task["stage"] + os.sep
    with open(task["result"], "w", encoding="utf-8", buffering=1) as answers:
        os.chdir(task["home"])
        sys.path[:0] = task["path"]
        sys.argv[:] = [""]
        os.environ.update(task["environment"])

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


if __name__ == "__main__":
    main(sys.argv[1])
