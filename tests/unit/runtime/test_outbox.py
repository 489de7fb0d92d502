"""A row and its messages, both or neither: rules O-1 to O-9 of docs/spec/recovery.md."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from portafaas.local import resources
from portafaas.runtime.context import Context
from portafaas.runtime.deliver import run_event
from portafaas.runtime.event import ChangeEvent
from portafaas.runtime.function import Function
from portafaas.runtime.outbox import Pending
from portafaas.runtime.resources import Conflict, NotGranted, Outgoing, ResourceError
from portafaas.runtime.rows import OUTBOX

GRANTS: dict[str, dict[str, dict[str, Any]]] = {
    "table": {"orders": {"verbs": ["read", "write"], "key": "order", "sort": "part",
                         "outbox": True},
              "plain": {"verbs": ["read", "write"], "key": "id", "sort": ""}},
    "queue": {"payments": {"verbs": ["send"], "ordered": False},
              "long": {"verbs": ["send"], "ordered": False, "claims": "long"},
              "in-order": {"verbs": ["send"], "ordered": True}},
    "topic": {"news": {"verbs": ["publish"], "ordered": False}},
    "bucket": {"long": {"verbs": ["write"]}},
}  # fmt: skip


class World:
    """One folder of resources, and the functions that use it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        uses = {
            kind: {name: {**grant, "address": str(folder / kind / name)}
                   for name, grant in names.items()}
            for kind, names in GRANTS.items()
        }  # fmt: skip
        trigger = {"table": "orders", "key": "order", "sort": "part", "on": ["upsert"],
                   "images": ["new"]}  # fmt: skip
        facts = {"service": "shop", "kind": "table", "timeout": 20, "memory": 256,
                 "source": "/shop/tables/orders", "uses": uses}  # fmt: skip
        self.relay = Function(
            {**facts, "name": "orders-outbox", "handler": "portafaas.runtime.relay:relay",
             "trigger": {**trigger, "outbox": True}}
        )  # fmt: skip
        self.other = Function(
            {**facts, "name": "stock", "handler": "x:y", "trigger": {**trigger, "outbox": False}}
        )
        self.context = Context(Function({**facts, "name": "writer", "handler": "x:y",
                                         "trigger": trigger}), "i")  # fmt: skip

    def rows(self, reserved: bool) -> list[Any]:
        found = list(resources.scan(str(self.folder / "table" / "orders")))
        return [row for row in found if row["part"].startswith(OUTBOX) is reserved]

    def sent(self, kind: str, name: str) -> list[dict[str, Any]]:
        return resources.messages(self.folder, kind, name)

    def change(self, row: Any) -> ChangeEvent:
        keys = {"order": row["order"], "part": row["part"]}
        return ChangeEvent("1", "/shop/tables/orders", table="orders", kind="upsert", keys=keys,
                           new=dict(row))  # fmt: skip

    def run_relay(self, row: Any) -> None:
        run_event(self.relay, self.change(row), Context(self.relay, "r"))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let a sleep pass at once."""
    import time

    now, slept = [0.0], []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    real = time.time
    monkeypatch.setattr("time.time", lambda: real() + now[0])
    monkeypatch.setattr("time.sleep", sleep)
    return slept


def write(context: Context, order: str = "7") -> None:
    with context.outbox("orders") as box:
        box.put({"order": order, "part": "head", "cents": 5}, if_absent=True)
        box.publish("news", {"order": order}, type="order.placed", subject=order)
        box.send("payments", {"n": 1}, attributes={"tier": "gold"}, dedup=f"pay-{order}")
        box.send("payments", b"\xff\x00", delay=60)
        box.send("in-order", "one", key="k")
        box.send("in-order", "two", key="k")


def test_a_row_and_its_messages(world: World) -> None:
    write(world.context)
    assert world.rows(True) == []
    (row,) = world.rows(False)
    assert row == {"order": "7", "part": "head", "cents": 5}
    (event,) = world.sent("topic", "news")
    assert event["attributes"]["ce-type"] == "order.placed"
    assert event["body"] == b'{"order":"7"}'
    first, second = world.sent("queue", "payments")
    assert first["body"] == b'{"n":1}'
    assert first["content_type"] == "application/json"
    assert first["attributes"]["tier"] == "gold"
    assert (first["dedup"], second["body"], second["delay"]) == ("pay-7", b"\xff\x00", 60)
    assert [m["body"] for m in world.sent("queue", "in-order")] == [b"one", b"two"]


def test_ids_are_those_that_were_returned(world: World) -> None:
    with world.context.outbox("orders") as box:
        box.put({"order": "7", "part": "head"})
        ids = [box.send("payments", 1), box.send("payments", 2)]
        event = box.publish("news", 1, type="t")
    assert [m["id"] for m in world.sent("queue", "payments")] == ids
    assert [m["id"] for m in world.sent("topic", "news")] == [event]


def test_a_conflict_sends_nothing(world: World) -> None:
    write(world.context)
    with pytest.raises(Conflict):
        write(world.context)
    assert world.rows(True) == []
    assert len(world.sent("topic", "news")) == 1


def test_an_exception_inside_forgets_everything(world: World) -> None:
    with pytest.raises(ValueError, match="no"), world.context.outbox("orders") as box:
        box.put({"order": "7", "part": "head"})
        box.send("payments", 1)
        raise ValueError("no")
    assert world.rows(False) == world.rows(True) == world.sent("queue", "payments") == []


def test_updates_and_deletions(world: World) -> None:
    write(world.context)
    with world.context.outbox("orders") as box:
        box.update("7", "head", set={"state": "paid"}, add={"cents": 1})
        box.put({"order": "7", "part": "line"})
        box.send("payments", "updated")
    assert [row.get("cents") for row in world.rows(False)] == [6, None]
    with world.context.outbox("orders") as box:
        box.delete("7", "head", when={"state": "paid"})
        box.send("payments", "deleted")
    assert [m["body"] for m in world.sent("queue", "payments")][2:] == [b"updated", b"deleted"]


def test_what_an_outbox_refuses(world: World) -> None:
    context = world.context
    with pytest.raises(TypeError, match="outbox: true"):
        context.outbox("plain")
    with pytest.raises(ValueError, match="two keys"), context.outbox("orders") as box:
        box.put({"order": "7", "part": "a"})
        box.put({"order": "8", "part": "a"})
    with pytest.raises(ValueError, match="writes no row"), context.outbox("orders") as box:
        box.send("payments", 1)
    with pytest.raises(NotGranted), context.outbox("orders") as box:
        box.send("unknown", 1)
    with pytest.raises(ValueError, match=r"NaN|JSON|nan"), context.outbox("orders") as box:
        box.put({"order": "7", "part": "a"})
        box.send("payments", float("nan"))
    with context.outbox("orders"):
        pass
    assert world.rows(False) == world.rows(True) == []


def test_rows_of_the_outbox_are_nobodys(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def down(*args: Any) -> Any:
        raise ResourceError("down", retryable=True)

    monkeypatch.setattr(resources, "publish", down)
    write(world.context)
    assert len(world.rows(True)) == 5
    table = world.context.tables["orders"]
    assert [row["part"] for row in table.query("7")] == ["head"]
    assert [row["part"] for row in table.query("7", limit=1).all()] == ["head"]
    assert [row["part"] for row in table.scan()] == ["head"]
    part = world.rows(True)[0]["part"]
    for attempt in (
        lambda: table.get("7", part),
        lambda: table.delete("7", part),
        lambda: table.put({"order": "7", "part": part}),
        lambda: table.update("7", part, set={"a": 1}),
    ):
        with pytest.raises(ValueError, match="portafaas's"):
            attempt()
    seen: list[Any] = []
    world.other.handle = lambda event, context: seen.append(event.keys)  # type: ignore[misc]
    for row in (*world.rows(True), *world.rows(False)):
        run_event(world.other, world.change(row), Context(world.other, "i"))
    assert seen == [{"order": "7", "part": "head"}]


def test_the_relay_sends_what_was_left(
    world: World, monkeypatch: pytest.MonkeyPatch, no_waiting: list[float]
) -> None:
    def down(*args: Any) -> Any:
        raise ResourceError("down", retryable=True)

    with monkeypatch.context() as broken:
        broken.setattr(resources, "publish", down)
        write(world.context)
    left = world.rows(True)
    assert world.sent("queue", "payments") == [], "in order: nothing overtakes"
    # A change of another row is none of its business.
    world.run_relay(world.rows(False)[0])
    assert world.rows(True) == left
    for row in left:
        world.run_relay(row)
    assert world.rows(True) == []
    assert no_waiting[0] <= 1.0
    assert len(world.sent("topic", "news")) == 1
    first, second = world.sent("queue", "payments")
    assert first["dedup"] == "pay-7"
    assert second["delay"] <= 60 and second["body"] == b"\xff\x00"
    assert [m["body"] for m in world.sent("queue", "in-order")] == [b"one", b"two"]


def test_a_relay_that_cannot_send_fails(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def down(*args: Any) -> Any:
        raise ResourceError("down", retryable=True)

    monkeypatch.setattr(resources, "publish", down)
    write(world.context)
    left = world.rows(True)
    with pytest.raises(ResourceError):
        world.run_relay(left[0])
    assert world.rows(True) == left


def test_some_of_a_batch_are_not_taken(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    send = resources.send

    def some(address: str, messages: list[Outgoing], ordered: bool) -> list[tuple[int, str]]:
        send(address, [messages[0], *messages[2:]], ordered)
        return [(1, "busy")]

    with monkeypatch.context() as broken:
        broken.setattr(resources, "send", some)
        with world.context.outbox("orders") as box:
            box.put({"order": "7", "part": "head"})
            for number in range(3):
                box.send("payments", number)
    (row,) = world.rows(True)
    world.run_relay(row)
    assert sorted(m["body"] for m in world.sent("queue", "payments")) == [b"0", b"1", b"2"]


def test_a_young_row_of_another_commit_is_left_to_its_writer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    def down(*args: Any) -> Any:
        raise ResourceError("down", retryable=True)

    with monkeypatch.context() as broken:
        broken.setattr(resources, "publish", down)
        write(world.context)
        time.sleep(10)
        with world.context.outbox("orders") as box:
            box.update("7", "head", set={"a": 1})
            box.publish("news", "late", type="t")
    old, young = world.rows(True)[0], world.rows(True)[-1]
    world.run_relay(old)
    assert world.rows(True) == [young]
    world.run_relay(young)
    assert world.rows(True) == []


def test_delays_are_what_is_left_of_them() -> None:
    message = Outgoing("1", b"x", delay=60)
    row = Pending({"order": "7", "part": "p"}, "queue", "q", message, 1000.0)
    assert [Pending.read(row, ("order", "part"), now).message.delay for now in
            (1000.0, 1000.5, 1059.5, 1060.0, 9000.0)] == [60, 60, 1, 0, 0]  # fmt: skip


def test_a_long_body_is_in_its_bucket_before(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*args: Any) -> Any:
        raise ResourceError("down", retryable=True)

    body = b"x" * 600_000
    with monkeypatch.context() as broken:
        broken.setattr(resources, "send", down)
        with world.context.outbox("orders") as box:
            box.put({"order": "7", "part": "head"})
            id = box.send("long", body)
    (row,) = world.rows(True)
    place = row["outbox"]["attributes"]["pf-claim"]
    assert row["outbox"]["body"] == ""
    assert resources.read(str(world.folder / "bucket" / "long"), place.partition("/")[2]) == body
    world.run_relay(row)
    (message,) = world.sent("queue", "long")
    assert (message["id"], message["body"]) == (id, b"")


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", range(1, 8))
def test_a_process_that_is_killed_loses_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, step: int, after: bool
) -> None:
    """Killed before or after each call of a driver: row and messages are all there, or none."""
    status = in_a_child(lambda: write(world.context), monkeypatch, step, after)
    # The commit, the event, two messages at once, two in order one by one, the deletion.
    assert status == (9 if step <= 6 else 0), "there are six steps"
    written = bool(world.rows(False))
    assert written == (step > 1 or after)
    for row in world.rows(True):
        world.run_relay(row)
    assert world.rows(True) == []
    everything = [(*place, m["id"], m["body"]) for place in
                  (("topic", "news"), ("queue", "payments"), ("queue", "in-order"))
                  for m in world.sent(*place)]  # fmt: skip
    once = list(dict.fromkeys(everything))
    bodies = [b'{"order":"7"}', b'{"n":1}', b"\xff\x00", b"one", b"two"]
    assert [body for *_, body in once] == (bodies if written else [])
    if step == 1:
        assert once == everything, "nobody sent anything before"


def in_a_child(
    work: Callable[[], None], monkeypatch: pytest.MonkeyPatch, step: int, after: bool
) -> int:
    """Do *work* in a child that ends before or after its call number *step* of the driver."""
    calls = [0]

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            calls[0] += 1
            if calls[0] == step and not after:
                os._exit(9)
            result = real(*args)
            if calls[0] == step:
                os._exit(9)
            return result

        return call

    child = os.fork()
    if child == 0:
        for name in ("commit", "send", "publish", "write_row"):
            setattr(resources, name, counted(getattr(resources, name)))
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", range(1, 7))
def test_a_relay_that_is_killed_loses_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, step: int, after: bool
) -> None:
    def down(*args: Any) -> Any:
        raise ResourceError("down", retryable=True)

    with monkeypatch.context() as broken:
        broken.setattr(resources, "publish", down)
        write(world.context)
    left = world.rows(True)
    status = in_a_child(lambda: world.run_relay(left[0]), monkeypatch, step, after)
    # The event, two messages at once, two in order, the deletion.
    assert status == (9 if step <= 5 else 0)
    for row in left:
        world.run_relay(row)
    assert world.rows(True) == []
    assert {m["body"] for m in world.sent("topic", "news")} == {b'{"order":"7"}'}
    assert {m["body"] for m in world.sent("queue", "payments")} == {b'{"n":1}', b"\xff\x00"}
    ordered = [m["body"] for m in world.sent("queue", "in-order")]
    assert list(dict.fromkeys(ordered)) == [b"one", b"two"]


def test_what_is_for_a_topic_that_is_gone_holds_up_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*given: Any) -> Any:
        raise ResourceError("down", retryable=True)

    with monkeypatch.context() as patch:
        patch.setattr(resources, "publish", down)
        with world.context.outbox("orders") as box:
            box.put({"order": "1", "part": "a"})
            box.publish("news", {}, type="a")
            box.publish("news", {}, type="b")
            paid = box.send("payments", "x")
    with monkeypatch.context() as patch:
        patch.setitem(world.relay.uses, "topic", {})  # type: ignore[arg-type]
        for _ in range(2):
            event = ChangeEvent("c", "/s", table="orders", kind="insert", keys=world.rows(True)[0],
                                new=dict(world.rows(True)[0]))  # fmt: skip
            with pytest.raises(NotGranted, match="publish topic 'news'"):
                run_event(world.relay, event, Context(world.relay, "i"))
    assert [m["id"] for m in resources.messages(world.folder, "queue", "payments")] == [paid]
    assert [row["outbox"]["name"] for row in world.rows(True)] == ["news", "news"]


def test_too_much_for_one_commit_does_nothing(world: World) -> None:
    for count, body in ((100, "x"), (10, "x" * 240_000)):
        with pytest.raises(ValueError, match="commit"), world.context.outbox("orders") as box:
            box.put({"order": "1", "part": "a"})
            for _ in range(count):
                box.send("payments", body)
    with world.context.outbox("orders") as box:
        box.put({"order": "2", "part": "a"})
        for _ in range(99):
            box.send("payments", "x")
    assert len(resources.messages(world.folder, "queue", "payments")) == 99
    assert [row["order"] for row in world.rows(False)] == ["2"] and not world.rows(True)
