"""The HTTP API of the Durable Functions extension, over our engine; local and remote alike.

Paths and answers: https://learn.microsoft.com/azure/azure-functions/durable/durable-functions-http-api
What is left out of histories and put together there: ``DurableClient.cs`` of the extension.
"""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.workflows.azure_engine import (
    CHILD,
    CHILD_DONE,
    CHILD_FAILED,
    RAISED,
    SCHEDULED,
    TASK_DONE,
    TASK_FAILED,
    Engine,
    Instance,
    written,
)

KEY = "system-key"
PAGE = 3


def token_of(value: str | None) -> Any:
    """Return JSON as the extension shows it; what is none stays as it is."""
    try:
        return json.loads(value) if value is not None else None
    except ValueError:
        return value


def status_of(instance: Instance, query: dict[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": instance.name, "instanceId": instance.id, "runtimeStatus": instance.status,
        "input": token_of(instance.input) if query.get("showInput") != "false" else None,
        "customStatus": instance.custom, "output": instance.output,
        "createdTime": written(instance.created), "lastUpdatedTime": written(instance.updated),
        "historyEvents": None,
    }  # fmt: skip
    if query.get("showHistory") == "true":
        found["historyEvents"] = history_of(instance)
    return found


def history_of(instance: Instance) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    scheduled: dict[int, dict[str, Any]] = {}
    for event in instance.history:
        kind = event["EventType"]
        if kind in (SCHEDULED, CHILD):
            scheduled[event["EventId"]] = shown = {
                "EventType": "TaskScheduled" if kind == SCHEDULED else "SubOrchestrationInstanceCreated", "Timestamp": event["Timestamp"],
                "Name": event["Name"],
            }  # fmt: skip
            if kind == SCHEDULED:
                shown["Input"] = event["Input"]
            events.append(shown)
        elif kind in (CHILD_DONE, CHILD_FAILED):
            begun = scheduled[event["TaskScheduledId"]]
            events.remove(begun)
            done = kind == CHILD_DONE
            shown = {
                "EventType": f"SubOrchestrationInstance{'Completed' if done else 'Failed'}",
                "Timestamp": event["Timestamp"], "ScheduledTime": begun["Timestamp"],
                "FunctionName": begun["Name"],
            }  # fmt: skip
            shown |= {"Result": token_of(event["Result"])} if done else {"Reason": event["Reason"]}
            events.append(shown)
        elif kind in (TASK_DONE, TASK_FAILED):
            begun = scheduled[event["TaskScheduledId"]]
            events.remove(begun)
            shown = {
                "EventType": "TaskCompleted" if kind == TASK_DONE else "TaskFailed",
                "Timestamp": event["Timestamp"], "ScheduledTime": begun["Timestamp"],
                "FunctionName": begun["Name"], "Input": begun["Input"],
            }  # fmt: skip
            if kind == TASK_DONE:
                shown["Result"] = token_of(event["Result"])
            else:
                shown["Reason"] = event["Reason"]
            events.append(shown)
        elif kind == RAISED:
            shown = {
                "EventType": "EventRaised", "Timestamp": event["Timestamp"],
                "Name": event["Name"], "Input": event["Input"],
            }  # fmt: skip
            events.append(shown)
    return events


@contextmanager
def served(
    engine: Engine, keyed: bool, certificate: str = "", beat: float = 0.0, bare: bool = False
) -> Iterator[str]:
    """Serve the API; yield its URL. With *keyed* nobody gets in without the system key.

    With TLS if there is a *certificate*. Every request finds the clock *beat* seconds later, and
    what is due by then done.
    *bare*: histories without inputs, as some versions of the extension show them.
    """
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *words: Any) -> None:
            """Say nothing."""

        def answer(self, code: int, document: Any = None, **headers: str) -> None:
            body = json.dumps(document).encode() if document is not None else b""
            self.send_response(code)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            self.handle_alone("GET")

        def do_POST(self) -> None:
            self.handle_alone("POST")

        def handle_alone(self, method: str) -> None:
            with lock:
                engine.run(beat)
                self.handle_one(method)

        def handle_one(self, method: str) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            words = [unquote(word) for word in parts.path.strip("/").split("/")]
            words = words[words.index("durabletask") + 1 :]
            if keyed and self.headers.get("x-functions-key") != KEY:
                return self.answer(401)
            if keyed and self.headers.get("authorization"):
                return self.answer(400, "a token of another service")
            if words[0] == "orchestrators" and method == "POST":
                engine.start(words[1], body.decode() or "null", words[2])
                return self.answer(202, {"id": words[2]})
            if words == ["instances"]:
                every = [
                    one for one in engine.instances.values()
                    if one.id.startswith(query.get("instanceIdPrefix", ""))
                ]  # fmt: skip
                start = int(self.headers.get("x-ms-continuation-token") or 0)
                page = [status_of(one, query) for one in every[start : start + PAGE]]
                after = str(start + PAGE) if start + PAGE < len(every) else ""
                return self.answer(200, page, **({"x_ms_continuation_token": after}))
            instance = engine.instances.get(words[1])
            if instance is None:
                return self.answer(404)
            running = instance.status in ("Pending", "Running")
            if method == "GET":
                found = status_of(instance, query)
                for event in (found["historyEvents"] or ()) if bare else ():
                    event.pop("Input", None)
                return self.answer(202 if running else 200, found)
            if not running:
                return self.answer(410)
            if words[2] == "raiseEvent":
                engine.raise_event(instance.id, words[3], body.decode())
            else:
                engine.terminate(instance.id, query.get("reason", ""))
            return self.answer(202)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http{'s' if certificate else ''}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def client(url: str) -> str:
    """Return what the host binds as the durable client."""
    base = f"{url}/durabletask/"
    return json.dumps(
        {"taskHubName": "portafaas", "creationUrls": {}, "managementUrls": {"id": "ID"},
         "rpcBaseUrl": base, "baseUrl": base}
    )  # fmt: skip
