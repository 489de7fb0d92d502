"""Machines in the Amazon States Language: taken over, or refused with every reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from portafaas.errors import Diagnostic, DiagnosticsError
from portafaas.manifest.load import load_manifest
from portafaas.plan.build import build_plan
from portafaas.plan.model import BuildPlan
from tests.workflows.cases import Case, by, did, ok
from tests.workflows.scripts import HERE, mapped, world
from tests.workflows.shared import shared
from tests.workflows.virtual import Trace, execute

FOLDER = shared("workflows/asl")
ARN = "arn:aws:lambda:eu-west-1:123456789012:function:"


def planned(
    tmp_path: Path, text: str, mapping: dict[str, str] | None = None, name: str = "flow.asl.json",
    **more: Any,
) -> tuple[BuildPlan | None, list[Diagnostic]]:  # fmt: skip
    """Return the plan of a project whose workflow ``w`` is a file with *text*, or what is wrong."""
    (tmp_path / "scripted.py").write_text((HERE / "scripted.py").read_text())
    (tmp_path / name).write_text(text)
    document = yaml.safe_load((HERE / "portafaas.yaml").read_text())
    document["workflows"] = {"w": {"file": name, **more}}
    if mapping:
        document["workflows"]["w"]["functions"] = mapping
    file = tmp_path / "portafaas.yaml"
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    try:
        return build_plan(load_manifest(file)), []
    except DiagnosticsError as exc:
        return None, list(exc.diagnostics)


def machine_of(plan: BuildPlan | None) -> dict[str, Any]:
    assert plan is not None
    return dict(plan.workflows[0].machine)


def play(
    tmp_path: Path, machine: dict[str, Any], input: Any, answers: dict[str, Any]
) -> tuple[Trace, list[tuple[Any, ...]]]:
    plan, problems = planned(tmp_path, json.dumps(machine, indent=1))
    assert not problems, [str(one) for one in problems]
    case = Case("w", {}, input, answers)
    trace = execute(machine_of(plan), input, world(case), workflow="w")
    return trace, [(name, input) for _, _, name, input, *_ in trace.calls]


def test_a_machine_with_everything(tmp_path: Path) -> None:
    machine = {
        "Comment": "c", "StartAt": "Zuerst!", "Version": "1.0",
        "States": {
            "Last": {"Type": "Succeed", "OutputPath": "$.out"},
            "Zuerst!": {
                "Type": "Task", "Resource": ARN + "one", "TimeoutSeconds": 30,
                "Parameters": {"id.$": "$.id", "run": "$plain", "path": "$.kept",
                               "deep": {"all.$": "$"}, "first.$": "$$.Execution.Input.id"},
                "ResultSelector": {"n.$": "$.number"}, "ResultPath": "$.one",
                "Retry": [{"ErrorEquals": ["Busy"], "IntervalSeconds": 2, "MaxAttempts": 1,
                           "BackoffRate": 1.5, "MaxDelaySeconds": 3, "JitterStrategy": "FULL"}],
                "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.e", "Next": "Bad"}],
                "Next": "Invoke"},
            "Invoke": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke",
                       "InputPath": "$.one",
                       "Parameters": {"FunctionName": ARN + "two:$LATEST", "Payload.$": "$.n"},
                       "ResultSelector": {"got.$": "$.Payload.did"}, "ResultPath": "$.two",
                       "Next": "Which"},
            "Which": {"Type": "Choice", "Default": "Bad", "Choices": [
                {"And": [{"Variable": "$.one.n", "NumericGreaterThanEquals": 3},
                         {"Not": {"Variable": "$.two.got", "StringMatches": "x*"}},
                         {"Variable": "$.gone", "IsPresent": False}], "Next": "Both"}]},
            "Both": {"Type": "Parallel", "ResultPath": "$.both", "Next": "Each", "Branches": [
                {"StartAt": "L", "States": {"L": {"Type": "Pass", "Result": {"l": "$.x"}, "End": True}}},
                {"StartAt": "R", "States": {"R": {"Type": "Wait", "Seconds": 1, "End": True}}}]},
            "Each": {"Type": "Map", "ItemsPath": "$.items", "MaxConcurrency": 1,
                     "ItemSelector": {"v.$": "$$.Map.Item.Value", "id.$": "$.id"},
                     "ResultPath": "$.out", "Next": "Last", "ItemProcessor": {
                         "ProcessorConfig": {"Mode": "INLINE"}, "StartAt": "Item", "States": {
                             "Item": {"Type": "Task", "Resource": ARN + "three",
                                      "OutputPath": "$.v", "ResultPath": "$.r", "End": True}}}},
            "Bad": {"Type": "Fail", "Error": "Bad", "CausePath": "$.e.Error"},
        },
    }  # fmt: skip
    document = {"id": "i", "items": [5, 6]}
    trace, calls = play(tmp_path, machine, document, {"one": ["Busy", {"number": 3}]})
    given = {"id": "i", "run": "$plain", "path": "$.kept", "deep": {"all": document}, "first": "i"}
    assert calls == [
        ("one", given), ("one", given), ("two", 3),
        ("three", {"v": 5, "id": "i"}), ("three", {"v": 6, "id": "i"}),
    ]  # fmt: skip
    assert trace.outcome == {"ok": [5, 6]}
    trace, calls = play(tmp_path, machine, document, {"one": ["Gone"]})
    assert trace.outcome == {"error": "Bad", "cause": "Gone"}
    steps = machine_of(planned(tmp_path, json.dumps(machine))[0])
    assert steps["start"] == "Zuerst"
    (rule,) = steps["steps"]["Zuerst"]["retry"]
    assert rule == {
        "errors": ["Busy"],
        "attempts": 2,
        "initial": 2,
        "factor": 1.5,
        "max": 3,
        "jitter": True,
    }


def test_what_an_integration_returns_is_what_the_function_does(tmp_path: Path) -> None:
    invoke = {
        "Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "End": True,
        "Parameters": {"FunctionName": "one", "Payload": {"x": 1}},
    }  # fmt: skip

    def run(**more: Any) -> Any:
        machine = {"StartAt": "A", "States": {"A": {**invoke, **more}}}
        trace, calls = play(tmp_path, machine, {"n": 1}, {"one": [ok(7)]})
        assert calls == [("one", {"x": 1})]
        return trace.outcome["ok"]

    assert run() == {"Payload": 7}
    assert run(OutputPath="$.Payload") == 7
    assert run(ResultPath="$.a") == {"n": 1, "a": {"Payload": 7}}
    assert run(ResultPath="$.a", OutputPath="$.a.Payload") == 7
    assert run(ResultSelector={"k.$": "$.Payload"}) == {"k": 7}


def test_functions_by_name(tmp_path: Path) -> None:
    def machine(resource: str) -> str:
        state = {"Type": "Task", "Resource": resource, "End": True}
        return json.dumps({"StartAt": "A", "States": {"A": state}})

    for resource in (ARN + "Order-Fn", ARN + "Order-Fn:live", "${OrderArn}"):
        mapping = {"Order-Fn": "two", "OrderArn": "two"}
        plan, _ = planned(tmp_path, machine(resource), mapping)
        assert machine_of(plan)["steps"]["A"]["function"] == "two"
    _, (problem,) = planned(tmp_path, machine(ARN + "twoo"))
    assert (problem.code, problem.path) == ("PF2223", "$.States.A.Resource")
    assert "two" in str(problem.hint)
    _, (problem,) = planned(tmp_path, machine(ARN + "x"), {"x": "nobody"})
    assert (problem.code, problem.path) == ("PF2002", "$.States.A")


def test_everything_that_cannot_be_is_told_at_once(tmp_path: Path) -> None:
    text = """
{"StartAt": "A", "TimeoutSeconds": 9, "States": {
  "A": {"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
    "HeartbeatSeconds": 3,
    "Parameters": {"t.$": "$$.Task.Token", "f.$": "States.UUID()"},
    "Next": "B"},
  "B": {"Type": "Pass", "InputPath": "$.a[*]", "Nexd": "C", "End": true},
  "C": {"Type": "Choice", "Choices": [{"Variable": "$.x", "TimestampEquals": "x", "Next": "Z"}]},
  "D": {"Type": "Map", "ItemReader": {}, "ItemProcessor": {"ProcessorConfig": {"Mode": "DISTRIBUTED"},
     "StartAt": "E", "States": {"E": {"Type": "Pass", "Assign": {}, "End": true}}}, "End": true}
}}"""
    _, found = planned(tmp_path, text)
    assert [(one.code, one.line, one.path) for one in found] == [
        ("PF2221", 2, "$.TimeoutSeconds"),
        ("PF2221", 4, "$.States.A.HeartbeatSeconds"),
        ("PF2221", 5, "$.States.A.Parameters"),
        ("PF2221", 5, "$.States.A.Parameters"),
        ("PF2221", 3, "$.States.A.Resource"),
        ("PF2222", 7, "$.States.B.Nexd"),
        ("PF2221", 7, "$.States.B.InputPath"),
        ("PF2221", 8, "$.States.C.Choices"),
        ("PF2222", 8, "$.States.C.Choices"),
        ("PF2221", 9, "$.States.D.ItemReader"),
        ("PF2221", 9, "$.States.D.ItemProcessor.ProcessorConfig"),
        ("PF2221", 10, "$.States.D.ItemProcessor.States.E.Assign"),
    ]
    assert {one.file for one in found} == {"flow.asl.json"}
    assert "signal" in str(found[4].hint)


def test_a_json_file_is_json(tmp_path: Path) -> None:
    state = {"Type": "Pass", "Result": {"k": "\U0001f600"}, "End": True}
    machine = {"StartAt": "A", "States": {"A": state}}
    for indent in (None, "\t"):
        plan, problems = planned(tmp_path, json.dumps(machine, indent=indent))
        assert not problems
        assert machine_of(plan)["steps"]["A"]["input"] == {"k": "\U0001f600"}
    text = '{"StartAt": "A"\n "States": {}}'
    _, (problem,) = planned(tmp_path, text)
    assert str(problem) == "flow.asl.json:2:2: PF1005: not valid JSON: ',' or '}' is expected, not '\"'"
    text = '{"StartAt": "A", "States": {"A": {"Type": "Pass", "End": true},\n"A": {"Type": "Succeed"}}}'
    _, (problem,) = planned(tmp_path, text)
    assert (problem.code, problem.line, problem.path) == ("PF1003", 2, "$.States.A")


def test_what_would_be_evaluated_is_no_constant(tmp_path: Path) -> None:
    """In a machine with JSONPath these are constants, and hardly ever meant to be."""
    given = {"a": "States.Format('{}', $.x)", "b": ["{% $states.input %}"], "c": "$plain", "d.$": "$.x"}
    state = {"Type": "Task", "Resource": ARN + "one", "Parameters": given, "End": True}
    _, found = planned(tmp_path, json.dumps({"StartAt": "A", "States": {"A": state}}))
    assert [(one.code, one.path) for one in found] == [("PF2221", "$.States.A.Parameters")] * 2
    assert "States.Format" in found[0].message and "JSONata" in found[1].message
    # A Result is never evaluated.
    state = {"Type": "Pass", "Result": {"a.$": "States.UUID()", "b": "{% 1 %}"}, "End": True}
    plan, _ = planned(tmp_path, json.dumps({"StartAt": "A", "States": {"A": state}}))
    assert machine_of(plan)["steps"]["A"]["input"] == {"$literal": state["Result"]}


def test_pieces_of_a_machine_among_steps_are_explained(tmp_path: Path) -> None:
    steps = f"steps: {{A: {{Type: Task, Resource: '{ARN}one', Parameters: {{x: 1}}, End: true}}}}"
    _, found = planned(tmp_path, steps, name="flow.yaml")
    assert [one.code for one in found] == ["PF1002"] * 4
    hints = [str(one.hint) for one in found]
    assert "workflow import" in hints[0] and hints[2].startswith("here it is 'input'")
    assert hints[3] == "did you mean 'end'?"
    _, found = planned(tmp_path, "{}", StartAt="A")
    assert found[0].code == "PF1002" and "file: NAME.asl.json" in str(found[0].hint)


def test_a_yaml_machine(tmp_path: Path) -> None:
    text = f"StartAt: A\nStates:\n  A: {{Type: Task, Resource: '{ARN}one', End: true}}\n"
    plan, _ = planned(tmp_path, text, name="flow.yaml")
    assert machine_of(plan)["steps"]["A"]["function"] == "one"


def test_a_file_with_steps(tmp_path: Path) -> None:
    text = "input: {type: object, properties: {n: {type: number}}}\nsteps:\n  a: {task: one, input: $.n}\n"
    plan, _ = planned(tmp_path, text, name="flow.yaml")
    assert plan is not None
    assert machine_of(plan)["steps"]["a"]["function"] == "one"
    assert plan.workflows[0].input.document["type"] == "object"
    _, (problem,) = planned(tmp_path, text.replace("$.n", "$.m"), name="flow.yaml")
    assert str(problem).startswith("flow.yaml:3:25: PF2210 $.steps.a.input: ")
    _, (problem,) = planned(tmp_path, text.replace("task", "tsk"), name="flow.yaml")
    assert (problem.code, problem.file, problem.line) == ("PF1002", "flow.yaml", 3)
    _, (problem,) = planned(tmp_path, text, name="flow.yaml", steps={"x": {"task": "one"}})
    assert (problem.code, problem.path) == ("PF2220", "$.workflows.w.steps")
    _, (problem,) = planned(tmp_path, text, {"a": "one"}, name="flow.yaml")
    assert (problem.code, problem.path) == ("PF2220", "$.workflows.w.functions")
    _, (problem,) = planned(tmp_path, text, name="flow.yaml", input={"type": "object"})
    assert (problem.code, problem.path) == ("PF2220", "$.workflows.w.input")
    _, (problem,) = planned(tmp_path, "a: 1\n", name="flow.yaml")
    assert (problem.code, problem.file) == ("PF2220", "flow.yaml")
    _, (problem,) = planned(tmp_path, "{]", name="flow.yaml")
    assert (problem.code, problem.file) == ("PF1005", "flow.yaml")


def test_files_that_cannot_be(tmp_path: Path) -> None:
    for name in ("gone.yaml", "../portafaas.yaml", "/etc/passwd"):
        (tmp_path / "p").mkdir(exist_ok=True)
        document = yaml.safe_load((HERE / "portafaas.yaml").read_text())
        document["workflows"] = {"w": {"file": name}}
        file = tmp_path / "p" / "portafaas.yaml"
        file.write_text(yaml.safe_dump(document))
        (tmp_path / "p" / "scripted.py").write_text((HERE / "scripted.py").read_text())
        with pytest.raises(DiagnosticsError) as info:
            build_plan(load_manifest(file))
        (problem,) = info.value.diagnostics
        assert (problem.code, problem.path) == ("PF2220", "$.workflows.w.file")


def _published() -> list[Path]:
    return sorted(FOLDER.glob("*/*.json")) if FOLDER.is_dir() else []


def _imported(tmp_path: Path, file: Path) -> tuple[BuildPlan | None, list[Diagnostic]]:
    text = file.read_text()
    return planned(tmp_path, text, mapped(text))


#: Of the published machines; the others are refused with reasons.
TAKEN = {"asl-validator": 28, "samples": 6, "statelint": 11}


@pytest.mark.skipif(not FOLDER.is_dir(), reason="shared/cases is not here")
def test_published_machines(tmp_path: Path) -> None:
    taken: dict[str, int] = {}
    said = json.loads((FOLDER / "statelint" / "_expectations.json").read_text())
    wrong = {one["file"] for one in said if one["problems"]}
    assert len(wrong) > 20
    for file in _published():
        plan, problems = _imported(tmp_path, file)
        assert (plan is None) == bool(problems), file.name
        for problem in problems:
            if problem.code.startswith("PF222"):
                assert problem.path, file.name
        if plan is not None:
            assert not file.name.startswith("invalid-"), file.name
            assert file.name not in wrong, file.name
            taken[file.parent.name] = taken.get(file.parent.name, 0) + 1
    assert taken == TAKEN


def test_defaults_of_a_retry(tmp_path: Path) -> None:
    state = {
        "Type": "Task",
        "Resource": ARN + "one",
        "Retry": [{"ErrorEquals": ["States.ALL"]}],
        "End": True,
    }
    machine = {"StartAt": "A", "States": {"A": state}}
    trace, calls = play(tmp_path, machine, 1, {"one": by((1, ["A", "B", "C", "D"]))})
    assert trace.outcome["error"] == "D"
    assert len(calls) == 4
    assert trace.seconds == pytest.approx(7 + 0.04)
    assert did("one") == {"did": "one"}
