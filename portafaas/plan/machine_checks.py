"""What can be wrong with a workflow that every single step of is right: PF2207 and on.

Works on the normal form (``docs/spec/workflows.md``); *places* says where each step is in the
manifest. Rules of reachability, of endings, of names of errors, of conditions, and of templates;
``portafaas.plan.machine_shapes`` follows the document through the steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from portafaas.errors import guess
from portafaas.plan.asl_values import foreign
from portafaas.plan.triggers import Findings
from portafaas.runtime import states

Path = tuple[str | int, ...]
Machine = Mapping[str, Any]
Step = Mapping[str, Any]

#: Levels of steps within steps, and steps of one workflow in all.
DEEPEST = 10
MOST_STEPS = 1000

#: Errors that rules may name and engines make; exceptions have any other name.
CAUGHT = (
    states.ALL, states.TASK_FAILED, states.TIMEOUT, states.NO_CHOICE, states.TOO_MANY_ITEMS,
    states.LOOP_LIMIT, states.COMPENSATION, states.INPUT, states.OUTPUT,
)  # fmt: skip
_OURS = ("States.", "Map.", "Loop.", "Compensation.", "Schema.")
#: Kinds of steps that take no time and call nothing.
_IDLE = ("choice", "set")
_OPERATORS = ("==", "!=", "<", "<=", ">", ">=", "matches", "is")
_KINDS = ("null", "string", "number", "boolean", "present")


def check(
    found: Findings, machine: Machine, path: Path, places: Mapping[str, Path], schema: Any = None
) -> None:
    """Tell *found* what is wrong with the machine at *path*.

    *places*: where each step is, by name. *schema*: of the workflow's input.
    """
    before = len(found.problems)
    checks = _Checks(found, places)
    checks.machine(machine, path, 1, False)
    if checks.count > MOST_STEPS:
        found.add(
            "PF2215", path, f"the workflow has {checks.count} steps",
            f"at most {MOST_STEPS}: move some to another workflow, and run it by 'workflow:'",
        )  # fmt: skip
    _signals(found, machine, places)
    if len(found.problems) == before:
        from portafaas.plan.machine_shapes import undefined

        undefined(found, machine, places, schema)


def following(step: Step) -> Iterator[str | None]:
    """Yield where a step may go on: names, None for the end."""
    if step["kind"] == "choice":
        yield from (rule["next"] for rule in step["rules"])
        # Without a default the error ends the steps.
        yield step.get("default")
    elif step["kind"] in ("succeed", "fail"):
        yield None
    else:
        yield step["next"]
        yield from (rule["next"] for rule in step.get("catch", ()))


def inner(step: Step, path: Path) -> Iterator[tuple[Machine, Path]]:
    """Yield the machines within a step at *path*, and where they are."""
    if "machine" in step:
        yield step["machine"], (*path, step["kind"], "steps")
    for branch in step.get("branches", ()):
        yield branch["machine"], (*path, "parallel", branch["name"], "steps")


def steps_at(machine: Machine, path: Path) -> Iterator[tuple[Step, Path]]:
    """Yield the steps of a machine at *path* and of those within, and where they are."""
    for name, step in machine["steps"].items():
        here = (*path, name)
        yield step, here
        for one, where in inner(step, here):
            yield from steps_at(one, where)


class _Checks:
    def __init__(self, found: Findings, places: Mapping[str, Path]) -> None:
        self.found = found
        self.places = places
        self.count = 0

    def machine(self, machine: Machine, path: Path, depth: int, in_map: bool) -> None:
        steps = machine["steps"]
        self.count += len(steps)
        if depth > DEEPEST:
            self.found.add(
                "PF2215", path, f"steps within steps, {depth} levels deep",
                f"at most {DEEPEST}: move some to another workflow, and run it by 'workflow:'",
            )  # fmt: skip
            return
        if steps:
            self.ways(machine)
        for name, step in steps.items():
            here = self.places[name]
            self.step(name, step, here, in_map)
            for one, where in inner(step, here):
                self.machine(one, where, depth + 1, in_map or step["kind"] == "map")

    def ways(self, machine: Machine) -> None:
        """Find steps that nothing leads to, that lead to no end, and circles that do nothing."""
        steps = machine["steps"]
        after: dict[str, list[str]] = {
            name: [n for n in following(step) if n is not None] for name, step in steps.items()
        }
        reached = _reach([machine["start"]], after)
        for name in steps:
            if name not in reached:
                self.found.add(
                    "PF2207", self.places[name], f"no step leads to {name!r}",
                    "name it in a 'next', 'default' or 'catch', or remove it",
                )  # fmt: skip
        before: dict[str, list[str]] = {name: [] for name in steps}
        for name, others in after.items():
            for other in others:
                before[other].append(name)
        ends = [name for name, step in steps.items() if None in following(step)]
        ending = _reach(ends, before)
        stuck = [name for name in steps if name in reached and name not in ending]
        circles = [name for name in stuck if name in _reach(after[name], after)]
        if stuck:
            stuck = circles or stuck
            self.found.add(
                "PF2208", self.places[stuck[0]],
                f"from {stuck[0]!r} no way leads to an end: {', '.join(stuck)}",
                "give one of them 'end: true', or a way to a step that ends",
            )  # fmt: skip
        idle = {
            name: [other for other in others if steps[other]["kind"] in _IDLE]
            for name, others in after.items()
            if steps[name]["kind"] in _IDLE
        }
        for name in idle:
            if name in reached and name in _reach(idle[name], idle) and name not in stuck:
                circle = [one for one in idle if one in _reach([name], idle)]
                self.found.add(
                    "PF2208", self.places[name],
                    f"a circle in which nothing is called or waited for: {', '.join(circle)}",
                    "put a task or a wait into it",
                )  # fmt: skip
                break

    def step(self, name: str, step: Step, here: Path, in_map: bool) -> None:
        kind = step["kind"]
        if "input" in step:
            self.template(step["input"], (*here, "set" if kind == "set" else "input"), in_map)
        if "select" in step:
            self.template(step["select"], (*here, "select"), in_map)
        self.result(step.get("result"), (*here, "result"))
        self.rules(step.get("retry", ()), (*here, "retry"), len(step.get("retry", ())) == 1)
        self.rules(step.get("catch", ()), (*here, "catch"))
        for index, rule in enumerate(step.get("catch", ())):
            self.result(rule.get("result"), (*here, "catch", index, "result"))
        if "compensate" in step:
            undo = step["compensate"]
            where = (*here, "compensate")
            if "input" in undo:
                self.template(undo["input"], (*where, "input"), in_map)
            self.rules(undo.get("retry", ()), (*where, "retry"), len(undo.get("retry", ())) == 1)
        if kind == "choice":
            for index, rule in enumerate(step["rules"]):
                self.condition(rule["when"], (*here, "choice", index, "when"), in_map)
        elif kind == "loop":
            self.condition(step["while"], (*here, "loop", "while"), in_map)
        elif kind == "map":
            self.path(step["items"], (*here, "map", "items"), in_map)
            if "each" in step:
                self.template(step["each"], (*here, "map", "each"), True)
        elif kind == "fail":
            self.ending(step, (*here, "fail"), in_map)
        elif kind == "wait":
            self.wait(step, (*here, "wait"), in_map)

    def ending(self, step: Step, here: Path, in_map: bool) -> None:
        for key in ("error", "cause"):
            if states.is_path(step[key]):
                self.path(step[key], (*here, key), in_map)
            else:
                self.constant(step[key], (*here, key), "let a task make the text")
        if str(step["error"]).startswith(_OURS):
            self.found.add(
                "PF2213", (*here, "error"), f"{step['error']!r} is an error that engines make",
                f"a name of your own does not begin with one of {', '.join(_OURS)}",
            )  # fmt: skip

    def wait(self, step: Step, here: Path, in_map: bool) -> None:
        if states.is_path(step.get("seconds")):
            self.path(step["seconds"], (*here, "seconds"), in_map)
        if "until" in step:
            if states.is_path(step["until"]):
                self.path(step["until"], (*here, "until"), in_map)
            elif not states.is_time(step["until"]):
                self.found.add(
                    "PF2217", (*here, "until"), f"{step['until']!r} is no time in UTC",
                    "as in 2030-01-31T12:00:00Z, or a path",
                )  # fmt: skip

    def path(self, text: Any, here: Path, in_map: bool) -> bool:
        """Check one path; tell whether it is right."""
        try:
            parts = states.parsed(text)
        except ValueError as exc:
            self.found.add("PF2209", here, str(exc), "as in $.order.lines[0]['a name']")
            return False
        if text.startswith("$$") and not _context(parts, in_map):
            known = "$$.Execution.Id, $$.Execution.Input"
            known += ", $$.Map.Item.Value, $$.Map.Item.Index (in the steps of a map)"
            self.found.add("PF2210", here, f"the context has no {text}", known)
            return False
        return True

    def result(self, text: Any, here: Path) -> None:
        if text is None:
            return
        try:
            parts = states.parsed(text)
        except ValueError as exc:
            self.found.add("PF2209", here, str(exc), "as in $.order.payment")
            return
        if text.startswith("$$") or any(isinstance(part, int) for part in parts):
            self.found.add(
                "PF2209", here, f"nothing can be put at {text}",
                "a result goes to a name in the document: $.order.payment",
            )  # fmt: skip

    def constant(self, text: Any, here: Path, hint: str = "") -> None:
        """Refuse a text that Step Functions would evaluate."""
        what = foreign(text)
        if what is not None:
            self.found.add(
                "PF2225", here, f"{text!r} is {what}, which workflows do not have",
                hint or "let a task do it; {$literal: …} makes it a constant text",
            )  # fmt: skip

    def template(self, value: Any, here: Path, in_map: bool) -> None:
        if states.is_path(value):
            self.path(value, here, in_map)
        elif isinstance(value, dict):
            if "$literal" in value:
                if len(value) > 1:
                    self.found.add(
                        "PF2212", here, "$literal stands alone", "{$literal: what is meant}"
                    )
                return
            for name, one in value.items():
                if name.endswith(".$"):
                    self.found.add(
                        "PF2225", (*here, name), f"{name!r} is a key of the States Language",
                        f"{name[:-2] or 'the name'}: $.path will do: a text that is a path is one; "
                        "{$literal: …} makes it a constant",
                    )  # fmt: skip
                    continue
                self.template(one, (*here, name), in_map)
        elif isinstance(value, list):
            plain = [not isinstance(one, (dict, list)) for one in value]
            literal = [isinstance(one, dict) and list(one) == ["$literal"] for one in value]
            if not all(plain) and not all(literal) and not _constant(value):
                self.found.add(
                    "PF2212", here, "a list in a template holds paths and plain values only",
                    "put the objects together in steps of their own, or name them by paths",
                )  # fmt: skip
            for index, one in enumerate(value):
                self.template(one, (*here, index), in_map)
        else:
            self.constant(value, here)

    def rules(self, rules: Any, here: Path, alone: bool = False) -> None:
        """Check which errors the rules of a retry or catch name."""
        named: set[str] = set()
        for index, rule in enumerate(rules):
            where = (*here, index)
            if alone and not self.found.known(where):
                where = here
            errors = rule["errors"]
            for error in errors:
                if error in states.FATAL:
                    self.found.add(
                        "PF2213", (*where, "errors"), f"nobody catches or retries {error}",
                        "make sure that what a path names is there, or is not too large",
                    )  # fmt: skip
                elif error.startswith(_OURS) and error not in CAUGHT:
                    self.found.add(
                        "PF2213", (*where, "errors"), f"there is no error {error!r}",
                        guess(error, CAUGHT) or f"known: {', '.join(CAUGHT)}",
                    )  # fmt: skip
            if states.ALL in errors and len(errors) > 1:
                self.found.add(
                    "PF2214", (*where, "errors"), "States.ALL stands alone", "it is all errors"
                )
            if all(_covered(error, named) for error in errors):
                self.found.add(
                    "PF2214", where, f"the rules before this one take {', '.join(errors)} already",
                    "put it first, or remove it",
                )  # fmt: skip
            named.update(errors)

    def condition(self, when: Any, here: Path, in_map: bool) -> None:
        if not isinstance(when, dict) or len(when) != 1:
            self.found.add(
                "PF2211", here, "a condition has one key", "{path: {operator: value}}, and, or, not"
            )
            return
        ((word, rest),) = when.items()
        where = (*here, word)
        if word in ("and", "or"):
            if not isinstance(rest, list) or not rest:
                self.found.add("PF2211", where, f"{word!r} has a list of conditions")
                return
            for index, one in enumerate(rest):
                self.condition(one, (*where, index), in_map)
            return
        if word == "not":
            self.condition(rest, where, in_map)
            return
        if not word.startswith("$"):
            self.found.add(
                "PF2211", where, f"{word!r} is neither a path nor and, or, not", "as in $.total"
            )
            return
        if not self.path(word, where, in_map):
            return
        if not isinstance(rest, dict) or len(rest) != 1:
            self.found.add(
                "PF2211", where, "a path is compared with one thing",
                f"{{operator: value}} with one of {', '.join(_OPERATORS)}",
            )  # fmt: skip
            return
        ((operator, value),) = rest.items()
        self.compared(operator, value, (*where, operator), in_map)

    def compared(self, operator: str, value: Any, here: Path, in_map: bool) -> None:
        if operator not in _OPERATORS:
            self.found.add(
                "PF2211", here, f"there is no operator {operator!r}",
                guess(operator, _OPERATORS) or f"one of {', '.join(_OPERATORS)}",
            )  # fmt: skip
        elif foreign(value):
            self.constant(value, here, "compare with a path, or let a task do it")
        elif operator == "is":
            if value not in _KINDS:
                self.found.add(
                    "PF2211", here, f"nothing is {value!r}", f"one of {', '.join(_KINDS)}"
                )
        elif states.is_path(value):
            self.path(value, here, in_map)
        elif operator == "matches":
            if not isinstance(value, str):
                self.found.add("PF2211", here, "'matches' takes a text", "as in 'order-*'")
            elif "\\" in value.replace("\\*", ""):
                self.found.add(
                    "PF2211", here, f"a backslash that is before no * in {value!r}",
                    r"\* for a star; platforms differ in what any other backslash is",
                )  # fmt: skip
        elif operator in ("==", "!="):
            if isinstance(value, (dict, list)):
                self.found.add(
                    "PF2211", here, "lists and objects are equal to nothing",
                    "compare what is in them",
                )  # fmt: skip
        elif isinstance(value, bool) or not isinstance(value, (int, float, str)):
            self.found.add(
                "PF2211", here, f"{operator!r} takes a number, a text or a path, not {value!r}"
            )


def _covered(error: str, named: set[str]) -> bool:
    if error in named or states.ALL in named:
        return True
    return states.TASK_FAILED in named and error not in (states.TIMEOUT, states.ALL)


def _constant(value: Any) -> bool:
    """Tell whether a template is the same for every document."""
    if isinstance(value, dict):
        return "$literal" not in value and all(_constant(one) for one in value.values())
    if isinstance(value, list):
        return all(_constant(one) for one in value)
    return not states.is_path(value)


def _context(parts: tuple[str | int, ...], in_map: bool) -> bool:
    if parts[:2] == ("Execution", "Id"):
        return len(parts) == 2
    if parts[:2] == ("Execution", "Input") or (in_map and parts[:3] == ("Map", "Item", "Value")):
        return True
    return in_map and parts == ("Map", "Item", "Index")


def _reach(start: Iterable[str], after: Mapping[str, Iterable[str]]) -> set[str]:
    seen: set[str] = set()
    waiting = list(start)
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting.extend(after.get(name, ()))
    return seen


def _signals(found: Findings, machine: Machine, places: Mapping[str, Path]) -> None:
    """Refuse two waits at once for one signal: which of them it reaches would be chance."""

    def waited(machine: Machine) -> set[str]:
        out: set[str] = set()
        for name, step in machine["steps"].items():
            here = places[name]
            if "signal" in step:
                out.add(step["signal"])
            inside: set[str] = set()
            for one, _ in inner(step, here):
                signals = waited(one)
                twice = sorted(signals) if step["kind"] == "map" else sorted(signals & inside)
                for signal in twice if step["kind"] != "loop" else ():
                    found.add(
                        "PF2216", here, f"signal {signal!r} may be waited for twice at once",
                        "wait for it outside, or in a workflow that the step runs",
                    )  # fmt: skip
                inside |= signals
            out |= inside
        return out

    waited(machine)
