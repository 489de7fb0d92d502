"""The state machine of a workflow.

A step's first state has its name, others the step's name, a dot and a word. States that nothing
leads to are left out, which Step Functions would refuse.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from portafaas.plan import WorkflowPlan
from portafaas.runtime import states as rules
from portafaas_aws.machines.common import (
    Machine,
    Places,
    as_json,
    every_step,
    routed,
    same_scope,
)
from portafaas_aws.machines.flow import Flow
from portafaas_aws.machines.groups import Groups
from portafaas_aws.machines.retries import TRANSIENT, TRANSIENT_RETRY
from portafaas_aws.machines.scope import NOTHING, Scope, State
from portafaas_aws.machines.text import Place
from portafaas_aws.machines.words import Context, variable


def definition(workflow: WorkflowPlan, places: Places) -> dict[str, Any]:
    """Return the state machine; raises Unspeakable for what the States Language cannot say."""
    keeps = any("compensate" in step for _, step in every_step(workflow.machine))
    lowering = _Lowering(workflow, places, keeps)
    scope = Scope(
        lowering.number(), keeps, Context(), (), top=True, routed=routed(workflow.machine)
    )
    return {
        "Comment": f"Workflow {workflow.name}. Written by portafaas; do not edit.",
        **lowering.machine(scope, workflow.machine),
    }


class _Lowering(Groups, Flow):
    def machine(
        self, scope: Scope, machine: Machine, assigned: Mapping[str, Any] | None = None,
        unwrapped: bool = False,
    ) -> dict[str, Any]:  # fmt: skip
        """Return ``StartAt`` and ``States``; *assigned* are variables that it begins with."""
        start = machine["start"]
        if "output" in machine:
            scope.verified = self.verifying(scope, machine, "output", rules.OUTPUT)
        if "input" in machine:
            first = self.verifying(scope, machine, "input", rules.INPUT)
            start = scope.add(scope.name("input"), {**first, "Next": start})
        values = dict(assigned or {})
        if scope.keeps:
            values[scope.var("log")] = [NOTHING]
        if values or unwrapped:
            own: State = {"Type": "Pass", "Next": start}
            if values:
                own["Assign"] = values
            if unwrapped:
                own["OutputPath"] = "$.v"
            start = scope.add(scope.name("begin"), own)
        self.steps(scope, machine, None)
        catches, again = {}, {}
        for name, step in same_scope(machine):
            if "catch" in step:
                catches[name] = self.catches(scope, name, step)
            if step["kind"] == "workflow" and "retry" in step:
                again[name] = f"{name}.again"
        scope.dispatch(catches, again)
        if scope.top and scope.keeps:
            self.undoing(scope)
        if scope.top:
            if scope.verified is None:
                _shorten(scope)
        return {"StartAt": start, "States": _reached(start, scope.states)}

    def verifying(self, scope: Scope, machine: Machine, key: str, error: str) -> State:
        """Return a state, without what is next, that has a function check the document (W-21).

        Step Functions knows no schemas. The schema is text: names in it might end in ``.$``.
        """
        return {
            "Type": "Task",
            "Resource": Place(self.places.function(machine["check"])),
            "Parameters": {"input.$": "$", "schema": as_json(machine[key]), "error": error},
            "ResultPath": None,
            "Retry": [{"ErrorEquals": [*TRANSIENT], **TRANSIENT_RETRY}],
            "Catch": [scope.catcher(scope.name(key), scope.error())],
        }

    # Compensation.

    def undoing(self, scope: Scope) -> None:
        """Add what undoes the log from its end, and then fails with the run's own error."""
        undo, log = scope.name("undo"), f"${scope.var('log')}"
        done, which = scope.name("undone"), scope.name("undo.which")
        none = {**variable("$left", "NumericLessThan", 1), "Next": done}
        scope.add(undo, {"Type": "Choice", "Choices": [none], "Default": scope.name("undo.next")})
        scope.add(
            scope.name("undo.next"),
            {
                "Type": "Pass",
                "Assign": {
                    "entry.$": f"States.ArrayGetItem({log}, $left)",
                    "left.$": "States.MathAdd($left, -1)",
                },
                "Next": which,
            },
        )
        choices = []
        for name, step in every_step(self.workflow.machine):
            if "compensate" not in step:
                continue
            spec = step["compensate"]
            choices.append(
                {**variable("$entry.undo", "StringEquals", name), "Next": f"{name}.undo"}
            )
            scope.add(
                f"{name}.undo",
                {
                    "Type": "Task",
                    "Resource": Place(self.places.function(spec["function"])),
                    "Parameters": self.call(scope, name, {"input.$": "$entry.input"}, name),
                    "ResultPath": None,
                    "Retry": self.retried(spec),
                    "Catch": [
                        {
                            "ErrorEquals": [rules.ALL],
                            "ResultPath": None,
                            "Assign": {"failed": True},
                            "Next": undo,
                        }
                    ],
                    "Next": undo,
                },
            )
        # Firsts of logs are nothing.
        scope.add(which, {"Type": "Choice", "Choices": choices, "Default": undo})
        failed = {**variable("$failed", "BooleanEquals", True), "Next": scope.name("undone.not")}
        scope.add(
            done, {"Type": "Choice", "Choices": [failed], "Default": scope.name("undone.all")}
        )
        own = {"Error.$": "$own.Error", "Cause.$": "$own.Cause"}
        lost = {"Error": rules.COMPENSATION, "Cause.$": "$own.Error"}
        for word, error in (("undone.all", own), ("undone.not", lost)):
            scope.add(
                scope.name(word), {"Type": "Pass", "Parameters": error, "Next": scope.failed()}
            )


def _shorten(scope: Scope) -> None:
    """End where a state comes next that does nothing but end."""
    for state in scope.states.values():
        if state.get("Next") == scope.name("ok") and "Choices" not in state:
            del state["Next"]
            state["End"] = True


def _reached(start: str, states: Mapping[str, State]) -> dict[str, State]:
    """Return the states that something leads to, in their order."""
    seen, waiting = set(), [start]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        state = states[name]
        waiting += [
            target
            for target in (
                state.get("Next"),
                state.get("Default"),
                *(rule["Next"] for rule in state.get("Choices", ())),
                *(rule["Next"] for rule in state.get("Catch", ())),
            )
            if target
        ]
    return {name: state for name, state in states.items() if name in seen}
