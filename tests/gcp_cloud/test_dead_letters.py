"""Dead letters through the engine: looked at, sent again, removed; and messages with a delay."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from portafaas.deployment.dead_letters import DeadLetters, dead_letter_boxes
from portafaas.errors import DeploymentError
from portafaas.manifest.load import load_manifest
from portafaas.plan.build import build_plan
from portafaas.runtime import control
from portafaas.runtime.recovery import Failure, Letter
from tests.gcp_cloud.conftest import PROJECT
from tests.gcp_cloud.test_failures import find, send
from tests.gcp_cloud.world import DEPLOYER, REGION, World


@pytest.fixture(scope="module")
def plan() -> Any:
    return build_plan(load_manifest(PROJECT / "portafaas.yaml", None), "gcp")


@pytest.fixture
def dead(works: World, plan: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[DeadLetters]:
    """The engine's dead letters, by the real google-auth and requests."""
    import google.auth
    from google.oauth2.credentials import Credentials

    from portafaas_gcp.deployment import engine

    make: Any = Credentials
    found = (make(token=f"token-of-{DEPLOYER}"), works.project)
    monkeypatch.setattr(google.auth, "default", lambda **more: found)
    monkeypatch.setenv("CLOUDSDK_COMPUTE_REGION", REGION)
    for api, url in works.apis.items():
        monkeypatch.setenv(f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{api}", url)
    made = engine(plan)
    made.cloud.poll = 0.05  # type: ignore[attr-defined]
    works.idle()
    for name, _ in dead_letter_boxes(plan):
        made.dead_letters().purge(name, None)
    yield made.dead_letters()
    made.cloud.session().close()  # type: ignore[attr-defined]


def test_the_boxes(dead: DeadLetters, works: World, plan: Any) -> None:
    works.peers.counts = {"works-jobs-dead-letter": 3, "works-row-dead": 0}
    counts = {box.name: box.count for box in dead.boxes() if box.count is not None}
    assert counts == {"jobs": 3, "row": 0}
    found = [(box.name, box.kind) for box in dead.boxes()]
    assert found == list(dead_letter_boxes(plan))
    names = {box.name: box.physical for box in dead.boxes()}
    assert names["jobs"] == "works-jobs-dead-letter" and names["tick"] == "works-tick-dead"
    with pytest.raises(DeploymentError) as caught:
        dead.list("job", 1)
    assert caught.value.diagnostics[0].code == "PF8017"
    assert "jobs" in (caught.value.diagnostics[0].hint or "")


def test_list_shows_and_leaves(dead: DeadLetters, works: World) -> None:
    send(works, "jobs", ["permanent"], "l1", attributes={"traceparent": "00-" + "a" * 32})
    find(works, "dead_letter__jobs", "l1")
    send(works, "breaking", ["exit"], "l2")
    find(works, "dead_letter__breaking", "l2")
    for _ in range(3):
        [letter] = dead.list("jobs", 10)
        assert (letter.id, letter.box, letter.reason, letter.attempts) == (
            "l1", "jobs", "permanent", 1)  # fmt: skip
        assert letter.error == "Permanent: never" and letter.function == "work"
        assert json.loads(letter.body) == {"do": ["permanent"]}
        assert letter.attributes["tier"] == "gold"
        assert not any(n.startswith("pf-") for n in letter.attributes)
        assert letter.sent and letter.time and letter.trace.startswith("00-")
    [letter] = dead.list("breaking", 10)
    assert (letter.id, letter.reason, letter.attempts, letter.function) == (
        "l2", "platform", 5, "crash")  # fmt: skip
    assert dict(letter.attributes) == {"tier": "gold"}
    # More than a pull has, the oldest first, and all of them still there.
    topic = works.topic("dead_letter__lots")
    for number in range(230):
        works.pubsub.publish(topic, b"{}", {control.ID: str(number)})
    assert [one.id for one in dead.list("lots", 3)] == ["0", "1", "2"]
    assert sorted(int(one.id) for one in dead.list("lots", 1000)) == list(range(230))
    assert dead.purge("lots", ["7", "9"]) == 2
    assert dead.purge("lots", None) == 228
    assert dead.list("lots", 10) == []


def test_redrive_to_the_queue(dead: DeadLetters, works: World) -> None:
    for id in ("r1", "r2", "r3"):
        send(works, "jobs", ["permanent"], id)
        find(works, "dead_letter__jobs", id)
    found = dead.redrive("jobs", ["r2", "nobody"])
    assert found.moved == 1 and [id for id, _ in found.failed] == ["nobody"]
    works.wait(lambda: len(works.of("r2")) == 2)
    works.idle()
    # It begins anew, and fails anew; only what was there is moved, not for ever.
    assert [one["attempt"] for one in works.of("r2")] == [1, 1]
    assert dead.redrive("jobs", None).moved == 3
    works.idle()
    for id, count in (("r1", 2), ("r2", 3), ("r3", 2)):
        assert [one["attempt"] for one in works.of(id)] == [1] * count
        assert works.of(id)[-1]["attributes"] == {"tier": "gold"}
    assert sorted(one.id for one in dead.list("jobs", 9)) == ["r1", "r2", "r3"]
    assert dead.purge("jobs", None) == 3 and dead.list("jobs", 9) == []


def test_redrive_to_one_listener(dead: DeadLetters, works: World) -> None:
    attributes = {"ce-specversion": "1.0", "ce-id": "e2", "ce-type": "told", "ce-source": "/x",
                  "content-type": "application/json", "tier": "gold"}  # fmt: skip
    body = json.dumps({"hear": ["fail", "fail"], "listen": ["ok"]}).encode()
    works.pubsub.publish(works.topic("topic__news"), body, attributes)
    works.wait(lambda: dead.list("hear", 1))
    [letter] = dead.list("hear", 9)
    assert (letter.id, letter.body, dict(letter.attributes)) == ("e2", body, {"tier": "gold"})
    assert dead.redrive("hear", None).moved == 1
    works.wait(lambda: len(works.of("e2")) == 5)
    works.idle()
    by = sorted((one["function"], one["attempt"]) for one in works.of("e2"))
    assert by == [("hear", 1), ("hear", 1), ("hear", 2), ("hear", 2), ("listen", 1)]
    assert dead.purge("hear", None) == 1


def test_redrive_in_order(dead: DeadLetters, works: World) -> None:
    topic = works.topic("dead_letter__turns")
    # As they may lie there: given up in another order than they were sent in.
    for number in (3, 1, 2):
        failure = Failure(_context(), _item(f"o{number}"), "no")
        attributes = {
            control.ID: f"o{number}",
            control.SENT: f"2026-11-28T10:00:0{number}.000Z",
            control.DEAD: Letter("attempts", failure, 3, "turn").text(),
            control.ATTEMPT: "2",
        }
        works.pubsub.publish(topic, b'{"do": ["ok"]}', attributes, key="k")
    assert [one.id for one in dead.list("turns", 9)] == ["o1", "o2", "o3"]
    assert dead.list("turns", 1)[0].key == "k"
    assert dead.redrive("turns", None).moved == 3
    works.wait(lambda: works.of("o3"))
    works.idle()
    seen = [(one["id"], one["attempt"], one["key"]) for one in works.seen if one["id"][0] == "o"]
    assert seen == [("o1", 1, "k"), ("o2", 1, "k"), ("o3", 1, "k")]


def test_redrive_of_what_came_from_no_topic(dead: DeadLetters, works: World) -> None:
    from portafaas_gcp.documents import event_data

    name = "projects/p/databases/d/documents/rows/r2"
    row = {"id": "r2", "do": ["fail"]}
    headers = {
        "content-type": "application/protobuf", "ce-specversion": "1.0", "ce-id": "c2",
        "ce-type": "google.cloud.firestore.document.v1.created", "ce-source": "//firestore",
        "ce-subject": "documents/rows/r2", "ce-time": "2026-11-28T10:00:00Z",
    }  # fmt: skip
    body = event_data(name, row, None, "2026-11-28T10:00:00+00:00")
    assert works.instances["row"].post(body, headers) == 204
    planned = {"x-cloudscheduler-scheduletime": "2026-11-29T06:00:00Z"}
    assert works.instances["tick"].post(b"", planned) == 204
    [change] = dead.list("row", 9)
    assert (change.id, change.key, change.reason) == ("c2", "r2", "attempts")
    assert json.loads(change.body)["new"] == row
    [fired] = dead.list("tick", 9)
    id = "tick@2026-11-29T06:00:00.000Z"
    assert (fired.id, fired.body, fired.sent) == (id, b"", "2026-11-29T06:00:00.000Z")
    works.file.with_name("fine").touch()
    assert dead.redrive("row", ["c2"]).moved == dead.redrive("tick", None).moved == 1
    works.wait(lambda: len(works.of("c2")) == 6 and len(works.of(id)) == 3)
    works.idle()
    works.file.with_name("fine").unlink()
    assert works.of(id)[-1]["time"] == "2026-11-29T06:00:00.000Z"
    assert dead.list("tick", 9) == []
    # It failed again: once more a dead letter, and one only.
    assert [one.id for one in dead.list("row", 9)] == ["c2"]
    assert works.peers.refused == []


def test_a_redrive_that_is_interrupted(
    dead: DeadLetters, works: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was sent is not sent again by the next one."""
    topic, file = works.topic("_dead__tick"), works.file.with_name("fine")
    for day in ("01", "02"):
        planned = {"pf-time": f"2026-12-{day}T06:00:00.000Z"}
        failure = Failure(_context(), _item(f"tick@{planned['pf-time']}"), "no")
        letter = Letter("attempts", failure, 2, "tick").text()
        works.pubsub.publish(topic, b"", {control.DEAD: letter, control.SENT: planned["pf-time"],
                                          **planned})  # fmt: skip
    file.touch()
    may, count = works.peers._may, len(works.peers.tasks)
    monkeypatch.setattr(
        works.peers, "_may", lambda *given: len(works.peers.tasks) == count and may(*given)
    )
    with pytest.raises(DeploymentError):
        dead.redrive("tick", None)
    assert [one.id for one in dead.list("tick", 9)] == ["tick@2026-12-02T06:00:00.000Z"]
    monkeypatch.setattr(works.peers, "_may", may)
    assert dead.redrive("tick", None).moved == 1
    works.idle()
    file.unlink()
    for day in ("01", "02"):
        assert len(works.of(f"tick@2026-12-{day}T06:00:00.000Z")) == 1
    works.peers.refused.clear()


def test_objects_are_shown_as_they_came(dead: DeadLetters, works: World) -> None:
    data = {"name": "fail-ok", "generation": "8", "size": "3", "bucket": "files"}
    topic = works.topic("_dead__file")
    works.pubsub.publish(
        topic, json.dumps(data).encode(),
        {"eventType": "OBJECT_FINALIZE", "payloadFormat": "JSON_API_V1", "objectId": "fail-ok",
         "objectGeneration": "8", "CloudPubSubDeadLetterSourceDeliveryCount": "5"},
    )  # fmt: skip
    works.pubsub.publish(topic, b"{nonsense", {"no": "notification"})
    first, second = dead.list("file", 9)
    assert (first.id, first.key, first.attempts) == ("fail-ok@8", "fail-ok", 5)
    assert second.body == b"{nonsense" and dict(second.attributes) == {"no": "notification"}
    assert dead.redrive("file", ["fail-ok@8"]).moved == 1
    works.wait(lambda: len(works.of("fail-ok@8")) == 2)
    assert dead.purge("file", None) == 1


def test_a_body_that_was_too_long_is_shown(dead: DeadLetters, works: World) -> None:
    topic, place = works.topic("dead_letter__jobs"), f"/storage/v1/b/{works.project}-works-files/o/"
    works.peers.objects = {
        f"{place}pf-claims/jobs/a": {"do": ["ok"]}, f"{place}other": {"not": "ours"},
    }  # fmt: skip
    claims = ("files/pf-claims/jobs/a", "files/pf-claims/jobs/gone", "files/other", "x/pf-claims/a")
    for number, claim in enumerate(claims):
        works.pubsub.publish(topic, b"", {control.ID: str(number), control.CLAIM: claim})
    found = {one.id: one.body for one in dead.list("jobs", 9)}
    assert found == {"0": b'{"do": ["ok"]}', "1": b"", "2": b"", "3": b""}
    assert dead.purge("jobs", None) == 4


@pytest.mark.parametrize("box", ["jobs", "hear", "file", "row", "tick"])
def test_letters_of_others_are_shown(dead: DeadLetters, works: World, box: str) -> None:
    """What makes no sense hides nothing, can be removed, and is nobody's."""
    topic = works.topic("dead_letter__jobs" if box == "jobs" else f"_dead__{box}")
    said = ('{"attempts":"many","function":7}', "[1]", "{", "null", '{"id":null,"attempts":null}')
    bodies = (b"", b"{}", b"[]", b"\xff", b'{"specversion":"1.0","data_base64":"AAAA","type":3}',
              b'{"specversion":"1.0","data":{"value":7},"id":{}}')  # fmt: skip
    counts = {"CloudPubSubDeadLetterSourceDeliveryCount": "some"}
    for number, facts in enumerate(said):
        for body in bodies:
            works.pubsub.publish(
                topic, body, {control.DEAD: facts, "content-type": "application/cloudevents+json",
                              "eventType": "OBJECT_FINALIZE", **(counts if number % 2 else {})},
            )  # fmt: skip
    found = dead.list(box, 99)
    assert len(found) == len(said) * len(bodies)
    assert {one.reason for one in found} == {"platform"}
    assert dead.purge(box, [one.id for one in found]) == len(found)


def test_a_message_with_a_delay(works: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from portafaas.runtime.resources import Outgoing, ResourceError
    from portafaas_gcp.runtime import rest
    from portafaas_gcp.runtime.resources import send as driver

    queue = works.topic("queue__jobs")
    message = Outgoing("d1", b'{"do": ["ok"]}', attributes={"a": "\u00fc", control.ID: "d1"},
                       delay=900)  # fmt: skip
    monkeypatch.setattr(rest, "_token", None)
    with pytest.raises(ResourceError, match="PORTAFAAS_TASKS"):
        driver(queue, [message], False)
    for name, value in works.environment["work"].items():
        monkeypatch.setenv(name, value)
    count = len(works.peers.tasks)
    assert driver(queue, [message], False) == []
    [task] = works.peers.tasks[count:]
    assert 895 < task.delay <= 900
    [sent] = json.loads(base64.b64decode(task.request["body"]))["messages"]
    assert sent["attributes"] == {"a": "\u00fc", control.ID: "d1"}
    works.wait(lambda: works.of("d1"))
    assert works.of("d1")[0]["attributes"] == {"a": "\u00fc"}
    # Who may not make tasks is told so; nothing is sent at once instead.
    monkeypatch.setattr(rest, "_token", None)
    account = works.value("${google_service_account.turn.email}")
    monkeypatch.setenv("GCE_METADATA_HOST", f"{works.peers.host}/of/{account}")
    with pytest.raises(ResourceError, match="may not create tasks"):
        driver(queue, [message], False)
    works.peers.refused.clear()
    works.idle()
    assert len(works.of("d1")) == 1


def _context() -> Any:
    class Span:
        @staticmethod
        def header() -> str:
            return "00-" + "b" * 32

    class Context:
        span = Span()
        correlation_id = "c"

    return Context()


def _item(id: str) -> Any:
    class Item:
        pass

    item: Any = Item()
    item.id = id
    return item
