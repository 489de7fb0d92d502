"""The peer does with messages what Service Bus does, as Microsoft's own client sees it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("proton")

from azure.core.credentials import AccessToken
from azure.servicebus import ServiceBusClient, ServiceBusMessage, ServiceBusSubQueue
from azure.servicebus._pyamqp.client import AMQPClient

from tests.azure_cloud.broker import Broker
from tests.azure_cloud.service_bus import bus


class Credential:
    def get_token(self, *scopes: str, **more: Any) -> AccessToken:
        return AccessToken("t", int(time.time()) + 3600)


@pytest.fixture
def broker() -> Broker:
    made = Broker()
    made.queue("dead")
    made.queue("jobs", maxDeliveryCount=2, forwardDeadLetteredMessagesTo="dead")
    made.queue("ordered", requiresSession=True)
    made.subscription("news", "a", lambda stored: stored.properties.get("for") in (None, "a"))
    made.subscription("news", "b", lambda stored: stored.properties.get("for") in (None, "b"))
    return made


@pytest.fixture
def client(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServiceBusClient]:
    # Its thread, which sleeps for seconds, is waited for when a link is closed.
    monkeypatch.setattr(AMQPClient, "_keep_alive", lambda self: None)
    with bus(broker) as made:
        address = made.address
        with ServiceBusClient(address, Credential(), use_tls=False, retry_total=0) as found:  # type: ignore[arg-type]
            yield found


def sent(client: ServiceBusClient, queue: str, *messages: ServiceBusMessage) -> None:
    with client.get_queue_sender(queue) as sender:
        sender.send_messages(list(messages))


def test_locks_deliveries_and_dead_letters(client: ServiceBusClient, broker: Broker) -> None:
    sent(client, "jobs", *(ServiceBusMessage(name, message_id=name) for name in "abc"))
    with client.get_queue_receiver("jobs") as receiver:
        peeked = receiver.peek_messages(10)
        assert [(m.message_id, m.sequence_number, str(m)) for m in peeked] == [
            ("a", 1, "a"), ("b", 2, "b"), ("c", 3, "c"),
        ]  # fmt: skip
        a, b, c = receiver.receive_messages(10, max_wait_time=5)
        assert not a.delivery_count
        receiver.complete_message(a)
        receiver.abandon_message(b)
        [again] = receiver.receive_messages(10, max_wait_time=5)
        assert (again.message_id, again.delivery_count) == ("b", 1)
        broker.advance(59)
        receiver.renew_message_lock(c)
        broker.advance(2)
        receiver.complete_message(c)
        assert broker.entities["jobs"].length == 0  # the lock of b ran out, for the second time
    with client.get_queue_receiver("dead") as receiver:
        [dead] = receiver.receive_messages(10, max_wait_time=5)
        assert dead.message_id == "b" and dead.dead_letter_source == "jobs"
        assert dead.dead_letter_reason == "MaxDeliveryCountExceeded"
        receiver.dead_letter_message(dead, reason="why")
    with client.get_queue_receiver("dead", sub_queue=ServiceBusSubQueue.DEAD_LETTER) as receiver:
        [dead] = receiver.peek_messages(10)
        assert dead.dead_letter_reason == "why"


def test_sessions_are_in_order(client: ServiceBusClient, broker: Broker) -> None:
    for name in ("1", "2"):
        for key in ("j", "k"):
            sent(client, "ordered", ServiceBusMessage(name, session_id=key))
    entity = broker.entities["ordered"]
    first, second = broker.receive(entity), broker.receive(entity)
    assert first is not None and second is not None and broker.receive(entity) is None
    assert (first.session, second.session) == ("j", "k")
    assert first.token is not None and broker.abandon(first.token)
    again = broker.receive(entity)
    assert again is first and again.deliveries == 1
    assert again.token is not None and broker.complete(again.token)
    with client.get_queue_receiver("ordered", session_id="j") as receiver:
        [last] = receiver.receive_messages(10, max_wait_time=0.5)
        assert str(last) == "2"
        receiver.complete_message(last)


def test_later_and_topics(client: ServiceBusClient, broker: Broker) -> None:
    from datetime import UTC, datetime, timedelta

    due = datetime.now(UTC) + timedelta(seconds=30)
    sent(client, "jobs", ServiceBusMessage("later", scheduled_enqueue_time_utc=due))
    entity = broker.entities["jobs"]
    assert broker.receive(entity) is None and entity.length == 1
    broker.advance(31)
    assert broker.receive(entity) is not None
    with client.get_topic_sender("news") as sender:
        sender.send_messages(ServiceBusMessage("all"))
        sender.send_messages(ServiceBusMessage("one", application_properties={"for": "b"}))
    held = {name: broker.entities[f"news/Subscriptions/{name}"].length for name in "ab"}
    assert held == {"a": 1, "b": 2}
