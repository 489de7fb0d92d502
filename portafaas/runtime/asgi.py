"""Serves an existing ASGI 3 application: HTTP and lifespan. Ships; asyncio loads on first use.

Rules A-1 to A-14 and G-1 to G-13 of ``docs/spec/applications.md``. Loaded only by functions with
``interface: asgi``. https://asgi.readthedocs.io/en/latest/specs/www.html and
https://asgi.readthedocs.io/en/latest/specs/lifespan.html
"""

from __future__ import annotations

from portafaas.runtime.wsgi import (
    LATE,
    application,
    body_limit,
    check_size,
    connection,
    header_pairs,
    joined,
    octets,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping
    from typing import Any

    from portafaas.runtime.context import Context
    from portafaas.runtime.function import Function
    from portafaas.runtime.http import Request, Response

# RFC 3986 pchar and "/": what a client may leave unencoded in a path.
_PATH_SAFE = "/!$&'()*+,;=:@"
_PATH_PLAIN = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~" + _PATH_SAFE


class AsgiApplication:
    """An ASGI application as a handler.

    ``found`` is the application, or a function or class without required arguments that makes it;
    it is called once. Raises HandlerError when it is neither, and for ASGI 2 applications.
    """

    __slots__ = ("_app", "_function", "_home", "_lifespan", "_state")

    _home: asyncio.AbstractEventLoop

    def __init__(self, found: Any, function: Function) -> None:
        self._app = application(found, 3, function)
        self._function = function
        self._state: dict[str, Any] = {}
        self._lifespan: _Lifespan | None = None

    async def init(self) -> None:
        """Run the lifespan's startup; an application without lifespan support is served without.

        Raises RuntimeError when the application reports that its startup failed, HandlerTimeout
        when it takes longer than the function's timeout.
        """
        import asyncio

        self._home = asyncio.get_running_loop()
        lifespan = _Lifespan()
        asgi = {"version": "3.0", "spec_version": "2.0"}
        scope = {"type": "lifespan", "asgi": asgi, "state": self._state}
        if await lifespan.startup(self._app, scope, self._function.timeout):
            self._lifespan = lifespan

    async def shutdown(self) -> None:
        """Run the lifespan's shutdown; raises RuntimeError when the application says it failed."""
        import asyncio

        lifespan, self._lifespan = self._lifespan, None
        if lifespan is None:
            return
        if self._home is asyncio.get_running_loop():
            await lifespan.shutdown(self._function.timeout)
        elif self._home.is_running():
            # A platform has given the instance another loop since.
            told = lifespan.shutdown(self._function.timeout)
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(told, self._home))
        else:
            # The platform has ended its loop already: there is no one to tell.
            lifespan.abandon()

    async def handle(self, request: Request, context: Context) -> Response:
        """Return the application's whole response once the application itself has returned.

        Raises what the application raises, RuntimeError when it breaks the protocol, ValueError
        when its body is larger than the function's limit.
        """
        import asyncio

        # What the lifespan opened belongs to its loop; a platform may call from another one. A loop
        # that has ended would never answer.
        if asyncio.get_running_loop() is self._home or not self._home.is_running():
            return await self._serve(request, context)
        future = asyncio.run_coroutine_threadsafe(self._serve(request, context), self._home)
        return await asyncio.wrap_future(future)

    async def _serve(self, request: Request, context: Context) -> Response:
        exchange = _Exchange(request, body_limit(self._function))
        try:
            await self._app(self._scope(request, context), exchange.receive, exchange.send)
        except (KeyboardInterrupt, SystemExit) as exc:
            # asyncio would let these end the loop, and with it every later request.
            raise RuntimeError(f"the application raised {exc!r}") from exc
        except Exception as exc:
            if not exchange.complete:
                raise
            from portafaas.runtime.context import log_failure

            log_failure(context, LATE, exc)
        finally:
            exchange.disconnect()
        return exchange.result()

    def _scope(self, request: Request, context: Context) -> dict[str, Any]:
        scheme, server, client = connection(request)
        path = request.path
        if path.strip(_PATH_PLAIN):
            from portafaas.runtime.text import percent_encode

            raw_path = percent_encode(path, _PATH_SAFE)
        else:
            raw_path = path
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": scheme,
            "path": path,
            "raw_path": raw_path.encode("ascii"),
            "query_string": request.raw_query.encode("utf-8", "surrogatepass"),
            "root_path": "",
            "headers": [(octets(name), octets(value)) for name, value in header_pairs(request)],
            "client": client,
            "server": server,
            "state": self._state.copy(),
            "extensions": {
                "portafaas": {"context": context, "request": request, "identity": request.identity}
            },
        }


class _Exchange:
    """The two channels of one request."""

    __slots__ = (
        "_chunks",
        "_done",
        "_failure",
        "_limit",
        "_request",
        "_response",
        "_size",
        "_taken",
        "complete",
    )

    def __init__(self, request: Request, limit: int) -> None:
        self._request = request
        self._limit = limit
        self._taken = False
        self._chunks: list[bytes] = []
        self._size = 0
        self._response: Response | None = None
        self._failure: ValueError | None = None
        self._done: asyncio.Event | None = None
        self.complete = False

    async def receive(self) -> dict[str, Any]:
        """Give the body once, then ``http.disconnect`` when the response is complete."""
        if not self._taken:
            self._taken = True
            return {"type": "http.request", "body": self._request.body, "more_body": False}
        if not self.complete:
            # An early disconnect would make frameworks give up on the response.
            if self._done is None:
                import asyncio

                self._done = asyncio.Event()
            await self._done.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Mapping[str, Any]) -> None:
        """Take one message of the response; those after the last one are ignored."""
        kind = message["type"]
        if self.complete:
            return
        if self._response is None:
            if kind != "http.response.start":
                raise RuntimeError(f"expected 'http.response.start', not {kind!r}")
            from portafaas.runtime.http import Response

            response = Response(None, message["status"])
            for name, value in message.get("headers", ()):
                response.add_header(
                    bytes(name).decode("latin-1"), bytes(value).decode("latin-1").strip(" \t")
                )
            self._response = response
            return
        if kind != "http.response.body":
            raise RuntimeError(f"expected 'http.response.body', not {kind!r}")
        body = bytes(message.get("body", b""))
        if body and self._request.method != "HEAD":
            self._size += len(body)
            try:
                check_size(self._size, self._limit)
            except ValueError as exc:
                # Kept, so that an application that swallows it does not send half a body.
                self._failure = exc
                raise
            self._chunks.append(body)
        if not message.get("more_body", False):
            self.complete = True
            self.disconnect()

    def disconnect(self) -> None:
        """Let everyone who waits in :meth:`receive` go on."""
        if self._done is not None:
            self._done.set()

    def result(self) -> Response:
        """Return the response, or raise for an application that did not finish one."""
        if self._failure is not None:
            raise self._failure
        if self._response is None:
            raise RuntimeError("the application returned without a response")
        if not self.complete:
            raise RuntimeError("the application returned without completing its response")
        self._response.body = joined(self._chunks)
        return self._response


class _Lifespan:
    """The task that runs the application for the life of the instance, and its channels."""

    __slots__ = ("_inbox", "_started", "_stopped", "_task")

    _inbox: asyncio.Queue[dict[str, Any]]
    _started: asyncio.Future[None]
    _stopped: asyncio.Future[None]
    _task: asyncio.Task[None]

    async def startup(self, app: Any, scope: dict[str, Any], seconds: float) -> bool:
        """Return True when the application has started, False when it has no lifespan."""
        import asyncio

        from portafaas.runtime.context import HandlerTimeout

        running = asyncio.get_running_loop()
        self._inbox = asyncio.Queue()
        self._started = running.create_future()
        self._stopped = running.create_future()
        for future in (self._started, self._stopped):
            future.add_done_callback(_retrieve)
        self._task = running.create_task(self._run(app, scope))
        self._task.add_done_callback(_retrieve)
        self._inbox.put_nowait({"type": "lifespan.startup"})
        await self._first(self._started, seconds)
        if self._started.done():
            self._started.result()
            return True
        if not self._task.done():
            self._task.cancel()
            raise HandlerTimeout
        # "If an exception is raised ... the server must continue but not send any lifespan events."
        return False

    async def shutdown(self, seconds: float) -> None:
        """Tell the application to stop and wait until it has, at most *seconds*."""
        if not self._task.done():
            self._inbox.put_nowait({"type": "lifespan.shutdown"})
            await self._first(self._stopped, seconds)
            if self._stopped.done():
                self._stopped.result()

    def abandon(self) -> None:
        """Let go of a task whose loop has ended."""
        # As asyncio.gather does: it would be reported as lost when the process ends.
        self._task._log_destroy_pending = False  # type: ignore[attr-defined]

    async def _first(self, answer: asyncio.Future[None], seconds: float) -> None:
        import asyncio

        await asyncio.wait(
            (self._task, answer), timeout=seconds, return_when=asyncio.FIRST_COMPLETED
        )

    async def _run(self, app: Any, scope: dict[str, Any]) -> None:
        try:
            await app(scope, self._inbox.get, self._send)
        except (KeyboardInterrupt, SystemExit) as exc:
            raise RuntimeError(f"the application raised {exc!r}") from exc

    async def _send(self, message: Mapping[str, Any]) -> None:
        _, phase, outcome = f"{message['type']}..".split(".", 3)[:3]
        future = {"startup": self._started, "shutdown": self._stopped}.get(phase)
        if future is None or outcome not in ("complete", "failed"):
            raise RuntimeError(f"{message['type']!r} is not a lifespan message")
        if future.done():
            return
        if outcome == "complete":
            future.set_result(None)
        else:
            text = message.get("message") or "no reason given"
            future.set_exception(RuntimeError(f"the application's {phase} failed: {text}"))


def _retrieve(future: asyncio.Future[Any]) -> None:
    # Marks an exception as seen; asyncio would report it when the future is collected.
    if not future.cancelled():
        future.exception()
