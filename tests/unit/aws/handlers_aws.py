"""Handlers the tests deploy; ``SEEN`` holds what they were given, as JSON-like values."""

from __future__ import annotations

import time
from typing import Any

from portafaas.runtime import (
    BatchHandler,
    BatchResult,
    ChangeHandler,
    EventHandler,
    HttpError,
    HttpHandler,
    ObjectHandler,
    QueueHandler,
    Response,
    ScheduleHandler,
)

SEEN: list[Any] = []


def _facts(item: Any) -> dict[str, Any]:
    names = {n for kind in type(item).__mro__ for n in getattr(kind, "__slots__", ()) if n[0] != "_"}
    return {name: getattr(item, name) for name in sorted(names - {"raw", "control"})}


class Echo(HttpHandler):
    def handle(self, request: Any, context: Any) -> Any:
        headers = {k: v for k, v in request.headers.items() if k.startswith("x-test")}
        seen = {
            "method": request.method,
            "path": request.path,
            "path_params": request.path_params,
            "query": request.query.items(),
            "raw_query": request.raw_query,
            "headers": headers,
            "cookies": request.cookies,
            "body": request.body,
            "identity": request.identity and (request.identity.subject, request.identity.scheme),
            "attempt": context.attempt,
            "trace": context.trace_parent,
            "function": context.function,
        }
        SEEN.append(seen)
        how = request.headers.get("x-test-answer")
        if how == "raise":
            raise RuntimeError("boom")
        if how == "error":
            raise HttpError(418, "short and stout")
        if how == "exit":
            raise SystemExit(3)
        if how == "sleep":
            time.sleep(10)
        if how == "none":
            return None
        if how == "text":
            return "grüße"
        if how == "bytes":
            return bytes(range(256))
        if how == "text-bytes":
            return Response("é".encode(), content_type="text/plain; charset=utf-8")
        if how == "latin":
            return Response("é".encode("latin-1"), content_type="text/plain; charset=latin-1")
        if how == "empty":
            return Response("", headers={"X-Test": "1"})
        if how == "long":
            return Response('"' * 4_400_000, content_type="text/plain")
        if how == "json":
            return request.json()
        if how == "cookies":
            response = Response("x", 201, {"X-Multi": "a", "Vary": "Accept"})
            response.add_header("x-multi", "b")
            response.set_cookie("a", "1")
            response.set_cookie("b", "2", max_age=5)
            return response
        return {"path": request.path, "query": request.query.items(), "size": len(request.body)}


class Messages(QueueHandler):
    def handle(self, message: Any, context: Any) -> None:
        SEEN.append({**_facts(message), "attempt": context.attempt})
        if message.body.startswith(b"fail"):
            raise ValueError("no")


class Batches(BatchHandler):
    def handle(self, batch: Any, context: Any) -> BatchResult:
        SEEN.append([_facts(message) for message in batch])
        return BatchResult(m for m in batch if m.body.startswith(b"fail"))


class _Any:
    def handle(self, event: Any, context: Any) -> None:
        SEEN.append({**_facts(event), "context": context.attempt})
        if "fail" in repr(event.data) or "fail" in (event.subject or ""):
            raise ValueError("no")


class Events(_Any, EventHandler):
    pass


class Objects(_Any, ObjectHandler):
    pass


class Changes(_Any, ChangeHandler):
    pass


class Ticks(_Any, ScheduleHandler):
    pass
