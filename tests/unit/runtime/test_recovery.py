"""What becomes of a failure: kinds, delays, verdicts, letters, and how deliveries settle them."""

from __future__ import annotations

import json
import random
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portafaas.runtime import BatchResult, Context, Event, Message, batch_handler, recovery
from portafaas.runtime.context import HandlerTimeout
from portafaas.runtime.deliver import run_event, run_messages
from portafaas.runtime.function import Function
from portafaas.runtime.recovery import Failure, Letter, delay_of, judge
from portafaas.runtime.resources import NotFound, NotGranted, ResourceError
from portafaas.runtime.taxonomy import Permanent, Poison, Retryable, Throttled, kind_of
from portafaas.runtime.text import epoch_time

POLICY: dict[str, Any] = {
    "attempts": 3, "backoff": "exponential", "initial": 2.0, "max": 60.0, "jitter": False,
    "max_age": 3600.0,
}  # fmt: skip


class Recorder:
    """A settlement that writes down what it is asked for; *copies* settle what is put off."""

    def __init__(self, copies: bool = False, broken: bool = False) -> None:
        self.copies, self.broken = copies, broken
        self.put_off: list[tuple[str, float]] = []
        self.buried: list[tuple[str, dict[str, Any]]] = []

    def again(self, items: Any) -> list[str]:
        assert items
        self.put_off += [(item.id, seconds) for item, seconds in items]
        return [item.id for item, _ in items] if self.copies else []

    def bury(self, items: Any) -> list[str]:
        assert items
        if self.broken:
            raise ResourceError("the dead letters are away", retryable=True)
        self.buried += [(item.id, json.loads(letter.text())) for item, letter in items]
        return [item.id for item, _ in items]


@pytest.fixture(autouse=True)
def _dead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTAFAAS_DEAD_F", "somewhere")


def function_of(make: Any, handle: Any, kind: str = "queue", **policy: Any) -> Function:
    trigger: dict[str, Any] = {"topic": "t"} if kind == "topic" else {"queue": "q", "batch": 5}
    function: Function = make(handle, kind, **trigger, timeout=policy.pop("timeout", 5))
    function.trigger = {**function.trigger, "ordered": policy.pop("ordered", False)}
    function.retry = {**POLICY, **policy}
    return function


def message(id: str = "1", attempt: int = 1, **more: Any) -> Message:
    return Message(id, more.pop("body", b"{}"), queue="q", attempt=attempt, **more)


def raising(error: BaseException) -> Any:
    def handle(item: Any, context: Context) -> None:
        raise error

    return handle


def test_kinds() -> None:
    assert kind_of(Permanent()) == kind_of(NotGranted("x")) == "permanent"
    assert kind_of(Poison()) == "poison"
    assert kind_of(Throttled(retry_after=3)) == "throttled"
    assert kind_of(HandlerTimeout()) == "timeout"
    for error in (ValueError(), Retryable(), SystemExit(1), NotFound("x"), ResourceError("x")):
        assert kind_of(error) == "retryable"


def test_what_cannot_be_read_is_poison() -> None:
    for read in (message(body=b"{").json, Event("1", "/s", "t", b"\xff").json):
        with pytest.raises(ValueError, match="is not") as caught:
            read()
        assert kind_of(caught.value) == "poison"


def test_delays() -> None:
    assert [delay_of(POLICY, n) for n in (1, 2, 3, 5, 6, 900)] == [2, 4, 8, 32, 60, 60]
    fixed = {**POLICY, "backoff": "fixed"}
    assert [delay_of(fixed, n) for n in (1, 7)] == [2, 2]
    assert delay_of(POLICY, 1, Throttled(retry_after=90)) == 90
    assert delay_of(POLICY, 3, Throttled(retry_after=1)) == 8


@given(attempt=st.integers(1, 2000), seed=st.integers())
def test_jitter_takes_away_half_at_most(attempt: int, seed: int) -> None:
    random.seed(seed)
    whole = delay_of(POLICY, attempt)
    assert whole / 2 <= delay_of({**POLICY, "jitter": True}, attempt) <= whole


def test_verdicts(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    function = function_of(make, None)
    new = message(time=epoch_time(time.time()))
    assert judge(function, new, ValueError(), 1) == ("again", 2)
    assert judge(function, new, ValueError(), 2) == ("again", 4)
    assert judge(function, new, ValueError(), 3) == ("attempts", 0)
    assert judge(function, new, Permanent(), 1) == ("permanent", 0)
    assert judge(function, new, Poison(), 1) == ("poison", 0)
    old = message(time=epoch_time(time.time() - 3599))
    assert judge(function, old, ValueError(), 1) == ("age", 0)
    # A copy is as old as what it is a copy of.
    copy = message(time=new.time, control={"pf-sent": old.time or ""})
    assert judge(function, copy, ValueError(), 1) == ("age", 0)
    monkeypatch.delenv("PORTAFAAS_DEAD_F")
    for error in (ValueError(), Permanent(), Poison()):
        assert judge(function, old, error, 9)[0] == "again"


@given(
    error=st.text(max_size=3000), id=st.text(min_size=1, max_size=400), name=st.text(max_size=60)
)
def test_a_letter_fits_an_attribute(error: str, id: str, name: str) -> None:
    spec = {
        "name": name, "service": "s", "kind": "queue", "handler": "x:y", "timeout": 5,
        "memory": 1, "source": "/s", "trigger": {},
    }  # fmt: skip
    context = Context(Function(spec), "i")
    context.correlation_id = "c" * 500
    failure = Failure(context, message(id), error)
    letter = Letter("attempts", failure, 3, name)
    text = letter.text()
    assert text.isascii() and text.isprintable() and len(text) <= 1024
    facts = json.loads(text)
    assert (facts["reason"], facts["attempts"], facts["function"]) == ("attempts", 3, name)
    assert error.startswith(facts["error"]) and id.startswith(facts["id"])
    if len(error) < 20 and len(id) < 20:
        assert (facts["error"], facts["id"]) == (error, id)


def deliver(function: Function, messages: list[Message], settlement: Any) -> list[str]:
    return run_messages(function, messages, Context(function, "1"), settlement)


def test_failures_are_put_off(make: Any) -> None:
    settlement = Recorder()
    function = function_of(make, raising(ValueError("no")))
    assert deliver(function, [message("1"), message("2", 2)], settlement) == ["1", "2"]
    assert settlement.put_off == [("1", 2), ("2", 4)]
    assert settlement.buried == []


def test_a_copy_settles(make: Any) -> None:
    settlement = Recorder(copies=True)
    function = function_of(make, raising(Throttled("slow down", retry_after=45)))
    assert deliver(function, [message()], settlement) == []
    assert settlement.put_off == [("1", 45)]


@pytest.mark.parametrize(
    ("error", "attempt", "reason"),
    [
        (ValueError("no"), 3, "attempts"),
        (SystemExit(4), 3, "attempts"),
        (Permanent("never"), 1, "permanent"),
        (Poison("what?"), 1, "poison"),
    ],
)
def test_dead_letters(make: Any, error: BaseException, attempt: int, reason: str) -> None:
    settlement = Recorder()
    function = function_of(make, raising(error))
    context = Context(function, "1")
    context.correlation_id = "c-1"
    assert run_messages(function, [message(attempt=attempt)], context, settlement) == []
    ((id, letter),) = settlement.buried
    assert id == letter["id"] == "1"
    assert letter["reason"] == reason
    assert letter["attempts"] == attempt
    assert letter["function"] == "f"
    assert letter["error"] == f"{type(error).__name__}: {error}"
    assert letter["trace"] == context.span.header()
    assert letter["correlation"] == "c-1"
    assert settlement.put_off == []


def test_what_cannot_be_buried_comes_again(make: Any) -> None:
    settlement = Recorder(broken=True)
    function = function_of(make, raising(Permanent()))
    assert deliver(function, [message()], settlement) == ["1"]
    assert settlement.put_off == [("1", 2)]


def test_a_settlement_that_fails_fails_the_message_only(make: Any) -> None:
    class Broken(Recorder):
        def again(self, items: Any) -> list[str]:
            raise RuntimeError("away")

    function = function_of(make, raising(ValueError()))
    assert deliver(function, [message()], Broken()) == ["1"]


def test_crashed_messages_are_given_up_unseen(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    function = function_of(make, lambda item, context: seen.append(item.id))
    settlement = Recorder()
    assert deliver(function, [message("1", 4), message("2", 3)], settlement) == []
    assert seen == ["2"]
    ((id, letter),) = settlement.buried
    assert (id, letter["reason"], letter["attempts"]) == ("1", "attempts", 3)
    # Without dead letters, or when they are away, it is tried once more.
    assert deliver(function, [message("3", 4)], Recorder(broken=True)) == []
    monkeypatch.delenv("PORTAFAAS_DEAD_F")
    assert deliver(function, [message("4", 4)], Recorder()) == []
    assert seen == ["2", "3", "4"]


def test_expired_messages_are_seen_by_nobody(make: Any) -> None:
    seen: list[str] = []
    function = function_of(make, lambda item, context: seen.append(item.id))
    gone = {"pf-expires": str(int(time.time()))}
    fresh = {"pf-expires": str(int(time.time()) + 60), "pf-id": "mine"}
    assert deliver(function, [message(control=gone), message("x", control=fresh)], None) == []
    assert seen == ["mine"]


def test_what_a_batch_handler_says(make: Any) -> None:
    @batch_handler
    def handle(batch: Any, context: Context) -> BatchResult:
        result = BatchResult(["1"])
        result.retry("2", after=300)
        result.dead_letter("3", "no such customer")
        result.retry("4")
        result.drop("4")
        return result

    settlement = Recorder()
    function = function_of(make, handle)
    batch = [message(str(n)) for n in range(1, 7)]
    assert deliver(function, batch, settlement) == ["1", "2"]
    assert settlement.put_off == [("1", 2), ("2", 300)]
    ((id, letter),) = settlement.buried
    assert (id, letter["reason"], letter["error"]) == ("3", "handler", "no such customer")


def test_of_a_broken_batch_nobody_knows_which_is_permanent(make: Any) -> None:
    @batch_handler
    def handle(batch: Any, context: Context) -> None:
        raise Permanent("one of you")

    settlement = Recorder()
    function = function_of(make, handle)
    assert deliver(function, [message("1"), message("2", 3)], settlement) == ["1"]
    assert [id for id, _ in settlement.buried] == ["2"]
    assert deliver(function, [message("7")], settlement) == []
    assert [id for id, _ in settlement.buried] == ["2", "7"]


def test_a_dead_letter_does_not_hold_back_its_key(make: Any) -> None:
    seen: list[str] = []

    def handle(item: Message, context: Context) -> None:
        seen.append(item.id)
        if item.body:
            raise ValueError

    settlement = Recorder()
    function = function_of(make, handle, ordered=True)
    batch = [
        message("1", 3, key="a", body=b"x"), message("2", key="a", body=b""),
        message("3", key="b", body=b"x"), message("4", key="b", body=b""),
        message("5", key="a", body=b""),
    ]  # fmt: skip
    assert deliver(function, batch, settlement) == ["3", "4"]
    assert seen == ["1", "2", "3", "5"]
    assert [id for id, _ in settlement.buried] == ["1"]
    assert settlement.put_off == [("3", 2)]


def event(attempt: int = 1, **more: Any) -> Event:
    return Event("e", "/s", "t", {}, attempt=attempt, **more)


def test_counted_events_are_settled_once(make: Any) -> None:
    calls: list[int] = []

    def handle(item: Event, context: Context) -> None:
        calls.append(item.attempt)
        raise ValueError("no")

    function = function_of(make, handle, "topic")
    settlement = Recorder()
    with pytest.raises(ValueError, match="no"):
        run_event(function, event(), Context(function, "1"), settlement)
    assert (calls, settlement.put_off) == ([1], [("e", 2)])
    run_event(function, event(), Context(function, "1"), Recorder(copies=True))
    run_event(function, event(3), Context(function, "1"), settlement)
    assert [id for id, _ in settlement.buried] == ["e"]
    assert calls == [1, 1, 3]


def test_uncounted_events_are_tried_within_the_invocation(make: Any) -> None:
    calls: list[tuple[int, int, str]] = []

    def handle(item: Event, context: Context) -> None:
        calls.append((item.attempt, context.attempt, context.span_id))
        if item.attempt < 3:
            raise ValueError("no")

    function = function_of(make, handle, "topic", initial=0.01, max=0.02)
    run_event(function, event(), Context(function, "1"), Recorder(), counted=False)
    assert [call[:2] for call in calls] == [(1, 1), (2, 2), (3, 3)]
    assert len({span for _, _, span in calls}) == 3


def test_uncounted_events_are_buried_after_their_attempts(make: Any) -> None:
    function = function_of(make, raising(ValueError("no")), "topic", initial=0.01, max=0.02)
    settlement = Recorder()
    run_event(function, event(), Context(function, "1"), settlement, counted=False)
    ((id, letter),) = settlement.buried
    assert (id, letter["reason"], letter["attempts"]) == ("e", "attempts", 3)
    assert settlement.put_off == []


def test_without_time_the_platform_delivers_again(make: Any) -> None:
    function = function_of(make, raising(ValueError("no")), "topic", initial=10)
    settlement = Recorder()
    begun = time.monotonic()
    with pytest.raises(ValueError, match="no"):
        run_event(function, event(), Context(function, "1"), settlement, counted=False)
    assert time.monotonic() - begun < 5
    assert not settlement.buried and not settlement.put_off


def test_copies_for_others_are_not_for_us(make: Any) -> None:
    seen: list[str] = []
    function = function_of(make, lambda item, context: seen.append(item.id), "topic")
    for control in ({"pf-to": "g"}, {"pf-expires": "1"}):
        run_event(function, event(control=control), Context(function, "1"))
    assert seen == []
    run_event(function, event(control={"pf-to": "f", "pf-attempt": "2"}), Context(function, "1"))
    assert seen == ["e"]
    assert event(control={"pf-attempt": "2"}).attempt == 3
    assert message(control={"pf-attempt": "4"}).attempt == 5
    assert message(control={"pf-attempt": "nonsense"}).attempt == 1


def test_no_settlement_changes_nothing(make: Any) -> None:
    function = function_of(make, raising(Permanent()))
    assert deliver(function, [message(attempt=9)], None) == ["1"]
    assert recovery.address("SOURCE", function) == ""
