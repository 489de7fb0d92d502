"""Handlers of the Azure unit tests."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

from portafaas.runtime import (
    Batch,
    BatchHandler,
    BatchResult,
    Context,
    HttpError,
    Request,
    Response,
)

#: What the handlers were given, as plain values.
seen: list[Any] = []
#: Names of what ran, for the tests of concurrency.
running: list[str] = []


def view(request: Request) -> dict[str, Any]:
    hidden = ("host", "x-original-url", "x-waws-unencoded-url", "x-ms-client-principal-id",
              "x-ms-client-principal-idp")  # fmt: skip
    return {
        "method": request.method,
        "path": request.path,
        "params": request.path_params,
        "query": request.raw_query,
        "headers": {k: v for k, v in request.headers.items() if k not in hidden},
        "cookies": [list(pair) for pair in request.cookies],
        "body": request.body.hex(),
        "who": request.identity and request.identity.subject,
    }


def web(request: Request, context: Context) -> Any:
    seen.append(view(request))
    what = request.path.rpartition("/")[2]
    if what == "bytes":
        return Response(request.body, 201, {"X-Case": "a", "content-type": "image/png"})
    if what == "none":
        return None
    if what == "text":
        return "caf\u00e9"
    if what == "redirect":
        return Response.redirect("/elsewhere")
    if what == "raise":
        raise RuntimeError("handler failed")
    if what == "error":
        raise HttpError(409, "no", {"x-why": "because"})
    if what == "exit":
        sys.exit(3)
    if what == "stop":
        raise StopIteration
    if what == "hang":
        while True:
            time.sleep(0.01)
    if what == "cookies":
        return Response("x", cookies=json.loads(request.body))
    return view(request)


async def web_async(request: Request, context: Context) -> Any:
    seen.append(view(request))
    what = request.path_params["id"]
    await asyncio.sleep(0)
    if what == "hang":
        try:
            await asyncio.sleep(30)
        finally:
            running.append("cancelled")
    if what == "stubborn":
        while True:
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                running.append("ignored")
                await asyncio.sleep(0.05)
                return "late"
    if what == "cancel":
        raise asyncio.CancelledError
    if what == "exit":
        sys.exit(3)
    return {"id": what}


def act(body: bytes) -> None:
    if body == b"raise":
        raise RuntimeError("handler failed")
    if body == b"exit":
        sys.exit(3)
    if body == b"hang":
        while True:
            time.sleep(0.01)


def message_view(message: Any) -> list[Any]:
    return [message.id, message.body.hex(), dict(message.attributes), message.key, message.queue,
            message.attempt, message.time]  # fmt: skip


def work(message: Any, context: Context) -> None:
    seen.append([*message_view(message), context.attempt])
    act(message.body)


async def work_async(message: Any, context: Context) -> None:
    seen.append(message_view(message))
    if message.body == b"hang":
        await asyncio.sleep(30)
    act(message.body)


class Batches(BatchHandler):
    def handle(self, batch: Batch, context: Context) -> BatchResult:
        result = BatchResult()
        for message in batch:
            seen.append(message_view(message))
            if message.body == b"raise":
                result.retry(message)
        return result


def on_event(event: Any, context: Context) -> None:
    seen.append({**event.to_dict(), "attributes": event.attributes, "key": event.key,
                 "attempt": event.attempt})  # fmt: skip
    if event.subject == "raise" or event.data == "raise":
        raise RuntimeError("handler failed")


class Lived:
    """Async init and handle on one loop; counts how many run at once."""

    def __init__(self) -> None:
        self.now = self.most = 0

    async def init(self) -> None:
        self.lock = asyncio.Lock()
        self.loop = asyncio.get_running_loop()
        await asyncio.sleep(0.01)
        running.append("init")

    async def handle(self, message: Any, context: Context) -> None:
        assert asyncio.get_running_loop() is self.loop
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0.02)
        self.now -= 1
        running.append(f"most {self.most}")
