"""Work that is done once, and rows with their messages, on every back end of tables."""

from __future__ import annotations

import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from portafaas.runtime import Conflict, Message, Permanent, Request, Response, Throttled
from portafaas.runtime.context import Context
from portafaas.runtime.event import ChangeEvent
from portafaas.runtime.function import Function
from portafaas.runtime.idempotency import Single
from portafaas.runtime.queues import Queue
from portafaas.runtime.relay import relay
from portafaas.runtime.resources import Outgoing, ResourceError
from portafaas.runtime.rows import OUTBOX
from portafaas.runtime.serve import run
from tests.behaviour.backends import Backend

pytestmark = pytest.mark.filterwarnings("ignore:Unverified HTTPS request")

Make = Callable[..., Function]
MODULE = "handlers_of_behaviour"


@pytest.fixture
def once(backend: Backend) -> Iterator[Make]:
    """Return a maker of functions whose records are in one table of the back end."""
    module = sys.modules[MODULE] = types.ModuleType(MODULE)
    grant = {"verbs": ["read", "write"], "key": "id", "sort": "", "ttl": "expires",
             "address": backend.table("id", "", "expires")}  # fmt: skip

    def make(handle: Any, kind: str = "queue", timeout: float = 20) -> Function:
        module.handler = handle  # type: ignore[attr-defined]
        trigger = {"methods": [], "path": "/"} if kind == "http" else {}
        function = Function(
            {
                "name": "f", "service": "shop", "kind": kind, "handler": f"{MODULE}:handler",
                "timeout": timeout, "memory": 256, "source": "/shop/x", "trigger": trigger,
                "uses": {"table": {"it": grant}},
                "idempotency": {"table": "it", "expires": 3600},
            }
        )  # fmt: skip
        function.load()
        return function

    yield make
    del sys.modules[MODULE]


def test_a_message_is_processed_once(once: Make, backend: Backend) -> None:
    calls: list[str] = []
    errors: list[Exception] = [ValueError("later")]

    def handle(message: Message, context: Context) -> None:
        calls.append(message.id)
        if errors:
            raise errors.pop()

    function = once(handle)

    def deliver(body: bytes = b"{}") -> None:
        function.handle(Message("m", body), Context(function, "i", target=backend.target))

    with pytest.raises(ValueError, match="later"):
        deliver()
    for _ in range(3):
        deliver()
    assert calls == ["m", "m"]
    with pytest.raises(Permanent):
        deliver(b"other")


def test_a_lease_is_kept_and_taken_over(
    once: Make, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("portafaas.runtime.idempotency.GRACE", 0.0)
    calls: list[str] = []
    function = once(lambda message, context: calls.append(message.id))
    short = once(lambda message, context: calls.append(message.id), timeout=1)
    dead = Single(short, Message("m", b""), Context(short, "dead", target=backend.target))
    began = time.time()
    with pytest.raises(Throttled) as caught:
        function.handle(Message("m", b""), Context(function, "i", target=backend.target))
    assert 0 < caught.value.retry_after <= 1.0
    time.sleep(max(0.0, began + 1.1 - time.time()))
    function.handle(Message("m", b""), Context(function, "i", target=backend.target))
    dead.done(None)
    dead.release()
    function.handle(Message("m", b""), Context(function, "i", target=backend.target))
    assert calls == ["m"]


def test_of_many_at_once_one_runs(once: Make, backend: Backend) -> None:
    running: dict[str, int] = {}
    done: list[str] = []
    most: list[int] = []
    lock = threading.Lock()

    def handle(message: Message, context: Context) -> None:
        with lock:
            running[message.id] = running.get(message.id, 0) + 1
            most.append(running[message.id])
        time.sleep(0.02)
        with lock:
            running[message.id] -= 1
            done.append(message.id)

    function = once(handle)
    barrier, problems = threading.Barrier(4), []

    def work() -> None:
        barrier.wait()
        for number in range(5):
            try:
                message = Message(str(number), b"")
                function.handle(message, Context(function, "i", target=backend.target))
            except Throttled:
                continue
            except Exception as exc:
                problems.append(exc)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert sorted(done) == ["0", "1", "2", "3", "4"]
    assert set(most) == {1}


def test_an_answer_is_given_again(once: Make, backend: Backend) -> None:
    calls: list[int] = []

    def handle(request: Request, context: Context) -> Response:
        calls.append(1)
        response = Response(b"\xff\x00", 201, {"x-mine": "\tyes"})
        response.set_cookie("a", "b")
        return response

    function = once(handle, "http")

    def ask(body: str = "{}") -> Response:
        request = Request("POST", "/", headers={"idempotency-key": "k"}, body=body)
        return run(function, request, Context(function, "i", target=backend.target))

    first, again = ask(), ask()
    assert (again.status, again.body, again.cookies) == (201, b"\xff\x00", first.cookies)
    assert again.headers == {**first.headers, "idempotent-replayed": "true"}
    assert ask("other").status == 422
    assert len(calls) == 1


# The outbox


class Broker:
    """Stands in for the queue: the table is what is under test."""

    def __init__(self) -> None:
        self.sent: list[Outgoing] = []
        self.down = False

    def take(self, messages: list[Outgoing]) -> list[str]:
        if self.down:
            raise ResourceError("down", retryable=True)
        self.sent += messages
        return [message.id for message in messages]


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    found = Broker()
    monkeypatch.setattr(Queue, "_send", lambda self, messages: found.take(messages))
    return found


def test_rows_and_their_messages(
    backend: Backend, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("portafaas.runtime.relay.SETTLE", 0.0)
    grant = {"verbs": ["read", "write"], "key": "order", "sort": "part", "outbox": True,
             "address": backend.table("order", "part", "")}  # fmt: skip
    function = Function(
        {
            "name": "f", "service": "shop", "kind": "table", "handler": "x:y", "timeout": 60,
            "memory": 256, "source": "/shop/x", "trigger": {},
            "uses": {"table": {"it": grant},
                     "queue": {"q": {"verbs": ["send"], "ordered": False, "address": "q"}}},
        }
    )  # fmt: skip

    def context() -> Context:
        return Context(function, "1", target=backend.target)

    def write(cents: int) -> None:
        with context().outbox("it") as box:
            box.put({"order": "7", "part": "head", "cents": cents}, if_absent=True)
            for number in range(3):
                box.send("q", {"n": number}, attributes={"a": "\u2603"})
            box.send("q", b"\xff\x00")

    table = context().tables["it"]
    write(1)
    assert [m.body for m in broker.sent] == [b'{"n":0}', b'{"n":1}', b'{"n":2}', b"\xff\x00"]
    with pytest.raises(Conflict):
        write(2)
    assert len(broker.sent) == 4
    assert table._pending("7") == []
    table.delete("7", "head")
    broker.down = True
    write(3)
    waiting = table._pending("7")
    assert len(waiting) == 4
    assert [row["cents"] for row in table.query("7")] == [3]
    assert [row["cents"] for row in table.scan()] == [3]
    part = waiting[2]["part"]
    assert part.startswith(OUTBOX)
    change = ChangeEvent("1", "/shop/x", table="it", kind="upsert",
                         keys={"order": "7", "part": part}, new=waiting[2])  # fmt: skip
    with pytest.raises(ResourceError):
        relay(change, context())
    broker.down = False
    relay(change, context())
    assert table._pending("7") == []
    relay(change, context())
    again = broker.sent[4:]
    assert [m.body for m in again] == [m.body for m in broker.sent[:4]]
    assert [m.attributes["pf-id"] for m in again] == [row["outbox"]["id"] for row in waiting]
    assert again[0].attributes["a"] == "\u2603"
