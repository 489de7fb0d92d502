"""The event loop side: concurrency, deadlines, loops, what a handler cannot break."""

from __future__ import annotations

import asyncio
import dataclasses
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import portafaas
import portafaas_azure
from portafaas.adapter import HttpStimulus, MessageStimulus, QueueStimulus
from portafaas.plan import BuildPlan
from portafaas.plan.entry import function_spec
from portafaas.runtime import aio
from portafaas.runtime.function import Function
from portafaas_azure.adapter import ADAPTER

KINDS = ("http", "queue", "topic", "object", "table", "schedule")


def _spec(plan: BuildPlan, name: str, **more: Any) -> Function:
    return Function({**function_spec(plan, plan.function(name)), **more})


def _message(plan: BuildPlan, body: bytes) -> Any:
    stimulus = QueueStimulus((MessageStimulus("1", body),))
    return ADAPTER.encode(plan, plan.function("work"), stimulus)[0]


def _get(plan: BuildPlan, name: str, path: str) -> Any:
    return ADAPTER.encode(plan, plan.function(name), HttpStimulus("GET", path))[0]


@pytest.mark.parametrize("limit", [1, 3])
def test_concurrency_is_the_functions_own(
    bench: Any, plan: BuildPlan, handlers: Any, limit: int
) -> None:
    from portafaas_azure.runtime import queue

    function = _spec(plan, "work", handler=f"{handlers.__name__}:Lived", concurrency=limit)
    bound = queue.bind(function)

    async def burst() -> list[Any]:
        request = _message(plan, b"a")
        return await asyncio.gather(*(bench.invoke(bound, "queue", request) for _ in range(8)))

    assert all(result["ok"] for result in asyncio.run(burst()))
    # One init for eight invocations, on the loop that ran them.
    assert handlers.running.count("init") == 1
    assert handlers.running[-1] == f"most {limit}"


def test_a_hanging_handler_is_answered_for_at_once(
    bench: Any, plan: BuildPlan, handlers: Any
) -> None:
    bound = bench.bound("web")

    async def race() -> tuple[Any, Any]:
        return await asyncio.gather(
            bench.invoke(bound, "http", _get(plan, "web", "/web/hang")),
            bench.invoke(bound, "http", _get(plan, "web", "/web/text")),
        )

    started = time.monotonic()
    hung, other = asyncio.run(race())
    assert (hung["value"]["status"], other["value"]["status"]) == (504, 200)
    assert time.monotonic() - started < 5
    deadline = time.monotonic() + 5
    while any(t.name == "portafaas-web" for t in threading.enumerate()):
        assert time.monotonic() < deadline, "the handler's thread was not interrupted"
        time.sleep(0.01)


@pytest.mark.parametrize("grace", [4.0, 0.1])
def test_what_is_not_left_halfway_is_waited_for(
    plan: BuildPlan, handlers: Any, monkeypatch: Any, grace: float
) -> None:
    from portafaas.runtime import deadline
    from portafaas.runtime.context import Context, HandlerTimeout
    from portafaas_azure.runtime import run

    monkeypatch.setattr(deadline, "GRACE", grace)
    context = Context(_spec(plan, "work"), "i", target="azure")

    @deadline.whole
    def record() -> str:
        for _ in range(40):
            time.sleep(0.01)
        return "recorded"

    async def call() -> Any:
        return await run._in_thread(record, (), context, 0.1)

    if grace > 1:
        assert asyncio.run(call()) == "recorded"
    else:
        with pytest.raises(HandlerTimeout):
            asyncio.run(call())


@pytest.mark.parametrize(("what", "mark"), [("hang", "cancelled"), ("stubborn", "ignored")])
def test_an_async_handler_is_cancelled_but_not_waited_for(
    bench: Any, plan: BuildPlan, handlers: Any, what: str, mark: str
) -> None:
    async def run() -> tuple[int, float]:
        started = time.monotonic()
        request = _get(plan, "web-async", f"/async/{what}")
        result = await bench.invoke(bench.bound("web-async"), "http", request)
        took = time.monotonic() - started
        # Let the abandoned task notice.
        for _ in range(100):
            if mark in handlers.running:
                break
            await asyncio.sleep(0.01)
        return result["value"]["status"], took

    status, took = asyncio.run(run())
    assert status == 504
    assert took < 3
    assert mark in handlers.running


def test_the_worker_may_cancel(bench: Any, plan: BuildPlan, handlers: Any) -> None:
    async def run() -> None:
        request = _get(plan, "web-async", "/async/hang")
        task = asyncio.ensure_future(bench.invoke(bench.bound("web-async"), "http", request))
        while not handlers.seen:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0.01)

    asyncio.run(run())
    assert handlers.running == ["cancelled"]


@pytest.mark.parametrize("what", ["stop", "exit", "raise"])
def test_nothing_a_handler_raises_reaches_the_worker(
    bench: Any, plan: BuildPlan, handlers: Any, what: str
) -> None:
    async def run() -> Any:
        return await bench.invoke(bench.bound("web"), "http", _get(plan, "web", f"/web/{what}"))

    assert asyncio.run(run())["value"]["status"] == 500


def test_a_handler_that_cannot_be_loaded_fails_and_is_tried_again(
    bench: Any, plan: BuildPlan, handlers: Any
) -> None:
    from portafaas_azure.runtime import http, queue

    missing = f"{handlers.__name__}:Missing"
    web = http.bind(_spec(plan, "web", handler=missing))
    work = queue.bind(_spec(plan, "work", handler=missing))

    async def run() -> None:
        request = _get(plan, "web", "/web/text")
        assert (await bench.invoke(web, "http", request))["value"]["status"] == 500
        failed = await bench.invoke(work, "queue", _message(plan, b"a"))
        assert not failed["ok"]
        handlers.Missing = handlers.web
        assert (await bench.invoke(web, "http", request))["value"]["status"] == 200
        del handlers.Missing

    asyncio.run(run())


def test_a_module_that_exits_does_not_end_the_worker(
    bench: Any, plan: BuildPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from portafaas_azure.runtime import queue

    (tmp_path / "azure_unit_exits.py").write_text("import sys; sys.exit(3)")
    monkeypatch.syspath_prepend(str(tmp_path))
    bound = queue.bind(_spec(plan, "work", handler="azure_unit_exits:handle"))
    result = asyncio.run(bench.invoke(bound, "queue", _message(plan, b"a")))
    assert "message 1 failed" in str(result["error"])


def test_handlers_thread_belongs_to_the_invocation(plan: BuildPlan, handlers: Any) -> None:
    import types

    from portafaas_azure.runtime.run import _in_thread

    context: Any = types.SimpleNamespace(
        raw=types.SimpleNamespace(thread_local_storage=threading.local()),
        invocation_id="i-1", function="f",
    )  # fmt: skip

    async def run() -> Any:
        local = context.raw.thread_local_storage
        return await _in_thread(lambda: local.invocation_id, (), context, 5)

    assert asyncio.run(run()) == "i-1"
    assert not hasattr(context.raw.thread_local_storage, "invocation_id")


def test_shutdown_after_the_workers_loop_has_ended(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "import asyncio\n"
        "class H:\n"
        "    async def handle(self, message, context): print('handled', flush=True)\n"
        "    async def shutdown(self):\n"
        "        await asyncio.sleep(0)\n"
        "        print('shut down', flush=True)\n"
    )
    script = """
import asyncio, sys, types
sys.path[:0] = sys.argv[1:]
from portafaas.runtime.context import Context
from portafaas.runtime.message import Message
from portafaas.runtime.function import Function
from portafaas_azure.runtime.run import Runner
function = Function({"name": "f", "service": "s", "kind": "queue", "handler": "app:H", "timeout": 5,
                     "memory": 1, "source": "/", "trigger": {"queue": "q"}})
async def main():
    runner = Runner(function)
    async with runner.slot():
        assert await runner.run_messages([Message("1", b"")], Context(function, "i")) == []
asyncio.run(main())
"""
    roots = [Path(portafaas.__file__).parents[1], Path(portafaas_azure.__file__).parents[1]]
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path), *map(str, roots)],
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert done.stdout.split("\n")[:2] == ["handled", "shut down"], done.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_bridges_load_little(kind: str) -> None:
    heavy = ("asyncio", "azure", "dataclasses", "datetime", "email", "enum", "http", "inspect",
             "json", "logging", "re", "typing", "urllib")  # fmt: skip
    roots = [str(Path(m.__file__ or "").parents[1]) for m in (portafaas, portafaas_azure)]
    script = (
        f"import sys; sys.path[:0] = {roots!r}\n"
        f"import portafaas_azure.runtime.{kind} as bridge\n"
        f"assert bridge.bind\n"
        f"print([m for m in {heavy!r} if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_jwt_is_checked_off_the_loop(
    bench: Any, plan: BuildPlan, handlers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from portafaas.runtime import serve

    threads: list[threading.Thread] = []
    before = serve.before

    def watched(*arguments: Any) -> Any:
        threads.append(threading.current_thread())
        return before(*arguments)

    monkeypatch.setattr(serve, "before", watched)
    from portafaas.plan import Auth, HttpTrigger

    auth = Auth("jwt", issuer="https://issuer.example", audience=("a",))
    function = dataclasses.replace(
        plan.function("private"), trigger=HttpTrigger(("GET",), "/private", auth)
    )
    from portafaas_azure.runtime import http

    bound = http.bind(Function(function_spec(plan, function)))
    result = asyncio.run(bench.invoke(bound, "http", _get(plan, "private", "/private")))
    assert result["value"]["status"] == 401
    assert threads and threads[0] is not threading.main_thread()


def test_the_loop_is_the_workers(bench: Any, plan: BuildPlan, handlers: Any) -> None:
    async def run() -> bool:
        await bench.invoke(bench.bound("web"), "http", _get(plan, "web", "/web/text"))
        return aio._loop is asyncio.get_running_loop()

    assert asyncio.run(run())


