"""The same message twice runs once, the same request is answered alike, an outbox is relayed: in
the vendors' own runtimes and from the sources."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from portafaas.adapter import (
    ChangeStimulus,
    HttpStimulus,
    MessageStimulus,
    QueueStimulus,
    TopicStimulus,
)
from portafaas.adapter.neutral import outcome_to_json
from portafaas.invocation import LocalRunner, PackageRunner
from portafaas.local import resources
from portafaas.manifest.load import load_manifest
from portafaas.pipeline import build, check
from portafaas.plan.build import build_plan
from portafaas.runtime.rows import OUTBOX, Write

pytestmark = pytest.mark.vendor

TARGETS = ("aws", "azure", "gcp")
MANIFEST = f"""\
portafaas: 1
name: once
python: "{sys.version_info[0]}.{sys.version_info[1]}"
functions:
  charge:
    handler: work:charge
    trigger: {{queue: {{name: payments}}}}
    uses: [{{send: done}}]
    idempotency: {{table: records}}
  charge-async:
    handler: work:charge_async
    trigger: {{queue: {{name: more}}}}
    uses: [{{send: done}}]
    idempotency: {{table: records, key: $.order.id}}
  follow:
    handler: work:charge
    trigger: {{topic: {{name: events}}}}
    uses: [{{send: done}}]
    idempotency: {{table: records}}
  order:
    handler: work:order
    trigger: {{http: {{method: POST, path: /orders}}}}
    uses: [{{write: orders}}, {{publish: events}}, {{send: done}}]
    idempotency: {{table: records, required: true}}
  stock:
    handler: work:stock
    trigger: {{table: {{name: orders}}}}
    uses: [{{send: done}}]
queues: {{payments: {{}}, more: {{}}, done: {{}}}}
topics: {{events: {{}}}}
tables:
  records: {{ttl: expires}}
  orders: {{key: order, sort: part, outbox: true}}
"""
WORK = """\
from portafaas.runtime import Response


def charge(item, context):
    context.queues["done"].send(item.id)


async def charge_async(item, context):
    context.queues["done"].send(item.id)
    if item.json().get("fail"):
        raise ValueError("on purpose")


def order(request, context):
    with context.outbox("orders") as box:
        box.put({"order": request.json()["id"], "part": "head"}, if_absent=True)
        event = box.publish("events", request.json(), type="order.placed")
        box.send("done", "ordered")
    return Response.json({"event": event}, 201)


def stock(event, context):
    context.queues["done"].send(event.keys["part"])
"""

Deliver = Callable[[str, Any], dict[str, Any]]


class Place:
    """One target, and the folder of its resources."""

    def __init__(self, name: str, root: Path, deliver: Deliver) -> None:
        self.name = name
        self.store = resources.store(root, "")
        self.deliver = deliver

    def done(self) -> list[str]:
        """Return what handlers have sent, and forget it."""
        found = [m["body"].decode() for m in resources.messages(self.store, "queue", "done")]
        seen, self.seen = self.seen, len(found)
        return found[seen:]

    seen = 0


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("once")
    (folder / "portafaas.yaml").write_text(MANIFEST)
    (folder / "work.py").write_text(WORK)
    build(folder / "portafaas.yaml", TARGETS)
    return folder


@pytest.fixture(scope="module", params=["local", *TARGETS])
def place(
    request: pytest.FixtureRequest, project: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    target, manifest = request.param, project / "portafaas.yaml"
    plan = build_plan(load_manifest(manifest))
    root = tmp_path_factory.mktemp(f"store-{target}")
    variables: dict[str, str] = {}
    for function in plan.functions:
        packaged = target != "local"
        variables |= resources.environment(plan, function, root, "test", packaged=packaged)
    with ExitStack() as stack:
        if target == "local":
            local = stack.enter_context(LocalRunner(plan, project, variables))

            def deliver(name: str, stimulus: Any) -> dict[str, Any]:
                return local.deliver(plan.function(name), stimulus)
        else:
            (item,) = check(manifest, [target])
            folder = project / "out" / target
            runner = stack.enter_context(
                PackageRunner(
                    item.adapter,
                    item.plan,
                    folder / "once.zip",
                    folder / "once.deployment.json",
                    tmp_path_factory.mktemp(target) / "package",
                    variables,
                )
            )

            def deliver(name: str, stimulus: Any) -> dict[str, Any]:
                outcome = runner.deliver(item.plan.function(name), stimulus).outcome
                return outcome_to_json(outcome)

        yield Place(target, root, deliver)


def queued(id: str, body: Any = "x", **given: Any) -> QueueStimulus:
    return QueueStimulus((MessageStimulus(id, json.dumps(body).encode(), **given),))


def delivered(outcome: dict[str, Any]) -> bool:
    return outcome.get("delivered", not outcome.get("failed")) is True


def test_a_message_twice(place: Place) -> None:
    place.done()
    for attempt in (1, 2):
        assert delivered(place.deliver("charge", queued("m-1", attempt=attempt)))
    # Two sends of one payment, by what the sender gave as dedup.
    for id in ("m-2", "m-3"):
        control = {"pf-id": id, "pf-dedup": "order-7"}
        assert delivered(place.deliver("charge", queued(id, attributes=control)))
    assert place.done() == ["m-1", "m-2"]
    assert not delivered(place.deliver("charge", queued("m-1", "other")))
    assert place.done() == []


def test_an_async_handler_that_fails_first(place: Place) -> None:
    place.done()
    good, bad = {"order": {"id": 7}}, {"order": {"id": 8}, "fail": 1}
    assert delivered(place.deliver("charge-async", queued("a", good)))
    assert delivered(place.deliver("charge-async", queued("b", good)))
    for _ in range(2):
        assert not delivered(place.deliver("charge-async", queued("c", bad)))
    assert place.done() == ["a", "c", "c"]


def test_an_event_twice(place: Place) -> None:
    place.done()
    attributes = {"ce-specversion": "1.0", "ce-id": "e-1", "ce-type": "t"}
    for source in ("/a", "/b", "/a"):
        message = MessageStimulus("x", b"{}", {**attributes, "ce-source": source},
                                  content_type="application/json")  # fmt: skip
        assert delivered(place.deliver("follow", TopicStimulus(message)))
    assert place.done() == ["e-1", "e-1"]


def ask(place: Place, key: str | None, body: Any) -> dict[str, Any]:
    headers = [("content-type", "application/json")]
    if key is not None:
        headers.append(("idempotency-key", key))
    return place.deliver(
        "order",
        HttpStimulus("POST", "/orders", headers=tuple(headers), body=json.dumps(body).encode()),
    )


def test_a_request_twice(place: Place) -> None:
    place.done()
    first, again = (ask(place, "k-1", {"id": "1"}) for _ in range(2))
    assert (first["status"], again["status"]) == (201, 201)
    assert again["body"] == first["body"]
    assert "idempotent-replayed" not in first["headers"]
    assert again["headers"]["idempotent-replayed"] == "true"
    assert ask(place, "k-1", {"id": "2"})["status"] == 422
    assert ask(place, None, {"id": "2"})["status"] == 400
    assert place.done() == ["ordered"]
    # A handler that fails is asked again.
    for _ in range(2):
        assert ask(place, "k-2", {"id": "1"})["status"] == 500
    events = [m for m in resources.messages(place.store, "topic", "events")]
    assert [m["attributes"]["ce-id"] for m in events] == [json.loads(first["body"])["event"]]


def test_what_a_crash_left_in_the_outbox(place: Place) -> None:
    place.done()
    address = str(place.store / "table/orders")
    message = {"at": 1_700_000_000.0, "kind": "queue", "name": "done", "id": "m", "body": "late",
               "content_type": "text/plain; charset=utf-8", "attributes": {"pf-id": "m"}}  # fmt: skip
    keys = {"order": "9", "part": f"{OUTBOX}1-000"}
    row = {**keys, "outbox": message}
    resources.write_row(address, Write("put", keys, row=row), "")
    head = {"order": "9", "part": "head"}
    for change in (ChangeStimulus("insert", keys, row), ChangeStimulus("insert", head, head, id="2")):
        for name in ("orders-outbox", "stock", "orders-outbox"):
            assert delivered(place.deliver(name, change))
    assert place.done() == ["late", "head"]
    assert not [r for r in resources.scan(address) if r["part"].startswith(OUTBOX)]
