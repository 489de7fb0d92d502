"""Events and messages: CloudEvents 1.0 in and out."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portafaas.runtime.cloudevent import decode_data, event_from_message, matches_filter
from portafaas.runtime.event import ChangeEvent, Event, ObjectEvent, ScheduleEvent
from portafaas.runtime.message import Batch, BatchResult, Message


def wrap(body: bytes = b"", attributes: dict[str, str] | None = None, **facts: Any) -> Event:
    return event_from_message(body, attributes or {}, **{"id": "m1", "source": "/s/t", **facts})


# --- data


@pytest.mark.parametrize(
    ("body", "kind", "data"),
    [
        (b"", None, None),
        (b"", "application/json", None),
        (b"\xff", None, b"\xff"),
        (b"{}", None, b"{}"),
        (b'{"a": 1}', "application/json", {"a": 1}),
        (b"null", "application/json", None),
        (b'"x"', "Application/JSON; charset=utf-8", "x"),
        (b"[1]", "application/vnd.shop+json", [1]),
        (b"a", "text/plain", "a"),
        (b"\xc3\xa4", "TEXT/html; charset=utf-8", "\u00e4"),
        (b"a", "application/xml", b"a"),
        # What does not fit its type stays as it came.
        (b"{", "application/json", b"{"),
        (b"\xff", "application/json", b"\xff"),
        (b"\xff", "text/plain", b"\xff"),
        (b"[" * 100_000, "application/json", b"[" * 100_000),
    ],
)
def test_decode_data(body: bytes, kind: str | None, data: Any) -> None:
    assert decode_data(body, kind) == data


def test_json_of_an_event() -> None:
    assert Event("1", "s", "t", {"a": 1}, datacontenttype="application/json").json() == {"a": 1}
    assert Event("1", "s", "t", "x", datacontenttype="application/json").json() == "x"
    assert Event("1", "s", "t", "[1]", datacontenttype="text/plain").json() == [1]
    assert Event("1", "s", "t", b"[1]").json() == [1]
    assert Event("1", "s", "t").json() is None


@pytest.mark.parametrize("kind", [None, "application/json"])
def test_json_of_an_event_that_has_none(kind: str | None) -> None:
    event = Event("1", "s", "t", decode_data(b"{", kind), datacontenttype=kind)
    with pytest.raises(ValueError, match="Expecting"):
        event.json()


# --- an event out of a message


def test_a_plain_message_is_wrapped() -> None:
    event = wrap(b"\x00", {"colour": "red"}, time="2026-11-23T10:00:00.000Z", key="k", attempt=3)
    assert (event.id, event.source, event.type) == ("m1", "/s/t", "portafaas.topic.message")
    assert (event.data, event.time, event.key, event.attempt) == (
        b"\x00", "2026-11-23T10:00:00.000Z", "k", 3,
    )  # fmt: skip
    assert event.attributes == {"colour": "red"}
    assert event.extensions == {}
    assert event.subject is event.dataschema is event.datacontenttype is None


def test_attributes_with_a_prefix_make_a_binary_event() -> None:
    event = wrap(
        b'{"a": 1}',
        {
            "ce-specversion": "1.0", "ce-id": "e1", "ce-source": "/x", "ce-type": "t",
            "ce-subject": "s", "ce-time": "2026-11-23T12:00:00+02:00", "ce-TraceParent": "00-1",
            "content-type": "application/json", "colour": "red",
        },
        time="2020-01-01T00:00:00.000Z",
    )  # fmt: skip
    assert (event.id, event.source, event.type, event.subject) == ("e1", "/x", "t", "s")
    assert event.time == "2026-11-23T10:00:00.000Z"
    assert event.data == {"a": 1}
    assert event.datacontenttype == "application/json"
    assert event.extensions == {"traceparent": "00-1"}
    assert event.attributes == {"colour": "red"}


def test_the_prefix_is_the_platforms() -> None:
    event = wrap(b"", {"cloudEvents:type": "t", "ce-type": "u"}, prefixes=("cloudEvents:",))
    assert event.type == "t"
    assert event.attributes == {"ce-type": "u"}


def test_a_structured_event() -> None:
    body = {
        "specversion": "1.0", "id": "e1", "source": "/x", "type": "t", "data": {"a": 1},
        "dataschema": "https://s", "tenant": "t1",
    }  # fmt: skip
    event = wrap(
        json.dumps(body).encode(), content_type="application/cloudevents+json; charset=utf-8"
    )
    assert (event.id, event.data, event.dataschema) == ("e1", {"a": 1}, "https://s")
    assert event.datacontenttype == "application/json"
    assert event.extensions == {"tenant": "t1"}


def test_a_structured_event_with_bytes() -> None:
    body = {"specversion": "1.0", "id": "1", "source": "s", "type": "t", "data_base64": "AP8="}
    event = wrap(json.dumps(body).encode(), {"content-type": "application/cloudevents+json"})
    assert event.data == b"\x00\xff"


@pytest.mark.parametrize("body", [b"[]", b"{", b"1", b""])
def test_a_structured_event_must_be_an_object(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"JSON object|Expecting"):
        wrap(body, content_type="application/cloudevents+json")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc"), inner, max_size=3),
    max_leaves=5,
)


@given(JSON.filter(lambda value: value is not None) | st.binary(min_size=1))
def test_an_event_survives_its_json_format(data: Any) -> None:
    sent = Event(
        "1", "/s", "t", data, subject="x", time="2026-11-23T10:00:00.000Z",
        datacontenttype=None if isinstance(data, bytes) else "application/json",
        extensions={"tenant": "a"},
    )  # fmt: skip
    body = sent.to_dict()
    assert body["specversion"] == "1.0"
    received = wrap(json.dumps(body).encode(), content_type="application/cloudevents+json")
    if isinstance(data, bytes):
        assert base64.b64decode(body["data_base64"]) == data
    for name in ("id", "source", "type", "subject", "time", "data", "extensions"):
        assert getattr(received, name) == getattr(sent, name)


def test_absent_attributes_are_left_out() -> None:
    assert Event("1", "s", "t").to_dict() == {
        "specversion": "1.0", "id": "1", "source": "s", "type": "t"
    }  # fmt: skip


# --- filters


@pytest.mark.parametrize(
    ("wanted", "passes"),
    [
        ({}, True),
        ({"type": ["t"]}, True),
        ({"type": ["u", "t"], "source": ["/s"]}, True),
        ({"type": ["t"], "source": ["/x"]}, False),
        ({"subject": ["x"]}, False),
        ({"tenant": ["a"]}, True),
        ({"colour": ["red", "blue"]}, True),
        ({"colour": ["re"]}, False),
        ({"absent": ["a"]}, False),
        ({"both": ["extension"]}, True),
        ({"both": ["attribute"]}, False),
    ],
)
def test_filters(wanted: dict[str, list[str]], passes: bool) -> None:
    event = Event(
        "1", "/s", "t", extensions={"tenant": "a", "both": "extension"},
        attributes={"colour": "red", "both": "attribute"},
    )  # fmt: skip
    assert matches_filter(event, wanted) is passes


# --- the special events


def test_object_events() -> None:
    event = ObjectEvent("1", "/s", bucket="b", key="a/\u00e4", kind="created", size=0, etag="e")
    assert event.type == "portafaas.object.created"
    assert event.subject == event.key == "a/\u00e4"
    assert event.data == {"bucket": "b", "key": "a/\u00e4", "size": 0, "etag": "e"}
    gone = ObjectEvent("1", "/s", bucket="b", key="k", kind="deleted")
    assert gone.data == {"bucket": "b", "key": "k"}
    assert (gone.size, gone.etag, gone.bucket, gone.kind) == (None, None, "b", "deleted")


def test_change_events() -> None:
    keys = {"id": 1, "at": "x"}
    event = ChangeEvent("1", "/s", table="t", kind="update", keys=keys, new={"a": 2})
    assert event.type == "portafaas.table.update"
    assert event.subject == event.key == "1/x"
    assert event.data == {"keys": keys, "new": {"a": 2}}
    assert (event.new, event.old, event.table) == ({"a": 2}, None, "t")


def test_schedule_events() -> None:
    event = ScheduleEvent("1", "/s", time="2026-11-23T10:00:00.000Z")
    assert event.type == "portafaas.schedule.fired"
    assert event.data is None
    assert "ScheduleEvent" in repr(event)


# --- messages


def test_messages() -> None:
    message = Message("1", b'{"a": "\xc3\xa4"}', queue="q", attempt=2)
    assert message.text == '{"a": "\u00e4"}'
    assert message.json() == {"a": "\u00e4"}
    assert message.attributes == {}
    assert repr(message) == "<Message id='1' queue='q' attempt=2>"
    with pytest.raises(UnicodeDecodeError):
        Message("1", b"\xff").text  # noqa: B018
    with pytest.raises(ValueError, match="Expecting"):
        Message("1", b"{").json()


def test_batches() -> None:
    messages = [Message(str(number), b"") for number in range(3)]
    batch = Batch("q", iter(messages))
    assert list(batch) == messages
    assert len(batch) == 3
    assert repr(batch) == "<Batch of 3 from 'q'>"
    result = BatchResult([messages[2], "0"])
    result.retry(messages[2])
    result.retry("1")
    assert result.failed == ("2", "0", "1")
    assert BatchResult().failed == ()
