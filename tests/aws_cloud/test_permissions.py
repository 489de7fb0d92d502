"""What the functions' roles allow, and what their calls need: the one covers the other."""

from __future__ import annotations

import botocore.session
import pytest

from tests.aws_cloud.cloud import ACCOUNT, REGION, Cloud
from tests.aws_cloud.permissions import OPERATIONS, Call, Grant, Policy, used_permissions
from tests.aws_cloud.test_cloud import send


def test_every_operation_of_the_table_is_botocores() -> None:
    session = botocore.session.get_session()
    for service, operation in OPERATIONS:
        # IAM's word for Step Functions.
        name = {"states": "stepfunctions"}.get(service, service)
        assert operation in session.get_service_model(name).operation_names


def call(service: str, operation: str, status: int = 200, **facts: object) -> Call:
    return Call("f", service, operation, "eu-central-1", facts, status)


def test_calls_need_what_the_service_authorization_reference_says() -> None:
    made = {
        "f": [
            call("sqs", "SendMessageBatch", QueueUrl="http://h/123456789012/jobs"),
            call("dynamodb", "Query", TableName="t", IndexName="i"),
            call("dynamodb", "BatchWriteItem", RequestItems=["a", "b"]),
            call("dynamodb", "TransactWriteItems", TransactItems=[["Put", "c"], ["Update", "d"]]),
            call("s3", "UploadPart", Bucket="b", Key="x/y"),
            call("s3", "GetObject", 404, Bucket="b", Key="x"),
        ]
    }
    prefix = "arn:aws:dynamodb:eu-central-1:123456789012:table"
    assert used_permissions(made) == {
        "f": {
            ("sqs:SendMessage", "arn:aws:sqs:eu-central-1:123456789012:jobs"),
            ("dynamodb:Query", f"{prefix}/t/index/i"),
            ("dynamodb:BatchWriteItem", f"{prefix}/a"),
            ("dynamodb:BatchWriteItem", f"{prefix}/b"),
            ("dynamodb:PutItem", f"{prefix}/c"),
            ("dynamodb:UpdateItem", f"{prefix}/d"),
            ("s3:PutObject", "arn:aws:s3:::b/x/y"),
            ("s3:GetObject", "arn:aws:s3:::b/x"),
            ("s3:ListBucket", "arn:aws:s3:::b"),
        }
    }
    with pytest.raises(KeyError):
        used_permissions({"f": [call("s3", "PutBucketPolicy", Bucket="b", Key="")]})


def test_policies_are_read_as_iam_reads_them() -> None:
    policy = Policy(
        [
            {
                "Statement": [
                    {"Effect": "Allow", "Action": ["s3:Get*", "s3:PutObject"], "Resource": "arn:aws:s3:::b/*"},
                    {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": ["arn:q?", "arn:r"]},
                ]
            },
            {"Statement": {"Effect": "Deny", "Action": "*", "Resource": "arn:aws:s3:::b/secret/*"}},
        ]
    )
    assert policy.allows(("s3:GetObject", "arn:aws:s3:::b/a/b"))
    assert policy.allows(("S3:putobject", "arn:aws:s3:::b/"))
    assert not policy.allows(("s3:GetObject", "arn:aws:s3:::b/secret/a"))
    assert not policy.allows(("s3:GetObject", "arn:aws:s3:::bb/a"))
    assert not policy.allows(("s3:DeleteObject", "arn:aws:s3:::b/a"))
    assert policy.allows(("sqs:SendMessage", "arn:q1")) and policy.allows(("sqs:SendMessage", "arn:r"))
    assert not policy.allows(("sqs:SendMessage", "arn:q")) and not policy.allows(("sqs:SendMessage", "arn:R"))
    assert policy.unused([("s3:GetObject", "arn:aws:s3:::b/a"), ("sqs:SendMessage", "arn:r")]) == [
        Grant("s3:PutObject", "arn:aws:s3:::b/*"), Grant("sqs:SendMessage", "arn:q?"),
    ]  # fmt: skip
    with pytest.raises(NotImplementedError, match="Condition"):
        Policy([{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {}}}])


#: What the roles allow and this service's handlers have no use for, by the verb that grants it.
SPARE = {
    "write table": {"dynamodb:BatchWriteItem", "dynamodb:DeleteItem", "dynamodb:UpdateItem"},
    "read table": {
        "dynamodb:BatchGetItem", "dynamodb:ConditionCheckItem", "dynamodb:Query", "dynamodb:Scan",
    },
    "write bucket": {"s3:AbortMultipartUpload", "s3:DeleteObject"},
    # Lambda's documentation asks for it; a poller that is given the stream has no use for it.
    "follow": {"dynamodb:ListStreams"},
}  # fmt: skip
EXPECTED = {
    "take": SPARE["write table"],
    "show": SPARE["read table"],
    "files": set(),
    "sort": set(),
    "file": SPARE["write bucket"],
    "count": SPARE["write table"],
    "watch": SPARE["write table"] | SPARE["follow"],
    "stored": SPARE["write table"],
    "tick": SPARE["write table"],
}


def test_roles_cover_what_is_used_and_little_more(cloud: Cloud) -> None:
    # Each function once with all it does, and with what Lambda does for it when it fails.
    cloud.request("POST", "/notes", {"id": "p1", "text": "steps"})
    cloud.request("POST", "/notes", {"id": "p2", "text": "unwatched"})
    s3 = cloud.client("s3")
    s3.put_object(Bucket=f"notes-archive-{ACCOUNT}-{REGION}", Key="filed/refused.txt", Body=b"")
    cloud.request("GET", "/notes/p1")
    assert cloud.request("GET", "/files/none").status == 404
    cloud.fire("notes-tick", "2026-11-23T05:00:00Z")
    cloud.fire("notes-tick", "2027-01-01T05:00:00Z")
    cloud.request("POST", "/notes", {"id": "p3", "text": "unsorted"})
    cloud.request("POST", "/notes", {"id": "p6", "text": "later"})
    send(cloud, "notes-filing", {"id": "p4", "text": "poison"})
    send(cloud, "notes-steps.fifo", {"step": 9}, MessageGroupId="late", MessageDeduplicationId="p5")
    cloud.idle()
    for queue in (
        "watch-failed", "stored-failed", "tick-failed", "news-sort-dead", "filing-dead",
        "steps-dead.fifo",
    ):  # fmt: skip
        assert len(cloud.messages(f"notes-{queue}")) == 1, queue
    # Other services may have come and gone.
    mine = {p: c for p, c in cloud.all_calls.items() if p.rpartition(":")[2].startswith("notes-")}
    used = used_permissions(mine)
    assert set(used) == {*(f"notes-{name}" for name in EXPECTED), "schedule:notes-tick"}
    unused = {}
    for principal, permissions in used.items():
        policy = cloud.policy(principal)
        # What tests had refused on purpose is not of the functions' doing.
        needed = {p for p in permissions if not p[1].endswith(("elsewhere", "/no-such-table"))}
        assert [p for p in needed if not policy.allows(p)] == []
        unused[principal] = {grant.action for grant in policy.unused(needed)}
    # Scheduler would send to the dead letters if the queue refused the event.
    assert unused.pop("schedule:notes-tick") == {"sqs:SendMessage"}
    assert unused == {f"notes-{name}": spare for name, spare in EXPECTED.items()}


def test_what_a_role_does_not_allow_is_refused(cloud: Cloud) -> None:
    import boto3

    from tests.aws_cloud.world import access_key

    def acting(service: str):
        return boto3.client(
            service, region_name=REGION, endpoint_url=cloud.endpoint,
            aws_access_key_id=access_key("notes-show"), aws_secret_access_key="x",
        )  # fmt: skip

    cloud.request("GET", "/notes/1")
    url = cloud.client("sqs").get_queue_url(QueueName="notes-filing")["QueueUrl"]
    refused = [
        lambda: acting("dynamodb").put_item(TableName="elsewhere", Item={"id": {"S": "1"}}),
        lambda: acting("sqs").send_message(QueueUrl=url.replace("notes-filing", "a/elsewhere"), MessageBody="x"),
        lambda: acting("s3").put_object(Bucket="b", Key="elsewhere", Body=b"1"),
        lambda: acting("sns").publish(TopicArn=f"arn:aws:sns:{REGION}:{ACCOUNT}:a/elsewhere", Message="m"),
        lambda: acting("secretsmanager").get_secret_value(SecretId="a/elsewhere"),
    ]
    for attempt in refused:
        with pytest.raises(Exception, match="not authorized to perform"):
            attempt()
    assert [c.status for c in cloud.calls["notes-show"] if c.status == 403] == [403] * 5
