"""Timeouts, on the main thread (signal) and on others (worker thread)."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from portafaas.runtime import deadline
from portafaas.runtime.context import Context, HandlerTimeout


def in_thread(work: Callable[[], Any]) -> Any:
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append((True, work()))
        except BaseException as exc:
            outcome.append((False, exc))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(20)
    good, value = outcome[0]
    if not good:
        raise value
    return value


@pytest.fixture(params=["main", "thread"])
def call(request: Any, context: Context) -> Callable[..., Any]:
    """Return ``call(handle, payload, seconds)`` on the main thread or another one."""

    def on_main(handle: Any, payload: Any = None, seconds: float = 5) -> Any:
        return deadline.call(handle, payload, context, seconds)

    if request.param == "main":
        return on_main
    return lambda *args, **kwargs: in_thread(lambda: on_main(*args, **kwargs))


def test_the_result_comes_back(call: Any, context: Context) -> None:
    assert call(lambda payload, ctx: (payload, ctx is context), 7) == (7, True)

    async def handle(payload: Any, ctx: Any) -> Any:
        await asyncio.sleep(0)
        return payload, ctx is context

    assert call(handle, 7) == (7, True)


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(1), TimeoutError("own")])
def test_the_handlers_error_comes_back(call: Any, error: BaseException) -> None:
    def handle(payload: Any, ctx: Any) -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        call(handle)
    assert caught.value is error


@pytest.mark.parametrize("error", [ValueError("x"), TimeoutError("own")])
def test_an_async_handlers_error_comes_back(call: Any, error: BaseException) -> None:
    """A TimeoutError of a client is the handler's, not the deadline."""

    async def handle(payload: Any, ctx: Any) -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        call(handle)
    # asyncio may hand out a copy of a TimeoutError.
    assert (type(caught.value), caught.value.args) == (type(error), error.args)


def test_a_blocking_handler_is_ended(call: Any) -> None:
    started = time.monotonic()
    with pytest.raises(HandlerTimeout):
        call(lambda payload, ctx: time.sleep(3), seconds=0.1)
    assert time.monotonic() - started < 2


def test_a_busy_handler_sees_the_exception(call: Any) -> None:
    seen = threading.Event()

    def handle(payload: Any, ctx: Any) -> None:
        try:
            while True:
                try:
                    sum(range(100))
                except Exception:  # not what ends it
                    pass
        except HandlerTimeout:
            seen.set()
            raise

    with pytest.raises(HandlerTimeout):
        call(handle, seconds=0.1)
    assert seen.wait(5)


def test_an_import_is_not_left_halfway(call: Any, tmp_path: Path, monkeypatch: Any) -> None:
    """Python keeps the parts of a package that were complete, and never imports it well again."""
    package = tmp_path / "halfway_package"
    package.mkdir()
    (package / "__init__.py").write_text("from halfway_package import early, late\n")
    (package / "early.py").write_text("import halfway_package.late\n")
    (package / "late.py").write_text(
        "import time\nfor _ in range(60): time.sleep(0.01)\nDONE = True\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    after: list[str] = []

    def handle(payload: Any, ctx: Any) -> None:
        import halfway_package.late  # type: ignore[import-not-found]

        assert halfway_package.late.DONE
        while True:
            time.sleep(0.001)
            after.append("on")

    try:
        with pytest.raises(HandlerTimeout):
            call(handle, seconds=0.2)
        # All of it is there when the caller has its answer, and the handler was stopped behind it.
        assert sys.modules["halfway_package.late"].DONE
        stopped = len(after)
        time.sleep(0.1)
        assert len(after) - stopped < 20
    finally:
        for name in [name for name in sys.modules if name.startswith("halfway_package")]:
            del sys.modules[name]


def test_what_has_to_be_whole_is_let_finish(call: Any) -> None:
    @deadline.whole
    def record() -> str:
        for _ in range(30):
            time.sleep(0.01)
        return "recorded"

    assert call(lambda payload, ctx: record(), seconds=0.1) == "recorded"


def test_and_is_not_waited_for_without_end(call: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(deadline, "GRACE", 0.3)

    @deadline.whole
    def record() -> None:
        for _ in range(500):
            time.sleep(0.01)

    started = time.monotonic()
    with pytest.raises(HandlerTimeout):
        call(lambda payload, ctx: record(), seconds=0.1)
    assert 0.3 < time.monotonic() - started < 3


def test_a_waiting_coroutine_is_cancelled(call: Any) -> None:
    seen = threading.Event()

    async def handle(payload: Any, ctx: Any) -> None:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            seen.set()
            raise

    started = time.monotonic()
    with pytest.raises(HandlerTimeout):
        call(handle, seconds=0.1)
    assert time.monotonic() - started < 2
    assert seen.wait(5)


def test_a_deadline_does_not_hit_the_next_call(call: Any) -> None:
    for _ in range(5):
        with pytest.raises(HandlerTimeout):
            call(lambda payload, ctx: time.sleep(1), seconds=0.01)
        assert call(lambda payload, ctx: sum(range(1000)), seconds=5) == 499_500


def test_an_alarm_between_calls_does_nothing(context: Context) -> None:
    deadline.call(lambda payload, ctx: None, None, context, 0.05)
    # The timer of that call goes off here.
    time.sleep(0.15)
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


def test_the_timer_of_an_earlier_call_does_not_cut_a_later_one(context: Context) -> None:
    deadline.call(lambda payload, ctx: None, None, context, 0.3)
    time.sleep(0.2)

    def sleep(payload: Any, ctx: Any) -> str:
        time.sleep(0.2)
        return "done"

    assert deadline.call(sleep, None, context, 0.3) == "done"


def test_a_later_call_ends_at_its_own_deadline(context: Context) -> None:
    deadline.call(lambda payload, ctx: None, None, context, 0.2)
    time.sleep(0.1)
    started = time.monotonic()
    with pytest.raises(HandlerTimeout):
        deadline.call(lambda payload, ctx: time.sleep(5), None, context, 0.2)
    assert 0.19 < time.monotonic() - started < 2


def test_a_shorter_call_ends_before_the_timer_of_an_earlier_one(context: Context) -> None:
    deadline.call(lambda payload, ctx: None, None, context, 30)
    started = time.monotonic()
    with pytest.raises(HandlerTimeout):
        deadline.call(lambda payload, ctx: time.sleep(5), None, context, 0.1)
    assert time.monotonic() - started < 2


def test_a_timer_that_code_cancelled_is_set_again(context: Context) -> None:
    def cancel(payload: Any, ctx: Any) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)

    deadline.call(cancel, None, context, 0.1)
    time.sleep(0.15)
    with pytest.raises(HandlerTimeout):
        deadline.call(lambda payload, ctx: time.sleep(5), None, context, 0.1)


def test_all_async_calls_share_one_loop(call: Any) -> None:
    async def handle(payload: Any, ctx: Any) -> Any:
        return asyncio.get_running_loop()

    assert call(handle) is call(handle)


def test_calls_of_several_threads_run_at_once(context: Context) -> None:
    together = threading.Barrier(4)

    def handle(payload: Any, ctx: Any) -> int:
        return together.wait(5)

    outcome: list[int] = []
    threads = [
        threading.Thread(target=lambda: outcome.append(deadline.call(handle, 0, context, 10)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcome) == [0, 1, 2, 3]
