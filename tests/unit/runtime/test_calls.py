"""Calls of what is outside: the breaker, time limits, repeats, by a clock that is moved by hand."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from portafaas.runtime import (
    CircuitBreaker,
    CircuitOpen,
    Permanent,
    Retryable,
    Throttled,
    retrying,
    retrying_async,
    timeout_for,
)
from portafaas.runtime.context import Context, HandlerTimeout
from portafaas.runtime.taxonomy import kind_of


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr("time.monotonic", found)
    monkeypatch.setattr("portafaas.runtime.context.time", found)
    monkeypatch.setattr("time.sleep", found.sleep)
    return found


class Counts:
    """What a breaker tells."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []

    def count(self, name: str, value: float, **attributes: Any) -> None:
        self.told.append((name, attributes["circuit"]))


@pytest.fixture
def quiet(context: Context, clock: Clock) -> Context:
    context.deadline = clock.now + 60
    context.metrics = Counts()  # type: ignore[assignment]
    return context


async def pause(seconds: float) -> None:
    """Stand in for asyncio.sleep: the loop's clock does not move."""


def fail(breaker: CircuitBreaker, context: Context, error: BaseException | None = None) -> None:
    error = error or ConnectionError("down")
    with pytest.raises(type(error)), breaker.guard(context):
        raise error


def test_it_opens_waits_and_tries(quiet: Context, clock: Clock) -> None:
    breaker = CircuitBreaker("bank", failures=3, window=30, open_for=20)
    for _ in range(3):
        assert breaker.state == "closed"
        fail(breaker, quiet)
    assert breaker.state == "open"
    clock.now += 5
    with pytest.raises(CircuitOpen) as caught, breaker.guard(quiet):
        pytest.fail("nothing is let through")
    assert caught.value.retry_after == 15
    assert isinstance(caught.value, Throttled) and kind_of(caught.value) == "throttled"
    clock.now += 15
    assert breaker.state == "half-open"
    fail(breaker, quiet)
    assert breaker.state == "open"
    clock.now += 20
    with breaker.guard(quiet):
        # One shows; the others wait.
        with pytest.raises(CircuitOpen), breaker.guard(quiet):
            pytest.fail("one at a time")
    assert breaker.state == "closed"
    told: Any = quiet.metrics
    assert told.told == [("circuit_opened", "bank"), ("circuit_opened", "bank"),
                         ("circuit_closed", "bank")]  # fmt: skip
    # The old failures are forgotten.
    fail(breaker, quiet)
    assert breaker.state == "closed"


def test_only_failures_within_the_window_count(quiet: Context, clock: Clock) -> None:
    breaker = CircuitBreaker("bank", failures=2, window=10)
    fail(breaker, quiet)
    clock.now += 10
    fail(breaker, quiet)
    with breaker.guard(quiet):
        pass
    assert breaker.state == "closed"
    clock.now += 9
    fail(breaker, quiet)
    assert breaker.state == "open"


def test_what_counts(quiet: Context) -> None:
    breaker = CircuitBreaker("bank", failures=1, answers=(KeyError,))
    other = CircuitOpen("another breaker's", retry_after=1)
    for error in (Permanent("refused"), KeyError("no such"), other, KeyboardInterrupt()):
        fail(breaker, quiet, error)
        assert breaker.state == "closed", error
    for failure in (ValueError(), Throttled(retry_after=3), HandlerTimeout()):
        breaker = CircuitBreaker("bank", failures=1)
        fail(breaker, quiet, failure)
        assert breaker.state == "open", failure


def test_a_trial_that_is_cancelled_shows_nothing(quiet: Context, clock: Clock) -> None:
    breaker = CircuitBreaker("bank", failures=1, open_for=10)
    fail(breaker, quiet)
    clock.now += 10
    fail(breaker, quiet, asyncio.CancelledError())
    assert breaker.state == "half-open"
    breaker.guard(quiet).__enter__()  # and never left
    with pytest.raises(CircuitOpen):
        breaker.guard(quiet).__enter__()
    clock.now += 10
    with breaker.guard(quiet):
        pass
    assert breaker.state == "closed"


def test_threads_open_it_once_and_try_once(quiet: Context, clock: Clock) -> None:
    breaker = CircuitBreaker("bank", failures=8, open_for=10)
    barrier, through = threading.Barrier(8), []

    def work() -> None:
        barrier.wait()
        fail(breaker, quiet)
        barrier.wait()
        if breaker.state == "open":
            clock.now = 2000.0
        barrier.wait()
        try:
            with breaker.guard(quiet):
                through.append(1)
                barrier.wait()
        except CircuitOpen:
            barrier.wait()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(through) == 1
    told: Any = quiet.metrics
    assert [name for name, _ in told.told] == ["circuit_opened", "circuit_closed"]


def test_async_with(quiet: Context) -> None:
    breaker = CircuitBreaker("bank", failures=1)

    async def work() -> None:
        async with breaker.guard(quiet):
            await asyncio.sleep(0)
        with pytest.raises(OSError):
            async with breaker.guard(quiet):
                raise OSError
        with pytest.raises(CircuitOpen):
            async with breaker.guard(quiet):
                pytest.fail("open")

    asyncio.run(work())


@pytest.mark.parametrize("wrong", [{"failures": 0}, {"window": 0}, {"open_for": -1}])
def test_settings_that_cannot_be(wrong: Any) -> None:
    with pytest.raises(ValueError):
        CircuitBreaker("bank", **wrong)


def test_the_time_for_a_call(quiet: Context, clock: Clock) -> None:
    assert timeout_for(quiet, 5) == 5
    assert timeout_for(quiet, 100) == 59.5
    clock.now += 58
    assert timeout_for(quiet, 5, margin=1) == 1
    clock.now += 1.6
    with pytest.raises(Retryable):
        timeout_for(quiet, 5)


def test_repeats(quiet: Context, clock: Clock) -> None:
    errors: list[Exception] = [OSError(), Throttled(retry_after=7), OSError()]

    def call() -> str:
        if errors:
            raise errors.pop(0)
        return "done"

    assert retrying(call, quiet, attempts=4) == "done"
    assert 0.1 <= clock.slept[0] <= 0.2
    assert clock.slept[1] == 7
    assert 0.4 <= clock.slept[2] <= 0.8


@pytest.mark.parametrize(
    ("error", "calls"), [(OSError(), 3), (Permanent(), 1), (CircuitOpen(retry_after=1), 1)]
)
def test_what_is_not_repeated(
    quiet: Context, monkeypatch: pytest.MonkeyPatch, error: Exception, calls: int
) -> None:
    made = []

    def call() -> None:
        made.append(1)
        raise error

    with pytest.raises(type(error)):
        retrying(call, quiet)
    assert len(made) == calls

    monkeypatch.setattr("asyncio.sleep", pause)

    async def call_async() -> None:
        call()

    with pytest.raises(type(error)):
        asyncio.run(retrying_async(call_async, quiet))
    assert len(made) == 2 * calls


def test_no_repeat_beyond_the_deadline(quiet: Context, clock: Clock) -> None:
    def call() -> None:
        clock.now += 59
        raise OSError

    with pytest.raises(OSError):
        retrying(call, quiet, initial=2)
    assert clock.slept == []


def test_what_is_awaited_is_repeated(quiet: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asyncio.sleep", pause)
    errors = [OSError()]

    async def call() -> str:
        if errors:
            raise errors.pop()
        return "done"

    assert asyncio.run(retrying_async(call, quiet, initial=0.001)) == "done"
