"""The states of steps that neither call a function nor have steps: choice, wait, set, the ends."""

from __future__ import annotations

from math import ceil

from portafaas.runtime import states as rules
from portafaas_aws.machines import words
from portafaas_aws.machines.calls import Calls
from portafaas_aws.machines.common import Step, place
from portafaas_aws.machines.retries import TRANSIENT_RETRY
from portafaas_aws.machines.scope import Scope, State
from portafaas_aws.machines.text import Place
from portafaas_aws.machines.words import every, variable

#: What the service itself calls; in all partitions.
SIGNAL = Place("arn:${AWS::Partition}:states:::sns:publish.waitForTaskToken")


class Flow(Calls):
    """Steps that lead, wait, set and end."""

    def _choice(self, scope: Scope, name: str, step: Step, back: str | None) -> None:
        choices = [
            {**words.condition(rule["when"], scope.context), "Next": rule["next"]}
            for rule in step["rules"]
        ]
        default = step.get("default")
        if default is None:
            cause = "no rule holds, and there is no default"
            default = scope.fault(f"{name}.none", {"Error": rules.NO_CHOICE, "Cause": cause}, name)
        scope.add(name, {"Type": "Choice", "Choices": choices, "Default": default})

    def _wait(self, scope: Scope, name: str, step: Step, back: str | None) -> None:
        following = self.after(scope, step, back)
        if "signal" in step:
            self.signal(scope, name, step, following)
        elif "until" in step:
            until = step["until"]
            if rules.is_path(until):
                self.until(scope, name, scope.context.path(until), following)
            else:
                scope.add(name, {"Type": "Wait", "Timestamp": until, "Next": following})
        elif not isinstance(step["seconds"], str):
            seconds = ceil(step["seconds"])
            scope.add(name, {"Type": "Wait", "Seconds": seconds, "Next": following})
        else:
            self.seconds(scope, name, scope.context.path(step["seconds"]), following)

    def only_if(self, scope: Scope, name: str, right: State, following: str, wrong: str) -> None:
        """Go to *following* if *right* holds; else the run fails, and *wrong* says why."""
        failing = {"Type": "Fail", "Error": rules.RUNTIME, "Cause": wrong}
        scope.add(
            name,
            {
                "Type": "Choice",
                "Choices": [{**right, "Next": following}],
                "Default": scope.add(f"{name}.wrong", failing),
            },
        )

    def until(self, scope: Scope, name: str, path: str, following: str) -> None:
        """Add a wait for a time that the document has: in UTC, while the service takes any zone."""
        right = every(
            variable(path, "IsPresent", True), variable(path, "IsString", True),
            variable(path, "StringMatches", "*Z"),
        )  # fmt: skip
        wrong = f"until of {name} is not there, or no time in UTC"
        self.only_if(scope, name, right, f"{name}.wait", wrong)
        scope.add(f"{name}.wait", {"Type": "Wait", "TimestampPath": path, "Next": following})

    def seconds(self, scope: Scope, name: str, path: str, following: str) -> None:
        """Add a wait for seconds that the document has: whole ones, rounded up.

        The service takes integers only; a number's text is divided at its point.
        """
        pair, wait = scope.var("pair"), scope.var("wait")
        right = every(
            variable(path, "IsPresent", True), variable(path, "IsNumeric", True),
            variable(path, "NumericGreaterThanEquals", 0),
        )  # fmt: skip
        wrong = f"seconds of {name} are not there, or no number from 0"
        self.only_if(scope, name, right, f"{name}.split", wrong)
        text = f"States.StringSplit(States.Format('{{}}', {path}), '.')"
        scope.add(
            f"{name}.split",
            {"Type": "Pass", "Assign": {f"{pair}.$": text}, "Next": f"{name}.parts"},
        )
        part = every(
            variable(f"${pair}[1]", "IsPresent", True),
            {"Not": variable(f"${pair}[1]", "StringEquals", "0")},
        )
        whole = f"States.StringToJson(${pair}[0])"
        scope.add(
            f"{name}.parts",
            {
                "Type": "Choice",
                "Choices": [
                    {
                        **part,
                        "Assign": {f"{wait}.$": f"States.MathAdd({whole}, 1)"},
                        "Next": f"{name}.wait",
                    }
                ],
                "Default": f"{name}.whole",
            },
        )
        scope.add(
            f"{name}.whole",
            {"Type": "Pass", "Assign": {f"{wait}.$": whole}, "Next": f"{name}.wait"},
        )
        scope.add(f"{name}.wait", {"Type": "Wait", "SecondsPath": f"${wait}", "Next": following})

    def signal(self, scope: Scope, name: str, step: Step, following: str) -> None:
        """Add a wait for a signal: the token is in the history of the run, and goes nowhere else.

        https://docs.aws.amazon.com/step-functions/latest/dg/connect-to-resource.html
        """
        state: State = {
            "Type": "Task",
            "Resource": SIGNAL,
            "Parameters": {
                "TopicArn": Place(self.places.sink()),
                "Message": {"signal": step["signal"], "token.$": "$$.Task.Token"},
            },
            # Nobody fails a signal, so that whatever fails is the service.
            "Retry": [{"ErrorEquals": [rules.TASK_FAILED], **TRANSIENT_RETRY}],
            "Catch": [scope.catcher(name, scope.error())],
        }
        self.called(scope, name, step, state, following, "$")

    def _set(self, scope: Scope, name: str, step: Step, back: str | None) -> None:
        following = self.after(scope, step, back)
        state: State = {
            "Type": "Pass", "ResultPath": place(step.get("result", "$")), "Next": following,
        }  # fmt: skip
        self.produced(scope, name, step["input"], scope.context, state)

    def _succeed(self, scope: Scope, name: str, step: Step, back: str | None) -> None:
        following = back or (scope.ends() if scope.verified else None)
        scope.add(name, {"Type": "Pass", "Next": following} if following else scope.ending())

    def _fail(self, scope: Scope, name: str, step: Step, back: str | None) -> None:
        error, cause = step["error"], step.get("cause", "")
        same = not (rules.is_path(error) or rules.is_path(cause))
        if same and error in rules.FATAL:
            scope.add(name, {"Type": "Fail", "Error": error, "Cause": cause})
            return
        given = {
            **words.field("Error", error, scope.context),
            **words.field("Cause", cause, scope.context),
        }
        if same:
            if scope.top and not scope.keeps:
                scope.add(name, {"Type": "Fail", "Error": error, "Cause": cause})
            else:
                scope.fault(name, given, name, scope.bad())
            return
        check = f"{name}.texts"
        scope.fault(name, given, name, check)
        err = f"${scope.var('err')}"
        texts = every(
            variable(f"{err}.Error", "IsString", True), variable(f"{err}.Cause", "IsString", True)
        )
        wrong = f"an error of {name} is no text"
        scope.add(
            check,
            {
                "Type": "Choice",
                "Choices": [{**texts, "Next": scope.name("caught")}],
                "Default": scope.add(
                    f"{name}.wrong", {"Type": "Fail", "Error": rules.RUNTIME, "Cause": wrong}
                ),
            },
        )
