"""Failures of which nothing is as it should be: none may be lost, or hide another, for that."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portafaas.runtime import BatchResult, Context, Message, batch_handler
from portafaas.runtime.control import expired
from portafaas.runtime.deliver import run_messages
from portafaas.runtime.function import Function
from portafaas.runtime.idempotency import once
from portafaas.runtime.recovery import Failure, Letter, delay_of, described
from portafaas.runtime.taxonomy import Permanent, Throttled
from portafaas.runtime.text import epoch_time

POLICY: dict[str, Any] = {
    "attempts": 3, "backoff": "fixed", "initial": 2.0, "max": 60.0, "jitter": False,
    "max_age": 3600.0,
}  # fmt: skip


class Recorder:
    def __init__(self) -> None:
        self.put_off: list[tuple[Any, float]] = []
        self.buried: list[tuple[Any, dict[str, Any]]] = []

    def again(self, items: Any) -> list[str]:
        self.put_off += items
        return []

    def bury(self, items: Any) -> list[str]:
        self.buried += [(item, json.loads(letter.text())) for item, letter in items]
        return [item.id for item, _ in items]


@pytest.fixture(autouse=True)
def _dead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTAFAAS_DEAD_F", "somewhere")


def function_of(make: Any, handle: Any) -> Function:
    function: Function = make(handle, "queue", queue="q", batch=5)
    function.trigger = {**function.trigger, "ordered": False}
    function.retry = POLICY
    return function


def deliver(function: Function, *messages: Message) -> tuple[list[str], Recorder]:
    recorder = Recorder()
    context = Context(function, "i", target="aws")
    return run_messages(function, messages, context, recorder), recorder


@pytest.mark.parametrize("value", [None, "soon", object()])
def test_retry_after_of_anothers_error_is_not_ours(make: Any, value: object) -> None:
    class RateLimited(Exception):
        retry_after = value

    def handle(message: Message, context: Context) -> None:
        raise RateLimited

    failed, told = deliver(function_of(make, handle), Message("1", b""))
    assert failed == ["1"] and [seconds for _, seconds in told.put_off] == [2.0]


def test_nobody_asks_for_patience_for_ever() -> None:
    assert Throttled(retry_after=float("inf")).retry_after == 1_209_600
    assert Throttled(retry_after=float("nan")).retry_after == 0
    assert delay_of(POLICY, 1, Throttled(retry_after=float("inf"))) == 1_209_600


def test_an_error_without_a_text_is_an_error(make: Any) -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

        __repr__ = __str__

    class Ended(BaseException):
        __repr__ = __str__ = Mute.__str__

    class Leaving(Exception):
        def __str__(self) -> str:
            raise SystemExit(3)

        __repr__ = __str__

    for error in (Mute(), Ended(), Leaving()):

        def handle(message: Message, context: Context, error: BaseException = error) -> None:
            raise error

        failed, told = deliver(function_of(make, handle), Message("1", b"", attempt=3))
        assert failed == []
        assert told.buried[0][1]["error"] == type(error).__name__


def test_what_the_handler_did_to_its_context_changes_nothing(make: Any) -> None:
    def handle(message: Any, context: Any) -> None:
        context.logger = context.span = context.correlation_id = None
        message.id = message.control = None
        message.attributes.clear()
        raise Permanent("no")

    failed, told = deliver(function_of(make, handle), Message("1", b""))
    assert failed == [] and told.buried[0][1]["reason"] == "permanent"


def test_a_huge_error_is_cut() -> None:
    began = time.monotonic()
    assert len(described(ValueError("x" * 50_000_000))) < 11_000
    assert time.monotonic() - began < 5


@given(
    id=st.text(max_size=1024),
    error=st.one_of(st.none(), st.text(max_size=3000), st.just("\U0001f600" * 2000)),
    correlation=st.text(max_size=400),
)
def test_a_letter_fits_into_an_attribute(id: str, error: str | None, correlation: str) -> None:
    failure: Any = Failure.__new__(Failure)
    failure.item, failure.error = Message(id, b""), error
    failure.wish, failure.after = "fail", None
    failure.trace, failure.correlation = "00-" + "a" * 32 + "-" + "b" * 16 + "-01", correlation
    text = Letter("permanent", failure, 12_345, "f" * 40).text()
    assert len(text) <= 1000 and text.isascii()
    found = json.loads(text)
    assert found["reason"] == "permanent" and found["attempts"] == 12_345
    assert id.startswith(found["id"]) and (error or "").startswith(found["error"])


def test_the_long_name_of_an_object_leaves_room_for_the_error() -> None:
    failure: Any = Failure.__new__(Failure)
    failure.item, failure.error = Message("写真" * 200 + "@1", b""), "ValueError: no picture"
    failure.wish, failure.after, failure.trace, failure.correlation = "fail", None, "", ""
    text = Letter("permanent", failure, 1, "f").text()
    assert len(text) <= 1000


def test_two_deliveries_of_one_message_have_fates_of_their_own(make: Any) -> None:
    # An outbox sends twice what it is not sure of.
    def handle(message: Message, context: Context) -> None:
        raise ValueError("no")

    old, new = Message("1", b"", attempt=3, raw="old"), Message("1", b"", raw="new")
    failed, told = deliver(function_of(make, handle), old, new)
    assert [item.raw for item, _ in told.buried] == ["old"]
    assert [item.raw for item, _ in told.put_off] == ["new"]
    assert failed, "the other one was reported as done"


def test_a_batch_result_may_not_put_off_beyond_max_age(make: Any) -> None:
    @batch_handler
    def handle(batch: Any, context: Context) -> BatchResult:
        result = BatchResult()
        result.retry("1", after=3600)
        result.retry("2", after=600)
        return result

    sent = epoch_time(time.time() - 1000)
    messages = [Message(id_, b"", time=sent) for id_ in "12"]
    failed, told = deliver(function_of(make, handle), *messages)
    assert failed == ["2"] and told.buried[0][1]["reason"] == "age"


def test_the_last_word_on_a_message_counts() -> None:
    result = BatchResult(["1", "1"])
    result.dead_letter("1", "no")
    result.retry("1", after=5)
    assert result.outcomes == {"1": ("again", 5, None)}
    result.drop("1")
    assert result.failed == ()


def test_who_consumes_dead_letters_gets_those_that_expired(make: Any) -> None:
    past = str(int(time.time()) - 10)
    assert expired({"pf-expires": past})
    assert not expired({"pf-expires": past, "pf-dead": "{}"})
    seen: list[str] = []
    function = function_of(make, lambda message, context: seen.append(message.id))
    dead = Message("1", b"", control={"pf-expires": past, "pf-dead": "{}"})
    late = Message("2", b"", control={"pf-expires": past})
    assert deliver(function, dead, late)[0] == []
    assert seen == ["1"]


def test_what_idempotency_refuses_in_a_batch_has_the_letter_it_has_alone(
    make: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    @batch_handler
    def handle(batch: Any, context: Context) -> None:
        pass

    function = function_of(make, handle)
    function.idempotency = {"table": "done", "expires": 60, "key": ["k"], "required": True}
    table = {"verbs": ["read", "write"], "key": "id", "sort": "", "ttl": "expires",
             "address": str(tmp_path / "table" / "done")}  # fmt: skip
    function.uses = {"table": {"done": table}}
    function.is_async = False
    function.handle = once(handle, function)
    monkeypatch.setenv("PORTAFAAS_RESOURCES", "portafaas.local.resources")
    failed, told = deliver(
        function, Message("1", b"{}"), Message("2", b'{"k": 1}'), Message("3", b'{"k": 1, "n": 2}')
    )
    assert failed == []
    assert {item.id: letter["reason"] for item, letter in told.buried} == {
        "1": "poison", "3": "permanent",
    }  # fmt: skip
