"""Machines in the States Language do on moto's interpreter what they do when taken over.

The interpreter is real; what its Lambda functions answer is scripted, for both.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("moto.stepfunctions.parser.models")
boto3 = pytest.importorskip("boto3")

from moto import mock_aws  # noqa: E402
from moto.stepfunctions.parser.asl.component.state.exec.state_task import (  # noqa: E402
    lambda_eval_utils,
)

from tests.workflows import aws_moto  # noqa: E402
from tests.workflows.cases import Case, err, ok  # noqa: E402
from tests.workflows.project.scripted import canonical  # noqa: E402
from tests.workflows.scripts import world  # noqa: E402
from tests.workflows.test_asl import ARN, machine_of, planned  # noqa: E402
from tests.workflows.traces import plain  # noqa: E402
from tests.workflows.virtual import execute  # noqa: E402

INVOKE = "arn:aws:states:::lambda:invoke"


def task(name: str = "one", **more: Any) -> dict[str, Any]:
    return {"Type": "Task", "Resource": ARN + name, "End": True, **more}


def invoke(payload: dict[str, Any], **more: Any) -> dict[str, Any]:
    parameters = {"FunctionName": ARN + "one", **payload}
    return {"Type": "Task", "Resource": INVOKE, "Parameters": parameters, "End": True, **more}


def one(**state: Any) -> dict[str, Any]:
    return {"StartAt": "A", "States": {"A": state}}


def chosen(rule: dict[str, Any]) -> dict[str, Any]:
    return {"StartAt": "C", "States": {
        "C": {"Type": "Choice", "Choices": [{**rule, "Next": "Yes"}], "Default": "No"},
        "Yes": {"Type": "Pass", "Result": "yes", "End": True},
        "No": {"Type": "Pass", "Result": "no", "End": True}}}  # fmt: skip


FACTS = {"n": 3, "m": 3, "t": "abc", "b": True, "z": None, "deep": {"l": [1, {"x": "y"}]}, "o k": 1}
FAILS = [err("Busy"), err("Busy"), ok({"fine": 1})]
RULES: list[dict[str, Any]] = [
    {"Variable": "$.n", "NumericEquals": 3}, {"Variable": "$.n", "NumericLessThan": 3},
    {"Variable": "$.n", "NumericGreaterThanEqualsPath": "$.m"}, {"Variable": "$.t", "NumericEquals": 3},
    {"Variable": "$.t", "StringEquals": "abc"}, {"Variable": "$.t", "StringGreaterThan": "abd"},
    {"Variable": "$.n", "StringEquals": "3"}, {"Variable": "$.t", "StringEqualsPath": "$.t"},
    {"Variable": "$.n", "StringEqualsPath": "$.m"}, {"Variable": "$.t", "StringMatches": "a*"},
    {"Variable": "$.b", "BooleanEquals": True}, {"Variable": "$.z", "IsNull": True},
    {"Variable": "$.n", "IsNull": False}, {"Variable": "$.gone", "IsPresent": False},
    {"Variable": "$.gone", "IsPresent": True}, {"Variable": "$.t", "IsString": True},
    {"Variable": "$.n", "IsNumeric": True}, {"Variable": "$.b", "IsNumeric": False},
    {"Variable": "$.b", "IsBoolean": True}, {"Not": {"Variable": "$.n", "NumericEquals": 3}},
    {"And": [{"Variable": "$.n", "IsNumeric": True}, {"Or": [
        {"Variable": "$.t", "StringEquals": "x"}, {"Variable": "$.n", "NumericLessThanEquals": 3}]}]},
    {"Variable": "$.deep.l[1].x", "StringEquals": "y"}, {"Variable": "$['o k']", "NumericEquals": 1},
]  # fmt: skip

#: Name, machine, input, answers of the function ``one``.
MACHINES: list[tuple[str, dict[str, Any], Any, list[Any]]] = [
    ("task", one(**task()), FACTS, [ok([1])]),
    ("input-path", one(**task(InputPath="$.deep")), FACTS, []),
    ("input-path-null", one(**task(InputPath=None)), FACTS, []),
    ("output-path", one(**task(ResultPath="$.r", OutputPath="$.r.did")), FACTS, []),
    ("output-path-null", one(**task(OutputPath=None)), FACTS, []),
    ("result-path", one(**task(ResultPath="$.deep.new.er")), FACTS, []),
    ("result-path-null", one(**task(ResultPath=None)), FACTS, []),
    ("all-paths", one(**task(
        InputPath="$.deep", Parameters={"a.$": "$.l[1].x", "b": {"c.$": "$"}, "i.$": "$$.Execution.Input.n"},
        ResultSelector={"d.$": "$.did", "k": ["$.x", 1]}, ResultPath="$.r", OutputPath="$.r")), FACTS, []),
    ("parameters-plain", one(**task(Parameters={"text": "$.n", "list": [1, ["$.n"]]})), FACTS, []),
    ("invoke", one(**invoke({"Payload.$": "$.deep"}, OutputPath="$.Payload")), FACTS, []),
    ("invoke-selected", one(**invoke({"Payload": {"x.$": "$.n", "y": 1}}, ResultPath="$.r", ResultSelector={"d.$": "$.Payload.did"})), FACTS, []),
    ("invoke-cut", one(**invoke({"Payload.$": "$"}, ResultPath="$.r", OutputPath="$.r.Payload.did")), FACTS, []),
    ("retried", one(**task(Retry=[{"ErrorEquals": ["Busy"], "MaxAttempts": 2}])), FACTS, FAILS),
    ("retried-too-little", one(**task(Retry=[{"ErrorEquals": ["Busy"], "MaxAttempts": 1}])), FACTS, FAILS),
    ("retried-not", one(**task(Retry=[{"ErrorEquals": ["States.ALL"], "MaxAttempts": 0}])), FACTS, FAILS),
    ("caught", {"StartAt": "A", "States": {
        "A": task(Catch=[{"ErrorEquals": ["Other"], "Next": "B"}, {"ErrorEquals": ["States.TaskFailed"], "ResultPath": "$.e", "Next": "C"}]),
        "B": {"Type": "Fail", "Error": "No"},
        "C": {"Type": "Fail", "ErrorPath": "$.e.Error", "Cause": "c"}}}, FACTS, FAILS),
    ("pass", one(Type="Pass", End=True), FACTS, []),
    ("pass-result", one(Type="Pass", Result={"a": "$.n"}, ResultPath="$.r", End=True), FACTS, []),
    ("pass-parameters", one(Type="Pass", InputPath="$.deep", Parameters={"a.$": "$.l[0]"}, ResultPath="$.r", OutputPath="$.r", End=True), FACTS, []),
    ("pass-null", one(Type="Pass", InputPath=None, End=True), FACTS, []),
    ("succeed", one(Type="Succeed", InputPath="$.deep", OutputPath="$.l"), FACTS, []),
    ("fail", one(Type="Fail", Error="E", Cause="$ nothing"), FACTS, []),
    ("missing", one(**task(Parameters={"a.$": "$.gone"})), FACTS, []),
    ("wait", {"StartAt": "A", "States": {"A": {"Type": "Wait", "SecondsPath": "$.n", "Next": "B"}, "B": task()}}, FACTS, []),
    ("parallel", one(Type="Parallel", End=True, Parameters={"k.$": "$.n"}, ResultSelector={"first.$": "$[0]", "all.$": "$"}, ResultPath="$.p", Branches=[
        {"StartAt": "Y", "States": {"Y": task()}}, {"StartAt": "X", "States": {"X": {"Type": "Pass", "End": True}}}]), FACTS, []),
    ("map", one(Type="Map", End=True, ItemsPath="$.l", InputPath="$.deep", MaxConcurrency=1, ResultPath="$.m",
                ItemSelector={"v.$": "$$.Map.Item.Value", "i.$": "$$.Map.Item.Index", "all.$": "$.l"},
                ItemProcessor={"StartAt": "I", "States": {"I": task(ResultPath="$.r", OutputPath="$.i")}}), FACTS, []),
    ("map-plain", one(Type="Map", End=True, MaxConcurrency=1, Iterator={"StartAt": "I", "States": {"I": task()}}), [1, 2], []),
    # Not a choice that none fits: moto ends it with States.Runtime, the language with States.NoChoiceMatched.
    *((f"rule-{number}", chosen(rule), FACTS, []) for number, rule in enumerate(RULES)),
]  # fmt: skip


class Scripted:
    """moto's Step Functions, whose functions answer as cases say."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.answer: Any = None
        self.calls: list[Any] = []

    def invoke(self, parameters: Any, region: str, state_credentials: Any) -> Any:
        input = json.loads(parameters["Payload"]) if parameters.get("Payload") else {}
        self.calls.append(input)

        class Asked:
            name, step, attempt = "one", "", 1

        Asked.input = input  # type: ignore[attr-defined]
        _, found = self.answer(Asked)
        if "ok" in found:
            return {"Payload": found["ok"], "StatusCode": 200}
        error = {"errorType": found["error"], "errorMessage": found["cause"]}
        return {"Payload": error, "FunctionError": "Unhandled"}

    def run(self, name: str, machine: Any, case: Case) -> tuple[dict[str, Any], list[Any]]:
        self.answer, self.calls = world(case), []
        arn = self.client.create_state_machine(
            name=name, definition=json.dumps(machine), roleArn="arn:aws:iam::123456789012:role/r"
        )["stateMachineArn"]
        run = self.client.start_execution(stateMachineArn=arn, input=json.dumps(case.input))
        end = time.monotonic() + 20
        while True:
            found = self.client.describe_execution(executionArn=run["executionArn"])
            if found["status"] != "RUNNING":
                break
            assert time.monotonic() < end
            time.sleep(0.01)
        if found["status"] == "SUCCEEDED":
            return {"ok": json.loads(found["output"])}, self.calls
        return {"error": found.get("error")}, self.calls


@pytest.fixture(scope="module")
def moto() -> Iterator[Scripted]:
    with mock_aws(config={"stepfunctions": {"execute_state_machine": True}}), aws_moto.patched():
        client = boto3.client("stepfunctions", region_name="eu-west-1")
        scripted = Scripted(client)
        original = lambda_eval_utils._invoke_lambda_function
        lambda_eval_utils._invoke_lambda_function = scripted.invoke
        try:
            yield scripted
        finally:
            lambda_eval_utils._invoke_lambda_function = original


@pytest.mark.parametrize(
    ("name", "machine", "input", "answers"), MACHINES, ids=[one[0] for one in MACHINES]
)
def test_same(
    tmp_path: Path, moto: Scripted, name: str, machine: Any, input: Any, answers: list[Any]
) -> None:
    plan, problems = planned(tmp_path, json.dumps(machine))
    assert not problems, [str(problem) for problem in problems]
    case = Case(name, {}, input, {"one": answers})
    trace = execute(machine_of(plan), input, world(case))
    outcome, calls = moto.run(name, machine, case)
    assert [canonical(call[3]) for call in trace.calls] == [canonical(call) for call in calls]
    wanted = {k: plain(v) for k, v in trace.outcome.items() if k != "cause"}
    assert outcome == wanted
