"""The states of steps that have steps: parallel, map, loop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from portafaas.runtime import states as rules
from portafaas_aws.machines import words
from portafaas_aws.machines.calls import Calls
from portafaas_aws.machines.common import Machine, Step, every_step, routed
from portafaas_aws.machines.scope import Scope, State
from portafaas_aws.machines.words import Context, every, variable


class Groups(Calls):
    """Steps that have steps."""

    def together(
        self, scope: Scope, name: str, work: str, step: Step, state: State, following: str
    ) -> None:
        """Add a Parallel or Map, and what comes of the outcomes of its branches."""
        number = self.number()
        ok, bad, logs = f"ok{number}", f"bad{number}", f"logs{number}"
        values = {f"{ok}.$": "$[*].ok", f"{bad}.$": "$[*].bad"}
        check = f"{name}.check"
        if scope.keeps:
            values[f"{logs}.$"] = "$[*].log[*]"
        state |= {
            "ResultPath": None,
            "Assign": values,
            "Catch": [scope.catcher(name, scope.error())],
            "Next": f"{name}.logs" if scope.keeps else check,
        }
        scope.add(work, state)
        if scope.keeps:
            self.appended(scope, f"{name}.logs", {"v.$": f"${logs}"}, check)
        retried = "retry" in step
        error = {"Error.$": f"${bad}[0].Error", "Cause.$": f"${bad}[0].Cause"}
        failed = scope.fault(f"{name}.failed", error, name, f"{name}.again" if retried else None)
        after = self.put(scope, f"{name}.put", step, f"${ok}", following)
        failing = {**variable(f"${bad}[0]", "IsPresent", True), "Next": failed}
        scope.add(check, {"Type": "Choice", "Choices": [failing], "Default": after})

    def given(self, scope: Scope, name: str, step: Step) -> tuple[dict[str, Any], str, str | None]:
        """Return how the state of a parallel or map takes its input.

        That is fields, the path to the input for states before it, and None or the name of a state
        that has to come before, which is added with *name*, and whose ``Next`` is still missing.
        """
        if "input" not in step:
            return {}, "$", None
        template = step["input"]
        if isinstance(template, str) and rules.is_path(template):
            path = scope.context.path(template)
            return {"InputPath": path}, path, None
        made = scope.var("given")
        values = {made: words.field("v", template, scope.context)}
        scope.add(name, {"Type": "Pass", "Assign": values})
        return {"InputPath": f"${made}.v"}, f"${made}.v", name

    def _parallel(self, scope: Scope, name: str, step: Step, back: str | None) -> None:
        following = self.kept(scope, name, step, self.after(scope, step, back))
        retried = "retry" in step
        first = f"{name}.first" if retried else name
        fields, _, before = self.given(scope, first, step)
        work = f"{name}.run" if before or retried else name
        if before:
            scope.states[before]["Next"] = work
        branches = []
        for branch in step["branches"]:
            inner = self.inner(scope, branch["machine"], Context("$", scope.context.item))
            branches.append(self.machine(inner, branch["machine"]))
        state: State = {"Type": "Parallel", **fields, "Branches": branches}
        self.together(scope, name, work, step, state, following)
        if retried:
            self.again(scope, name, step, first if before else work)

    def inner(
        self, scope: Scope, machine: Machine, context: Context, indices: Sequence[str] = ()
    ) -> Scope:
        """Return the scope of a machine within a step."""
        known = (*scope.indices, *indices)
        return Scope(self.number(), self.keeps, context, known, False, routed(machine))

    def _map(self, scope: Scope, name: str, step: Step, back: str | None) -> None:
        following = self.kept(scope, name, step, self.after(scope, step, back))
        retried = "retry" in step
        first = f"{name}.first" if retried else name
        fields, base, before = self.given(scope, first, step)
        check = f"{name}.most" if before else first
        work = f"{name}.run"
        if before:
            scope.states[before]["Next"] = check
        items = Context(base).path(step["items"])
        most = variable(f"{items}[{step['most']}]", "IsPresent", True)
        too_many = scope.fault(
            f"{name}.many",
            {"Error": rules.TOO_MANY_ITEMS, "Cause": f"more than {step['most']} items of {name}"},
            name,
            f"{name}.again" if retried else None,
        )
        scope.add(
            check,
            {"Type": "Choice", "Choices": [{**most, "Next": too_many}], "Default": work},
        )
        state: State = {"Type": "Map", **fields, "ItemsPath": Context("$").path(step["items"])}
        body, number = step["machine"], self.count
        item = f"item{number}"
        values = _item_of(body)
        native = Context("$", "$$.Map.Item")
        if "each" in step:
            field = words.field("v", step["each"], native)
        else:
            field = {"v.$": "$$.Map.Item.Value"}
        # A selector is an object; what is none is taken out of one, and so is what states within
        # need to know of the item, since the context of a map is promised to selectors alone.
        unwrapped = bool(values) or not isinstance(field.get("v"), dict)
        if not unwrapped:
            state["ItemSelector"] = field["v"]
        elif values or "each" in step:
            selected = {f"{name}.$": f"$$.Map.Item.{name}" for name in values}
            state["ItemSelector"] = {**field, **selected}
        else:
            unwrapped = False
        inner = self.inner(scope, body, Context("$", f"${item}"), (f"${item}.Index",))
        assigned = {item: {f"{name}.$": f"$.{name}" for name in values}} if values else {}
        state["ItemProcessor"] = {
            "ProcessorConfig": {"Mode": "INLINE"},
            **self.machine(inner, body, assigned, unwrapped),
        }
        state["MaxConcurrency"] = step["concurrency"]
        self.together(scope, name, work, step, state, following)
        if retried:
            self.again(scope, name, step, first)

    def _loop(self, scope: Scope, name: str, step: Step, back: str | None) -> None:
        count, head = f"times{self.number()}", f"{name}.while"
        scope.add(name, {"Type": "Pass", "Assign": {count: 0}, "Next": head})
        holds = words.condition(step["while"], scope.context)
        full = variable(f"${count}", "NumericEquals", step["most"])
        limit = scope.fault(
            f"{name}.limit",
            {"Error": rules.LOOP_LIMIT, "Cause": f"{name} has run {step['most']} times"},
            name,
        )
        once = {f"{count}.$": f"States.MathAdd(${count}, 1)"}
        scope.add(
            head,
            {
                "Type": "Choice",
                "Choices": [
                    {**every(holds, full), "Next": limit},
                    {**holds, "Assign": once, "Next": step["machine"]["start"]},
                ],
                "Default": self.after(scope, step, back),
            },
        )
        self.steps(scope, step["machine"], head)


def _item_of(body: Machine) -> list[str]:
    """Return what the states for an item need to know of it: ``Index``, ``Value``."""
    names = {
        path.split(".")[3].partition("[")[0]
        for _, step in every_step(body)
        for path in _context_paths({k: v for k, v in step.items() if k not in _MACHINES})
    }
    if any(step["kind"] == "task" for _, step in every_step(body)):
        # Calls in different items have different keys.
        names.add("Index")
    return sorted(names & {"Index", "Value"})


_MACHINES = ("machine", "branches")


def _context_paths(value: Any) -> Iterator[str]:
    """Yield the paths to the context of a map, of templates and conditions."""
    if isinstance(value, str):
        if value.startswith("$$.Map.Item."):
            yield value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _context_paths(name)
            yield from _context_paths(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _context_paths(inner)
