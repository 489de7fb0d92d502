"""Dead letters through the engine: where they are, who may look, what Azure says instead."""

from __future__ import annotations

import socket
from typing import Any

import pytest

pytest.importorskip("proton")

from azure.servicebus._pyamqp.client import AMQPClient
from proton import Message

from portafaas.plan import QueuePlan
from tests.azure_cloud.broker import Broker
from tests.azure_cloud.service_bus import bus

DEAD = '{"reason":"permanent","error":"E: no","attempts":2,"function":"work","id":"i-1","time":"t"}'


@pytest.fixture
def plan(site: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    # Its thread, which sleeps for seconds, is waited for when a link is closed.
    monkeypatch.setattr(AMQPClient, "_keep_alive", lambda self: None)
    return site.plan(queues=(QueuePlan("jobs", dead_letter=True), QueuePlan("spare")))


def reached(site: Any, plan: Any, endpoint: str) -> Any:
    """Return the dead letters of a deployed service whose Service Bus answers at *endpoint*."""
    site.deploy(plan)
    namespace = next(one for one in site.cloud.ids("namespaces") if one.count("/") == 8)
    site.cloud.one(namespace.partition("/providers/")[2].partition("/")[2])["properties"][
        "serviceBusEndpoint"
    ] = endpoint
    return site.engine(plan).dead_letters()


def test_nothing_is_deployed(site: Any, plan: Any) -> None:
    assert site.refused(site.engine(plan).dead_letters)[0] == ["PF8010"]


def test_look_redrive_purge(site: Any, plan: Any) -> None:
    broker = Broker()
    broker.queue("jobs")
    broker.queue("jobs-dead")
    for id in ("i-1", "i-2"):
        broker.send("jobs-dead", Message(
            b"\0", id=id, inferred=True, group_id="k", content_type="a/b",
            properties={"pf-dead": DEAD.replace("i-1", id), "pf-attempt": "2", "a": "b",
                        "pf-sent": "2026-01-02T03:04:05.000Z", "n": 7, "pf-id": id,
                        "pf-expires": "1"},
        ))  # fmt: skip
    broker.send("jobs-dead", Message(b"no letter", inferred=True))
    with bus(broker) as peer:
        letters = reached(site, plan, f"http://{peer.address}/")
        assert [(one.name, one.kind, one.physical) for one in letters.boxes()] == [
            ("jobs", "queue", "jobs-dead")
        ]
        first, second, third = letters.list("jobs", 9)
        assert (first.id, first.reason, first.error, first.attempts) == (
            "i-1", "permanent", "E: no", 2,
        )  # fmt: skip
        assert (first.body, first.attributes, first.sent) == (
            b"\0", {"a": "b", "n": "7"}, "2026-01-02T03:04:05.000Z",
        )  # fmt: skip
        assert second.id == "i-2"
        # Nobody's letter, without an id: it has a number.
        assert (third.id, third.reason, third.body) == ("3", "platform", b"no letter")
        assert letters.redrive("jobs", ["i-2"]).moved == 1
        [again] = broker.entities["jobs"].messages
        assert again.properties == {"a": "b", "n": 7, "pf-id": "i-2"}
        assert (again.body, again.session, str(again.message.content_type)) == (b"\0", "k", "a/b")
        assert letters.purge("jobs", ["3"]) == letters.purge("jobs", None) == 1
        assert broker.entities["jobs-dead"].length == 0
        # The claim was made with the engine's own token.
        assert {kind for kind, _, _ in peer.claims} == {"jwt"}


@pytest.mark.parametrize("said", [
    '{"attempts":"many","function":7,"id":null}', '{"attempts":null}', "[1]", "{", "null",
])  # fmt: skip
def test_letters_of_others_are_shown(site: Any, plan: Any, said: str) -> None:
    """One that makes no sense hides no other."""
    broker = Broker()
    broker.queue("jobs-dead")
    for facts in (said, DEAD):
        broker.send("jobs-dead", Message(b"x", inferred=True, properties={"pf-dead": facts}))
    with bus(broker) as peer:
        letters = reached(site, plan, f"http://{peer.address}/")
        first, second = letters.list("jobs", 9)
        assert (first.id, first.reason, first.attempts) == ("1", "platform", 0)
        assert second.id == "i-1"


def test_a_body_that_was_too_long_is_shown(site: Any, plan: Any) -> None:
    broker = Broker()
    broker.queue("jobs-dead")
    places = ("files/pf-claims/jobs/a", "files/pf-claims/jobs/gone", "files/other",
              "theirs/pf-claims/a", "files/pf-claims/jobs/a")  # fmt: skip
    for place in places:
        properties = {"pf-dead": DEAD, "pf-claim": place}
        broker.send("jobs-dead", Message(b"", inferred=True, properties=properties))
    blobs = site.cloud.planes.blobs
    with bus(broker) as peer:
        letters = reached(site, plan, f"http://{peer.address}/")
        blobs["blobs/files/pf-claims/jobs/a"] = bytes(300_000)
        blobs["blobs/files/other"] = blobs["blobs/theirs/pf-claims/a"] = b"not ours"
        sizes = [len(one.body) for one in letters.list("jobs", 9)]
        assert sizes == [300_000, 0, 0, 0, 300_000]
        # Who may not read the bucket still sees the letters.
        site.cloud.planes.blob_denials = 9
        assert [one.body for one in letters.list("jobs", 9)] == [b""] * 5


def test_a_copy_that_is_not_taken_leaves_the_letter(site: Any, plan: Any) -> None:
    broker = Broker()
    broker.queue("jobs")
    broker.queue("jobs-dead")
    message = Message(b"x", id="i-1", inferred=True, properties={"pf-dead": DEAD})
    broker.send("jobs-dead", message)
    with bus(broker) as peer:
        letters = reached(site, plan, f"http://{peer.address}/")
        peer.outcomes["jobs"] = ["com.microsoft:entity-disabled"] * 9
        done = letters.redrive("jobs", None)
        assert done.moved == 0
        [(id, why)] = done.failed
        assert id == "i-1" and "disabled" in why
        assert broker.entities["jobs-dead"].length == 1


def test_who_may_not_look_is_told_the_role(site: Any, plan: Any) -> None:
    with bus() as peer:
        letters = reached(site, plan, f"http://{peer.address}/")
        peer.refused_claims = (401, "who is that?")
        codes, text = site.refused(lambda: letters.list("jobs", 9))
        assert codes == ["PF8002"] and "Data Receiver" in text


def test_a_bus_that_is_away(site: Any, plan: Any) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    letters = reached(site, plan, f"http://127.0.0.1:{port}/")
    assert site.refused(lambda: letters.list("jobs", 9))[0] == ["PF8012"]
