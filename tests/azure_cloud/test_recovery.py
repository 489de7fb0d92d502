"""Failures on Azure, end to end: the bridges, Microsoft's client, a Service Bus, dead letters."""

from __future__ import annotations

import asyncio
import base64
import gc
import importlib
import json
import time
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("proton")

import azure.functions as func
from azure.functions import meta
from azure.servicebus._pyamqp.client import AMQPClient

from portafaas.plan import (
    BucketPlan,
    BuildPlan,
    FunctionPlan,
    ObjectTrigger,
    QueuePlan,
    QueueTrigger,
    Retry,
    ScheduleTrigger,
    TablePlan,
    TableTrigger,
    TopicPlan,
    TopicTrigger,
)
from portafaas.plan.entry import function_spec
from portafaas.runtime import Batch, BatchHandler, BatchResult, Permanent, Throttled, aio
from portafaas.runtime.function import Function
from portafaas.runtime.resources import Outgoing
from portafaas_azure.broker import dead_of, dead_queue, source_of
from portafaas_azure.deployment.account import Account
from portafaas_azure.deployment.dead_letters import AzureDeadLetters
from portafaas_azure.lowering import deployed
from portafaas_azure.runtime import identity, sender
from portafaas_azure.runtime.resources import publish, send
from tests.azure_cloud.broker import Broker, Stored
from tests.azure_cloud.host import Crashed, Host
from tests.azure_cloud.service_bus import Bus, bus

REGISTRY: Any = func.get_binding_registry()  # type: ignore[no-untyped-call]
RETRY = Retry(attempts=3, initial=10.0, maximum=60.0, jitter=False)

#: What handlers were given: function, id, attempt.
seen: list[Any] = []


def act(item: Any) -> Any:
    """Do what the test wants of the handler."""


def handle(item: Any, context: Any) -> None:
    seen.append((context.function, item.id, item.attempt))
    act(item)


async def handle_async(item: Any, context: Any) -> None:
    handle(item, context)


class Batches(BatchHandler):
    def handle(self, batch: Batch, context: Any) -> BatchResult:
        result = BatchResult()
        for message in batch:
            if message.body == b"later":
                result.retry(message, after=100)
            elif message.body == b"dead":
                result.dead_letter(message, "not ours")
            elif message.body == b"dropped":
                result.drop(message)
        return result


def function(name: str, trigger: Any, handler: str = "handle", **more: Any) -> FunctionPlan:
    return FunctionPlan(name, __name__, handler, trigger, **{"retry": RETRY, "timeout": 5, **more})


PLAN = BuildPlan(
    "shop", "dev", "3.11", "x86_64",
    (
        function("work", QueueTrigger("jobs")),
        function("work-async", QueueTrigger("tasks"), "handle_async"),
        function("work-batch", QueueTrigger("lots", batch=5), "Batches"),
        function("work-in-order", QueueTrigger("in-order"), timeout=2),
        function("work-for-ever", QueueTrigger("endless")),
        function("on-news", TopicTrigger("news")),
        function("on-more", TopicTrigger("news")),
        function("on-file", ObjectTrigger("files")),
        function("on-row", TableTrigger("orders")),
        function("on-morning", ScheduleTrigger("30 6 * * *", "Etc/UTC")),
    ),
    queues=(
        QueuePlan("jobs", dead_letter=True), QueuePlan("tasks", dead_letter="parked"),
        QueuePlan("lots", dead_letter="parked"), QueuePlan("parked"),
        QueuePlan("in-order", ordered=True, dead_letter=True), QueuePlan("endless"),
    ),
    topics=(TopicPlan("news"),),
    buckets=(BucketPlan("files"),),
    tables=(TablePlan("orders"),),
)  # fmt: skip


def seconds(text: str) -> float:
    return float(text[2:-1])


def namespace(plan: BuildPlan) -> Broker:
    """Return a broker with the entities that the plan is lowered to."""
    broker = Broker()
    names = {dead_of(plan, f) for f in plan.functions} | {dead_queue(q) for q in plan.queues}
    for name in sorted(names - {""}):
        broker.queue(name, maxDeliveryCount=1 << 30, lockDuration=300.0)
    for made in deployed(plan):
        one = plan.function(made.function)
        binding = made.binding
        if one.kind == "topic":
            settings, (_, name) = dict(binding["subscription"]), source_of(plan, one)
            settings.pop("rule")

            def takes(stored: Stored, me: str = one.name) -> bool:
                return stored.properties.get("pf-to", me) == me

            broker.subscription(name, one.name, takes, **_timed(settings))
        elif one.kind == "object":
            settings = binding["eventSubscription"]["destination"]["settings"]
            broker.queue(f"{one.name}-objects", **_timed(settings))
        else:
            found = binding["queue"] if one.kind == "queue" else binding["again"]["queue"]
            broker.queue(source_of(plan, one)[1], **_timed(found))
    return broker


def _timed(settings: Any) -> dict[str, Any]:
    words = ("lockDuration", "defaultMessageTimeToLive")
    return {k: seconds(v) if k in words else v for k, v in settings.items()}


class Cloud:
    """The service on this machine."""

    def __init__(self, broker: Broker, peer: Bus) -> None:
        self.broker, self.peer = broker, peer
        self.url = f"http://{peer.address}"
        self.host = Host(broker, {})
        self.worker = asyncio.new_event_loop()

    def length(self, name: str) -> int:
        return self.broker.entities[name].length

    def consume(self, name: str, *, crashes: int = 0) -> None:
        """Have the host deliver to a function what its trigger brings."""
        one = PLAN.function(name)
        kind, source = source_of(PLAN, one)
        path = f"{source}/Subscriptions/{name}" if kind == "topic" else source
        again = one.kind in ("table", "schedule")
        bound = self.bound(name, "bind_again" if again else "bind")
        left = [crashes]

        def invoke(payload: dict[str, Any]) -> bool:
            if left[0]:
                left[0] -= 1
                raise Crashed
            return self.invoke(bound, native("serviceBusTrigger", payload))

        self.host.routes[path] = invoke

    def bound(self, name: str, how: str = "bind") -> Any:
        function = Function(function_spec(PLAN, PLAN.function(name)))
        return getattr(importlib.import_module(f"portafaas_azure.runtime.{function.kind}"), how)(
            function
        )

    def invoke(self, bound: Any, event: Any, retries: int = 0) -> bool:
        context = types.SimpleNamespace(
            invocation_id="00000000-0000-0000-0000-0000000000aa",
            thread_local_storage=types.SimpleNamespace(invocation_id=None),
            retry_context=types.SimpleNamespace(retry_count=retries, max_retry_count=-1),
        )
        try:
            self.worker.run_until_complete(bound(event, context))
        except Exception:
            return False
        return True

    def letters(self, plan: BuildPlan = PLAN) -> AzureDeadLetters:
        found = AzureDeadLetters(_Account(plan, {}), plan, "/namespace")
        found.account.url = self.url  # type: ignore[attr-defined]
        return found


class _Account(Account):
    """Signs in with a token that was found, and knows where the namespace is."""

    url = ""
    retries = 0

    @property
    def credential(self) -> Any:
        return identity.credential()

    def read(self, identifier: str, api: str = "") -> dict[str, Any] | None:
        if "/queues/" in identifier:
            return {"properties": {"countDetails": {"activeMessageCount": 4,
                                                    "deadLetterMessageCount": 1}}}  # fmt: skip
        return {"properties": {"serviceBusEndpoint": f"{self.url}/"}}


def native(kind: str, payload: Any) -> Any:
    def datum(data: Any) -> meta.Datum:
        if data["type"] == "json":
            return meta.Datum(json.dumps(data["value"]), "json")
        raw = data["value"]
        return meta.Datum(base64.b64decode(raw) if data["type"] == "bytes" else raw, data["type"])

    metadata = {name: datum(data) for name, data in payload["metadata"].items()}
    return REGISTRY.get(kind).decode(datum(payload["trigger"]), trigger_metadata=metadata)


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    token = identity.Token("t1", int(time.time()) + 3600)
    monkeypatch.setattr(identity, "_tokens", {"https://servicebus.azure.net/": token})
    quick = {"retry_total": 1, "retry_backoff_factor": 0.05}
    monkeypatch.setattr(sender, "PATIENCE", {**sender.PATIENCE, **quick})
    monkeypatch.setattr(_Account, "retries", 0)
    # Its thread, which sleeps for seconds, is waited for when a link is closed.
    monkeypatch.setattr(AMQPClient, "_keep_alive", lambda self: None)
    broker = namespace(PLAN)
    seen.clear()
    with bus(broker) as peer:
        made = Cloud(broker, peer)
        for one in PLAN.functions:
            short = one.name.upper().replace("-", "_")
            monkeypatch.setenv(f"PORTAFAAS_SOURCE_{short}", f"{made.url}/{source_of(PLAN, one)[1]}")
            if dead := dead_of(PLAN, one):
                monkeypatch.setenv(f"PORTAFAAS_DEAD_{short}", f"{made.url}/{dead}")
        yield made
        made.worker.close()
        aio.adopt(None)  # the bridges made it the instance's
        cut()


def cut() -> None:
    """Cut the connections; to end them properly takes the client a second for each."""
    for one in sender._senders.values():
        handler = one.link._handler
        if handler is not None and handler._connection is not None:
            handler._connection._transport.close()
    sender._senders.clear()
    sender._clients.clear()
    gc.collect()


@pytest.fixture
def does(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Any], Any]], None]:
    import sys

    def choose(what: Callable[[Any], Any]) -> None:
        monkeypatch.setattr(sys.modules[__name__], "act", what)

    return choose


Does = Callable[[Callable[[Any], Any]], None]


def fails(item: Any) -> None:
    raise RuntimeError("not today")


@pytest.mark.parametrize(("name", "queue", "dead"), [("work", "jobs", "jobs-dead"),
                                                     ("work-async", "tasks", "parked")])  # fmt: skip
def test_copies_wait_and_then_there_is_a_dead_letter(
    cloud: Cloud, does: Does, name: str, queue: str, dead: str
) -> None:
    does(fails)
    message = Outgoing("m-1", b"\0body", content_type="application/x", dedup="once",
                       attributes={"a": "b", "traceparent": "00-aa-bb-01", "pf-id": "m-1"})  # fmt: skip
    assert send(f"{cloud.url}/{queue}", [message], False) == []
    cloud.consume(name)
    cloud.host.run()
    assert seen == [(name, "m-1", 1), (name, "m-1", 2), (name, "m-1", 3)]
    times = [round(at) for at, _, _ in cloud.host.deliveries]
    assert times == pytest.approx([0, 10, 30], abs=3)
    # A copy is another message, or duplicate detection would drop it.
    assert len({one for _, _, one in cloud.host.deliveries}) == 3
    assert (cloud.length(queue), cloud.length(dead)) == (0, 1)
    [found] = cloud.letters().list(queue, 10)
    assert (found.id, found.reason, found.attempts, found.function) == ("m-1", "attempts", 3, name)
    assert found.error == "RuntimeError: not today" and found.body == b"\0body"
    assert found.attributes == {"a": "b", "traceparent": "00-aa-bb-01"}
    assert found.trace.startswith("00-") and found.time and found.sent


def test_permanent_and_patience(cloud: Cloud, does: Does) -> None:
    def judged(item: Any) -> None:
        if item.body == b"bad":
            raise Permanent("never")
        if item.attempt == 1:
            raise Throttled("busy", retry_after=200)
        if item.body == b"json":
            item.json()

    does(judged)
    for id, body in (("1", b"bad"), ("2", b"slow"), ("3", b"json")):
        send(f"{cloud.url}/jobs", [Outgoing(id, body)], False)
    cloud.consume("work")
    cloud.host.run()
    assert [at // 100 for at, _, _ in cloud.host.deliveries] == [0, 0, 0, 2, 2]
    assert {(one.id, one.reason, one.attempts) for one in cloud.letters().list("jobs", 9)} == {
        ("1", "permanent", 1), ("3", "poison", 2),
    }  # fmt: skip


def test_a_worker_that_ends(cloud: Cloud, does: Does) -> None:
    """Service Bus counts, and what it gives up is forwarded to where all dead letters are."""
    send(f"{cloud.url}/jobs", [Outgoing("m-1", b"x", attributes={"a": "b"})], False)
    cloud.consume("work", crashes=3)
    cloud.host.run()
    assert seen == [] and cloud.length("jobs-dead") == 1
    [found] = cloud.letters().list("jobs", 9)
    assert (found.id, found.reason, found.attempts) == ("m-1", "platform", 3)
    assert found.function == "work" and found.error.startswith("MaxDeliveryCountExceeded")
    assert found.attributes == {"a": "b"}


def test_a_copy_whose_worker_ends_is_given_up_by_the_bridge(cloud: Cloud, does: Does) -> None:
    does(fails)
    send(f"{cloud.url}/jobs", [Outgoing("m-1", b"x")], False)
    cloud.consume("work")
    cloud.host.step()  # a copy is on its way, as attempt 2
    cloud.consume("work", crashes=2)
    cloud.host.run()
    # The fourth delivery is nobody's; the handler does not see it.
    assert seen == [("work", "m-1", 1)]
    [found] = cloud.letters().list("jobs", 9)
    assert (found.id, found.reason, found.attempts) == ("m-1", "attempts", 3)


def test_without_dead_letters_everything_comes_again(cloud: Cloud, does: Does) -> None:
    def late(item: Any) -> None:
        if item.attempt < 7:
            raise Permanent("so it says")

    does(late)
    send(f"{cloud.url}/endless", [Outgoing("m-1", b"x")], False)
    cloud.consume("work-for-ever")
    cloud.host.run()
    assert [attempt for _, _, attempt in seen] == [1, 2, 3, 4, 5, 6, 7]
    times = [round(at) for at, _, _ in cloud.host.deliveries]
    assert times == pytest.approx([0, 10, 30, 70, 130, 190, 250], abs=5)


def test_sessions_stay_in_order(
    cloud: Cloud, does: Does, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No copy overtakes: the bridge waits as long as it may, and the message comes again."""
    waited: list[float] = []
    from portafaas_azure.runtime.settlement import Settlement

    monkeypatch.setattr(Settlement, "_wait", lambda self, left: waited.append(left))

    def second(item: Any) -> None:
        if item.id in ("2", "4"):
            raise RuntimeError("not today")

    does(second)
    messages = [Outgoing(str(n), b"x", key="j" if n == 5 else "k") for n in range(1, 6)]
    send(f"{cloud.url}/in-order", messages, True)
    cloud.consume("work-in-order")
    cloud.host.run()
    of_k = [(id, attempt) for _, id, attempt in seen if id != "5"]
    assert of_k == [("1", 1), ("2", 1), ("2", 2), ("2", 3), ("3", 1), ("4", 1), ("4", 2), ("4", 3)]
    assert waited == [10, 20, 10, 20]
    assert [(one.id, one.key) for one in cloud.letters().list("in-order", 9)] == [
        ("2", "k"), ("4", "k"),
    ]  # fmt: skip
    does(lambda item: None)
    seen.clear()
    assert cloud.letters().redrive("in-order", None).moved == 2
    cloud.host.run()
    assert [(id, attempt) for _, id, attempt in seen] == [("2", 1), ("4", 1)]


def test_a_wait_ends_with_the_time_that_is_left(cloud: Cloud, does: Does) -> None:
    does(fails)
    send(f"{cloud.url}/in-order", [Outgoing("1", b"x", key="k")], True)
    cloud.consume("work-in-order")
    started = time.monotonic()
    cloud.host.step()
    assert 0.9 < time.monotonic() - started < 5  # the timeout is 2 s, the delay 10 s
    assert cloud.length("in-order") == 1


def test_what_a_batch_handler_says(cloud: Cloud) -> None:
    for body in (b"fine", b"later", b"dead", b"dropped"):
        send(f"{cloud.url}/lots", [Outgoing(body.decode(), body)], False)
    cloud.consume("work-batch")
    for _ in range(4):
        cloud.host.step()
    assert cloud.length("lots") == 1
    [copy] = cloud.broker.entities["lots"].messages
    assert copy.properties["pf-id"] == "later" and copy.properties["pf-attempt"] == "1"
    assert 95 < copy.due - cloud.broker.now <= 100
    [found] = cloud.letters().list("lots", 9)
    assert (found.id, found.reason, found.error) == ("dead", "handler", "not ours")
    # Another queue's letters are in the same queue.
    assert cloud.letters().list("tasks", 9) == []


FACTS = {"ce-specversion": "1.0", "ce-source": "/s", "ce-type": "placed"}


def test_copies_of_a_topic_are_for_one_function(cloud: Cloud, does: Does) -> None:
    def only_news(item: Any) -> None:
        if seen[-1][0] == "on-news":
            raise RuntimeError("not today")

    does(only_news)
    publish(f"{cloud.url}/news", [Outgoing("e-1", b'{"a":1}', content_type="application/json",
                                           attributes={**FACTS, "ce-id": "e-1", "x": "y"})],
            False)  # fmt: skip
    cloud.consume("on-news")
    cloud.consume("on-more")
    cloud.host.run()
    assert [one for one in seen if one[0] == "on-more"] == [("on-more", "e-1", 1)]
    assert [one[2] for one in seen if one[0] == "on-news"] == [1, 2, 3]
    [found] = cloud.letters().list("on-news", 9)
    assert (found.id, found.attributes, found.body) == ("e-1", {"x": "y"}, b'{"a":1}')
    seen.clear()
    does(lambda item: None)
    assert cloud.letters().redrive("on-news", ["e-1", "e-9"]).failed == (
        ("e-9", "there is no such letter"),
    )
    cloud.host.run()
    assert seen == [("on-news", "e-1", 1)]
    assert cloud.letters().list("on-news", 9) == []


def test_an_event_of_long_ago_has_its_attempts(cloud: Cloud, does: Does) -> None:
    """What happened long ago and is told now is not too old to be tried again."""
    does(fails)
    facts = {**FACTS, "ce-id": "e-2", "ce-time": "2020-01-02T03:04:05Z"}
    publish(f"{cloud.url}/news", [Outgoing("e-2", b"{}", attributes=facts)], False)
    cloud.consume("on-news")
    cloud.host.run()
    assert [attempt for _, _, attempt in seen] == [1, 2, 3]
    [found] = cloud.letters().list("on-news", 9)
    assert (found.reason, found.sent[:3]) == ("attempts", "202") and found.sent[:4] != "2020"


def test_objects(cloud: Cloud, does: Does) -> None:
    does(fails)
    document = {
        "id": "1", "eventType": "Microsoft.Storage.BlobCreated", "eventTime": "2026-01-02T03:04:05Z",
        "subject": "/blobServices/default/containers/files/blobs/a.csv",
        "data": {"url": "https://x/files/a.csv", "contentLength": 3, "sequencer": "7"},
    }  # fmt: skip
    send(f"{cloud.url}/on-file-objects", [Outgoing("g-1", json.dumps(document).encode())], False)
    cloud.consume("on-file")
    cloud.host.run()
    # It is older than max-age: no more than one attempt.
    assert seen == [("on-file", "a.csv@7", 1)]
    [found] = cloud.letters().list("on-file", 9)
    assert (found.id, found.reason, json.loads(found.body)) == ("a.csv@7", "age", document)


def test_rows(cloud: Cloud, does: Does) -> None:
    """The host repeats and counts; the last attempt makes a dead letter, which a queue redrives."""
    does(fails)
    row = {"id": "r1", "n": 1, "_etag": '"t"', "_ts": int(time.time()), "_lsn": 1}
    bound = cloud.bound("on-row")
    rows = func.DocumentList([func.Document.from_dict(row)])
    assert [cloud.invoke(bound, rows, retries) for retries in range(3)] == [False, False, True]
    assert [attempt for _, _, attempt in seen] == [1, 2, 3]
    [found] = cloud.letters().list("on-row", 9)
    assert (found.id, found.reason, json.loads(found.body)) == ("t", "attempts", row)
    cloud.consume("on-row")
    cloud.letters().redrive("on-row", None)
    cloud.host.run()
    assert [attempt for _, _, attempt in seen] == [1, 2, 3, 1, 2, 3]
    times = [round(at) for at, _, _ in cloud.host.deliveries]
    assert times == pytest.approx([0, 10, 30], abs=3)
    assert cloud.letters().purge("on-row", None) == 1
    assert cloud.letters().list("on-row", 9) == []


def test_a_row_that_is_longer_than_a_message(cloud: Cloud, does: Does) -> None:
    """It does not hold up the feed for ever: there is a letter with its keys."""

    def bad(item: Any) -> None:
        raise Permanent("never")

    does(bad)
    row = {"id": "r1", "text": "x" * 300_000, "_etag": '"t"', "_ts": int(time.time()), "_lsn": 1}
    rows = func.DocumentList([func.Document.from_dict(row)])
    assert cloud.invoke(cloud.bound("on-row"), rows)
    [found] = cloud.letters().list("on-row", 9)
    assert (found.id, found.reason) == ("t", "permanent")
    assert json.loads(found.body) == {name: row[name] for name in ("id", "_etag", "_ts", "_lsn")}
    # Half a row is not delivered.
    done = cloud.letters().redrive("on-row", None)
    assert done.moved == 0 and "write it again" in done.failed[0][1]
    assert cloud.letters().purge("on-row", ["t"]) == 1


def test_schedules(cloud: Cloud, does: Does) -> None:
    does(fails)
    when = time.strftime("%Y-%m-%dT06:30:00+00:00", time.gmtime())
    timer: Any = types.SimpleNamespace(past_due=False, schedule_status={"Next": when})
    cloud.broker.skew = 0.0
    assert cloud.invoke(cloud.bound("on-morning"), timer)
    cloud.consume("on-morning")
    cloud.host.run()
    assert [attempt for _, _, attempt in seen] == [1, 2, 3]
    assert len({id for _, id, _ in seen}) == 1
    [found] = cloud.letters().list("on-morning", 9)
    assert found.id == seen[0][1] and found.id.startswith("on-morning@")


def test_boxes_and_what_is_chosen(cloud: Cloud, does: Does) -> None:
    def bad(item: Any) -> None:
        raise Permanent("never")

    does(bad)
    boxes = cloud.letters().boxes()
    assert [(b.name, b.kind, b.physical, b.count) for b in boxes][:3] == [
        ("jobs", "queue", "jobs-dead", 5), ("tasks", "queue", "parked", 4),
        ("lots", "queue", "parked", 4),
    ]  # fmt: skip
    send(f"{cloud.url}/jobs", [Outgoing(str(n), bytes(60_000)) for n in range(9)], False)
    cloud.consume("work")
    cloud.host.run()
    letters = cloud.letters()
    assert [one.id for one in letters.list("jobs", 4)] == ["0", "1", "2", "3"]
    assert letters.purge("jobs", ["1", "2"]) == 2
    assert letters.redrive("jobs", ["7", "4"]).moved == 2
    assert [one.id for one in letters.list("jobs", 99)] == ["0", "3", "5", "6", "8"]
    moved = [one.properties["pf-id"] for one in cloud.broker.entities["jobs"].messages]
    assert moved == ["4", "7"]
    assert not {"pf-dead", "pf-attempt", "pf-sent"} & set(
        cloud.broker.entities["jobs"].messages[0].properties
    )
    # They fail again at once, and are not moved again.
    done = letters.redrive("jobs", None)
    assert (done.moved, done.failed) == (5, ())
    cloud.host.run()
    assert cloud.length("jobs-dead") == 7


def test_what_cannot_be_copied_does_not_come_at_once(
    cloud: Cloud, does: Does, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Service Bus would use up all attempts in a second, and give the message up."""
    from portafaas_azure.runtime.settlement import Settlement

    waited: list[float] = []
    monkeypatch.setattr(Settlement, "_wait", lambda self, left: waited.append(left))
    does(fails)
    send(f"{cloud.url}/jobs", [Outgoing("1", b"x")], False)
    cloud.peer.outcomes["jobs"] = ["com.microsoft:entity-disabled"] * 2
    cloud.consume("work")
    cloud.host.run()
    assert [attempt for _, _, attempt in seen] == [1, 2, 3]
    assert waited == [10.0]
    [found] = cloud.letters().list("jobs", 9)
    assert (found.reason, found.attempts) == ("attempts", 3)


def test_a_message_of_a_sender_without_ids(cloud: Cloud, does: Does) -> None:
    from proton import Message

    does(fails)
    cloud.broker.send("jobs", Message(b"", inferred=True))
    cloud.consume("work")
    cloud.host.run()
    assert [(id, attempt) for _, id, attempt in seen] == [("1", 1), ("1", 2), ("1", 3)]
    [found] = cloud.letters().list("jobs", 9)
    assert (found.id, found.body, found.reason) == ("1", b"", "attempts")


def test_nothing_is_lost_when_the_dead_letters_are_away(cloud: Cloud, does: Does) -> None:
    def bad(item: Any) -> None:
        raise Permanent("never")

    does(bad)
    send(f"{cloud.url}/jobs", [Outgoing("1", b"x")], False)
    cloud.peer.outcomes["jobs-dead"] = ["com.microsoft:entity-disabled"] * 4
    cloud.consume("work")
    cloud.host.run()
    assert [attempt for _, _, attempt in seen] == [1, 2, 3]
    [found] = cloud.letters().list("jobs", 9)
    assert (found.reason, found.attempts) == ("permanent", 3)
