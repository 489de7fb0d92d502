"""The application of the tests of ``portafaas dev``: written into a folder, and served."""

from __future__ import annotations

import contextlib
import http.client
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from portafaas.dev.logs import Console
from portafaas.dev.service import Dev

PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"

APP = """
import os, signal, sys, time


def hello(request, context):
    return {"hello": "world"}


def slow(request, context):
    time.sleep(0.4)
    return {"pid": os.getpid()}


def fate(request, context):
    how = request.path_params["how"]
    print("fate:", how)
    context.logger.info("it is %s", how, extra={"how": how})
    if how == "raise":
        raise RuntimeError("as asked")
    if how == "exit":
        os._exit(3)
    if how == "sleep":
        time.sleep(60)
    if how == "hang":
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
        time.sleep(60)
    if how == "memory":
        kept = []
        while True:
            kept.append(bytearray(20_000_000))
            time.sleep(0.005)
    return {"how": how, "pid": os.getpid()}


def size(request, context):
    return {"size": len(request.body), "end": request.body[-3:].decode()}


def order(request, context):
    context.queues["jobs"].send({"name": request.path_params["name"]})
    return {"sent": True}


def work(message, context):
    name = message.json()["name"]
    context.logger.warning("working at %s", name)
    print("printed", name)
    if name.startswith("bad"):
        raise ValueError(f"{name} is bad")
    if name.startswith("greedy"):
        kept = []
        while True:
            kept.append(bytearray(20_000_000))
            time.sleep(0.005)
    if name.startswith("exit"):
        os._exit(4)
    context.tables["done"].put({"id": name})


def on_done(event, context):
    print("done:", event.new["id"])


def tick(event, context):
    with open(os.environ["TICKS"], "a") as file:
        file.write(event.time + "\\n")


def who(request, context):
    return {"who": request.identity.subject}


def first(task, context):
    return {"n": task.input["n"] + 1}
"""


def manifest() -> dict[str, Any]:
    """Return the manifest as a document."""

    def function(handler: str, trigger: Mapping[str, Any], **rest: Any) -> dict[str, Any]:
        return {"handler": f"app:{handler}", "trigger": trigger, "timeout": "10s", **rest}

    def http(path: str, method: Any = "GET", **rest: Any) -> dict[str, Any]:
        return {"http": {"method": method, "path": path, **rest}}

    once = {"attempts": 2, "initial": "100ms", "backoff": "fixed", "jitter": False}
    return {
        "portafaas": 1,
        "name": "kiosk",
        "python": PYTHON,
        "functions": {
            "hello": function("hello", http("/hello")),
            "slow": function("slow", http("/slow")),
            "together": function("slow", http("/together"), concurrency=4),
            "fate": function("fate", http("/fate/{how}", "ANY"), timeout="1s", memory="192MB"),
            "greedy": function("fate", http("/greedy/{how}"), timeout="30s", memory="192MB"),
            "size": function("size", http("/size", "POST")),
            "order": function("order", http("/orders/{name}", "POST"), uses=[{"send": "jobs"}]),
            "who": function("who", http("/who", auth="iam")),
            "work": function(
                "work",
                {"queue": {"name": "jobs"}},
                retry=once,
                uses=[{"write": "done"}],
                memory="192MB",
            ),
            "on-done": function("on_done", {"table": {"name": "done"}}),
            "tick": function(
                "tick", {"schedule": {"cron": "30 * * * *", "timezone": "Europe/Berlin"}}
            ),
            "first": function("first", {"task": {}}),
        },
        "queues": {"jobs": {"dead-letter": True}},
        "tables": {"done": {}},
        "workflows": {"add": {"steps": {"one": {"task": "first"}}}},
    }


def write(folder: Path, document: Mapping[str, Any] | None = None) -> Path:
    """Write the project; return the manifest's path."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "app.py").write_text(APP, encoding="utf-8")
    file = folder / "portafaas.yaml"
    file.write_text(json.dumps(document or manifest(), indent=1), encoding="utf-8")
    return file


@contextlib.contextmanager
def served(folder: Path, **settings: Any) -> Iterator[Dev]:
    """Serve the project in *folder*."""
    settings = {"port": 0, "findings": False, "reload": False, **settings}
    with Dev(write(folder), console=Console(quiet=True), **settings) as dev:
        yield dev


def call(
    dev: Dev, method: str, path: str, body: bytes | None = None, **headers: Any
) -> tuple[int, Any]:
    """Send a request; return status and body, as JSON where it is."""
    connection = http.client.HTTPConnection("127.0.0.1", dev.port, timeout=60)
    try:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, sent)
        answer = connection.getresponse()
        data = answer.read()
    finally:
        connection.close()
    try:
        return answer.status, json.loads(data)
    except ValueError:
        return answer.status, data


def until(found: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Return what *found* returns when that is something; fail after *seconds*."""
    end = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < end, "it did not come so far"
        time.sleep(0.02)
    return value
