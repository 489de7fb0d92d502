"""The store, secrets, logs and drift; and that the documented permissions suffice."""

from __future__ import annotations

import io
import json
import traceback
import zipfile
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from portafaas.deployment import DeploymentError, Drift
from portafaas.plan import BuildPlan, SecretPlan


@pytest.fixture
def tiny(stack: BuildPlan) -> BuildPlan:
    functions = (stack.function("work"), stack.function("create"))
    return replace(stack, functions=functions, topics=stack.topics[:1])


def refused(call: Any, *args: Any) -> DeploymentError:
    with pytest.raises(DeploymentError) as caught:
        call(*args)
    return caught.value


def code(error: DeploymentError) -> str:
    (only,) = {diagnostic.code for diagnostic in error.diagnostics}
    return only


def test_the_store_is_closed_and_keeps_what_it_is_given(cloud: Any, kit: Any, tiny: BuildPlan, tmp_path: Path) -> None:
    engine = cloud.engine(tiny)
    blobs = engine.blobs()
    assert (blobs.read("a"), list(blobs.names(""))) == (None, [])
    blobs.remove("a")
    blobs = engine.blobs(create=True)
    s3 = cloud.client("s3")
    closed = s3.get_public_access_block(Bucket=kit.STORE)["PublicAccessBlockConfiguration"]
    assert set(closed.values()) == {True} and len(closed) == 4
    rules = s3.get_bucket_encryption(Bucket=kit.STORE)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rules[0]["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    assert s3.get_bucket_versioning(Bucket=kit.STORE)["Status"] == "Enabled"
    rules = s3.get_bucket_ownership_controls(Bucket=kit.STORE)["OwnershipControls"]["Rules"]
    assert rules == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    policy = json.loads(s3.get_bucket_policy(Bucket=kit.STORE)["Policy"])
    (statement,) = policy["Statement"]
    assert (statement["Effect"], statement["Principal"]) == ("Deny", "*")
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert statement["Resource"] == [f"arn:aws:s3:::{kit.STORE}", f"arn:aws:s3:::{kit.STORE}/*"]

    blobs.write("records/a", b"1")
    file = tmp_path / "file"
    file.write_bytes(b"2" * 100_000)
    blobs.write("packages/b", file)
    blobs.write("records/a", b"3")
    assert blobs.read("records/a") == b"3"
    assert blobs.read("packages/b") == b"2" * 100_000
    assert blobs.names("") == ["packages/b", "records/a"] and blobs.names("rec") == ["records/a"]
    blobs.remove("records/a")
    blobs.remove("records/a")
    assert blobs.read("records/a") is None and blobs.names("") == ["packages/b"]


def test_a_store_whose_making_was_broken_off_is_finished(cloud: Any, kit: Any, tiny: BuildPlan) -> None:
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket=kit.STORE, CreateBucketConfiguration={"LocationConstraint": kit.REGION})
    cloud.engine(tiny).blobs(create=True)
    assert s3.get_public_access_block(Bucket=kit.STORE)["PublicAccessBlockConfiguration"]["BlockPublicPolicy"]
    assert s3.get_bucket_policy(Bucket=kit.STORE)["Policy"]


def test_secrets(cloud: Any, kit: Any, tiny: BuildPlan, tmp_path: Path) -> None:
    plan = replace(tiny, secrets=(SecretPlan("payment-key"), SecretPlan("mail-key")))
    engine = cloud.engine(plan)
    secrets = engine.secrets()
    assert [(s.name, s.physical, s.changed) for s in secrets.list()] == [
        ("payment-key", "shop-dev-payment-key", ""), ("mail-key", "shop-dev-mail-key", ""),
    ]  # fmt: skip
    error = refused(secrets.set, "payment-kye", b"hush")
    assert code(error) == "PF8011" and "payment-key" in str(error) and "hush" not in str(error)
    assert code(refused(secrets.remove, "mail-key")) == "PF8011"

    # Before there is a stack: the first deployment takes it in.
    secrets.set("payment-key", b"one")
    client = cloud.client("secretsmanager")
    assert client.get_secret_value(SecretId="shop-dev-payment-key")["SecretString"] == "one"
    (first, other) = secrets.list()
    assert first.changed.endswith("Z") and other.changed == ""
    kit.Deployed(engine).deploy(kit.release(plan, tmp_path))
    assert client.get_secret_value(SecretId="shop-dev-payment-key")["SecretString"] == "one"

    secrets.set("payment-key", b"two")
    assert client.get_secret_value(SecretId="shop-dev-payment-key")["SecretString"] == "two"
    secrets.set("mail-key", b"\xff\x00")
    assert client.get_secret_value(SecretId="shop-dev-mail-key")["SecretBinary"] == b"\xff\x00"

    # The stack's secret stays, under its ARN, without its value.
    arn = client.describe_secret(SecretId="shop-dev-payment-key")["ARN"]
    secrets.remove("payment-key")
    assert client.describe_secret(SecretId="shop-dev-payment-key")["ARN"] == arn
    assert client.get_secret_value(SecretId="shop-dev-payment-key")["SecretString"] != "two"
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.get_secret_value(SecretId="shop-dev-payment-key", VersionStage="AWSPREVIOUS")
    assert secrets.list()[0].changed == ""
    secrets.set("payment-key", b"three")
    assert secrets.list()[0].changed

    # One that no stack has goes.
    engine.destroy(False, print)
    secrets.remove("mail-key")
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.describe_secret(SecretId="shop-dev-mail-key")
    client.create_secret(Name="shop-dev-mail-key", SecretString="theirs")
    for call in (lambda: secrets.set("mail-key", b"hush"), lambda: secrets.remove("mail-key")):
        assert code(refused(call)) == "PF8008"
    assert client.get_secret_value(SecretId="shop-dev-mail-key")["SecretString"] == "theirs"


def test_a_secret_that_waits_for_its_removal_comes_back(cloud: Any, kit: Any, tiny: BuildPlan, tmp_path: Path) -> None:
    secrets = cloud.engine(tiny).secrets()
    secrets.set("payment-key", b"one")
    client = cloud.client("secretsmanager")
    client.delete_secret(SecretId="shop-dev-payment-key", RecoveryWindowInDays=7)
    assert secrets.list()[0].changed == ""
    error = refused(cloud.engine(tiny).preview, kit.release(tiny, tmp_path))
    assert code(error) == "PF8008" and "aws secretsmanager restore-secret" in str(error)
    secrets.set("payment-key", b"two")
    assert client.get_secret_value(SecretId="shop-dev-payment-key")["SecretString"] == "two"


def test_a_secret_that_is_refused_is_not_shown(cloud: Any, tiny: BuildPlan) -> None:
    cloud.tell(fault={"CreateSecret": ["InvalidRequestException", "the value hush-hush is too plain", 400]})
    error = refused(cloud.engine(tiny).secrets().set, "payment-key", b"hush-hush")
    assert code(error) == "PF8007"
    assert "hush" not in "".join(traceback.format_exception(error))


@pytest.fixture
def written(cloud: Any, kit: Any, tiny: BuildPlan, tmp_path: Path) -> Any:
    """An engine with two functions that have written, in turn."""
    engine = cloud.engine(tiny)
    client = cloud.client("logs")
    for name in ("work", "create"):
        group = f"/aws/lambda/shop-dev-{name}"
        client.create_log_group(logGroupName=group)
        for stream in ("a", "b"):
            client.create_log_stream(logGroupName=group, logStreamName=stream)
    write(cloud, "work", "a", (1000, "w1\n"), (4000, "w4\n"))
    write(cloud, "work", "b", (2000, "w2\n"))
    write(cloud, "create", "a", (3000, "c3\n"))
    return engine


#: Moments are written as seconds after this.
EPOCH = 1_795_000_000_000


def write(cloud: Any, name: str, stream: str, *lines: tuple[int, str]) -> None:
    cloud.client("logs").put_log_events(
        logGroupName=f"/aws/lambda/shop-dev-{name}", logStreamName=stream,
        logEvents=[{"timestamp": EPOCH + at, "message": text} for at, text in lines],
    )  # fmt: skip


def test_logs_in_the_order_of_time(cloud: Any, written: Any) -> None:
    lines = list(written.logs(["work", "create"], EPOCH / 1000, False))
    assert [(line.function, line.text) for line in lines] == [
        ("work", "w1"), ("work", "w2"), ("create", "c3"), ("work", "w4"),
    ]  # fmt: skip
    assert lines[0].time == "2026-11-18T11:06:41.000Z"
    assert [line.text for line in written.logs(["work"], EPOCH / 1000 + 1.5, False)] == ["w2", "w4"]


def test_many_lines_come_in_pages(cloud: Any, written: Any) -> None:
    many = [(10_000 + n, f"n{n}") for n in range(300)]
    for start in (0, 100, 200):
        write(cloud, "work", "a", *many[start : start + 100])
    client = written.cloud.client("logs")
    client.meta.events.register(
        "provide-client-params.logs.FilterLogEvents",
        lambda params, **_: {**params, "limit": params.get("limit", 50)},
    )
    lines = list(written.logs(["work"], EPOCH / 1000 + 9, False))
    assert [line.text for line in lines] == [text for _, text in many]


def test_following_tells_each_line_once_and_late_ones_too(cloud: Any, written: Any) -> None:
    lines = written.logs(["work", "create"], EPOCH / 1000, True)
    assert [line.text for line in islice(lines, 4)] == ["w1", "w2", "c3", "w4"]
    # Another instance's line, older than the youngest, arrives later.
    write(cloud, "create", "b", (3500, "late"))
    write(cloud, "work", "b", (5000, "w5"))
    assert [line.text for line in islice(lines, 2)] == ["late", "w5"]
    write(cloud, "work", "b", (6000, "w6"))
    assert next(lines).text == "w6"
    lines.close()


def test_drift(cloud: Any, kit: Any, tiny: BuildPlan, tmp_path: Path) -> None:
    engine = cloud.engine(tiny)
    release = kit.release(tiny, tmp_path)
    kit.Deployed(engine).deploy(release)
    assert engine.drift() == []
    awslambda = cloud.client("lambda")
    awslambda.update_function_configuration(
        FunctionName="shop-dev-create", MemorySize=1024,
        Environment={"Variables": {"PORTAFAAS_HTTP_KEYS": "mallory=" + "66" * 32}},
    )  # fmt: skip
    other = io.BytesIO()
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("_portafaas.py", "evil")
    awslambda.update_function_code(FunctionName="shop-dev-create", ZipFile=other.getvalue())
    sqs = cloud.client("sqs")
    url = sqs.get_queue_url(QueueName="shop-dev-mails")["QueueUrl"]
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"MessageRetentionPeriod": "60"})
    cloud.client("dynamodb").delete_table(TableName="shop-dev-orders")
    awslambda.delete_function(FunctionName="shop-dev-work")
    found = {drift.resource: drift for drift in engine.drift()}
    assert sorted(found) == ["CreateFunction", "MailsQueue", "OrdersTable", "WorkFunction"]
    assert found["OrdersTable"] == Drift("OrdersTable", "AWS::DynamoDB::Table", "removed")
    assert found["WorkFunction"].kind == "removed"
    assert found["MailsQueue"].detail == ("/MessageRetentionPeriod: expected 345600, found 60",)
    function = found["CreateFunction"]
    assert "/MemorySize: expected 256, found 1024" in function.detail
    assert "/Environment/Variables/PORTAFAAS_HTTP_KEYS" in function.detail
    assert any(line.startswith("Code: expected ") for line in function.detail)
    assert "66" * 8 not in repr(found) and "5e" * 8 not in repr(found)


def _dead_letters(cloud: Any, engine: Any) -> None:
    """Move a message, and a change of which only the place in its stream is kept."""
    sqs, streams = cloud.client("sqs"), cloud.client("dynamodbstreams")
    item = {"id": {"S": "1"}, "created": {"S": "2"}}
    cloud.client("dynamodb").put_item(TableName="shop-dev-orders", Item=item)
    (stream,) = streams.list_streams(TableName="shop-dev-orders")["Streams"]
    (shard,) = streams.describe_stream(StreamArn=stream["StreamArn"])["StreamDescription"]["Shards"]
    where = {"streamArn": stream["StreamArn"], "shardId": shard["ShardId"]}
    start = streams.get_shard_iterator(
        StreamArn=where["streamArn"], ShardId=where["shardId"], ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    (record,) = streams.get_records(ShardIterator=start)["Records"]
    where["startSequenceNumber"] = record["dynamodb"]["SequenceNumber"]
    for queue, body in (("jobs-dead", "x"), ("rows-failed", json.dumps({"DDBStreamBatchInfo": where}))):
        url = sqs.get_queue_url(QueueName=f"shop-dev-{queue}")["QueueUrl"]
        sqs.send_message(QueueUrl=url, MessageBody=body)
    letters = engine.dead_letters()
    assert {box.name: box.count for box in letters.boxes()}["jobs"] == 1
    (letter,) = letters.list("rows", 10)
    assert b'"created"' in letter.body
    assert letters.redrive("jobs", None).moved == letters.redrive("rows", None).moved == 1


def test_the_documented_permissions_are_no_more_than_is_called(cloud: Any, kit: Any, stack: BuildPlan, tmp_path: Path) -> None:
    """In one life of a service every action is needed; that none lacks, each test sees."""
    engine = cloud.engine(stack)
    cloud.calls.clear()
    engine.caller()
    deployed = kit.Deployed(engine)
    secrets = engine.secrets()
    secrets.set("payment-key", b"1")
    cloud.client("secretsmanager").delete_secret(SecretId="shop-dev-payment-key")
    secrets.set("payment-key", b"2")
    deployed.deploy(kit.release(stack, tmp_path))
    deployed.deploy(kit.release(stack, tmp_path, "x"))
    secrets.remove("payment-key")
    engine.status()
    engine.drift()
    list(engine.logs(["work"], 0, False))
    blobs = engine.blobs()
    blobs.read("x")
    blobs.remove("x")
    blobs.names("")
    _dead_letters(cloud, engine)
    bucket = f"shop-dev-uploads-{kit.ACCOUNT}-{kit.REGION}"
    cloud.client("s3").put_object(Bucket=bucket, Key="in/a.csv", Body=b"1")
    # A preview that nobody applied, and one that is refused.
    engine.preview(kit.release(stack, tmp_path, "xx"))
    engine.preview(kit.release(stack, tmp_path, "xxx"))
    (name, document), = kit.release(stack, tmp_path).documents.items()
    more = {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "taken"}}
    cloud.client("sqs").create_queue(QueueName="taken")
    refused(engine.preview, kit.release(stack, tmp_path, "y", documents={name: {**document, "Resources": {**document["Resources"], "More": more}}}))
    engine.destroy(False, print)
    deployed.deploy(kit.release(stack, tmp_path))
    assert engine.destroy(True, print) == []
    # For the tags of a secret that is made: https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_CreateSecret.html
    # What workflows need is in tests/workflows/test_aws.py.
    unused = {one for one in set(kit.policy()) - cloud.actions() if not one.startswith("states:")}
    assert unused == {"secretsmanager:TagResource"}
    assert cloud.actions() <= set(kit.policy())
