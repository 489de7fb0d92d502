"""What handlers rely on of queues and topics (docs/spec/resources.md), on every back end.

What a peer does otherwise than its platform is in ``messaging``.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portafaas.runtime import Event, ResourceError
from portafaas.runtime import control as ours
from portafaas.runtime.outbound import MAX_MESSAGE
from portafaas.runtime.resources import driver
from tests.behaviour import handlers
from tests.behaviour.backends import Backend
from tests.behaviour.messaging import Channel

pytestmark = pytest.mark.filterwarnings("ignore:Unverified HTTPS request")

Make = Callable[..., Channel]
#: By what is sent, the body as bytes.
BODIES: list[Any] = [
    "text", "gr\u00fc\u00dfe \U0001f600 \u0430", "", " ", "\n", "\t tabs and ends \r\n", "=", "AAAA",
    "\0", "\x01\x0b\x7f\x80\uffff", "<a href='x'>&amp;\"</a>", '{"TopicArn": "x", "Type": "Notification"}',
    b"", b"\0", bytes(range(256)), b"\xff\xfe", "\ud7ff\ue000".encode(), b"\xef\xbb\xbfbom",
    {"a": [1, None, True, 1.5, "\U0001f600"], "": {}}, [], 0, "0", None, False, {"specversion": "1.0"},
]  # fmt: skip
#: Values that some transport would trim, split, parse or refuse.
ATTRIBUTES = {
    "plain": "1", "A.b-C_9": " spaces at both ends ", "unicode": "gr\u00fc\u00dfe \U0001f600",
    "json": '{"a": "\\"b\\""}', "quoted": "a=b&c=%20;d,e'f\"g", "true": "true",
    "long": "\u00e9" * 512,
}  # fmt: skip
TRACED = {"traceparent", "tracestate", "correlationid"}


def data_of(body: Any) -> bytes:
    if isinstance(body, bytes):
        return body
    if isinstance(body, str):
        return body.encode()
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def by_id(items: list[Any]) -> dict[str, Any]:
    found = {item.id: item for item in items}
    assert len(found) == len(items), "something came twice"
    return found


# Bodies and attributes


def test_bodies_of_messages(make: Make) -> None:
    queue = make("queue")
    ids = [queue.client.send(body) for body in BODIES[:3]]
    ids += queue.client.send_batch({"body": body} for body in BODIES[3:])
    found = by_id(queue.deliver())
    assert found.keys() == set(ids) and len(set(ids)) == len(BODIES)
    for id, body in zip(ids, BODIES, strict=True):
        message = found[id]
        assert message.body == data_of(body), body
        assert (message.queue, message.attempt, message.key) == (queue.name, 1, None)
        assert message.attributes.keys() == TRACED
        assert message.attributes["tracestate"] == "vendor=1,other=2"
    assert queue.deliver() == []


def test_data_of_events(make: Make) -> None:
    topic = make("topic")
    ids = [topic.client.publish(data, type="a.b") for data in BODIES[:3]]
    ids += topic.client.publish_batch({"data": data, "type": "a.b"} for data in BODIES[3:])
    found = by_id(topic.deliver())
    assert found.keys() == set(ids) and len(set(ids)) == len(BODIES)
    for id, data in zip(ids, BODIES, strict=True):
        event = found[id]
        # Empty is no data.
        assert event.data == (data or None if isinstance(data, (str, bytes)) else data), data
        assert type(event.data) is type(data) or data in ("", b"")
        assert (event.type, event.source) == ("a.b", "/shop/functions/sender")
        assert (event.attempt, event.key, event.subject, event.dataschema) == (1, None, None, None)
        assert event.attributes == {} and event.extensions.keys() == TRACED
        kind: dict[Any, str] = {str: "text/plain; charset=utf-8", bytes: "application/octet-stream"}
        wanted = kind.get(type(data), "application/json")
        assert event.datacontenttype == (None if data is None else wanted)


@pytest.mark.parametrize("ordered", [False, True])
def test_attributes_of_messages(make: Make, ordered: bool) -> None:
    """Seven of its own, and all that portafaas has beside them."""
    queue = make("queue", ordered=ordered)
    key = {"key": "k"} if ordered else {}
    message = queue.client.prepared(b"\xff", attributes=ATTRIBUTES, dedup="d/1", ttl=600, **key)
    # With seven of its own tracestate gives way; a copy has two more.
    assert "tracestate" not in message.attributes
    message.attributes |= {
        "tracestate": "vendor=1", ours.ATTEMPT: "2", ours.SENT: "2026-01-02T03:04:05.000Z",
    }  # fmt: skip
    assert driver(queue.target).send(queue.address, [message], ordered) == []
    (found,) = queue.deliver()
    assert (found.id, found.body, found.attempt) == (message.id, b"\xff", 3)
    assert found.key == ("k" if ordered else None)
    traced = {name: message.attributes[name] for name in TRACED}
    assert found.attributes == {**ATTRIBUTES, **traced}
    assert traced["traceparent"].startswith("00-0123456789abcdef0123456789abcdef-")
    assert found.control[ours.DEDUP] == "d/1"


@pytest.mark.parametrize("ordered", [False, True])
def test_events_with_everything(make: Make, ordered: bool) -> None:
    topic = make("topic", ordered=ordered)
    facts: dict[str, Any] = {
        "subject": "orders/7 gr\u00fc\u00dfe \U0001f600", "time": "2026-01-02T03:04:05.678Z",
        "dataschema": "https://example.com/a?b=c#d", "datacontenttype": "application/vnd.x+json",
    }  # fmt: skip
    sent = Event(
        "id with spaces / \u00fc", "//example.com/source?q=1", "com.example.\u00fc", {"a": "\U0001f600"},
        extensions={"one1": "x", "other": "\u00e9\U0001f600 ", "number": "7"},
        attributes=ATTRIBUTES, key="k/1" if ordered else None, **facts,
    )  # fmt: skip
    assert topic.client.publish(sent) == sent.id
    (found,) = topic.deliver()
    for name in ("id", "source", "type", "data", *facts):
        assert getattr(found, name) == getattr(sent, name), name
    assert found.attributes == ATTRIBUTES
    assert {n: v for n, v in found.extensions.items() if n not in TRACED} == sent.extensions
    assert found.extensions.keys() - sent.extensions.keys() == TRACED
    if ordered:
        assert found.key == "k/1"


@pytest.mark.parametrize(
    ("kind", "data"),
    [("text/html", "<\u00fc>"), ("application/json", [1]), ("image/png", b"\x89PNG\0"),
     ("application/json; charset=utf-8", "text"), ("text/plain", b"\xff"), ("application/xml", "<a/>")],
)  # fmt: skip
def test_types_of_data(make: Make, kind: str, data: Any) -> None:
    topic = make("topic")
    topic.client.publish(Event("1", "/s", "t", data, datacontenttype=kind))
    (found,) = topic.deliver()
    assert found.datacontenttype == kind
    # What is neither JSON nor text stays bytes, and so does what is not what it says.
    assert found.data == (data.encode() if kind == "application/xml" else data)


# Order


KEYS = ["a", "a/b", "~!@#$%^&*()_+{}|:\"<>?[];',.`", "k" * 128]


@pytest.mark.parametrize("kind", ["queue", "topic"])
def test_order_within_a_key(make: Make, kind: str) -> None:
    line = make(kind, ordered=True)
    sent = [(KEYS[number % len(KEYS)], number) for number in range(30)]
    if kind == "queue":
        for key, number in sent[:5]:
            line.client.send(number, key=key)
        line.client.send_batch({"body": number, "key": key} for key, number in sent[5:])
    else:
        for key, number in sent[:5]:
            line.client.publish(number, type="t", key=key)
        line.client.publish_batch({"data": n, "type": "t", "key": key} for key, n in sent[5:])
    handlers.failing.update((0, 7))
    found = line.deliver()
    line.wait(600)
    found += line.deliver()
    values = [(item.key, item.json() if kind == "queue" else item.data) for item in found]
    assert sorted(number for _, number in values) == list(range(30))
    for key in KEYS:
        assert [pair for pair in values if pair[0] == key] == [p for p in sent if p[0] == key]


def test_duplicates(make: Make, backend: Backend) -> None:
    """Once where the platform can tell; else the handler's idempotency can, by the same mark."""
    line = make("queue", ordered=True)
    first = line.client.send("x", key="a", dedup="same/thing~1")
    line.client.send("y", key="a", dedup="another")
    line.client.send("x", key="a", dedup="same/thing~1")
    found = line.deliver()
    marks = [item.control[ours.DEDUP] for item in found]
    assert found[0].id == first
    if backend.target in ("local", "aws"):
        assert marks == ["same/thing~1", "another"]
    else:
        assert marks == ["same/thing~1", "another", "same/thing~1"]


# Time


def test_a_delay(make: Make) -> None:
    queue = make("queue")
    ids = queue.client.send_batch(
        [{"body": "later", "delay": 90, "attributes": {"a": "\u00fc"}}, {"body": "now"},
         {"body": b"\0", "delay": 900}]
    )  # fmt: skip
    assert [one.id for one in queue.deliver()] == [ids[1]]
    queue.wait(60)
    assert queue.deliver() == []
    queue.wait(31)
    (found,) = queue.deliver()
    assert (found.id, found.body, found.attempt) == (ids[0], b"later", 1)
    assert found.attributes["a"] == "\u00fc"
    queue.wait(900)
    assert [(one.id, one.body) for one in queue.deliver()] == [(ids[2], b"\0")]


def test_a_time_to_live(make: Make) -> None:
    queue = make("queue")
    kept = queue.client.send("kept", ttl=600)
    queue.client.send("gone", ttl=20)
    late = queue.client.send("late", ttl=20, delay=60)
    queue.wait(61)
    assert {one.id for one in queue.deliver()} == {kept, late}
    queue.client.send("gone, too", ttl=20, delay=10)
    queue.wait(3600)
    assert queue.deliver() == []
    queue.wait(3600)
    assert queue.deliver() == []


def test_what_failed_comes_again(make: Make) -> None:
    queue = make("queue")
    handlers.failing.add(0)
    id = queue.client.send("x", attributes={"a": "b"})
    found = queue.deliver()
    queue.wait(3600)
    (message,) = [*found, *queue.deliver()]
    assert (message.id, message.body, message.attributes["a"]) == (id, b"x", "b")


# Sizes


@pytest.mark.parametrize("kind", ["queue", "topic"])
def test_a_large_batch(make: Make, kind: str) -> None:
    """25 messages, 1.9 MB: more than a request of any target takes."""
    random.seed(7)
    sizes = [0, 1, 250_000, 10, 130_000, 130_000, 240_000, 240_000, 240_000,
             *(random.randrange(100_000) for _ in range(16))]  # fmt: skip
    bodies = [bytes([65 + number]) * size for number, size in enumerate(sizes)]
    # Base64 where there is no text.
    bodies[5] = random.randbytes(130_000)
    assert sum(map(len, bodies)) > 1_400_000
    line = make(kind, batch=10) if kind == "queue" else make(kind)
    if kind == "queue":
        ids = line.client.send_batch({"body": body} for body in bodies)
    else:
        ids = line.client.publish_batch({"data": body, "type": "t"} for body in bodies)
    found = by_id(line.deliver())
    for id, body in zip(ids, bodies, strict=True):
        item = found.pop(id)
        assert (item.body if kind == "queue" else item.data or b"") == body
    assert not found


def test_the_longest_message(make: Make) -> None:
    queue = make("queue")
    spare = queue.client.prepared("", attributes=ATTRIBUTES)
    size = MAX_MESSAGE - sum(len(n) + len(v.encode()) for n, v in spare.attributes.items())
    body = "\u00e9" * (size // 2)
    id = queue.client.send(body, attributes=ATTRIBUTES)
    (found,) = queue.deliver()
    assert (found.id, found.text) == (id, body)
    with pytest.raises(ValueError, match="at most"):
        queue.client.send(body + "xx", attributes=ATTRIBUTES)


@pytest.mark.parametrize("kind", ["queue", "topic"])
def test_a_claim_check(make: Make, backend: Backend, kind: str) -> None:
    line = make(kind, claims=backend.bucket())
    random.seed(8)
    large, text = random.randbytes(1_000_000), "\u00fc" * 500_000
    if kind == "queue":
        ids = line.client.send_batch([{"body": large, "attributes": ATTRIBUTES}, {"body": "small"}])
        ids.append(line.client.send(text))
        bodies = {one.id: one.body for one in line.deliver()}
        assert bodies == dict(zip(ids, (large, b"small", text.encode()), strict=True))
    else:
        ids = [line.client.publish(data, type="t", attributes={"a": "b"}) for data in (large, text)]
        found = by_id(line.deliver())
        assert {id: one.data for id, one in found.items()} == dict(zip(ids, (large, text), strict=True))
        assert all(one.attributes == {"a": "b"} for one in found.values())


# Errors


@pytest.mark.parametrize("kind", ["queue", "topic"])
def test_a_broker_that_knows_nothing_of_it(make: Make, backend: Backend, kind: str) -> None:
    if backend.target == "local":
        return  # there is every queue
    line = make(kind)
    line.client._grant["address"] += "-nothing"
    if backend.target == "azure":
        backend.bus.refused_links[f"{line.name}-nothing"] = "amqp:not-found"  # type: ignore[attr-defined]
    send = line.client.send if kind == "queue" else lambda body: line.client.publish(body, type="t")
    batch = (
        (lambda: line.client.send_batch([{"body": "a"}, {"body": "b"}]))
        if kind == "queue"
        else (lambda: line.client.publish_batch([{"data": "a", "type": "t"}] * 2))
    )
    for call in (lambda: send("x"), batch):
        with pytest.raises(ResourceError) as caught:
            call()
        # The Service Bus here cannot say so early enough that Microsoft's client hears why.
        assert caught.value.retryable is (backend.target == "azure")


def test_some_of_a_batch(make: Make, backend: Any) -> None:
    """Where a broker can be made to refuse one of several: the others are sent, and named."""
    queue = make("queue")
    batch: list[Any] = [{"body": "a"}, {"body": "b"}, {"body": "c"}]
    if backend.target == "azure":
        # Of two batches the second is refused.
        batch = [{"body": "a" * 200_000}, {"body": "b" * 200_000}]
        backend.bus.outcomes[queue.name] = [None, "com.microsoft:argument-error"]
    elif backend.target == "gcp":
        batch[1]["delay"] = 5
        backend.forbidden.add("roles/cloudtasks.enqueuer")
    else:
        return  # neither SQS in moto nor SQLite refuses one of several that the client lets through
    try:
        with pytest.raises(ResourceError, match="did not take 1 of") as caught:
            queue.client.send_batch(batch)
    finally:
        if backend.target == "gcp":
            backend.forbidden.clear()
    assert [index for index, _ in caught.value.failed] == [1]
    found = [one.body.decode() for one in queue.deliver()]
    assert sorted(found) == sorted(b["body"] for n, b in enumerate(batch) if n != 1)


# Anything

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
BODY = st.binary(max_size=40) | TEXT | st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=4,
)  # fmt: skip
NAME = st.from_regex(r"[A-Za-z0-9_-]{1,12}(\.[A-Za-z0-9_-]{1,5})?", fullmatch=True).filter(
    lambda name: not name.lower().startswith(("goog", "ce-", "pf-", "diagnostic-id", "aws.", "amazon."))
    and name not in TRACED
)  # fmt: skip
VALUE = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn"]), min_size=1, max_size=20)
TOKEN = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=128)
OWN = st.dictionaries(NAME, VALUE, max_size=7)
few = settings(
    max_examples=5, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip


@few
@given(batch=st.lists(st.tuples(BODY, OWN, TOKEN), min_size=1, max_size=12))
def test_any_messages(make: Make, batch: list[Any]) -> None:
    queue = make("queue", ordered=True)
    ids = queue.client.send_batch(
        {"body": body, "attributes": own, "key": key} for body, own, key in batch
    )
    found = by_id(queue.deliver())
    assert list(found) != [] and found.keys() == set(ids)
    for id, (body, own, key) in zip(ids, batch, strict=True):
        message = found[id]
        assert (message.body, message.key) == (data_of(body), key)
        assert {n: v for n, v in message.attributes.items() if n not in TRACED} == own


@few
@given(batch=st.lists(st.tuples(BODY, OWN, VALUE, VALUE), min_size=1, max_size=12))
def test_any_events(make: Make, batch: list[Any]) -> None:
    topic = make("topic")
    ids = topic.client.publish_batch(
        {"data": data, "attributes": own, "type": type, "subject": subject}
        for data, own, type, subject in batch
    )
    found = by_id(topic.deliver())
    assert found.keys() == set(ids)
    for id, (data, own, type, subject) in zip(ids, batch, strict=True):
        event = found[id]
        assert event.data == (data or None if isinstance(data, (str, bytes)) else data)
        assert (event.type, event.subject, event.attributes) == (type, subject, own)
