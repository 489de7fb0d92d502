"""The driver's official clients against emulators, and what they send through the bridges."""

from __future__ import annotations

import base64
import http.server
import json
import os
import queue
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest

from portafaas.plan import BuildPlan, FunctionPlan, HttpTrigger, Use
from portafaas_gcp.requirements import requirements
from portafaas_gcp.runtime.shapes import document_id, loaded, stored

PROJECT = "projects/portafaas"


def put_row(table: str, row: dict[str, Any], names: tuple[str, ...], if_absent: bool) -> None:
    from portafaas.runtime.rows import Write
    from portafaas_gcp.runtime.resources import write_row

    key = {name: row[name] for name in names}
    write_row(table, Write("put", key, row=row, if_absent=if_absent), "")


def delete_row(table: str, key: dict[str, Any]) -> None:
    from portafaas.runtime.rows import Write
    from portafaas_gcp.runtime.resources import write_row

    write_row(table, Write("delete", key), "")


def _jar(pattern: str) -> Path:
    """Return an emulator of the Google Cloud CLI, or skip."""
    gcloud = shutil.which("gcloud")
    if gcloud is None or shutil.which("java") is None:
        pytest.skip("neither gcloud nor its emulators, or no java, are installed")
    found = sorted((Path(gcloud).resolve().parents[1] / "platform").glob(pattern))
    if not found:
        pytest.skip(f"the Google Cloud CLI has no {pattern}")
    return found[-1]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _emulator(tmp: Path, *command: str) -> Iterator[str]:
    """Run *command* with a host and port, and yield them once somebody answers there."""
    port = _free_port()
    with (tmp / "log").open("wb") as log:
        process = subprocess.Popen(
            ["java", *command, "--host=127.0.0.1", f"--port={port}"],
            stdout=log, stderr=subprocess.STDOUT, cwd=tmp,
        )  # fmt: skip
        try:
            end = time.monotonic() + 60
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    assert process.poll() is None and time.monotonic() < end, (
                        tmp / "log"
                    ).read_text()
                    time.sleep(0.1)
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait()


@pytest.fixture(scope="module")
def pubsub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    jar = _jar("pubsub-emulator/lib/cloud-pubsub-emulator-*-all.jar")
    yield from _emulator(tmp_path_factory.mktemp("pubsub"), "-jar", str(jar))


@pytest.fixture(scope="module")
def firestore(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    jar = _jar("cloud-firestore-emulator/cloud-firestore-emulator.jar")
    main = "com.google.cloud.datastore.emulator.firestore.CloudFirestore"
    yield from _emulator(tmp_path_factory.mktemp("firestore"), "-cp", str(jar), main)


@pytest.fixture
def topic(
    pubsub: str, core: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, Callable[[int], list[bytes]]]]:
    """Return a topic, and a function that waits for so many pushes of its subscription."""
    import grpc
    from google.pubsub_v1 import SubscriberClient
    from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

    from portafaas_gcp.runtime import publisher

    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", pubsub)
    monkeypatch.setattr(publisher, "_client", None)
    pushed: queue.Queue[bytes] = queue.Queue()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            pushed.put(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    name = f"{PROJECT}/topics/t-{os.urandom(6).hex()}"
    publisher.client().create_topic(name=name)
    channel = grpc.insecure_channel(pubsub)
    subscriber = SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))
    subscription = name.replace("/topics/", "/subscriptions/")
    subscriber.create_subscription(
        request={
            "name": subscription,
            "topic": name,
            "enable_message_ordering": True,
            "push_config": {"push_endpoint": f"http://127.0.0.1:{server.server_port}/"},
        }
    )

    pulled = f"{subscription}-pulled"
    subscriber.create_subscription(
        request={"name": pulled, "topic": name, "enable_message_ordering": True}
    )

    def wait(count: int) -> list[bytes]:
        """Return pushes, with the key that Pub/Sub sends and its emulator does not."""
        bodies = [json.loads(pushed.get(timeout=20)) for _ in range(count)]
        keys: dict[str, str] = {}
        while not keys.keys() >= {body["message"]["messageId"] for body in bodies}:
            found = subscriber.pull(subscription=pulled, max_messages=1000).received_messages
            keys |= {item.message.message_id: item.message.ordering_key for item in found}
            if found:
                ids = [item.ack_id for item in found]
                subscriber.acknowledge(subscription=pulled, ack_ids=ids)
        for body in bodies:
            message = body["message"]
            assert "orderingKey" not in message
            message |= {"orderingKey": key} if (key := keys[message["messageId"]]) else {}
        return [json.dumps(body).encode() for body in bodies]

    yield name, wait
    for one in (subscription, pulled):
        subscriber.delete_subscription(subscription=one)
    channel.close()
    publisher.client().transport.close()
    server.shutdown()
    thread.join()
    server.server_close()


def _request(body: bytes) -> dict[str, Any]:
    headers = [["content-type", "application/json"]]
    content = base64.b64encode(body).decode()
    return {"method": "POST", "path": "/", "headers": headers, "body": content}


def test_what_is_sent_to_a_queue_arrives(
    topic: Any, core: Any, invoke: Any, handlers: Any
) -> None:
    from portafaas_gcp.runtime.resources import send

    name, wait = topic
    bodies = [b"", b"text", bytes(range(256)), "grüße".encode(), b'{"a": 1}', b"x" * 200_000]
    messages = [
        core.Outgoing(
            f"id-{n}", body, content_type="application/json", key="k/1",
            attributes={"kind": "ü", "Content-Type": "mine", "traceparent": "00-a-b-01"}
            if n % 2
            else {},
        )
        for n, body in enumerate(bodies)
    ]  # fmt: skip
    assert send(name, messages, True) == []
    handlers.SEEN.clear()
    for body in wait(len(messages)):
        assert invoke("take-in-turn", _request(body))["status"] == 204
    seen = [item[2:6] for item in handlers.SEEN]  # body, attributes, key, queue
    assert seen == [[m.body, m.attributes, "k/1", "turns"] for m in messages]


def test_what_is_published_arrives(topic: Any, core: Any, invoke: Any, handlers: Any) -> None:
    from portafaas_gcp.runtime.resources import publish

    name, wait = topic
    facts = {
        "ce-specversion": "1.0", "ce-id": "e-1", "ce-source": "/shop/functions/a",
        "ce-type": "order.placed", "ce-subject": "7", "ce-time": "2026-01-02T03:04:05.000Z",
        "ce-datacontenttype": "application/json", "ce-traceparent": "00-a-b-01",
    }  # fmt: skip
    messages = [
        core.Outgoing("e-1", b'{"total":7}', content_type="application/json", key="k",
                      attributes={"region": "eu", **facts}),
        core.Outgoing("e-2", b"raw\0", content_type="application/octet-stream",
                      attributes={"ce-id": "e-2", "ce-type": "t", "ce-source": "s"}),
        core.Outgoing("e-3", b"", attributes={"ce-id": "e-3", "ce-type": "t", "ce-source": "s"}),
    ]  # fmt: skip
    assert publish(name, messages, False) == []
    handlers.SEEN.clear()
    for body in wait(3):
        assert invoke("listen-all", _request(body))["status"] == 204
    seen = {item[0]["id"]: item for item in handlers.SEEN}
    event, attributes, key, _ = seen["e-1"]
    assert (event["data"], event["type"], event["subject"]) == ({"total": 7}, "order.placed", "7")
    assert event["source"] == "/shop/functions/a" and event["time"] == facts["ce-time"]
    assert event["datacontenttype"] == "application/json" and event["traceparent"] == "00-a-b-01"
    assert attributes == {"region": "eu"} and key == "k"
    assert base64.b64decode(seen["e-2"][0]["data_base64"]) == b"raw\0"
    assert seen["e-2"][0]["datacontenttype"] == "application/octet-stream"
    assert "data" not in seen["e-3"][0] and seen["e-3"][2] is None


def test_more_messages_than_a_request_takes(topic: Any, core: Any) -> None:
    from portafaas_gcp.runtime.resources import send

    name, wait = topic
    messages = [core.Outgoing(str(n), str(n).encode(), key="k") for n in range(1500)]
    assert send(name, messages, True) == []
    got = [json.loads(body)["message"]["data"] for body in wait(1500)]
    assert [int(base64.b64decode(data)) for data in got] == list(range(1500))


def test_what_cannot_be_sent(topic: Any, core: Any) -> None:
    from portafaas_gcp.runtime.resources import send

    name, wait = topic
    later = core.Outgoing("a", b"later", delay=5, key="k")
    now, after = core.Outgoing("b", b"now"), core.Outgoing("c", b"after", key="k")
    found = send(name, [later, now, after], True)
    assert [index for index, _ in found] == [0, 2] and "delay" in found[0][1]
    assert base64.b64decode(json.loads(wait(1)[0])["message"]["data"]) == b"now"
    with pytest.raises(core.ResourceError, match="delay") as caught:
        send(name, [later], False)
    assert not caught.value.retryable
    with pytest.raises(core.NotFound) as caught:
        send(f"{PROJECT}/topics/nothing-here", [now], False)
    assert not caught.value.retryable and "nothing-here" in str(caught.value)
    with pytest.raises(core.ResourceError) as caught:
        send("no/name", [now], False)
    assert not caught.value.retryable and not isinstance(caught.value, core.NotFound)
    assert send(name, [], False) == []


def test_after_a_failure_nothing_more_of_its_key(
    topic: Any, core: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from portafaas_gcp.runtime import publisher
    from portafaas_gcp.runtime.resources import send

    name, wait = topic
    monkeypatch.setattr(publisher, "MOST", 1)  # messages of a request
    messages = [
        core.Outgoing("0", b"first", key="k"),
        core.Outgoing("1", b"no UTF-8", key="k", attributes={"a": "\ud800"}),
        core.Outgoing("2", b"after", key="k"),
        core.Outgoing("3", b"other", key="j"),
    ]
    failed = send(name, messages, True)
    assert [index for index, _ in failed] == [1, 2] and "earlier" in failed[1][1]
    arrived = [json.loads(body)["message"]["data"] for body in wait(2)]
    assert {base64.b64decode(data) for data in arrived} == {b"first", b"other"}


ROW = {
    "id": "a", "whole": 7, "big": 2**53 - 1, "negative": -1, "part": 0.1, "tiny": 1e-9,
    "none": None, "yes": True, "no": False, "empty": "", "text": "grüße ☃", "map": {},
    "list": [], "nested": {"a": [{"b": [1, 2.5, None, ""]}], "c.d": {"e f": 1}},
    "lists": [[1, [2, []], {}], [], {"pf-list": [1]}, {"pf-map": {"pf-list": []}}],
}  # fmt: skip


@pytest.fixture
def table(firestore: str, core: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    from portafaas_gcp.runtime import rows

    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", firestore)
    monkeypatch.setattr(rows, "_clients", {})
    yield f"{PROJECT}/databases/shop-tables/documents/rows-{os.urandom(6).hex()}"
    for client in rows._clients.values():
        client.close()


def test_rows(table: str, core: Any) -> None:
    from portafaas_gcp.runtime.resources import get_row

    assert get_row(table, {"id": "a"}) is None
    put_row(table, ROW, ("id",), False)
    found = get_row(table, {"id": "a"})
    assert found == ROW
    assert json.dumps(found, sort_keys=True) == json.dumps(ROW, sort_keys=True)  # 7 is not 7.0
    put_row(table, {"id": "a", "other": 1}, ("id",), False)
    assert get_row(table, {"id": "a"}) == {"id": "a", "other": 1}
    with pytest.raises(core.Conflict):
        put_row(table, {"id": "a"}, ("id",), True)
    put_row(table, {"id": "b"}, ("id",), True)
    delete_row(table, {"id": "a"})
    delete_row(table, {"id": "a"})
    assert get_row(table, {"id": "a"}) is None and get_row(table, {"id": "b"}) == {"id": "b"}


def test_a_scan_yields_every_row(table: str, core: Any) -> None:
    from portafaas_gcp.runtime.resources import scan

    place = table + "-scan"
    assert list(scan(place)) == []
    rows = {str(n): {"id": str(n), "n": n, "nested": [[n]]} for n in range(305)}
    for row in rows.values():
        put_row(place, row, ("id",), False)
    found = scan(place)
    first = next(found)
    assert {row["id"]: row for row in [first, *found]} == rows


def test_a_row_reaches_the_bridge_as_it_was_stored(table: str) -> None:
    """What Eventarc sends has the bytes of the store's own document."""
    from google.cloud.firestore_v1.types import Document

    from portafaas_gcp.runtime import rows
    from portafaas_gcp.runtime.firestore import from_json, from_protobuf
    put_row(table, ROW, ("id",), False)
    client = rows._document(table, {"id": "a"})._client
    made = client._firestore_api.get_document(request={"name": f"{table}/a"})
    raw = Document.pb(made).SerializeToString()
    size, length = len(raw), bytearray()
    while size > 127:
        length.append(size & 127 | 128)
        size >>= 7
    new, old = from_protobuf(bytes([1 << 3 | 2, *length, size]) + raw)
    assert new is not None and old is None and new.fields == ROW
    assert new.name == f"{table}/a"
    new, _ = from_json({"value": json.loads(Document.to_json(made))})
    assert new is not None and new.fields == ROW


def test_every_key_has_its_row(table: str) -> None:
    from portafaas_gcp.runtime.resources import get_row

    keys = [("a:b", "c"), ("a", "b:c"), ("a/b", "c"), ("a%2Fb", "c"), (".", "."), ("__", "__"),
            ("ü", "x" * 1024), ("/" * 1024, "/" * 1024), ("/" * 1024, "/" * 1023)]  # fmt: skip
    single = [".", "..", "__x__", "/", "a b", "%", "%2E"]
    for number, (one, two) in enumerate(keys):
        put_row(table, {"p": one, "s": two, "n": number}, ("p", "s"), True)
    for number, one in enumerate(single):
        put_row(table + "s", {"p": one, "n": number}, ("p",), True)
    for number, (one, two) in enumerate(keys):
        assert get_row(table, {"p": one, "s": two}) == {"p": one, "s": two, "n": number}
    for number, one in enumerate(single):
        assert get_row(table + "s", {"p": one}) == {"p": one, "n": number}


def test_rows_of_others_are_what_the_bridge_gives(table: str) -> None:
    """Timestamps, bytes, points and references, which a JSON value cannot be."""
    from datetime import datetime

    from google.cloud.firestore import GeoPoint

    from portafaas_gcp.runtime import rows
    from portafaas_gcp.runtime.resources import get_row

    reference = rows._document(table, {"id": "a"})
    reference.set(
        {
            "time": datetime(2026, 1, 2, 3, 4, 5, 600_000, UTC),
            "day": datetime(2026, 1, 2, tzinfo=UTC),
            "bytes": b"\xff\0",
            "place": GeoPoint(1.5, 2),
            "other": reference,
            "double": 3.0,
        }
    )
    assert get_row(table, {"id": "a"}) == {
        "time": "2026-01-02T03:04:05.600Z",
        "day": "2026-01-02T00:00:00Z",
        "bytes": "/wA=",
        "place": {"latitude": 1.5, "longitude": 2},
        "other": f"{table}/a",
        "double": 3,
    }


def test_a_row_that_firestore_refuses(table: str, core: Any) -> None:
    with pytest.raises(core.ResourceError) as caught:
        put_row(table, {"id": "a", "big": "x" * 1_100_000}, ("id",), False)
    assert not caught.value.retryable and not isinstance(caught.value, core.Conflict)


def test_a_store_that_is_not_there(core: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from portafaas_gcp.runtime import failures, rows
    from portafaas_gcp.runtime.resources import get_row

    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", f"127.0.0.1:{_free_port()}")
    monkeypatch.setattr(rows, "_clients", {})
    monkeypatch.setattr(failures, "PATIENCE", 1.0)
    with pytest.raises(core.ResourceError) as caught:
        get_row(f"{PROJECT}/databases/d/documents/c", {"id": "a"})
    assert caught.value.retryable
    for client in rows._clients.values():
        client.close()


@pytest.fixture
def bucket(core: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = pytest.importorskip("gcp_storage_emulator.server")
    from portafaas_gcp.runtime import blobs

    port = _free_port()
    made = server.create_server("127.0.0.1", port, in_memory=True, default_bucket="shop-files")
    made.start()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
    monkeypatch.setattr(blobs, "_client", None)
    yield "shop-files"
    if blobs._client is not None:
        blobs._client.close()
    made.stop()


def test_objects(bucket: str, core: Any) -> None:
    from portafaas_gcp.runtime import blobs
    from portafaas_gcp.runtime.resources import delete, read, write

    with pytest.raises(core.NotFound):
        read(bucket, "a")
    for key, data, kind in (
        ("a", b"", None),
        ("in/ü b?#%25.bin", bytes(range(256)) * 1000, "image/png"),
        ("a", b"again", "text/plain"),
    ):
        write(bucket, key, data, kind)
        assert read(bucket, key) == data
        blob = blobs._client.bucket(bucket).get_blob(key)
        assert blob.content_type == (kind or "application/octet-stream")
    delete(bucket, "a")
    delete(bucket, "a")
    with pytest.raises(core.NotFound, match="'a' of bucket shop-files"):
        read(bucket, "a")


def test_ids_of_documents_are_the_keys_where_they_can_be() -> None:
    assert document_id(["a-1"]) == "a-1" and document_id(["a", "b"]) == "a:b"
    assert document_id(["a/b"]) == "a%2Fb" and document_id(["a:b", "c:d"]) == "a%3Ab:c:d"
    assert document_id(["a:b"]) == "a:b" and document_id([7]) == "7"
    assert document_id(["é" * 800]).startswith("%sha256-")


def test_a_list_in_a_list_is_kept_apart() -> None:
    assert stored([[1]]) == [{"pf-list": [1]}]
    assert stored({"pf-list": [1]}) == {"pf-list": [1]}  # not in a list
    assert loaded(stored(ROW["lists"])) == ROW["lists"]


def test_requirements() -> None:
    def needs(*uses: Use) -> tuple[str, ...]:
        function = FunctionPlan("f", "m", "a", HttpTrigger(("GET",), "/"), uses=uses)
        return requirements(BuildPlan("s", "", "3.12", "x86_64", (function,)))

    assert needs() == needs(Use("read", "secret", "a")) == ()
    both = (Use("send", "queue", "a"), Use("publish", "topic", "b"))
    assert needs(*both) == ("google-cloud-pubsub>=2.20",)
    assert needs(*both, Use("write", "bucket", "c"), Use("read", "table", "d")) == (
        "google-cloud-firestore>=2.16", "google-cloud-pubsub>=2.20", "google-cloud-storage>=2.16",
    )  # fmt: skip


def test_what_is_kept_with_a_row_is_not_of_it() -> None:
    """The time at which Firestore deletes a document, which needs a type of its own."""
    from datetime import UTC, datetime

    from portafaas_gcp.runtime.shapes import fields_of, row_of

    row = {"id": "a", "until": 1_790_000_000, "pfExpires": "mine"}
    assert fields_of(row, "until") == {
        "id": "a", "until": 1_790_000_000, "pf-pfExpires": "mine",
        "pfExpires": datetime(2026, 9, 21, 14, 13, 20, tzinfo=UTC),
    }  # fmt: skip
    assert row_of({**fields_of(row, "until"), "pfExpires": "2026-09-21T14:13:20Z"}) == row
    assert "pfExpires" not in fields_of({"id": "a", "until": None}, "until")
    assert "pfExpires" not in fields_of({"id": "a", "until": 2**53}, "until")
    assert row_of({"id": "a", "pf-other": 1}) == {"id": "a"}
