"""Tokens and secrets over REST against a local server, beside what Microsoft's clients send."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from portafaas.runtime.resources import NotFound, ResourceError
from portafaas_azure.runtime import identity
from portafaas_azure.runtime.resources import secret
from portafaas_azure.runtime.secret import VERSION, resource

PATH = "/secrets/payment-key"


class Server:
    """An identity endpoint and a vault: answers in turn, the last one again and again."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.secrets: list[tuple[int, Any]] = []
        self.tokens: list[tuple[int, Any]] = [granted("t1")]
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                owner.seen.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
                answers = owner.tokens if self.path.startswith("/msi/token") else owner.secrets
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
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def asked(self, begin: str) -> list[tuple[str, dict[str, str]]]:
        return [one for one in self.seen if one[0].startswith(begin)]


def granted(token: str, seconds: int = 3600) -> tuple[int, Any]:
    """The answer of App Service; the end is text."""
    return 200, {
        "access_token": token, "expires_on": str(int(time.time()) + seconds),
        "resource": "https://vault.azure.net", "token_type": "Bearer", "client_id": "me",
    }  # fmt: skip


def value(text: str) -> tuple[int, Any]:
    return 200, {"value": text, "id": "https://v/secrets/payment-key/1", "attributes": {}}


def error(code: int, name: str, inner: str = "") -> tuple[int, Any]:
    found: dict[str, Any] = {"code": name, "message": f"it is {name}"}
    return code, {"error": {**found, "innererror": {"code": inner}} if inner else found}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    made = Server()
    thread = threading.Thread(target=made.http.serve_forever, args=(0.02,))
    thread.start()
    monkeypatch.setattr(identity, "_tokens", {})
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{made.url}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", "header")
    monkeypatch.setenv("AZURE_CLIENT_ID", "11111111-2222")
    yield made
    made.http.shutdown()
    thread.join()
    made.http.server_close()


@pytest.fixture
def fetch(server: Server) -> Callable[[], bytes]:
    return lambda: secret(server.url + PATH)


@pytest.mark.parametrize("text", ["hush", "", "gr\u00fc\u00dfe\n", "\u2603" * 1000])
def test_a_value(server: Server, fetch: Callable[[], bytes], text: str) -> None:
    server.secrets = [value(text)]
    assert fetch() == text.encode() and fetch() == text.encode()
    [(path, headers)] = server.asked("/msi/token")  # one token for both
    query = {name: one for name, [one] in parse_qs(urlsplit(path).query).items()}
    assert query.pop("resource").startswith("https://")
    assert query == {"api-version": "2019-08-01", "client_id": "11111111-2222"}
    assert headers["x-identity-header"] == "header"
    assert server.asked(PATH)[0][0] == f"{PATH}?api-version={VERSION}"
    assert server.asked(PATH)[0][1]["authorization"] == "Bearer t1"


def test_what_tokens_are_for() -> None:
    assert resource("https://shop1.vault.azure.net/secrets/a") == "https://vault.azure.net"
    assert resource("https://s.vault.azure.cn/secrets/a") == "https://vault.azure.cn"


def test_the_token_request_is_that_of_the_official_client(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    azure = pytest.importorskip("azure.identity")
    scope = "https://servicebus.azure.net//.default"
    theirs = azure.ManagedIdentityCredential(client_id="11111111-2222").get_token(scope)
    ours = identity.Credential().get_token(scope)
    assert (ours.token, ours.expires_on) == (theirs.token, theirs.expires_on)
    (first, with_), (second, mine) = server.seen
    assert parse_qs(urlsplit(first).query) == parse_qs(urlsplit(second).query)
    assert urlsplit(first).path == urlsplit(second).path
    assert mine["x-identity-header"] == with_["x-identity-header"]


def test_the_secret_request_is_that_of_the_official_client(
    server: Server, fetch: Callable[[], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    vault = pytest.importorskip("azure.keyvault.secrets")
    from azure.core.pipeline.policies import SansIOHTTPPolicy
    from azure.keyvault.secrets._shared import client_base

    class Plain(SansIOHTTPPolicy):  # type: ignore[type-arg]
        """Sends the token without a challenge first, and without TLS."""

        def __init__(self, *args: Any, **options: Any) -> None:
            pass

        def on_request(self, request: Any) -> None:
            request.http_request.headers["Authorization"] = "Bearer t1"

    server.secrets = [value("hush")]
    monkeypatch.setattr(client_base, "ChallengeAuthPolicy", Plain)
    client = vault.SecretClient(server.url, identity.credential(), api_version=VERSION)
    found = client.get_secret("payment-key")
    client.close()
    assert fetch().decode() == found.value == "hush"
    (theirs, with_), (ours, mine) = server.asked("/secrets")
    # No version, the latest, is an empty one to them.
    assert ours.replace("?", "/?") == theirs or ours == theirs
    assert mine["authorization"] == with_["authorization"]


def test_a_token_is_replaced_before_its_end(server: Server, fetch: Callable[[], bytes]) -> None:
    server.secrets = [value("x")]
    server.tokens = [granted("short", 299), granted("long")]
    for _ in range(3):
        fetch()
    used = [headers["authorization"] for _, headers in server.asked(PATH)]
    assert used == ["Bearer short", "Bearer long", "Bearer long"]


def test_a_token_is_used_to_its_end_when_there_is_no_other(
    server: Server, fetch: Callable[[], bytes]
) -> None:
    server.secrets = [value("x")]
    server.tokens = [granted("short", 200), (400, {"message": "no"})]
    assert fetch() == fetch() == b"x"
    assert [headers["authorization"] for _, headers in server.asked(PATH)] == ["Bearer short"] * 2


def test_a_token_that_is_refused_is_replaced_once(
    server: Server, fetch: Callable[[], bytes]
) -> None:
    server.tokens = [granted("old"), granted("new")]
    server.secrets = [error(401, "Unauthorized"), value("x")]
    assert fetch() == b"x"
    assert server.seen[-1][1]["authorization"] == "Bearer new"
    server.secrets = [error(401, "Unauthorized")]
    with pytest.raises(ResourceError, match="it is Unauthorized") as caught:
        fetch()
    assert not caught.value.retryable


def test_threads_share_a_token(server: Server) -> None:
    found: list[str] = []
    threads = [
        threading.Thread(
            target=lambda: found.append(identity.Credential().get_token("https://a/.default").token)
        )
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["t1"] * 8 and len(server.seen) == 1
    identity.token("https://b")
    assert len(server.seen) == 2  # a token is for one resource


@pytest.mark.parametrize(
    ("answer", "kind", "retryable"),
    [
        (error(404, "SecretNotFound"), NotFound, False),
        (error(403, "Forbidden", "SecretDisabled"), NotFound, False),
        (error(403, "Forbidden", "ForbiddenByRbac"), ResourceError, False),
        (error(403, "Forbidden"), ResourceError, False),
        (error(400, "BadParameter"), ResourceError, False),
        (error(429, "Throttled"), ResourceError, True),
        (error(503, "Unavailable"), ResourceError, True),
        ((502, b"<html>bad gateway"), ResourceError, True),
        ((0, b""), ResourceError, True),
        ((200, b"nonsense"), ResourceError, False),
        ((200, {"value": 5}), ResourceError, False),
    ],
)
def test_failures(
    server: Server,
    fetch: Callable[[], bytes],
    answer: tuple[int, Any],
    kind: type[ResourceError],
    retryable: bool,
) -> None:
    server.secrets = [answer]
    with pytest.raises(ResourceError) as caught:
        fetch()
    assert type(caught.value) is kind and caught.value.retryable is retryable
    said = str(caught.value)
    assert server.url + PATH in said and "t1" not in said
    if isinstance(answer[1], dict) and "error" in answer[1]:
        assert answer[1]["error"]["message"] in said


@pytest.mark.parametrize("lost", [(0, b""), (503, b""), (429, b"")])
def test_what_is_lost_once_is_asked_again(
    server: Server, fetch: Callable[[], bytes], lost: tuple[int, bytes]
) -> None:
    server.tokens.insert(0, lost)
    server.secrets = [lost, value("x")]
    assert fetch() == b"x"


@pytest.mark.parametrize(
    ("answer", "retryable"),
    [((400, {"message": "no such identity"}), False), ((500, {}), True), ((200, {}), True)],
)
def test_no_token(
    server: Server, fetch: Callable[[], bytes], answer: tuple[int, Any], retryable: bool
) -> None:
    server.tokens = [answer]
    with pytest.raises(ResourceError, match="token") as caught:
        fetch()
    assert caught.value.retryable is retryable
    assert answer[1].get("message", "") in str(caught.value)


def test_without_an_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "_tokens", {})
    monkeypatch.delenv("IDENTITY_ENDPOINT", raising=False)
    monkeypatch.setitem(sys.modules, "azure.identity", None)
    with pytest.raises(ResourceError, match="no managed identity") as caught:
        secret("https://v.vault.azure.net/secrets/a")
    assert not caught.value.retryable


def test_the_sdks_take_the_credential(server: Server) -> None:
    """As they ask: by either protocol, with options of their own."""
    from azure.core.credentials import SupportsTokenInfo, TokenCredential
    from azure.core.pipeline import Pipeline
    from azure.core.pipeline.policies import BearerTokenCredentialPolicy
    from azure.core.pipeline.transport import HttpRequest, RequestsTransport

    made = identity.credential()
    assert isinstance(made, TokenCredential) and isinstance(made, SupportsTokenInfo)
    server.secrets = [value("x")]
    policy = BearerTokenCredentialPolicy(made, "https://a/.default", enforce_https=False)
    with Pipeline(RequestsTransport(), [policy]) as pipeline:
        for _ in range(2):
            answer = pipeline.run(HttpRequest("GET", server.url + PATH), enforce_https=False)
            assert answer.http_response.status_code == 200
    assert [headers["authorization"] for _, headers in server.asked(PATH)] == ["Bearer t1"] * 2
    assert len(server.asked("/msi/token")) == 1
    assert made.get_token("https://a/.default", claims=None, enable_cae=True).token == "t1"


def test_nothing_is_imported_before_its_time() -> None:
    code = """
import sys
import portafaas_azure.runtime.resources, portafaas_azure.runtime.sender
import portafaas_azure.runtime.rows, portafaas_azure.runtime.blobs
import portafaas_azure.runtime.secret, portafaas_azure.runtime.identity
found = {"http", "email", "re", "json", "urllib", "hashlib", "datetime"} & set(sys.modules)
found |= {n for n in sys.modules if n == "azure" or n.startswith("azure.")}
print(sorted(found))
"""
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}{code}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "[]"
