"""The driver of workflows: tokens, repetitions, errors; and whom the control function lets in."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace
from typing import Any

import pytest

from portafaas.runtime.resources import NotFound, NotWaiting, ResourceError
from portafaas_azure.runtime import control, identity, resources, runs
from portafaas_azure.runtime.control import Control, allowed, ended, is_id


class App:
    """Answers with what it is told, in turn; what it was asked is kept."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, Any]] = []
        self.asked: list[tuple[str, str, Any, str]] = []
        app = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *words: Any) -> None:
                """Say nothing."""

            def do_GET(self) -> None:
                self.handle_one()

            def do_POST(self) -> None:
                self.handle_one()

            def handle_one(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                said = str(self.headers.get("authorization"))
                app.asked.append((self.command, self.path, json.loads(body or b"null"), said))
                code, document = app.answers.pop(0)
                if not code:
                    self.close_connection = True
                    return
                text = document if isinstance(document, bytes) else json.dumps(document).encode()
                self.send_response(code)
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self.server.server_port}/portafaas/workflows/f#api://c"


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    def token(resource: str, refresh: bool = False) -> identity.Token:
        return identity.Token(f"{resource}{' anew' if refresh else ''}", 9_999_999_999)

    monkeypatch.setattr(identity, "token", token)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    found = App()
    yield found
    found.server.shutdown()
    found.server.server_close()


def test_a_start_is_repeated_under_one_id(app: App) -> None:
    app.answers = [(0, None), (503, b"<html>"), (200, {"run": "x"})]
    run = resources.start_run(app.address, {"n": 1})
    assert {json.dumps(asked[2]) for asked in app.asked} == {
        json.dumps({"run": run, "input": {"n": 1}})
    }
    assert [asked[:2] for asked in app.asked] == [("POST", "/portafaas/workflows/f")] * 3
    assert app.asked[0][3] == "Bearer api://c"


def test_a_token_that_is_refused_is_asked_for_anew(app: App) -> None:
    app.answers = [(401, b""), (200, {"state": "running", "waiting": ["go"]})]
    found = resources.run_status(app.address, "r 1/ü")
    assert (found.state, found.waiting, found.run) == ("running", ("go",), "r 1/ü")
    assert app.asked[1][1:] == ("/portafaas/workflows/f/r%201%2F%C3%BC", None, "Bearer api://c anew")


@pytest.mark.parametrize(
    ("code", "kind", "again"),
    [(404, NotFound, False), (409, NotWaiting, False), (403, ResourceError, False),
     (503, ResourceError, True), (400, ResourceError, False)],
)  # fmt: skip
def test_a_signal_is_sent_once(app: App, code: int, kind: type, again: bool) -> None:
    app.answers = [(code, {"error": "so it is"})]
    with pytest.raises(ResourceError, match="so it is") as raised:
        resources.signal_run(app.address, "r1", "go", {"a": None})
    assert type(raised.value) is kind and raised.value.retryable is again
    assert app.asked == [
        ("POST", "/portafaas/workflows/f/r1/go", {"payload": {"a": None}}, "Bearer api://c")
    ]


def test_nobody_answers(app: App) -> None:
    app.answers = [(0, None)] * 3
    with pytest.raises(ResourceError, match="cannot start f") as raised:
        resources.start_run(app.address, 1)
    assert raised.value.retryable and len(app.asked) == 3


def test_the_app_itself_is_reached_by_its_own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refused:
        def __init__(self, host: str, timeout: float) -> None:
            raise OSError(host)

    monkeypatch.setattr("http.client.HTTPSConnection", Refused)
    monkeypatch.setenv("WEBSITE_HOSTNAME", "own.azurewebsites.net")
    with pytest.raises(OSError, match=r"own\.azurewebsites\.net"):
        runs.call("GET", "/portafaas/workflows/f", "/r1", None, "ask", 1)


def test_only_who_is_named_and_known_gets_in(monkeypatch: pytest.MonkeyPatch) -> None:
    header = {"x-ms-client-principal-id": "p1"}
    assert not allowed(header, "a")
    monkeypatch.setenv("PORTAFAAS_STARTERS", "p1=a,b;p2=c;=d")
    monkeypatch.setenv("WEBSITE_INSTANCE_ID", "local")
    assert allowed(header, "a") and allowed(header, "b")
    assert not allowed(header, "c") and not allowed(header, "") and not allowed(header, "a,b")
    assert not allowed({}, "d") and not allowed({"x-ms-client-principal-id": ""}, "d")
    # Where nobody checks tokens, anybody could have set the header.
    monkeypatch.setenv("WEBSITE_INSTANCE_ID", "0a1b")
    assert not allowed(header, "a")
    monkeypatch.setenv("WEBSITE_AUTH_ENABLED", "True")
    assert allowed(header, "a")


def test_ids_are_words_of_urls() -> None:
    assert is_id("c0ffee-1_2~a") and not is_id("") and not is_id("x" * 101)
    assert not any(is_id(text) for text in ("a/b", "..", "a b", "a?b", "ü", "a#", "a%2f"))


def test_what_a_failed_run_says() -> None:
    exact = {"error": "Declined", "cause": "no {money}"}
    assert ended("Failed", "words", exact) == ("failed", exact)
    output = f"Orchestrator function 'f__workflow' failed: {json.dumps(exact)}"
    assert ended("Failed", output, {"failed": True}) == ("failed", exact)
    # An orchestrator that broke, and not its workflow.
    broken = {"error": "States.Runtime", "cause": "Non-deterministic"}
    assert ended("Failed", "Non-deterministic", {"waiting": {}}) == ("failed", broken)
    assert ended("Failed", "Non-deterministic", {"failed": True}) == ("failed", broken)
    assert ended("Completed", '{"ok": null}', None) == ("succeeded", {"output": None})
    assert ended("Completed", '{"stopped": true}', None) == ("canceled", {})
    assert ended("Completed", json.dumps(exact), None) == ("failed", exact)
    assert ended("Running", None, None) == ("running", {})
    assert ended("Terminated", "canceled", None) == ("canceled", {})


@pytest.mark.parametrize("run", ["", ".", ".."])
def test_an_id_that_is_no_part_of_a_path_is_of_no_run(
    monkeypatch: pytest.MonkeyPatch, run: str
) -> None:
    monkeypatch.setattr(runs, "call", lambda *_: {"state": "running"})
    with pytest.raises(NotFound):
        runs.status("/portafaas/workflows/f", run)
    with pytest.raises(NotFound):
        runs.signal("/portafaas/workflows/f", run, "approved", None)


class Durable:
    """A run that waits for ``go``, and goes on as it is told to when it is looked at."""

    def __init__(self, *after: tuple[str, dict[str, Any]]) -> None:
        self.after = list(after)
        self.by = ""

    async def get_status(self, instance: str) -> Any:
        status, custom = "Running", {"waiting": {"go": ["t"]}, "children": [], "taken": []}
        if self.by and self.after:
            status, custom = self.after.pop(0)
            custom = json.loads(json.dumps(custom).replace("BY", self.by))
        return SimpleNamespace(
            name="f__workflow", instance_id=instance, runtime_status=status, custom_status=custom
        )

    async def raise_event(self, instance: str, name: str, text: str) -> None:
        assert (instance, name) == ("r1", "go.t")
        carried = json.loads(text)
        assert carried["payload"] == {"a": 1}
        self.by = carried["by"]


@pytest.mark.parametrize(
    ("after", "status"),
    [
        ([("Running", {"waiting": {"go": ["t"]}, "taken": []}), ("Running", {"taken": ["BY"]})], 200),
        ([("Running", {"waiting": {"go": ["u"]}, "taken": ["x", "BY"]})], 200),
        ([("Failed", {"error": "E", "cause": "", "taken": ["BY"]})], 200),
        ([("Running", {"waiting": {"go": ["u"]}, "taken": ["x"]})], 409),
        ([("Completed", {"waiting": {}, "taken": ["x"]})], 409),
        ([("Terminated", {"waiting": {"go": ["t"]}, "taken": []})], 409),
        # Nothing happens; and a version that does not tell.
        ([], 200),
        ([("Running", {"waiting": {}, "children": []})] * 2, 200),
    ],
)  # fmt: skip
def test_a_signal_that_another_one_came_before_is_refused(
    monkeypatch: pytest.MonkeyPatch, after: list[Any], status: int
) -> None:
    monkeypatch.setattr(control, "LOOKS", (0.0, 0.0))
    found = asyncio.run(Control(Durable(*after), "f").signal("r1", "go", {"a": 1}))
    assert found[0] == status
