"""Long bodies: written to a bucket by the sender, read back for the handler, never in between."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from portafaas.local import resources
from portafaas.local.driver.portafaas_local_resources import database
from portafaas.runtime import claims
from portafaas.runtime.cloudevent import event_from_message
from portafaas.runtime.context import Context
from portafaas.runtime.control import split
from portafaas.runtime.deliver import run_event, run_messages, wanted
from portafaas.runtime.event import ObjectEvent
from portafaas.runtime.function import Function
from portafaas.runtime.message import Batch, BatchResult, Message
from portafaas.runtime.resources import Outgoing, ResourceError

LONG = "x" * 300_000


def function(folder: Path, kind: str, handler: str, **trigger: Any) -> Function:
    grants: dict[str, dict[str, dict[str, Any]]] = {
        "queue": {"big": {"verbs": ["send"], "claims": "kept"}, "small": {"verbs": ["send"]}},
        "topic": {"news": {"verbs": ["publish"], "claims": "kept"}},
        "bucket": {"kept": {"verbs": []}},
    }
    for resource, names in grants.items():
        for name, grant in names.items():
            grant["address"] = str(folder / resource / name)
    return Function(
        {
            "name": "f", "service": "s", "kind": kind, "handler": f"{__name__}:{handler}", "timeout": 10,
            "memory": 128, "source": "/s", "uses": grants, "trigger": {"claims": True, **trigger},
        }
    )  # fmt: skip


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])
    seen.clear()


seen: list[Any] = []


def one(message: Message, context: Context) -> None:
    seen.append(len(message.body))


async def later(message: Message, context: Context) -> None:
    seen.append(len(message.body))


class Many:
    takes_batch = True

    def handle(self, batch: Batch, context: Context) -> BatchResult:
        seen.append([(m.id, len(m.body)) for m in batch])
        result = BatchResult()
        for message in batch:
            if message.text == "no":
                result.retry(message)
        return result


class ManyLater:
    takes_batch = True

    async def handle(self, batch: Batch, context: Context) -> None:
        seen.append([(m.id, len(m.body)) for m in batch])


def hear(event: Any, context: Context) -> None:
    seen.append(event.data)


def sender(folder: Path) -> Context:
    return Context(function(folder, "http", "one"), "i")


def carried(folder: Path, kind: str, name: str) -> list[dict[str, Any]]:
    """Return messages as they travel, with the attributes that handlers do not see."""
    found = resources.messages(folder, kind, name)
    with contextlib.closing(database(str(folder))) as store:
        rows = store.execute(
            "select attributes from messages where kind = ? and name = ? order by number", (kind, name)
        ).fetchall()
    return [{**m, "attributes": json.loads(text)} for m, (text,) in zip(found, rows, strict=True)]


def delivered(folder: Path, name: str = "big") -> list[Message]:
    found = []
    for sent in carried(folder, "queue", name):
        visible, control = split(sent["attributes"])
        found.append(
            Message(sent["id"], sent["body"], attributes=visible, control=control, queue=name, key=sent["key"])
        )
    return found


def test_a_long_body_travels_by_the_bucket(tmp_path: Path) -> None:
    queue = sender(tmp_path).queues["big"]
    ids = [queue.send(LONG), queue.send("short"), *queue.send_batch([{"body": LONG}, {"body": b"\xff" * 300_000}])]
    sent = carried(tmp_path, "queue", "big")
    assert [m["id"] for m in sent] == ids
    assert [len(m["body"]) for m in sent] == [0, 5, 0, 0]
    assert sent[0]["attributes"]["pf-claim"] == f"kept/pf-claims/big/{ids[0]}"
    assert "pf-claim" not in sent[1]["attributes"]
    work = function(tmp_path, "queue", "one", queue="big")
    assert run_messages(work, delivered(tmp_path), Context(work, "i")) == []
    # And again: nobody has deleted anything.
    assert run_messages(work, delivered(tmp_path), Context(work, "i")) == []
    assert seen == [300_000, 5, 300_000, 300_000] * 2


def test_an_async_handler_gets_it_too(tmp_path: Path) -> None:
    sender(tmp_path).queues["big"].send(LONG)
    work = function(tmp_path, "queue", "later", queue="big")
    assert work.is_async and inspect.iscoroutinefunction(work.handle)
    assert run_messages(work, delivered(tmp_path), Context(work, "i")) == []
    (message,) = delivered(tmp_path)
    asyncio.run(work.handle(message, Context(work, "i")))
    assert seen == [300_000, 300_000]


def test_an_event_is_decoded_from_it(tmp_path: Path) -> None:
    topic = sender(tmp_path).topics["news"]
    topic.publish({"a": LONG}, type="t", subject="7")
    (sent,) = carried(tmp_path, "topic", "news")
    assert sent["body"] == b"" and sent["attributes"]["ce-subject"] == "7"
    visible, control = split(sent["attributes"])
    event = event_from_message(b"", visible, id="1", source="/s", control=control)
    work = function(tmp_path, "topic", "hear", topic="news")
    run_event(work, event, Context(work, "i"))
    assert seen == [{"a": LONG}] and event.subject == "7"


def test_ids_that_are_no_names_of_objects_are_not_used(tmp_path: Path) -> None:
    from portafaas.runtime.event import Event

    topic = sender(tmp_path).topics["news"]
    topic.publish(Event("../../a b", "/s", "t", LONG))
    (sent,) = carried(tmp_path, "topic", "news")
    assert ".." not in sent["attributes"]["pf-claim"] and sent["id"] == "../../a b"


def test_what_cannot_be_read_comes_again(tmp_path: Path) -> None:
    queue = sender(tmp_path).queues["big"]
    lost, short = queue.send(LONG), queue.send("short")
    resources.delete(str(tmp_path / "bucket/kept"), f"pf-claims/big/{lost}")
    work = function(tmp_path, "queue", "one", queue="big")
    assert run_messages(work, delivered(tmp_path), Context(work, "i")) == [lost]
    assert seen == [5]
    from portafaas.runtime.taxonomy import kind_of

    with pytest.raises(ResourceError) as caught:
        claims.fetch(delivered(tmp_path)[0], Context(work, "i"))
    assert kind_of(caught.value) == "retryable"
    assert short


def test_of_a_batch_only_what_cannot_be_read_comes_again(tmp_path: Path) -> None:
    queue = sender(tmp_path).queues["big"]
    lost, long, no = queue.send(LONG), queue.send(LONG), queue.send("no")
    resources.delete(str(tmp_path / "bucket/kept"), f"pf-claims/big/{lost}")
    for handler, expected in (("Many", [lost, no]), ("ManyLater", [lost])):
        seen.clear()
        work = function(tmp_path, "queue", handler, queue="big")
        assert sorted(run_messages(work, delivered(tmp_path), Context(work, "i"))) == sorted(expected)
        assert seen == [[(long, 300_000), (no, 2)]]
        seen.clear()
        assert run_messages(work, delivered(tmp_path)[:1], Context(work, "i")) == [lost]
        assert seen == [], "a batch of nothing is none"


class Same:
    takes_batch = True
    answer = BatchResult()

    def handle(self, batch: Batch, context: Context) -> BatchResult:
        return self.answer


def test_a_result_that_the_handler_keeps_stays_as_it_is(tmp_path: Path) -> None:
    queue = sender(tmp_path).queues["big"]
    queue.send_batch([{"body": "yes"}, {"body": LONG}])
    messages = delivered(tmp_path)
    resources.delete(str(tmp_path / "bucket/kept"), messages[1].control["pf-claim"][5:])  # type: ignore[index]
    listener = function(tmp_path, "queue", "Same", queue="big", batch=5)
    for _ in range(2):
        assert run_messages(listener, messages, Context(listener, "i")) == [messages[1].id]
    assert Same.answer.outcomes == {}


def test_in_order_nothing_passes_what_cannot_be_read(tmp_path: Path) -> None:
    queue = sender(tmp_path).queues["big"]
    ids = [queue.send(body) for body in (LONG, "a", "b")]
    resources.delete(str(tmp_path / "bucket/kept"), f"pf-claims/big/{ids[0]}")
    messages = delivered(tmp_path)
    for message, key in zip(messages, "aab", strict=True):
        message.key = key
    work = function(tmp_path, "queue", "Many", queue="big", ordered=True)
    assert run_messages(work, messages, Context(work, "i")) == ids[:2]
    assert seen == [[(ids[2], 1)]]


def test_nothing_is_sent_when_the_bucket_takes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise ResourceError("down", retryable=True)

    monkeypatch.setattr(resources, "write", broken)
    with pytest.raises(ResourceError, match="down"):
        sender(tmp_path).queues["big"].send_batch([{"body": "short"}, {"body": LONG}])
    assert carried(tmp_path, "queue", "big") == []


def test_there_are_limits(tmp_path: Path) -> None:
    context = sender(tmp_path)
    with pytest.raises(ValueError, match="at most 100000000"):
        context.queues["big"].send(bytes(100_000_001))
    with pytest.raises(ValueError, match=r"'claim-check' in portafaas\.yaml"):
        context.queues["small"].send(LONG)
    with pytest.raises(PermissionError, match="may not read bucket 'kept'"):
        context.buckets["kept"].read("x")


def test_who_may_use_the_bucket_sees_none_of_it(tmp_path: Path) -> None:
    context = sender(tmp_path)
    context.queues["big"].send(LONG)
    context._function.uses["bucket"]["kept"]["verbs"] += ["read", "write"]
    bucket = context.buckets["kept"]
    for key in ("a", "pf-claim", "z"):
        bucket.write(key, b"")
    assert [found.key for found in bucket.list().all()] == ["a", "pf-claim", "z"]
    assert [found.key for found in bucket.list("pf-").all()] == ["pf-claim"]
    assert list(bucket.list("pf-claims/").all()) == []
    for call in (bucket.read, bucket.delete, bucket.stat, bucket.signed_url):
        with pytest.raises(ValueError, match="portafaas' own"):
            call("pf-claims/big/x")


def test_a_prepared_message_is_small(tmp_path: Path) -> None:
    message: Outgoing = sender(tmp_path).queues["big"].prepared(LONG)
    assert message.body == b""
    place = message.attributes["pf-claim"].removeprefix("kept/")
    assert resources.read(str(tmp_path / "bucket/kept"), place) == LONG.encode()


def test_nobody_hears_of_such_objects(tmp_path: Path) -> None:
    watch = function(tmp_path, "object", "hear", bucket="kept", on=["created"])
    told = [wanted(watch, ObjectEvent("", "", bucket="kept", key=key, kind="created")) for key in ("a", "pf-claims/big/a")]
    assert told == [True, False]


@pytest.mark.parametrize("place", ["kept/private/key.pem", "kept/", "kept", "kept/pf-claims"])
def test_a_claim_reads_nothing_but_claims(tmp_path: Path, place: str) -> None:
    resources.write(str(tmp_path / "bucket" / "kept"), "private/key.pem", b"secret", None)
    read = function(tmp_path, "queue", "one", queue="big", batch=1)
    message = Message("1", b"", queue="big", control={"pf-claim": place})
    assert run_messages(read, [message], Context(read, "1")) == ["1"]
    assert seen == []
