"""The local broker: who gets what, when, and what becomes of it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from portafaas.local import resources
from portafaas.local.broker import Broker
from portafaas.local.deliveries import Lease, Settled
from portafaas.manifest.load import load_manifest
from portafaas.plan import BuildPlan
from portafaas.plan.build import build_plan
from portafaas.runtime.resources import Conflict, Outgoing
from portafaas.runtime.rows import Write

MANIFEST = """\
portafaas: 1
name: shop
python: "3.11"
defaults: {timeout: 5s}
functions:
  work: {handler: "app:f", trigger: {queue: {name: jobs, batch: 3}}}
  step: {handler: "app:f", trigger: {queue: {name: steps, batch: 10}}}
  few: {handler: "app:f", trigger: {queue: {name: narrow}}, concurrency: 5}
  late: {handler: "app:f", trigger: {queue: {name: slow}}}
  placed: {handler: "app:f", trigger: {topic: {name: news, filter: {type: [order.placed]}}}}
  heard: {handler: "app:f", trigger: {topic: {name: news}}}
  rows: {handler: "app:f", trigger: {table: {name: orders, on: [insert, update, delete], images: [new, old]}}}
  upserts: {handler: "app:f", trigger: {table: {name: orders}}}
  files: {handler: "app:f", trigger: {object: {bucket: uploads, on: [created, deleted], prefix: in/, suffix: .png}}}
  tick: {handler: "app:f", trigger: {schedule: {cron: "0 * * * *"}}}
  mourn: {handler: "app:f", trigger: {queue: {name: graves}}}
queues:
  jobs: {dead-letter: true, retention: 1h}
  steps: {ordered: true, dead-letter: true}
  narrow: {max-concurrency: 2}
  slow: {delay: 30s, dead-letter: graves}
  graves: {}
topics: {news: {}}
tables: {orders: {sort: day}}
buckets: {uploads: {}}
"""


@pytest.fixture
def plan(tmp_path: Path) -> BuildPlan:
    (tmp_path / "portafaas.yaml").write_text(MANIFEST)
    (tmp_path / "app.py").write_text("def f(event, context): ...\n")
    return build_plan(load_manifest(tmp_path / "portafaas.yaml"))


@pytest.fixture
def store(tmp_path: Path, plan: BuildPlan) -> Path:
    return resources.store(tmp_path, plan.stage)


@pytest.fixture
def broker(store: Path, plan: BuildPlan) -> Iterator[Broker]:
    with Broker(store, plan) as made:
        yield made


class World:
    """A sender, and what functions get."""

    def __init__(self, broker: Broker, store: Path, plan: BuildPlan) -> None:
        self.broker, self.store, self.plan = broker, store, plan

    def send(self, queue: str, *bodies: str, **facts: Any) -> None:
        messages = [Outgoing(body, body.encode(), **facts) for body in bodies]
        resources.send(str(self.store / "queue" / queue), messages, self.plan.queue(queue).ordered)

    def lease(self, function: str, broker: Broker | None = None) -> Lease | None:
        used = broker or self.broker
        used.take_in()
        return used.lease(self.plan.function(function), 30.0)

    def got(self, function: str) -> list[str]:
        """Return the ids of one lease; it stays leased."""
        lease = self.lease(function)
        return [] if lease is None else [item.id for item in lease.items]

    def done(self, function: str) -> list[str]:
        """Return ids of all that is due, and be done with it."""
        found: list[str] = []
        while (lease := self.lease(function)) is not None:
            found += [item.id for item in lease.items]
            self.broker.settle(lease, Settled())
        return found

    def bury(self, function: str, **facts: str) -> Lease:
        lease = self.lease(function)
        assert lease is not None
        letter = json.dumps({"reason": "permanent", **facts})
        self.broker.settle(lease, Settled(dead={item.number: letter for item in lease.items}))
        return lease


@pytest.fixture
def world(broker: Broker, store: Path, plan: BuildPlan) -> World:
    return World(broker, store, plan)


def test_a_queue_delivers_batches_in_the_order_sent(world: World) -> None:
    world.send("jobs", *"abcde")
    assert [world.got("work"), world.got("work"), world.got("work")] == [list("abc"), list("de"), []]


def test_a_topic_reaches_each_function_whose_filter_lets_it(world: World) -> None:
    events = [
        Outgoing(kind, b"{}", attributes={"ce-id": kind, "ce-type": kind})
        for kind in ("order.placed", "order.paid")
    ]
    resources.publish(str(world.store / "topic/news"), events, False)
    resources.publish(str(world.store / "topic/undeclared"), events, False)
    # What is no event passes: its function shall fail at it.
    broken = Outgoing("x", b"{", content_type="application/cloudevents+json")
    resources.publish(str(world.store / "topic/news"), [broken], False)
    assert world.done("placed") == ["order.placed", "x"]
    assert world.done("heard") == ["order.placed", "order.paid", "x"]


def test_a_key_is_held_back_while_one_of_its_messages_is_not_done(world: World, broker: Broker) -> None:
    for body, key in (("a1", "a"), ("b1", "b"), ("a2", "a"), ("b2", "b")):
        world.send("steps", body, key=key)
    lease = world.lease("step")
    assert lease is not None and [item.id for item in lease.items] == ["a1", "b1", "a2", "b2"]
    world.send("steps", "a3", key="a")
    world.send("steps", "c1", key="c")
    assert world.got("step") == ["c1"], "a and b are leased"
    a1, b1, a2, _ = (item.number for item in lease.items)
    broker.settle(lease, Settled(again={a1: 60.0}, dead={b1: "{}"}, untried=[a2]))
    assert world.got("step") == [], "a waits for its next attempt; b's letter holds nothing back"
    world.send("steps", "b3", key="b")
    assert world.got("step") == ["b3"]
    broker.clock.advance(61)
    lease = world.lease("step")
    assert lease is not None
    assert [(item.id, item.attempts) for item in lease.items] == [("a1", 2), ("a2", 1), ("a3", 1)]


def test_rows_changes_come_in_the_order_of_each_row(world: World, broker: Broker, store: Path) -> None:
    table = str(store / "table/orders")
    for name in ("1", "2"):
        for n in (1, 2):
            key = {"id": name, "day": "x"}
            resources.write_row(table, Write("put", key, row={**key, "n": n, "pf-seen": "1"}), "")
    first = world.lease("rows")
    assert first is not None
    body = json.loads(first.items[0].body)["table"]
    assert (body["kind"], body["keys"], body["new"]["n"]) == ("insert", {"id": "1", "day": "x"}, 1)
    assert "pf-seen" not in body["new"]
    second = world.lease("rows")
    assert second is not None and json.loads(second.items[0].body)["table"]["keys"]["id"] == "2"
    assert world.lease("rows") is None
    broker.settle(first, Settled())
    third = world.lease("rows")
    assert third is not None
    body = json.loads(third.items[0].body)["table"]
    assert (body["kind"], body["old"]["n"], body["new"]["n"]) == ("update", 1, 2)
    assert len(world.done("upserts")) == 4


def test_what_was_rolled_back_has_not_changed(world: World, store: Path) -> None:
    table, key = str(store / "table/orders"), {"id": "1", "day": "x"}
    from portafaas.runtime.rows import ABSENT

    resources.write_row(table, Write("put", key, row=key), "")
    other = {"id": "1", "day": "y"}
    with pytest.raises(Conflict):
        resources.commit(
            table,
            [Write("put", other, row=other), Write("put", key, row=key, when={"id": ABSENT})],
            "",
        )
    assert len(world.done("rows")) == 1


def test_objects_reach_whom_their_names_fit(world: World, store: Path) -> None:
    bucket = str(store / "bucket/uploads")
    for key in ("in/a.png", "in/a.txt", "out/a.png", "pf-claims/in/a.png"):
        resources.write(bucket, key, b"12345", None)
    resources.write(bucket, "in/a.png", b"123", None)
    resources.delete(bucket, "in/a.png")
    resources.delete(bucket, "in/never.png")
    found = []
    while (lease := world.lease("files")) is not None:
        found.append(json.loads(lease.items[0].body)["object"])
    assert [(f["kind"], f["key"], f["size"]) for f in found] == [
        ("created", "in/a.png", 5), ("created", "in/a.png", 3), ("deleted", "in/a.png", 0),
    ]  # fmt: skip


def test_delays_expiry_and_retention(world: World, broker: Broker) -> None:
    world.send("jobs", "later", delay=60)
    ends = str(int(time.time()) + 90)
    world.send("jobs", "brief", delay=60, attributes={"pf-expires": ends})
    world.send("slow", "slow")
    broker.take_in()
    assert world.got("work") == world.got("late") == []
    assert broker.next_due() == pytest.approx(30, abs=2)
    broker.clock.advance(31)
    assert world.got("late") == ["slow"]
    broker.clock.advance(30)
    lease = world.lease("work")
    assert lease is not None and [item.id for item in lease.items] == ["later", "brief"]
    # To the handler's own clock it is a minute older, and expires a minute sooner.
    later, brief = lease.items
    assert later.sent == pytest.approx(time.time() - 61, abs=2)
    assert brief.expires == pytest.approx(int(ends) - 61, abs=2)
    broker.settle(lease, Settled(again={item.number: 0.0 for item in lease.items}))
    broker.clock.advance(60)
    broker.sweep()
    assert world.got("work") == ["later"], "the other has expired"
    world.send("jobs", "old")
    broker.take_in()
    broker.clock.advance(3601)
    broker.sweep()
    assert world.got("work") == []


def test_a_queue_with_a_bound_is_worked_on_by_no_more(world: World, broker: Broker) -> None:
    world.send("narrow", *"abc")
    first = world.lease("few")
    assert first is not None and world.got("few") == ["b"]
    assert world.got("few") == []
    broker.settle(first, Settled())
    assert world.got("few") == ["c"]


def test_what_crashed_in_a_batch_comes_alone(world: World, broker: Broker) -> None:
    world.send("jobs", *"abc")
    lease = world.lease("work")
    assert lease is not None
    broker.settle(lease, Settled(again={item.number: 0.0 for item in lease.items}, alone=True))
    world.send("jobs", *"de")
    assert [world.got("work") for _ in range(4)] == [["a"], ["b"], ["c"], ["d", "e"]]


def test_a_lease_that_ended_is_an_attempt_and_its_holder_has_no_say(
    world: World, broker: Broker, plan: BuildPlan
) -> None:
    world.send("jobs", "a")
    broker.take_in()
    lease = broker.lease(plan.function("work"), -1.0)
    assert lease is not None
    broker.sweep()
    again = world.lease("work")
    assert again is not None and again.items[0].attempts == 2
    broker.settle(lease, Settled(dead={lease.items[0].number: "{}"}))
    broker.settle(lease, Settled())
    assert broker.letters.count("queue/jobs") == 0
    broker.settle(again, Settled(again={again.items[0].number: 0.0}))
    assert world.got("work") == ["a"]


def test_what_a_broker_held_that_is_gone_was_not_tried(
    world: World, broker: Broker, store: Path, plan: BuildPlan
) -> None:
    import fcntl

    world.send("jobs", *"ab")
    other = Broker(store, plan)
    lease = world.lease("work", other)
    assert lease is not None
    broker.sweep()
    assert world.got("work") == [], "it lives"
    # As when its process is killed; nothing is told.
    fcntl.flock(other.owner.lock(), fcntl.LOCK_UN)
    broker.sweep()
    again = world.lease("work")
    assert again is not None and [item.attempts for item in again.items] == [1, 1]
    other.settle(lease, Settled())
    other.close()
    broker.settle(again, Settled(again={item.number: 0.0 for item in again.items}))
    assert world.got("work") == ["a", "b"]


def test_closing_gives_back_what_is_leased(world: World, store: Path, plan: BuildPlan) -> None:
    world.send("jobs", "a")
    with Broker(store, plan) as other:
        assert world.lease("work", other) is not None
    again = world.lease("work")
    assert again is not None and again.items[0].attempts == 1


def test_letters_are_kept_and_go_back_in_order(world: World, broker: Broker) -> None:
    world.send("jobs", "a", attributes={"pf-id": "a", "x": "y"})
    world.send("jobs", *"bc")
    world.bury("work", error="no")
    a, b, c = broker.letters.list("queue/jobs")
    assert [item.id for item in (a, b, c)] == ["a", "b", "c"]
    assert json.loads(a.letter or "")["error"] == "no" and a.attributes["x"] == "y"
    assert world.got("work") == [] and len(broker.letters.list("queue/jobs", 2)) == 2
    world.send("jobs", "d")
    broker.take_in()
    assert broker.letters.redrive([a, c]) == 2
    assert broker.letters.redrive([a]) == 0, "it is not there any more"
    lease = world.lease("work")
    assert lease is not None
    assert [(i.id, i.attempts, i.letter) for i in lease.items] == [("d", 1, None), ("a", 1, None), ("c", 1, None)]
    assert broker.letters.purge([b, a]) == 1
    assert broker.letters.count("queue/jobs") == 0


def test_letters_may_be_another_queues_messages(world: World, broker: Broker) -> None:
    world.send("slow", *"ab")
    broker.take_in()
    broker.clock.advance(31)
    world.bury("late")
    world.bury("late")
    assert broker.letters.count("queue/slow") == 2 and broker.letters.count("queue/graves") == 0
    lease = world.lease("mourn")
    assert lease is not None and (lease.items[0].id, lease.items[0].attempts) == ("a", 1)
    assert [item.id for item in broker.letters.list("queue/slow")] == ["b"], "the other is being looked after"
    broker.settle(lease, Settled())
    assert broker.letters.redrive(broker.letters.list("queue/slow")) == 1
    assert world.got("mourn") == [] and world.got("late") == ["b"]


def test_a_schedule_fires_once_for_an_instant(world: World, broker: Broker, plan: BuildPlan) -> None:
    tick = plan.function("tick")
    assert broker.fire(tick, "2026-11-23T10:00:00.000Z")
    assert not broker.fire(tick, "2026-11-23T10:00:00+00:00")
    assert broker.fire(tick, "2026-11-23T11:00:00Z")
    assert world.done("tick") == [
        "tick@2026-11-23T10:00:00.000Z", "tick@2026-11-23T11:00:00.000Z",
    ]  # fmt: skip


def test_what_is_taken_in_is_taken_in_once(world: World, broker: Broker, store: Path, plan: BuildPlan) -> None:
    world.send("jobs", *"abc")
    with Broker(store, plan) as other:
        assert (broker.take_in(), other.take_in()) == (3, 0)
    broker.clock.advance(10_000)
    broker.sweep()
    world.send("jobs", "d")
    assert broker.take_in() == 1


def test_long_bodies_expire(tmp_path: Path, store: Path) -> None:
    file = tmp_path / "portafaas.yaml"
    file.write_text(file.read_text().replace("narrow: {", "narrow: {claim-check: uploads, "))
    plan = build_plan(load_manifest(file))
    bucket = str(store / "bucket/uploads")
    for key in ("pf-claims/narrow/old", "pf-claims/narrow/new", "old"):
        resources.write(bucket, key, b"1", None)
    with Broker(store, plan) as broker:
        broker.store.connection.execute(
            "update objects set modified = modified - 6 * 86400 where key like '%old'"
        )
        broker.sweep()
    found, _ = resources.list_objects(bucket, "", None, 10)
    # Four days in the queue, and one to be sure.
    assert [each.key for each in found] == ["old", "pf-claims/narrow/new"]
