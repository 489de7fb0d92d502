"""Workflows on AWS: the template, the limits, and what the rules of ``verify`` find."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from portafaas.adapter import Infrastructure
from portafaas.manifest.load import load_manifest
from portafaas.plan import BuildPlan
from portafaas.plan.build import build_plan
from portafaas_aws.deployment.histories import read_error
from portafaas_aws.infrastructure import emit
from portafaas_aws.infrastructure.verify import verify
from portafaas_aws.limits import check
from portafaas_aws.machines.text import Place, encoded
from portafaas_aws.runtime.runs import ended, execution, waiting
from portafaas_aws.runtime.task import told

STEPS: dict[str, Any] = {
    "charge": {
        "task": "charge", "result": "$.payment", "timeout": "30s",
        "retry": [{"errors": ["States.TaskFailed"], "attempts": 2}, {"errors": ["States.Timeout"], "attempts": 5, "initial": "7s"}],
        "compensate": {"task": "refund", "input": {"payment": "$.payment", "text": "${Odd} {{resolve:x}}"}},
    },
    "approve": {"wait": {"signal": "approved", "timeout": "1d"}, "result": "$.approval"},
    "pack": {"workflow": "pack", "input": {"lines": "$.lines"}, "retry": {"attempts": 2}},
}  # fmt: skip
PACK = {"each": {"map": {"items": "$.lines", "most": 10, "steps": {"take": {"task": "take"}}}}}


def planned(
    folder: Path, steps: dict[str, Any] | None = None, pack: dict[str, Any] = PACK
) -> BuildPlan:
    (folder / "app.py").write_text("def work(task, context): ...\ndef web(request, context): ...\n")
    task = {"handler": "app:work", "trigger": {"task": {}}}
    names = ("charge", "refund", "take", "unused")
    document = {
        "portafaas": 1, "name": "shop",
        "functions": {
            **{name: dict(task) for name in names},
            "order": {"handler": "app:web", "trigger": {"http": {"path": "/orders"}},
                      "uses": [{"start": "fulfil"}]},
            # A task that gives signals to the workflow which calls it.
            "take": {**task, "uses": [{"start": "fulfil"}]},
        },
        "workflows": {"fulfil": {"steps": steps or STEPS}, "pack": {"steps": pack}},
    }  # fmt: skip
    file = folder / "portafaas.yaml"
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    return build_plan(load_manifest(file))


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> BuildPlan:
    return planned(tmp_path_factory.mktemp("plan"))


@pytest.fixture(scope="module")
def emitted(plan: BuildPlan) -> Infrastructure:
    assert check(plan) == []
    found = emit(plan)
    assert not found.notes
    return found


@pytest.fixture(scope="module")
def document(emitted: Infrastructure) -> dict[str, Any]:
    (found,) = emitted.documents.values()
    return dict(found)


_ARN = "arn:aws:lambda:us-east-1:123456789012:function:f"


def defined(document: dict[str, Any], name: str) -> Any:
    facts = document["Resources"][name]["Properties"]["DefinitionString"]
    return json.loads(facts["Fn::Sub"])


def test_lint_finds_nothing(document: dict[str, Any]) -> None:
    from cfnlint.api import ManualArgs, lint

    config = ManualArgs(regions=["us-east-1"])

    def linted(found: dict[str, Any]) -> list[str]:
        return [f"{m.rule.id} {m.message}" for m in lint(json.dumps(found), config=config)]

    assert linted(document) == []
    # Of what stands in a text it knows more when it is no text.
    plain = copy.deepcopy(document)
    for name in ("FulfilWorkflow", "PackWorkflow"):
        facts = plain["Resources"][name]["Properties"]
        del facts["DefinitionString"]
        text = json.dumps(defined(document, name)).replace("${AWS::Partition}", "aws")
        text = re.sub(r"\$\{\w+(\.Arn)?\}", _ARN, text)
        facts["Definition"] = json.loads(text.replace("{{resolve:x}}", ""))
    assert linted(plain) == []
    plain["Resources"]["PackWorkflow"]["Properties"]["Definition"]["States"]["each"]["Type"] = "X"
    assert linted(plain) != [], "cfn-lint is asleep"


def test_who_may_do_what(emitted: Infrastructure) -> None:
    account = "${AWS::Region}:${AWS::AccountId}"
    states, functions = f"arn:${{AWS::Partition}}:states:{account}", "arn:${AWS::Partition}:lambda:"
    found = {
        (p.grant, p.scope)
        for p in emitted.permissions
        if p.function == "workflow:fulfil" and not p.grant.startswith(("logs:", "events:"))
    }
    assert found == {
        ("lambda:InvokeFunction", f"{functions}{account}:function:shop-charge"),
        ("lambda:InvokeFunction", f"{functions}{account}:function:shop-refund"),
        ("sns:Publish", f"arn:${{AWS::Partition}}:sns:{account}:shop-workflow_signals"),
        ("states:StartExecution", f"{states}:stateMachine:shop-pack"),
        ("states:DescribeExecution", f"{states}:execution:shop-pack:*"),
        ("states:StopExecution", f"{states}:execution:shop-pack:*"),
    }
    machine, runs = f"{states}:stateMachine:shop-fulfil", f"{states}:execution:shop-fulfil:*"
    order = {(p.grant, p.scope, p.why) for p in emitted.permissions if p.function == "order"}
    assert {entry for entry in order if entry[0].startswith("states:")} == {
        ("states:StartExecution", machine, "$.functions.order.uses[0]"),
        ("states:SendTaskSuccess", machine, "$.functions.order.uses[0]"),
        ("states:DescribeExecution", runs, "$.functions.order.uses[0]"),
        ("states:GetExecutionHistory", runs, "$.functions.order.uses[0]"),
    }


def test_functions_are_told_where_it_is(document: dict[str, Any]) -> None:
    variables = document["Resources"]["OrderFunction"]["Properties"]["Environment"]["Variables"]
    assert variables["PORTAFAAS_WORKFLOW_FULFIL"]["Fn::Sub"].endswith(":stateMachine:shop-fulfil")


def test_explain_knows_why(emitted: Infrastructure) -> None:
    why = {e.name: e.why for e in emitted.resources}
    assert why["FulfilWorkflow"] == why["FulfilWorkflowAccess"] == "$.workflows.fulfil"
    assert why["WorkflowSignals"] == "$.workflows.fulfil"
    assert {r.function: r.by for r in emitted.redeliveries}["charge"] == (
        "the state machine, as its step says"
    )


def test_a_timeout_is_no_failed_task(document: dict[str, Any]) -> None:
    """The rule for it goes first: to the service a function's own timeout is an error as others."""
    rules = defined(document, "FulfilWorkflow")["States"]["charge"]["Retry"]
    own = [(r["ErrorEquals"], r["MaxAttempts"]) for r in rules if "States.Runtime" not in repr(r)]
    assert own[-2:] == [
        (["States.Timeout", "Portafaas.Timeout", "Sandbox.Timedout"], 4), (["States.TaskFailed"], 1),
    ]  # fmt: skip


def test_a_handler_that_lambda_ends_is_a_timeout(document: dict[str, Any]) -> None:
    """As it is elsewhere (W-6); other ends of the process are not."""
    states = defined(document, "FulfilWorkflow")["States"]
    first = next(
        rule for rule in states["0.error.name"]["Choices"]
        if rule.get("StringEquals") == "Sandbox.Timedout" or "Or" in rule
    )  # fmt: skip
    assert states[first["Next"]]["Assign"]["err0"]["Error"] == "States.Timeout"


def test_a_time_of_another_zone_is_none(tmp_path: Path) -> None:
    """W-14: the service itself would take it."""
    steps = {"later": {"wait": {"until": "$.at"}}}
    (document,) = emit(planned(tmp_path, steps)).documents.values()
    text = document["Resources"]["FulfilWorkflow"]["Properties"]["DefinitionString"]
    states = json.loads(text)["States"]
    (rule,) = states["later"]["Choices"]
    assert {"Variable": "$.at", "StringMatches": "*Z"} in rule["And"]
    assert states[states["later"]["Default"]]["Error"] == "States.Runtime"
    assert states[rule["Next"]]["TimestampPath"] == "$.at"


def test_texts_are_nothing_to_cloudformation(document: dict[str, Any]) -> None:
    text = document["Resources"]["FulfilWorkflow"]["Properties"]["DefinitionString"]["Fn::Sub"]
    assert "${Odd}" not in text and "{{resolve" not in text
    assert "${Odd} {{resolve:x}}" in repr(json.loads(text))
    value = {"a${b}": [Place("${C.Arn}"), "{{x", "\\u0024", "ü"]}
    assert json.loads(encoded(value)) == value
    assert encoded(value).count("${") == 1


_WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "initial": ({"a": {"task": "charge", "retry": {"initial": "500ms"}}}, "retry.initial", "0.5 s"),
    "max": ({"a": {"task": "charge", "retry": {"max": "1500ms"}}}, "retry.max", "1.5 s"),
    "undo": ({"a": {"task": "charge", "compensate": {"task": "refund", "retry": {"initial": "100ms"}}}}, "compensate.retry.initial", "0.1 s"),
    "timeout": ({"a": {"task": "charge", "timeout": "1500ms"}}, "timeout", "whole seconds"),
    "nested": ({"a": {"map": {"items": "$.x", "most": 2, "steps": {"b": {"task": "take", "timeout": "100ms"}}}}}, "map.steps.b.timeout", "whole seconds"),
    "history": ({"a": {"loop": {"while": {"$.n": {"<": 1}}, "most": 10_000, "steps": {"b": {"task": "charge"}}}}}, "steps", "25000"),
    "pattern": ({"a": {"choice": [{"when": {"$.a": {"matches": "$.b"}}, "next": "b"}], "default": "b"}, "b": {"succeed": True}}, "fulfil", "pattern"),
}  # fmt: skip


@pytest.mark.parametrize("name", _WRONG)
def test_what_step_functions_does_not_take(tmp_path: Path, name: str) -> None:
    steps, place, text = _WRONG[name]
    found = check(planned(tmp_path, steps))
    assert [d.code for d in found] == ["PF3002"]
    assert str(found[0].path).endswith(place) and text in found[0].message and "https://" in found[0].message


def test_retries_may_be_too_much(tmp_path: Path) -> None:
    steps = {"a": {"map": {"items": "$.x", "most": 1000, "steps": {
        "b": {"task": "charge", "retry": {"attempts": 20}}}}}}  # fmt: skip
    (found,) = check(planned(tmp_path, steps))
    assert found.severity == "warning" and "retries" in found.message


def test_too_large(tmp_path: Path) -> None:
    steps = {
        f"p{n}": {"parallel": {
            f"b{m}": {"steps": {f"s{n}-{m}": {"task": "charge"}}} for m in range(100)}}
        for n in range(4)
    }  # fmt: skip
    (found,) = check(planned(tmp_path, steps))
    assert "1048576" in found.message


def _edit(word: str, change: Callable[[Any], None]) -> Callable[[dict[str, Any]], None]:
    def edit(document: dict[str, Any]) -> None:
        facts = document["Resources"]["FulfilWorkflow"]["Properties"]
        if word:
            change(facts)
            return
        machine = json.loads(facts["DefinitionString"]["Fn::Sub"])
        change(machine["States"])
        facts["DefinitionString"]["Fn::Sub"] = json.dumps(machine)

    return edit


def _grant(document: dict[str, Any], sid: str) -> Any:
    role = document["Resources"]["FulfilWorkflowAccess"]["Properties"]
    statements = role["Policies"][0]["PolicyDocument"]["Statement"]
    return statements, next(i for i, s in enumerate(statements) if s["Sid"].startswith(sid))


_MUTANTS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "express": _edit("facts", lambda facts: facts.update(StateMachineType="EXPRESS")),
    "data in the log": _edit("facts", lambda f: f["LoggingConfiguration"].update(IncludeExecutionData=True)),
    "no log": _edit("facts", lambda f: f["LoggingConfiguration"].update(Destinations=[])),
    "no json": _edit("facts", lambda f: f["DefinitionString"].update({"Fn::Sub": "{"})),
    "dangling": _edit("", lambda states: states["charge"].update(Next="nowhere")),
    "unreachable": _edit("", lambda states: states.update(lost={"Type": "Succeed"})),
    "no end": _edit("", lambda states: states["charge"].pop("Next")),
    "fraction": _edit("", lambda states: states["charge"].update(TimeoutSeconds=1.5)),
    "interval": _edit("", lambda states: states["charge"]["Retry"][-1].update(IntervalSeconds=0)),
    "all first": _edit("", lambda states: states["charge"]["Retry"].insert(0, {"ErrorEquals": ["States.ALL"]})),
    "other function": _edit("", lambda states: states["charge"].update(Resource="${TakeFunction.Arn}")),
    "unknown call": _edit("", lambda states: states["charge"].update(Resource="arn:aws:states:::dynamodb:getItem")),
    "not granted": lambda d: (lambda found: found[0].pop(found[1]))(_grant(d, "InvokeChargeFunction")),
    "no sink": lambda d: (lambda found: found[0].pop(found[1]))(_grant(d, "Wait")),
    "all functions": lambda d: (lambda found: found[0][found[1]].update(Resource="*"))(_grant(d, "InvokeChargeFunction")),
    "anyone's": lambda d: d["Resources"]["FulfilWorkflowAccess"]["Properties"]["AssumeRolePolicyDocument"]["Statement"][0].pop("Condition"),
    "none": lambda d: d["Resources"].pop("FulfilWorkflow"),
}  # fmt: skip


@pytest.mark.parametrize("name", _MUTANTS)
def test_rules_find(
    plan: BuildPlan, emitted: Infrastructure, document: dict[str, Any], name: str
) -> None:
    assert verify(document, emitted.permissions, plan) == []
    mutant = copy.deepcopy(document)
    _MUTANTS[name](mutant)
    assert verify(mutant, emitted.permissions, plan) != []


def test_in_nested_stacks(tmp_path: Path) -> None:
    plan = planned(tmp_path)
    from dataclasses import replace

    documents = emit(replace(plan, options={"stacks": 3})).documents
    root = next(iter(documents.values()))
    assert "FulfilWorkflow" in root["Resources"] and len(documents) > 2


def test_errors_are_read_as_the_machine_does() -> None:
    own = '{"errorMessage":"no","errorType":"Declined","stackTrace":[]}'
    assert read_error("Declined", own, "task") == ("Declined", "no")
    assert read_error("Portafaas.Timeout", own, "task") == ("States.Timeout", "no")
    assert read_error("Runtime.ExitError", own, "task") == ("States.TaskFailed", "no")
    assert read_error("Sandbox.Timedout", own, "task") == ("States.Timeout", "no")
    assert read_error("Lambda.Unknown", "text", "task") == ("States.TaskFailed", "text")
    child = '{"Status":"FAILED","Error":"Sorry","Cause":"why"}'
    assert read_error("States.TaskFailed", child, "workflow") == ("Sorry", "why")
    assert read_error("States.TaskFailed", '{"Status":"ABORTED"}', "workflow") == ("States.TaskFailed", "")
    assert read_error("States.ParameterPathFailure", "x", "task") == ("States.Runtime", "x")


def test_a_cause_stays_whole_json() -> None:
    error = told("Odd", "🙂" * 4096)
    text = json.dumps({"errorMessage": str(error)})
    assert type(error).__name__ == "Odd" and 25_000 < len(text) < 32_768
    assert str(told("Odd", "x" * 4096)) == "x" * 4096
    assert type(told("States.Timeout", "")).__name__ == "Portafaas.Timeout"


def test_states_of_runs() -> None:
    assert ended({"status": "RUNNING"}) == ("running", "", "")
    assert ended({"status": "ABORTED", "cause": "x"}) == ("canceled", "", "")
    assert ended({"status": "TIMED_OUT"}) == ("failed", "States.Timeout", "")
    assert ended({"status": "FAILED"}) == ("failed", "States.TaskFailed", "")
    assert ended({"status": "FAILED", "error": "States.IntrinsicFailure", "cause": "x"}) == (
        "failed", "States.Runtime", "x",
    )  # fmt: skip
    machine = "arn:aws:states:eu-central-1:1:stateMachine:shop"
    assert execution(machine, "r") == "arn:aws:states:eu-central-1:1:execution:shop:r"


def test_what_a_run_waits_for() -> None:
    def scheduled(id: int, name: str) -> dict[str, Any]:
        message = {"TopicArn": "t", "Message": {"signal": name, "token": f"token-{id}"}}
        facts = {"resource": "publish.waitForTaskToken", "parameters": json.dumps(message)}
        return {"id": id, "type": "TaskScheduled", "previousEventId": 0, "taskScheduledEventDetails": facts}

    def event(id: int, kind: str, before: int) -> dict[str, Any]:
        return {"id": id, "type": kind, "previousEventId": before}

    events = [
        scheduled(1, "a"), event(2, "TaskStarted", 1), event(3, "TaskSubmitted", 2),
        scheduled(4, "b"), event(5, "TaskStarted", 4), scheduled(6, "a"),
    ]  # fmt: skip
    assert waiting(events) == [("a", "token-1"), ("b", "token-4"), ("a", "token-6")]
    events += [event(7, "TaskSucceeded", 3), event(8, "TaskTimedOut", 5)]
    assert waiting(events) == [("a", "token-6")]
