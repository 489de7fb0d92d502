"""Secrets over REST, against a local server, and beside what Google's own client sends."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

ADDRESS = "projects/p/secrets/shop-token"
TOKEN = "/computeMetadata/v1/instance/service-accounts/default/token"


class Server:
    """A metadata server and a Secret Manager: answers in turn, or the last again and again."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.secrets: list[tuple[int, Any]] = []
        self.tokens: list[tuple[int, Any]] = [(200, {"access_token": "t1", "expires_in": 3599})]
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                owner.seen.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
                answers = owner.tokens if self.path == TOKEN else owner.secrets
                status, value = answers.pop(0) if len(answers) > 1 else answers[0]
                if status == 0:
                    self.connection.close()
                    return
                body = value if isinstance(value, bytes) else json.dumps(value).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            def handle_error(self, *args: Any) -> None:
                pass

        self.http = Quiet(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self.http.server_port}"

    def paths(self) -> list[str]:
        return [path for path, _ in self.seen]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, core: Any) -> Iterator[Server]:
    from portafaas_gcp.runtime import rest

    made = Server()
    thread = threading.Thread(target=made.http.serve_forever, args=(0.02,))
    thread.start()
    monkeypatch.setattr(rest, "_token", None)
    monkeypatch.setenv("GCE_METADATA_HOST", made.host)
    monkeypatch.setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER", f"http://{made.host}/")
    yield made
    made.http.shutdown()
    thread.join()
    made.http.server_close()


@pytest.fixture
def fetch(server: Server) -> Callable[[], bytes]:
    from portafaas_gcp.runtime.resources import secret

    return lambda: secret(ADDRESS)


def _payload(data: bytes) -> dict[str, Any]:
    return {
        "name": f"{ADDRESS}/versions/3",
        "payload": {"data": base64.b64encode(data).decode(), "dataCrc32c": "1"},
    }


def _error(code: int, status: str, message: str = "no") -> tuple[int, Any]:
    return code, {"error": {"code": code, "message": message, "status": status}}


@pytest.mark.parametrize("value", [b"hush", bytes(range(256)), "grüße".encode()])
def test_a_value(server: Server, fetch: Callable[[], bytes], value: bytes) -> None:
    server.secrets = [(200, _payload(value))]
    assert fetch() == value and fetch() == value
    # One token for both, asked for as the metadata server wants it.
    assert server.paths().count(TOKEN) == 1
    assert server.seen[0][1]["metadata-flavor"] == "Google"
    assert server.seen[1][1]["authorization"] == "Bearer t1"


def test_an_empty_value(server: Server, fetch: Callable[[], bytes]) -> None:
    server.secrets = [(200, {"name": "x", "payload": {"dataCrc32c": "0"}})]
    assert fetch() == b""


def test_the_request_is_that_of_the_official_client(
    server: Server, fetch: Callable[[], bytes]
) -> None:
    from google.cloud.secretmanager_v1 import SecretManagerServiceClient
    from google.cloud.secretmanager_v1.services.secret_manager_service.transports import (
        SecretManagerServiceRestTransport,
    )
    from google.oauth2.credentials import Credentials

    server.secrets = [(200, _payload(b"hush"))]
    transport = SecretManagerServiceRestTransport(
        host=server.host,
        url_scheme="http",
        credentials=Credentials("t1"),  # type: ignore[no-untyped-call]
    )
    client = SecretManagerServiceClient(transport=transport)
    found = client.access_secret_version(name=f"{ADDRESS}/versions/latest")
    transport.close()
    theirs, headers = server.seen[-1]
    assert fetch() == found.payload.data == b"hush"
    ours, mine = server.seen[-1]
    # The query says that enumerations are to be numbers; there are none in the answer.
    assert ours == theirs.partition("?")[0] == f"/v1/{ADDRESS}/versions/latest:access"
    assert mine["authorization"] == headers["authorization"]


def test_a_token_is_replaced_before_its_end(server: Server, fetch: Callable[[], bytes]) -> None:
    server.secrets = [(200, _payload(b"x"))]
    server.tokens = [
        (200, {"access_token": "short", "expires_in": 224}),
        (200, {"access_token": "long", "expires_in": 3599}),
    ]
    for _ in range(3):
        fetch()
    used = [headers["authorization"] for path, headers in server.seen if path != TOKEN]
    assert used == ["Bearer short", "Bearer long", "Bearer long"]


def test_a_token_that_is_refused_is_replaced_once(
    server: Server, fetch: Callable[[], bytes], core: Any
) -> None:
    server.tokens = [
        (200, {"access_token": "old", "expires_in": 3599}),
        (200, {"access_token": "new", "expires_in": 3599}),
    ]
    server.secrets = [_error(401, "UNAUTHENTICATED"), (200, _payload(b"x"))]
    assert fetch() == b"x"
    assert server.seen[-1][1]["authorization"] == "Bearer new"
    server.secrets = [_error(401, "UNAUTHENTICATED", "who?")]
    with pytest.raises(core.ResourceError, match=r"who\?") as caught:
        fetch()
    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("answer", "kind", "retryable"),
    [
        (_error(404, "NOT_FOUND", "Secret [x] not found or has no versions."), "NotFound", False),
        (_error(400, "FAILED_PRECONDITION", "it is in DISABLED state."), "NotFound", False),
        (_error(400, "INVALID_ARGUMENT"), "ResourceError", False),
        (_error(403, "PERMISSION_DENIED", "Permission denied"), "ResourceError", False),
        (_error(429, "RESOURCE_EXHAUSTED"), "ResourceError", True),
        (_error(503, "UNAVAILABLE"), "ResourceError", True),
        ((502, b"<html>bad gateway"), "ResourceError", True),
        ((0, b""), "ResourceError", True),
        ((200, b"nonsense"), "ResourceError", False),
        ((200, {"payload": {"data": 5}}), "ResourceError", False),
    ],
)
def test_failures(
    server: Server,
    fetch: Callable[[], bytes],
    core: Any,
    answer: tuple[int, Any],
    kind: str,
    retryable: bool,
) -> None:
    server.secrets = [answer]
    with pytest.raises(core.ResourceError) as caught:
        fetch()
    assert type(caught.value).__name__ == kind
    assert caught.value.retryable is retryable
    said = str(caught.value)
    assert ADDRESS in said and "t1" not in said.replace("shop-token", "")
    if isinstance(answer[1], dict) and "error" in answer[1]:
        assert answer[1]["error"]["message"] in said


@pytest.mark.parametrize("lost", [(0, b""), (503, b"")])
def test_what_is_lost_once_is_asked_again(
    server: Server, fetch: Callable[[], bytes], lost: tuple[int, bytes]
) -> None:
    server.tokens.insert(0, lost)
    server.secrets = [lost, (200, _payload(b"x"))]
    assert fetch() == b"x"
    assert len(server.seen) == 4


def test_no_metadata_server(
    server: Server, fetch: Callable[[], bytes], core: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.tokens = [(404, b"no account")]
    with pytest.raises(core.ResourceError, match="404") as caught:
        fetch()
    assert not caught.value.retryable
    monkeypatch.setenv("GCE_METADATA_HOST", "127.0.0.1:1")
    with pytest.raises(core.ResourceError, match="token") as caught:
        fetch()
    assert caught.value.retryable


def test_threads_ask_for_one_token(server: Server, fetch: Callable[[], bytes]) -> None:
    from concurrent.futures import ThreadPoolExecutor

    server.secrets = [(200, _payload(b"x"))]
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: fetch(), range(16))) == {b"x"}
    assert server.paths().count(TOKEN) == 1


def test_the_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    from portafaas_gcp.runtime.rest import endpoint

    name = "CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER"
    monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("GOOGLE_CLOUD_UNIVERSE_DOMAIN", raising=False)
    assert endpoint("secretmanager") == "https://secretmanager.googleapis.com/"
    monkeypatch.setenv("GOOGLE_CLOUD_UNIVERSE_DOMAIN", "example.cloud")
    assert endpoint("secretmanager") == "https://secretmanager.example.cloud/"
    monkeypatch.setenv(name, "http://127.0.0.1:1/base")
    assert endpoint("secretmanager") == "http://127.0.0.1:1/base/"


def test_the_driver_imports_little(shipped: Path) -> None:
    """Secrets need no package, and nothing is loaded before it is needed."""
    code = (
        f"import sys; sys.path.insert(0, {str(shipped)!r}); "
        "import portafaas_gcp.runtime.resources, portafaas_gcp.runtime.secret; "
        "print([m for m in 'google http email json urllib re typing'.split() if m in sys.modules])"
    )
    ran = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True
    )
    assert ran.stdout == "[]\n"
