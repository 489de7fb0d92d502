"""An issuer for tests: keys and tokens from cryptography and PyJWT, key sets over real HTTP."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from portafaas.runtime import jwks
from portafaas.runtime.auth import Identity, authenticate_jwt

ISSUER = "https://issuer.example"
AUDIENCE = "orders"


def public_jwk(key: Any, **members: Any) -> dict[str, Any]:
    """Return the public JWK of a private key."""
    kind = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm
    jwk: dict[str, Any] = json.loads(kind.to_jwk(key.public_key()))
    jwk.pop("key_ops", None)
    return jwk | members


class Issuer:
    """Two private keys (kid ``r`` and ``e``) and the tokens they sign."""

    def __init__(self) -> None:
        self.rsa = rsa.generate_private_key(65537, 2048)
        self.ec = ec.generate_private_key(ec.SECP256R1())
        self.keys = [public_jwk(self.rsa, kid="r"), public_jwk(self.ec, kid="e")]

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Return good claims; a change to None removes the claim."""
        now = int(time.time())
        claims = {
            "iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "iat": now, "exp": now + 300,
            "scope": "read write",
        } | changes  # fmt: skip
        return {name: value for name, value in claims.items() if value is not None}

    def token(
        self, algorithm: str = "RS256", header: dict[str, Any] | None = None, **changes: Any
    ) -> str:
        """Return a signed token."""
        key, kid = (self.ec, "e") if algorithm.startswith("ES") else (self.rsa, "r")
        return jwt.encode(
            self.claims(**changes), key, algorithm, {"kid": kid} | (header or {})
        )


@pytest.fixture(scope="session")
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture(autouse=True)
def fresh_key_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test an instance of its own."""
    monkeypatch.setattr(jwks, "_sources", {})


Login = Callable[..., Identity]


@pytest.fixture
def login(issuer: Issuer) -> Login:
    """Return a function that authenticates a token against the issuer's inline key set."""

    def authenticate(
        token: str | None, *, keys: list[dict[str, Any]] | None = None, **spec: Any
    ) -> Identity:
        auth = {
            "scheme": "jwt", "issuer": ISSUER, "audience": [AUDIENCE], "scopes": [],
            "algorithms": ["RS256", "RS384", "RS512", "ES256"],
        } | spec  # fmt: skip
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        inline = json.dumps({"keys": issuer.keys if keys is None else keys})
        return authenticate_jwt(headers.get, auth, {"PORTAFAAS_JWKS": inline})

    return authenticate


class Site:
    """A loopback HTTP server; ``pages`` maps paths to (status, headers, body) or a callable."""

    def __init__(self) -> None:
        self.pages: dict[str, Any] = {}
        self.seen: list[str] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.seen.append(self.path)
                page = site.pages.get(self.path, (404, {}, b""))
                status, headers, body = page(self) if callable(page) else page
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def serve(self, path: str, value: Any) -> str:
        """Serve *value* as JSON at *path*; return its URL."""
        self.pages[path] = (200, {"content-type": "application/json"}, json.dumps(value).encode())
        return self.url + path

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    yield site
    site.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Set the time that key sets go by."""
    clock = Clock()
    monkeypatch.setattr(jwks, "time", lambda: clock.now)
    return clock


class Clock:
    """The wall clock of the key sets, moved by hand."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0
