"""What the bridges do with failures, on queues of a moto server through boto3: delays, letters.

Records are received by boto3 as Lambda does; what the function answers is done by hand.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from portafaas.plan import BuildPlan, QueueTrigger, Retry
from portafaas.runtime import BatchResult, Permanent, Throttled
from portafaas_aws.deployment.letters import record_of
from portafaas_aws.runtime import calls

QUICK = Retry(attempts=3, backoff="fixed", initial=7.0, jitter=False)


class Queues:
    """Queues of the server, and functions bound to them."""

    def __init__(self, client: Any, monkeypatch: pytest.MonkeyPatch, bound: Any, context: Any) -> None:
        self.client, self.monkeypatch = client, monkeypatch
        self.bound, self.context = bound, context

    def make(self, name: str) -> str:
        fifo = {"FifoQueue": "true"} if name.endswith(".fifo") else {}
        return str(self.client.create_queue(QueueName=name, Attributes=fifo)["QueueUrl"])

    def function(self, name: str, handle: Callable[[Any, Any], Any], **changes: Any) -> Any:
        """Bind the function *name* with the handler's method, told of its queues."""
        fifo = ".fifo" if name == "work-ordered" else ""
        self.source, self.dead = (self.make(f"{name}-{part}{fifo}") for part in ("in", "dead"))
        own = name.upper().replace("-", "_")
        self.monkeypatch.setenv(f"PORTAFAAS_SOURCE_{own}", self.source)
        self.monkeypatch.setenv(f"PORTAFAAS_DEAD_{own}", self.dead)
        HANDLE[0] = handle
        changes.setdefault("retry", QUICK)
        return self.bound(name, module=__name__, attribute="Any_", **changes)

    def send(self, body: str, url: str = "", **more: Any) -> str:
        sent = self.client.send_message(QueueUrl=url or self.source, MessageBody=body, **more)
        return str(sent["MessageId"])

    def receive(self, url: str = "", seconds: int = 60) -> list[dict[str, Any]]:
        """Return records as Lambda would be given them."""
        answer = self.client.receive_message(
            QueueUrl=url or self.source, MaxNumberOfMessages=10, VisibilityTimeout=seconds,
            MessageSystemAttributeNames=["All"], MessageAttributeNames=["All"],
        )  # fmt: skip
        return [
            {**record_of(m), "receiptHandle": m["ReceiptHandle"], "awsRegion": "x"}
            for m in answer.get("Messages", ())
        ]

    def letters(self) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """Return what is in the dead-letter queue: record, and letter."""
        records = self.receive(self.dead)
        return [
            (r, json.loads(r["messageAttributes"]["pf-dead"]["stringValue"])) for r in records
        ]


HANDLE: list[Any] = [None]


class Any_:
    """A handler of any kind that does what the test says."""

    def handle(self, item: Any, context: Any) -> Any:
        return HANDLE[0](item, context)


class Batches(Any_):
    from portafaas.runtime import BatchHandler as _base

    kinds = _base.kinds
    takes_batch = True


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """The calls of bridges: operation and arguments."""
    return []


@pytest.fixture
def queues(
    cloud: Any, monkeypatch: pytest.MonkeyPatch, bound: Any, context: Any,
    asked: list[tuple[str, dict[str, Any]]],
) -> Iterator[Queues]:
    calls._clients.clear()

    def note(params: Any, model: Any, **_: Any) -> None:
        asked.append((model.name, params))

    calls.client("sqs").meta.events.register("provide-client-params.sqs", note)
    yield Queues(cloud.client("sqs"), monkeypatch, bound, context)
    calls._clients.clear()


def _delays(asked: list[tuple[str, dict[str, Any]]]) -> list[int]:
    return [e["VisibilityTimeout"] for _, p in asked for e in p["Entries"] if "VisibilityTimeout" in e]


def _raise(error: Exception) -> Any:
    def handle(item: Any, context: Any) -> None:
        raise error

    return handle


def _answer(*ids: str) -> dict[str, Any]:
    return {"batchItemFailures": [{"itemIdentifier": id} for id in ids]}


def test_a_failure_hides_the_message_and_reports_it(queues: Queues, asked: Any) -> None:
    handler = queues.function("work", _raise(ValueError("no")), retry=Retry(jitter=False))
    id = queues.send("a")
    for delay in (1, 2, 4, 8):
        (record,) = queues.receive()
        assert handler({"Records": [record]}, queues.context) == _answer(id)
        assert _delays(asked)[-1] == delay
        assert queues.receive() == []
        # Time passes.
        queues.client.change_message_visibility(
            QueueUrl=queues.source, ReceiptHandle=record["receiptHandle"], VisibilityTimeout=0
        )
    (record,) = queues.receive()
    assert record["attributes"]["ApproximateReceiveCount"] == "5"
    assert handler({"Records": [record]}, queues.context) == _answer()
    ((there, letter),) = queues.letters()
    assert there["body"] == "a"
    assert (letter["reason"], letter["attempts"], letter["error"]) == ("attempts", 5, "ValueError: no")
    assert letter["function"] == "work" and letter["id"] == id and letter["trace"]


def test_delays_are_never_shorter_than_asked(queues: Queues, asked: Any) -> None:
    retry = Retry(attempts=9, initial=0.5, maximum=42_000.0, backoff="fixed", jitter=False)
    handler = queues.function("work", _raise(Throttled("wait", retry_after=12.2)), retry=retry)
    queues.send("a")
    handler({"Records": queues.receive()}, queues.context)
    HANDLE[0] = _raise(Throttled("wait", retry_after=50_000))
    queues.send("b")
    handler({"Records": queues.receive()}, queues.context)
    HANDLE[0] = _raise(ValueError())
    queues.send("c")
    handler({"Records": queues.receive()}, queues.context)
    # Twelve hours is SQS's limit, less what the invocation may have taken.
    assert _delays(asked) == [13, 42_000, 1]


def test_what_is_permanent_is_a_letter_at_once(queues: Queues, asked: Any) -> None:
    def handle(message: Any, context: Any) -> None:
        if message.text == "bad":
            raise Permanent("never")
        message.json()

    handler = queues.function("work", handle)
    attributes = {
        "n": {"DataType": "Number", "StringValue": "12"},
        "b": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
    }
    queues.send("bad", MessageAttributes=attributes)
    queues.send("{")
    queues.send("{}")
    assert handler({"Records": queues.receive()}, queues.context) == _answer()
    found = {record["body"]: (record, letter) for record, letter in queues.letters()}
    assert {body: letter["reason"] for body, (_, letter) in found.items()} == {
        "bad": "permanent", "{": "poison",
    }  # fmt: skip
    record, letter = found["bad"]
    assert letter["attempts"] == 1
    kept = record["messageAttributes"]
    assert kept["n"] == {"dataType": "Number", "stringValue": "12"}
    assert kept["b"] == {"dataType": "Binary", "binaryValue": "AP8="}
    assert kept["pf-id"]["stringValue"] == letter["id"] and kept["pf-sent"]
    # In one call for all of a batch.
    assert [name for name, _ in asked] == ["SendMessageBatch"]


def test_ten_attributes_and_a_letter(queues: Queues, plan: BuildPlan) -> None:
    seen = []

    def handle(message: Any, context: Any) -> None:
        seen.append((message.id, message.attributes, message.control))
        raise Permanent("never")

    handler = queues.function("work", handle)
    names = [f"a{n}" for n in range(10)]
    attributes = {n: {"DataType": "String", "StringValue": f"{n}ü"} for n in names}
    id = queues.send("x", MessageAttributes=attributes)
    assert handler({"Records": queues.receive()}, queues.context) == _answer()
    ((record, _),) = queues.letters()
    assert len(record["messageAttributes"]) == 10
    assert {"pf-dead", "pf-id", "pf-attributes"} < set(record["messageAttributes"])
    # A function would see it as it was.
    handler({"Records": [{**record, "receiptHandle": "x"}]}, queues.context)
    assert seen[0][1] == seen[1][1] == {n: f"{n}ü" for n in names}
    assert seen[1][0] == id


def test_results_of_a_batch(queues: Queues, asked: Any) -> None:
    def handle(batch: Any, context: Any) -> BatchResult:
        result = BatchResult()
        for message in batch:
            if message.text.startswith("retry"):
                result.retry(message, None if message.text == "retry" else 100)
            elif message.text == "dead":
                result.dead_letter(message, "nobody wants it")
            elif message.text == "drop":
                result.drop(message)
        return result

    queues.function("work", handle)
    handler = queues.bound("work", module=__name__, attribute="Batches", retry=QUICK,
                           trigger=QueueTrigger("jobs", 10))  # fmt: skip
    ids = {body: queues.send(body) for body in ("retry", "retry100", "dead", "drop", "done")}
    answer = handler({"Records": queues.receive()}, queues.context)
    assert answer == _answer(ids["retry"], ids["retry100"])
    assert _delays(asked) == [7, 100]
    ((record, letter),) = queues.letters()
    assert (record["body"], letter["reason"], letter["error"]) == ("dead", "handler", "nobody wants it")


def test_ids_are_sqs_own_for_lambda_and_the_senders_for_handlers(queues: Queues) -> None:
    handler = queues.function("work", _raise(ValueError()))
    twice = {"pf-id": {"DataType": "String", "StringValue": "sent"}}
    ids = {queues.send("a", MessageAttributes=twice), queues.send("a", MessageAttributes=twice)}
    answer = handler({"Records": queues.receive()}, queues.context)
    assert {item["itemIdentifier"] for item in answer["batchItemFailures"]} == ids


def test_a_group_waits_for_its_failure_and_not_for_its_dead(queues: Queues, asked: Any) -> None:
    seen = []

    def handle(message: Any, context: Any) -> None:
        seen.append(message.text)
        if message.text == "a1":
            raise ValueError("not yet") if len(seen) == 1 else Permanent("never")

    handler = queues.function("work-ordered", handle, retry=QUICK)
    for number, body in enumerate(("a1", "a2", "b1")):
        queues.send(body, MessageGroupId=body[0], MessageDeduplicationId=str(number))

    def poll() -> Any:
        # One at a time, as the mapping of an ordered queue says.
        answer = queues.client.receive_message(
            QueueUrl=queues.source, MaxNumberOfMessages=1, VisibilityTimeout=60,
            MessageSystemAttributeNames=["All"], MessageAttributeNames=["All"],
        ).get("Messages")  # fmt: skip
        if not answer:
            return None
        record = {**record_of(answer[0]), "receiptHandle": answer[0]["ReceiptHandle"]}
        failed = handler({"Records": [record]}, queues.context)["batchItemFailures"]
        if not failed:
            queues.client.delete_message(
                QueueUrl=queues.source, ReceiptHandle=record["receiptHandle"]
            )
        return record

    first = poll()
    while poll() is not None:
        pass
    assert seen == ["a1", "b1"], "what comes after a1 waits"
    assert _delays(asked) == [7]
    queues.client.change_message_visibility(
        QueueUrl=queues.source, ReceiptHandle=first["receiptHandle"], VisibilityTimeout=0
    )
    time.sleep(0.002)
    while poll() is not None:
        pass
    assert seen == ["a1", "b1", "a1", "a2"], "a dead letter holds nothing back"
    ((record, letter),) = queues.letters()
    assert record["attributes"]["MessageGroupId"] == "a" and letter["attempts"] == 2
    assert record["attributes"]["MessageDeduplicationId"] == first["messageId"]


def test_letters_that_are_not_kept_come_again(queues: Queues, asked: Any) -> None:
    handler = queues.function("work", _raise(Permanent("never")))
    queues.client.delete_queue(QueueUrl=queues.dead)
    id = queues.send("a")
    assert handler({"Records": queues.receive()}, queues.context) == _answer(id)
    assert _delays(asked) == [7]


def test_a_handle_that_is_no_more_is_reported_all_the_same(
    queues: Queues, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = queues.function("work", _raise(ValueError()))
    id = queues.send("a")
    (record,) = queues.receive()
    answer = handler({"Records": [{**record, "receiptHandle": "old"}]}, queues.context)
    assert answer == _answer(id)
    assert "the next delivery was not put off" in capsys.readouterr().err


def test_without_a_deployment_nothing_is_asked(
    bound: Any, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    HANDLE[0] = _raise(Permanent("never"))
    monkeypatch.setattr(calls, "_make", lambda service: pytest.fail("an SDK was loaded"))
    calls._clients.clear()
    handler = bound("work", module=__name__, attribute="Any_")
    record = {"messageId": "m", "body": "x", "eventSource": "aws:sqs", "attributes": {}}
    assert handler({"Records": [record]}, context) == _answer("m")


def _notification(**more: Any) -> str:
    return json.dumps({
        "Type": "Notification", "MessageId": "n1", "TopicArn": "arn:aws:sns:r:1:news",
        "Message": "text", "Timestamp": "2018-03-09T18:53:45.029Z",
        "MessageAttributes": {"ce-type": {"Type": "String", "Value": "made"}, **more},
    })  # fmt: skip


def test_topics(queues: Queues, asked: Any) -> None:
    seen = []

    def handle(event: Any, context: Any) -> None:
        seen.append((event.id, event.attempt, event.type))
        raise ValueError("no")

    handler = queues.function("listen", handle, retry=Retry(attempts=2, initial=7.0, jitter=False))
    queues.send(_notification())
    for receipt in (1, 2):
        (record,) = queues.receive(seconds=0)
        answer = handler({"Records": [record]}, queues.context)
        assert bool(answer["batchItemFailures"]) is (receipt == 1)
        queues.client.change_message_visibility(
            QueueUrl=queues.source, ReceiptHandle=record["receiptHandle"], VisibilityTimeout=0
        )
        time.sleep(0.002)
    # However old the event is: what counts is when it came here.
    assert seen == [("n1", 1, "made"), ("n1", 2, "made")] and _delays(asked) == [7]
    ((record, letter),) = queues.letters()
    assert record["body"] == _notification() and letter["id"] == "n1"
    assert letter["reason"] == "attempts"


def test_objects_and_schedules(queues: Queues, asked: Any) -> None:
    item = {"key": "in/a+b.csv", "size": 3, "eTag": "e", "sequencer": "01"}
    stored = json.dumps({"Records": [
        {"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "eventTime": "2020-01-01T00:00:00Z",
         "s3": {"object": item}},
    ]})  # fmt: skip
    seen: list[Any] = []

    def handle(event: Any, context: Any) -> None:
        seen.append((event.id, event.attempt))
        raise ValueError("no") if event.attempt == 1 else Permanent("never")

    for name, body in (("store", stored), ("tick", '{"time": "2026-11-23T01:30:00Z", "attempt": "9"}')):
        handler = queues.function(name, handle)
        test = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b"}
        if name == "store":
            queues.send(json.dumps(test))
            assert handler({"Records": queues.receive()}, queues.context) == _answer()
            assert seen == []
        id = queues.send(body)
        for failed in ([id], []):
            records = [r for r in queues.receive(seconds=0) if r["messageId"] == id]
            assert handler({"Records": records}, queues.context) == _answer(*failed)
            queues.client.change_message_visibility(
                QueueUrl=queues.source, ReceiptHandle=records[0]["receiptHandle"], VisibilityTimeout=0
            )
            time.sleep(0.002)
        ((record, letter),) = queues.letters()
        assert record["body"] == body and letter["attempts"] == 2
    tick = "tick@2026-11-23T01:30:00.000Z"
    assert seen == [("in/a b.csv@01", 1), ("in/a b.csv@01", 2), (tick, 1), (tick, 2)]
    assert _delays(asked) == [7, 7]


def _change(id: str = "e1") -> dict[str, Any]:
    return {
        "eventID": id, "eventName": "INSERT", "eventSource": "aws:dynamodb",
        "dynamodb": {
            "ApproximateCreationDateTime": time.time(), "SequenceNumber": "7",
            "Keys": {"id": {"S": "r"}}, "NewImage": {"id": {"S": "r"}, "b": {"B": "AP8="}},
        },
    }  # fmt: skip


def test_changes_are_tried_within_the_invocation(queues: Queues) -> None:
    attempts = []

    def handle(change: Any, context: Any) -> None:
        attempts.append(context.attempt)
        raise ValueError("no")

    retry = Retry(attempts=3, initial=0.01, maximum=0.01)
    handler = queues.function("rows", handle, retry=retry)
    change = _change()
    assert handler({"Records": [change]}, queues.context) == _answer()
    assert attempts == [1, 2, 3]
    ((record, letter),) = queues.letters()
    assert json.loads(record["body"]) == change and letter["attempts"] == 3
    # What there is no time for is left to the stream, which does not go on without it.
    queues.function("rows", handle)
    late = queues.bound("rows", module=__name__, attribute="Any_", retry=Retry(initial=60.0))
    assert late({"Records": [change, _change("e2")]}, queues.context) == _answer("7")
    assert queues.letters() == []


#: Of senders that are not ours: what says of itself what it is not.
UNREADABLE = {
    "base64": {"pf-encoding": {"DataType": "String", "StringValue": "base64"}},
    "object": {"pf-attributes": {"DataType": "String", "StringValue": "[1]"}},
    "JSON": {"pf-attributes": {"DataType": "String", "StringValue": "{"}},
    "deep": {"pf-attributes": {"DataType": "String", "StringValue": "[" * 100_000}},
}


@pytest.mark.parametrize("kind", UNREADABLE)
@pytest.mark.parametrize("crowded", [False, True])
def test_one_that_cannot_be_read_does_not_take_the_batch_along(
    queues: Queues, asked: Any, kind: str, crowded: bool
) -> None:
    seen: list[str] = []

    def handle(message: Any, context: Any) -> None:
        seen.append(message.text)
        if message.text == "b":
            raise ValueError("not yet")

    handler = queues.function("work", handle)
    attributes: dict[str, Any] = dict(UNREADABLE[kind])
    if crowded:
        attributes["pf-id"] = {"DataType": "String", "StringValue": "sent"}
        attributes |= {f"a{n}": {"DataType": "String", "StringValue": "1"} for n in range(8)}
    queues.send("a")
    bad = queues.send("5", MessageAttributes=attributes)
    failing = queues.send("b")
    answer = handler({"Records": queues.receive()}, queues.context)
    assert sorted(seen) == ["a", "b"]
    assert answer == _answer(failing) and _delays(asked) == [7]
    ((record, letter),) = queues.letters()
    assert record["body"] == "5" and letter["reason"] == "poison"
    assert record["messageAttributes"]["pf-id"]["stringValue"] == ("sent" if crowded else bad)
    if kind != "base64":
        text = UNREADABLE[kind]["pf-attributes"]["StringValue"]
        assert text in record["messageAttributes"]["pf-attributes"]["stringValue"].replace("\\", "")


def test_what_cannot_be_read_or_buried_comes_again_alone(
    queues: Queues, asked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = queues.function("work", lambda message, context: None)
    monkeypatch.delenv("PORTAFAAS_DEAD_WORK")
    queues.send("a")
    bad = queues.send("b", MessageAttributes=UNREADABLE["JSON"])
    records = queues.receive()
    assert handler({"Records": records}, queues.context) == _answer(bad)
    assert _delays(asked) == [7]
    # Without a deployment, too.
    monkeypatch.delenv("PORTAFAAS_SOURCE_WORK")
    assert handler({"Records": records}, queues.context) == _answer(bad)
    assert _delays(asked) == [7]


def test_in_a_group_nothing_overtakes_what_cannot_be_read(
    queues: Queues, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    handler = queues.function("work-ordered", lambda message, context: seen.append(message.text))
    ids = []
    for n, (body, bad) in enumerate((("a1", True), ("a2", False), ("b1", False))):
        more: dict[str, Any] = {"MessageAttributes": UNREADABLE["JSON"]} if bad else {}
        ids.append(queues.send(
            body, MessageGroupId=body[0], MessageDeduplicationId=str(n), **more
        ))  # fmt: skip
    records = sorted(queues.receive(), key=lambda record: str(record["body"]))
    if len(records) < 3:
        pytest.fail(f"{len(records)} records")
    monkeypatch.delenv("PORTAFAAS_DEAD_WORK_ORDERED")
    assert handler({"Records": records}, queues.context) == _answer(*ids[:2])
    assert seen == ["b1"]


def test_events_that_cannot_be_read_are_dead_at_once(queues: Queues, asked: Any) -> None:
    seen: list[str] = []
    for name in ("listen", "store", "tick"):
        handler = queues.function(name, lambda event, context: seen.append(event.id))
        queues.send("no JSON", MessageAttributes=UNREADABLE["object"])
        assert handler({"Records": queues.receive()}, queues.context) == _answer()
        ((record, letter),) = queues.letters()
        assert (record["body"], letter["reason"], letter["function"]) == ("no JSON", "poison", name)
    assert seen == [] and _delays(asked) == []


def test_one_batch_that_cannot_be_hidden_leaves_the_others(queues: Queues) -> None:
    """More than ten are hidden in several calls; one that is refused is no matter of the next."""
    handler = queues.function("work", _raise(ValueError()))
    for n in range(12):
        queues.send(f"{n}")
    records = queues.receive() + queues.receive()
    assert len(records) == 12
    hidden: list[int] = []

    def note(params: Any, **_: Any) -> None:
        hidden.append(len(params["Entries"]))
        if len(hidden) == 1:
            params["QueueUrl"] += "-gone"

    events = calls.client("sqs").meta.events
    events.register("provide-client-params.sqs.ChangeMessageVisibilityBatch", note)
    answer = handler({"Records": records}, queues.context)
    assert len(answer["batchItemFailures"]) == 12
    assert hidden == [10, 2]


def test_a_message_of_the_longest_is_kept_all_the_same(queues: Queues) -> None:
    """With its letter it would be too long: it comes again, and SQS itself gives it up."""
    handler = queues.function("work", _raise(Permanent("never")))

    def refuse(params: Any, **_: Any) -> None:
        # The server does not count attributes.
        if any(len(entry["MessageBody"]) > 1_048_000 for entry in params["Entries"]):
            params["QueueUrl"] += "-gone"

    events = calls.client("sqs").meta.events
    events.register("provide-client-params.sqs.SendMessageBatch", refuse)
    big = queues.send("x" * 1_048_576)
    small = queues.send("y")
    records = queues.receive()
    answer = handler({"Records": records}, queues.context)
    assert answer == _answer(big)
    ((record, _),) = queues.letters()
    assert record["body"] == "y" and small != big


@pytest.mark.parametrize("text", ["ü" * 200_000, "\x01\ufffe\ud800"])
def test_a_change_of_the_longest_is_a_letter(queues: Queues, text: str) -> None:
    handler = queues.function("rows", _raise(Permanent("never")))
    change = _change()
    for image in ("OldImage", "NewImage"):
        change["dynamodb"][image] = {"id": {"S": "a"}, "text": {"S": text}}
    assert handler({"Records": [change]}, queues.context) == _answer()
    ((record, _),) = queues.letters()
    assert json.loads(record["body"]) == change
