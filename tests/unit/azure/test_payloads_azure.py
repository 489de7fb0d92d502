"""Real payloads decode; malformed ones fail with a clear ValueError; what the bridges read."""

from __future__ import annotations

import base64
import json
import types
from pathlib import Path
from typing import Any

import azure.functions as func
import pytest
from azure.functions import meta

from portafaas.adapter import HttpStimulus, MessageStimulus, TopicStimulus
from portafaas.plan import BuildPlan
from portafaas.plan.entry import function_spec
from portafaas.runtime.function import Function
from portafaas_azure.adapter import ADAPTER
from portafaas_azure.events import host_path
from portafaas_azure.runtime import http, object, schedule, table
from portafaas_azure.runtime.bus import Received

REGISTRY: Any = func.get_binding_registry()  # type: ignore[no-untyped-call]
NOTHING = types.SimpleNamespace()


def _plain(value: Any) -> Any:
    return base64.b64decode(value["$base64"]) if isinstance(value, dict) else value


def _vectors(folder: Path, name: str, kind: str) -> list[Any]:
    """Return the SDK's objects for the recorded data that it can decode."""
    found = []
    for vector in json.loads((folder / name).read_text(encoding="utf-8")):
        data = vector["data"]
        if "raises" in vector or data is None:
            continue
        value = data["value"]
        if data["type"] == "http":
            value = {
                key: {name: meta.Datum(**item) for name, item in part.items()}
                if key in ("headers", "query", "params")
                else meta.Datum(**part)
                for key, part in value.items()
            }
        else:
            value = _plain(value)
        metadata = {
            key: meta.Datum(_plain(item["value"]), item["type"])
            for key, item in (vector["trigger_metadata"] or {}).items()
        }
        converter = REGISTRY.get(kind)
        found.append(converter.decode(meta.Datum(value, data["type"]), trigger_metadata=metadata))
    assert found
    return found


def _runtime(plan: BuildPlan, name: str, **trigger: Any) -> Function:
    spec = function_spec(plan, plan.function(name))
    return Function({**spec, "trigger": {**spec["trigger"], **trigger}})


def test_real_http(cases: Path) -> None:
    (native,) = _vectors(cases, "http/httpTrigger.decode-vectors.json", "httpTrigger")
    request = http.read(native)
    assert (request.method, request.path, request.body) == ("POST", "/", b"test_body")
    assert request.headers["content-type"] == "html"


def test_real_blob_events(cases: Path, plan: BuildPlan) -> None:
    function = _runtime(plan, "on-file")
    files = sorted((cases / "storage").glob("rest-api-specs__*blob_*.json"))
    assert files
    for file in files:
        event = object.object_event(function, json.loads(file.read_text(encoding="utf-8")))
        assert event is not None
        assert (event.key, event.bucket) == ("Template1.xlsx", "files")
        assert event.time is not None and event.time.startswith("2021-08-16T02:5")
        assert event.id.startswith("Template1.xlsx@0000")
        deleted = "deleted" in file.name
        assert event.kind == ("deleted" if deleted else "created")
        assert event.size == (None if deleted else 17555)
        assert event.etag is not None and event.etag.startswith("0x8D")


def test_real_event_grid_triggers_of_another_kind(cases: Path, plan: BuildPlan) -> None:
    function = _runtime(plan, "on-file")
    for native in _vectors(cases, "topic/eventGridTrigger.decode-vectors.json", "eventGridTrigger"):
        documents, attempt, *_ = object._read(native)
        assert attempt == 1
        assert [object.object_event(function, document) for document in documents] == [None]


def test_real_timer(cases: Path, plan: BuildPlan) -> None:
    (native,) = _vectors(cases, "timer/timerTrigger.decode-vectors.json", "timerTrigger")
    every = _runtime(plan, "on-morning", cron="*/5 * * * *", timezone="UTC")
    # 2022-03-28T15:45:00-05:00
    assert schedule.planned(every, native) == 1648500300.0
    assert schedule.planned(_runtime(plan, "on-morning", cron="0 9 * * *"), native) is None


def test_real_change_feed(cases: Path, plan: BuildPlan) -> None:
    function = _runtime(plan, "on-part")
    good = bad = 0
    for native in _vectors(cases, "db/cosmosDB.decode-vectors.json", "cosmosDBTrigger"):
        if None in native:
            with pytest.raises(ValueError, match="change 0 is not an item"):
                table.changes(function, native)
            bad += 1
            continue
        for event in table.changes(function, native):
            assert event.keys == {"id": event.new["id"]} if event.new else False
            assert event.new is not None and not [n for n in event.new if n.startswith("_")]
            good += 1
    assert (good, bad) == (7, 1)


def _event(**more: Any) -> dict[str, Any]:
    data = {"url": "https://a.blob.core.windows.net/files/in/a.csv", "contentLength": 1}
    return {
        "eventType": "Microsoft.Storage.BlobCreated",
        "subject": "/blobServices/default/containers/files/blobs/in/a.csv",
        "data": data,
        **more,
    }


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("text", "must be an object"),
        ({}, "has no type"),
        (_event(data=None), "has no data"),
        (_event(data={}, subject="x"), "names no blob"),
        (_event(data={}, subject=None), "names no blob"),
    ],
)
def test_malformed_blob_event(plan: BuildPlan, document: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        object.object_event(_runtime(plan, "on-file"), document)


def test_the_key_comes_from_the_subject_without_a_url(plan: BuildPlan) -> None:
    event = object.object_event(_runtime(plan, "on-file"), _event(data={"eTag": '"x"'}))
    assert event is not None and (event.key, event.etag, event.size) == ("in/a.csv", "x", None)


async def _invoke(bench: Any, name: str, native: Any) -> None:
    await bench.bound(name)(native, types.SimpleNamespace(invocation_id="i"))


async def _many(bench: Any, natives: list[Any]) -> None:
    for native in natives:
        await _invoke(bench, "on-file", native)


def _bus(body: bytes, **metadata: Any) -> Any:
    data = {"MessageId": meta.Datum("m-1", "string"), "UserProperties": meta.Datum("{}", "json")}
    data |= {k: meta.Datum(json.dumps(v), "json") for k, v in metadata.items()}
    converter = REGISTRY.get("serviceBusTrigger")
    return converter.decode(meta.Datum(body, "bytes"), trigger_metadata=data)


def test_blob_events_come_in_three_wrappings(bench: Any, handlers: Any) -> None:
    import asyncio

    cloud = {
        "specversion": "1.0", "id": "1", "source": "/s", "type": "Microsoft.Storage.BlobCreated",
        "subject": _event()["subject"], "time": "2026-01-02T03:04:05.1234567Z",
        "data": _event()["data"],
    }  # fmt: skip
    trigger = REGISTRY.get("eventGridTrigger").decode(
        meta.Datum(json.dumps(cloud), "json"), trigger_metadata={}
    )
    natives = [
        _bus(json.dumps(_event(eventTime="2026-01-02T03:04:05.1234567Z")).encode()),
        _bus(json.dumps([cloud]).encode()),
        trigger,
    ]
    asyncio.run(_many(bench, natives))
    assert [seen["subject"] for seen in handlers.seen] == ["in/a.csv"] * 3
    assert {seen["time"] for seen in handlers.seen} == {"2026-01-02T03:04:05.123Z"}


@pytest.mark.parametrize(
    ("name", "native", "message"),
    [
        ("work", NOTHING, "not a message of the Service Bus trigger"),
        ("on-news", NOTHING, "not a message of the Service Bus trigger"),
        ("on-file", NOTHING, "not an Event Grid event"),
        ("on-part", [1], "change 0 is not an item"),
        ("on-row", [{"id": "1"}], "change 0 has no 'order_id'"),
        ("on-morning", NOTHING, "not a timer"),
        ("web", NOTHING, "not an HTTP request"),
    ],
)
def test_malformed(bench: Any, name: str, native: Any, message: str) -> None:
    import asyncio

    with pytest.raises(ValueError, match=message):
        asyncio.run(_invoke(bench, name, native))


def test_a_message_that_is_no_event_grid_event(bench: Any) -> None:
    import asyncio

    with pytest.raises(ValueError, match="holds no Event Grid event"):
        asyncio.run(_invoke(bench, "on-file", _bus(b"\xff")))


def test_typed_properties_become_text() -> None:
    properties = {"i": 1, "f": 1.5, "t": True, "n": None, "s": "x", "pf-hidden": "y"}
    received = Received(_bus(b"b", ApplicationProperties=properties, DeliveryCount=4))
    assert received.attributes == {"i": "1", "f": "1.5", "t": "true", "s": "x"}
    assert (received.attempt, received.time) == (4, None)


@pytest.mark.parametrize(
    ("enqueued", "expected"),
    [
        ("2026-11-23T10:00:00.1239999Z", "2026-11-23T10:00:00.123Z"),
        ("2026-11-23T10:00:00Z", "2026-11-23T10:00:00.000Z"),
    ],
)
def test_enqueued_time(enqueued: str, expected: str) -> None:
    assert Received(_bus(b"b", EnqueuedTimeUtc=enqueued)).time == expected


def test_underscored_cloudevents_properties(bench: Any, handlers: Any) -> None:
    import asyncio

    properties = {"cloudEvents_type": "order.paid", "cloudEvents_id": "e9", "traceparent": "00-1"}
    native = _bus(b"x", ApplicationProperties=properties)
    asyncio.run(_invoke(bench, "on-news", native))
    assert (handlers.seen[0]["type"], handlers.seen[0]["id"]) == ("order.paid", "e9")


@pytest.mark.parametrize(
    ("status", "overdue", "expected"),
    [
        ({"Next": "2026-11-23T06:30:00+01:00"}, False, 1795411800.0),
        ({"Next": "2026-11-23T05:30:00.0000000Z"}, False, 1795411800.0),
        ({"Next": "2026-11-23T05:31:00Z"}, False, None),
        # Overdue since that day: the last of the missed instants.
        ({"Next": "2026-11-20T05:30:00Z"}, True, 1795411800.0),
    ],
)
def test_planned(
    plan: BuildPlan,
    monkeypatch: pytest.MonkeyPatch,
    status: Any,
    overdue: bool,
    expected: float | None,
) -> None:
    monkeypatch.setattr("time.time", lambda: 1795411800.0 + 3600)
    native = types.SimpleNamespace(schedule_status=status, past_due=overdue)
    assert schedule.planned(_runtime(plan, "on-morning"), native) == expected


@pytest.mark.parametrize("status", [{}, None, {"Next": "0001-01-01T00:00:00"}])
def test_planned_by_the_clock(
    plan: BuildPlan, monkeypatch: pytest.MonkeyPatch, status: Any
) -> None:
    monkeypatch.setattr("time.time", lambda: 1795411800.0 + 20)
    native = types.SimpleNamespace(schedule_status=status, past_due=False)
    assert schedule.planned(_runtime(plan, "on-morning"), native) == 1795411800.0


def test_malformed_next(plan: BuildPlan) -> None:
    native = types.SimpleNamespace(schedule_status={"Next": "soon"}, past_due=False)
    with pytest.raises(ValueError, match="'soon' is not a time"):
        schedule.planned(_runtime(plan, "on-morning"), native)


@pytest.mark.parametrize(
    ("sent", "rendered"),
    [
        ("/a%20b/%2F%2f", "/a%20b/%2F%2F"),
        ("/%2541", "/%41"),
        ("/a+b;c", "/a+b;c"),
        ("/\u00e9%C3%A9", "/%C3%A9%C3%A9"),
    ],
)
def test_the_host_renders_paths(sent: str, rendered: str) -> None:
    assert host_path(sent) == rendered


def test_the_original_url_cannot_name_another_path() -> None:
    headers = {"x-waws-unencoded-url": "/other%20path"}
    assert http._path("/a%20b", headers) == "/a%20b"
    assert http._path("/a", {"x-waws-unencoded-url": "/b"}) == "/a"
    assert http._path("/%41", {"x-waws-unencoded-url": "/%2541?x"}) == "/%2541"


def test_encode_is_what_the_host_sends(plan: BuildPlan) -> None:
    stimulus = HttpStimulus("GET", "/orders/7", "a=1&a=2&b=", (("X-A", "1"), ("x-a", "2")))
    (request,) = ADAPTER.encode(plan, plan.function("orders-get"), stimulus)
    value = request.payload["trigger"]["value"]
    assert value["url"] == "https://shop-dev.azurewebsites.net/orders/7?a=1&a=2&b="
    assert value["headers"]["x-a"] == "1,2"
    assert (value["params"], value["query"], value["body"]) == ({"id": "7"}, {"a": "1,2"}, None)
    message = MessageStimulus("1", b"x", {"ce-type": "t", "n": "v"}, content_type="text/plain")
    (request,) = ADAPTER.encode(plan, plan.function("on-news"), TopicStimulus(message))
    metadata = request.payload["metadata"]
    expected = {"type": "json", "value": {"cloudEvents:type": "t", "n": "v"}}
    assert metadata["ApplicationProperties"] == metadata["UserProperties"] == expected
    assert metadata["ContentType"] == {"type": "string", "value": "text/plain"}
    assert request.payload["trigger"] == {"type": "bytes", "value": "eA=="}
