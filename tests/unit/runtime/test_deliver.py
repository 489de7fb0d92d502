"""What happens around an event or queue handler."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from portafaas.runtime.context import Context
from portafaas.runtime.deliver import (
    DeliveryFailed,
    failures,
    held_back,
    run_event,
    run_messages,
    wanted,
)
from portafaas.runtime.event import Event, ObjectEvent
from portafaas.runtime.handler import batch_handler
from portafaas.runtime.message import Batch, BatchResult, Message


def logged(capsys: Any) -> list[str]:
    return [json.loads(line)["message"] for line in capsys.readouterr().err.splitlines()]


def counted(capsys: Any) -> list[tuple[str, Any]]:
    """Return severity and failed attempts of each record."""
    records = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    return [(record["severity"], record.get("pf_failed_attempts")) for record in records]


EVENT = Event("1", "/s", "t")


# --- events


def test_a_returned_value_is_ignored(make: Any) -> None:
    seen: list[Any] = []

    def handle(event: Event, context: Context) -> bool:
        seen.append((event, context.invocation_id))
        return False

    function = make(handle, "topic")
    assert run_event(function, EVENT, Context(function, "7")) is None  # type: ignore[func-returns-value]
    assert seen == [(EVENT, "7")]


def test_the_handlers_own_error_is_raised(make: Any, capsys: Any) -> None:
    error = ValueError("boom")

    def handle(event: Event, context: Context) -> None:
        raise error

    function = make(handle, "topic")
    with pytest.raises(ValueError, match="boom") as caught:
        run_event(function, EVENT, Context(function, "1"))
    assert caught.value is error
    assert logged(capsys) == ["handler failed: ValueError('boom')"]


def test_an_exit_fails_the_delivery_only(make: Any, capsys: Any) -> None:
    def handle(event: Event, context: Context) -> None:
        raise SystemExit(3)

    function = make(handle, "topic")
    with pytest.raises(DeliveryFailed, match="SystemExit") as caught:
        run_event(function, EVENT, Context(function, "1"))
    assert isinstance(caught.value.__cause__, SystemExit)
    assert len(logged(capsys)) == 1


def test_a_timeout_fails_the_delivery(make: Any, capsys: Any) -> None:
    function = make(lambda event, context: time.sleep(3), "topic", timeout=0.05)
    with pytest.raises(DeliveryFailed, match=r"0\.05 s"):
        run_event(function, EVENT, Context(function, "1"))
    assert logged(capsys) == ["handler exceeded its timeout of 0.05 s"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, GeneratorExit, SystemExit])
def test_what_is_no_exception_fails_the_delivery(make: Any, error: type[BaseException]) -> None:
    def handle(event: Event, context: Context) -> None:
        raise error

    function = make(handle, "topic")
    with pytest.raises(DeliveryFailed):
        run_event(function, EVENT, Context(function, "1"))


def test_what_the_filter_stops_does_not_reach_the_handler(make: Any) -> None:
    seen: list[str] = []
    function = make(
        lambda event, context: seen.append(event.type), "topic", filter={"type": ["b"]}
    )
    for kind in ("a", "b", "c"):
        run_event(function, Event("1", "/s", kind), Context(function, "1"))
    assert seen == ["b"]


@pytest.mark.parametrize(
    ("trigger", "passes"),
    [
        ({"on": ["created"]}, True),
        ({"on": ["created", "deleted"], "prefix": "in/", "suffix": ".csv"}, True),
        ({"on": ["deleted"]}, False),
        ({"on": ["created"], "prefix": "n/"}, False),
        ({"on": ["created"], "suffix": ".CSV"}, False),
    ],
)
def test_object_triggers(make: Any, trigger: dict[str, Any], passes: bool) -> None:
    event = ObjectEvent("1", "/s", bucket="b", key="in/a.csv", kind="created")
    assert wanted(make(None, "object", **trigger), event) is passes


def test_other_triggers_have_no_filter(make: Any) -> None:
    assert wanted(make(None, "topic", filter={}), EVENT)
    assert wanted(make(None, "table"), EVENT)
    assert wanted(make(None, "schedule"), EVENT)


# --- messages


def messages(*keys: str | None) -> list[Message]:
    return [
        Message(str(number), b"", key=key, queue="q", attempt=number + 1)
        for number, key in enumerate(keys)
    ]


def deliver(make: Any, handle: Any, batch: list[Message], **trigger: Any) -> list[str]:
    function = make(handle, "queue", **{"queue": "q", "batch": 10, "ordered": False} | trigger)
    return run_messages(function, batch, Context(function, "1"))


def failing(*ids: str, seen: list[str]) -> Any:
    def handle(message: Message, context: Context) -> None:
        assert context.attempt == message.attempt
        seen.append(message.id)
        if message.id in ids:
            raise ValueError(message.id)

    return handle


def test_one_failure_does_not_stop_the_others(make: Any, capsys: Any) -> None:
    seen: list[str] = []
    batch = messages("a", "a", "b", None)
    assert deliver(make, failing("0", "2", seen=seen), batch) == ["0", "2"]
    assert seen == ["0", "1", "2", "3"]
    assert len(logged(capsys)) == 2


def test_in_an_ordered_queue_a_failure_holds_its_key_back(make: Any) -> None:
    seen: list[str] = []
    batch = messages("a", "b", "a", "b", "a")
    failed = deliver(make, failing("0", seen=seen), batch, ordered=True)
    assert failed == ["0", "2", "4"]
    assert seen == ["0", "1", "3"]


def test_messages_share_the_functions_time(make: Any, capsys: Any) -> None:
    seen: list[str] = []

    def handle(message: Message, context: Context) -> None:
        seen.append(message.id)
        if message.id == "1":
            time.sleep(3)

    started = time.monotonic()
    function = make(handle, "queue", queue="q", timeout=0.2)
    assert run_messages(function, messages(None, None, None), Context(function, "1")) == ["1", "2"]
    assert time.monotonic() - started < 2
    assert seen == ["0", "1"]
    assert logged(capsys) == ["handler exceeded its timeout of 0.2 s"] * 2


def test_an_exit_fails_one_message(make: Any) -> None:
    def handle(message: Message, context: Context) -> None:
        if message.id == "0":
            raise SystemExit

    assert deliver(make, handle, messages(None, None)) == ["0"]


def test_an_interrupt_fails_its_message_only(make: Any) -> None:
    def handle(message: Message, context: Context) -> None:
        if message.id == "0":
            raise KeyboardInterrupt

    assert deliver(make, handle, messages(None, None)) == ["0"]


# --- batches


def test_a_batch_handler_gets_all_at_once(make: Any) -> None:
    @batch_handler
    def handle(batch: Batch, context: Context) -> None:
        assert (batch.queue, [message.id for message in batch]) == ("q", ["0", "1", "2"])
        assert context.attempt == 3

    assert deliver(make, handle, messages(None, None, None)) == []


@pytest.mark.parametrize(
    ("ordered", "expected"), [(False, ["0", "2"]), (True, ["0", "2", "3", "4"])]
)
def test_a_batch_result_names_what_failed(
    make: Any, capsys: Any, ordered: bool, expected: list[str]
) -> None:
    @batch_handler
    def handle(batch: Batch, context: Context) -> BatchResult:
        return BatchResult(["2", "0"])

    batch = messages("a", "b", "c", "c", "a")
    assert deliver(make, handle, batch, ordered=ordered) == expected
    assert logged(capsys) == ["2 of 5 messages failed"]


@pytest.mark.parametrize("level", ["info", "error"])
def test_attempts_that_failed_are_counted_whatever_is_logged(
    make: Any, capsys: Any, monkeypatch: pytest.MonkeyPatch, level: str
) -> None:
    """Each message by itself, in one record, at a severity that every level lets pass (O-18)."""
    import logging

    monkeypatch.setenv("PORTAFAAS_LOG_LEVEL", level)
    monkeypatch.setattr(logging.getLogger("portafaas"), "level", logging.NOTSET)

    def handle(item: Any, context: Context) -> None:
        raise ValueError(item.id)

    @batch_handler
    def some(batch: Batch, context: Context) -> BatchResult:
        result = BatchResult(["2"])
        result.dead_letter(next(iter(batch)), "no")
        return result

    @batch_handler
    def none(batch: Batch, context: Context) -> None:
        raise ValueError

    with pytest.raises(ValueError, match="1"):
        run_event(make(handle, "topic"), EVENT, Context(make(handle, "topic"), "1"))
    assert counted(capsys) == [("ERROR", 1)]
    for handler, ordered, expected in (
        (handle, False, [1, 1, 1]),
        # The third is behind the first.
        (handle, True, [1, 1]),
        (some, False, [2]),
        (none, False, [3]),
    ):
        deliver(make, handler, messages("a", "b", "a"), ordered=ordered)
        assert counted(capsys) == [("ERROR", number) for number in expected]


@pytest.mark.parametrize("result", [BatchResult(["9"]), ["0"], True, {"batchItemFailures": []}])
def test_a_result_that_means_nothing_fails_the_batch(
    make: Any, capsys: Any, result: Any
) -> None:
    @batch_handler
    def handle(batch: Batch, context: Context) -> Any:
        return result

    assert deliver(make, handle, messages(None, None)) == ["0", "1"]
    assert len(logged(capsys)) == 1


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(1)])
def test_an_error_fails_the_batch(make: Any, error: BaseException) -> None:
    @batch_handler
    def handle(batch: Batch, context: Context) -> None:
        raise error

    assert deliver(make, handle, messages(None, None)) == ["0", "1"]


def test_failures(make: Any) -> None:
    batch = messages(None, None, None)
    context = Context(make(lambda *_: None), "1")

    def told(result: Any) -> list[tuple[Any, ...]]:
        return [
            (found.item.id, found.wish, found.after, found.error)
            for found in failures(result, batch, context)
        ]

    assert told(None) == told(BatchResult()) == []
    assert told(BatchResult([batch[1]])) == [("1", "again", None, None)]
    result = BatchResult(["2"])
    result.retry(batch[0], after=30)
    result.dead_letter("2", "no such customer")
    result.dead_letter("1")
    result.drop("1")
    assert told(result) == [("0", "again", 30, None), ("2", "dead", None, "no such customer")]
    with pytest.raises(TypeError, match="must return BatchResult or None, not 'list'"):
        failures([], batch, context)
    with pytest.raises(ValueError, match="'9'"):
        failures(BatchResult(["9"]), batch, context)
    for after in (-1, 43_201):
        with pytest.raises(ValueError, match="is not between"):
            result.retry("0", after=after)


def test_held_back() -> None:
    batch = messages("a", "b", "a", None, "b", None)
    assert held_back(batch, []) == []
    assert held_back(batch, ["2"]) == ["2"]
    assert held_back(batch, ["1"]) == ["1", "4"]
    assert held_back(batch, ["3"]) == ["3", "5"]
