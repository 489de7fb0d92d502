"""What becomes of failures on Google Cloud: built package, Google's framework and emulator."""

from __future__ import annotations

import json
from typing import Any

from portafaas.runtime import control
from tests.gcp_cloud.world import World


def send(world: World, queue: str, do: list[str], id: str, **more: Any) -> None:
    """Send as ``queues[..].send`` does."""
    world.pubsub.publish(
        world.topic(f"queue__{queue}"),
        json.dumps({"do": do}).encode(),
        {control.ID: id, "tier": "gold", **more.pop("attributes", {})},
        **more,
    )


def letter(message: dict[str, Any]) -> dict[str, Any]:
    """Return the letter of a message that the bridge has buried."""
    found: dict[str, Any] = json.loads(message["attributes"][control.DEAD])
    return found


def find(world: World, box: str, id: str) -> Any:
    """Return the dead letter of an id, once it is there."""

    def there() -> Any:
        found = [m for m in world.letters(box) if m["attributes"].get(control.ID) == id]
        assert len(found) < 2
        return found and found[0]

    return world.wait(there)


def test_attempts_below_pubsubs_minimum_are_exact(works: World) -> None:
    send(works, "jobs", ["fail"], "three")
    found = find(works, "dead_letter__jobs", "three")
    works.idle()
    assert [one["attempt"] for one in works.of("three")] == [1, 2, 3]
    assert works.of("three")[0]["attributes"] == {"tier": "gold"}
    facts = letter(found)
    assert (facts["reason"], facts["attempts"], facts["function"]) == ("attempts", 3, "work")
    assert facts["error"] == "RuntimeError: it failed" and facts["trace"].startswith("00-")
    # All that was delivered is there.
    assert found["attributes"]["tier"] == "gold" and control.SENT in found["attributes"]
    assert works.peers.tasks == [] or all("three" not in str(t.request) for t in works.peers.tasks)


def test_the_delays_are_those_of_the_policy(works: World) -> None:
    """2 s, then 4 s, a twentieth of that: Pub/Sub's own, so that no copy is made."""
    works.idle()
    pusher, tasks = works.pushers["work"], len(works.peers.tasks)
    first = len(pusher.pushes)
    pusher.pace = 0.05
    send(works, "jobs", ["fail"], "slowly")
    find(works, "dead_letter__jobs", "slowly")
    pusher.pace = 0.0
    works.idle()
    one, two, three = (push.time for push in pusher.pushes[first:])
    assert two - one >= 0.1 and three - two >= 0.2
    assert len(works.peers.tasks) == tasks


def test_what_has_expired_reaches_no_handler(works: World) -> None:
    send(works, "jobs", ["ok"], "old", attributes={control.EXPIRES: "1000"})
    send(works, "jobs", ["ok"], "fresh", attributes={control.EXPIRES: "99999999999"})
    works.wait(lambda: works.of("fresh"))
    works.idle()
    assert works.of("old") == []
    assert not [m for m in works.letters("dead_letter__jobs")
                if m["attributes"][control.ID] in ("old", "fresh")]  # fmt: skip


def test_permanent_at_once(works: World) -> None:
    send(works, "jobs", ["permanent"], "never")
    facts = letter(find(works, "dead_letter__jobs", "never"))
    assert (facts["reason"], facts["attempts"]) == ("permanent", 1)
    assert len(works.of("never")) == 1


def test_what_succeeds_later_leaves_nothing(works: World) -> None:
    send(works, "jobs", ["fail", "fail", "ok"], "third-time")
    works.wait(lambda: len(works.of("third-time")) == 3)
    works.idle()
    assert not [m for m in works.letters("dead_letter__jobs")
                if m["attributes"][control.ID] == "third-time"]  # fmt: skip


def test_retry_after_is_kept_by_cloud_tasks(works: World) -> None:
    """Not before: 100 s are more than the retry policy has; the count goes on."""
    send(works, "jobs", ["later 100", "fail"], "patient")
    facts = letter(find(works, "dead_letter__jobs", "patient"))
    works.idle()
    assert (facts["reason"], facts["attempts"]) == ("attempts", 3)
    assert [one["attempt"] for one in works.of("patient")] == [1, 2, 3]
    [task] = [t for t in works.peers.tasks if abs(t.delay - 100) < 3]
    assert task.by == works.value("${google_service_account.work.email}")
    assert task.request["oauthToken"]["scope"] == "https://www.googleapis.com/auth/pubsub"
    # After the copy Pub/Sub begins anew; what the policy wants is then more than its own delay.
    own = [t.delay for t in works.peers.tasks if 3 < t.delay < 5]
    assert len(own) == 1
    assert works.peers.refused == []


def test_a_crash_in_few_attempts(works: World) -> None:
    """Nobody judges it; the next delivery finds that its attempts are used up."""
    send(works, "jobs", ["exit"], "crashed")
    facts = letter(find(works, "dead_letter__jobs", "crashed"))
    assert (facts["reason"], facts["attempts"]) == ("attempts", 3)
    assert "did not answer" in facts["error"]
    assert len(works.of("crashed")) == 3


def test_a_crash_is_moved_by_the_platform(works: World) -> None:
    send(works, "breaking", ["exit"], "broken")
    found = find(works, "dead_letter__breaking", "broken")
    assert control.DEAD not in found["attributes"]
    assert found["attributes"]["CloudPubSubDeadLetterSourceDeliveryCount"] == "5"
    assert len(works.of("broken")) == 5


def test_a_batch_says_for_each(works: World) -> None:
    for do in ("after", "bury", "drop"):
        body = json.dumps({"do": do}).encode()
        works.pubsub.publish(works.topic("queue__lots"), body, {control.ID: do})
    facts = letter(find(works, "dead_letter__lots", "bury"))
    assert (facts["reason"], facts["error"]) == ("handler", "not for us")
    works.wait(lambda: len(works.of("after")) == 2)
    works.idle()
    assert [one["attempt"] for one in works.of("after")] == [1, 2]
    assert len(works.of("drop")) == len(works.of("bury")) == 1
    assert len([t for t in works.peers.tasks if abs(t.delay - 30) < 3]) == 1


def test_an_ordered_key_waits_and_is_given_up(works: World) -> None:
    for number, do in enumerate((["fail"], ["fail", "ok"], ["ok"])):
        send(works, "turns", do, f"a{number}", key="a")
    send(works, "turns", ["ok"], "b0", key="b")
    works.wait(lambda: works.of("a2") and works.of("b0"))
    works.idle()
    of_a = [(one["id"], one["attempt"]) for one in works.seen if one["key"] == "a"]
    assert of_a == [("a0", 1), ("a0", 2), ("a0", 3), ("a1", 1), ("a1", 2), ("a2", 1)]
    found = find(works, "dead_letter__turns", "a0")
    assert found["orderingKey"] == "a" and letter(found)["attempts"] == 3
    # No copy: the bridge would have to break the order.
    assert not [t for t in works.peers.tasks if "turns" in t.request["url"]]


def test_one_of_two_listeners_fails(works: World) -> None:
    attributes = {"ce-specversion": "1.0", "ce-id": "e1", "ce-type": "told", "ce-source": "/x",
                  "content-type": "application/json"}  # fmt: skip
    body = json.dumps({"hear": ["later 50", "fail"], "listen": ["ok"]}).encode()
    works.pubsub.publish(works.topic("topic__news"), body, attributes)
    works.wait(lambda: works.letters("_dead__hear"))
    works.idle()
    [found] = works.letters("_dead__hear")
    assert letter(found)["id"] == "e1" and letter(found)["attempts"] == 2
    by = [(one["function"], one["attempt"]) for one in works.of("e1")]
    # The copy went to the one that failed only.
    assert sorted(by) == [("hear", 1), ("hear", 2), ("listen", 1)]
    assert works.letters("_dead__listen") == []


def test_an_event_of_long_ago_has_its_attempts(works: World) -> None:
    """What happened long ago and is told now is not too old to be tried again."""
    attributes = {"ce-specversion": "1.0", "ce-id": "e5", "ce-type": "told", "ce-source": "/x",
                  "ce-time": "2020-01-02T03:04:05Z", "content-type": "application/json"}  # fmt: skip
    works.pubsub.publish(works.topic("topic__news"), b'{"hear": ["later 50", "ok"]}', attributes)
    works.wait(lambda: len([one for one in works.of("e5") if one["function"] == "hear"]) == 2)
    works.idle()
    assert "e5" not in [letter(found)["id"] for found in works.letters("_dead__hear")]


def test_objects(works: World) -> None:
    data = {"name": "fail", "generation": "7", "size": "3", "bucket": "files"}
    works.pubsub.publish(
        works.topic("file__objects"), json.dumps(data).encode(),
        {"eventType": "OBJECT_FINALIZE", "eventTime": "2026-11-28T10:00:00Z",
         "payloadFormat": "JSON_API_V1", "objectId": "fail", "objectGeneration": "7"},
    )  # fmt: skip
    [found] = works.wait(lambda: works.letters("_dead__file"))
    works.idle()
    assert (letter(found)["id"], letter(found)["attempts"]) == ("fail@7", 2)
    assert [one["attempt"] for one in works.of("fail@7")] == [1, 2]


def test_what_nobody_can_read_is_moved_by_the_platform(works: World) -> None:
    works.pubsub.publish(works.topic("file__objects"), b"{nonsense", {"no": "notification"})

    def there() -> Any:
        return [m for m in works.letters("_dead__file") if "no" in m["attributes"]]

    [found] = works.wait(there)
    assert found["attributes"]["CloudPubSubDeadLetterSourceDeliveryCount"] == "5"


def test_schedules_are_tried_within_the_invocation(works: World) -> None:
    planned = {"x-cloudscheduler-scheduletime": "2026-11-28T06:00:00Z"}
    assert works.instances["tick"].post(b"", planned) == 204
    [found] = works.letters("_dead__tick")
    assert letter(found)["attempts"] == 2 and letter(found)["id"] == "tick@2026-11-28T06:00:00.000Z"
    assert found["attributes"]["pf-time"] == "2026-11-28T06:00:00.000Z"
    assert [one["attempt"] for one in works.of("tick@2026-11-28T06:00:00.000Z")] == [1, 2]


def test_changes_are_tried_within_the_invocation(works: World) -> None:
    from portafaas_gcp.documents import event_data

    name = "projects/p/databases/d/documents/rows/r1"
    row = {"id": "r1", "do": ["fail", "fail", "fail"]}
    headers = {
        "content-type": "application/protobuf", "ce-specversion": "1.0", "ce-id": "c1",
        "ce-type": "google.cloud.firestore.document.v1.created", "ce-source": "//firestore",
        "ce-subject": "documents/rows/r1", "ce-time": "2026-11-28T10:00:00Z",
    }  # fmt: skip
    body = event_data(name, row, None, "2026-11-28T10:00:00+00:00")
    assert works.instances["row"].post(body, headers) == 204
    [found] = works.letters("_dead__row")
    assert (letter(found)["id"], letter(found)["attempts"]) == ("c1", 3)
    assert [one["attempt"] for one in works.of("c1")] == [1, 2, 3]
