"""What docs/existing-apps.md promises about real frameworks, beyond equal answers."""

from __future__ import annotations

import asyncio
import json
import threading

import pytest
from flask import Flask, request
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

IAM = {"scheme": "iam"}


@pytest.mark.parametrize("times", [1, 3])
def test_background_tasks_are_done_when_the_answer_leaves(site, send, times):
    """A-13."""
    import site_fastapi
    import site_starlette

    site_starlette.background_runs.clear()
    function = site("site_starlette:app", "asgi")
    for _ in range(times):
        assert send(function, path="/background").body == b"queued"
    assert site_starlette.background_runs == ["/background"] * times

    site_fastapi.sent.clear()
    function = site("site_fastapi:app", "asgi")
    for number in range(times):
        order = json.dumps({"id": number, "items": []})
        headers = [("content-type", "application/json")]
        outcome = send(function, "POST", "/orders", "", headers, order.encode())
        assert outcome.status == 201
        assert len(outcome.cookies) == 2
    assert site_fastapi.sent == [f"order {number}" for number in range(times)]


def test_starlette_sees_caller_and_context(around, send):
    """A-14, as the guide shows it."""

    async def who(request: Request):
        extra = request.scope["extensions"]["portafaas"]
        return JSONResponse(
            [extra["identity"].subject, extra["context"].function, extra["request"].raw.path]
        )

    function = around(Starlette(routes=[Route("/who", who)]), "asgi", auth=IAM)
    assert json.loads(send(function, path="/who", caller="ada").body) == ["ada", "web", "/who"]
    assert send(function, path="/who").status == 401


def test_flask_sees_caller_and_context(around, send):
    """A-14, W-3, as the guide shows it."""
    app = Flask("who")

    @app.get("/who")
    def who():
        return [request.remote_user, request.environ["portafaas.context"].function]

    function = around(app, "wsgi", auth=IAM)
    assert json.loads(send(function, path="/who", caller="ada").body) == ["ada", "web"]
    assert send(function, path="/who").status == 401


def test_flask_closes_its_stream(site, send):
    import site_flask

    site_flask.closed.clear()
    send(site("site_flask:app", "wsgi"), path="/stream")
    assert site_flask.closed == ["stream"]


def test_endless_stream_ends_with_the_timeout(around, send):
    ended = threading.Event()

    async def events(request):
        async def chunks():
            try:
                while True:
                    await asyncio.sleep(0.01)
                    yield b""
            finally:
                ended.set()

        return StreamingResponse(chunks(), media_type="text/event-stream")

    app = Starlette(routes=[Route("/events", events)])
    function = around(app, "asgi", timeout=0.2)
    assert send(function, path="/events").status == 504
    assert ended.wait(10)


def test_requests_in_threads_do_not_mix(site, send):
    """Eight threads, each of which must get its own answers."""
    functions = [
        site("site_flask:app", "wsgi", concurrency=8),
        site("site_starlette:app", "asgi", concurrency=8),
    ]
    for function in functions:
        function.load()
    wrong = []

    def work(name):
        for number in range(10):
            for function in functions:
                outcome = send(function, "POST", f"/echo/{name}", f"n={number}", body=name.encode())
                answer = json.loads(outcome.body)
                got = answer["pairs"], bytes.fromhex(answer["body"]).decode()
                if got != ([["n", str(number)]], name):
                    wrong.append((name, number, got))

    threads = [threading.Thread(target=work, args=(f"t{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong


def test_upload_over_the_limit_does_not_reach_the_application(around, send):
    reached = []

    async def app(scope, receive, send):
        reached.append(scope["type"])

    function = around(app, "asgi", max_body=10)
    assert send(function, "POST", body=b"x" * 11).status == 413
    assert "http" not in reached
