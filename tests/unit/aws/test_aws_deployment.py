"""A service deployed, changed, rolled back and destroyed through the engine on a local AWS."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from portafaas.deployment import Change, DeploymentError, Kept
from portafaas.plan import BuildPlan, FunctionPlan, HttpTrigger, QueuePlan
from portafaas_aws.infrastructure import emit


def codes(error: DeploymentError) -> list[str]:
    return [diagnostic.code for diagnostic in error.diagnostics]


@pytest.fixture
def small(stack: BuildPlan) -> BuildPlan:
    """A service with one function of each kind that matters here, and all that keeps data."""
    wanted = ("create", "files", "url", "work", "store")
    functions = tuple(f for f in stack.functions if f.name in wanted)
    return replace(stack, functions=functions)


def test_a_first_deployment(cloud: Any, kit: Any, stack: BuildPlan, tmp_path: Path) -> None:
    engine = cloud.engine(stack)
    who = engine.caller()
    assert who.place == f"account {kit.ACCOUNT}, region {kit.REGION}"
    assert who.name.startswith("arn:aws:")
    assert engine.status().health == "absent"
    release = kit.release(stack, tmp_path)

    preview = engine.preview(release)
    (document,) = release.documents.values()
    assert preview.first
    assert [c.resource for c in preview.changes] == sorted(document["Resources"])
    assert {c.action for c in preview.changes} == {"add"}
    guarded = {c.type for c in preview.changes if c.security}
    assert guarded == {
        "AWS::IAM::Role", "AWS::Lambda::Permission", "AWS::Lambda::Url", "AWS::SQS::QueuePolicy",
        "AWS::ApiGatewayV2::Route",
    }  # fmt: skip
    # Looking leaves nothing behind, not even a stack in REVIEW_IN_PROGRESS.
    assert cloud.client("cloudformation").describe_stacks()["Stacks"] == []
    assert cloud.client("s3").list_buckets()["Buckets"] == []

    deployed = kit.Deployed(engine)
    status = deployed.deploy(release)
    assert (status.health, status.state) == ("ready", "CREATE_COMPLETE")
    assert status.package == release.package_digest
    assert {name for name, _, _ in status.resources} == set(document["Resources"])
    assert status.outputs["create"].startswith("https://") or status.outputs["create"].startswith("http://")
    assert status.outputs["create"].endswith("/orders")
    assert status.outputs["url"].endswith("/u/{name}")
    assert set(status.outputs) == {"create", "files", "root", "signed", "url", "inner"}
    done = [p.resource for p in deployed.progress if p.state == "CREATE_COMPLETE"]
    assert sorted(done) == sorted([*document["Resources"], "shop-dev"])

    found = cloud.client("lambda").get_function_configuration(FunctionName="shop-dev-create")
    variables = found["Environment"]["Variables"]
    assert variables["PORTAFAAS_HTTP_KEYS"] == kit.KEYS["PORTAFAAS_HTTP_KEYS"]
    (described,) = cloud.client("cloudformation").describe_stacks(StackName="shop-dev")["Stacks"]
    tags = {tag["Key"]: tag["Value"] for tag in described["Tags"]}
    assert tags == {"managed-by": "portafaas", "service": "shop", "stage": "dev"}

    # The same again is nothing.
    again = engine.preview(release)
    assert (again.changes, again.first) == ((), False)
    assert engine.apply(release, again, deployed.progress.append).health == "ready"
    sets = cloud.client("cloudformation").list_change_sets(StackName="shop-dev")["Summaries"]
    assert sets == []


def test_a_change_and_the_way_back(cloud: Any, kit: Any, small: BuildPlan, tmp_path: Path) -> None:
    engine = cloud.engine(small)
    deployed = kit.Deployed(engine)
    first = kit.release(small, tmp_path)
    deployed.deploy(first)
    name = cloud.client("lambda").get_function_configuration
    before = name(FunctionName="shop-dev-create")["CodeSha256"]

    functions = (
        replace(small.function("create"), memory=512), *small.functions[1:-1],
        FunctionPlan("new", "m", "a", HttpTrigger(("GET",), "/new")),
    )  # fmt: skip
    later = replace(small, functions=functions, queues=(*small.queues[1:], QueuePlan("jobs", dead_letter=True, max_concurrency=5)))
    later = replace(later, queues=tuple(q for q in later.queues if q.name != "mails"))
    # Without the variable: the deployed digests stay.
    second = kit.release(later, tmp_path, "other", environ={})
    preview = engine.preview(second)
    by_name = {change.resource: change for change in preview.changes}
    assert by_name["CreateFunction"] == Change(
        "change", "CreateFunction", "AWS::Lambda::Function", "Code, MemorySize, Tags"
    )
    assert by_name["NewFunction"].action == "add"
    assert by_name["StoreFunction"].action == "remove"
    assert by_name["StoreRole"] == Change("remove", "StoreRole", "AWS::IAM::Role", "", True)
    assert by_name["MailsQueue"] == Change("keep", "MailsQueue", "AWS::SQS::Queue")
    assert list(by_name) == sorted(by_name)
    status = deployed.deploy(second)
    assert (status.health, status.state) == ("ready", "UPDATE_COMPLETE")
    assert status.package == second.package_digest
    changed = name(FunctionName="shop-dev-create")
    assert changed["MemorySize"] == 512 and changed["CodeSha256"] != before
    assert changed["Environment"]["Variables"]["PORTAFAAS_HTTP_KEYS"] == kit.KEYS["PORTAFAAS_HTTP_KEYS"]
    assert ("MailsQueue", "DELETE_SKIPPED") in [(p.resource, p.state) for p in deployed.progress]
    # Only this operation's events are told.
    assert "CREATE_COMPLETE" not in {p.state for p in deployed.progress if p.resource == "CreateRole"}

    # Back, as a record gives it: without the package; the queue is taken back into the stack.
    record = replace(first, package=None)
    preview = engine.preview(record)
    assert {c.resource for c in preview.changes if "taken back" in c.detail} == {
        "MailsQueue", "StoreFailedEvents", "StoreInbox",
    }  # fmt: skip
    status = engine.apply(record, preview, deployed.progress.append)
    assert (status.health, status.package) == ("ready", first.package_digest)
    assert name(FunctionName="shop-dev-create")["CodeSha256"] == before
    assert "MailsQueue" in {resource for resource, _, _ in status.resources}


def test_new_digests_of_keys_are_a_security_change(cloud: Any, kit: Any, small: BuildPlan, tmp_path: Path) -> None:
    engine = cloud.engine(small)
    kit.Deployed(engine).deploy(kit.release(small, tmp_path))
    digest = "7a" * 32
    preview = engine.preview(kit.release(small, tmp_path, environ={"PORTAFAAS_HTTP_KEYS": f"bob={digest}"}))
    (change,) = preview.changes
    assert change == Change("change", "CreateFunction", "AWS::Lambda::Function", "Environment", True)
    assert digest not in repr(preview)


def test_a_missing_digest(cloud: Any, kit: Any, small: BuildPlan, tmp_path: Path) -> None:
    with pytest.raises(DeploymentError) as caught:
        cloud.engine(small).preview(kit.release(small, tmp_path, environ={}))
    assert codes(caught.value) == ["PF8013"]
    assert "PORTAFAAS_HTTP_KEYS" in str(caught.value) and "sha256sum" in str(caught.value)


def test_the_parameters_are_those_the_template_declares(cloud: Any, kit: Any, small: BuildPlan, tmp_path: Path) -> None:
    """More parameters with defaults keep these."""
    (name, document), = emit(small).documents.items()
    document = json.loads(json.dumps(document))
    document["Parameters"]["Later"] = {"Type": "String", "Default": "x"}
    release = kit.release(small, tmp_path, documents={name: document})
    kit.Deployed(cloud.engine(small)).deploy(release)
    (stack,) = cloud.client("cloudformation").describe_stacks(StackName="shop-dev")["Stacks"]
    values = {p["ParameterKey"]: p["ParameterValue"] for p in stack["Parameters"]}
    assert values == {
        "CodeBucket": kit.STORE, "CodeKey": release.package_key, "Later": "x",
        "CodeDigest": release.package_digest.removeprefix("sha256:"), "PortafaasHttpKeys": "****",
    }  # fmt: skip


def test_destroy_keeps_data_and_deploy_takes_it_back(cloud: Any, kit: Any, small: BuildPlan, tmp_path: Path) -> None:
    engine = cloud.engine(small)
    deployed = kit.Deployed(engine)
    release = kit.release(small, tmp_path)
    deployed.deploy(release)
    bucket = f"shop-dev-uploads-{kit.ACCOUNT}-{kit.REGION}"
    cloud.client("s3").put_object(Bucket=bucket, Key="in/a.csv", Body=b"1")
    sqs = cloud.client("sqs")
    # Nobody consumes this one; moto hands a consumer its messages at once.
    url = sqs.get_queue_url(QueueName="shop-dev-jobs-dead")["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="waits")
    engine.secrets().set("payment-key", b"s3cret")

    kept = engine.destroy(False, deployed.progress.append)
    assert engine.status().health == "absent"
    assert cloud.client("lambda").list_functions()["Functions"] == []
    assert Kept("shop-dev-orders", "AWS::DynamoDB::Table") in kept
    assert {k.type for k in kept} == {
        "AWS::DynamoDB::Table", "AWS::S3::Bucket", "AWS::SQS::Queue", "AWS::SecretsManager::Secret",
    }  # fmt: skip
    (document,) = release.documents.values()
    assert len(kept) == sum("DeletionPolicy" in r for r in document["Resources"].values())
    with pytest.raises(DeploymentError) as caught:
        engine.destroy(False, deployed.progress.append)
    assert codes(caught.value) == ["PF8010"]

    preview = engine.preview(release)
    back = {c.resource for c in preview.changes if c.action == "change"}
    assert back == {n for n, r in document["Resources"].items() if "DeletionPolicy" in r}
    status = engine.apply(release, preview, deployed.progress.append)
    assert (status.health, status.state) == ("ready", "UPDATE_COMPLETE")
    assert {name for name, _, _ in status.resources} == set(document["Resources"])
    (message,) = sqs.receive_message(QueueUrl=url)["Messages"]
    assert message["Body"] == "waits"
    assert cloud.client("s3").get_object(Bucket=bucket, Key="in/a.csv")["Body"].read() == b"1"
    notified = cloud.client("s3").get_bucket_notification_configuration(Bucket=bucket)
    assert notified["QueueConfigurations"]
    value = cloud.client("secretsmanager").get_secret_value(SecretId="shop-dev-payment-key")
    assert value["SecretString"] == "s3cret"


def test_destroy_with_data_leaves_nothing(cloud: Any, kit: Any, small: BuildPlan, tmp_path: Path) -> None:
    engine = cloud.engine(small)
    deployed = kit.Deployed(engine)
    deployed.deploy(kit.release(small, tmp_path))
    # An earlier release had a queue that this one has not.
    fewer = replace(small, queues=tuple(q for q in small.queues if q.name != "mails"))
    deployed.deploy(kit.release(fewer, tmp_path, "x"))
    engine.secrets().set("payment-key", b"s3cret")
    s3, bucket = cloud.client("s3"), f"shop-dev-uploads-{kit.ACCOUNT}-{kit.REGION}"
    for body in (b"1", b"2"):
        s3.put_object(Bucket=bucket, Key="in/a.csv", Body=body)
    s3.delete_object(Bucket=bucket, Key="in/a.csv")
    # Another stage and somebody else's things stay.
    other = replace(small, stage="")
    kit.Deployed(cloud.engine(other)).deploy(kit.release(other, tmp_path))
    cloud.client("sqs").create_queue(QueueName="shop-dev-other")
    before = set(cloud.client("sqs").list_queues()["QueueUrls"])

    assert engine.destroy(True, deployed.progress.append) == []
    assert engine.status().health == "absent"
    left = {url for url in cloud.client("sqs").list_queues()["QueueUrls"]}
    assert {u.rpartition("/")[2] for u in before - left} >= {"shop-dev-jobs", "shop-dev-mails", "shop-dev-jobs-dead"}
    assert {u.rpartition("/")[2] for u in left if "/shop-dev" in u} == {"shop-dev-other"}
    assert "shop-jobs" in {u.rpartition("/")[2] for u in left}
    assert cloud.client("dynamodb").list_tables()["TableNames"] == ["shop-orders"]
    secrets = cloud.client("secretsmanager").list_secrets(IncludePlannedDeletion=True)["SecretList"]
    assert [s["Name"] for s in secrets] == ["shop-payment-key"]
    buckets = {b["Name"] for b in s3.list_buckets()["Buckets"]}
    assert buckets == {kit.STORE, f"shop-uploads-{kit.ACCOUNT}-{kit.REGION}"}
    # The store stays, with the package in it.
    assert any(name.startswith("packages/shop/") for name in engine.blobs().names("packages/"))
    with pytest.raises(DeploymentError) as caught:
        engine.destroy(True, deployed.progress.append)
    assert codes(caught.value) == ["PF8010"]


def test_a_service_without_a_stage_is_not_all_its_stages(cloud: Any, small: BuildPlan) -> None:
    """The tags of the one are some of the other's."""
    whole, dev = cloud.engine(replace(small, stage="")), cloud.engine(small)
    for engine in (whole, dev):
        engine.secrets().set("payment-key", b"1")
    assert whole.destroy(True, print) == []
    found = cloud.client("secretsmanager").list_secrets()["SecretList"]
    assert [secret["Name"] for secret in found] == ["shop-dev-payment-key"]


def test_data_can_be_removed_later(cloud: Any, kit: Any, small: BuildPlan, tmp_path: Path) -> None:
    engine = cloud.engine(small)
    kit.Deployed(engine).deploy(kit.release(small, tmp_path))
    assert engine.destroy(False, print)
    assert engine.destroy(True, print) == []
    assert cloud.client("dynamodb").list_tables()["TableNames"] == []
    assert "QueueUrls" not in cloud.client("sqs").list_queues()


def test_nested_stacks(cloud: Any, kit: Any, small: BuildPlan, tmp_path: Path) -> None:
    """The root leads to its parts by a parameter; what is in them is seen as if it were in one."""
    def documents(retention: int) -> dict[str, Any]:
        group = {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": "shop-dev-x", "RetentionInDays": retention}}
        part = {"Parameters": {"Name": {"Type": "String"}}, "Resources": {"Group": group}}
        return {
            "shop.template.json": {
                "Parameters": {"TemplatesPrefix": {"Type": "String"}},
                "Resources": {
                    "Topic": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": "t"}},
                    "PartOne": {"Type": "AWS::CloudFormation::Stack", "Properties": {
                        "TemplateURL": {"Fn::Sub": "${TemplatesPrefix}/shop.one.template.json"},
                        "Parameters": {"Name": {"Fn::GetAtt": ["Topic", "TopicName"]}},
                    }},
                },
            },
            "shop.one.template.json": part,
        }  # fmt: skip

    plan = replace(small, functions=(), queues=(), buckets=(), tables=(), secrets=(), topics=())
    engine = cloud.engine(plan)
    deployed = kit.Deployed(engine)
    first = kit.release(plan, tmp_path, documents=documents(3))
    assert [c.resource for c in engine.preview(first).changes] == ["PartOne/Group", "Topic"]
    status = deployed.deploy(first)
    assert status.resources == (
        ("Topic", "AWS::SNS::Topic", "CREATE_COMPLETE"),
        ("PartOne/Group", "AWS::Logs::LogGroup", "CREATE_COMPLETE"),
    )
    assert ("PartOne/Group", "CREATE_COMPLETE") in [(p.resource, p.state) for p in deployed.progress]

    second = kit.release(plan, tmp_path, documents=documents(7))
    preview = engine.preview(second)
    assert preview.changes == (Change("change", "PartOne/Group", "AWS::Logs::LogGroup", "RetentionInDays"),)
    assert engine.apply(second, preview, deployed.progress.append).state == "UPDATE_COMPLETE"
    assert engine.preview(second).changes == ()

    cloud.tell(fail={"Group": "Invalid retention"})
    with pytest.raises(DeploymentError) as caught:
        deployed.deploy(kit.release(plan, tmp_path, documents=documents(8)))
    (found,) = caught.value.diagnostics
    assert found.message == "PartOne/Group (AWS::Logs::LogGroup): Invalid retention"
    cloud.tell(fail={})
    engine.destroy(False, deployed.progress.append)
    assert cloud.client("logs").describe_log_groups()["logGroups"] == []
