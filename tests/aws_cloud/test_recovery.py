"""Failures on the local AWS from end to end: delays, dead letters, and their way back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from portafaas.deployment.dead_letters import DeadLetters
from portafaas.manifest.load import load_manifest
from portafaas.plan.build import build_plan
from portafaas_aws.adapter import ADAPTER
from tests.aws_cloud.cloud import Cloud
from tests.aws_cloud.conftest import PROJECT
from tests.aws_cloud.test_cloud import count, events, send


@pytest.fixture
def letters(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> DeadLetters:
    for name, value in cloud.environment.items():
        monkeypatch.setenv(name, value)
    plan = build_plan(load_manifest(PROJECT / "portafaas.yaml"), "aws")
    engine: Any = ADAPTER.engine(plan)
    engine.poll = 0.0
    found: DeadLetters = engine.dead_letters()
    for box in found.boxes():
        found.purge(box.name, None)
    return found


@contextmanager
def mended(cloud: Cloud, *functions: str) -> Iterator[None]:
    """Have the functions do what they have failed at."""
    awslambda = cloud.client("lambda")
    before = {}
    for name in functions:
        facts = awslambda.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
        before[name] = facts
        awslambda.update_function_configuration(
            FunctionName=name, Environment={"Variables": {**facts, "MENDED": "1"}}
        )
    try:
        yield
    finally:
        for name, facts in before.items():
            awslambda.update_function_configuration(
                FunctionName=name, Environment={"Variables": facts}
            )


def delays(cloud: Cloud, function: str) -> list[int]:
    return [
        delay
        for call in cloud.calls[function]
        if call.operation == "ChangeMessageVisibilityBatch"
        for delay in call.input["delays"]
    ]


def test_a_message_from_its_failure_to_its_redrive(cloud: Cloud, letters: DeadLetters) -> None:
    send(cloud, "notes-filing", {"id": "r1", "text": "poison"})
    cloud.idle()
    first, second = delays(cloud, "notes-file")
    assert first == 1 and 1 <= second <= 2
    (letter,) = letters.list("filing", 10)
    record = events(cloud, "notes-file")[0]["Records"][0]
    assert (letter.id, letter.body.decode()) == (record["messageId"], record["body"])
    assert (letter.reason, letter.attempts, letter.function) == ("attempts", 3, "file")
    assert letter.error == "ValueError: cannot file that" and letter.attributes == {"from": "test"}
    (told,) = [json.loads(line) for line in _log(cloud).splitlines() if "dead letter after" in line]
    assert told["message_id"] == letter.id and told["trace_id"] in letter.trace
    with mended(cloud, "notes-file"):
        assert letters.redrive("filing", None).moved == 1
        cloud.idle()
    again = events(cloud, "notes-file")[-1]["Records"][0]
    assert again["attributes"]["ApproximateReceiveCount"] == "1"
    assert set(again["messageAttributes"]) == {"from", "pf-id"}
    assert again["messageAttributes"]["pf-id"]["stringValue"] == letter.id
    assert letters.list("filing", 10) == []
    assert cloud.request("GET", "/files/filed/r1.txt").body == b"poison test"


def _log(cloud: Cloud) -> str:
    return "\n".join(each["log"] for each in cloud.invocations)


def test_a_crash_is_a_letter_of_the_platform(cloud: Cloud, letters: DeadLetters) -> None:
    send(cloud, "notes-filing", {"id": "r2", "text": "crash"})
    cloud.idle()
    tried = [each for each in cloud.invocations if each["function"] == "notes-file"]
    assert [each["ok"] for each in tried] == [False] * 3
    (letter,) = letters.list("filing", 10)
    assert (letter.reason, letter.attempts, letter.function) == ("platform", 3, "file")
    assert json.loads(letter.body) == {"id": "r2", "text": "crash"}
    with mended(cloud, "notes-file"):
        assert letters.redrive("filing", [letter.id]).moved == 1
        cloud.idle()
    assert cloud.request("GET", "/files/filed/r2.txt").body == b"crash test"


def test_an_event_goes_back_to_the_function_that_failed(cloud: Cloud, letters: DeadLetters) -> None:
    cloud.request("POST", "/notes", {"id": "r3", "text": "unsorted"})
    cloud.idle()
    (letter,) = letters.list("sort", 10)
    # Permanent: at once.
    assert (letter.id, letter.reason, letter.attempts) == ("r3", "permanent", 1)
    assert json.loads(letter.body)["text"] == "unsorted"
    cloud.forget()
    with mended(cloud, "notes-sort"):
        assert letters.redrive("sort", None).moved == 1
        cloud.idle()
    # Nothing was published: other functions of the topic are told nothing.
    told = {each["function"] for each in cloud.invocations}
    assert told == {"notes-sort", "notes-file", "notes-stored"}
    assert not any(c.service == "sns" for made in cloud.calls.values() for c in made)


def test_who_asks_for_patience_gets_it(cloud: Cloud) -> None:
    cloud.request("POST", "/notes", {"id": "r4", "text": "later"})
    cloud.idle()
    assert delays(cloud, "notes-sort") == [30]
    counts = [e["Records"][0]["attributes"]["ApproximateReceiveCount"] for e in events(cloud, "notes-sort")]
    assert counts == ["1", "2"]


def test_steps_wait_for_the_one_that_stumbles(cloud: Cloud, letters: DeadLetters) -> None:
    cloud.request("POST", "/notes", {"id": "r5", "text": "steps", "type": "note.other"})
    cloud.idle()
    # One message an invocation: none counts a receive that was no attempt.
    seen = [e["Records"] for e in events(cloud, "notes-count")]
    assert all(len(records) == 1 for records in seen)
    counts = [r["attributes"]["ApproximateReceiveCount"] for (r,) in seen]
    assert sorted(counts) == ["1"] * 12 + ["2"] * 2
    for group in ("a-r5", "b-r5"):
        assert count(cloud, f"steps-{group}")["count"] == "6"
    assert letters.list("steps", 10) == []


def test_changes_go_back_in_order(cloud: Cloud, letters: DeadLetters) -> None:
    for id in ("r6", "r7"):
        cloud.request("POST", "/notes", {"id": id, "text": "unwatched", "type": "note.other"})
    cloud.idle()
    found = letters.list("watch", 10)
    assert [(x.reason, x.attempts) for x in found] == [("attempts", 3)] * 2
    # What fails again is a letter again, and one only.
    assert letters.redrive("watch", [found[0].id]).moved == 1
    assert len(letters.list("watch", 10)) == 2
    with mended(cloud, "notes-watch"):
        cloud.forget()
        assert letters.redrive("watch", None).moved == 2
        cloud.idle()
    keys = [e["Records"][0]["dynamodb"]["Keys"]["id"]["S"] for e in events(cloud, "notes-watch")]
    assert keys == ["r6", "r7"] and letters.list("watch", 10) == []
    assert count(cloud, "note-r6")["text"] == "unwatched"


def test_a_change_that_crashed_is_read_from_its_stream(cloud: Cloud, letters: DeadLetters) -> None:
    cloud.request("POST", "/notes", {"id": "r8", "text": "crash", "type": "note.other"})
    cloud.idle()
    (letter,) = letters.list("watch", 10)
    assert (letter.reason, letter.attempts) == ("platform", 3)
    change = json.loads(letter.body)
    assert change["dynamodb"]["NewImage"]["text"] == {"S": "crash"}
    # Still crashing: it stays where it is.
    done = letters.redrive("watch", None)
    assert done.moved == 0 and "exit" in done.failed[0][1].lower()
    assert [x.id for x in letters.list("watch", 10)] == [letter.id]
    assert letters.purge("watch", None) == 1


def test_a_message_nobody_can_read_is_no_matter_of_its_batch(
    cloud: Cloud, letters: DeadLetters
) -> None:
    url = cloud.client("sqs").get_queue_url(QueueName="notes-filing")["QueueUrl"]
    foreign = {"pf-attributes": {"DataType": "String", "StringValue": "no JSON"}}
    entries: list[Any] = [
        {
            "Id": id,
            "MessageBody": json.dumps({"id": id, "text": "far"}),
            "MessageAttributes": {"from": {"DataType": "String", "StringValue": "off"}},
        }
        for id in ("f1", "f2", "f3")
    ]
    entries[1]["MessageAttributes"] |= foreign
    cloud.client("sqs").send_message_batch(QueueUrl=url, Entries=entries)
    cloud.idle()
    for id in ("f1", "f3"):
        assert cloud.request("GET", f"/files/filed/{id}.txt").body == b"far off"
    (letter,) = letters.list("filing", 10)
    assert (letter.reason, letter.attempts) == ("poison", 1)
    assert json.loads(letter.body)["id"] == "f2"
    # Sent again it is a letter again.
    assert letters.redrive("filing", None).moved == 1
    cloud.idle()
    (again,) = letters.list("filing", 10)
    assert (again.reason, again.id) == ("poison", letter.id)
    assert letters.purge("filing", None) == 1
