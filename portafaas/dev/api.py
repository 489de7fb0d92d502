"""The JSON API of ``portafaas dev``, and its dashboard, below ``/_portafaas/``.

An ASGI application (:func:`handle`) that wants nothing of the application but what
``portafaas.dev.service.Dev`` offers. Who may ask: ``api_http.permitted``. What blocks, the store
above all, is done in threads.

Answers are JSON. What is refused has a status of 400 and more, and ``{"error": {"code", "message",
"hint", "diagnostics"}}``.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
from collections.abc import Callable
from typing import Any

from portafaas.dev import (
    api_actions,
    api_calls,
    api_data,
    api_runs,
    api_samples,
    api_store,
    api_views,
)
from portafaas.dev.api_http import (
    ROOT,
    Call,
    Raw,
    Receive,
    Refused,
    Scope,
    Send,
    answer,
    body_of,
    permitted,
    query_of,
    refusal,
    reply,
    segments,
    static,
)
from portafaas.dev.api_picture import stylesheet

_LOG = logging.getLogger(__name__)

#: Method, path (``{name}``: one part of it, ``{name*}``: all that follows), what answers it.
ROUTES: tuple[tuple[str, str, Callable[[Call], Any]], ...] = (
    ("GET", "service", api_views.service),
    ("GET", "map", api_views.map_),
    ("GET", "numbers", api_views.numbers),
    ("GET", "invocations", api_calls.invocations),
    ("GET", "invocations/{id}", api_calls.invocation),
    ("GET", "traces/{trace}", api_calls.trace),
    ("GET", "boxes", api_store.boxes),
    ("GET", "boxes/{box}/messages", api_store.waiting),
    ("GET", "boxes/{box}/letters", api_store.letters),
    ("POST", "boxes/{box}/redrive", api_actions.redrive),
    ("POST", "boxes/{box}/purge", api_actions.purge),
    ("GET", "functions/{function}/sample", api_samples.function),
    ("POST", "functions/{function}/invoke", api_actions.invoke),
    ("GET", "topics/{topic}/sample", api_samples.topic),
    ("POST", "topics/{topic}/publish", api_actions.publish),
    ("GET", "queues/{queue}/sample", api_samples.queue),
    ("POST", "queues/{queue}/send", api_actions.send),
    ("GET", "schedules", api_views.schedules),
    ("POST", "schedules/{function}/fire", api_actions.fire),
    ("GET", "tables", api_data.tables),
    ("GET", "tables/{table}", api_data.rows),
    ("GET", "buckets", api_data.buckets),
    ("GET", "buckets/{bucket}", api_data.objects),
    ("GET", "buckets/{bucket}/{key*}", api_data.content),
    ("GET", "workflows", api_runs.workflows),
    ("GET", "workflows/{workflow}", api_runs.workflow),
    ("POST", "workflows/{workflow}/start", api_actions.start),
    ("GET", "runs", api_runs.runs),
    ("GET", "runs/{workflow}/{run}", api_runs.run),
    ("POST", "runs/{workflow}/{run}/signal", api_actions.signal),
    ("POST", "runs/{workflow}/{run}/cancel", api_actions.cancel),
    ("POST", "runs/{workflow}/{run}/retry", api_actions.retry),
    ("GET", "secrets", api_views.secrets),
    ("GET", "findings", api_views.findings),
    ("GET", "clock", api_store.clock),
    ("POST", "clock", api_actions.advance),
)


async def handle(dev: Any, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request below ``/_portafaas/``; *dev* is the running application."""
    try:
        permitted(scope)
        parts = segments(scope)
        if parts[0] == "api":
            await _api(dev, scope, parts[1:], receive, send)
        elif parts == ["v1", "traces"] and scope["method"] == "POST":
            await _spans(dev, receive, send)
        elif scope["method"] not in ("GET", "HEAD"):
            raise Refused(405, "PF8059", "only GET is for this")
        elif parts == ["events"]:
            await events(dev, receive, send)
        elif scope["path"] == ROOT.rstrip("/"):
            await reply(send, 308, b"", (("location", ROOT),))
        elif parts == ["picture.css"]:
            headers = (("content-type", "text/css; charset=utf-8"), ("cache-control", "no-cache"))
            await reply(send, 200, stylesheet(), headers)
        else:
            await static(send, "index.html" if parts == [""] else "/".join(parts))
    except Exception as error:
        try:
            status, told = refusal(error)
        except Exception:
            _LOG.exception("%s %s failed", scope["method"], scope["path"])
            text = f"a bug: {type(error).__name__}; the terminal has the traceback"
            status, told = 500, {"error": {"code": "PF8059", "message": text, "hint": None}}
        await answer(send, status, told)


async def _api(dev: Any, scope: Scope, parts: list[str], receive: Receive, send: Send) -> None:
    method = "GET" if scope["method"] == "HEAD" else scope["method"]
    allowed = []
    for verb, path, function in ROUTES:
        params = _match(path.split("/"), parts)
        if params is None:
            continue
        allowed.append(verb)
        if verb != method:
            continue
        body = await body_of(receive) if verb == "POST" else None
        call = Call(dev, params, query_of(scope), body)
        if inspect.iscoroutinefunction(function):
            value = await function(call)
        else:
            value = await asyncio.to_thread(function, call)
        if isinstance(value, Raw):
            await reply(send, 200, value.content, value.headers)
        else:
            await answer(send, 200, value)
        return
    if allowed:
        raise Refused(405, "PF8059", f"{method} is not for this", ", ".join(allowed))
    raise Refused(404, "PF8059", f"there is no {ROOT}api/{'/'.join(parts)}")


def _match(pattern: list[str], parts: list[str]) -> dict[str, str] | None:
    rest = pattern[-1].endswith("*}")
    if len(parts) < len(pattern) or (len(parts) > len(pattern) and not rest):
        return None
    found = {}
    for place, part in enumerate(pattern):
        if part.endswith("*}"):
            found[part[1:-2]] = "/".join(parts[place:])
        elif part.startswith("{"):
            found[part[1:-1]] = parts[place]
        elif part != parts[place]:
            return None
    return found


async def _spans(dev: Any, receive: Receive, send: Send) -> None:
    """Take spans, as OTLP's JSON: https://opentelemetry.io/docs/specs/otlp/#otlphttp."""
    document = await body_of(receive)
    try:
        dev.calls.spans(document)
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise Refused(400, "PF8059", f"no spans of OTLP: {exc}") from None
    await answer(send, 200, {})


#: Seconds between two signs of life on a quiet feed.
_ALIVE = 10.0


async def events(dev: Any, receive: Receive, send: Send) -> None:
    """Send what happens as it happens: https://html.spec.whatwg.org/#server-sent-events."""
    headers = (
        (b"content-type", b"text/event-stream"),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
    )
    listener = dev.activity.listen()
    feed = listener.__aiter__()
    gone = asyncio.ensure_future(_gone(receive))
    coming = asyncio.ensure_future(anext(feed))
    try:
        await send({"type": "http.response.start", "status": 200, "headers": list(headers)})
        await _part(send, b"retry: 1000\n\n")
        while True:
            done, _ = await asyncio.wait(
                (gone, coming), timeout=_ALIVE, return_when=asyncio.FIRST_COMPLETED
            )
            if gone in done:
                return
            if coming in done:
                try:
                    event = coming.result()
                except StopAsyncIteration:
                    return
                text = json.dumps(event, separators=(",", ":"), default=str)
                await _part(send, f"data: {text}\n\n".encode())
                coming = asyncio.ensure_future(anext(feed))
            else:
                await _part(send, b": alive\n\n")
    finally:
        gone.cancel()
        coming.cancel()
        listener.close()


async def _part(send: Send, content: bytes) -> None:
    await send({"type": "http.response.body", "body": content, "more_body": True})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
