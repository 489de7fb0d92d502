"""A service in nested stacks: where what is, what holds them together, and mistakes in that."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from zlib import crc32

import pytest

from portafaas.plan import BuildPlan, FunctionPlan, HttpTrigger, QueuePlan, Use
from portafaas_aws.adapter import ADAPTER
from portafaas_aws.infrastructure import build, emit
from portafaas_aws.infrastructure.rules_split import joined, sizes
from portafaas_aws.infrastructure.split import child_of, split

Documents = dict[str, Any]


def _nested(plan: BuildPlan, stacks: int) -> BuildPlan:
    return replace(plan, options={**plan.options, "stacks": stacks})


def _many(count: int) -> tuple[FunctionPlan, ...]:
    uses = (Use("send", "queue", "jobs"), Use("read", "bucket", "uploads"))
    return tuple(
        FunctionPlan(f"f{n}", "m", "a", HttpTrigger(("GET", "POST"), f"/f/{n}"), uses=uses)
        for n in range(count)
    )


@pytest.fixture(scope="module")
def whole(watched: BuildPlan) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(build(watched)[0].document()))
    return found


@pytest.fixture(scope="module")
def documents(watched: BuildPlan, whole: dict[str, Any]) -> Documents:
    emitted = dict(emit(_nested(watched, 3)).documents)
    assert list(emitted) == [
        "shop.template.json", "shop.1.template.json", "shop.2.template.json", "shop.3.template.json",
    ]  # fmt: skip
    assert joined(emitted, whole) == []
    found: Documents = json.loads(json.dumps(emitted))
    return found


@pytest.mark.parametrize("stacks", [1, 2, 5, 20])
def test_any_number_of_stacks_is_the_whole(
    watched: BuildPlan, whole: dict[str, Any], stacks: int
) -> None:
    found = split(build(watched)[0], stacks)
    assert joined(found, whole) == [], stacks
    places = {crc32(function.name.encode()) % stacks for function in watched.functions}
    assert len(found) == (1 if stacks == 1 else 1 + len(places))
    assert emit(_nested(watched, stacks)).documents == found


def test_what_functions_share_stays_in_the_root(documents: Documents) -> None:
    root, *children = documents.values()
    types = {r["Type"] for r in root["Resources"].values()}
    assert types == {
        "AWS::SQS::Queue", "AWS::SNS::Topic", "AWS::SNS::Subscription", "AWS::S3::Bucket",
        "AWS::DynamoDB::Table", "AWS::SecretsManager::Secret", "AWS::ApiGatewayV2::Api",
        "AWS::ApiGatewayV2::Stage", "AWS::CloudWatch::Alarm", "AWS::CloudFormation::Stack",
    }  # fmt: skip
    alarms = {n for n, r in root["Resources"].items() if r["Type"] == "AWS::CloudWatch::Alarm"}
    assert alarms == {"JobsLostAlert", "MailsLostAlert", "StepsLateAlert"}
    for child in children:
        functions = [n for n, r in child["Resources"].items() if r["Type"] == "AWS::Lambda::Function"]
        assert functions and "TemplatesPrefix" not in child["Parameters"]
    bucket = root["Resources"]["UploadsBucket"]
    told = bucket["Properties"]["NotificationConfiguration"]["QueueConfigurations"][0]["Queue"]
    stack = f"FunctionStack{child_of('store', 3)}"
    assert told == {"Fn::GetAtt": [stack, "Outputs.StoreInboxArn"]}
    # What refers to a stack waits for all that is in it, the permission of S3 too.
    assert "DependsOn" not in bucket
    keys = [child["Parameters"].get("PortafaasHttpKeys") for child in children]
    assert [each for each in keys if each] == [root["Parameters"]["PortafaasHttpKeys"]]


def test_lint_finds_nothing(documents: Documents) -> None:
    from cfnlint.api import ManualArgs, lint

    config = ManualArgs(regions=["eu-central-1"])
    for name, document in documents.items():
        found = [f"{m.rule.id} {m.message}" for m in lint(json.dumps(document), config=config)]
        assert found == [], name


def test_a_new_function_moves_none(watched: BuildPlan) -> None:
    more = replace(watched, functions=(*_many(3)[:1], *watched.functions))
    before, after = (emit(_nested(plan, 3)).documents for plan in (watched, more))
    home = f"shop.{child_of('f0', 3)}.template.json"
    for name, document in before.items():
        old, new = document["Resources"], after[name]["Resources"]
        own = {key for key in new if key not in old}
        assert all(key.startswith("F0") for key in own) and bool(own) is (name == home)
        changed = {key for key in old if new[key] != old[key]}
        # The root passes more to the one stack.
        assert changed <= ({f"FunctionStack{child_of('f0', 3)}"} if name == "shop.template.json" else set())


def test_a_large_service(stack: BuildPlan) -> None:
    plan = replace(stack, functions=_many(200))
    refused = ADAPTER.infrastructure(plan)
    assert refused.documents == {}
    (found,) = refused.notes
    assert (found.code, found.path) == ("PF3002", "$.functions")
    hint = str(found.hint)
    assert hint.startswith("targets: {aws: {stacks: ")
    stacks = int(hint.removesuffix("}}").rpartition(" ")[2])
    less = ADAPTER.infrastructure(_nested(plan, stacks - 1)).notes
    assert [d.path for d in less if d.severity == "error"][:1] == ["$.targets.aws.stacks"]
    emitted = ADAPTER.infrastructure(_nested(plan, stacks))
    assert len(emitted.documents) == stacks + 1 and emitted.notes == ()
    assert not any([*sizes(document)] for document in emitted.documents.values())
    runs = [
        name
        for document in emitted.documents.values()
        for name, each in document["Resources"].items()
        if each["Type"] == "AWS::Lambda::Function"
    ]
    assert len(runs) == len(set(runs)) == 200


def test_what_no_number_of_stacks_holds(stack: BuildPlan) -> None:
    plan = replace(stack, functions=_many(320))
    (found,) = (n for n in ADAPTER.infrastructure(_nested(plan, 20)).notes if n.severity == "error")
    assert "300" in found.message and "function-url" in str(found.hint)
    plan = replace(stack, functions=(), queues=tuple(QueuePlan(f"q{n}") for n in range(501)))
    (found,) = ADAPTER.infrastructure(plan).notes
    assert str(found.hint).startswith("split the service")
    plan = replace(plan, queues=tuple(QueuePlan(f"q{n}") for n in range(2501)))
    (found,) = ADAPTER.infrastructure(plan).notes
    assert "2500" in found.message


def test_many_routes_are_warned_of(stack: BuildPlan) -> None:
    functions = tuple(
        replace(f, trigger=HttpTrigger((), f"/f/{f.name}/{{rest*}}")) for f in _many(160)
    )
    (found,) = emit(_nested(replace(stack, functions=functions), 6)).notes
    assert (found.code, found.severity) == ("PF3002", "warning") and "320 routes" in found.message


def _properties(documents: Documents, number: int) -> Any:
    return documents["shop.template.json"]["Resources"][f"FunctionStack{number}"]["Properties"]


def _own(documents: Documents, type: str, child: int = 1) -> Any:
    resources = documents[f"shop.{child}.template.json"]["Resources"]
    return next(each for each in resources.values() if each["Type"] == type)


def _swap(documents: Documents) -> None:
    first, second = (_properties(documents, number) for number in (1, 2))
    first["TemplateURL"], second["TemplateURL"] = second["TemplateURL"], first["TemplateURL"]


def _parameter(documents: Documents) -> tuple[dict[str, Any], str]:
    given = _properties(documents, child_of("create", 3))["Parameters"]
    return given, "JobsQueueArn"


def _circle(documents: Documents) -> None:
    given, name = _parameter(documents)
    given[name] = {"Fn::GetAtt": [f"FunctionStack{child_of('create', 3)}", "Outputs.X"]}


MUTATIONS: dict[str, Callable[[Documents], Any]] = {
    "child lost": lambda d: d.pop("shop.2.template.json"),
    "stack lost": lambda d: d["shop.template.json"]["Resources"].pop("FunctionStack2"),
    "two children swapped": _swap,
    "child of another place": lambda d: _properties(d, 1).update(
        TemplateURL={"Fn::Sub": "${TemplatesPrefix}/other.1.template.json"}
    ),
    "address without the prefix": lambda d: _properties(d, 1).update(TemplateURL="https://x/y.json"),
    "root as a child": lambda d: _properties(d, 1).update(
        TemplateURL={"Fn::Sub": "${TemplatesPrefix}/shop.template.json"}
    ),
    "parameter not given": lambda d: _parameter(d)[0].pop("JobsQueueArn"),
    "parameter given twice": lambda d: _parameter(d)[0].update(More="x"),
    "another queue given": lambda d: _parameter(d)[0].update(
        JobsQueueArn={"Fn::GetAtt": ["LostQueue", "Arn"]}
    ),
    "another package given": lambda d: _properties(d, 1)["Parameters"].update(
        CodeKey={"Ref": "CodeBucket"}
    ),
    "stack that waits for itself": _circle,
    "parameter not declared": lambda d: d["shop.1.template.json"]["Parameters"].pop("CodeKey"),
    "parameter with a default": lambda d: d["shop.1.template.json"]["Parameters"]["CodeKey"].update(
        Default="x"
    ),
    "keys echoed": lambda d: d[f"shop.{child_of('create', 3)}.template.json"]["Parameters"][
        "PortafaasHttpKeys"
    ].pop("NoEcho"),
    "output lost": lambda d: d[f"shop.{child_of('store', 3)}.template.json"]["Outputs"].pop(
        "StoreInboxArn"
    ),
    "output of another function": lambda d: d[f"shop.{child_of('store', 3)}.template.json"][
        "Outputs"
    ]["StoreInboxArn"].update(Value="arn:aws:lambda:r:1:function:x"),
    "output nobody uses": lambda d: d[f"shop.{child_of('store', 3)}.template.json"]["Outputs"].update(
        More={"Value": "x"}
    ),
    "output of the service lost": lambda d: d["shop.template.json"]["Outputs"].pop("UrlUrl"),
    "resource lost": lambda d: d["shop.1.template.json"]["Resources"].pop(
        next(iter(d["shop.1.template.json"]["Resources"]))
    ),
    "resource changed": lambda d: _own(d, "AWS::Lambda::Function")["Properties"].update(Timeout=1),
    "resource in two templates": lambda d: d["shop.2.template.json"]["Resources"].update(
        d["shop.1.template.json"]["Resources"]
    ),
    "reference of a child to the root": lambda d: _own(d, "AWS::IAM::Role")["Properties"].update(
        Path={"Ref": "HttpApi2"}
    ),
    "bucket that does not wait": lambda d: d["shop.template.json"]["Resources"]["UploadsBucket"][
        "Properties"
    ]["NotificationConfiguration"].update(QueueConfigurations=[]),
    "subscription that does not wait": lambda d: d[f"shop.{child_of('listen', 3)}.template.json"][
        "Resources"
    ]["ListenSubscription"].pop("DependsOn"),
    "data lost with its stack": lambda d: _own(d, "AWS::SQS::Queue", child_of("listen", 3)).update(
        DeletionPolicy="Delete"
    ),
    "prefix not asked for": lambda d: d["shop.template.json"]["Parameters"].pop("TemplatesPrefix"),
    "too many parameters": lambda d: d["shop.1.template.json"]["Parameters"].update(
        {f"P{n}": {"Type": "String"} for n in range(200)}
    ),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_found(documents: Documents, whole: dict[str, Any], name: str) -> None:
    changed = copy.deepcopy(documents)
    MUTATIONS[name](changed)
    assert changed != documents, "the mutation changes nothing"
    assert joined(changed, whole) != []


def test_every_value_that_holds_the_stacks_together_counts(
    documents: Documents, whole: dict[str, Any]
) -> None:
    """Whatever is taken from a nested stack, an output or a parameter of one is missed."""
    tried = 0
    for name, document in documents.items():
        for part in ("Outputs", "Parameters"):
            for key in document.get(part, {}):
                changed = copy.deepcopy(documents)
                del changed[name][part][key]
                assert joined(changed, whole), f"{name} {part} {key}"
                tried += 1
        for key, each in document["Resources"].items():
            if each["Type"] != "AWS::CloudFormation::Stack":
                continue
            for given in each["Properties"]["Parameters"]:
                changed = copy.deepcopy(documents)
                del changed[name]["Resources"][key]["Properties"]["Parameters"][given]
                assert joined(changed, whole), f"{key} {given}"
                tried += 1
    assert tried > 40
