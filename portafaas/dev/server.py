"""The HTTP server, a bare ASGI app: functions' routes, and our own below ``/_portafaas/``."""

from __future__ import annotations

import json
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from time import time
from typing import TYPE_CHECKING, Any

from portafaas.dev.answers import problem

if TYPE_CHECKING:
    from portafaas.dev.service import Dev

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

#: Below this nothing is the application's.
PREFIX = "/_portafaas"
#: Header with who calls, for routes with ``auth: iam``: what a platform's gate would find out.
CALLER = b"portafaas-caller"
#: Headers that say something to the server.
_TELLING = frozenset(
    (CALLER, b"access-control-request-method", b"content-length", b"transfer-encoding")
)
#: Bytes of a body beyond which it is not even read.
_MOST = 64 * 1024 * 1024


class Server:
    """The application that uvicorn serves."""

    def __init__(self, dev: Dev) -> None:
        self._dev = dev

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        dev = self._dev
        method: str = scope["method"]
        path: str = scope["raw_path"].decode("latin-1")
        if path.startswith(PREFIX) and path[11:12] in ("", "/"):
            if method == "HEAD":
                send = _without_length(send)
            # Not before it is wanted: the first answer of a function does not wait for it.
            from portafaas.dev import api

            await api.handle(dev, scope, receive, send)
            return
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        preflight = sized = False
        caller = None
        for name, value in headers:
            if name in _TELLING:
                if name == CALLER:
                    if dev.callers:
                        caller = value.decode("latin-1")
                elif name == b"access-control-request-method":
                    preflight = method == "OPTIONS"
                else:
                    sized = True
        if caller is not None:
            headers = [pair for pair in headers if pair[0] != CALLER]
        found = dev.routes.find(method, path, preflight)
        if type(found) is not str:
            dev.console.unserved(method, path, 405 if found else 404)
            await _no_route(send, method, found)  # type: ignore[arg-type]
            return
        # Without these two there is no body: https://www.rfc-editor.org/rfc/rfc9112#section-6.3
        body: bytes | None = await _body(receive, send) if sized else b""
        if body is None:
            return
        query: str = scope["query_string"].decode("latin-1")
        request = (method, path, query, headers, body, caller)
        began = time()
        instances = dev.instances
        pool = instances.pools[found]
        number, future = instances.http(pool, request)
        answer = await future
        # First: who has the answer finds it recorded.
        dev.calls.answered(pool, number, request, answer, began)
        await send({"type": "http.response.start", "status": answer[0], "headers": answer[1]})
        await send({"type": "http.response.body", "body": answer[2]})


def served(dev: Dev, ready: Callable[[], None]) -> Any:
    """Return the server of an application; *ready* is called when it accepts connections."""
    import uvicorn

    from portafaas.dev.protocol import protocol

    config = uvicorn.Config(
        Server(dev), loop="none", http=protocol(), ws="none", lifespan="off", access_log=False,
        log_config=None, server_header=False, proxy_headers=False, backlog=1024,
        timeout_keep_alive=30,
    )  # fmt: skip

    class Quiet(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            ready()

    return Quiet(config)


async def _body(receive: Receive, send: Send) -> bytes | None:
    """Return the body; None when the client has gone, or has its answer for sending too much."""
    message = await receive()
    if message["type"] == "http.disconnect":
        return None
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        return body
    parts = [body]
    size = len(body)
    while message.get("more_body"):
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        part = message.get("body", b"")
        size += len(part)
        if size <= _MOST:
            parts.append(part)
    if size > _MOST:
        text = f"the body has {size} bytes; nothing above {_MOST} is read"
        await _answer(send, 413, *problem(413, "Content Too Large", text))
        return None
    return b"".join(parts)


def _without_length(send: Send) -> Send:
    """Return what sends the answer to HEAD: ``portafaas.dev.protocol`` waits for announced bodies.

    https://www.rfc-editor.org/rfc/rfc9110#section-8.6: the length may be left out.
    """

    async def sent(message: MutableMapping[str, Any]) -> None:
        if "headers" in message:
            kept = [pair for pair in message["headers"] if pair[0].lower() != b"content-length"]
            message = {**message, "headers": kept}
        await send(message)

    return sent


async def _answer(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _no_route(send: Send, method: str, allowed: tuple[str, ...]) -> None:
    """Answer as the runtime does (H-12, H-13)."""
    status, title = (405, "Method Not Allowed") if allowed else (404, "Not Found")
    body = json.dumps({"type": "about:blank", "title": title, "status": status}).encode()
    headers = [(b"content-type", b"application/problem+json")]
    if allowed:
        headers.append((b"allow", ", ".join(allowed).encode()))
    if method == "HEAD":
        headers, body = headers[1:], b""
    else:
        headers.append((b"content-length", b"%d" % len(body)))
    await _answer(send, status, headers, body)
