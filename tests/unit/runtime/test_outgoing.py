"""Messages and events that handlers send: what no target takes, and what arrives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from portafaas.local.resources import messages
from portafaas.runtime.cloudevent import event_from_message
from portafaas.runtime.context import Context
from portafaas.runtime.event import Event
from portafaas.runtime.http import Request
from portafaas.runtime.outbound import MAX_ATTRIBUTES
from portafaas.runtime.resources import Outgoing, ResourceError
from portafaas.runtime.serve import run

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def sent(tmp_path: Path, kind: str, name: str) -> list[dict[str, Any]]:
    return messages(tmp_path, kind, name)


BODIES = [
    ("text \u00e4", b"text \xc3\xa4", "text/plain; charset=utf-8"),
    ("", b"", "text/plain; charset=utf-8"),
    (b"\xff\x00", b"\xff\x00", "application/octet-stream"),
    (bytearray(b"x"), b"x", "application/octet-stream"),
    ({"a": [1, None, True, "\u00e4"]}, '{"a":[1,null,true,"\u00e4"]}'.encode(), "application/json"),
    ([], b"[]", "application/json"),
    (7, b"7", "application/json"),
    (None, b"null", "application/json"),
]


@pytest.mark.parametrize(("body", "data", "content_type"), BODIES)
def test_bodies(used: Context, tmp_path: Path, body: Any, data: bytes, content_type: str) -> None:
    found = used.queues["jobs"].send(body)
    (message,) = sent(tmp_path, "queue", "jobs")
    assert (message["id"], message["body"]) == (found, data)
    assert message["content_type"] == content_type
    assert (message["key"], message["delay"], message["dedup"]) == (None, 0, None)


def test_trace_and_correlation_go_along(make: Any, used: Context, tmp_path: Path) -> None:
    def handle(request: Request, context: Context) -> None:
        context.queues["jobs"].send("x", attributes={"mine": "1"})
        context.topics["news"].publish({}, type="t")

    function = make(handle)
    function.uses = used._function.uses
    headers = {"traceparent": PARENT, "tracestate": "a=1", "x-correlation-id": "c-1"}
    context = Context(function, "1", trace_parent=PARENT)
    assert run(function, Request(headers=headers), context).status == 204
    carried = {
        "traceparent": f"00-{context.trace_id}-{context.span_id}-01",
        "tracestate": "a=1",
        "correlationid": "c-1",
    }
    assert context.trace_id == PARENT[3:35]
    (message,) = sent(tmp_path, "queue", "jobs")
    assert message["attributes"] == {"mine": "1"} | carried
    (message,) = sent(tmp_path, "topic", "news")
    event = event_from_message(
        message["body"], message["attributes"], id="x", source="x",
        content_type=message["content_type"],
    )  # fmt: skip
    assert event.extensions == carried
    assert event.attributes == {}


def test_what_the_sender_says_wins(used: Context, tmp_path: Path) -> None:
    own = {"traceparent": PARENT, "correlationid": "mine"}
    used.queues["jobs"].send("x", attributes=own)
    assert sent(tmp_path, "queue", "jobs")[0]["attributes"] == own


def test_ordered_queues(used: Context, tmp_path: Path) -> None:
    queue = used.queues["in-order"]
    queue.send("x", key="k", dedup="d")
    queue.send("y", key="k", dedup="d")
    (message,) = sent(tmp_path, "queue", "in-order")
    assert (message["key"], message["dedup"], message["body"]) == ("k", "d", b"x")
    with pytest.raises(ValueError, match="is ordered: give a key="):
        queue.send("x")
    with pytest.raises(ValueError, match="cannot be delayed"):
        queue.send("x", key="k", delay=1)
    with pytest.raises(ValueError, match="is not ordered: it takes no key="):
        used.queues["jobs"].send("x", key="k")
    used.queues["jobs"].send("x", delay=900)
    assert sent(tmp_path, "queue", "jobs")[0]["delay"] == 900


BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"body": {1, 2}}, TypeError, "not JSON serializable"),
    ({"body": {"a": float("nan")}}, ValueError, "not JSON compliant"),
    ({"body": "\ud800"}, ValueError, "surrogates"),
    ({"body": "x" * 256_001}, ValueError, "at most 256000"),
    ({"body": b"\xff" * 200_000}, ValueError, "write the content to a bucket"),
    ({"body": "\x1b" * 200_000}, ValueError, "write the content to a bucket"),
    ({"body": "x" * 200_000 + "\uffff"}, ValueError, "write the content to a bucket"),
    ({"attributes": [("a", "b")]}, TypeError, "attributes are a mapping, not 'list'"),
    ({"delay": -1}, ValueError, "between 0 and 900"),
    ({"delay": 901}, ValueError, "between 0 and 900"),
    ({"delay": 1.5}, TypeError, "whole seconds"),
    ({"delay": True}, TypeError, "whole seconds"),
    ({"dedup": ""}, ValueError, "dedup"),
    ({"dedup": "a b"}, ValueError, "visible ASCII"),
    ({"dedup": "x" * 129}, ValueError, "1 to 128"),
    ({"dedup": 7}, TypeError, "must be text"),
    ({"attributes": {"a": 1}}, TypeError, "are text"),
    ({"attributes": {1: "a"}}, TypeError, "are text"),
    ({"attributes": {"": "a"}}, ValueError, "attribute name"),
    ({"attributes": {"a b": "a"}}, ValueError, "attribute name"),
    ({"attributes": {".a": "a"}}, ValueError, "attribute name"),
    ({"attributes": {"a.": "a"}}, ValueError, "attribute name"),
    ({"attributes": {"a..b": "a"}}, ValueError, "attribute name"),
    ({"attributes": {"\u00e4": "a"}}, ValueError, "attribute name"),
    ({"attributes": {"x" * 257: "a"}}, ValueError, "attribute name"),
    ({"attributes": {"AWS.x": "a"}}, ValueError, "reserved"),
    ({"attributes": {"pf-x": "a"}}, ValueError, "reserved"),
    ({"attributes": {"ce-x": "a"}}, ValueError, "reserved"),
    ({"attributes": {"googclient_x": "a"}}, ValueError, "reserved"),
    ({"attributes": {"a": ""}}, ValueError, "0 bytes"),
    ({"attributes": {"a": "x" * 1025}}, ValueError, "1025 bytes"),
    ({"attributes": {"a": "x\n"}}, ValueError, "control characters"),
    ({"attributes": {"a": "\uffff"}}, ValueError, "control characters"),
    ({"attributes": {f"a{n}": "x" for n in range(MAX_ATTRIBUTES - 1)}}, ValueError, "of its own"),
]


@pytest.mark.parametrize(("arguments", "error", "text"), BAD)
def test_what_no_target_takes(
    used: Context, tmp_path: Path, arguments: dict[str, Any], error: type[Exception], text: str
) -> None:
    arguments = {"body": "x"} | arguments
    with pytest.raises(error, match=text):
        used.queues["jobs"].send(**arguments)
    with pytest.raises(error, match="message 1: "):
        used.queues["jobs"].send_batch([{"body": "ok"}, arguments])
    assert sent(tmp_path, "queue", "jobs") == []


def test_a_state_gives_way_to_the_sender_s_attributes(make: Any, used: Context) -> None:
    function = make()
    function.uses = used._function.uses
    context = Context(function, "1", trace_parent=PARENT)
    context.payload = Request(headers={"traceparent": PARENT, "tracestate": "a=1"})
    many = {f"a{n}": "\u00e4 x" for n in range(MAX_ATTRIBUTES - 2)}
    message = context.queues["jobs"]._message("x", None, many, 0, None)
    assert len([name for name in message.attributes if name != "pf-id"]) == MAX_ATTRIBUTES
    assert "traceparent" in message.attributes
    assert "tracestate" not in message.attributes


def test_batches(used: Context, tmp_path: Path) -> None:
    queue = used.queues["in-order"]
    assert queue.send_batch([]) == []
    ids = queue.send_batch(
        [
            {"body": {"a": 1}, "key": "k", "attributes": {"b": "c"}},
            Outgoing("my-id", b"raw", content_type="image/png", key="k2", dedup="d"),
        ]
    )
    one, two = sent(tmp_path, "queue", "in-order")
    assert ids == [one["id"], "my-id"] == [one["id"], two["id"]]
    assert one["attributes"]["b"] == "c"
    assert (two["body"], two["content_type"], two["key"]) == (b"raw", "image/png", "k2")
    for bad in ({"key": "k"}, {"body": "x", "key": "k", "extra": 1}):
        with pytest.raises(ValueError, match="message 0: it may have attributes, body"):
            queue.send_batch([bad])


PARTIAL = """
def send(address, messages, ordered):
    return [(1, "throttled")]

publish = send
"""


@pytest.mark.parametrize("id_", ["", "x" * 1025, "a\x00b", "\ud800", 7])
def test_ids_that_not_all_targets_carry(used: Context, tmp_path: Path, id_: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"message 1: .*id"):
        used.queues["jobs"].send_batch([{"body": "a"}, Outgoing(id_, b"")])
    assert sent(tmp_path, "queue", "jobs") == []


def test_a_batch_of_which_some_fail(used: Context, tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "partial_driver.py").write_text(PARTIAL)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PORTAFAAS_RESOURCES", "partial_driver")
    for send in (
        lambda: used.queues["jobs"].send_batch([{"body": "x"}, {"body": "y"}]),
        lambda: used.topics["news"].publish_batch([{"type": "t"}, {"type": "t"}]),
    ):
        with pytest.raises(ResourceError, match="1 of 2 messages: number 1: throttled") as caught:
            send()
        assert caught.value.failed == ((1, "throttled"),)
        assert caught.value.retryable


def received(message: dict[str, Any]) -> Event:
    return event_from_message(
        message["body"], message["attributes"], id="transport", source="transport",
        content_type=message["content_type"], key=message["key"],
    )  # fmt: skip


DATA = [
    ({"a": [1, 2.5, None]}, "application/json"),
    ([], "application/json"),
    (7, "application/json"),
    ("text \u00e4", "text/plain; charset=utf-8"),
    (b"\xff\x00", "application/octet-stream"),
    (None, None),
]


@pytest.mark.parametrize(("data", "content_type"), DATA)
def test_data_becomes_an_event(
    used: Context, tmp_path: Path, data: Any, content_type: str | None
) -> None:
    found = used.topics["news"].publish(
        data, type="order.placed", subject="A 1", attributes={"tier": "gold"}
    )
    (message,) = sent(tmp_path, "topic", "news")
    event = received(message)
    assert (event.id, event.type, event.subject) == (found, "order.placed", "A 1")
    assert event.source == "/shop/functions/f"
    assert event.data == data
    assert event.datacontenttype == content_type == message["content_type"]
    assert event.attributes == {"tier": "gold"}
    assert event.time is not None
    assert event.time.endswith("Z")


def test_an_event_arrives_as_it_is(used: Context, tmp_path: Path) -> None:
    event = Event(
        "e-1", "/elsewhere", "t", {"a": 1}, subject="s", time="2026-01-01T00:00:00.000Z",
        datacontenttype="application/vnd.x+json", dataschema="https://s.example/x",
        extensions={"ext1": "v", "traceparent": PARENT}, attributes={"plain": "p"}, key="k",
    )  # fmt: skip
    assert used.topics["ordered-news"].publish(event) == "e-1"
    (message,) = sent(tmp_path, "topic", "ordered-news")
    found = received(message)
    for name in ("id", "source", "type", "data", "subject", "time", "datacontenttype",
                 "dataschema", "attributes", "key"):  # fmt: skip
        assert getattr(found, name) == getattr(event, name), name
    assert found.extensions == {
        "ext1": "v", "traceparent": PARENT, "correlationid": used.correlation_id,
    }  # fmt: skip


def test_arguments_win_over_an_event(used: Context, tmp_path: Path) -> None:
    event = Event("e-1", "/s", "t", "x", subject="s", attributes={"a": "1", "b": "1"}, key="k")
    used.topics["news"].publish(event, type="other", subject="new", attributes={"b": "2"})
    found = received(sent(tmp_path, "topic", "news")[0])
    assert (found.type, found.subject, found.attributes) == ("other", "new", {"a": "1", "b": "2"})
    assert found.key is None


BAD_EVENTS: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
    ({}, {}, TypeError, "needs a type"),
    ({}, {"type": ""}, TypeError, "needs a type"),
    ({}, {"type": 7}, TypeError, "type must be text"),
    ({}, {"type": "t", "subject": ""}, ValueError, "'subject' has 0 bytes"),
    ({}, {"type": "t\n"}, ValueError, "control characters"),
    ({}, {"type": "t", "key": "k"}, ValueError, "is not ordered"),
    ({1}, {"type": "t"}, TypeError, "JSON"),
    (Event("1", "/s", "t", {"a": 1}, datacontenttype="text/plain"), {}, TypeError, "text or bytes"),
    (Event("1", "/s", "t", extensions={"Bad-Name": "x"}), {}, ValueError, "lower-case letters"),
    (Event("1", "/s", "t", extensions={"a": 1}), {}, TypeError, "a must be text"),  # type: ignore[dict-item]
    (Event("", "/s", "t"), {}, ValueError, "'id' has 0 bytes"),
    ("x" * 256_000, {"type": "t"}, ValueError, "at most 256000"),
]


@pytest.mark.parametrize(("data", "arguments", "error", "text"), BAD_EVENTS)
def test_events_that_no_target_takes(
    used: Context, tmp_path: Path, data: Any, arguments: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        used.topics["news"].publish(data, **arguments)
    assert sent(tmp_path, "topic", "news") == []


def test_batches_of_events(used: Context, tmp_path: Path) -> None:
    ids = used.topics["ordered-news"].publish_batch(
        [Event("e-1", "/s", "t", key="k"), {"data": 1, "type": "u", "key": "k"}]
    )
    assert ids[0] == "e-1"
    assert [m["id"] for m in sent(tmp_path, "topic", "ordered-news")] == ids
    with pytest.raises(ValueError, match="event 0: it may have"):
        used.topics["news"].publish_batch([{"body": 1}])


def test_only_what_the_function_emits(make: Any, used: Context, tmp_path: Path) -> None:
    grant = used._function.uses["topic"]["news"]
    function = make(lambda request, context: None)
    function.uses = {"topic": {"news": {**grant, "emits": ["a.b", "a.c"]}}}
    topic = Context(function, "1", target="local").topics["news"]
    topic.publish({}, type="a.b")
    topic.publish(Event("1", "s", "a.x", {}), type="a.c")
    line = "add 'a.x' to its 'emits' for topic 'news'"
    with pytest.raises(ValueError, match=line):
        topic.publish({}, type="a.x")
    with pytest.raises(ValueError, match=line):
        topic.publish(Event("1", "s", "a.x", {}))
    with pytest.raises(ValueError, match=f"event 1: .*{line}"):
        topic.publish_batch([{"data": 1, "type": "a.b"}, {"data": 1, "type": "a.x"}])
    assert len(sent(tmp_path, "topic", "news")) == 2
