"""The service *notes* on the local AWS: what goes where, how often, and what becomes of failures."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.aws_cloud.cloud import ACCOUNT, REGION, Cloud

#: In Berlin.
SIX = "2026-11-23T05:00:00Z"
ARCHIVE = f"notes-archive-{ACCOUNT}-{REGION}"


def count(cloud: Cloud, id: str) -> dict[str, str]:
    key = {"id": {"S": id}}
    item = cloud.client("dynamodb").get_item(TableName="notes-counts", Key=key).get("Item", {})
    return {name: value["S"] for name, value in item.items()}


def events(cloud: Cloud, function: str) -> list[Any]:
    return [each["event"] for each in cloud.invocations if each["function"] == function]


def send(cloud: Cloud, queue: str, *bodies: Any, **more: Any) -> None:
    sqs = cloud.client("sqs")
    url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
    for start in range(0, len(bodies), 10):
        entries = [
            {
                "Id": str(number),
                "MessageBody": json.dumps(body),
                "MessageAttributes": {"from": {"DataType": "String", "StringValue": "test"}},
                **more,
            }
            for number, body in enumerate(bodies[start : start + 10])
        ]
        assert not sqs.send_message_batch(QueueUrl=url, Entries=entries).get("Failed")


def test_a_note_goes_all_the_way(cloud: Cloud) -> None:
    answer = cloud.request("POST", "/notes", {"id": "n1", "text": "hello"})
    assert (answer.status, answer.headers["location"]) == (201, "/notes/n1")
    cloud.idle()
    shown = cloud.request("GET", "/notes/n1")
    assert shown.json() == {"id": "n1", "text": "hello", "stamp": "sealed"}
    assert cloud.request("GET", "/files/filed/n1.txt").body == b"hello n1"
    assert count(cloud, "note-n1") == {"id": "note-n1", "text": "hello"}
    assert count(cloud, "created-filed/n1.txt")["size"] == "8"
    assert {each["function"] for each in cloud.invocations} == {
        f"notes-{name}" for name in ("take", "show", "files", "sort", "file", "watch", "stored")
    }
    # Each function has an identity of its own, and says what it is told.
    (made,) = [c for c in cloud.calls["notes-sort"] if c.operation == "SendMessage"]
    assert (made.service, made.status) == ("sqs", 200)
    assert made.input["QueueUrl"].endswith("/notes-filing")
    group = cloud.client("logs").filter_log_events(logGroupName="/aws/lambda/notes-take")
    assert group["events"]


def test_a_filter_holds_messages_back(cloud: Cloud) -> None:
    cloud.request("POST", "/notes", {"id": "n2", "text": "x", "type": "note.other"})
    cloud.idle()
    assert not events(cloud, "notes-sort") and not events(cloud, "notes-file")
    assert count(cloud, "note-n2")["text"] == "x"


def test_what_fails_alone_is_repeated_alone_and_ends_as_a_dead_letter(cloud: Cloud) -> None:
    notes = [{"id": f"batch-{i}", "text": "poison" if i == 3 else f"t{i}"} for i in range(12)]
    send(cloud, "notes-filing", *notes)
    cloud.idle()
    batches = events(cloud, "notes-file")
    assert max(len(batch["Records"]) for batch in batches) == 5
    tries: dict[str, list[str]] = {}
    for batch in batches:
        for record in batch["Records"]:
            attempt = record["attributes"]["ApproximateReceiveCount"]
            tries.setdefault(json.loads(record["body"])["id"], []).append(attempt)
    assert tries.pop("batch-3") == ["1", "2", "3"]
    assert set(map(tuple, tries.values())) == {("1",)} and len(tries) == 11
    assert [json.loads(m) for m in cloud.messages("notes-filing-dead")] == [notes[3]]
    found = cloud.client("s3").list_objects_v2(Bucket=ARCHIVE, Prefix="filed/batch-")["Contents"]
    assert len(found) == 11


def test_a_window_waits_for_more(cloud: Cloud) -> None:
    send(cloud, "notes-filing", {"id": "warm", "text": "t"})
    cloud.idle()
    cloud.forget()
    send(cloud, "notes-filing", {"id": "alone", "text": "t"})
    cloud.idle()
    (made,) = [each for each in cloud.invocations if each["function"] == "notes-file"]
    sent = int(made["event"]["Records"][0]["attributes"]["SentTimestamp"]) / 1000
    assert made["time"] - sent >= 0.3


def test_groups_are_delivered_in_order_over_a_failure(cloud: Cloud) -> None:
    cloud.request("POST", "/notes", {"id": "ordered", "text": "steps", "type": "note.other"})
    cloud.idle()
    # A step that overtook another would have ended as a dead letter.
    assert cloud.messages("notes-steps-dead.fifo") == []
    for group in ("a-ordered", "b-ordered"):
        assert count(cloud, f"steps-{group}")["count"] == "6"


def test_idle_waits_for_delayed_messages(cloud: Cloud) -> None:
    begin = time.monotonic()
    send(cloud, "notes-filing", {"id": "later", "text": "t"}, DelaySeconds=1)
    with pytest.raises(TimeoutError, match="1 messages in notes-filing"):
        cloud.idle(0.3)
    cloud.idle()
    assert time.monotonic() - begin >= 1
    assert count(cloud, "created-filed/later.txt")


def test_a_change_is_tried_again_then_buried_and_the_next_one_follows(cloud: Cloud) -> None:
    for id, text in (("c1", "unwatched"), ("c2", "watched")):
        cloud.request("POST", "/notes", {"id": id, "text": text, "type": "note.other"})
    # An update is not asked for; neither is a write that changes nothing told of.
    cloud.request("POST", "/notes", {"id": "c2", "text": "changed", "type": "note.other"})
    cloud.idle()
    # Within one invocation each: the stream does not count, and the shard waits.
    seen = [e["Records"][0] for e in events(cloud, "notes-watch")]
    assert [s["dynamodb"]["Keys"]["id"]["S"] for s in seen] == ["c1", "c2"]
    (tried, _) = [each["log"] for each in cloud.invocations if each["function"] == "notes-watch"]
    assert tried.count("handler failed: ValueError('not this one')") == 3
    assert count(cloud, "note-c2")["text"] == "watched" and not count(cloud, "note-c1")
    (letter,) = [json.loads(m) for m in cloud.messages("notes-watch-failed")]
    assert letter == seen[0], "the change itself, not where it is"


def test_a_change_that_crashes_the_function_is_reported(cloud: Cloud) -> None:
    cloud.request("POST", "/notes", {"id": "c3", "text": "crash", "type": "note.other"})
    cloud.request("POST", "/notes", {"id": "c4", "text": "watched", "type": "note.other"})
    cloud.idle()
    seen = [e["Records"][0]["dynamodb"] for e in events(cloud, "notes-watch")]
    assert [s["Keys"]["id"]["S"] for s in seen] == ["c3", "c3", "c3", "c4"]
    (report,) = [json.loads(m) for m in cloud.messages("notes-watch-failed")]
    assert report["requestContext"]["condition"] == "RetryAttemptsExhausted"
    info = report["DDBStreamBatchInfo"]
    assert info["startSequenceNumber"] == seen[0]["SequenceNumber"]
    assert info["streamArn"].startswith(f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/notes-notes/")


def test_objects_are_told_of_and_failures_reported(cloud: Cloud) -> None:
    s3 = cloud.client("s3")
    for key in ("filed/a b+ü.txt", "filed/other.csv", "elsewhere/a.txt", "filed/refused.txt"):
        s3.put_object(Bucket=ARCHIVE, Key=key, Body=b"123")
    s3.delete_object(Bucket=ARCHIVE, Key="filed/a b+ü.txt")
    cloud.idle()
    assert count(cloud, "created-filed/a b+ü.txt")["size"] == "3"
    assert count(cloud, "deleted-filed/a b+ü.txt")
    records = [e["Records"][0] for e in events(cloud, "notes-stored")]
    keys = [json.loads(r["body"])["Records"][0]["s3"]["object"]["key"] for r in records]
    assert sorted(keys) == ["filed/a+b%2B%C3%BC.txt"] * 2 + ["filed/refused.txt"] * 5
    refused = [r for r, key in zip(records, keys, strict=True) if "refused" in key]
    counts = [r["attributes"]["ApproximateReceiveCount"] for r in refused]
    assert counts == ["1", "2", "3", "4", "5"]
    asked = [c.input["delays"] for c in cloud.calls["notes-stored"] if "Visibility" in c.operation]
    # 1, 2, 4, 8 s, and half of that at least: whole seconds, never earlier.
    (low, high) = ([1, 1, 2, 4], [1, 2, 4, 8])
    assert [low[i] <= delay <= high[i] for i, (delay,) in enumerate(asked)] == [True] * 4
    (letter,) = [json.loads(m) for m in cloud.messages("notes-stored-failed")]
    assert letter["Records"][0]["s3"]["object"]["key"] == "filed/refused.txt"


def test_a_schedule_fires(cloud: Cloud) -> None:
    cloud.fire("notes-tick", SIX)
    cloud.idle()
    assert count(cloud, "tick")["time"] == "2026-11-23T05:00:00.000Z"
    (made,) = cloud.calls["schedule:notes-tick"]
    assert (made.operation, made.status) == ("SendMessage", 200)


def test_a_function_can_be_invoked_through_its_api(cloud: Cloud) -> None:
    awslambda = cloud.client("lambda")
    event = {"time": "2026-01-01T05:00:00Z", "id": "i", "attempt": "1", "schedule": "s"}
    answer = awslambda.invoke(FunctionName="notes-tick", Payload=json.dumps(event))
    assert "FunctionError" not in answer
    assert count(cloud, "tick")["time"] == "2026-01-01T05:00:00.000Z"
    answer = awslambda.invoke(FunctionName="notes-watch", Payload=b"{}")
    assert answer["FunctionError"] == "Unhandled"
    assert json.loads(answer["Payload"].read())["errorType"] == "ValueError"


def test_changed_settings_are_those_of_the_next_invocation(cloud: Cloud) -> None:
    function = "notes-tick"
    awslambda = cloud.client("lambda")
    before = awslambda.get_function_configuration(FunctionName=function)["Environment"]["Variables"]
    awslambda.update_function_configuration(
        FunctionName=function,
        Environment={"Variables": {**before, "PORTAFAAS_TABLE_COUNTS": "no-such-table"}},
    )
    cloud.fire(function, SIX)
    cloud.idle()
    tried = [each for each in cloud.invocations if each["function"] == function]
    assert [bool(each["value"]["batchItemFailures"]) for each in tried] == [True] * 4 + [False]
    # A role is refused before it is told that there is no such table.
    assert "AccessDenied" in tried[0]["log"]
    assert [json.loads(m)["time"] for m in cloud.messages("notes-tick-failed")] == [SIX]
    awslambda.update_function_configuration(
        FunctionName=function, Environment={"Variables": before}
    )
    cloud.fire(function, SIX)
    cloud.idle()
    assert cloud.invocations[-1]["value"] == {"batchItemFailures": []}


def test_a_topic_that_the_queue_does_not_admit_sends_nothing(cloud: Cloud) -> None:
    sqs = cloud.client("sqs")
    url = sqs.get_queue_url(QueueName="notes-news-sort")["QueueUrl"]
    policy = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])["Attributes"]
    other = {"Policy": policy["Policy"].replace(':notes-news"', ':notes-other"')}
    assert other != policy
    sqs.set_queue_attributes(QueueUrl=url, Attributes=other)
    cloud.request("POST", "/notes", {"id": "n3", "text": "x"})
    cloud.idle()
    sqs.set_queue_attributes(QueueUrl=url, Attributes=policy)
    assert not events(cloud, "notes-sort")
    cloud.request("POST", "/notes", {"id": "n4", "text": "x"})
    cloud.idle()
    assert len(events(cloud, "notes-sort")) == 1
