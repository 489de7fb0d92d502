"""The template: what cfn-lint and our own rules say of it, who may do what, what changes when."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from portafaas.adapter import Infrastructure
from portafaas.plan import (
    Auth,
    BuildPlan,
    FunctionPlan,
    HttpTrigger,
    ObjectTrigger,
    QueueTrigger,
    ScheduleTrigger,
    TablePlan,
    TableTrigger,
    TopicTrigger,
)
from portafaas_aws.adapter import ADAPTER
from portafaas_aws.infrastructure import emit
from portafaas_aws.infrastructure.document import logical_id
from portafaas_aws.infrastructure.verify import _UNTAGGED
from portafaas_aws.names import bucket_name, physical_name, queue_name


def _resources(plan: BuildPlan) -> dict[str, Any]:
    (document,) = emit(plan).documents.values()
    resources: dict[str, Any] = document["Resources"]
    return resources


def _facts(plan: BuildPlan, logical: str) -> dict[str, Any]:
    facts: dict[str, Any] = _resources(plan)[logical]["Properties"]
    return facts


@pytest.fixture(scope="module")
def emitted(watched: BuildPlan) -> Infrastructure:
    return ADAPTER.infrastructure(watched)


@pytest.fixture(scope="module")
def document(emitted: Infrastructure) -> dict[str, Any]:
    ((name, document),) = emitted.documents.items()
    assert name == "shop.template.json"
    assert json.loads(json.dumps(document)) == document
    found: dict[str, Any] = document
    return found


def _lint(document: dict[str, Any]) -> list[str]:
    from cfnlint.api import ManualArgs, lint

    config = ManualArgs(regions=["us-east-1", "eu-central-1"])
    return [f"{m.rule.id} {m.message}" for m in lint(json.dumps(document), config=config)]


def test_lint_finds_nothing(document: dict[str, Any]) -> None:
    assert _lint(document) == []
    document = json.loads(json.dumps(document))
    document["Resources"]["WorkFunction"]["Properties"]["Runtime"] = "python2.7"
    assert _lint(document) != [], "cfn-lint is asleep"


def test_all_that_can_be_tagged_is(document: dict[str, Any]) -> None:
    from cfnlint.schema import PROVIDER_SCHEMA_MANAGER

    types = {resource["Type"] for resource in document["Resources"].values()}
    untagged = {
        type
        for type in types
        if "Tags" not in PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", type).schema[
            "properties"
        ]
    }
    assert untagged == types & set(_UNTAGGED)
    assert set(_UNTAGGED) <= types, "the service of the tests lacks a type"


def test_emitting_is_pure_and_stable(watched: BuildPlan, emitted: Infrastructure) -> None:
    assert json.dumps(dict(emit(watched).documents)) == json.dumps(dict(emitted.documents))


_NEW: dict[str, tuple[FunctionPlan, set[str]]] = {
    "http": (FunctionPlan("more", "m", "a", HttpTrigger(("GET",), "/more")), set()),
    "url": (
        FunctionPlan("more", "m", "a", HttpTrigger((), "/x"), options={"front": "function-url"}),
        set(),
    ),
    "topic": (FunctionPlan("more", "m", "a", TopicTrigger("news")), set()),
    "queue": (
        FunctionPlan("more", "m", "a", QueueTrigger("mails"), timeout=60),
        # Its consumer decides how long a message stays invisible.
        {"MailsQueue"},
    ),
    "object": (FunctionPlan("more", "m", "a", ObjectTrigger("uploads", prefix="x/")), {"UploadsBucket"}),
    "table": (FunctionPlan("more", "m", "a", TableTrigger("orders")), set()),
    "schedule": (FunctionPlan("more", "m", "a", ScheduleTrigger("0 3 * * *")), set()),
}


@pytest.mark.parametrize("kind", _NEW)
@pytest.mark.parametrize("place", [0, 7, 14])
def test_a_new_function_changes_its_own_blocks(stack: BuildPlan, kind: str, place: int) -> None:
    function, shared = _NEW[kind]
    functions = [*stack.functions]
    functions.insert(place, function)
    before, after = _resources(stack), _resources(replace(stack, functions=tuple(functions)))
    assert {name for name in before if after.get(name) != before[name]} == shared
    assert all(name.startswith("More") for name in set(after) - set(before))
    kept = [name for name in after if name in before]
    assert kept == list(before), "the order of the others changed"


def test_who_may_do_what(stack: BuildPlan, emitted: Infrastructure) -> None:
    account = "${AWS::Region}:${AWS::AccountId}"
    orders = f"arn:${{AWS::Partition}}:dynamodb:{account}:table/shop-dev-orders"
    uploads = "arn:${AWS::Partition}:s3:::shop-dev-uploads-${AWS::AccountId}-${AWS::Region}"
    created = {
        (p.grant, p.scope, p.why) for p in emitted.permissions if p.function == "create"
    }
    uses = "$.functions.create.uses"
    log = f"arn:${{AWS::Partition}}:logs:{account}:log-group:/aws/lambda/shop-dev-create:*"
    secret = f"arn:${{AWS::Partition}}:secretsmanager:{account}:secret:shop-dev-payment-key-??????"
    assert created == {
        ("logs:CreateLogStream", log, "platform"),
        ("logs:PutLogEvents", log, "platform"),
        *(
            (f"dynamodb:{verb}", orders, f"{uses}[0]")
            for verb in ("BatchWriteItem", "DeleteItem", "PutItem", "UpdateItem")
        ),
        ("sns:Publish", f"arn:${{AWS::Partition}}:sns:{account}:shop-dev-news", f"{uses}[1]"),
        ("secretsmanager:GetSecretValue", secret, f"{uses}[2]"),
        ("sqs:SendMessage", f"arn:${{AWS::Partition}}:sqs:{account}:shop-dev-jobs", f"{uses}[3]"),
        ("s3:ListBucket", uploads, f"{uses}[4]"),
        ("s3:GetObject", f"{uploads}/*", f"{uses}[4]"),
        *(
            (f"dynamodb:{verb}", orders, f"{uses}[5]")
            for verb in ("BatchGetItem", "ConditionCheckItem", "GetItem", "Query", "Scan")
        ),
    }
    # One that uses nothing may log, and what its trigger needs.
    needed = {
        (p.grant, p.scope.rpartition(":")[2], p.why)
        for p in emitted.permissions
        if p.function == "work" and "sqs:" in p.grant
    }
    actions = ("ChangeMessageVisibility", "DeleteMessage", "GetQueueAttributes", "ReceiveMessage")
    assert needed == {
        *((f"sqs:{action}", "shop-dev-jobs", "$.functions.work.trigger") for action in actions),
        ("sqs:SendMessage", "shop-dev-jobs-dead", "$.queues.jobs.dead-letter"),
    }
    assert {p.grant for p in emitted.permissions if p.function == "root"} == {
        "logs:CreateLogStream", "logs:PutLogEvents",
    }  # fmt: skip


def test_names_of_what_is_used_are_told(stack: BuildPlan) -> None:
    variables = _facts(stack, "CreateFunction")["Environment"]["Variables"]
    assert variables == {
        "PORTAFAAS_BUCKET_UPLOADS": {"Fn::Sub": "shop-dev-uploads-${AWS::AccountId}-${AWS::Region}"},
        "PORTAFAAS_HTTP_KEYS": {"Ref": "PortafaasHttpKeys"},
        "PORTAFAAS_QUEUE_JOBS": {"Ref": "JobsQueue"},
        "PORTAFAAS_SECRET_PAYMENT_KEY": {"Ref": "PaymentKeySecret"},
        "PORTAFAAS_TABLE_ORDERS": {"Ref": "OrdersTable"},
        "PORTAFAAS_TOPIC_NEWS": {"Ref": "NewsTopic"},
    }
    assert _facts(stack, "WorkFunction")["Environment"]["Variables"] == {
        "LEVEL": "info",
        "PORTAFAAS_DEAD_WORK": {"Ref": "JobsDeadLetters"},
        "PORTAFAAS_SOURCE_WORK": {"Ref": "JobsQueue"},
    }
    assert _facts(stack, "RowsFunction")["Environment"]["Variables"] == {
        "PORTAFAAS_DEAD_ROWS": {"Ref": "RowsFailedEvents"}
    }
    assert "Environment" not in _facts(stack, "RootFunction")


def test_keys_are_a_parameter_unless_the_manifest_sets_them(stack: BuildPlan) -> None:
    (document,) = emit(stack).documents.values()
    keys = document["Parameters"]["PortafaasHttpKeys"]
    assert keys["NoEcho"] is True and "Default" not in keys
    digest = hashlib.sha256(b"k").hexdigest()
    for good in (f"a={digest}", f"a={digest},b={digest}", f" a={digest}\n b={digest}, "):
        assert re.fullmatch(keys["AllowedPattern"], good)
    for bad in ("", "a", digest, f"a={digest[:-1]}", f"a={digest}b={digest}"):
        assert not re.fullmatch(keys["AllowedPattern"], bad)
    set_here = replace(stack.function("create"), environment={"PORTAFAAS_HTTP_KEYS": "a=b"})
    (document,) = emit(replace(stack, functions=(set_here,))).documents.values()
    assert list(document["Parameters"]) == ["CodeBucket", "CodeKey", "CodeDigest"]


def _routes(plan: BuildPlan) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for logical, resource in _resources(plan).items():
        if resource["Type"] == "AWS::ApiGatewayV2::Route":
            behind = resource["Properties"]["Target"]["Fn::Sub"][len("integrations/${") : -1]
            key = f"{resource['Properties']['RouteKey']} {resource['Properties']['AuthorizationType']}"
            found.setdefault(behind.removesuffix("Integration"), []).append(key)
            assert logical.endswith("Route")
    return found


def test_routes(stack: BuildPlan) -> None:
    assert _routes(stack) == {
        # One route is for the methods it names, for preflight requests, and for the answer 405.
        "Create": ["ANY /orders NONE"],
        # The root of the wildcard for the method it names; all others are the other function's.
        "Files": ["GET /files NONE", "ANY /files/{path+} NONE"],
        "Root": ["ANY /files NONE"],
        "Signed": ["ANY /signed/{id} AWS_IAM"],
    }


def test_one_route_for_paths_that_differ_in_the_names_of_parameters(stack: BuildPlan) -> None:
    functions = (
        FunctionPlan("one", "m", "a", HttpTrigger(("GET",), "/a/{x}")),
        FunctionPlan("two", "m", "a", HttpTrigger(("PUT",), "/a/{y}")),
    )
    assert _routes(replace(stack, functions=functions)) == {
        "One": ["ANY /a/{x} NONE"],
        "Two": ["PUT /a/{y} NONE"],
    }


def test_the_root_path(stack: BuildPlan) -> None:
    functions = (FunctionPlan("one", "m", "a", HttpTrigger((), "/{path*}")),)
    plan = replace(stack, functions=functions)
    assert _routes(plan) == {"One": ["ANY /{path+} NONE", "ANY / NONE"]}
    arns = [
        r["Properties"]["SourceArn"]["Fn::Sub"].partition("HttpApi}")[2]
        for r in _resources(plan).values()
        if r["Type"] == "AWS::Lambda::Permission"
    ]
    assert arns == ["/*/*/*", "/*/*/"]


def test_only_a_public_url_admits_everyone(stack: BuildPlan, emitted: Infrastructure) -> None:
    resources = _resources(stack)
    public = {
        name: (r["Properties"]["Action"], r["Properties"].get("InvokedViaFunctionUrl"))
        for name, r in resources.items()
        if r["Properties"].get("Principal") == "*"
    }
    assert public == {
        "UrlUrlPermission": ("lambda:InvokeFunctionUrl", None),
        "UrlUrlInvokePermission": ("lambda:InvokeFunction", True),
    }
    (note,) = emitted.notes
    assert (note.code, note.severity) == ("PF3010", "note")
    assert note.path == "$.functions.url.targets.aws.front"
    assert _facts(stack, "InnerUrl")["AuthType"] == "AWS_IAM"
    assert _facts(stack, "InnerFunction")["Timeout"] == 601


def test_stages_and_no_stage(stack: BuildPlan) -> None:
    assert _facts(stack, "WorkFunction")["FunctionName"] == "shop-dev-work"
    bare = replace(stack, stage="")
    facts = _facts(bare, "WorkFunction")
    assert facts["FunctionName"] == "shop-work"
    assert {tag["Key"] for tag in facts["Tags"]} == {"managed-by", "service", "package-digest"}
    names = [
        {r["Properties"].get(k) for r in _resources(p).values() for k in ("QueueName", "TableName")}
        - {None}
        for p in (stack, bare)
    ]
    assert not names[0] & names[1]


def test_names_that_are_too_long(stack: BuildPlan) -> None:
    long = replace(stack, service="s" * 40, stage="t" * 20)
    names = [physical_name(long, f"{'n' * 30}-{number}") for number in range(3)]
    assert len({*names}) == 3 and all(len(name) == 64 for name in names)
    assert names[0] == physical_name(long, f"{'n' * 30}-0")
    assert queue_name(long, "n" * 40, True).endswith(".fifo")
    assert len(queue_name(long, "n" * 40, True)) == 80
    assert len(bucket_name(long, "n").replace("${AWS::AccountId}", "1" * 12).replace(
        "${AWS::Region}", "ap-northeast-1")) <= 63  # fmt: skip
    assert list(ADAPTER.check(long)) == []
    emit(long)


def test_logical_ids_are_one_to_one() -> None:
    names = ["a", "a-b", "ab", "a1", "a-1", "a-1b", "a1b", "a-1-b", "x", "code", "a-dead", "a-root"]
    kinds = [
        "Function", "Role", "Logs", "Queue", "DeadLetters", "FailedEvents", "Inbox", "InboxPolicy",
        "Subscription", "Mapping", "Topic", "Bucket", "Table", "Secret", "Schedule",
        "ScheduleAccess", "Url", "UrlPermission", "UrlInvokePermission",
        "GetRoute", "GetRootRoute", "GetPermission", "GetRootPermission", "Integration",
    ]  # fmt: skip
    ids = {logical_id(name, kind) for name in names for kind in kinds}
    assert len(ids) == len(names) * len(kinds)
    assert all(re.fullmatch("[A-Za-z0-9]+", each) for each in ids)
    assert not ids & {"CodeBucket", "CodeKey", "CodeDigest", "HttpApi", "HttpApiStage"}
    for kind in kinds:
        assert not any(other != kind and other.endswith(kind) for other in kinds), kind


def test_dead_letters_in_another_queue(stack: BuildPlan) -> None:
    """``dead-letter: lost``: told of, allowed, and named as the line that asks for it."""
    function = FunctionPlan("mail", "m", "a", QueueTrigger("mails"))
    plan = replace(stack, functions=(*stack.functions, function))
    made = emit(plan)
    variables = _facts(plan, "MailFunction")["Environment"]["Variables"]
    assert variables == {
        "PORTAFAAS_DEAD_MAIL": {"Ref": "LostQueue"}, "PORTAFAAS_SOURCE_MAIL": {"Ref": "MailsQueue"},
    }  # fmt: skip
    (sending,) = [p for p in made.permissions if p.function == "mail" and "Send" in p.grant]
    assert sending.scope.endswith(":shop-dev-lost")
    assert sending.why == "$.queues.mails.dead-letter"
    told = {each.function: each for each in made.redeliveries}["mail"]
    assert "shop-dev-lost" in told.dead_letters and told.attempts == 5


def test_a_queue_without_dead_letters_gives_nothing_up(stack: BuildPlan) -> None:
    function = FunctionPlan("wash", "m", "a", QueueTrigger("lost"))
    plan = replace(stack, functions=(*stack.functions, function))
    variables = _facts(plan, "WashFunction")["Environment"]["Variables"]
    assert variables == {"PORTAFAAS_SOURCE_WASH": {"Ref": "LostQueue"}}
    assert "RedrivePolicy" not in _facts(plan, "LostQueue")
    granted = {p.grant for p in emit(plan).permissions if p.function == "wash"}
    assert "sqs:ChangeMessageVisibility" in granted and "sqs:SendMessage" not in granted


def test_log_retention(stack: BuildPlan) -> None:
    assert _facts(stack, "WorkLogs")["RetentionInDays"] == 60
    shorter = replace(stack, options={"log-retention": 7})
    assert _facts(shorter, "WorkLogs")["RetentionInDays"] == 7


def test_a_plan_without_functions(stack: BuildPlan) -> None:
    plan = replace(stack, functions=(), tables=(TablePlan("only"),), queues=(), topics=())
    assert list(ADAPTER.check(plan)) == []
    assert _facts(plan, "OnlyTable")["TableName"] == "shop-dev-only"


@pytest.mark.parametrize("stage", [None, "test"])
def test_the_shop(stage: str | None) -> None:
    from portafaas.manifest.load import load_manifest
    from portafaas.plan.build import build_plan

    manifest = Path(__file__).parents[3] / "examples" / "shop" / "portafaas.yaml"
    plan = build_plan(load_manifest(manifest, stage), "aws")
    assert list(ADAPTER.check(plan)) == []
    assert emit(plan).notes == ()


def test_the_conformance_service(tmp_path: Path) -> None:
    from portafaas.manifest.load import load_manifest
    from portafaas.plan.build import build_plan
    from portafaas.testing import service

    manifest = service.write(tmp_path, service.document("3.12"))
    plan = build_plan(load_manifest(manifest), "aws")
    assert list(ADAPTER.check(plan)) == []
    resources = _resources(plan)
    assert sum(r["Type"] == "AWS::Lambda::Function" for r in resources.values()) == len(plan.functions)


def test_authors_of_manifests_cannot_break_out(stack: BuildPlan) -> None:
    """What looks like a reference of CloudFormation in a manifest stays text."""
    function = replace(
        stack.function("work"), environment={"A": "${AWS::AccountId}", "B": "{{x}}"}
    )
    told = _facts(replace(stack, functions=(function,)), "WorkFunction")["Environment"]["Variables"]
    assert (told["A"], told["B"]) == ("${AWS::AccountId}", "{{x}}")
    key = replace(
        stack.function("create"),
        trigger=HttpTrigger(("GET",), "/a", Auth("key", keys="OTHER__KEYS")),
    )
    (document,) = emit(replace(stack, functions=(key,))).documents.values()
    assert list(document["Parameters"])[3:] == ["OtherKeysX11"]
