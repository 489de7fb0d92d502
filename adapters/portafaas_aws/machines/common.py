"""What the states of all kinds of steps share: addresses, results, what is kept, and walks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from portafaas.plan import WorkflowPlan
from portafaas.runtime import states as rules
from portafaas_aws.machines import words
from portafaas_aws.machines.retries import TRANSIENT, TRANSIENT_RETRY, named, private, retriers
from portafaas_aws.machines.scope import Scope, State
from portafaas_aws.machines.words import Context
from portafaas_aws.runtime.runs import BROKEN

Machine = Mapping[str, Any]
Step = Mapping[str, Any]


class Places:
    """The addresses of what a machine calls."""

    def function(self, name: str) -> str:
        """Return the ARN of a function."""
        raise NotImplementedError

    def workflow(self, name: str) -> str:
        """Return the ARN of another machine."""
        raise NotImplementedError

    def sink(self) -> str:
        """Return the ARN of the topic that takes what the service sends when a run waits."""
        raise NotImplementedError


def every_step(machine: Machine) -> list[tuple[str, Step]]:
    """Return all steps of a machine, and of the machines within."""
    found: list[tuple[str, Step]] = []
    for name, step in machine["steps"].items():
        found.append((name, step))
        for inner in inner_of(step):
            found += every_step(inner)
    return found


def inner_of(step: Step) -> list[Machine]:
    """Return the machines within a step."""
    own = [step["machine"]] if "machine" in step else []
    return [*own, *(branch["machine"] for branch in step.get("branches", ()))]


def same_scope(machine: Machine) -> list[tuple[str, Step]]:
    """Return the steps of a machine, and of its loops: those that share a scope."""
    found: list[tuple[str, Step]] = []
    for name, step in machine["steps"].items():
        found.append((name, step))
        if step["kind"] == "loop":
            found += same_scope(step["machine"])
    return found


def place(result: str | None) -> str | None:
    """Return where a result goes, as a reference path."""
    return None if result is None else Context("$").path(result)


def as_json(value: Any) -> str:
    """Return *value* as JSON text."""
    import json

    return json.dumps(value, ensure_ascii=False)


def routed(machine: Machine) -> bool:
    """Tell whether an error may have to be tried again by states of its step."""
    return any(step["kind"] == "workflow" and "retry" in step for _, step in same_scope(machine))


class Steps:
    """Writes the states of one workflow's steps; kinds of them are in subclasses."""

    def __init__(self, workflow: WorkflowPlan, places: Places, keeps: bool) -> None:
        self.workflow = workflow
        self.places = places
        self.keeps = keeps
        self.count = 0

    def number(self) -> int:
        """Return a number that no other scope or step has."""
        self.count += 1
        return self.count - 1

    def machine(
        self, scope: Scope, machine: Machine, assigned: Mapping[str, Any] | None = None,
        unwrapped: bool = False,
    ) -> dict[str, Any]:  # fmt: skip
        """Return ``StartAt`` and ``States``; *assigned* are variables that it begins with."""
        raise NotImplementedError

    def steps(self, scope: Scope, machine: Machine, back: str | None) -> None:
        """Add the states of all steps; those of a loop end in *back*."""
        for name, step in machine["steps"].items():
            getattr(self, f"_{step['kind']}")(scope, name, step, back)

    def after(self, scope: Scope, step: Step, back: str | None) -> str:
        """Return the name of the state that follows a step."""
        found: str | None = step["next"]
        return found or back or scope.ends()

    def catches(
        self, scope: Scope, name: str, step: Step
    ) -> list[tuple[words.Condition | None, str]]:
        """Return the conditions of a step's catches (None: any error), and where they lead."""
        found: list[tuple[words.Condition | None, str]] = []
        for index, rule in enumerate(step["catch"]):
            target = rule["next"]
            if rule["result"] is not None:
                err = f"${scope.var('err')}"
                target = scope.add(
                    f"{name}.catch{index}",
                    {
                        "Type": "Pass",
                        "Parameters": {"Error.$": f"{err}.Error", "Cause.$": f"{err}.Cause"},
                        "ResultPath": place(rule["result"]),
                        "Next": target,
                    },
                )
            condition = scope.names(rule["errors"])
            found.append((condition, target))
            if condition is None:
                break
        return found

    def call(self, scope: Scope, name: str, input: dict[str, Any], undo: str = "") -> State:
        """Return the parameters of a call of a function; *input* is the field."""
        step = undo or name
        indices = "".join(f", {index}" for index in scope.indices)
        text = "{}/" + step + ("/undo" if undo else "") + "/{}" + "/{}" * len(scope.indices)
        return {
            **input,
            "workflow": self.workflow.name,
            "run.$": "$$.Execution.Name",
            "step": step,
            "attempt.$": "States.MathAdd($$.State.RetryCount, 1)",
            "key.$": (f"States.Format('{text}', $$.Execution.Name, $$.State.EnteredTime{indices})"),
        }

    def kept(self, scope: Scope, name: str, step: Step, following: str) -> str:
        """Return what comes once a step has succeeded: it is kept, then *following*."""
        undo = step.get("compensate")
        if undo is None:
            return following
        entry = {"undo": name, **words.field("input", undo.get("input", "$"), scope.context)}
        return self.appended(scope, f"{name}.keep", {"v": [entry]}, following)

    def appended(self, scope: Scope, name: str, more: dict[str, Any], following: str) -> str:
        """Add the state that appends the list *more*, ``v``, to the log; return its name.

        The result of the state, which is forgotten, is what its assignment sees.
        """
        log = scope.var("log")
        return scope.add(
            name,
            {
                "Type": "Pass",
                "Parameters": {"both": [{"v.$": f"${log}"}, more]},
                "ResultPath": None,
                "Assign": {f"{log}.$": "$.both[*].v[*]"},
                "Next": following,
            },
        )

    def put(self, scope: Scope, name: str, step: Step, base: str, following: str) -> str:
        """Add a state that puts the result at *base* where it belongs; return its name.

        A result that is forgotten needs none.
        """
        result = step.get("result", "$")
        if result is None and "select" not in step:
            return following
        state: State = {"Type": "Pass", "ResultPath": place(result), "Next": following}
        if "select" not in step:
            return scope.add(name, {**state, "InputPath": base})
        return self.produced(scope, name, step["select"], scope.context.at(base), state)

    def produced(
        self, scope: Scope, name: str, template: Any, context: Context, state: State
    ) -> str:
        """Add *state*, a Pass, with what *template* makes as its result; return its name."""
        same, value = words.literal(template)
        if same:
            return scope.add(name, {**state, "Result": value})
        if isinstance(template, str):
            return scope.add(name, {**state, "InputPath": context.path(template)})
        if isinstance(template, Mapping):
            return scope.add(name, {**state, "Parameters": words.fields(template, context)})
        made = scope.var("made")
        scope.add(f"{name}.put", {**state, "InputPath": f"${made}.v"})
        values = {made: words.field("v", template, context)}
        return scope.add(name, {"Type": "Pass", "Assign": values, "Next": f"{name}.put"})

    def retried(self, step: Step) -> list[State]:
        """Return the retriers of a call of a function."""
        own = retriers(named(step.get("retry", ())))
        wide = any({rules.ALL, rules.TASK_FAILED} & set(rule["ErrorEquals"]) for rule in own)
        fatal = [private(name) for name in rules.FATAL]
        never = [{"ErrorEquals": [*BROKEN, *fatal], "MaxAttempts": 0}] if wide else []
        return [*never, {"ErrorEquals": [*TRANSIENT], **TRANSIENT_RETRY}, *own]
