"""Deliveries as Google documents them, in every shape; and what cannot be read."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

import pytest

JSON = ["content-type", "application/json"]


def _post(body: Any, *headers: list[str]) -> dict[str, Any]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return {
        "method": "POST",
        "path": "/",
        "headers": [JSON, *headers] if not headers or headers[0][0] != "content-type" else headers,
        "body": base64.b64encode(data).decode(),
    }


def _ce(kind: str, **more: str) -> list[list[str]]:
    values = {"specversion": "1.0", "id": "ce-1", "source": "//x", "type": kind, **more}
    return [["content-type", "application/json"], *([f"ce-{k}", v] for k, v in values.items())]


@pytest.fixture
def send(invoke: Any, handlers: Any) -> Any:
    def run(name: str, request: dict[str, Any]) -> tuple[int, list[Any]]:
        handlers.SEEN.clear()
        value = invoke(name, request)
        return value["status"], list(handlers.SEEN)

    return run


TOPIC_FILES = [
    "ff-python__pubsub_text-cloud-event-output.json",
    "ff-python__pubsub_text-legacy-input.json",
    "google-cloudevents__binary-example__MessagePublishedData-complex.json",
    "google-cloudevents__binary-example__MessagePublishedData-simple.json",
    "google-cloudevents__data__MessagePublishedData-binary.json",
    "google-cloudevents__data__MessagePublishedData-duplicatedFields.json",
    "google-cloudevents__data__MessagePublishedData-text.json",
    "google-cloudevents__structured__MessagePublishedData.json",
]


@pytest.mark.parametrize("name", TOPIC_FILES)
@pytest.mark.parametrize("function", ["listen-all", "take-orders"])
def test_published_pubsub_payloads(send: Any, cases: Path, name: str, function: str) -> None:
    document = json.loads((cases / "topic" / name).read_text())
    headers = []
    if "binary-example" in name:
        headers = _ce("google.cloud.pubsub.topic.v1.messagePublished", id="message-id")
    status, seen = send(function, _post(document, *headers))
    assert status == 204 and len(seen) == 1
    text = json.dumps(document)
    body = b"test message 3" if "dGVzdCBtZXNzYWdlIDM=" in text else b"\x01\x02\x03\x04"
    if function == "take-orders":
        _, id, data, attributes, key, queue, attempt, _, sent = seen[0]
        assert data == body and queue == "orders" and attempt == 1 and key is None
        assert attributes == ({"attr1": "attr1-value"} if "attr1" in text else {})
        assert id in text and sent.endswith("Z") and sent[:10] in text
    else:
        event, attributes, key, attempt = seen[0]
        assert event["data_base64"] == base64.b64encode(body).decode()
        assert event["source"] == "/shop/topics/news" and attempt == 1
        assert key == ("ordering-key" if "ordering-key" in text else None)
        assert attributes == ({"attr1": "attr1-value"} if "attr1" in text else {})


@pytest.mark.parametrize("path", sorted(TOPIC_FILES))
def test_every_published_pubsub_payload_is_tested(cases: Path, path: str) -> None:
    assert sorted(item.name for item in (cases / "topic").iterdir()) == sorted(TOPIC_FILES)
    assert (cases / "topic" / path).is_file()


@pytest.mark.parametrize("word", ["finalized", "deleted", "archived", "metadataUpdated"])
def test_published_storage_payloads(invoke: Any, handlers: Any, cases: Path, word: str) -> None:
    for path in sorted((cases / "storage").iterdir()):
        document = json.loads(path.read_text())
        handlers.SEEN.clear()
        if "structured" in path.name:
            document["type"] = f"google.cloud.storage.object.v1.{word}"
            document["data"]["name"] = "in/x.txt"
            request = _post(document, ["content-type", "application/cloudevents+json"])
            wanted = ["uploads", "in/x.txt", None, 0, "COu8mb3Dn+kCEAE="]
        else:
            document["name"] = "in/x.txt"
            kind = f"google.cloud.storage.object.v1.{word}"
            request = _post(document, *_ce(kind, subject="objects/in/x.txt"))
            size = int(document["size"])
            wanted = ["uploads", "in/x.txt", None, size, document["etag"]]
        assert invoke("files", request)["status"] == 204
        if word == "metadataUpdated":
            assert handlers.SEEN == []
            continue
        wanted[2] = "created" if word == "finalized" else "deleted"
        if wanted[2] == "deleted":
            wanted[3] = None
        event, *rest = handlers.SEEN[0]
        assert rest == wanted
        generation = document.get("data", document)["generation"]
        assert event["id"] == f"in/x.txt@{generation}"


def test_published_firestore_payloads(send: Any, cases: Path) -> None:
    for path in sorted((cases / "db").iterdir()):
        document = json.loads(path.read_text())
        headers = _ce(
            "google.cloud.firestore.document.v1.written",
            time="2020-04-23T12:00:27.247187Z",
            document="gcf-test/2Vm2mI1d0wIaK2Waj5to",
        )
        status, seen = send("audit", _post(document, *headers))
        assert status == 204
        event, table, kind, keys, new, old = seen[0]
        assert event["id"] == "ce-1" and event["time"] == "2020-04-23T12:00:27.247Z"
        assert table == "pairs" and new is not None
        assert kind == ("insert" if "complex" in path.name else "update")
        assert (old is None) == (kind == "insert")
        # The documents lack the key attributes: the document's id stands in.
        assert keys == {"owner": document["value"]["name"].rpartition("/")[2], "number": ""}


def test_scheduler_payloads_are_only_a_body(send: Any, cases: Path) -> None:
    planned = ["x-cloudscheduler-scheduletime", "2026-11-23T01:30:00Z"]
    for path in sorted((cases / "timer").iterdir()):
        status, seen = send("nightly", _post(path.read_bytes(), JSON, planned))
        assert status == 204
        assert [item[0]["time"] for item in seen] == ["2026-11-23T01:30:00.000Z"]


def test_push_counts_attempts_and_orders(send: Any) -> None:
    message = {"data": "eA==", "messageId": "1", "orderingKey": "k", "publishTime": "x"}
    status, seen = send("take-in-turn", _post({"message": message, "deliveryAttempt": 5}))
    assert status == 204
    assert seen[0][:8] == ["message", "1", b"x", {}, "k", "turns", 5, 5]
    assert seen[0][8] == "x"  # a time nobody can read stays as it is


def test_trace_of_the_message_wins(invoke: Any, package: Path, handlers: Any) -> None:
    traces = []
    handlers.SEEN.clear()
    original = handlers.message

    def message(item: Any, context: Any) -> None:
        traces.append((context.trace_parent, context.target, context.invocation_id))

    handlers.message = message
    try:
        push = {"message": {"messageId": "1", "attributes": {"traceparent": "00-of-message"}}}
        header = ["x-cloud-trace-context", "0123456789abcdef0123456789ABCDEF/255;o=1"]
        execution = ["function-execution-id", "e-1"]
        invoke("take-in-turn", _post(push, JSON, header))
        push["message"]["attributes"] = {"x": "y"}
        invoke("take-in-turn", _post(push, JSON, header, execution))
        invoke("take-in-turn", _post(push, JSON, ["x-cloud-trace-context", "short/1"]))
    finally:
        handlers.message = original
    assert traces[0][:2] == ("00-of-message", "gcp")
    assert traces[1] == (
        "00-0123456789abcdef0123456789abcdef-00000000000000ff-01",
        "gcp",
        "e-1",
    )
    assert traces[2][0] is None


@pytest.mark.parametrize(
    ("attributes", "kinds"),
    [
        ({"eventType": "OBJECT_FINALIZE"}, ["created"]),
        ({"eventType": "OBJECT_FINALIZE", "overwroteGeneration": "1"}, ["created"]),
        ({"eventType": "OBJECT_DELETE"}, ["deleted"]),
        ({"eventType": "OBJECT_ARCHIVE"}, ["deleted"]),
        ({"eventType": "OBJECT_DELETE", "overwrittenByGeneration": "2"}, []),
        ({"eventType": "OBJECT_METADATA_UPDATE"}, []),
    ],
)
@pytest.mark.parametrize("form", ["JSON_API_V1", "NONE"])
def test_storage_notifications(
    send: Any, attributes: dict[str, str], kinds: list[str], form: str
) -> None:
    # https://cloud.google.com/storage/docs/pubsub-notifications#format
    data = {"name": "in/a.txt", "generation": "17", "size": "3", "etag": "e"}
    message: dict[str, Any] = {
        "messageId": "1",
        "attributes": {
            "objectId": "in/a.txt",
            "objectGeneration": "17",
            "bucketId": "b",
            "eventTime": "2026-11-23T10:00:00.123456Z",
            "payloadFormat": form,
            **attributes,
        },
    }
    if form != "NONE":
        message["data"] = base64.b64encode(json.dumps(data).encode()).decode()
    status, seen = send("files", _post({"message": message, "subscription": "s"}))
    assert status == 204 and [item[3] for item in seen] == kinds
    for event, _, key, kind, size, _ in seen:
        assert event["id"] == "in/a.txt@17" and key == "in/a.txt"
        assert event["time"] == "2026-11-23T10:00:00.123Z"
        assert size == (3 if kind == "created" and form != "NONE" else None)


@pytest.mark.parametrize("flat", [True, False])
def test_background_events_of_1st_gen(send: Any, flat: bool) -> None:
    def event(kind: str, data: Any) -> dict[str, Any]:
        context = {
            "eventId": "1",
            "timestamp": "2020-09-29T11:32:00.000Z",
            "eventType": kind,
            "resource": "projects/_/buckets/b/objects/in/a.txt#17",
        }
        return {**context, "data": data} if flat else {"context": context, "data": data}

    data = {"name": "in/a.txt", "generation": "17", "size": "3", "etag": "e"}
    status, seen = send("files", _post(event("google.storage.object.finalize", data)))
    assert status == 204 and seen[0][1:] == ["uploads", "in/a.txt", "created", 3, "e"]
    change = {"value": {"name": "a/b", "fields": {"id": {"stringValue": "k"}}}, "oldValue": {}}
    name = "providers/cloud.firestore/eventTypes/document.create"
    status, seen = send("rows", _post(event(name, change)))
    assert status == 204 and seen[0][2:5] == ["upsert", {"id": "k"}, {"id": "k"}]


@pytest.mark.parametrize("suffix", ["", ".withAuthContext"])
def test_written_tells_the_three_apart(send: Any, suffix: str) -> None:
    image = {"name": "t/1", "fields": {}}
    for new, old, kind in ((image, None, "insert"), (image, image, "update"),
                           (None, image, "delete")):  # fmt: skip
        body = {"value": new, "oldValue": old}
        headers = _ce(f"google.cloud.firestore.document.v1.written{suffix}")
        status, seen = send("audit", _post(body, *headers))
        assert status == 204 and seen[0][2] == kind
        assert seen[0][3] == {"owner": "1", "number": ""}


def test_keys_from_the_header_s_document(send: Any) -> None:
    headers = _ce("google.cloud.firestore.document.v1.deleted", document="pairs/an%20n:7")
    status, seen = send("audit", _post({}, *headers))
    assert status == 204 and seen[0][3] == {"owner": "an n", "number": "7"}


def test_planned_times_are_whole_minutes(send: Any) -> None:
    planned = ["x-cloudscheduler-scheduletime", "2026-11-23T02:30:07.123456+01:00"]
    status, seen = send("nightly", _post(b"", JSON, planned))
    assert status == 204 and [i[0]["time"] for i in seen] == ["2026-11-23T01:30:00.000Z"]


def test_schedule_without_a_planned_time(
    send: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Monday 2026-11-23 02:30:41 in Berlin.
    monkeypatch.setattr(time, "time", lambda: 1795397441.0)
    status, seen = send("nightly", _post(b""))
    assert status == 204 and [i[0]["time"] for i in seen] == ["2026-11-23T01:30:00.000Z"]
    monkeypatch.setattr(time, "time", lambda: 1795397441.0 + 7200)
    assert send("nightly", _post(b"")) == (204, [])


def test_a_handler_that_cannot_be_loaded_is_redelivered(
    package: Path, handlers: Any, plan: Any
) -> None:
    from werkzeug.test import EnvironBuilder
    from werkzeug.wrappers import Request

    from portafaas.plan.entry import function_spec
    from portafaas.runtime.function import Function
    from portafaas_gcp.runtime import queue, topic

    for name, module in (("take-orders", queue), ("listen-all", topic)):
        spec = {**function_spec(plan, plan.function(name)), "handler": "gcp_handlers:missing"}
        entry = module.bind(Function(spec))
        body = {"message": {"messageId": "1"}}
        assert entry(Request(EnvironBuilder(json=body).get_environ())).status_code == 405
        environ = EnvironBuilder(method="POST", json=body).get_environ()
        assert entry(Request(environ)).status_code == 500


EVENT = "google.cloud.storage.object.v1.finalized"
ROW = "google.cloud.firestore.document.v1.created"
PROTO = ["content-type", "application/protobuf"]


@pytest.mark.parametrize(
    ("function", "body", "headers", "text"),
    [
        ("take-orders", b"{", [], "not valid JSON"),
        ("take-orders", b"\xff\xfe", [], "not valid JSON"),
        ("take-orders", [], [], "JSON object"),
        ("take-orders", {}, [], '"message"'),
        ("take-orders", {"message": 1}, [], '"message"'),
        ("take-orders", {"message": {}}, [], "messageId"),
        ("take-orders", {"message": {"messageId": "1", "data": "a"}}, [], "base64"),
        ("take-orders", {"message": {"messageId": "1", "data": 1}}, [], "base64"),
        ("take-orders", {"message": {"messageId": "1", "attributes": []}}, [], None),
        ("take-orders", {"message": {"messageId": "1", "attributes": [1]}}, [], "attributes"),
        ("listen", {"specversion": "1.0", "data": 1}, [], "JSON object"),
        ("listen", {"specversion": "1.0", "data_base64": 1}, [], "data_base64"),
        (
            "listen",
            {
                "message": {
                    "messageId": "1",
                    "data": "W10=",
                    "attributes": {"content-type": "application/cloudevents+json"},
                }
            },
            [],
            "structured CloudEvent",
        ),
        ("files", {"name": "a"}, [], "no type"),
        ("files", {}, _ce(EVENT), "name"),
        ("files", {"name": 1}, _ce(EVENT), "name"),
        ("files", {"name": "in/a.txt", "size": "x"}, _ce(EVENT), "size"),
        ("files", {"message": {"messageId": "1"}}, [], "eventType"),
        (
            "files",
            {"message": {"messageId": "1", "data": "ew==", "attributes": {"eventType": "x"}}},
            [],
            "message.data",
        ),
        ("rows", {"value": {}}, [], "no type"),
        ("rows", {"value": {}}, _ce("google.cloud.firestore.document.v1.moved"), "moved"),
        ("rows", {"value": {"fields": {}}}, _ce(ROW), "name its document"),
        ("rows", b"\x0a\x7f", [PROTO, *_ce(ROW)[1:]], "cut short"),
        ("nightly", b"", [JSON, ["x-cloudscheduler-scheduletime", "soon"]], "ScheduleTime"),
    ],
)
def test_unreadable_deliveries_say_why(
    invoke: Any, handlers: Any, function: str, body: Any, headers: Any, text: str | None
) -> None:
    handlers.SEEN.clear()
    value = invoke(function, _post(body, *headers))
    if text is None:
        assert value["status"] == 204
        return
    assert value["status"] == 400 and handlers.SEEN == []
    assert text in base64.b64decode(value["body"]).decode()
