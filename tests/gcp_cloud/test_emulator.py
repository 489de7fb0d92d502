"""The pusher delivers as Pub/Sub does: counted, in order, filtered, dead letters moved."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.gcp_cloud.emulator import PubSub, Pusher, until
from tests.gcp_cloud.filters import matches

P = "projects/emulated"


def test_failures_are_counted_and_moved(pubsub: PubSub) -> None:
    topic, dead = pubsub.topic(f"{P}/topics/jobs"), pubsub.topic(f"{P}/topics/jobs-dead")
    kept = pubsub.subscription(f"{P}/subscriptions/jobs-dead", dead)
    name = pubsub.subscription(
        f"{P}/subscriptions/jobs", topic,
        deadLetterPolicy={"deadLetterTopic": dead, "maxDeliveryAttempts": 5},
    )  # fmt: skip

    def send(body: bytes) -> int:
        return 204 if b'"fine"' in body else 500

    pusher = Pusher(pubsub, name, send)
    pubsub.publish(topic, b"x", {"is": "broken"})
    pubsub.publish(topic, b"y", {"is": "fine"})
    (letter,) = until(lambda: pubsub.messages(kept))
    pusher.stop()
    assert [p.attempt for p in pusher.pushes if p.body == b"x"] == [1, 2, 3, 4, 5]
    assert [p.attempt for p in pusher.pushes if p.body == b"y"] == [1]
    assert letter["attributes"]["CloudPubSubDeadLetterSourceDeliveryCount"] == "5"
    assert pubsub.messages(kept) == [letter]


def test_a_failed_key_waits(pubsub: PubSub) -> None:
    topic = pubsub.topic(f"{P}/topics/turns")
    name = pubsub.subscription(f"{P}/subscriptions/turns", topic, enableMessageOrdering=True)
    left = [3]

    def send(body: bytes) -> int:
        if json.loads(body)["message"]["data"] == "YTA=" and left[0]:
            left[0] -= 1
            return 500
        return 204

    for number in range(3):
        for key in "ab":
            pubsub.publish(topic, f"{key}{number}".encode(), key=key)
    pusher = Pusher(pubsub, name, send, ordered=True)
    until(lambda: sum(push.status == 204 for push in pusher.pushes) == 6)
    until(pusher.idle)
    pusher.stop()
    seen = [push.body.decode() for push in pusher.pushes]
    assert [one for one in seen if one[0] == "a"] == ["a0"] * 4 + ["a1", "a2"]
    assert [one for one in seen if one[0] == "b"] == ["b0", "b1", "b2"]
    assert pusher.pushes[0].document["message"]["orderingKey"] in "ab"


@pytest.mark.parametrize(
    ("text", "attributes", "passes"),
    [
        ('(NOT attributes:"pf-to" OR attributes."pf-to" = "f")', {}, True),
        ('(NOT attributes:"pf-to" OR attributes."pf-to" = "f")', {"pf-to": "f"}, True),
        ('(NOT attributes:"pf-to" OR attributes."pf-to" = "f")', {"pf-to": "g"}, False),
        ('(attributes."a" = "1" OR hasPrefix(attributes."b", "x")) AND attributes.c != "2"',
         {"b": "xy"}, True),
        ('attributes:a AND NOT attributes.a = "1"', {"a": "1"}, False),
    ],
)  # fmt: skip
def test_filters(text: str, attributes: dict[str, Any], passes: bool) -> None:
    assert matches(text, attributes) is passes
