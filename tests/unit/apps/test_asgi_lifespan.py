"""Rules G-7 to G-11: startup and shutdown of an ASGI application."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap

import pytest

from portafaas.runtime import aio


def app_with(lifespan, scopes):
    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            await lifespan(scope, receive, send)
        else:
            scopes.append(scope)
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body", "body": b"ok"})

    return app


def test_runs_once_on_the_loop_of_the_requests(around, send):
    """G-7, G-11."""
    events, scopes = [], []

    async def lifespan(scope, receive, send):
        assert scope["asgi"] == {"version": "3.0", "spec_version": "2.0"}
        assert await receive() == {"type": "lifespan.startup"}
        scope["state"]["pool"] = ["connection"]
        events.append(("up", asyncio.get_running_loop()))
        await send({"type": "lifespan.startup.complete"})
        assert await receive() == {"type": "lifespan.shutdown"}
        events.append(("down", asyncio.get_running_loop()))
        await send({"type": "lifespan.shutdown.complete"})

    function = around(app_with(lifespan, scopes), "asgi")
    assert [send(function).status for _ in range(3)] == [200, 200, 200]
    assert events == [("up", aio.loop())]
    assert scopes[0]["state"]["pool"] is scopes[1]["state"]["pool"]
    scopes[0]["state"]["other"] = 1
    assert "other" not in scopes[2]["state"]
    aio.run(function.owner.shutdown())
    assert events[1:] == [("down", aio.loop())]
    aio.run(function.owner.shutdown())
    assert len(events) == 2


async def raises(scope, receive, send):
    raise ValueError("Only http")


async def returns(scope, receive, send):
    await receive()


async def exits(scope, receive, send):
    raise SystemExit


@pytest.mark.parametrize("lifespan", [raises, returns, exits])
def test_application_without_lifespan_is_served(lifespan, around, send):
    """G-8."""
    function = around(app_with(lifespan, []), "asgi")
    assert send(function).body == b"ok"
    aio.run(function.owner.shutdown())


def test_failed_startup_fails_the_request_and_is_tried_again(around, send, capsys):
    """G-9."""
    attempts = []

    async def lifespan(scope, receive, send):
        await receive()
        attempts.append(dict(scope["state"]))
        scope["state"]["half"] = True
        if len(attempts) == 1:
            await send({"type": "lifespan.startup.failed", "message": "no database"})
            raise ConnectionError("as Starlette does")
        await send({"type": "lifespan.startup.complete"})
        await receive()

    function = around(app_with(lifespan, []), "asgi")
    assert send(function).status == 500
    assert "no database" in capsys.readouterr().err
    assert send(function).status == 200
    assert send(function).status == 200
    assert attempts == [{}, {}]


def test_endless_startup_answers_504(around, send):
    """G-9."""
    cancelled = []

    async def lifespan(scope, receive, send):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    function = around(app_with(lifespan, []), "asgi", timeout=0.05)
    assert send(function).status == 504
    aio.run(asyncio.sleep(0))
    assert cancelled == [True]


def test_failed_shutdown_is_told(around, send):
    """G-10."""

    async def lifespan(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.failed", "message": "stuck"})

    function = around(app_with(lifespan, []), "asgi")
    assert send(function).status == 200
    with pytest.raises(RuntimeError, match="shutdown failed: stuck"):
        aio.run(function.owner.shutdown())


def test_wrong_message_is_refused(around, send):
    refused = []

    async def lifespan(scope, receive, send):
        for kind in ("http.response.start", "lifespan.startup", "lifespan.startup.done"):
            try:
                await send({"type": kind})
            except RuntimeError as exc:
                refused.append(str(exc))
        await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.startup.complete"})
        refused.append("said twice")

    assert send(around(app_with(lifespan, []), "asgi")).status == 200
    assert len(refused) == 4


def test_frameworks_keep_what_startup_opened(site, send):
    function = site("site_starlette:app", "asgi")
    first = send(function, path="/uses").body
    second = send(function, path="/uses").body
    assert first != second
    assert b'"open":true' in second


@pytest.mark.parametrize(
    ("then", "down"),
    [
        ("", ["down"]),
        # The instance has another loop since: it is told on its own, as long as that runs.
        ("aio.adopt(None)", ["down"]),
        ("aio.loop().call_soon_threadsafe(aio.loop().stop); aio._thread.join(10)", []),
    ],
    ids=["", "another-loop", "loop-has-ended"],
)
def test_shutdown_when_the_process_ends(then, down, tmp_path):
    """G-10, in a process of its own."""
    (tmp_path / "main.py").write_text(
        textwrap.dedent(
            """
            from contextlib import asynccontextmanager
            from starlette.applications import Starlette

            @asynccontextmanager
            async def lifespan(app):
                print("up", flush=True)
                yield
                print("down", flush=True)

            app = Starlette(lifespan=lifespan)
            """
        )
    )
    program = textwrap.dedent(
        """
        from portafaas.adapter.stimulus import HttpStimulus
        from portafaas.runtime import aio
        from portafaas.local.runner import deliver
        from portafaas.runtime.function import Function

        function = Function({"name": "web", "service": "s", "kind": "http", "handler": "main:app",
            "interface": "asgi", "timeout": 20, "memory": 128, "source": "/s/web",
            "trigger": {"path": "/{path*}", "methods": []}})
        for _ in range(2):
            print(deliver(function, HttpStimulus()).status, flush=True)
        """
    )
    result = subprocess.run(
        [sys.executable, "-c", program + then], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert result.stdout.split() == ["up", "404", "404", *down], result.stderr
    assert result.stderr == ""


