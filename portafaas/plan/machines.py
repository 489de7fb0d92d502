"""Workflows of the manifest -> their normal form, which engines run (``docs/spec/workflows.md``).

What is wrong with a definition on any target is found here: PF22xx.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from portafaas.errors import guess
from portafaas.plan.contracts import message_schema
from portafaas.plan.model import FunctionPlan, WorkflowPlan
from portafaas.plan.triggers import Findings
from portafaas.plan.values import seconds

Path = tuple[str | int, ...]
Machine = dict[str, Any]

#: What a step does, in the order of the documentation.
KINDS = (
    "task", "workflow", "choice", "parallel", "map", "loop", "wait", "set", "succeed", "fail",
)  # fmt: skip
_CALLS = ("input", "select", "result", "timeout", "retry", "catch", "compensate")
_SEVERAL = ("input", "select", "result", "retry", "catch", "compensate")
#: Keys that a step may have beside the one of its kind, ``next`` and ``end``.
_KEYS: Mapping[str, tuple[str, ...]] = {
    "task": _CALLS,
    "workflow": _CALLS,
    "choice": ("default",),
    "parallel": _SEVERAL,
    "map": _SEVERAL,
    "loop": (),
    "wait": ("select", "result", "catch"),
    "set": ("result",),
    "succeed": (),
    "fail": (),
}
_LAST = ("choice", "succeed", "fail")


def workflows(
    found: Findings, document: Mapping[str, Any], functions: tuple[FunctionPlan, ...], target: str
) -> tuple[WorkflowPlan, ...]:
    """Return the workflows in the manifest's order; PF2002 and PF22xx go to *found*."""
    block = document.get("workflows") or {}
    out = []
    for name, spec in block.items():
        path: Path = ("workflows", name)
        options = (spec.get("targets") or {}).get(target) or {}
        told = found
        if "file" in spec:
            from portafaas.plan.machine_files import definition

            names = [function.name for function in functions]
            told, spec = definition(found, path, spec, names, block)
        elif "functions" in spec:
            found.add("PF2203", (*path, "functions"), "'functions' is of a 'file'")
        steps = spec.get("steps") or {}
        if not steps and "file" not in block[name]:
            found.add("PF2200", path, f"workflow {name!r} has no steps", "add 'steps', or a 'file'")
        before = len(told.problems)
        taken = message_schema(told, (*path, "input"), _schema(spec, "input"))
        given = message_schema(told, (*path, "output"), _schema(spec, "output"))
        if (taken.document or given.document) and len(told.problems) == before:
            from portafaas.plan.machine_schemas import evaluated

            evaluated(told, (*path, "input"), taken)
            evaluated(told, (*path, "output"), given)
        out.append(
            WorkflowPlan(
                name,
                compiled(told, steps, (*path, "steps"), functions, block, taken.document),
                taken,
                given,
                dict(options),
            )
        )
    before = len(found.problems)
    _recursion(found, out)
    if any(flow.input.document or flow.output.document for flow in out):
        from portafaas.plan.machine_schemas import equipped, fitting

        equipped(found, out)
        if len(found.problems) == before:
            fitting(found, out)
    return tuple(out)


def _schema(spec: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    return {"schema": spec[key]} if key in spec else {}


def compiled(
    found: Findings,
    steps: Mapping[str, Any],
    path: Path,
    functions: tuple[FunctionPlan, ...],
    known: Mapping[str, Any],
    schema: Mapping[str, Any] | None = None,
) -> Machine:
    """Return the machine of *steps*; what is wrong goes to *found*, and is left out.

    *known*: the workflows of the manifest. *schema*: of the input, if there is one.
    """
    before = len(found.problems)
    compiler = _Compiler(found, functions, known)
    machine = compiler.machine(steps, path)
    if steps and len(found.problems) == before:
        from portafaas.plan.machine_checks import check

        check(found, machine, path, compiler.names, schema)
    return machine


class _Compiler:
    def __init__(
        self, found: Findings, functions: tuple[FunctionPlan, ...], known: Mapping[str, Any]
    ) -> None:
        self.found = found
        self.functions = {function.name: function for function in functions}
        self.known = known
        #: Every name of a step so far, and where it is.
        self.names: dict[str, Path] = {}

    def machine(self, steps: Mapping[str, Any], path: Path) -> Machine:
        names = list(steps)
        out = {}
        for place, (name, spec) in enumerate(steps.items()):
            here = (*path, name)
            if name in self.names:
                self.found.add(
                    "PF2201", here, f"two steps of the workflow are called {name!r}", "rename one"
                )
            self.names[name] = here
            following = names[place + 1] if place + 1 < len(names) else None
            step = self.step(spec, here, names, following)
            if step is not None:
                out[name] = step
        return {"start": names[0] if names else None, "steps": out}

    def step(
        self, spec: Mapping[str, Any], path: Path, names: list[str], following: str | None
    ) -> dict[str, Any] | None:
        kinds = [kind for kind in KINDS if kind in spec]
        if len(kinds) != 1:
            said = " and ".join(kinds) or "nothing"
            self.found.add(
                "PF2202", path, f"a step does one thing, this one {said}", ", ".join(KINDS)
            )
            return None
        kind = kinds[0]
        allowed = {kind, *_KEYS[kind], *(() if kind in _LAST else ("next", "end"))}
        for key in spec:
            if key not in allowed:
                self.found.add(
                    "PF2203", (*path, key), f"a step of kind {kind} has no {key!r}",
                    f"it has: {', '.join(sorted(allowed - {kind})) or 'nothing else'}",
                )  # fmt: skip
        out: dict[str, Any] = {"kind": kind}
        getattr(self, f"_{kind}")(out, spec[kind], spec, path, names)
        for key in ("input", "select", "result"):
            if key in spec and key in allowed:
                out[key] = spec[key]
        if "timeout" in spec and "timeout" in allowed:
            out["timeout"] = seconds(spec["timeout"])
        if "retry" in spec and "retry" in allowed:
            out["retry"] = _retry(spec["retry"])
        if "catch" in spec and "catch" in allowed:
            out["catch"] = [
                {"errors": rule.get("errors", ["States.ALL"]),
                 "next": self.target(rule["next"], (*path, "catch", index, "next"), names),
                 "result": rule.get("result", "$")}
                for index, rule in enumerate(spec["catch"])
            ]  # fmt: skip
        if "compensate" in spec and "compensate" in allowed:
            undo = spec["compensate"]
            where = (*path, "compensate", "task")
            made: dict[str, Any] = {"function": self.function(undo["task"], where)}
            if "input" in undo:
                made["input"] = undo["input"]
            if "retry" in undo:
                made["retry"] = _retry(undo["retry"])
            out["compensate"] = made
        if kind not in _LAST:
            if "next" in spec and "end" in spec:
                self.found.add("PF2203", (*path, "end"), "a step has 'next' or 'end', not both")
            out["next"] = None if "end" in spec else following
            if "next" in spec:
                out["next"] = self.target(spec["next"], (*path, "next"), names)
        return out

    def target(self, name: str, path: Path, names: list[str]) -> str:
        if name not in names:
            self.found.add(
                "PF2204", path, f"there is no step {name!r} among these steps",
                guess(name, names) or f"one of: {', '.join(names)}",
            )  # fmt: skip
        return name

    def function(self, name: str, path: Path) -> str:
        function = self.functions.get(name)
        if function is None:
            self.found.add(
                "PF2002", path, f"no function is called {name!r}",
                guess(name, self.functions) or "declare it under functions:",
            )  # fmt: skip
        elif function.kind != "task":
            self.found.add(
                "PF2205", path, f"function {name!r} has a {function.kind} trigger",
                "a step calls a function with 'trigger: {task: {}}'",
            )  # fmt: skip
        return name

    def _task(self, out: Any, value: str, spec: Any, path: Path, names: list[str]) -> None:
        out["function"] = self.function(value, (*path, "task"))

    def _workflow(self, out: Any, value: str, spec: Any, path: Path, names: list[str]) -> None:
        if value not in self.known:
            self.found.add(
                "PF2002", (*path, "workflow"), f"no workflow is called {value!r}",
                guess(value, self.known) or "declare it under workflows:",
            )  # fmt: skip
        out["workflow"] = value

    def _choice(self, out: Any, value: Any, spec: Any, path: Path, names: list[str]) -> None:
        out["rules"] = [
            {"when": rule["when"],
             "next": self.target(rule["next"], (*path, "choice", index, "next"), names)}
            for index, rule in enumerate(value)
        ]  # fmt: skip
        if "default" in spec:
            out["default"] = self.target(spec["default"], (*path, "default"), names)

    def _parallel(self, out: Any, value: Any, spec: Any, path: Path, names: list[str]) -> None:
        out["branches"] = [
            {"name": name,
             "machine": self.machine(branch["steps"], (*path, "parallel", name, "steps"))}
            for name, branch in value.items()
        ]  # fmt: skip

    def _map(self, out: Any, value: Any, spec: Any, path: Path, names: list[str]) -> None:
        out |= {
            "items": value["items"],
            "machine": self.machine(value["steps"], (*path, "map", "steps")),
            "concurrency": value.get("concurrency", 10),
            "most": value["most"],
        }
        if "each" in value:
            out["each"] = value["each"]

    def _loop(self, out: Any, value: Any, spec: Any, path: Path, names: list[str]) -> None:
        out |= {
            "while": value["while"],
            "machine": self.machine(value["steps"], (*path, "loop", "steps")),
            "most": value["most"],
        }

    def _wait(self, out: Any, value: Any, spec: Any, path: Path, names: list[str]) -> None:
        words = [word for word in ("seconds", "until", "signal") if word in value]
        if len(words) != 1:
            self.found.add(
                "PF2202", (*path, "wait"), f"it waits for {' and '.join(words) or 'nothing'}",
                "one of seconds, until, signal",
            )  # fmt: skip
            return
        word = words[0]
        if word != "signal":
            for key in ("timeout", "select", "result", "catch"):
                if key in (value if key == "timeout" else spec):
                    self.found.add("PF2203", path, f"a wait for {word} has no {key!r}")
        given = value[word]
        plain = word == "seconds" and not str(given).startswith("$")
        out[word] = seconds(given) if plain else given
        if word == "signal" and "timeout" in value:
            out["timeout"] = seconds(value["timeout"])

    def _set(self, out: Any, value: Any, spec: Any, path: Path, names: list[str]) -> None:
        out["input"] = value

    def _succeed(self, out: Any, value: Any, spec: Any, path: Path, names: list[str]) -> None:
        return

    def _fail(self, out: Any, value: Any, spec: Any, path: Path, names: list[str]) -> None:
        out |= {"error": value["error"], "cause": value.get("cause", "")}


def _retry(given: Any) -> list[dict[str, Any]]:
    out = []
    for rule in given if isinstance(given, list) else [given]:
        made = {
            "errors": rule.get("errors", ["States.ALL"]),
            "attempts": rule.get("attempts", 4),
            "initial": seconds(rule.get("initial", 1)),
            "factor": rule.get("factor", 2),
            "jitter": rule.get("jitter", False),
        }
        if "max" in rule:
            made["max"] = seconds(rule["max"])
        out.append(made)
    return out


def inner(step: Mapping[str, Any]) -> Iterator[Machine]:
    """Yield the machines within a step."""
    if "machine" in step:
        yield step["machine"]
    for branch in step.get("branches", ()):
        yield branch["machine"]


def every_step(machine: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the name and the step of all steps of a machine, and of the machines within."""
    for name, step in machine["steps"].items():
        yield name, step
        for one in inner(step):
            yield from every_step(one)


def called(machine: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of the functions that a machine calls, each once, compensations too.

    And of the one that checks its schemas, where the engine itself does not (W-21).
    """
    seen = set()
    # Who checks the schemas may be called for nothing else.
    whole = {"compensate": {"function": machine.get("check")}}
    for _, step in (*every_step(machine), ("", whole)):
        for part in (step, step.get("compensate") or {}):
            name = part.get("function")
            if name and name not in seen:
                seen.add(name)
                yield name


def subworkflows(machine: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of the workflows that a machine runs."""
    for _, step in every_step(machine):
        if step["kind"] == "workflow":
            yield step["workflow"]


def _recursion(found: Findings, workflows: list[WorkflowPlan]) -> None:
    runs = {workflow.name: set(subworkflows(workflow.machine)) for workflow in workflows}
    _waits_below(found, workflows, runs)
    for name in runs:
        reached, waiting = set(), [*runs[name]]
        while waiting:
            one = waiting.pop()
            if one not in reached:
                reached.add(one)
                waiting += runs.get(one, ())
        if name in reached:
            found.add(
                "PF2206", ("workflows", name), f"workflow {name!r} runs itself",
                "a loop repeats steps",
            )  # fmt: skip


def _waits_below(
    found: Findings, workflows: list[WorkflowPlan], runs: Mapping[str, set[str]]
) -> None:
    """Refuse waits for signals in what others run: platforms differ in whose run it is (W-16)."""
    run_by = {one: name for name, all_of_it in runs.items() for one in all_of_it}
    for workflow in workflows:
        parent = run_by.get(workflow.name)
        signals = [step for _, step in every_step(workflow.machine) if "signal" in step]
        if parent is not None and signals:
            found.add(
                "PF2218", ("workflows", workflow.name),
                f"workflow {workflow.name!r} waits for the signal {signals[0]['signal']!r}, and is "
                f"run by {parent!r}: whose run would be signalled?",
                f"let a step of {parent!r} wait for it",
            )  # fmt: skip
