"""A handler runs once a key: rules I-1 to I-12 of docs/spec/recovery.md, on the local driver."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from portafaas.local.driver.portafaas_local_resources import database
from portafaas.runtime import idempotency
from portafaas.runtime.auth import Identity
from portafaas.runtime.context import Context
from portafaas.runtime.deliver import run_event, run_messages
from portafaas.runtime.event import ChangeEvent, Event
from portafaas.runtime.function import Function
from portafaas.runtime.handler import batch_handler
from portafaas.runtime.http import HttpError, Request, Response
from portafaas.runtime.message import BatchResult, Message
from portafaas.runtime.resources import Conflict, ResourceError
from portafaas.runtime.serve import run
from portafaas.runtime.tables import Table
from portafaas.runtime.task import Task, run_task
from portafaas.runtime.taxonomy import Permanent, Retryable, Throttled

Make = Callable[..., Function]


class Clock:
    """What ``time.time`` says, moved by hand."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock(1_800_000_000.0)
    monkeypatch.setattr("time.time", found)
    monkeypatch.setattr("portafaas.runtime.context.time", found)
    monkeypatch.setattr("portafaas.local.driver.portafaas_local_resources.rows.time", found)
    return found


@pytest.fixture
def once(tmp_path: Path, clock: Clock) -> Iterator[Make]:
    """Return a maker of idempotent functions whose records are in one table."""
    name = "handlers_of_idempotency"
    module = types.ModuleType(name)
    sys.modules[name] = module

    def make(
        handle: Any, kind: str = "queue", *, name_: str = "f", timeout: float = 20,
        attempts: int = 5, trigger: dict[str, Any] | None = None, **spec: Any,
    ) -> Function:  # fmt: skip
        module.handler = handle  # type: ignore[attr-defined]
        table = {"verbs": ["read", "write"], "key": "id", "sort": "", "ttl": "expires",
                 "address": str(tmp_path / "table" / "done")}  # fmt: skip
        settings = trigger or {}
        if kind == "http":
            settings = {"methods": [], "path": "/", **settings}
        function = Function(
            {
                "name": name_, "service": "shop", "kind": kind, "handler": f"{name}:handler",
                "timeout": timeout, "memory": 256, "source": "/shop/x", "trigger": settings,
                "uses": {"table": {"done": table}},
                "idempotency": {"table": "done", "expires": 3600, **spec},
            }
        )  # fmt: skip
        function.load()
        return function

    yield make
    del sys.modules[name]


def records(tmp_path: Path) -> list[dict[str, Any]]:
    connection = database(str(tmp_path))
    try:
        return [json.loads(row) for (row,) in connection.execute("select row from items")]
    finally:
        connection.close()


def message(id: str = "m-1", body: bytes = b"{}", **given: Any) -> Message:
    return Message(id, body, queue="jobs", **given)


def deliver(function: Function, *messages: Message) -> list[str]:
    return run_messages(function, messages, Context(function, "i"))


def ask(function: Function, key: str | None = "k", **given: Any) -> Response:
    headers = {} if key is None else {"idempotency-key": key}
    identity = given.pop("identity", None)
    request = Request("POST", "/", headers=headers, **given)
    if identity is not None:
        request.identity = identity
    return run(function, request, Context(function, "i"))


# Messages and events


def test_a_message_that_is_done_is_not_done_again(
    once: Make, tmp_path: Path, clock: Clock
) -> None:
    calls: list[str] = []
    function = once(lambda message, context: calls.append(message.id))
    assert deliver(function, message()) == []
    (record,) = records(tmp_path)
    assert record["id"].startswith("f/")
    assert record["state"] == "completed"
    assert record["expires"] == clock.now + 3601
    for _ in range(2):
        assert deliver(function, message(attempt=2)) == []
    assert calls == ["m-1"]
    clock.now += 3602
    assert deliver(function, message()) == []
    assert calls == ["m-1", "m-1"]


@pytest.mark.parametrize("thread", [False, True])
def test_the_deadline_waits_until_what_is_done_is_recorded(
    once: Make, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, thread: bool
) -> None:
    """The handler returned in time: that its record takes longer does not make it a failure."""
    put = Table.put

    def slow(self: Table, *args: Any, **given: Any) -> Any:
        if given.get("if_version"):
            for _ in range(40):
                time.sleep(0.01)
        return put(self, *args, **given)

    monkeypatch.setattr(Table, "put", slow)
    function = once(lambda message, context: time.sleep(0.1), timeout=0.3)
    failed: list[list[str]] = []
    if thread:
        worker = threading.Thread(target=lambda: failed.append(deliver(function, message())))
        worker.start()
        worker.join(20)
    else:
        failed.append(deliver(function, message()))
    assert failed == [[]]
    (record,) = records(tmp_path)
    assert record["state"] == "completed"


@pytest.mark.parametrize("how", ["sync", "async", "batch", "http"])
def test_no_handler_begins_when_the_claim_took_all_its_time(
    once: Make, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Else the time for its record is over too, and what it did is done again."""
    put, calls = Table.put, []

    def slow(self: Table, *args: Any, **given: Any) -> Any:
        row = put(self, *args, **given)
        clock.now += 21 * (len(late) == 1)
        return row

    async def later(message: Message, context: Context) -> None:
        calls.append(message.id)

    @batch_handler
    def several(batch: Any, context: Context) -> None:
        calls.extend(message.id for message in batch)

    handlers: dict[str, Any] = {
        "sync": lambda message, context: calls.append(message.id),
        "async": later,
        "batch": several,
        "http": lambda request, context: calls.append("m-1"),
    }
    function = once(handlers[how], kind="http" if how == "http" else "queue", timeout=20)
    monkeypatch.setattr(Table, "put", slow)
    late = [True]
    if how == "http":
        assert ask(function).status == 504
    else:
        assert deliver(function, message()) == ["m-1"]
    assert calls == []
    assert records(tmp_path) == []
    late.clear()
    if how == "http":
        assert ask(function).status < 300
    else:
        assert deliver(function, message()) == []
    assert calls == ["m-1"]


@pytest.mark.parametrize("error", [ValueError("no"), Permanent("no"), SystemExit(3)])
def test_what_failed_is_done_again(once: Make, tmp_path: Path, error: BaseException) -> None:
    errors = [error]

    def handle(message: Message, context: Context) -> None:
        if errors:
            raise errors.pop()

    function = once(handle)
    assert deliver(function, message()) == ["m-1"]
    assert records(tmp_path) == []
    assert deliver(function, message()) == []
    assert [r["state"] for r in records(tmp_path)] == ["completed"]


def test_two_functions_have_records_of_their_own(once: Make, tmp_path: Path) -> None:
    calls: list[str] = []
    for name in ("f", "g"):
        function = once(lambda message, context: calls.append(context.function), name_=name)
        deliver(function, message())
    assert calls == ["f", "g"]
    assert len(records(tmp_path)) == 2


@pytest.mark.parametrize("kept", ["dedup", "id"])
def test_the_key_of_a_message(once: Make, kept: str) -> None:
    calls: list[str] = []
    function = once(lambda message, context: calls.append(message.id))
    if kept == "dedup":
        control = {"pf-id": "one", "pf-dedup": "order-7"}
        deliver(function, message("x", control=control))
        deliver(function, message("y", control=control | {"pf-id": "two"}))
        # A dedup is no id.
        deliver(function, message("order-7"))
        assert calls == ["one", "order-7"]
    else:
        deliver(function, message("x", control={"pf-id": "one"}))
        deliver(function, message("y", control={"pf-id": "one"}))
        assert calls == ["one"]


def test_the_key_may_be_in_the_body(once: Make) -> None:
    calls: list[str] = []
    function = once(
        lambda message, context: calls.append(message.id), key=["lines", 0, "id"]
    )
    body = json.dumps({"lines": [{"id": 7}]}).encode()
    assert deliver(function, message("a", body), message("b", body)) == []
    assert calls == ["a"]
    # What has none goes by its own.
    other = b'{"lines": [{"id": true}]}'
    assert deliver(function, message("c", other), message("c", other)) == []
    assert calls == ["a", "c"]


@pytest.mark.parametrize("body", [b'{"order": {}}', b"no json", b"[]"])
def test_a_required_key_that_is_missing_is_poison(once: Make, body: bytes) -> None:
    from portafaas.runtime.taxonomy import Poison

    function = once(lambda message, context: 1 / 0, key=["order", "id"], required=True)
    with pytest.raises(Poison, match=r"\$\.order\.id|JSON"):
        function.handle(message("a", body), Context(function, "i"))


def test_a_key_with_other_content_is_refused_for_good(once: Make) -> None:
    calls: list[str] = []
    function = once(lambda message, context: calls.append(message.id), key=["id"])
    deliver(function, message("a", b'{"id": "1", "cents": 5}'))
    with pytest.raises(Permanent, match="other content"):
        function.handle(message("b", b'{"id": "1", "cents": 6}'), Context(function, "i"))
    assert calls == ["a"]


def test_one_that_is_at_it_is_waited_for(once: Make, clock: Clock) -> None:
    """A crash leaves the record; when its lease has run out, it is taken over."""
    calls: list[str] = []
    function = once(lambda message, context: calls.append(message.id))
    crashed = idempotency.Single(function, message(), Context(function, "dead"))
    with pytest.raises(Throttled) as caught:
        function.handle(message(), Context(function, "i"))
    assert caught.value.retry_after == pytest.approx(20 + idempotency.GRACE)
    clock.now += 20 + idempotency.GRACE
    assert deliver(function, message()) == []
    assert calls == ["m-1"]
    # The first one's late words change nothing.
    crashed.failed(ValueError())
    crashed.done(None)
    assert deliver(function, message()) == []
    assert calls == ["m-1"]


def test_only_one_takes_over(once: Make, clock: Clock) -> None:
    function = once(lambda message, context: None)
    idempotency.Single(function, message(), Context(function, "dead"))
    clock.now += 60
    barrier, won, lost = threading.Barrier(4), [], []

    def work() -> None:
        context = Context(function, "i")
        barrier.wait()
        try:
            won.append(idempotency.Single(function, message(), context))
        except Throttled as exc:
            lost.append(exc)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(lost)) == (1, 3)


def test_events_go_by_source_and_id(once: Make) -> None:
    calls: list[str] = []
    function = once(lambda event, context: calls.append(event.source), "topic")
    for source in ("/a", "/b", "/a"):
        event = Event("1", source, "t", {"n": 1})
        run_event(function, event, Context(function, "i"))
    assert calls == ["/a", "/b"]
    changes = once(lambda event, context: calls.append(event.id), "table", key=["new", "order"])
    for number in ("1", "2"):
        change = ChangeEvent(
            number, "/t", table="t", kind="upsert", keys={"id": "x"},
            new={"id": "x", "order": "o"},
        )  # fmt: skip
        run_event(changes, change, Context(changes, "i"))
    assert calls == ["/a", "/b", "1"]


# Async handlers


@pytest.mark.parametrize("kind", ["coroutine", "object"])
def test_async_handlers(once: Make, tmp_path: Path, kind: str) -> None:
    calls: list[str] = []
    errors: list[Exception] = [Retryable("later")]

    async def handle(message: Message, context: Context) -> None:
        await asyncio.sleep(0)
        calls.append(message.id)
        if errors:
            raise errors.pop()

    def called(message: Message, context: Context) -> Any:
        return handle(message, context)

    function = once(handle if kind == "coroutine" else called)
    assert function.is_async == (kind == "coroutine")
    assert deliver(function, message()) == ["m-1"]
    assert records(tmp_path) == []
    assert deliver(function, message()) == []
    assert deliver(function, message()) == []
    assert calls == ["m-1", "m-1"]


@pytest.mark.parametrize("when", ["begin", "handler"])
def test_a_cancelled_handler_lets_go(
    once: Make, tmp_path: Path, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, go, put = threading.Event(), threading.Event(), Table.put

    def slow(self: Any, *args: Any, **given: Any) -> Any:
        row = put(self, *args, **given)
        started.set()
        go.wait(10)
        return row

    async def handle(message: Message, context: Context) -> None:
        started.set()
        await asyncio.sleep(60)

    function = once(handle)
    if when == "begin":
        monkeypatch.setattr(Table, "put", slow)

    async def cancel() -> None:
        task = asyncio.ensure_future(function.handle(message(), Context(function, "i")))
        await asyncio.to_thread(started.wait, 10)
        assert len(records(tmp_path)) == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go.set()
        for _ in range(500):
            if not records(tmp_path):
                break
            await asyncio.sleep(0.01)

    asyncio.run(cancel())
    assert records(tmp_path) == []


def test_a_handler_that_is_too_slow_lets_go(once: Make, tmp_path: Path) -> None:
    import time

    def handle(message: Message, context: Context) -> None:
        time.sleep(30)

    function = once(handle, timeout=0.1)
    assert deliver(function, message()) == ["m-1"]
    assert records(tmp_path) == []


# Tasks


def do(function: Function, input: Any = None, key: str = "run/step", **given: Any) -> Any:
    task = Task(input, key=key, **given)
    return run_task(function, task, Context(function, "i"))


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("result", [None, 0.1, "x", [], {"n": 10**30, "x": [1.0, "\ud800"]}])
def test_a_tasks_result_is_given_again(
    once: Make, tmp_path: Path, is_async: bool, result: Any
) -> None:
    calls = []

    def handle(task: Task, context: Context) -> Any:
        calls.append(task.attempt)
        return result

    async def handle_async(task: Task, context: Context) -> Any:
        return handle(task, context)

    function = once(handle_async if is_async else handle, "task")
    first = do(function, {"n": 1})
    assert first == {"ok": json.loads(json.dumps(result))}
    assert repr(do(function, {"n": 1}, attempt=2)) == repr(first)
    assert calls == [1]
    assert do(function, {"n": 2})["error"] == "Permanent"
    assert do(function, {"n": 2}, key="run/other") == first
    assert calls == [1, 1]


@pytest.mark.parametrize("is_async", [False, True])
def test_a_task_that_fails_is_done_again(once: Make, tmp_path: Path, is_async: bool) -> None:
    results = [ValueError("no"), {1, 2}, "done"]

    def handle(task: Task, context: Context) -> Any:
        result = results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result

    async def handle_async(task: Task, context: Context) -> Any:
        return handle(task, context)

    function = once(handle_async if is_async else handle, "task")
    assert do(function) == {"error": "ValueError", "cause": "no"}
    assert records(tmp_path) == []
    # What is no JSON is no result.
    assert do(function)["error"] == "States.Runtime"
    assert records(tmp_path) == []
    assert do(function) == do(function) == {"ok": "done"}


def test_the_key_of_a_task_may_be_in_its_input(once: Make) -> None:
    calls = []
    function = once(lambda task, context: calls.append(task.key), "task", key=["order", "id"])
    for key in ("a", "b"):
        assert do(function, {"order": {"id": 7}}, key) == {"ok": None}
    assert calls == ["a"]
    do(function, {"order": 7}, "c")
    assert calls == ["a", "c"]
    strict = once(lambda task, context: None, "task", key=["order"], required=True)
    assert do(strict, {})["error"] == "Poison"


def test_a_long_result_of_a_task_is_not_given_again(once: Make) -> None:
    function = once(lambda task, context: "x" * 250_000, "task")
    assert "ok" in do(function)
    assert do(function)["error"] == "Permanent"


def test_a_task_waits_for_who_is_at_it(once: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "_LOOK", 0.02)
    monkeypatch.setattr(idempotency, "GRACE", -10.0)
    began, go = threading.Event(), threading.Event()

    def handle(task: Task, context: Context) -> str:
        began.set()
        assert go.wait(5)
        return f"by attempt {task.attempt}"

    function = once(handle, "task")
    found: list[Any] = []
    first = threading.Thread(target=lambda: found.append(do(function)))
    first.start()
    assert began.wait(5)
    second = threading.Thread(target=lambda: found.append(do(function, attempt=2)))
    second.start()
    time.sleep(0.1)
    assert not found
    go.set()
    first.join(5)
    second.join(5)
    assert found == [{"ok": "by attempt 1"}] * 2


def test_a_task_that_cannot_outwait_the_other_is_throttled(once: Make) -> None:
    began, go = threading.Event(), threading.Event()

    def handle(task: Task, context: Context) -> None:
        began.set()
        assert go.wait(5)

    function = once(handle, "task")
    first = threading.Thread(target=lambda: do(function))
    first.start()
    assert began.wait(5)
    assert do(function)["error"] == "Throttled"
    go.set()
    first.join(5)


# Batches


def batch(function: Function, *messages: Message) -> tuple[list[str], list[Any]]:
    result = function.handle(
        __import__("portafaas.runtime.message", fromlist=["Batch"]).Batch("jobs", messages),
        Context(function, "i"),
    )
    outcomes = {} if result is None else result.outcomes
    return [m.id for m in messages if m.id in outcomes], list(outcomes.values())


def test_a_batch_is_given_without_what_is_done(once: Make) -> None:
    seen: list[list[str]] = []

    @batch_handler
    def handle(batch: Any, context: Context) -> BatchResult:
        assert context.payload is None or len(context.payload) == len(batch)
        seen.append([m.id for m in batch])
        return BatchResult([m for m in batch if m.id == "b"])

    function = once(handle)
    assert deliver(function, *map(message, "abc")) == ["b"]
    assert deliver(function, *map(message, "abcd")) == ["b"]
    assert deliver(function, *map(message, "acd")) == []
    assert seen == [["a", "b", "c"], ["b", "d"]]


def test_what_is_busy_in_a_batch_comes_again_after_its_lease(once: Make) -> None:
    seen: list[list[str]] = []

    @batch_handler
    def handle(batch: Any, context: Context) -> None:
        seen.append([m.id for m in batch])

    function = once(handle)
    single = once(lambda message, context: None)
    idempotency.Single(single, message("b"), Context(single, "dead"))
    failed, outcomes = batch(function, *map(message, "abc"))
    assert failed == ["b"]
    assert outcomes == [("again", pytest.approx(25), None)]
    assert seen == [["a", "c"]]


def test_one_key_twice_in_a_batch(once: Make) -> None:
    seen: list[list[str]] = []
    fail = ["1"]

    @batch_handler
    def handle(batch: Any, context: Context) -> BatchResult:
        seen.append([m.id for m in batch])
        return BatchResult([m for m in batch if m.id in fail])

    function = once(handle, key=["k"])
    sent = [message("1", b'{"k": "x"}'), message("2", b'{"k": "x"}'),
            message("3", b'{"k": "x", "n": 1}'), message("4", b'{"k": "y"}')]  # fmt: skip
    failed, outcomes = batch(function, *sent)
    assert failed == ["1", "2", "3"]
    assert sorted(str(o[0]) for o in outcomes) == ["again", "again", "fail"]
    fail.clear()
    failed, outcomes = batch(function, *sent)
    assert (failed, seen[-1]) == (["3"], ["1"])


def test_one_message_twice_in_a_batch(once: Make) -> None:
    seen: list[int] = []

    @batch_handler
    def handle(batch: Any, context: Context) -> None:
        seen.append(len(batch))

    assert deliver(once(handle), message(), message()) == []
    assert seen == [1]


def test_a_batch_that_fails_does_not_fail_what_was_done(once: Make, capsys: Any) -> None:
    errors: list[BaseException] = []

    @batch_handler
    def handle(batch: Any, context: Context) -> Any:
        if errors:
            raise errors[0]

    function = once(handle)
    deliver(function, message("a"))
    errors.append(Permanent("bad"))
    failed, outcomes = batch(function, message("a"), message("b"))
    assert failed == ["b"]
    assert outcomes[0][0] == "fail"
    assert outcomes[0][2] is errors[0], "the only message: its error has a kind"
    _, outcomes = batch(function, message("a"), message("b"), message("c"))
    assert [o[2] for o in outcomes] == ["Permanent: bad"] * 2
    # Nothing was taken out: as without idempotency.
    with pytest.raises(Permanent):
        batch(function, message("b"), message("c"))
    capsys.readouterr()
    run_messages(function, [*map(message, "abc")], Context(function, "i"))
    records = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    # What was done has not failed; what failed counts once, though two records say so.
    assert [r.get("pf_failed_attempts") for r in records] == [None, None, 2]
    errors.clear()
    assert batch(function, *map(message, "abc")) == ([], [])


def test_a_result_that_is_none_fails_what_was_given(once: Make, tmp_path: Path) -> None:
    @batch_handler
    def handle(batch: Any, context: Context) -> Any:
        return {"failed": []}

    function = once(handle)
    assert deliver(function, message("a"), message("b")) == ["a", "b"]
    assert records(tmp_path) == []


def test_busy_holds_back_what_follows_in_order(once: Make) -> None:
    seen: list[str] = []

    @batch_handler
    def handle(batch: Any, context: Context) -> None:
        seen.extend(m.id for m in batch)

    function = once(handle, trigger={"ordered": True})
    single = once(lambda message, context: None)
    idempotency.Single(single, message("a", key="1"), Context(single, "dead"))
    sent = [message("a", key="1"), message("b", key="1"), message("c", key="2")]
    assert deliver(function, *sent) == ["a", "b"]
    assert seen == ["c"]


def test_an_async_batch_handler(once: Make) -> None:
    seen: list[int] = []

    @batch_handler
    async def handle(batch: Any, context: Context) -> None:
        seen.append(len(batch))

    function = once(handle)
    assert function.is_async
    assert deliver(function, message("a")) == []
    assert deliver(function, message("a"), message("b")) == []
    assert deliver(function, message("a"), message("b")) == []
    assert seen == [1, 1]


# HTTP


def test_an_answer_is_given_again(once: Make) -> None:
    calls: list[bytes] = []

    def handle(request: Request, context: Context) -> Response:
        calls.append(request.body)
        response = Response('{"id": 1}', 201, {"Location": "/orders/1"})
        response.set_cookie("seen", "yes")
        return response

    function = once(handle, "http")
    first, again = ask(function, body="x"), ask(function, '"k"', body="x")
    assert calls == [b"x"]
    assert (first.status, first.body) == (again.status, again.body) == (201, '{"id": 1}')
    assert first.cookies == again.cookies != []
    assert again.headers == {**first.headers, "idempotent-replayed": "true"}
    assert ask(function, "other", body="x").status == 201
    assert ask(function, None, body="x").status == 201
    assert len(calls) == 3


@pytest.mark.parametrize("result", [None, {"a": 1}, "text", b"\xff\x00", b"abc", [1]])
def test_every_kind_of_answer_is_given_again(once: Make, result: Any) -> None:
    results = [result]
    function = once(lambda request, context: results.pop(), "http")
    first, again = ask(function), ask(function)
    assert again.headers.pop("idempotent-replayed") == "true"
    assert (again.status, again.headers) == (first.status, first.headers)
    assert as_bytes(again) == as_bytes(first)


def as_bytes(response: Response) -> bytes | None:
    return response.body.encode() if isinstance(response.body, str) else response.body


def test_another_request_with_the_key_is_422(once: Make) -> None:
    function = once(lambda request, context: "x", "http")
    assert ask(function, body="x").status == 200
    assert ask(function, body="y").status == 422
    assert ask(function, body="x", query="a=1").status == 422


def test_the_same_request_meanwhile_is_409(once: Make, clock: Clock) -> None:
    inner: list[Response] = []
    made: list[Function] = []

    def handle(request: Request, context: Context) -> str:
        clock.now += 4.5
        inner.append(ask(made[0]))
        return "done"

    made.append(once(handle, "http"))
    assert ask(made[0]).status == 200
    (busy,) = inner
    assert (busy.status, busy.headers["retry-after"]) == (409, "21")


@pytest.mark.parametrize(
    "result",
    [Response("x", 503), Response("x", 429), HttpError(422, "no"), ValueError(), {"a": {1, 2}}],
)
def test_failures_are_not_kept(once: Make, tmp_path: Path, result: Any) -> None:
    results = [result]

    def handle(request: Request, context: Context) -> Any:
        found = results.pop() if results else "good"
        if isinstance(found, Exception):
            raise found
        return found

    function = once(handle, "http")
    assert ask(function).status != 200
    assert records(tmp_path) == []
    good = ask(function)
    assert (good.status, "idempotent-replayed" in good.headers) == (200, False)


def test_refusals_of_the_handler_are_kept(once: Make) -> None:
    calls: list[int] = []

    def handle(request: Request, context: Context) -> Response:
        calls.append(1)
        return Response("no such article", 404)

    function = once(handle, "http")
    assert [ask(function).status for _ in range(2)] == [404, 404]
    assert len(calls) == 1


def test_keys_of_different_callers_differ(once: Make) -> None:
    function = once(lambda request, context: request.identity.subject, "http")
    who = [Identity(name, {}, (), "key") for name in ("ann", "bob")]
    assert [ask(function, identity=one).body for one in (*who, *who)] == ["ann", "bob"] * 2


@pytest.mark.parametrize(
    ("key", "required", "status"),
    [(None, True, 400), (None, False, 200), ("", False, 400), ("\x7f", False, 400),
     ("k" * 256, False, 400), ("k" * 255, True, 200), ('""', False, 400)],
)  # fmt: skip
def test_keys_of_requests(once: Make, key: str | None, required: bool, status: int) -> None:
    function = once(lambda request, context: "x", "http", required=required)
    assert ask(function, key).status == status


def test_safe_methods_have_no_key(once: Make, tmp_path: Path) -> None:
    function = once(lambda request, context: "x", "http", required=True)
    request = Request("GET", "/", headers={"idempotency-key": "k"})
    assert run(function, request, Context(function, "i")).status == 200
    assert records(tmp_path) == []


def test_a_key_in_the_body_of_a_request(once: Make) -> None:
    calls: list[int] = []
    function = once(lambda request, context: calls.append(1), "http", key=["id"], required=True)
    assert ask(function, None, body='{"id": "7"}').status == 204
    assert ask(function, None, body='{"id": "7"}').status == 204
    assert ask(function, None, body="{}").status == 400
    assert ask(function, None, body="{").status == 400
    assert len(calls) == 1


def test_an_answer_that_is_too_long_is_not_given_again(once: Make) -> None:
    calls: list[int] = []

    def handle(request: Request, context: Context) -> str:
        calls.append(1)
        return "x" * 300_000

    function = once(handle, "http")
    assert ask(function).status == 200
    again = ask(function)
    assert again.status == 409
    assert "retry-after" not in again.headers
    assert len(calls) == 1


def test_cors_headers_are_those_of_who_asks_again(once: Make) -> None:
    cors = {"origins": ["https://a.example", "https://b.example"], "methods": ["POST"],
            "headers": ["*"], "expose": [], "credentials": False, "max_age": 1}  # fmt: skip
    function = once(lambda request, context: "x", "http", trigger={"cors": cors})
    for name in "ab":
        headers = {"idempotency-key": "k", "origin": f"https://{name}.example"}
        answer = run(function, Request("POST", "/", headers=headers), Context(function, "i"))
        assert answer.headers["access-control-allow-origin"] == f"https://{name}.example"


# A table that fails


def test_a_lost_answer_of_the_table_is_recognised(
    once: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The vendor's SDK repeats a write that was done, and finds its own row."""
    calls: list[str] = []
    function = once(lambda message, context: calls.append(message.id))
    put = Table.put

    def twice(self: Any, *args: Any, **given: Any) -> Any:
        put(self, *args, **given)
        return put(self, *args, **given)

    monkeypatch.setattr(Table, "put", twice)
    assert deliver(function, message()) == []
    monkeypatch.undo()
    assert deliver(function, message()) == []
    assert calls == ["m-1"]


def test_what_is_done_stays_done_when_it_cannot_be_recorded(
    once: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    function = once(lambda message, context: None)
    put, puts = Table.put, []

    def broken(self: Any, row: Any, *args: Any, **given: Any) -> Any:
        puts.append(row["state"])
        if row["state"] == "completed":
            raise ResourceError("throttled", retryable=True)
        return put(self, row, *args, **given)

    monkeypatch.setattr(Table, "put", broken)
    assert deliver(function, message()) == []
    assert puts == ["in-progress", "completed", "completed", "completed"]
    out = capsys.readouterr()
    assert "may be done again" in out.out + out.err


def test_without_the_table_nothing_is_done(once: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    function = once(lambda message, context: 1 / 0)

    def broken(self: Any, *args: Any, **given: Any) -> Any:
        raise ResourceError("down", retryable=True)

    monkeypatch.setattr(Table, "put", broken)
    with pytest.raises(ResourceError):
        function.handle(message(), Context(function, "i"))


def test_a_record_that_keeps_changing_is_somebody_elses(
    once: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    function = once(lambda message, context: None)

    def conflict(self: Any, *args: Any, **given: Any) -> Any:
        raise Conflict("there is one")

    monkeypatch.setattr(Table, "put", conflict)
    with pytest.raises(Throttled):
        function.handle(message(), Context(function, "i"))
