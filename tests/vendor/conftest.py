"""One tiny package per target that misbehaves on request, and sessions that run it for real.

The first run installs the runtimes from the package index; later ones find them in the cache.
"""

from __future__ import annotations

import base64
import contextlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from portafaas.vendor import NativeResult, VendorRuntimeError, VendorSession
from portafaas.vendor.environment import prepare

BEHAVIOUR = '''
import json, logging, os, subprocess, sys, threading, time

if os.path.exists(os.environ.get("BROKEN", "/nowhere")):
    raise RuntimeError("broken: on purpose")

count = 0


def act(op="echo", value=""):
    global count
    count += 1
    if op == "fail":
        raise ValueError(value)
    if op == "exit":
        os._exit(int(value))
    if op == "system-exit":
        sys.exit(int(value))
    if op == "sleep":
        time.sleep(float(value))
    if op == "log":
        print("to stdout: " + value)
        print("to stderr: " + value, file=sys.stderr)
        logging.getLogger("app").warning("to logging: " + value)
    if op == "spawn":
        code = "import time; time.sleep(600)"
        value = subprocess.Popen([sys.executable, "-c", code]).pid
    if op == "environment":
        value = dict(os.environ)
    if op == "path":
        value = sys.path
    return {
        "value": value,
        "count": count,
        "pid": os.getpid(),
        "python": "%d.%d" % sys.version_info[:2],
        "main_thread": threading.current_thread() is threading.main_thread(),
    }
'''

AWS_APP = '''
from behaviour import act


def handler(event, context):
    if event.get("op") == "context":
        return {
            "arn": context.invoked_function_arn,
            "memory": context.memory_limit_in_mb,
            "remaining": context.get_remaining_time_in_millis(),
        }
    if event.get("op") == "large":
        return "x" * event["value"]
    if event.get("op") == "bytes":
        return b"no json"
    if event.get("op") == "object":
        return object()
    return act(**event)
'''

AZURE_APP = '''
import json

import azure.functions as func
from behaviour import act

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.function_name("web")
@app.route(route="{*path}", methods=["GET", "POST"])
def web(req):
    if req.params.get("op") == "request":
        facts = {
            "method": req.method,
            "url": req.url,
            "headers": dict(req.headers),
            "query": dict(req.params),
            "route": dict(req.route_params),
        }
        return func.HttpResponse(json.dumps(facts), mimetype="application/json")
    if req.params.get("op") == "response":
        response = func.HttpResponse(req.get_body(), status_code=201, mimetype="image/x-raw")
        response.headers.add("Set-Cookie", "a=1; Path=/; HttpOnly")
        response.headers.add("Set-Cookie", "b=x%20y=; Secure; SameSite=Lax; Max-Age=5")
        response.headers.add("X-Twice", "1")
        response.headers.add("X-Twice", "2")
        return response
    if req.params.get("op") == "none":
        return None
    return func.HttpResponse(json.dumps(act(**req.params)))


@app.function_name("web_async")
@app.route(route="async", methods=["GET"])
async def web_async(req):
    return func.HttpResponse(json.dumps(act(**req.params)))


@app.function_name("queue")
@app.queue_trigger(arg_name="message", queue_name="in", connection="Storage")
@app.queue_output(arg_name="out", queue_name="out", connection="Storage")
def queue(message, out):
    out.set("%s %d" % (message.get_body().decode(), message.dequeue_count))
'''

GCP_APP = '''
import os
import time

import flask
from behaviour import act


def drip(last):
    for _ in range(5):
        yield "drop"
        time.sleep(0.1)
    if last == "exit":
        os._exit(5)
    yield last


def handler(request):
    op = request.args.get("op")
    if op == "request":
        return {
            "method": request.method,
            "raw": request.environ["RAW_URI"],
            "path": request.path,
            "headers": list(request.headers),
        }
    if op == "response":
        response = flask.Response(request.get_data(), status=201, mimetype="image/x-raw")
        response.headers.add("Set-Cookie", "a=1; Path=/; HttpOnly")
        response.headers.add("Set-Cookie", "b=x%20y=; Secure; SameSite=Lax; Max-Age=5")
        response.headers.add("X-Twice", "1")
        response.headers.add("X-Twice", "2")
        return response
    if op == "drip":
        return flask.Response(drip(request.args["value"]))
    if op == "status":
        return "as asked", int(request.args["value"])
    return act(**request.args)


def on_event(event):
    print("event", event["id"], event.data)
'''


class Target:
    """What differs between the targets: packages, requests, results."""

    def __init__(self, name: str) -> None:
        self.name = name

    def runtime(self) -> Any:
        if self.name == "aws":
            from portafaas_aws.vendor import AwsVendorRuntime

            return AwsVendorRuntime()
        if self.name == "azure":
            from portafaas_azure.vendor import AzureVendorRuntime

            return AzureVendorRuntime()
        from portafaas_gcp.vendor import GcpVendorRuntime

        return GcpVendorRuntime()

    @property
    def entry(self) -> str:
        return {"aws": "app.handler", "azure": "web", "gcp": "handler"}[self.name]

    def write(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "behaviour.py").write_text(BEHAVIOUR, encoding="utf-8")
        name, text = {
            "aws": ("app.py", AWS_APP),
            "azure": ("function_app.py", AZURE_APP),
            "gcp": ("main.py", GCP_APP),
        }[self.name]
        (folder / name).write_text(text, encoding="utf-8")
        if self.name == "azure":
            (folder / "host.json").write_text('{"version": "2.0"}', encoding="utf-8")

    def request(self, op: str = "echo", value: str = "", body: bytes | None = None) -> Any:
        text = None if body is None else base64.b64encode(body).decode()
        if self.name == "aws":
            return {"op": op, "value": value}
        query = {"op": op, "value": value}
        if self.name == "gcp":
            path = f"/some/path?{urlencode(query)}"
            method = "GET" if body is None else "POST"
            return {"method": method, "path": path, "headers": [], "body": text}
        http = {
            "method": "GET",
            "url": f"https://app.azurewebsites.net/api/some/path?{urlencode(query)}",
            "headers": {"x-one": "1"},
            "params": {"path": "some/path"},
            "query": query,
            "body": text,
        }
        return {"trigger": {"type": "http", "value": http}}

    def read(self, result: NativeResult) -> Any:
        """Return what ``act`` returned."""
        assert result.ok, result
        if self.name == "aws":
            return result.value
        return json.loads(base64.b64decode(result.value["body"]))


@pytest.fixture
def open_session(tmp_path: Path) -> Iterator[Callable[..., VendorSession]]:
    """Return a function that starts the package of a target; all sessions are closed at the end."""
    with contextlib.ExitStack() as stack:

        def start(target: str, version: str, **changes: Any) -> VendorSession:
            kit = Target(target)
            package = tmp_path / target
            kit.write(package)
            runtime = kit.runtime()
            try:
                python = prepare(target, runtime, version)
            except VendorRuntimeError as exc:
                if exc.code == "PF6002":
                    pytest.skip(str(exc))
                raise
            given = {
                "entry": kit.entry,
                "function": "fn",
                "python": python,
                "env": {},
                "timeout": 10.0,
                "memory": 128,
                "settings": {},
            }
            session: VendorSession = runtime.start(package, **(given | changes))
            return stack.enter_context(session)

        yield start


@pytest.fixture
def target_of() -> Callable[[str], Target]:
    """Return a function that gives the :class:`Target` of a name."""
    return Target


@pytest.fixture
def is_running() -> Callable[[int], bool]:
    """Return a function that tells whether a process runs; one that nobody reaped does not."""
    if not Path("/proc/self/stat").exists():
        pytest.skip("needs /proc")
    return _is_running


@pytest.fixture
def has_ended(is_running: Callable[[int], bool]) -> Callable[[int], bool]:
    """Return a function that tells whether a process ends: a killed one needs a moment."""

    def check(pid: int) -> bool:
        deadline = time.monotonic() + 5
        while is_running(pid) and time.monotonic() < deadline:
            time.sleep(0.002)
        return not is_running(pid)

    return check


def _is_running(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] not in "ZX"
