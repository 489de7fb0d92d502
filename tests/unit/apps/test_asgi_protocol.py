"""Rules A and G of docs/spec/applications.md, with applications written to the bare protocol."""

from __future__ import annotations

import asyncio
import json
import threading

import pytest

from portafaas.runtime import aio
from portafaas.runtime.context import Context
from portafaas.runtime.http import Request, Response


async def reply(send, status=200, headers=(), body=b"", more=False):
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    await send({"type": "http.response.body", "body": body, "more_body": more})


def http_only(handle):
    async def app(scope, receive, send):
        assert scope["type"] == "http"
        await handle(scope, receive, send)

    return app


def records(capsys):
    return [json.loads(line) for line in capsys.readouterr().err.splitlines() if line[:1] == "{"]


@pytest.fixture
def seen(around, send):
    """Return a function that sends a request and gives the scope the application got."""

    def call(*arguments, trigger=None, **more):
        scopes = []

        async def handle(scope, receive, send):
            scopes.append(scope)
            await reply(send)

        function = around(http_only(handle), "asgi", **(trigger or {}))
        assert send(function, *arguments, **more).status == 200
        return scopes[0]

    return call


def test_scope_is_complete_and_exact(seen):
    """A-3 to A-8, A-14, G-1 to G-3."""
    scope = seen(
        "post",
        "/a%20b/%C3%A9/c%252Fd",
        "x=%41&y=+",
        [
            ("Host", "shop.example:8443"),
            ("Cookie", "a=1; b=2"),
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-For", "198.51.100.1, 203.0.113.9:4711"),
            ("X-Latin", "\xe9"),
            ("Transfer-Encoding", "chunked"),
        ],
        b"body",
    )
    extension = scope["extensions"].pop("portafaas")
    headers = scope.pop("headers")
    assert scope == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "https",
        "path": "/a b/\u00e9/c%2Fd",
        "raw_path": b"/a%20b/%C3%A9/c%252Fd",
        "query_string": b"x=%41&y=+",
        "root_path": "",
        "client": ("203.0.113.9", 4711),
        "server": ("shop.example", 8443),
        "state": {},
        "extensions": {},
    }
    assert sorted(headers) == [
        (b"content-length", b"4"),
        (b"cookie", b"a=1; b=2"),
        (b"host", b"shop.example:8443"),
        (b"x-forwarded-for", b"198.51.100.1, 203.0.113.9:4711"),
        (b"x-forwarded-proto", b"https"),
        (b"x-latin", b"\xe9"),
    ]
    assert isinstance(extension["context"], Context)
    assert isinstance(extension["request"], Request)
    assert extension["identity"] is None


def test_identity_reaches_the_application(seen):
    """A-14."""
    scope = seen(trigger={"auth": {"scheme": "iam"}}, caller="ada")
    assert scope["extensions"]["portafaas"]["identity"].subject == "ada"


@pytest.mark.parametrize(
    ("headers", "scheme", "server", "client"),
    [
        ({}, "http", ("localhost", 80), None),
        ({"host": "h"}, "http", ("h", 80), None),
        ({"host": "h", "x-forwarded-proto": "https"}, "https", ("h", 443), None),
        ({"x-forwarded-proto": "ftp"}, "http", ("localhost", 80), None),
        ({"x-forwarded-proto": "http, HTTPS"}, "https", ("localhost", 443), None),
        ({"host": "[::1]:81"}, "http", ("::1", 81), None),
        ({"host": "[::1]"}, "http", ("::1", 80), None),
        ({"host": "h:port"}, "http", ("h", 80), None),
        ({"host": "h:\u0665"}, "http", ("h", 80), None),
        ({"host": "h:" + "9" * 5000}, "http", ("h", 80), None),
        ({"x-forwarded-for": "2001:db8::1"}, "http", ("localhost", 80), ("2001:db8::1", 0)),
        ({"x-forwarded-for": "[2001:db8::1]:7"}, "http", ("localhost", 80), ("2001:db8::1", 7)),
        ({"x-forwarded-for": "1.1.1.1,2.2.2.2"}, "http", ("localhost", 80), ("2.2.2.2", 0)),
        ({"x-forwarded-for": " "}, "http", ("localhost", 80), None),
    ],
)
def test_addresses(seen, headers, scheme, server, client):
    """A-6 to A-8."""
    scope = seen(headers=headers.items())
    assert (scope["scheme"], scope["server"], scope["client"]) == (scheme, server, client)


def test_text_that_no_encoding_has_does_not_stop_the_request(seen):
    """A payload in JSON may hold half a surrogate pair."""
    scope = seen(query="q=\ud800", headers=[("x-odd", "\ud800"), ("x-wide", "\u20ac")])
    assert scope["query_string"] == b"q=\xed\xa0\x80"
    assert scope["headers"] == [(b"x-odd", b"\xed\xa0\x80"), (b"x-wide", b"\xe2\x82\xac")]


def test_content_length_is_that_of_the_body(seen):
    """A-5."""
    assert dict(seen(headers=[("content-length", "99")], body=b"ab")["headers"]) == {
        b"content-length": b"2"
    }
    assert seen(headers=[("content-length", "0")])["headers"] == []
    assert seen()["headers"] == []


def test_cookies_a_platform_hands_over_apart_are_a_header(around, send):
    """A-5."""
    got = []

    async def handle(scope, receive, send):
        got.extend(scope["headers"])
        await reply(send)

    function = around(http_only(handle), "asgi")
    request = Request("GET", "/")
    request.cookies = [("a", "1"), ("b", "2")]
    aio.run(function.handle(request, Context(function, "i")))
    assert got == [(b"cookie", b"a=1; b=2")]


def test_body_once_then_disconnect_after_the_response(around, send):
    """G-4: whoever listens for a disconnect must not see one while the response is made."""
    events = []

    async def handle(scope, receive, send):
        events.append(await receive())

        async def listen():
            events.append(await receive())

        listener = asyncio.create_task(listen())
        await asyncio.sleep(0)
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"1", "more_body": True})
        await asyncio.sleep(0)
        events.append("still connected")
        await send({"type": "http.response.body", "body": b"2"})
        await listener
        events.append(await receive())

    outcome = send(around(http_only(handle), "asgi"), "POST", body=b"in")
    assert outcome.body == b"12"
    assert events == [
        {"type": "http.request", "body": b"in", "more_body": False},
        "still connected",
        {"type": "http.disconnect"},
        {"type": "http.disconnect"},
    ]


def test_listeners_of_a_failed_request_are_let_go(around, send):
    """G-4: a task left waiting for the disconnect must not wait for ever."""
    listeners = []

    async def handle(scope, receive, send):
        await receive()
        listeners.append(asyncio.create_task(receive()))
        await asyncio.sleep(0)
        raise LookupError

    assert send(around(http_only(handle), "asgi")).status == 500
    message = aio.run(asyncio.wait_for(listeners[0], 10))
    assert message == {"type": "http.disconnect"}


def test_response_headers(around, send):
    """A-9, A-10."""

    async def handle(scope, receive, send):
        headers = [
            (b"Set-Cookie", b"b=2"), (b"set-cookie", b" a=1"), (b"vary", b"x"), (b"Vary", b"y\t"),
            (b"x-latin", b"e"), (b"content-length", b"3"),
        ]  # fmt: skip
        await reply(send, 201, headers, b"abc")
        await send({"type": "http.response.body", "body": b"ignored"})

    outcome = send(around(http_only(handle), "asgi"))
    assert outcome.status == 201
    assert outcome.cookies == ("b=2", "a=1")
    assert outcome.body == b"abc"
    assert outcome.headers == (
        ("content-type", "application/octet-stream"),
        ("vary", "x, y"),
        ("x-latin", "e"),
    )


async def nothing(scope, receive, send):
    pass


async def unfinished(scope, receive, send):
    await reply(send, body=b"half", more=True)


async def raises_early(scope, receive, send):
    raise LookupError


async def raises_half_way(scope, receive, send):
    await reply(send, body=b"half", more=True)
    raise LookupError


async def body_first(scope, receive, send):
    await send({"type": "http.response.body", "body": b""})


async def starts_twice(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.start", "status": 200, "headers": []})


async def pushes(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.pathsend", "path": "/x"})


async def text_header(scope, receive, send):
    await reply(send, headers=[("a", "b")])


async def text_body(scope, receive, send):
    await reply(send, body="text")


async def injects(scope, receive, send):
    await reply(send, headers=[(b"a", b"b\r\nc: d")])


async def informs(scope, receive, send):
    await reply(send, status=103)


async def exits(scope, receive, send):
    raise SystemExit(3)


async def interrupts(scope, receive, send):
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    "handle",
    [
        nothing, unfinished, raises_early, raises_half_way, body_first, starts_twice, pushes,
        text_header, text_body, injects, informs, exits, interrupts,
    ],
)  # fmt: skip
def test_broken_applications_answer_500_and_the_instance_lives(handle, around, send, seen):
    """A-12, G-5, G-6, G-12."""
    outcome = send(around(http_only(handle), "asgi"))
    assert outcome.status == 500
    assert json.loads(outcome.body)["title"] == "Internal Server Error"
    assert seen()["type"] == "http"  # the loop still runs


def test_http_error_is_understood(around, send):
    """A-12."""
    from portafaas.runtime.http import HttpError

    async def handle(scope, receive, send):
        raise HttpError(409, "taken")

    assert send(around(http_only(handle), "asgi")).status == 409


def test_failure_after_the_response_is_logged(around, send, capsys):
    """A-12: a server has sent the response by then."""

    async def handle(scope, receive, send):
        await reply(send, body=b"fine")
        raise LookupError("later")

    outcome = send(around(http_only(handle), "asgi"))
    assert (outcome.status, outcome.body) == (200, b"fine")
    (record,) = records(capsys)
    assert record["severity"] == "ERROR"
    assert "LookupError('later')" in record["message"]


def test_stream_is_stopped_at_the_limit(around, send):
    """A-11: also when the application swallows the refusal."""
    sent = []

    async def handle(scope, receive, send):
        await send({"type": "http.response.start", "status": 200})
        try:
            for number in range(1000):
                await send({"type": "http.response.body", "body": b"x" * 10, "more_body": True})
                sent.append(number)
        except ValueError:
            pass
        await send({"type": "http.response.body"})

    function = around(http_only(handle), "asgi", max_body=35)
    assert send(function).status == 500
    assert len(sent) == 3
    assert send(function, "HEAD").status == 200  # nothing of it would be sent


def test_hanging_application_is_cancelled_and_answers_504(around, send):
    cancelled = threading.Event()

    async def handle(scope, receive, send):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    assert send(around(http_only(handle), "asgi", timeout=0.05)).status == 504
    assert cancelled.wait(10)


def test_hanging_application_on_another_thread(around, send):
    async def handle(scope, receive, send):
        await receive()
        await receive()  # never comes: there is no response

    outcomes = []
    function = around(http_only(handle), "asgi", timeout=0.05)
    worker = threading.Thread(target=lambda: outcomes.append(send(function)))
    worker.start()
    worker.join(10)
    assert outcomes[0].status == 504


def test_platform_with_its_own_loop(around):
    """G-7: the application runs on the instance's loop, whoever calls."""
    loops = []

    async def handle(scope, receive, send):
        loops.append(asyncio.get_running_loop())
        await reply(send, body=b"ok")

    function = around(http_only(handle), "asgi")
    assert function.is_async
    response = asyncio.run(function.handle(Request("GET", "/"), Context(function, "i")))
    assert isinstance(response, Response)
    assert response.body == b"ok"
    assert loops == [aio.loop()]


def test_loop_that_has_ended_is_not_waited_for(around):
    """A platform that starts each invocation on a fresh loop is served on that one."""

    async def handle(scope, receive, send):
        await receive()
        await reply(send, body=b"ok")

    function = around(http_only(handle), "asgi")
    function.load()
    asyncio.run(function.owner.init())  # as a platform does whose loop is the instance's

    async def platform():
        answer = function.handle(Request("GET", "/"), Context(function, "i"))
        return await asyncio.wait_for(answer, 10)

    assert [asyncio.run(platform()).body for _ in range(2)] == [b"ok", b"ok"]


def test_cancelling_on_the_platforms_loop_cancels_the_application(around):
    started, cancelled = threading.Event(), threading.Event()

    async def handle(scope, receive, send):
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    function = around(http_only(handle), "asgi")
    function.load()

    async def platform():
        task = asyncio.create_task(function.handle(Request("GET", "/"), Context(function, "i")))
        await asyncio.to_thread(started.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(platform())
    assert cancelled.wait(10)


def test_concurrent_requests_share_the_loop(around, send):
    """Two requests that wait for each other both finish."""
    arrived = []

    async def handle(scope, receive, send):
        arrived.append(asyncio.Event())
        if len(arrived) == 2:
            arrived[0].set()
        else:
            await arrived[0].wait()
        await reply(send, body=b"met")

    function = around(http_only(handle), "asgi", concurrency=2)
    function.load()
    outcomes = []
    threads = [
        threading.Thread(target=lambda: outcomes.append(send(function))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert [outcome.body for outcome in outcomes] == [b"met", b"met"]
