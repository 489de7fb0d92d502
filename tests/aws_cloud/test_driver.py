"""The driver against moto: what is sent arrives, what is stored comes back, what fails says so."""

from __future__ import annotations

import itertools
import json
import random
import string
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.aws_cloud.cloud import REGION, Cloud
from tests.aws_cloud.records import queue_record

core = pytest.importorskip("portafaas.runtime.resources")
_numbers = itertools.count()


def put_row(table: str, row: dict[str, Any], names: tuple[str, ...], if_absent: bool) -> None:
    from portafaas.runtime.rows import Write
    from portafaas_aws.runtime.resources import write_row

    key = {name: row[name] for name in names}
    write_row(table, Write("put", key, row=row, if_absent=if_absent), "")


def delete_row(table: str, key: dict[str, Any]) -> None:
    from portafaas.runtime.rows import Write
    from portafaas_aws.runtime.resources import write_row

    write_row(table, Write("delete", key), "")


@pytest.fixture
def driver(aws_cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The driver in this process, with the cloud's administrator's credentials."""
    from portafaas_aws.runtime import calls, resources

    for name, value in aws_cloud.environment.items():
        monkeypatch.setenv(name, value)
    calls._clients.clear()
    yield resources
    calls._clients.clear()


class Places:
    """Resources made for one test."""

    def __init__(self, cloud: Cloud) -> None:
        self.client = cloud.client

    def queue(self, ordered: bool = False, **attributes: str) -> str:
        name = f"driver-{next(_numbers)}" + (".fifo" if ordered else "")
        facts = {**attributes, **({"FifoQueue": "true"} if ordered else {})}
        made = self.client("sqs").create_queue(QueueName=name, Attributes=facts)
        return str(made["QueueUrl"])

    def topic(self, ordered: bool = False) -> tuple[str, str]:
        """Return the ARN of a topic, and the URL of a queue that is subscribed to it."""
        name = f"driver-{next(_numbers)}" + (".fifo" if ordered else "")
        facts = {"FifoTopic": "true"} if ordered else {}
        arn = self.client("sns").create_topic(Name=name, Attributes=facts)["TopicArn"]
        url = self.queue(ordered)
        sqs = self.client("sqs")
        queue = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
        statement = {
            "Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"},
            "Action": "sqs:SendMessage", "Resource": queue["QueueArn"],
            "Condition": {"ArnEquals": {"aws:SourceArn": arn}},
        }  # fmt: skip
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
        self.client("sns").subscribe(
            TopicArn=arn, Protocol="sqs", Endpoint=queue["QueueArn"]
        )
        return arn, url

    def table(self, *keys: str) -> str:
        name = f"driver-{next(_numbers)}"
        self.client("dynamodb").create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": k, "AttributeType": "S"} for k in keys],
            KeySchema=[
                {"AttributeName": k, "KeyType": kind}
                for k, kind in zip(keys, ("HASH", "RANGE"), strict=False)
            ],
        )
        return name

    def records(self, url: str) -> list[dict[str, Any]]:
        """Take all messages of a queue, as Lambda hands them to a function."""
        sqs, found = self.client("sqs"), []
        while messages := sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10,
            MessageSystemAttributeNames=["All"], MessageAttributeNames=["All"],
        ).get("Messages"):  # fmt: skip
            for message in messages:
                found.append(queue_record(message, "arn:aws:sqs:r:a:q", REGION))
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return found


@pytest.fixture
def places(aws_cloud: Cloud) -> Places:
    return Places(aws_cloud)


def outgoing(body: bytes = b"x", **more: Any) -> Any:
    return core.Outgoing(f"id-{next(_numbers)}", body, **more)


def _text(rng: random.Random, most: int) -> str:
    alphabet = string.printable + "äßλ漢😀\x00\x1b\ufffe "
    return "".join(rng.choices(alphabet, k=rng.randint(0, most)))


def _any_message(rng: random.Random, with_key: bool) -> Any:
    body = rng.choice([rng.randbytes(rng.randint(0, 60)), _text(rng, 60).encode()])
    names = ["a", "traceparent", "x.y", "AWS.z", "..", "pärt", "with space", "n" * 300]
    names += [f"more-{i}" for i in range(12)]
    chosen = rng.sample(names, rng.choice([0, 2, 4, 12]))
    key = rng.choice(["k1", "k2", "key with space", "schlüssel", "x" * 200]) if with_key else None
    return outgoing(body, attributes={n: _text(rng, 9) for n in chosen}, key=key)


@pytest.mark.parametrize("ordered", [False, True])
def test_messages_arrive_as_they_were_sent(
    driver: ModuleType, places: Places, ordered: bool
) -> None:
    from portafaas_aws.runtime.queue import message_of

    rng = random.Random(f"queue {ordered}")
    sent = [_any_message(rng, ordered) for _ in range(60)]
    url = places.queue(ordered)
    assert driver.send(url, sent, ordered) == []
    function: Any = SimpleNamespace(trigger={"queue": "q", "ordered": ordered})
    got = [message_of(function, record) for record in places.records(url)]
    assert len(got) == len(sent)

    def facts(message: Any) -> Any:
        return message.body, sorted(message.attributes.items()), message.key

    if not ordered:
        assert sorted(map(facts, got), key=repr) == sorted(map(facts, sent), key=repr)
        return
    for key in {message.key for message in sent}:
        assert [facts(m) for m in got if m.key == key] == [facts(m) for m in sent if m.key == key]


@pytest.mark.parametrize("ordered", [False, True])
def test_events_arrive_as_they_were_published(
    driver: ModuleType, places: Places, ordered: bool
) -> None:
    from portafaas_aws.runtime.topic import event_of

    topic, url = places.topic(ordered)
    sent = [
        outgoing(
            body,
            content_type=kind,
            attributes={
                "ce-id": f"e{number}", "ce-source": "/s", "ce-type": "t", "ce-specversion": "1.0",
                "ce-subject": "", "ce-extension": "ä b", "plain": "x", "empty": "",
            },
            key="some key",
        )
        for number, (body, kind) in enumerate(
            [(b'{"a": 1}', "application/json"), (b"\x00\xff", "image/png"), (b"", None),
             ("ü\n".encode(), "text/plain")] * 4
        )
    ]  # fmt: skip
    assert driver.publish(topic, sent, ordered) == []
    function: Any = SimpleNamespace(source="portafaas")
    got = {e.id: e for e in (event_of(function, r) for r in places.records(url))}
    assert len(got) == len(sent)
    wanted = [{"a": 1}, b"\x00\xff", None, "ü\n"]
    for number in range(len(sent)):
        event = got[f"e{number}"]
        assert event.data == wanted[number % 4]
        assert event.datacontenttype == sent[number].content_type
        assert (event.source, event.type, event.key) == ("/s", "t", "some key")
        assert event.extensions == {"extension": "ä b"}
        assert event.attributes == {"plain": "x", "empty": ""}


def test_batches_keep_to_the_limits(driver: ModuleType, places: Places) -> None:
    url = places.queue()
    sent = [outgoing(b"y" * 400_000) for _ in range(5)] + [outgoing(b"z") for _ in range(25)]
    assert driver.send(url, sent, False) == []
    assert len(places.records(url)) == 30
    topic, url = places.topic()
    assert driver.publish(topic, [outgoing(b"y" * 100_000) for _ in range(5)], False) == []
    assert len(places.records(url)) == 5


def test_what_is_too_large_fails_alone(driver: ModuleType, places: Places) -> None:
    url = places.queue()
    sent = [outgoing(b"y" * 2_000_000), *(outgoing(b"%d" % n) for n in range(12))]
    ((index, reason),) = driver.send(url, sent, False)
    assert index == 0 and "BatchRequestTooLong" in reason
    assert len(places.records(url)) == 12
    with pytest.raises(core.ResourceError, match="BatchRequestTooLong") as caught:
        driver.send(url, sent[:1], False)
    assert not caught.value.retryable and caught.value.failed[0][0] == 0


def test_nothing_overtakes_a_failed_message_of_its_key(driver: ModuleType, places: Places) -> None:
    url = places.queue(ordered=True)
    sent = [outgoing(b"y" * 2_000_000, key="a"), outgoing(b"1", key="a"), outgoing(b"2", key="b")]
    failed = driver.send(url, sent, True)
    assert [index for index, _ in failed] == [0, 1]
    assert [record["body"] for record in places.records(url)] == ["2"]


def test_delay_and_deduplication(driver: ModuleType, places: Places) -> None:
    url = places.queue()
    driver.send(url, [outgoing(b"later", delay=600), outgoing(b"now")], False)
    assert [record["body"] for record in places.records(url)] == ["now"]
    url = places.queue(ordered=True)
    twice = [outgoing(b"once", key="k", dedup="the same thing, once") for _ in range(2)]
    driver.send(url, [*twice, outgoing(b"once", key="k")], True)
    assert [record["body"] for record in places.records(url)] == ["once", "once"]


def test_a_queue_that_is_not_there(driver: ModuleType, places: Places) -> None:
    url = places.queue()
    places.client("sqs").delete_queue(QueueUrl=url)
    with pytest.raises(core.ResourceError, match="NonExistentQueue") as caught:
        driver.send(url, [outgoing()], False)
    assert not caught.value.retryable


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**38) + 1, 10**38 - 1)
    | st.floats(-9e37, 9e37, allow_subnormal=False).filter(lambda x: x == 0 or abs(x) > 1e-129)
    | st.text(),
    # moto takes a member without a name for a type.
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(min_size=1), inner, max_size=4)
    ),
    max_leaves=12,
)


def _exactly(value: Any) -> Any:
    """Return what the contract says comes back, with types: whole numbers are int."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {name: _exactly(inner) for name, inner in value.items()}
    return [_exactly(inner) for inner in value] if isinstance(value, list) else value


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[n], other[n]) for n in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return type(one) is type(other) and one == other


@given(JSON)
@settings(max_examples=200, deadline=None)
def test_values_come_back_as_json_has_them(value: Any) -> None:
    from portafaas_aws.runtime.table import value_of
    from portafaas_aws.runtime.values import typed

    assert _same(value_of(json.loads(json.dumps(typed(value)))), _exactly(value))


def test_numbers_without_enough_digits_are_near() -> None:
    from portafaas_aws.runtime.table import value_of
    from portafaas_aws.runtime.values import typed

    for value in (1e38, -1.2345e125, 1.7976931348623157e300):
        assert float(value_of(typed(value))) == value


@given(row=st.dictionaries(st.text(min_size=1, max_size=9), JSON, max_size=5))
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_rows_come_back(driver: ModuleType, places: Places, row: dict[str, Any]) -> None:
    table = places.table("id") if not hasattr(places, "one") else places.one
    places.one = table  # type: ignore[attr-defined]
    row = {**row, "id": "the row"}
    put_row(table, row, ("id",), False)
    assert _same(driver.get_row(table, {"id": "the row"}), _exactly(row))


def test_what_is_no_json_value_is_refused() -> None:
    from portafaas_aws.runtime.values import typed

    for value in (b"x", {1: 2}, {"a": {1, 2}}, object()):
        with pytest.raises(TypeError):
            typed(value)
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="no JSON number"):
            typed({"a": [value]})


def test_a_scan_yields_every_page(driver: ModuleType, places: Places) -> None:
    table = places.table("id")
    assert list(driver.scan(table)) == []
    # 1 MB is a page.
    rows = {str(n): {"id": str(n), "n": n, "text": "x" * 390_000} for n in range(7)}
    for row in rows.values():
        put_row(table, row, ("id",), False)
    found = driver.scan(table)
    first = next(found)
    assert {row["id"]: row for row in [first, *found]} == rows
    with pytest.raises(core.ResourceError, match="ResourceNotFoundException"):
        next(driver.scan("nowhere"))


def test_rows_with_a_sort_key(driver: ModuleType, places: Places) -> None:
    table = places.table("customer", "created")
    key = {"customer": "Ada", "created": "1"}
    assert driver.get_row(table, key) is None
    put_row(table, {**key, "cents": 5}, ("customer", "created"), True)
    with pytest.raises(core.Conflict, match="there is a row 'Ada' / '1'") as caught:
        put_row(table, {**key, "cents": 6}, ("customer", "created"), True)
    assert not caught.value.retryable
    put_row(table, {**key, "created": "2"}, ("customer", "created"), True)
    assert driver.get_row(table, key) == {**key, "cents": 5}
    put_row(table, {**key, "cents": 7}, ("customer", "created"), False)
    assert driver.get_row(table, key) == {**key, "cents": 7}
    delete_row(table, key)
    delete_row(table, key)
    assert driver.get_row(table, key) is None
    with pytest.raises(core.ResourceError, match="ResourceNotFoundException"):
        driver.get_row("no-such-table", key)


def test_objects(driver: ModuleType, places: Places) -> None:
    s3 = places.client("s3")
    s3.create_bucket(
        Bucket="driver-objects", CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    with pytest.raises(core.NotFound, match="NoSuchKey"):
        driver.read("driver-objects", "a/ä b+c?.txt")
    driver.write("driver-objects", "a/ä b+c?.txt", b"\x00data", "text/x-own")
    assert driver.read("driver-objects", "a/ä b+c?.txt") == b"\x00data"
    kind = s3.head_object(Bucket="driver-objects", Key="a/ä b+c?.txt")["ContentType"]
    assert kind == "text/x-own"
    driver.write("driver-objects", "a/ä b+c?.txt", b"", None)
    assert driver.read("driver-objects", "a/ä b+c?.txt") == b""
    driver.delete("driver-objects", "a/ä b+c?.txt")
    driver.delete("driver-objects", "a/ä b+c?.txt")
    with pytest.raises(core.NotFound):
        driver.read("driver-objects", "a/ä b+c?.txt")
    with pytest.raises(core.ResourceError, match="NoSuchBucket") as caught:
        driver.read("driver-nothing", "x")
    assert not isinstance(caught.value, core.NotFound)


def test_secrets(driver: ModuleType, places: Places) -> None:
    secrets = places.client("secretsmanager")
    text = secrets.create_secret(Name="driver/text", SecretString="pa$$wörd\n")["ARN"]
    assert driver.secret(text) == "pa$$wörd\n".encode()
    secrets.put_secret_value(SecretId=text, SecretBinary=b"\x00\xff")
    assert driver.secret(text) == b"\x00\xff"
    empty = secrets.create_secret(Name="driver/empty")["ARN"]
    for arn in (empty, f"{empty[:-6]}nobody"):
        with pytest.raises(core.NotFound, match="ResourceNotFoundException"):
            driver.secret(arn)


def test_an_unreachable_service_may_be_there_later(
    driver: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(core.ResourceError) as caught:
        driver.secret(f"arn:aws:secretsmanager:{REGION}:1:secret:x")
    assert caught.value.retryable
    with pytest.raises(core.ResourceError) as caught:
        driver.get_row("t", {"id": "x"})
    assert caught.value.retryable


def test_reading_a_secret_loads_no_sdk(aws_cloud: Cloud) -> None:
    import subprocess
    import sys

    made = aws_cloud.client("secretsmanager").create_secret(Name="driver/lean", SecretString="s")
    code = (
        "import sys, portafaas_aws.runtime.resources as r;"
        f"assert r.secret({made['ARN']!r}) == b's';"
        "print(sorted({'boto3', 'botocore', 'urllib3', 'urllib.request'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={**aws_cloud.environment},
    )  # fmt: skip
    assert done.stdout.strip() == "[]"


def test_codes_that_may_pass() -> None:
    from portafaas_aws.runtime.calls import is_retryable

    for code, status in (("ThrottlingException", 400), ("SlowDown", 503), ("X", 500), ("X", 429),
                         ("ProvisionedThroughputExceededException", 400)):  # fmt: skip
        assert is_retryable(code, status)
    for code in ("AccessDeniedException", "ValidationException", "NoSuchBucket"):
        assert not is_retryable(code, 400)
