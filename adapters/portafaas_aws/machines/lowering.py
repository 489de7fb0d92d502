"""The states of each kind of step.

A step's first state has its name, others the step's name, a dot and a word. States that nothing
leads to are left out, which Step Functions would refuse.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import ceil
from typing import Any

from portafaas.plan import WorkflowPlan
from portafaas.runtime import states as rules
from portafaas_aws.machines import words
from portafaas_aws.machines.scope import LATE, NOTHING, Scope, State
from portafaas_aws.machines.text import Place
from portafaas_aws.machines.words import Context, every, variable
from portafaas_aws.runtime.runs import BROKEN
from portafaas_aws.runtime.task import OWN, RESERVED

#: Errors of the service around a function's call, which says that nothing is wrong with the call.
#: https://docs.aws.amazon.com/step-functions/latest/dg/sfn-best-practices.html
TRANSIENT = (
    "Lambda.ClientExecutionTimeoutException", "Lambda.ServiceException",
    "Lambda.AWSLambdaException", "Lambda.SdkClientException", "Lambda.TooManyRequestsException",
)  # fmt: skip
_TRANSIENT = {"IntervalSeconds": 1, "MaxAttempts": 6, "BackoffRate": 2, "JitterStrategy": "FULL"}
#: What the service itself calls; in all partitions.
SIGNAL = Place("arn:${AWS::Partition}:states:::sns:publish.waitForTaskToken")
CHILD = Place("arn:${AWS::Partition}:states:::states:startExecution.sync:2")

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


def definition(workflow: WorkflowPlan, places: Places) -> dict[str, Any]:
    """Return the state machine; raises Unspeakable for what the States Language cannot say."""
    keeps = any("compensate" in step for _, step in _every(workflow.machine))
    lowering = _Lowering(workflow, places, keeps)
    scope = Scope(
        lowering.number(), keeps, Context(), (), top=True, routed=_routed(workflow.machine)
    )
    return {
        "Comment": f"Workflow {workflow.name}. Written by portafaas; do not edit.",
        **lowering.machine(scope, workflow.machine),
    }


def _every(machine: Machine) -> list[tuple[str, Step]]:
    found: list[tuple[str, Step]] = []
    for name, step in machine["steps"].items():
        found.append((name, step))
        for inner in _inner(step):
            found += _every(inner)
    return found


def _inner(step: Step) -> list[Machine]:
    own = [step["machine"]] if "machine" in step else []
    return [*own, *(branch["machine"] for branch in step.get("branches", ()))]


def _same_scope(machine: Machine) -> list[tuple[str, Step]]:
    """Return the steps of a machine, and of its loops: those that share a scope."""
    found: list[tuple[str, Step]] = []
    for name, step in machine["steps"].items():
        found.append((name, step))
        if step["kind"] == "loop":
            found += _same_scope(step["machine"])
    return found


class _Lowering:
    def __init__(self, workflow: WorkflowPlan, places: Places, keeps: bool) -> None:
        self.workflow = workflow
        self.places = places
        self.keeps = keeps
        self.count = 0

    def number(self) -> int:
        self.count += 1
        return self.count - 1

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
        for name, step in _same_scope(machine):
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

    def steps(self, scope: Scope, machine: Machine, back: str | None) -> None:
        """Add the states of all steps; those of a loop end in *back*."""
        for name, step in machine["steps"].items():
            getattr(self, f"_{step['kind']}")(scope, name, step, back)

    def verifying(self, scope: Scope, machine: Machine, key: str, error: str) -> State:
        """Return a state, without what is next, that has a function check the document (W-21).

        Step Functions knows no schemas. The schema is text: names in it might end in ``.$``.
        """
        return {
            "Type": "Task",
            "Resource": Place(self.places.function(machine["check"])),
            "Parameters": {"input.$": "$", "schema": _json(machine[key]), "error": error},
            "ResultPath": None,
            "Retry": [{"ErrorEquals": [*TRANSIENT], **_TRANSIENT}],
            "Catch": [scope.catcher(scope.name(key), scope.error())],
        }

    # What steps have in common.

    def after(self, scope: Scope, step: Step, back: str | None) -> str:
        """Return the name of the state that follows a step."""
        found: str | None = step["next"]
        return found or back or scope.ends()

    def catches(
        self, scope: Scope, name: str, step: Step
    ) -> list[tuple[words.Condition | None, str]]:
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
        own = _retriers(_named(step.get("retry", ())))
        wide = any({rules.ALL, rules.TASK_FAILED} & set(rule["ErrorEquals"]) for rule in own)
        fatal = [_private(name) for name in rules.FATAL]
        never = [{"ErrorEquals": [*BROKEN, *fatal], "MaxAttempts": 0}] if wide else []
        return [*never, {"ErrorEquals": [*TRANSIENT], **_TRANSIENT}, *own]

    # Kinds.

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
                input = {"Input": _json(value)}
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
        waits = [_whole(rules.delay(rule, n)) for n in range(1, rule["attempts"])]
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
        routed = _routed(machine)
        return Scope(self.number(), self.keeps, context, (*scope.indices, *indices), False, routed)

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
            "Retry": [{"ErrorEquals": [rules.TASK_FAILED], **_TRANSIENT}],
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
        for name, step in _every(self.workflow.machine):
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


def place(result: str | None) -> str | None:
    """Return where a result goes, as a reference path."""
    return None if result is None else Context("$").path(result)


def _item_of(body: Machine) -> list[str]:
    """Return what the states for an item need to know of it: ``Index``, ``Value``."""
    names = {
        path.split(".")[3].partition("[")[0]
        for _, step in _every(body)
        for path in _context_paths({k: v for k, v in step.items() if k not in _MACHINES})
    }
    if any(step["kind"] == "task" for _, step in _every(body)):
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


def _routed(machine: Machine) -> bool:
    return any(step["kind"] == "workflow" and "retry" in step for _, step in _same_scope(machine))


def _whole(seconds: float) -> int:
    return ceil(min(seconds, 31_536_000))


def _json(value: Any) -> str:
    import json

    return json.dumps(value, ensure_ascii=False)


def _private(name: str) -> str:
    """Return how a function tells of an error whose name is the service's own."""
    return OWN + name.removeprefix(RESERVED)


def _named(given: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return retry rules with the names that functions tell.

    A timeout that a function tells is an error like others to the service. So a rule for
    ``States.TaskFailed``, which has to leave it alone, comes after the one that is for it.
    """
    found: list[Mapping[str, Any]] = []
    plain = (rules.ALL, rules.TASK_FAILED)
    for rule in given:
        errors = list(rule["errors"])
        errors += [
            _private(name) for name in errors if name.startswith(RESERVED) and name not in plain
        ]
        errors += [LATE] * (rules.TIMEOUT in errors)
        found.append({**rule, "errors": errors})
    timeout = _private(rules.TIMEOUT)
    owner = next(
        (i for i, r in enumerate(found) if {rules.ALL, timeout} & set(r["errors"])), len(found)
    )
    wide = next(
        (i for i, rule in enumerate(found) if rules.TASK_FAILED in rule["errors"]), len(found)
    )
    if wide < owner:
        # Whatever else the owner is for, the other takes.
        late = found.pop(owner) if owner < len(found) else {**found[wide], "attempts": 1}
        found.insert(wide, {**late, "errors": [rules.TIMEOUT, timeout, LATE]})
    return found


def _retriers(given: Sequence[Mapping[str, Any]]) -> list[State]:
    """Return retry rules as retriers; what comes after one for all errors is never asked.

    https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
    """
    found: list[State] = []
    for rule in given:
        wide = rules.ALL in rule["errors"]
        retrier: State = {
            "ErrorEquals": [rules.ALL] if wide else list(rule["errors"]),
            "IntervalSeconds": _whole(rules.delay(rule, 1)),
            "MaxAttempts": rule["attempts"] - 1,
            "BackoffRate": rule["factor"],
        }
        most = rule.get("max")
        if most is not None and most > rule["initial"]:
            retrier["MaxDelaySeconds"] = _whole(most)
        elif most is not None:
            retrier["BackoffRate"] = 1
        if rule["jitter"]:
            retrier["JitterStrategy"] = "FULL"
        found.append(retrier)
        if wide:
            break
    return found


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
