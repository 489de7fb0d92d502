"""Clients of resources: grants, what is refused, and what reaches a driver (the local one)."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import portafaas.runtime as exported
from portafaas.local.resources import messages
from portafaas.runtime import resources
from portafaas.runtime.cloudevent import event_from_message
from portafaas.runtime.config import Config
from portafaas.runtime.context import Context
from portafaas.runtime.event import Event
from portafaas.runtime.http import Request
from portafaas.runtime.outbound import MAX_ATTRIBUTES
from portafaas.runtime.resources import (
    Conflict,
    NotFound,
    NotGranted,
    Outgoing,
    ResourceError,
    new_id,
)
from portafaas.runtime.serve import run

USES: dict[str, dict[str, Any]] = {
    "queue": {"jobs": {"verbs": ["send"], "ordered": False},
              "in-order": {"verbs": ["send"], "ordered": True}},
    "topic": {"news": {"verbs": ["publish"], "ordered": False},
              "ordered-news": {"verbs": ["publish"], "ordered": True}},
    "table": {"orders": {"verbs": ["read", "write"], "key": "id", "sort": "created"},
              "users": {"verbs": ["read"], "key": "id", "sort": ""},
              "audit": {"verbs": ["write"], "key": "id", "sort": ""}},
    "bucket": {"up": {"verbs": ["read", "write"]}, "down": {"verbs": ["read"]},
               "drop": {"verbs": ["write"]}},
    "secret": {"key": {"verbs": ["read"]}},
}  # fmt: skip
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def used(make: Any, tmp_path: Path, monkeypatch: Any) -> Context:
    """Return a context of a function that uses everything, kept in *tmp_path*."""
    for kind, names in USES.items():
        for name in names:
            variable = f"PORTAFAAS_{kind}_{name}".upper().replace("-", "_")
            monkeypatch.setenv(variable, str(tmp_path / kind / name))
    function = make()
    function.uses = USES
    return Context(function, "id-1")


def sent(tmp_path: Path, kind: str, name: str) -> list[dict[str, Any]]:
    return messages(tmp_path, kind, name)


def test_a_function_that_uses_nothing_reaches_nothing(context: Context) -> None:
    for kind in ("queues", "topics", "tables", "buckets", "secrets"):
        clients = getattr(context, kind)
        assert len(clients) == 0
        assert "x" not in clients
        with pytest.raises(NotGranted):
            clients["x"]


def test_a_mapping_of_what_is_granted(used: Context) -> None:
    assert list(used.queues) == ["jobs", "in-order"]
    assert "jobs" in used.queues
    assert len(used.tables) == 3
    assert used.queues["jobs"] is used.queues["jobs"]
    assert repr(used.queues) == "<queues jobs, in-order>"
    assert repr(used.secrets["key"]) == "<secret 'key'>"


REFUSED: list[tuple[Callable[[Context], Any], str]] = [
    (lambda c: c.queues["other"], "'- send: other'"),
    (lambda c: c.topics["jobs"], "'- publish: jobs'"),
    (lambda c: c.tables["x"], "'- read: x' or '- write: x'"),
    (lambda c: c.buckets["x"], "'- read: x' or '- write: x'"),
    (lambda c: c.secrets["x"], "'- read: x'"),
    (lambda c: c.tables["users"].put({"id": "1"}), "'- write: users'"),
    (lambda c: c.tables["users"].delete("1"), "'- write: users'"),
    (lambda c: c.tables["audit"].get("1"), "'- read: audit'"),
    (lambda c: c.buckets["down"].write("a", b""), "'- write: down'"),
    (lambda c: c.buckets["down"].delete("a"), "'- write: down'"),
    (lambda c: c.buckets["drop"].read("a"), "'- read: drop'"),
]


@pytest.mark.parametrize(("call", "line"), REFUSED)
def test_what_is_not_granted(used: Context, call: Any, line: str) -> None:
    with pytest.raises(NotGranted) as caught:
        call(used)
    assert isinstance(caught.value, PermissionError)
    assert isinstance(caught.value, ResourceError)
    assert caught.value.retryable is False
    assert "function 'f' may not" in str(caught.value)
    assert f"add {line} to its 'uses'" in str(caught.value)


def test_a_resource_whose_place_is_unknown(used: Context, monkeypatch: Any) -> None:
    monkeypatch.delenv("PORTAFAAS_QUEUE_JOBS")
    with pytest.raises(ResourceError, match=r"PORTAFAAS_QUEUE_JOBS.*is not set"):
        used.queues["jobs"].send("x")


def test_a_target_without_clients(used: Context) -> None:
    used.target = "nowhere"
    with pytest.raises(ResourceError, match=r"no module portafaas_nowhere\.runtime\.resources"):
        used.queues["jobs"].send("x")


def test_a_driver_that_lacks_a_package_says_which(
    used: Context, tmp_path: Path, monkeypatch: Any
) -> None:
    (tmp_path / "broken_driver.py").write_text("import not_installed_anywhere\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PORTAFAAS_RESOURCES", "broken_driver")
    with pytest.raises(ModuleNotFoundError, match="not_installed_anywhere"):
        used.queues["jobs"].send("x")


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
    function.uses = USES
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
    function.uses = USES
    context = Context(function, "1", trace_parent=PARENT)
    context.payload = Request(headers={"traceparent": PARENT, "tracestate": "a=1"})
    many = {f"a{n}": "\u00e4 x" for n in range(MAX_ATTRIBUTES - 2)}
    message = context.queues["jobs"]._message("x", None, many, 0, None)
    assert len(message.attributes) == MAX_ATTRIBUTES
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


ROW = {
    "id": "1", "created": "2026", "n": 7, "big": 2**53 - 1, "f": 1.5, "tiny": 1e-100, "t": True,
    "none": None, "empty": "", "list": [1, [2, {"a": []}]], "map": {"\u00e4": {"": 1}.__class__()},
}  # fmt: skip


def test_rows(used: Context) -> None:
    table = used.tables["orders"]
    assert table.get("1", "2026") is None
    table.put(ROW)
    found = table.get("1", "2026")
    assert found == ROW
    assert [type(found[name]) for name in ("n", "f", "t")] == [int, float, bool]
    table.put({"id": "1", "created": "2026", "whole": 2.0})
    found = table.get("1", "2026")
    assert found == {"id": "1", "created": "2026", "whole": 2}
    assert type(found["whole"]) is int
    with pytest.raises(Conflict):
        table.put(ROW, if_absent=True)
    table.put({"id": "1", "created": "2027"}, if_absent=True)
    table.delete("1", "2026")
    table.delete("1", "2026")
    assert table.get("1", "2026") is None
    assert table.get("1", "2027") == {"id": "1", "created": "2027"}


BAD_ROWS: list[tuple[Any, type[Exception], str]] = [
    ([], TypeError, "a row is a mapping"),
    ({"id": "1"}, TypeError, "key 'created' must be text, not None"),
    ({"created": "1"}, TypeError, "key 'id' must be text"),
    ({"id": 1, "created": "1"}, TypeError, "key 'id' must be text, not 1"),
    ({"id": "", "created": "1"}, ValueError, "key 'id' has 0 bytes"),
    ({"id": "x" * 1025, "created": "1"}, ValueError, "key 'id' has 1025 bytes"),
    ({"id": "1", "created": "1", "x": b""}, TypeError, "row.x: 'bytes' is no JSON value"),
    ({"id": "1", "created": "1", "x": {1}}, TypeError, "row.x: 'set'"),
    ({"id": "1", "created": "1", "x": [{"y": float("nan")}]}, ValueError, r"row.x\[0\].y: nan"),
    ({"id": "1", "created": "1", "x": float("inf")}, ValueError, "row.x: inf"),
    ({"id": "1", "created": "1", "x": 2**53}, ValueError, "row.x: .* beyond 2.53"),
    ({"id": "1", "created": "1", "x": 1e200}, ValueError, "row.x: 1e.200 is beyond"),
    ({"id": "1", "created": "1", "x": {1: 2}}, TypeError, "row.x: names must be text"),
    ({"id": "1", "created": "1", "": 2}, TypeError, "names must be text, and not empty"),
    ({"id": "1", "created": "1", "x": "\ud800"}, ValueError, "surrogates"),
    ({"id": "1", "created": "1", "x": "x" * 400_000}, ValueError, "at most 400000"),
]


@pytest.mark.parametrize(("row", "error", "text"), BAD_ROWS)
def test_rows_that_no_target_keeps(
    used: Context, row: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        used.tables["orders"].put(row)
    assert used.tables["orders"].get("1", "1") is None


def test_rows_that_are_too_deep(used: Context) -> None:
    value: Any = 1
    for _ in range(19):
        value = [value]
    used.tables["orders"].put({"id": "1", "created": "1", "x": value})
    with pytest.raises(ValueError, match="nested more than 20 deep"):
        used.tables["orders"].put({"id": "1", "created": "1", "x": [[value]]})


def test_keys(used: Context) -> None:
    with pytest.raises(TypeError, match="key 'created' must be text"):
        used.tables["orders"].get("1")
    with pytest.raises(TypeError, match="has no sort key"):
        used.tables["users"].get("1", "2")
    assert used.tables["users"].get("1") is None


def test_objects(used: Context) -> None:
    bucket = used.buckets["up"]
    with pytest.raises(NotFound):
        bucket.read("a")
    bucket.write("a/\u00e4 b", b"\xff", "image/png")
    assert bucket.read("a/\u00e4 b") == b"\xff"
    bucket.write("a/\u00e4 b", "text \u00e4")
    assert bucket.read("a/\u00e4 b") == "text \u00e4".encode()
    bucket.write("v", memoryview(b"x"))
    assert bucket.read("v") == b"x"
    bucket.delete("v")
    bucket.delete("v")
    with pytest.raises(NotFound):
        bucket.read("v")


@pytest.mark.parametrize(
    ("key", "error"),
    [("", ValueError), ("x" * 1025, ValueError), ("a\n", ValueError), ("a/../b", ValueError),
     (".", ValueError), ("\ud800", ValueError), (7, TypeError), (b"a", TypeError)],
)  # fmt: skip
def test_bad_keys_of_objects(used: Context, key: Any, error: type[Exception]) -> None:
    for call in (
        used.buckets["up"].read,
        used.buckets["up"].delete,
        lambda k: used.buckets["up"].write(k, b""),
    ):
        with pytest.raises(error):
            call(key)


def test_bad_objects(used: Context) -> None:
    with pytest.raises(TypeError, match="bytes or str"):
        used.buckets["up"].write("a", {"a": 1})
    with pytest.raises(ValueError, match="no header value"):
        used.buckets["up"].write("a", b"", "text/plain\r\nx: y")


def test_settings(monkeypatch: Any, make: Any) -> None:
    from portafaas.runtime import config

    monkeypatch.setattr(config, "_settings", None)
    monkeypatch.setenv("PORTAFAAS_CONFIG", '{"b": [1], "a": "x"}')
    settings = Context(make(), "1").config
    assert isinstance(settings, Config)
    assert (settings["a"], settings.get("b"), settings.get("c", 3)) == ("x", [1], 3)
    assert (list(settings), len(settings), "a" in settings) == (["b", "a"], 2, True)
    assert dict(settings) == {"a": "x", "b": [1]}
    with pytest.raises(KeyError, match=r"no setting is called 'c'; .* a, b"):
        settings["c"]
    # Once a process:
    monkeypatch.setenv("PORTAFAAS_CONFIG", "{}")
    assert Context(make(), "2").config is settings


@pytest.mark.parametrize("text", ["", "{}"])
def test_no_settings(monkeypatch: Any, make: Any, text: str) -> None:
    from portafaas.runtime import config

    monkeypatch.setattr(config, "_settings", None)
    monkeypatch.setenv("PORTAFAAS_CONFIG", text)
    with pytest.raises(KeyError, match="under config: none"):
        Context(make(), "1").config["a"]


def test_ids_are_uuids_of_version_4() -> None:
    import uuid

    found = {new_id() for _ in range(100)}
    assert len(found) == 100
    for text in found:
        parsed = uuid.UUID(text)
        assert (str(parsed), parsed.version, parsed.variant) == (text, 4, uuid.RFC_4122)


def test_errors_and_outgoing_are_exported() -> None:
    for name in ("Conflict", "NotFound", "NotGranted", "Outgoing", "ResourceError"):
        assert getattr(exported, name) is getattr(resources, name)
        assert name in dir(exported)


def test_nothing_is_loaded_before_it_is_used() -> None:
    import subprocess

    code = (
        "import sys\n"
        "import portafaas.runtime.serve, portafaas.runtime.deliver, portafaas.runtime.function\n"
        "print(sorted(n.rpartition('.')[2] for n in sys.modules if n.startswith('portafaas.')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == str(
        ["context", "deadline", "deliver", "function", "http", "runtime", "serve"]
    )
