"""The states of steps that call: tasks, sub-workflows, and their tries."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any

from portafaas.runtime import states as rules
from portafaas_aws.machines import words
from portafaas_aws.machines.common import Step, Steps, as_json, place
from portafaas_aws.machines.retries import whole
from portafaas_aws.machines.scope import Scope, State
from portafaas_aws.machines.text import Place
from portafaas_aws.machines.words import Context, every, variable

#: What the service itself calls; in all partitions.
CHILD = Place("arn:${AWS::Partition}:states:::states:startExecution.sync:2")


class Calls(Steps):
    """Steps that call."""

    def _task(self, scope: Scope, name: str, step: Step, back: str | None) -> None:
        context = scope.context
        following = self.kept(scope, name, step, self.after(scope, step, back))
        input = words.field("input", step.get("input", "$"), context)
        state: State = {
            "Type": "Task",
            "Resource": Place(self.places.function(step["function"])),
            "Parameters": self.call(scope, name, input),
            "Retry": self.retried(step),
            "Catch": [scope.catcher(name, scope.error())],
        }
        self.called(scope, name, step, state, following, "$")

    def called(
        self, scope: Scope, name: str, step: Step, state: State, following: str, base: str
    ) -> None:
        """Add a task's state, and what puts its result where it belongs.

        *base* is where the result is in what the call returns.
        """
        if "timeout" in step:
            state["TimeoutSeconds"] = ceil(step["timeout"])
        result, select = step.get("result", "$"), step.get("select")
        inner = Context(base)
        if "select" not in step and base == "$":
            scope.add(name, {**state, "ResultPath": place(result), "Next": following})
        elif isinstance(select, Mapping) and not words.literal(select)[0]:
            selector = words.fields(select, scope.context.at(base))
            found = {**state, "ResultSelector": selector, "ResultPath": place(result)}
            scope.add(name, {**found, "Next": following})
        elif result is None and "select" not in step:
            scope.add(name, {**state, "ResultPath": None, "Next": following})
        else:
            got = scope.var("got")
            after = self.put(scope, f"{name}.put", step, f"${got}.v", following)
            values = {got: {"v.$": inner.path("$")}}
            scope.add(name, {**state, "ResultPath": None, "Assign": values, "Next": after})

    def _workflow(self, scope: Scope, name: str, step: Step, back: str | None) -> None:
        following = self.kept(scope, name, step, self.after(scope, step, back))
        given = step.get("input", "$")
        same, value = words.literal(given)
        if isinstance(given, Mapping) and not same:
            input = words.field("Input", given, scope.context)
        elif same and isinstance(value, Mapping):
            input = words.field("Input", given, scope.context)
        else:
            # What is no object goes as text, which the service passes on as it is.
            field = words.field("v", given, scope.context)
            path = field.get("v.$")
            if path is None:
                input = {"Input": as_json(value)}
            else:
                input = {"Input.$": f"States.JsonToString({path})"}
        work = f"{name}.run" if "retry" in step else name
        state: State = {
            "Type": "Task",
            "Resource": CHILD,
            "Parameters": {
                "StateMachineArn": Place(self.places.workflow(step["workflow"])), **input,
            },
            "Catch": [scope.catcher(name, scope.child())],
        }  # fmt: skip
        self.called(scope, work, step, state, following, "$.Output")
        if "retry" in step:
            self.again(scope, name, step, work)

    def again(self, scope: Scope, name: str, step: Step, work: str) -> None:
        """Add what counts the tries of a step that is not tried by its state's own retriers."""
        number = self.number()
        counts = {f"tries{number}_{index}": 0 for index in range(len(step["retry"]))}
        scope.add(name, {"Type": "Pass", "Assign": counts, "Next": work})
        caught = scope.name("caught")
        choices = [{**scope.fatal(), "Next": caught}]
        for index, rule in enumerate(step["retry"]):
            count = f"tries{number}_{index}"
            condition = scope.names(rule["errors"])
            own = [condition] if condition else []
            if rule["attempts"] > 1:
                left = variable(f"${count}", "NumericLessThan", rule["attempts"] - 1)
                choices.append({**every(*own, left), "Next": f"{name}.wait{index}"})
                self.counted(scope, name, index, rule, count)
            choices.append({**(condition or words.ALWAYS), "Next": caught})
            if condition is None:
                break
        scope.add(f"{name}.again", {"Type": "Choice", "Choices": choices, "Default": caught})
        scope.add(
            f"{name}.pause",
            {"Type": "Wait", "SecondsPath": f"${scope.var('wait')}", "Next": work},
        )

    def counted(
        self, scope: Scope, name: str, index: int, rule: Mapping[str, Any], count: str
    ) -> None:
        """Add what counts a try, and says how long to wait before the next."""
        waits = [whole(rules.delay(rule, n)) for n in range(1, rule["attempts"])]
        seconds = f"States.ArrayGetItem(States.Array({', '.join(map(str, waits))}), ${count})"
        if rule["jitter"]:
            seconds = f"States.MathRandom(0, States.MathAdd({seconds}, 1))"
        values = {
            f"{count}.$": f"States.MathAdd(${count}, 1)",
            f"{scope.var('wait')}.$": seconds,
        }
        scope.add(
            f"{name}.wait{index}", {"Type": "Pass", "Assign": values, "Next": f"{name}.pause"}
        )
