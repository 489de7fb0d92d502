"""Messages with the real azure-servicebus to an AMQP peer, blobs to Azurite; what packages need."""

from __future__ import annotations

import base64
import gc
import importlib
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from portafaas.adapter import MessageStimulus, QueueStimulus, TopicStimulus
from portafaas.plan import BuildPlan, FunctionPlan, HttpTrigger, Use
from portafaas.runtime.resources import NotFound, Outgoing, ResourceError
from portafaas_azure.adapter import ADAPTER
from portafaas_azure.requirements import requirements
from portafaas_azure.runtime import blobs, identity, sender
from portafaas_azure.runtime.failures import failure
from portafaas_azure.runtime.resources import delete, publish, read, send, write
from tests.behaviour import emulators

NOW = "2026-11-23T10:00:00.000Z"
FACTS = {
    "ce-specversion": "1.0", "ce-id": "e-1", "ce-source": "/shop/functions/a",
    "ce-type": "order.placed", "ce-subject": "7", "ce-time": "2026-01-02T03:04:05.000Z",
    "ce-datacontenttype": "application/json", "ce-traceparent": "00-a-b-01",
}  # fmt: skip


@pytest.fixture(scope="session")
def peer() -> ModuleType:
    """``service_bus``: a namespace of Service Bus."""
    pytest.importorskip("proton")
    return importlib.import_module("tests.azure_cloud.service_bus")


@pytest.fixture
def bus(peer: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    token = identity.Token("t1", int(time.time()) + 3600)
    monkeypatch.setattr(identity, "_tokens", {"https://servicebus.azure.net/": token})
    monkeypatch.setattr(
        sender, "PATIENCE", {**sender.PATIENCE, "retry_total": 1, "retry_backoff_factor": 0.05}
    )
    with peer.bus() as made:
        made.url = f"http://{made.address}"
        yield made
        _close()


def _close() -> None:
    """Cut the connections; to end them properly takes the client a second for each."""
    for one in sender._senders.values():
        handler = one.link._handler
        if handler is not None and handler._connection is not None:
            handler._connection._transport.close()
    sender._senders.clear()
    sender._clients.clear()


def hosted(arrived: Any) -> dict[str, Any]:
    """Return what the Functions host makes of a message that was on the wire.

    The names of a trigger's metadata are those of ``ServiceBusReceivedMessage``, whose converter
    reads these places of the AMQP message:
    https://github.com/Azure/azure-sdk-for-net/blob/main/sdk/servicebus/Azure.Messaging.ServiceBus/src/Amqp/AmqpMessageConverter.cs
    """

    def text(value: Any) -> Any:
        # proton has "" for what is not there.
        return {"type": "string", "value": str(value)} if value else None

    def document(value: Any) -> Any:
        return {"type": "json", "value": value}

    message = arrived.message
    metadata = {
        "MessageId": text(message.id),
        "LockToken": text("00000000-0000-0000-0000-000000000001"),
        "DeliveryCount": document(1),
        "SequenceNumber": document(1),
        "EnqueuedTimeUtc": document(NOW),
        "EnqueuedTime": document(NOW),
        "ContentType": text(arrived.content_type),
        "ApplicationProperties": document(dict(message.properties or {})),
        "UserProperties": document(dict(message.properties or {})),
        "SessionId": text(message.group_id),
        "PartitionKey": text(arrived.annotations.get("x-opt-partition-key")),
    }
    return {
        "trigger": {"type": "bytes", "value": base64.b64encode(arrived.body).decode()},
        "metadata": {name: data for name, data in metadata.items() if data is not None},
    }


def stimulus(message: Outgoing) -> MessageStimulus:
    return MessageStimulus(
        message.id, message.body, message.attributes, message.key, 1, NOW, message.content_type
    )


BODIES = [b"", b"text", bytes(range(256)), "gr\u00fc\u00dfe".encode(), b'{"a": 1}', b"x" * 200_000]


@pytest.mark.parametrize("ordered", [False, True])
def test_what_is_sent_to_a_queue_arrives(
    bus: Any, bench: Any, handlers: Any, ordered: bool
) -> None:
    messages = [
        Outgoing(
            f"id-{n}", body, content_type="application/json" if n else None,
            key="k/1" if ordered else None,
            attributes={"kind": "\u00fc", "Content-Type": "mine", "traceparent": "00-a-b-01"}
            if n % 2
            else {},
        )
        for n, body in enumerate(BODIES)
    ]  # fmt: skip
    queue = "ordered" if ordered else "jobs"
    assert send(f"{bus.url}/{queue}", messages, ordered) == []
    assert [one.body for one in bus.arrived] == BODIES
    name = f"work{'-ordered' if ordered else ''}"
    function = bench.plan.function(name)
    for message, arrived in zip(messages, bus.arrived, strict=True):
        assert arrived.entity == queue
        wanted = QueueStimulus((stimulus(message),))
        [request] = ADAPTER.encode(bench.plan, function, wanted)
        assert hosted(arrived) == request.payload
        handlers.seen.clear()
        bench.azure(name, wanted)
        assert handlers.seen == [
            [message.id, message.body.hex(), message.attributes, message.key, queue, 1, NOW, 1]
        ]
    assert bus.claims == [("jwt", f"sb://{bus.address}/{queue}", "t1")]
    assert bus.connections == 1


def test_what_is_published_arrives(bus: Any, bench: Any, handlers: Any) -> None:
    messages = [
        Outgoing("e-1", b'{"total":7}', content_type="application/json", key="k",
                 attributes={"region": "eu", **FACTS}),
        Outgoing("e-2", b"raw\0", content_type="application/octet-stream",
                 attributes={"ce-id": "e-2", "ce-type": "t", "ce-source": "s"}),
        Outgoing("e-3", b"", attributes={"ce-id": "e-3", "ce-type": "t", "ce-source": "s"}),
    ]  # fmt: skip
    assert publish(f"{bus.url}/news", messages, False) == []
    function = bench.plan.function("on-news")
    for message, arrived in zip(messages, bus.arrived, strict=True):
        wanted = TopicStimulus(stimulus(message))
        [request] = ADAPTER.encode(bench.plan, function, wanted)
        assert hosted(arrived) == request.payload
        bench.azure("on-news", wanted)
    first, second, third = handlers.seen
    assert (first["data"], first["type"], first["subject"]) == ({"total": 7}, "order.placed", "7")
    assert first["source"] == "/shop/functions/a" and first["time"] == FACTS["ce-time"]
    assert first["attributes"] == {"region": "eu"} and first["key"] == "k"
    assert first["datacontenttype"] == "application/json" and first["traceparent"] == "00-a-b-01"
    assert base64.b64decode(second["data_base64"]) == b"raw\0"
    assert "data" not in third and third["id"] == "e-3" and third["key"] is None


def test_an_ordered_topic_has_sessions(bus: Any) -> None:
    long = "e" * 500
    messages = [Outgoing("e-1", b"", key="k", attributes=FACTS),
                Outgoing(long, b"", key="j", attributes={"ce-id": long})]  # fmt: skip
    assert publish(f"{bus.url}/news", messages, True) == []
    first, second = bus.arrived
    assert (first.message.group_id, first.annotations) == ("k", {})
    assert second.message.group_id == "j"
    # No message id is that long; the event's own is kept.
    assert len(second.message.id) <= 128 and second.message.properties["cloudEvents:id"] == long


def test_delay_and_duplicates(bus: Any) -> None:
    before = time.time()
    messages = [Outgoing("a", b"1", delay=900), Outgoing("b", b"2", dedup="once"),
                Outgoing("c", b"3", dedup="once")]  # fmt: skip
    assert send(f"{bus.url}/jobs", messages, False) == []
    later, *two = bus.arrived
    at = later.annotations["x-opt-scheduled-enqueue-time"] / 1000
    assert before + 900 - 0.01 <= at <= time.time() + 900
    assert [(one.message.id, one.annotations) for one in two] == [("once", {}), ("once", {})]


def test_batches(bus: Any) -> None:
    """As few transfers as the sizes allow, one key in each, in order."""
    many = [Outgoing(str(n), b"x" * 60_000) for n in range(10)]
    many.insert(5, Outgoing("big", b"y" * 256_000, attributes={"a": "b" * 1000}))
    assert send(f"{bus.url}/jobs", many, False) == []
    assert [one.message.id for one in bus.arrived] == [message.id for message in many]
    assert [one.batch for one in bus.arrived] == [1, 1, 1, 1, 2, 3, 4, 4, 4, 4, 5]
    bus.arrived.clear()
    bus.transfers = 0
    keyed = [Outgoing(str(n), b"x", key=f"k{n % 3}") for n in range(300)]
    assert send(f"{bus.url}/ordered", keyed, True) == []
    assert bus.transfers == 3
    for key in ("k0", "k1", "k2"):
        found = [one for one in bus.arrived if one.message.group_id == key]
        assert [int(one.message.id) for one in found] == list(range(int(key[1]), 300, 3))
        assert len({one.batch for one in found}) == 1
    assert send(f"{bus.url}/jobs", [], False) == []


def test_after_a_failure_nothing_more_of_its_key(bus: Any) -> None:
    size = "amqp:link:message-size-exceeded"
    messages = [Outgoing(str(n), bytes(100_000), key="k" if n < 5 else "j") for n in range(6)]
    bus.outcomes["ordered"] = [None, size]  # the second batch of "k"
    failed = send(f"{bus.url}/ordered", messages, True)
    assert [index for index, _ in failed] == [2, 3, 4]
    assert "earlier" in failed[2][1] and "earlier" not in failed[0][1]
    assert [one.message.id for one in bus.arrived] == ["0", "1", "5"]
    bus.arrived.clear()
    bus.outcomes["jobs"] = [None, size]
    failed = send(f"{bus.url}/jobs", messages, False)
    assert [index for index, _ in failed] == [2, 3]
    assert [one.message.id for one in bus.arrived] == ["0", "1", "4", "5"]


@pytest.mark.parametrize(
    ("condition", "retryable"),
    [
        ("com.microsoft:server-busy", True),
        ("com.microsoft:timeout", True),
        ("amqp:resource-limit-exceeded", True),
        ("amqp:link:message-size-exceeded", False),
        ("com.microsoft:entity-disabled", False),
    ],
)
def test_messages_that_are_refused(
    bus: Any, monkeypatch: pytest.MonkeyPatch, condition: str, retryable: bool
) -> None:
    monkeypatch.setattr(sender, "PATIENCE", {**sender.PATIENCE, "retry_total": 0})
    bus.outcomes["jobs"] = [condition] * 9
    with pytest.raises(ResourceError, match="jobs") as caught:
        send(f"{bus.url}/jobs", [Outgoing("a", b"")], False)
    assert caught.value.retryable is retryable
    bus.outcomes.clear()
    assert send(f"{bus.url}/jobs", [Outgoing("b", b"")], False) == []
    assert [one.message.id for one in bus.arrived] == ["b"]


def test_an_error_that_passes_is_not_seen(bus: Any) -> None:
    bus.outcomes["jobs"] = ["amqp:internal-error"]
    assert send(f"{bus.url}/jobs", [Outgoing("a", b"")], False) == []
    bus.dropped = 1  # as the service does with links that were idle for ten minutes
    assert send(f"{bus.url}/jobs", [Outgoing("b", b"")], False) == []
    assert [one.message.id for one in bus.arrived] == ["a", "b"]
    assert bus.connections > 1


def test_an_answer_that_never_comes(bus: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "TIMEOUT", 0.5)
    bus.ignored = 9
    with pytest.raises(ResourceError) as caught:
        send(f"{bus.url}/jobs", [Outgoing("a", b"")], False)
    assert caught.value.retryable


def test_what_the_client_says_of_queues() -> None:
    """The peer cannot refuse a link so early that the client sees why."""
    from azure.servicebus import exceptions

    for kind, wanted, retryable in (
        (exceptions.MessagingEntityNotFoundError, NotFound, False),
        (exceptions.ServiceBusAuthorizationError, ResourceError, False),
        (exceptions.ServiceBusQuotaExceededError, ResourceError, True),
        (exceptions.ServiceBusConnectionError, ResourceError, True),
    ):
        found = failure(kind(message="refused"), "send")
        assert type(found) is wanted and found.retryable is retryable
        assert str(found).startswith("cannot send: refused")


def test_a_link_that_is_refused(bus: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "PATIENCE", {**sender.PATIENCE, "retry_total": 0})
    bus.refused_links = {"nothing": "amqp:not-found"}
    with pytest.raises(ResourceError, match="nothing"):
        send(f"{bus.url}/nothing", [Outgoing("a", b"")], False)


def test_a_token_that_is_refused(bus: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "PATIENCE", {**sender.PATIENCE, "retry_total": 0})
    bus.refused_claims = (401, "who is that?")
    with pytest.raises(ResourceError) as caught:
        send(f"{bus.url}/jobs", [Outgoing("a", b"")], False)
    assert not caught.value.retryable


def test_without_an_identity(bus: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "_tokens", {})
    monkeypatch.delenv("IDENTITY_ENDPOINT", raising=False)
    monkeypatch.setitem(sys.modules, "azure.identity", None)
    with pytest.raises(ResourceError, match="no managed identity") as caught:
        send(f"{bus.url}/jobs", [Outgoing("a", b"")], False)
    assert not caught.value.retryable


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_namespace_that_is_not_there(bus: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "PATIENCE", {**sender.PATIENCE, "retry_total": 0})
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(ResourceError) as caught:
        send(f"http://127.0.0.1:{port}/jobs", [Outgoing("a", b"")], False)
    assert caught.value.retryable
    del caught
    _close()
    gc.collect()  # the client leaves a socket


def test_threads_take_turns(bus: Any) -> None:
    failed: list[Any] = []

    def work(number: int) -> None:
        messages = [Outgoing(f"{number}-{n}", b"x") for n in range(20)]
        for message in messages:
            failed.extend(send(f"{bus.url}/jobs", [message], False))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failed == [] and bus.connections == 1
    wanted = {f"{number}-{n}" for number in range(4) for n in range(20)}
    assert {one.message.id for one in bus.arrived} == wanted and len(bus.arrived) == 80


@pytest.fixture
def bucket(
    azure_cloud_modules: list[ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """A container in Azurite, which takes tokens of any issuer, through TLS only."""
    pem = azure_cloud_modules[1].certify(tmp_path / "tls.pem")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", pem)
    monkeypatch.setattr(blobs, "_containers", {})
    token = identity.Token(_unsigned(), int(time.time()) + 3600)
    monkeypatch.setattr(identity, "_tokens", {"https://storage.azure.com": token})
    with emulators.azurite(tmp_path, pem) as account:
        yield f"{account}/uploads"
        for container in blobs._containers.values():
            container.close()


def _unsigned() -> str:
    import json

    now = int(time.time())
    facts = {
        "aud": "https://storage.azure.com", "iss": "https://sts.windows.net/t/", "nbf": now - 60,
        "iat": now - 60, "exp": now + 3600,
    }  # fmt: skip
    parts = [json.dumps(part).encode() for part in ({"alg": "RS256", "typ": "JWT"}, facts)]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in [*parts, b"s"])


def test_objects(bucket: str) -> None:
    with pytest.raises(NotFound, match="bucket uploads"):
        read(bucket, "a")
    blobs._containers[bucket].create_container()
    with pytest.raises(NotFound, match="'a' of bucket uploads"):
        read(bucket, "a")
    delete(bucket, "a")
    for key, data, kind in (
        ("a", b"", None),
        ("in/\u00fc b?#%25+&.bin", bytes(range(256)) * 1000, "image/png"),
        ("a", b"again", "text/plain"),
        ("large", os.urandom(1024) * 40_000, None),  # in several blocks, and several ranges
    ):
        write(bucket, key, data, kind)
        assert read(bucket, key) == data
        found = blobs._blob(bucket, key).get_blob_properties()
        assert found.name == key
        assert found.content_settings.content_type == (kind or "application/octet-stream")
    delete(bucket, "a")
    delete(bucket, "a")
    with pytest.raises(NotFound):
        read(bucket, "a")
    with pytest.raises(NotFound):
        delete(bucket.replace("uploads", "nothing"), "a")
    with pytest.raises(NotFound):
        write(bucket.replace("uploads", "nothing"), "a", b"", None)


def test_a_store_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blobs, "PATIENCE", {"retry_total": 0})
    monkeypatch.setattr(blobs, "_containers", {})
    token = identity.Token("t1", int(time.time()) + 3600)
    monkeypatch.setattr(identity, "_tokens", {"https://storage.azure.com": token})
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(ResourceError) as caught:
        read(f"https://127.0.0.1:{port}/uploads", "a")
    assert caught.value.retryable


def test_requirements() -> None:
    def needs(*uses: Use) -> tuple[str, ...]:
        function = FunctionPlan("f", "m", "a", HttpTrigger(("GET",), "/"), uses=uses)
        return requirements(BuildPlan("s", "", "3.12", "x86_64", (function,)))

    assert needs() == needs(Use("read", "secret", "a")) == ()
    both = (Use("send", "queue", "a"), Use("publish", "topic", "b"))
    assert [one.partition(">=")[0] for one in needs(*both)] == ["azure-servicebus"]
    every = needs(*both, Use("write", "bucket", "c"), Use("read", "table", "d"))
    assert [one.partition(">=")[0] for one in every] == [
        "azure-cosmos", "azure-servicebus", "azure-storage-blob",
    ]  # fmt: skip
