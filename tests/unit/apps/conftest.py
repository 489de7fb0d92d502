"""Functions around applications, and the same applications behind a real server."""

from __future__ import annotations

import http.client
import itertools
import os
import socket
import subprocess
import sys
import types
from pathlib import Path

import pytest

from portafaas.adapter.stimulus import HttpOutcome, HttpStimulus
from portafaas.local.runner import deliver
from portafaas.runtime.function import Function

SITES = Path(__file__).with_name("sites")
# What the server adds, or what follows from how it frames the body.
FRAMING = ("date", "server", "content-length", "transfer-encoding", "connection", "keep-alive")
_numbers = itertools.count()


def function_for(handler: str, interface: str, *, timeout: float = 20, **settings) -> Function:
    return Function(
        {
            "name": "web",
            "service": "shop",
            "kind": "http",
            "handler": handler,
            "interface": interface,
            "timeout": timeout,
            "memory": 256,
            "concurrency": settings.pop("concurrency", 1),
            "source": "/shop/web",
            "trigger": {"path": "/{path*}", "methods": [], **settings},
        }
    )


@pytest.fixture(scope="session", autouse=True)
def sites_importable():
    sys.path.insert(0, str(SITES))
    yield
    sys.path.remove(str(SITES))


@pytest.fixture(scope="session")
def site(sites_importable):
    """Return a function that makes a new instance around an application of ``sites``."""
    return function_for


@pytest.fixture
def around(monkeypatch):
    """Return a function that serves an application given as an object."""

    def make(app: object, interface: str, **settings) -> Function:
        name = f"around_{next(_numbers)}"
        module = types.ModuleType(name)
        module.app = app
        monkeypatch.setitem(sys.modules, name, module)
        return function_for(f"{name}:app", interface, **settings)

    return make


@pytest.fixture(scope="session")
def send():
    """Return a function that delivers one HTTP request."""

    def call(function, method="GET", path="/", query="", headers=(), body=b"", **more):
        stimulus = HttpStimulus(method, path, query, tuple(headers), body, **more)
        outcome = deliver(function, stimulus)
        assert isinstance(outcome, HttpOutcome)
        return outcome

    return call


@pytest.fixture(scope="session")
def served(sites_importable):
    """Return a function that runs a handler behind its reference server and gives the port."""
    processes = []

    def start(handler: str, interface: str) -> int:
        listener = socket.create_server(("127.0.0.1", 0), backlog=16)
        fd = listener.fileno()
        if interface == "asgi":
            code = (
                "import socket, sys, uvicorn;"
                "config = uvicorn.Config(sys.argv[1], log_level='critical');"
                "uvicorn.Server(config).run(sockets=[socket.socket(fileno=int(sys.argv[2]))])"
            )
            command = [sys.executable, "-c", code, handler, str(fd)]
        else:
            command = [sys.executable, "-m", "gunicorn", "--bind", f"fd://{fd}"]
            command += ["--log-level", "critical", "--worker-tmp-dir", "/tmp", handler]
        environment = {**os.environ, "PYTHONPATH": str(SITES)}
        processes.append(
            subprocess.Popen(
                command, env=environment, pass_fds=[fd],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )
        )  # fmt: skip
        port = listener.getsockname()[1]
        listener.close()  # the server holds its own copy; requests wait in the backlog
        return port

    yield start
    for process in processes:
        process.terminate()
    for process in processes:
        process.wait(20)


@pytest.fixture(scope="session")
def ask():
    """Return a function that sends a stimulus over a socket and gives the outcome."""

    def call(port: int, stimulus: HttpStimulus) -> HttpOutcome:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        target = f"{stimulus.path}?{stimulus.query}" if stimulus.query else stimulus.path
        connection.putrequest(stimulus.method, target, skip_host=True, skip_accept_encoding=True)
        for name, value in stimulus.headers:
            connection.putheader(name, value)
        connection.endheaders(stimulus.body or None)
        response = connection.getresponse()
        body = response.read()
        headers: dict[str, str] = {}
        cookies = []
        for name, value in response.getheaders():
            name = name.lower()
            if name == "set-cookie":
                cookies.append(value)
            elif name not in FRAMING and not (name == "content-type" and not body):
                headers[name] = f"{headers[name]}, {value}" if name in headers else value
        connection.close()
        if body:
            # Rule A-9: the platforms would each add a content type of their own.
            headers.setdefault("content-type", "application/octet-stream")
        return HttpOutcome(response.status, tuple(sorted(headers.items())), tuple(cookies), body)

    return call
