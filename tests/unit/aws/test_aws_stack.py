"""The template deployed, changed and removed on a moto server, through boto3.

``moto_aws`` refuses types it cannot make. What a stack says of itself is not believed: every
resource is asked for at the service it belongs to.
"""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from portafaas.plan import BuildPlan, FunctionPlan, QueueTrigger, TopicTrigger
from portafaas_aws.infrastructure import emit

REGION, ACCOUNT, STACK = "eu-central-1", "123456789012", "shop-dev"
DIGEST = "0" * 64

Clients = Callable[[str], Any]


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    """Clients by service, of a server that has a package in the bucket ``code``."""
    import boto3
    from botocore.config import Config

    # What fails on this server fails each time.
    once = Config(retries={"total_max_attempts": 1, "mode": "standard"})
    log = (tmp_path_factory.mktemp("moto") / "log").open("w")
    script = Path(__file__).with_name("moto_aws.py")
    with log, subprocess.Popen(
        [sys.executable, str(script)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
    ) as server:  # fmt: skip
        assert server.stdout is not None and server.stdin is not None
        endpoint = server.stdout.readline().strip()
        assert endpoint.startswith("http://127.0.0.1:"), Path(log.name).read_text()

        @cache
        def client(service: str) -> Any:
            return boto3.client(
                service, region_name=REGION, endpoint_url=endpoint,
                aws_access_key_id="test", aws_secret_access_key="test", config=once,
            )  # fmt: skip

        package = io.BytesIO()
        with zipfile.ZipFile(package, "w") as archive:
            archive.writestr("_portafaas.py", "")
        s3 = client("s3")
        s3.create_bucket(
            Bucket="code", CreateBucketConfiguration={"LocationConstraint": REGION}
        )
        for key in ("shop.zip", "shop2.zip"):
            s3.put_object(Bucket="code", Key=key, Body=package.getvalue())
        yield client
        server.kill()


def _deploy(aws: Clients, plan: BuildPlan, kind: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Make and run a change set; return the resources of the template, and the actions."""
    document, *children = emit(plan).documents.values()
    prefix = f"builds/{kind.lower()}"
    values = {
        "CodeBucket": "code",
        # A new key is what makes Lambda look, and a new prefix CloudFormation.
        "CodeKey": "shop.zip" if kind == "CREATE" else "shop2.zip",
        "CodeDigest": DIGEST,
        "PortafaasHttpKeys": f"client={DIGEST}",
    }
    if children:
        values["TemplatesPrefix"] = f"https://s3.amazonaws.com/code/{prefix}"
        assert re.fullmatch(
            document["Parameters"]["TemplatesPrefix"]["AllowedPattern"], values["TemplatesPrefix"]
        )
        for name, child in emit(plan).documents.items():
            body = json.dumps(child).encode()
            aws("s3").put_object(Bucket="code", Key=f"{prefix}/{name}", Body=body)
    else:
        values["CodeKey"] = "shop.zip"
    assert values.keys() == document["Parameters"].keys()
    formation = aws("cloudformation")
    formation.validate_template(TemplateBody=json.dumps(document))
    changes = formation.create_change_set(
        StackName=STACK,
        ChangeSetName=kind.lower(),
        ChangeSetType=kind,
        TemplateBody=json.dumps(document),
        Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in values.items()],
        # No CAPABILITY_NAMED_IAM.
        Capabilities=["CAPABILITY_IAM"],
    )
    told = formation.describe_change_set(ChangeSetName=changes["Id"], StackName=STACK)
    formation.execute_change_set(ChangeSetName=changes["Id"], StackName=STACK)
    (stack,) = formation.describe_stacks(StackName=STACK)["Stacks"]
    assert stack["StackStatus"] == f"{kind}_COMPLETE"
    actions = {
        change["ResourceChange"]["LogicalResourceId"]: change["ResourceChange"]["Action"]
        for change in told["Changes"]
    }
    resources: dict[str, Any] = document["Resources"]
    return resources, actions


def _ids(aws: Clients, name: str = STACK) -> dict[str, str]:
    pages = aws("cloudformation").get_paginator("list_stack_resources").paginate(StackName=name)
    return {
        resource["LogicalResourceId"]: resource["PhysicalResourceId"]
        for page in pages
        for resource in page["StackResourceSummaries"]
    }


def _names(aws: Clients) -> dict[str, set[str]]:
    """Return what the services themselves have, by type."""

    def api(kind: str) -> set[str]:
        found: set[str] = set()
        for each in aws("apigatewayv2").get_apis()["Items"]:
            key = "StageName" if kind == "Stage" else f"{kind}Id"
            if kind == "Api":
                found.add(each[key])
            else:
                items = getattr(aws("apigatewayv2"), f"get_{kind.lower()}s")(ApiId=each["ApiId"])
                found |= {item[key] for item in items["Items"]}
        return found

    functions = [f["FunctionName"] for f in aws("lambda").list_functions()["Functions"]]
    queues = aws("sqs").list_queues().get("QueueUrls", [])
    policies = {
        url
        for url in queues
        if aws("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])
        .get("Attributes", {}).get("Policy")
    }  # fmt: skip
    return {
        "AWS::Lambda::Function": set(functions),
        "AWS::IAM::Role": {r["RoleName"] for r in aws("iam").list_roles()["Roles"]},
        "AWS::Logs::LogGroup": {g["logGroupName"] for g in aws("logs").describe_log_groups()["logGroups"]},
        "AWS::SQS::Queue": {url.rpartition("/")[2] for url in queues},
        "AWS::SQS::QueuePolicy": {url.rpartition("/")[2] for url in policies},
        "AWS::SNS::Topic": {t["TopicArn"] for t in aws("sns").list_topics()["Topics"]},
        "AWS::SNS::Subscription": {
            s["SubscriptionArn"] for s in aws("sns").list_subscriptions()["Subscriptions"]
        },
        "AWS::S3::Bucket": {b["Name"] for b in aws("s3").list_buckets()["Buckets"]},
        "AWS::DynamoDB::Table": set(aws("dynamodb").list_tables()["TableNames"]),
        "AWS::SecretsManager::Secret": {
            s["ARN"] for s in aws("secretsmanager").list_secrets()["SecretList"]
        },
        "AWS::Scheduler::Schedule": {s["Name"] for s in aws("scheduler").list_schedules()["Schedules"]},
        "AWS::Lambda::EventSourceMapping": {
            m["UUID"] for m in aws("lambda").list_event_source_mappings()["EventSourceMappings"]
        },
        "AWS::Lambda::Url": {
            url["FunctionArn"].rpartition(":")[2]
            for name in functions
            for url in _maybe(aws("lambda"), "get_function_url_config", FunctionName=name)
        },
        "AWS::Lambda::Permission": {
            f"{name} {statement['Action']} {json.dumps(statement['Principal'], sort_keys=True)} "
            f"{statement.get('Condition', {}).get('ArnLike', {}).get('AWS:SourceArn')}"
            for name in functions
            for policy in _maybe(aws("lambda"), "get_policy", FunctionName=name)
            for statement in json.loads(policy["Policy"])["Statement"]
        },
        "AWS::CloudWatch::Alarm": {
            a["AlarmName"] for a in aws("cloudwatch").describe_alarms()["MetricAlarms"]
        },
        "AWS::Logs::MetricFilter": {
            f["filterName"] for f in aws("logs").describe_metric_filters()["metricFilters"]
        },
        **{f"AWS::ApiGatewayV2::{k}": api(k) for k in ("Api", "Integration", "Route", "Stage")},
    }  # fmt: skip


def _maybe(client: Any, call: str, **arguments: Any) -> list[Any]:
    try:
        return [getattr(client, call)(**arguments)]
    except client.exceptions.ResourceNotFoundException:
        return []


def _present(
    aws: Clients, resources: dict[str, Any], ids: dict[str, str] | None = None
) -> None:
    """Every resource of the template is where its type says, as many as there are."""
    ids = _ids(aws) if ids is None else ids
    assert set(ids) == set(resources)
    have = _names(aws)
    for logical, resource in resources.items():
        type, id = resource["Type"], ids[logical]
        if type == "AWS::Lambda::Permission":
            continue
        if type == "AWS::Lambda::Url":
            id = id.rpartition(":")[2]
        if type.startswith("AWS::SQS::"):
            # The host of a queue's URL is the server's or Amazon's.
            id = id.rpartition("/")[2]
        assert id in have[type], f"{logical} ({type}) is not there"
    # moto gives permissions no names that could be asked for; they are counted.
    permissions = [r for r in resources.values() if r["Type"] == "AWS::Lambda::Permission"]
    assert len(have["AWS::Lambda::Permission"]) == len(permissions)


def test_a_stack_from_its_creation_to_its_removal(aws: Clients, stack: BuildPlan) -> None:
    resources, actions = _deploy(aws, stack, "CREATE")
    assert actions == dict.fromkeys(resources, "Add")
    _present(aws, resources)
    _wired(aws)

    # The plan grows by a function, another loses its trigger and its memory changes.
    more = FunctionPlan("more", "m", "a", TopicTrigger("news"))
    functions = [f for f in stack.functions if f.name not in ("log", "work-ordered")]
    functions[0] = replace(functions[0], memory=512)
    later = replace(stack, functions=(*functions, more))
    resources, actions = _deploy(aws, later, "UPDATE")
    assert {n for n, action in actions.items() if action == "Modify"} == {
        "CreateFunction",
        # Nobody consumes it any more, so its messages need not stay invisible for as long.
        "StepsQueue",
    }
    assert all(n.startswith("More") for n, action in actions.items() if action == "Add")
    removed = {n for n, action in actions.items() if action == "Remove"}
    assert removed and all(n.startswith(("Log", "WorkOrdered")) for n in removed)
    _present(aws, resources)
    name = "shop-dev-create"
    assert aws("lambda").get_function_configuration(FunctionName=name)["MemorySize"] == 512
    # What is removed with messages in it stays.
    assert "shop-dev-journal-log.fifo" in str(aws("sqs").list_queues()["QueueUrls"])

    aws("cloudformation").delete_stack(StackName=STACK)
    left = {type: names for type, names in _names(aws).items() if names}
    assert set(left) == {
        "AWS::DynamoDB::Table", "AWS::S3::Bucket", "AWS::SQS::Queue",
        "AWS::SecretsManager::Secret",
    }  # fmt: skip
    assert left["AWS::DynamoDB::Table"] == {"shop-dev-orders"}
    assert left["AWS::S3::Bucket"] == {"code", f"shop-dev-uploads-{ACCOUNT}-{REGION}"}
    queues = {r["Properties"]["QueueName"] for r in resources.values() if "QueueName" in r["Properties"]}
    old = {"shop-dev-journal-log.fifo", "shop-dev-journal-log-dead.fifo"}
    assert left["AWS::SQS::Queue"] == queues | old


def _wired(aws: Clients) -> None:
    """What one resource says of another is what that one is called."""
    config = aws("lambda").get_function_configuration(FunctionName="shop-dev-create")
    queue = aws("sqs").get_queue_url(QueueName="shop-dev-jobs")["QueueUrl"]
    variables = config["Environment"]["Variables"]
    assert variables["PORTAFAAS_QUEUE_JOBS"].endswith(f"/{ACCOUNT}/shop-dev-jobs")
    assert variables["PORTAFAAS_BUCKET_UPLOADS"] == f"shop-dev-uploads-{ACCOUNT}-{REGION}"
    assert variables["PORTAFAAS_TABLE_ORDERS"] == "shop-dev-orders"
    assert variables["PORTAFAAS_TOPIC_NEWS"] == f"arn:aws:sns:{REGION}:{ACCOUNT}:shop-dev-news"
    secret = variables["PORTAFAAS_SECRET_PAYMENT_KEY"]
    assert aws("secretsmanager").describe_secret(SecretId=secret)["Name"] == "shop-dev-payment-key"
    with pytest.raises(aws("secretsmanager").exceptions.ResourceNotFoundException):
        aws("secretsmanager").get_secret_value(SecretId=secret)
    # Of functions moto drops tags, architecture and log group.
    tags = aws("sqs").list_queue_tags(QueueUrl=queue)["Tags"]
    assert tags == {"managed-by": "portafaas", "service": "shop", "stage": "dev"}
    assert (config["Handler"], config["Runtime"]) == ("_portafaas.create", "python3.12")
    assert (config["Timeout"], config["MemorySize"]) == (30, 256)

    attributes = aws("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
    assert attributes["VisibilityTimeout"] == str(6 * 35 + 5)
    assert json.loads(attributes["RedrivePolicy"]) == {
        "deadLetterTargetArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:shop-dev-jobs-dead",
        "maxReceiveCount": 5,
    }
    mappings = {
        m["FunctionArn"].rpartition(":")[2]: m
        for m in aws("lambda").list_event_source_mappings()["EventSourceMappings"]
    }
    assert len(mappings) == 8
    assert all(m["FunctionResponseTypes"] == ["ReportBatchItemFailures"] for m in mappings.values())
    assert mappings["shop-dev-work"]["BatchSize"] == 20
    assert mappings["shop-dev-work"]["EventSourceArn"].endswith(":shop-dev-jobs")
    stream = aws("dynamodb").describe_table(TableName="shop-dev-orders")["Table"]
    assert stream["StreamSpecification"]["StreamViewType"] == "NEW_AND_OLD_IMAGES"
    for name in ("rows", "upserts"):
        assert mappings[f"shop-dev-{name}"]["EventSourceArn"] == stream["LatestStreamArn"]

    for subscription in aws("sns").list_subscriptions()["Subscriptions"]:
        assert subscription["Protocol"] == "sqs"
        found = aws("sns").get_subscription_attributes(SubscriptionArn=subscription["SubscriptionArn"])
        assert ("FilterPolicy" in found["Attributes"]) is ("listen" in subscription["Endpoint"])
    bucket = f"shop-dev-uploads-{ACCOUNT}-{REGION}"
    notified = aws("s3").get_bucket_notification_configuration(Bucket=bucket)
    events = [e for c in notified["QueueConfigurations"] for e in c["Events"]]
    assert events == ["s3:ObjectCreated:*", "s3:ObjectRemoved:*", "s3:LifecycleExpiration:*"]
    schedule = aws("scheduler").get_schedule(Name="shop-dev-tick")
    assert schedule["ScheduleExpressionTimezone"] == "Europe/Berlin"
    assert json.loads(schedule["Target"]["Input"])["time"] == "<aws.scheduler.scheduled-time>"
    (api,) = aws("apigatewayv2").get_apis()["Items"]
    keys = {r["RouteKey"] for r in aws("apigatewayv2").get_routes(ApiId=api["ApiId"])["Items"]}
    assert keys == {
        "ANY /orders", "GET /files", "ANY /files/{path+}", "ANY /files", "ANY /signed/{id}",
    }  # fmt: skip


def _all(aws: Clients, plan: BuildPlan) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the resources of all templates, and their ids in the stacks that moto has of them."""
    resources: dict[str, Any] = {}
    ids = _ids(aws)
    root, *children = emit(plan).documents.values()
    nested = {
        name: ids.pop(name)
        for name, each in root["Resources"].items()
        if each["Type"] == "AWS::CloudFormation::Stack"
    }
    assert len(nested) == len(children)
    for document in (root, *children):
        resources |= document["Resources"]
    for name, stack in nested.items():
        del resources[name]
        ids |= _ids(aws, stack)
    return resources, ids


def test_nested_stacks_from_their_creation_to_their_removal(
    aws: Clients, watched: BuildPlan
) -> None:
    plan = replace(watched, stage="nest", options={"stacks": 3})
    _deploy(aws, plan, "CREATE")
    _present(aws, *_all(aws, plan))
    alarms = {a["AlarmName"]: a for a in aws("cloudwatch").describe_alarms()["MetricAlarms"]}
    assert len(alarms) == len(plan.alerts)
    slow = alarms["shop-nest-slow"]
    assert slow["Dimensions"] == [{"Name": "FunctionName", "Value": "shop-nest-files"}]
    assert slow["AlarmActions"] == [f"arn:aws:sns:{REGION}:{ACCOUNT}:shop-nest-alerts-ops"]
    assert (slow["ExtendedStatistic"], slow["Threshold"], slow["Period"]) == ("p95", 1250.0, 900)
    lost = alarms["shop-nest-jobs-lost"]["Dimensions"]
    assert lost == [{"Name": "QueueName", "Value": "shop-nest-jobs-dead"}]
    told = {
        s["Endpoint"]
        for s in aws("sns").list_subscriptions()["Subscriptions"]
        if s["Protocol"] != "sqs"
    }
    assert told == {"ops@shop.example", "mail@shop.example", "https://hooks.example/ops?x=1"}
    queue = aws("sqs").get_queue_url(QueueName="shop-nest-jobs")["QueueUrl"]
    config = aws("lambda").get_function_configuration(FunctionName="shop-nest-create")
    assert config["Environment"]["Variables"]["PORTAFAAS_QUEUE_JOBS"].endswith("/shop-nest-jobs")
    assert queue.endswith("/shop-nest-jobs")
    bounds = aws("lambda").get_function_concurrency(FunctionName="shop-nest-work")
    assert bounds["ReservedConcurrentExecutions"] == 4
    bucket = f"shop-nest-uploads-{ACCOUNT}-{REGION}"
    notified = aws("s3").get_bucket_notification_configuration(Bucket=bucket)
    arns = {c["QueueArn"] for c in notified["QueueConfigurations"]}
    assert {arn.rpartition(":")[2] for arn in arns} == {"shop-nest-store-objects"}

    # One more, one less, one changed: each in the stack it belongs to.
    more = FunctionPlan("more", "m", "a", TopicTrigger("news"))
    functions = [f for f in plan.functions if f.name != "log"]
    functions[0] = replace(functions[0], memory=512)
    later = replace(plan, functions=(*functions, more))
    _, actions = _deploy(aws, later, "UPDATE")
    assert all(name.startswith("FunctionStack") for name in actions)
    _present(aws, *_all(aws, later))
    found = aws("lambda").get_function_configuration(FunctionName="shop-nest-create")
    assert found["MemorySize"] == 512

    aws("cloudformation").delete_stack(StackName=STACK)
    left = {type for type, names in _names(aws).items() if any("nest" in name for name in names)}
    assert left == {
        "AWS::DynamoDB::Table", "AWS::S3::Bucket", "AWS::SQS::Queue",
        "AWS::SecretsManager::Secret",
    }  # fmt: skip


def test_the_messages_of_a_topic_arrive_in_the_inbox(aws: Clients, stack: BuildPlan) -> None:
    """Filter and envelope, as far as moto has them: the broker lets through what is wanted."""
    functions = (
        FunctionPlan("pick", "m", "a", TopicTrigger("news", (("type", ("made",)),))),
        FunctionPlan("work", "m", "a", QueueTrigger("jobs")),
        stack.function("create"),
    )
    plan = replace(stack, stage="mail", functions=functions)
    _, actions = _deploy(aws, plan, "CREATE")
    assert "PickInbox" in actions
    (url,) = [u for u in aws("sqs").list_queues()["QueueUrls"] if u.endswith("shop-mail-news-pick")]
    topic = f"arn:aws:sns:{REGION}:{ACCOUNT}:shop-mail-news"
    for kind in ("made", "lost"):
        aws("sns").publish(
            TopicArn=topic, Message=kind,
            MessageAttributes={"ce-type": {"DataType": "String", "StringValue": kind}},
        )  # fmt: skip
    messages = aws("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    assert [json.loads(m["Body"])["Message"] for m in messages] == ["made"]
    aws("cloudformation").delete_stack(StackName=STACK)
