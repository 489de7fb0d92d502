"""Handlers of http functions.

Long because each odd answer is a method; they are one handler's, as the cases name them by path.
"""

from __future__ import annotations

import asyncio
import base64
import os
import sys
import time
from typing import Any

from portafaas.runtime import Context, HttpError, HttpHandler, Request, Response

from kit.views import record, request_view


class Echo(HttpHandler):
    def handle(self, request: Request, context: Context) -> dict[str, Any]:
        view = request_view(request, context)
        record(view)
        return view


class AsyncEcho(HttpHandler):
    async def handle(self, request: Request, context: Context) -> dict[str, Any]:
        await asyncio.sleep(0)
        what = request.path_params["what"]
        if what == "hang":
            record("hang")
            await asyncio.sleep(30)
        if what == "raise":
            raise RuntimeError("async handler failed")
        view = request_view(request, context)
        record(view)
        return view


def plain(request: Request, context: Context) -> str:
    return f"plain {request.method}"


async def plain_async(request: Request, context: Context) -> str:
    return f"plain async {request.method}"


class Callable:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, request: Request, context: Context) -> list[bool]:
        self.calls += 1
        return [self.calls >= 1]


class Lifecycle(HttpHandler):
    def init(self) -> None:
        self.initialised = getattr(self, "initialised", 0) + 1
        self.seen = 0

    def handle(self, request: Request, context: Context) -> dict[str, Any]:
        self.seen += 1
        # Two bytes per cookie jar of an instance would be odd; that init ran once is the point.
        return {"initialised": self.initialised, "handled": self.seen >= 1}


class AsyncLifecycle(HttpHandler):
    async def init(self) -> None:
        self.loop = asyncio.get_running_loop()

    async def handle(self, request: Request, context: Context) -> dict[str, Any]:
        # A client opened in init is only usable when the loop is the same one.
        return {"same_loop": self.loop is asyncio.get_running_loop()}


class Broken(HttpHandler):
    async def init(self) -> None:
        raise RuntimeError("cannot start")

    def handle(self, request: Request, context: Context) -> None:
        record("handled")


def settings(request: Request, context: Context) -> dict[str, Any]:
    return {name: os.environ.get(name) for name in ("COLOUR", "SIZE", "ABSENT")}


class Reply(HttpHandler):
    """Answers with what the path asks for."""

    def handle(self, request: Request, context: Context) -> Any:
        what = request.path_params["what"]
        record(what)
        return getattr(self, what.replace("-", "_"))(request)

    def none(self, request: Request) -> None:
        return None

    def dict(self, request: Request) -> Any:
        return {"text": "grüße", "number": 1.5, "list": [1, None, True]}

    def empty_dict(self, request: Request) -> Any:
        return {}

    def list(self, request: Request) -> Any:
        return [1, "two", None]

    def text(self, request: Request) -> str:
        return "plain text, grüße"

    def empty_text(self, request: Request) -> str:
        return ""

    def bytes(self, request: Request) -> Any:
        return bytes(range(256))

    def bytearray(self, request: Request) -> Any:
        return bytearray(b"\x00\xff")

    def response(self, request: Request) -> Response:
        return Response("created", 201, {"X-Case": "one", "location": "/orders/1"})

    def response_bytes(self, request: Request) -> Response:
        return Response(b"\x89PNG\r\n\x1a\n\x00", 200, content_type="image/png")

    def response_text_bytes(self, request: Request) -> Response:
        return Response("<p>grüße</p>".encode(), 200, content_type="text/html; charset=utf-8")

    def response_json_bytes(self, request: Request) -> Response:
        return Response(b'{"a": "\xc3\xbc"}', content_type="application/json")

    def latin(self, request: Request) -> Response:
        return Response("grüße".encode("latin-1"), content_type="text/plain; charset=latin-1")

    def no_content_type(self, request: Request) -> Response:
        return Response("text")

    def empty(self, request: Request) -> Response:
        return Response()

    def no_content(self, request: Request) -> Response:
        return Response("dropped", 204, content_type="text/plain")

    def not_modified(self, request: Request) -> Response:
        return Response("dropped", 304, {"etag": '"abc"'})

    def redirect(self, request: Request) -> Response:
        return Response.redirect("https://example.org/a?b=c%20d")

    def json_status(self, request: Request) -> Response:
        return Response.json({"error": "gone"}, 410)

    def http_status(self, request: Request) -> Response:
        from http import HTTPStatus

        return Response("teapot", HTTPStatus.IM_A_TEAPOT)

    def headers(self, request: Request) -> Response:
        return Response(
            "x",
            200,
            [
                ("X-Case-Upper", "Value"),
                ("x-case-twice", "a"),
                ("X-Case-Twice", "b"),
                ("x-case-empty", ""),
                ("x-case-comma", "a, b"),
                ("Vary", "accept"),
                ("Cache-Control", "no-store"),
                ("ETag", '"1"'),
                ("Link", '<https://example.org/>; rel="next"'),
            ],
        )

    def cookie(self, request: Request) -> Response:
        response = Response("x")
        response.set_cookie("session", "abc123", max_age=60)
        return response

    def cookies(self, request: Request) -> Response:
        response = Response("x")
        response.set_cookie("a", "1")
        response.set_cookie("b", "2", max_age=60, domain="example.org", same_site="Strict")
        response.set_cookie(
            "c", "x=y&z", path="/shop", secure=False, http_only=False, same_site=None
        )
        return response

    def cookie_percent(self, request: Request) -> Response:
        response = Response("x")
        response.set_cookie("a", "50%25")
        return response

    def deleted_cookies(self, request: Request) -> Response:
        cookies = [
            'one=""; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Path=/',
            'two=""; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Path=/',
        ]
        return Response("x", cookies=cookies)

    def surrogate_text(self, request: Request) -> str:
        return "a\udc80"

    def surrogate_response(self, request: Request) -> Response:
        return Response("a\udc80")

    def header_beyond_ascii(self, request: Request) -> Response:
        return Response("x", 200, {"x-case": "gr\xfc\xdfe"})

    def raises_interrupt(self, request: Request) -> Any:
        raise KeyboardInterrupt

    def raises_generator_exit(self, request: Request) -> Any:
        raise GeneratorExit

    def redirect_unicode(self, request: Request) -> Response:
        return Response.redirect("/gr\xfc\xdfe?a=%20")

    def cookie_header(self, request: Request) -> Response:
        return Response("x", 200, [("Set-Cookie", "a=1; Path=/"), ("Set-Cookie", "b=2; Path=/")])

    def hop_by_hop(self, request: Request) -> Response:
        return Response("x", 200, {"connection": "close", "transfer-encoding": "chunked"})

    def server_error(self, request: Request) -> Response:
        return Response.json({"own": "body"}, 503, {"retry-after": "7"})

    def raises(self, request: Request) -> Any:
        raise ValueError("secret detail that no client may see")

    def raises_base(self, request: Request) -> Any:
        raise BaseException("not an Exception")

    def raises_http(self, request: Request) -> Any:
        raise HttpError(409, "already placed", {"x-case": "conflict"})

    def raises_http_bare(self, request: Request) -> Any:
        raise HttpError(404)

    def raises_http_unicode(self, request: Request) -> Any:
        raise HttpError(422, "größer als erlaubt")

    def bad_json(self, request: Request) -> Any:
        return request.json()

    def sys_exit(self, request: Request) -> Any:
        sys.exit(3)

    def os_exit(self, request: Request) -> Any:
        os._exit(3)

    def hang(self, request: Request) -> Any:
        time.sleep(30)

    def spin(self, request: Request) -> Any:
        while True:
            pass

    def swallow(self, request: Request) -> Any:
        while True:
            try:
                time.sleep(0.05)
            except Exception:
                pass

    def wrong_type(self, request: Request) -> Any:
        return object()

    def wrong_tuple(self, request: Request) -> Any:
        return "text", 200

    def wrong_number(self, request: Request) -> Any:
        return 7

    def wrong_status(self, request: Request) -> Any:
        return Response("x", 99)

    def wrong_status_type(self, request: Request) -> Any:
        return Response("x", "200")  # type: ignore[arg-type]

    def wrong_body(self, request: Request) -> Any:
        return Response({"a": 1})  # type: ignore[arg-type]

    def wrong_header(self, request: Request) -> Any:
        return Response("x", 200, {"x-case": "a\r\nset-cookie: b=c"})

    def wrong_header_name(self, request: Request) -> Any:
        return Response("x", 200, {"x case": "a"})

    def wrong_header_type(self, request: Request) -> Any:
        response = Response("x")
        response.headers["x-case"] = 7  # type: ignore[assignment]
        return response

    def not_json(self, request: Request) -> Any:
        return {"when": time}

    def set_value(self, request: Request) -> Any:
        return {"a", "b"}

    def generator(self, request: Request) -> Any:
        return (n for n in range(3))

    def large(self, request: Request) -> Any:
        return "x" * 1_000_000

    def large_binary(self, request: Request) -> Any:
        return bytes(1_000_000)

    def too_large(self, request: Request) -> Any:
        return "x" * 4_500_001

    def size(self, request: Request) -> Any:
        return {"size": len(request.body), "sum": sum(request.body)}

    def text_body(self, request: Request) -> Any:
        return {"text": request.text}

    def helpers(self, request: Request) -> Any:
        return {
            "first": request.query.get("a"),
            "all": request.query.get_all("a"),
            "missing": request.query.get("none", "default"),
            "list": request.headers.get_list("X-Case-List"),
            "cookie": request.cookie("a"),
            "header": request.headers["X-CASE-ONE"],
        }


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    """An ASGI application that tells what it was given."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                scope["state"]["started"] = True
                await send({"type": "lifespan.startup.complete"})
            else:
                await send({"type": "lifespan.shutdown.complete"})
                return
    import json

    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    if scope["path"].endswith("/raise"):
        raise RuntimeError("application failed")
    if scope["path"].endswith("/hang"):
        await asyncio.sleep(30)
    view = {
        "method": scope["method"],
        "path": scope["path"],
        "query_string": scope["query_string"].decode(),
        "headers": [
            [name.decode(), value.decode("latin-1")]
            for name, value in scope["headers"]
            if name.startswith(b"x-case") or name == b"content-type"
        ],
        "body": base64.b64encode(body).decode(),
        "started": scope.get("state", {}).get("started"),
    }
    record(view)
    await send(
        {
            "type": "http.response.start",
            "status": 201,
            "headers": [
                (b"content-type", b"application/json"),
                (b"X-Case", b"asgi"),
                (b"set-cookie", b"a=1; Path=/"),
                (b"set-cookie", b"b=2; Path=/"),
            ],
        }
    )
    text = json.dumps(view).encode()
    await send({"type": "http.response.body", "body": text[:10], "more_body": True})
    await send({"type": "http.response.body", "body": text[10:]})


def wsgi(environ: Any, start_response: Any) -> Any:
    """A WSGI application that tells what it was given."""
    import json

    path = environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace")
    if path.endswith("/raise"):
        raise RuntimeError("application failed")
    if path.endswith("/hang"):
        time.sleep(30)
    view = {
        "method": environ["REQUEST_METHOD"],
        "path": path,
        "query_string": environ["QUERY_STRING"],
        "headers": sorted(
            [name, value] for name, value in environ.items() if name.startswith("HTTP_X_CASE")
        ),
        "content_type": environ.get("CONTENT_TYPE", ""),
        "body": base64.b64encode(environ["wsgi.input"].read()).decode(),
    }
    record(view)
    start_response(
        "201 Created",
        [
            ("Content-Type", "application/json"),
            ("X-Case", "wsgi"),
            ("Set-Cookie", "a=1; Path=/"),
            ("Set-Cookie", "b=2; Path=/"),
        ],
    )
    text = json.dumps(view).encode()
    return iter([text[:10], text[10:]])
