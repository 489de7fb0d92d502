"""The engine's dead letters, in queues of a moto server: nothing is lost by looking, or moved twice."""

from __future__ import annotations

import json
from typing import Any

import pytest

from portafaas.deployment.dead_letters import Box, DeadLetters
from portafaas.errors import DeploymentError
from portafaas.plan import BuildPlan, QueueTrigger
from portafaas_aws.infrastructure import build

Facts = dict[str, Any]


def _made(cloud: Any, plan: BuildPlan) -> None:
    """Make the queues of the template; their policies are of no matter here."""
    sqs = cloud.client("sqs")
    template, _ = build(plan)
    for each in template.resources.values():
        if each["Type"] == "AWS::SQS::Queue":
            facts = each["Properties"]
            attributes = {"FifoQueue": "true"} if facts.get("FifoQueue") else {}
            sqs.create_queue(QueueName=facts["QueueName"], Attributes=attributes)


@pytest.fixture(scope="module")
def mail(stack: BuildPlan) -> BuildPlan:
    """The service, with a function whose dead letters go to a queue of the manifest."""
    from dataclasses import replace

    from portafaas.plan import FunctionPlan

    function = FunctionPlan("mail", "m", "a", QueueTrigger("mails"))
    return replace(stack, functions=(*stack.functions, function))


class Letters:
    """The engine's dead letters, and the queues they are in."""

    def __init__(self, cloud: Any, plan: BuildPlan) -> None:
        self.cloud, self.sqs = cloud, cloud.client("sqs")
        self.of: DeadLetters = cloud.engine(plan).dead_letters()

    def url(self, queue: str) -> str:
        return str(self.sqs.get_queue_url(QueueName=f"shop-dev-{queue}")["QueueUrl"])

    def put(self, queue: str, body: str, told: Any = None, group: str = "", **more: str) -> str:
        """Put a letter into a queue as a bridge does, or as SQS moves it."""
        attributes = dict(more)
        if told is not None:
            facts = {"reason": "attempts", "error": "E: x", "attempts": 5, "function": "work",
                     "time": "2026-11-28T10:00:00.000Z", "trace": "t", "correlation": "c"}  # fmt: skip
            attributes["pf-dead"] = json.dumps(facts | told)
        fifo = {}
        if group:
            fifo = {"MessageGroupId": group, "MessageDeduplicationId": f"{body}{group}"}
        return str(self.sqs.send_message(
            QueueUrl=self.url(queue), MessageBody=body, **fifo,
            MessageAttributes={k: {"DataType": "String", "StringValue": v} for k, v in attributes.items()},
        )["MessageId"])  # fmt: skip

    def take(self, queue: str) -> list[Facts]:
        """Take all messages out of a queue."""
        found: list[Facts] = []
        while got := self.sqs.receive_message(
            QueueUrl=self.url(queue), MaxNumberOfMessages=10, MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["All"],
        ).get("Messages"):  # fmt: skip
            for message in got:
                self.sqs.delete_message(QueueUrl=self.url(queue), ReceiptHandle=message["ReceiptHandle"])
            found += got
        return found


@pytest.fixture
def letters(cloud: Any, mail: BuildPlan) -> Letters:
    _made(cloud, mail)
    return Letters(cloud, mail)


def _texts(message: Facts) -> dict[str, str]:
    return {k: v["StringValue"] for k, v in message.get("MessageAttributes", {}).items()}


def test_boxes(letters: Letters) -> None:
    letters.put("jobs-dead", "a", {})
    boxes = {box.name: box for box in letters.of.boxes()}
    assert list(boxes) == ["jobs", "steps", "mails", "listen", "log", "store", "rows", "upserts", "tick"]
    assert boxes["jobs"] == Box("jobs", "queue", "shop-dev-jobs-dead", 1)
    assert boxes["mails"] == Box("mails", "queue", "shop-dev-lost", None)
    assert boxes["log"] == Box("log", "function", "shop-dev-journal-log-dead.fifo", 0)
    assert boxes["tick"].physical == "shop-dev-tick-failed"


def test_looking_changes_nothing(letters: Letters) -> None:
    ids = [letters.put("jobs-dead", f"b{n}", {}, color="red", **{"pf-id": f"id{n}"}) for n in range(23)]
    for _ in range(3):
        found = letters.of.list("jobs", 100)
        assert {x.id for x in found} == {f"id{n}" for n in range(23)}
    assert len(letters.of.list("jobs", 4)) == 4
    (one,) = [x for x in found if x.id == "id7"]
    assert (one.body, one.attributes, one.key) == (b"b7", {"color": "red"}, None)
    assert (one.box, one.reason, one.error, one.attempts, one.function) == (
        "jobs", "attempts", "E: x", 5, "work",
    )  # fmt: skip
    assert (one.time, one.trace, one.correlation) == ("2026-11-28T10:00:00.000Z", "t", "c")
    assert {m["MessageId"] for m in letters.take("jobs-dead")} == set(ids)


def test_redrive_makes_it_as_if_it_had_never_failed(letters: Letters) -> None:
    letters.put(
        "jobs-dead", "x", {}, a="1",
        **{"pf-id": "i1", "pf-sent": "2020-01-01T00:00:00Z", "pf-attempt": "3", "pf-dedup": "d",
           "pf-expires": "1"},
    )  # fmt: skip
    # Who redrives wants it, though it has expired.
    packed = {
        "pf-expires": "1", "pf-attributes": json.dumps({"pf-attempt": "2", "b": "ü"}),
    }  # fmt: skip
    moved = letters.put("jobs-dead", "moved", **packed)
    (platform,) = [x for x in letters.of.list("jobs", 10) if x.reason == "platform"]
    assert (platform.id, platform.attempts, platform.function) == (moved, 5, "work")
    assert platform.sent and platform.attributes == {"b": "ü"}
    done = letters.of.redrive("jobs", None)
    assert (done.moved, done.failed) == (2, ())
    back = {m["Body"]: _texts(m) for m in letters.take("jobs")}
    assert back["x"] == {"a": "1", "pf-id": "i1", "pf-dedup": "d"}
    assert back["moved"] == {"pf-attributes": '{"b": "\\u00fc"}', "pf-id": moved}
    assert letters.take("jobs-dead") == []


def test_some_by_their_ids(letters: Letters) -> None:
    for n in range(15):
        letters.put("jobs-dead", f"b{n}", {}, **{"pf-id": f"i{n}"})
    done = letters.of.redrive("jobs", ["i3", "i12", "i99"])
    assert done.moved == 2 and [id for id, _ in done.failed] == ["i99"]
    assert sorted(m["Body"] for m in letters.take("jobs")) == ["b12", "b3"]
    assert letters.of.purge("jobs", ["i0", "i14"]) == 2
    assert len(letters.of.list("jobs", 100)) == 11
    assert letters.of.purge("jobs", None) == 11
    assert letters.of.list("jobs", 100) == []


def test_what_fails_again_at_once_is_left_for_the_next_time(
    letters: Letters, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(12):
        letters.put("jobs-dead", f"b{n}", {}, **{"pf-id": f"i{n}"})
    sent = []

    def again(params: Facts, **_: Any) -> None:
        if params["QueueUrl"].endswith("shop-dev-jobs"):
            for entry in params["Entries"]:
                sent.append(entry["MessageBody"])
                id = entry["MessageAttributes"]["pf-id"]["StringValue"]
                letters.put("jobs-dead", entry["MessageBody"], {}, **{"pf-id": id})

    client = letters.of.cloud.client("sqs")  # type: ignore[attr-defined]
    client.meta.events.register("provide-client-params.sqs.SendMessageBatch", again)
    assert letters.of.redrive("jobs", None).moved == 12
    assert len(sent) == len(set(sent)) == 12
    assert len(letters.of.list("jobs", 100)) == 12


def test_a_crash_between_leaves_it_twice(letters: Letters) -> None:
    letters.put("jobs-dead", "x", {}, **{"pf-id": "i"})
    letters.cloud.tell(fault={"DeleteMessageBatch": ["InternalFailure", "no", 500]})
    with pytest.raises(DeploymentError):
        letters.of.redrive("jobs", None)
    letters.cloud.tell(fault={})
    assert [m["Body"] for m in letters.take("jobs")] == ["x"]
    assert [x.id for x in letters.of.list("jobs", 10)] == ["i"]


def test_ordered_letters_keep_keys_and_order(letters: Letters) -> None:
    for n in range(13):
        letters.put("steps-dead.fifo", f"{n:02}", {}, "g", **{"pf-id": f"i{n}"})
    # SQS shows ten of a group at a time.
    found = letters.of.list("steps", 100)
    assert [x.body for x in found] == [b"%02d" % n for n in range(10)]
    assert {x.key for x in found} == {"g"}
    one = letters.of.redrive("steps", ["i12"])
    assert one.moved == 0 and "ten letters" in one.failed[0][1]
    assert letters.of.redrive("steps", None).moved == 13
    back = letters.take("steps.fifo")
    assert [m["Body"] for m in back] == [f"{n:02}" for n in range(13)]
    assert {m["Attributes"]["MessageGroupId"] for m in back} == {"g"}


def test_letters_in_a_queue_of_the_manifest(letters: Letters) -> None:
    """Of the queue ``lost`` only what ``mails`` gave up is a letter of ``mails``."""
    letters.put("lost", "letter", {"function": "mail"}, **{"pf-id": "i"})
    letters.put("lost", "other", {"function": "work"})
    letters.put("lost", "plain")
    assert [x.body for x in letters.of.list("mails", 10)] == [b"letter"]
    assert letters.of.redrive("mails", None).moved == 1
    assert letters.of.purge("mails", None) == 0
    assert [m["Body"] for m in letters.take("mails")] == ["letter"]
    assert sorted(m["Body"] for m in letters.take("lost")) == ["other", "plain"]


def test_topics_objects_and_schedules(letters: Letters) -> None:
    envelope = json.dumps({
        "Type": "Notification", "MessageId": "n1", "TopicArn": "arn:x:news", "Message": '{"a": 1}',
        "Timestamp": "2026-11-28T09:00:00.000Z",
        "MessageAttributes": {"kind": {"Type": "String", "Value": "a"}, "ce-type": {"Type": "String", "Value": "made"}},
    })  # fmt: skip
    item = {"key": "in/a+b.csv", "sequencer": "01"}
    record = {"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": {"object": item}}
    for box, queue, body, id in (
        ("listen", "news-listen", envelope, "n1"),
        ("store", "store-objects", json.dumps({"Records": [record]}), "in/a b.csv@01"),
        ("tick", "tick-schedule", '{"time": "2026-11-23T01:30:00Z"}', "tick@2026-11-23T01:30:00.000Z"),
    ):
        dead = "news-listen-dead" if box == "listen" else f"{box}-failed"
        letters.put(dead, body, {"function": box}, **{"pf-id": id})
        (found,) = letters.of.list(box, 10)
        assert (found.id, found.function, found.reason) == (id, box, "attempts")
        assert letters.of.redrive(box, [id]).moved == 1
        (back,) = letters.take(queue)
        assert back["Body"] == body and _texts(back) == {"pf-id": id}
        if box == "listen":
            assert found.body == b'{"a": 1}' and found.attributes == {"kind": "a"}


def test_what_scheduler_could_not_deliver(letters: Letters) -> None:
    letters.put("tick-failed", '{"time": "2026-11-23T01:30:00Z"}', ERROR_CODE="AccessDenied", ERROR_MESSAGE="no")
    (found,) = letters.of.list("tick", 10)
    assert (found.reason, found.error) == ("platform", "AccessDenied: no")
    assert found.id == "tick@2026-11-23T01:30:00.000Z"


def test_what_cannot_be_read_is_shown_as_it_is(letters: Letters) -> None:
    id = letters.put("store-failed", "no JSON")
    letters.put("rows-failed", "{}", {"function": "rows"})
    (found,) = letters.of.list("store", 10)
    assert (found.id, found.body) == (id, b"no JSON")
    (found,) = letters.of.list("rows", 10)
    assert found.body == b"{}"
    done = letters.of.redrive("rows", None)
    assert done.moved == 0 and "24 hours" in done.failed[0][1]
    assert letters.of.redrive("store", None).moved == 1


def test_no_such_box_and_nothing_deployed(cloud: Any, mail: BuildPlan) -> None:
    of = Letters(cloud, mail).of
    for call, code in (
        (lambda: of.list("jobs", 1), "PF8010"), (of.boxes, "PF8010"),
        (lambda: of.list("lost", 1), "PF8017"), (lambda: of.redrive("work", None), "PF8017"),
    ):  # fmt: skip
        with pytest.raises(DeploymentError) as caught:
            call()
        assert caught.value.diagnostics[0].code == code


def test_foreign_letters_stop_nobody(letters: Letters) -> None:
    """What somebody else has put there is shown, sent again and removed like any other."""
    odd = [
        {"pf-attributes": "{"}, {"pf-attributes": "[1]"}, {"pf-dead": "[]"}, {"pf-dead": "{"},
        {"pf-dead": '{"attempts": "many", "reason": null}'}, {"pf-encoding": "base64"},
    ]  # fmt: skip
    for n, attributes in enumerate(odd):
        letters.put("jobs-dead", f"b{n}", **attributes)
        letters.put("rows-failed", '{"DDBStreamBatchInfo": {}, "dynamodb": 1, "requestContext": 1}', **attributes)
        letters.put("rows-failed", '{"DDBStreamBatchInfo": "x"}', **attributes)
    found = letters.of.list("jobs", 100)
    assert sorted(x.body for x in found) == [f"b{n}".encode() for n in range(len(odd))]
    assert len(letters.of.list("rows", 100)) == 2 * len(odd)
    assert letters.of.redrive("jobs", None).moved == len(odd)
    assert len(letters.take("jobs")) == len(odd)
    assert letters.of.purge("rows", None) == 2 * len(odd)


def test_the_body_that_a_claim_leads_to(letters: Letters) -> None:
    s3 = letters.cloud.client("s3")
    bucket = f"shop-dev-uploads-123456789012-{s3.meta.region_name}"
    config = {} if s3.meta.region_name == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": s3.meta.region_name}}
    s3.create_bucket(Bucket=bucket, **config)
    s3.put_object(Bucket=bucket, Key="pf-claims/jobs/i0", Body=b"long")
    for n in range(2):
        letters.put("jobs-dead", "\n", {}, **{"pf-id": f"i{n}", "pf-claim": f"uploads/pf-claims/jobs/i{n}"})
    assert {x.id: x.body for x in letters.of.list("jobs", 10)} == {"i0": b"long", "i1": b"\n"}
    assert letters.of.redrive("jobs", None).moved == 2
    assert {_texts(m)["pf-claim"][-2:] for m in letters.take("jobs")} == {"i0", "i1"}


def test_a_refused_redrive_keeps_what_was_done(letters: Letters) -> None:
    """Letters too long for one call: what one call has sent is gone before the next one fails."""
    for n in range(3):
        letters.put("jobs-dead", f"{n}" * 600_000, {}, **{"pf-id": f"i{n}"})
    sent = []

    def note(params: Facts, **_: Any) -> None:
        sent.append(params)
        if len(sent) == 2:
            params["QueueUrl"] += "-gone"

    client = letters.of.cloud.client("sqs")  # type: ignore[attr-defined]
    client.meta.events.register("provide-client-params.sqs.SendMessageBatch", note)
    with pytest.raises(DeploymentError):
        letters.of.redrive("jobs", None)
    assert len(letters.take("jobs")) == 1
    assert len(letters.of.list("jobs", 10)) == 2


def test_looking_ends_though_letters_come_back(letters: Letters, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of very many the first are visible again before the last was seen."""
    from portafaas_aws.deployment import held

    monkeypatch.setattr(held, "_HIDDEN", 0)
    for n in range(23):
        letters.put("jobs-dead", f"b{n}", {}, **{"pf-id": f"i{n}"})
    calls = []

    def count(params: Facts, **_: Any) -> None:
        calls.append(1)
        assert len(calls) < 50, "it never ends"

    client = letters.of.cloud.client("sqs")  # type: ignore[attr-defined]
    client.meta.events.register("provide-client-params.sqs.ReceiveMessage", count)
    found = letters.of.list("jobs", 1000)
    assert len(found) == len({x.id for x in found}) > 0
    assert letters.of.redrive("jobs", ["i0"]).moved == 1


def test_redrive_twice_in_a_minute_is_two_deliveries(letters: Letters) -> None:
    """In an ordered queue a second redrive of what has failed again is no duplicate of the first."""
    letters.put("steps-dead.fifo", "x", {}, "g", **{"pf-id": "i"})
    seen = []
    for _ in range(3):
        assert letters.of.redrive("steps", None).moved == 1
        (back,) = letters.take("steps.fifo")
        seen.append(back["MessageId"])
        # It has failed again, and the bridge gives it the message's id.
        letters.sqs.send_message(
            QueueUrl=letters.url("steps-dead.fifo"), MessageBody="x", MessageGroupId="g",
            MessageDeduplicationId=back["MessageId"],
            MessageAttributes={"pf-id": {"DataType": "String", "StringValue": "i"}},
        )  # fmt: skip
    assert len(set(seen)) == 3


def test_what_is_not_removed_is_not_counted(letters: Letters) -> None:
    for n in range(3):
        letters.put("jobs-dead", f"b{n}", {}, **{"pf-id": f"i{n}"})

    def spoil(params: Facts, **_: Any) -> None:
        params["Entries"][0]["ReceiptHandle"] = "nonsense"

    client = letters.of.cloud.client("sqs")  # type: ignore[attr-defined]
    client.meta.events.register("provide-client-params.sqs.DeleteMessageBatch", spoil)
    assert letters.of.purge("jobs", None) == 2
    assert len(letters.of.list("jobs", 10)) == 1


def test_what_sqs_has_moved_is_no_letter_of_somebody_before(stack: BuildPlan) -> None:
    """A letter that was sent again by other hands, or consumed, and crashed: the server tells of no source."""
    from portafaas_aws.deployment.letters import place_of, read

    told = json.dumps({"reason": "permanent", "attempts": 1, "function": "other", "error": "old"})
    message: Facts = {
        "MessageId": "m", "Body": "x", "Attributes": {"SentTimestamp": "1"},
        "MessageAttributes": {"pf-dead": {"DataType": "String", "StringValue": told}},
    }  # fmt: skip
    place = place_of(stack, "jobs")
    assert read(stack, place, message).letter.reason == "permanent"
    message["Attributes"]["DeadLetterQueueSourceArn"] = "arn:aws:sqs:eu-central-1:1:shop-dev-jobs"
    letter = read(stack, place, message).letter
    assert (letter.reason, letter.function, letter.error) == ("platform", "work", "")
