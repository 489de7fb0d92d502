"""The import check: does every handler exist, and import, in the package as it will be?

It runs in a new process of the target's Python that sees the package's folders and the standard
library only, so that what is missing from the package is missed here and not at the first request.
It does run the user's module-level code, in an empty working folder with a clean environment.
"""

# Plain strings instead of pathlib: it would cost more than the work itself.
# ruff: noqa: PTH100, PTH103, PTH114, PTH123
from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence

from portafaas.artifact.member import Member
from portafaas.artifact.worker import Worker
from portafaas.errors import Diagnostic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from portafaas.plan import BuildPlan

#: Seconds that all imports together may take.
TIMEOUT = 60.0


class ImportCheck:
    """One running check; :meth:`problems` waits for it."""

    def __init__(
        self,
        plan: BuildPlan,
        worker: Worker,
        stage: str,
        folders: Sequence[str],
        *,
        entries: Sequence[str],
        provided: Sequence[str],
        variables: Mapping[str, str],
        timeout: float = TIMEOUT,
    ) -> None:
        """Start it, as the last work of *worker*.

        *stage* is a folder with the project's and the generated files, *folders* have the shipped
        runtime and the dependencies; *entries* are the generated modules; *provided* the modules
        that the platform adds, and *variables* the environment variables that it sets.
        """
        from portafaas.plan.entry import function_spec

        self.plan = plan
        self.entries = entries
        self.provided = provided
        self.timeout = timeout
        self._child = worker.child
        stage = os.path.abspath(stage)
        self._result = f"{stage}.result"
        worker.check(
            {
                "stage": stage,
                "path": [stage, *map(os.path.abspath, folders)],
                "home": worker.home,
                "result": self._result,
                "functions": [
                    (function_spec(plan, function), dict(function.environment))
                    for function in plan.functions
                ],
                "entries": list(entries),
                "environment": dict(variables),
            }
        )

    def problems(self) -> list[Diagnostic]:
        """Wait and return PF5301 to PF5305; notes where a platform's own module was missing."""
        code = self._child.wait(self.timeout)
        self._child.stop()
        answers, done = self._answers()
        found = list(self._unique(answers))
        if code is None:
            found.append(self._late())
        elif not done:
            how = f"by signal {-code}" if code < 0 else f"with status {code}"
            found.append(
                Diagnostic(
                    "PF5305",
                    f"importing the handlers ended the process {how}" + self._last_line(),
                    hint="module-level code must not exit",
                )
            )
        return found

    def _answers(self) -> tuple[list[tuple[Any, ...]], bool]:
        import ast

        try:
            with open(self._result, encoding="utf-8") as file:
                lines = file.read().split("\n")[:-1]
        except OSError:
            return [], False
        values = [ast.literal_eval(line) for line in lines]
        done = bool(values) and values[-1] == "done"
        return (values[:-1] if done else values), done

    def _unique(self, answers: Sequence[tuple[Any, ...]]) -> Iterator[Diagnostic]:
        # One broken module fails every function and entry that imports it: tell it once.
        groups: dict[tuple[Any, ...], list[str]] = {}
        ours = {f"{entry}.py" for entry in self.entries}
        for subject, *facts in answers:
            if facts[4] in ours and facts[3] and self._is_provided(facts[3]):
                continue  # our own module needs it on that platform alone: nobody can do anything
            kind = "import" if facts[0] == "entry" else facts[0]
            groups.setdefault((kind, *facts[1:]), []).append(subject)
        for (kind, *facts), subjects in groups.items():
            yield self._diagnostic(kind, facts, subjects)

    def _diagnostic(self, kind: str, facts: Sequence[Any], subjects: Sequence[str]) -> Diagnostic:
        type_name, text, missing, file, line = facts
        functions = {function.name: function for function in self.plan.functions}
        first = functions.get(subjects[0])
        path = f"$.functions.{first.name}.handler" if first else None
        what = f"{first.module}:{first.attribute}" if first else f"generated module {subjects[0]}"
        if len(subjects) > 1:
            what += f" (and {len(subjects) - 1} more)"
        place: dict[str, Any] = {"path": path, "file": file or None, "line": line or None}
        if kind == "exit":
            return Diagnostic(
                "PF5305",
                f"importing {what} calls for the process to exit ({text or 'no status'})",
                hint="module-level code must not exit",
                **place,
            )
        if kind == "object":
            return Diagnostic("PF5302", text or type_name, **place)
        if missing and self._is_provided(missing):
            return Diagnostic(
                "PF5303",
                f"{what} needs {missing}, which the platform adds: not checked",
                severity="note",
                **place,
            )
        hint = None
        if missing:
            file_name = self.plan.dependencies.file
            hint = (
                f"add {missing.partition('.')[0]} to {file_name}, or ship it from the project"
                if file_name
                else "name its requirements file under dependencies.file, or ship it from the "
                "project (sources.exclude, tests and hidden folders are not shipped)"
            )
        return Diagnostic(
            "PF5301", f"{what} cannot be imported: {type_name}: {text}", hint=hint, **place
        )

    def _is_provided(self, missing: str) -> bool:
        return any(
            missing == name or name.startswith(f"{missing}.") or missing.startswith(f"{name}.")
            for name in self.provided
        )

    def _late(self) -> Diagnostic:
        return Diagnostic(
            "PF5304",
            f"importing the handlers takes longer than {self.timeout:g} s" + self._last_line(),
            hint="move network calls and long work from module level into init() or the handler",
        )

    def _last_line(self) -> str:
        lines = self._child.output().strip().splitlines()
        return f"; its last output: {lines[-1][:200]}" if lines else ""


def not_run(reason: str) -> Diagnostic:
    """Return the note PF5303: the handlers were not imported."""
    return Diagnostic(
        "PF5303", f"the handlers were not imported for a check: {reason}", severity="note"
    )


def runs_here(architecture: str) -> bool:
    """Tell whether this machine can load extension modules for Linux on *architecture*."""
    machine = os.uname()
    here = {"amd64": "x86_64", "arm64": "aarch64"}.get(machine.machine, machine.machine)
    return machine.sysname == "Linux" and here == architecture


def write_stage(members: list[Member], folder: str) -> None:
    """Lay out *members* in *folder* for the import check.

    Links where it can: on some file systems a new file costs more than importing it.
    """
    made: set[str] = set()
    for member in members:
        path = f"{folder}/{member.name}"
        parent = path.rpartition("/")[0]
        if parent not in made:
            os.makedirs(parent, exist_ok=True)
            made.add(parent)
        if member.path and not os.path.islink(member.path):
            try:
                os.link(member.path, path)
                continue
            except OSError:
                pass  # another file system, or one without links
        with open(path, "wb") as file:
            file.write(member.data)
