"""The gate: what the caller sees of an authentication, through ``serve.run``."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from portafaas.runtime.auth import Identity
from portafaas.runtime.context import Context
from portafaas.runtime.function import Function
from portafaas.runtime.http import Request, Response
from portafaas.runtime.serve import run

JWT = {
    "scheme": "jwt", "issuer": "https://issuer.example", "audience": ["orders"],
    "scopes": ["read"], "algorithms": ["RS256", "ES256"],
}  # fmt: skip


def answer(auth: dict[str, Any], headers: dict[str, str], caller: str | None = None) -> Response:
    function = Function(
        {
            "name": "f", "service": "s", "kind": "http", "handler": "x:y", "timeout": 5,
            "memory": 128, "source": "/s/functions/f",
            "trigger": {"methods": ["GET"], "path": "/", "auth": auth},
        }
    )  # fmt: skip
    function.handle = lambda request, context: {
        "subject": request.identity.subject,
        "scopes": list(request.identity.scopes),
        "scheme": request.identity.scheme,
    }
    request = Request("GET", "/", headers=headers)
    if caller is not None:
        request.identity = Identity(caller, {}, (), "iam")
    return run(function, request, Context(function, "1"))


def body(response: Response) -> Any:
    assert isinstance(response.body, str)
    return json.loads(response.body)


def test_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYS", f"shop={hashlib.sha256(b's3cret').hexdigest()}")
    auth = {"scheme": "key", "keys": "KEYS"}
    response = answer(auth, {"X-Api-Key": "s3cret"})
    assert response.status == 200
    assert body(response) == {"subject": "shop", "scopes": [], "scheme": "key"}
    refusals = [answer(auth, {}), answer(auth, {"x-api-key": "wrong"}),
                answer(auth, {"authorization": "Bearer s3cret"})]  # fmt: skip
    for refusal in refusals:
        assert refusal.status == 401
        assert refusal.headers["www-authenticate"] == 'ApiKey header="x-api-key"'
        assert refusal.headers["content-type"] == "application/problem+json"
    assert len({str(refusal.body) for refusal in refusals}) == 1


def test_key_without_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KEYS", raising=False)
    response = answer({"scheme": "key", "keys": "KEYS"}, {"x-api-key": "s3cret"})
    assert response.status == 500
    assert "KEYS" not in str(response.body)


def test_jwt(issuer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTAFAAS_JWKS", json.dumps({"keys": issuer.keys}))
    response = answer(JWT, {"Authorization": f"Bearer {issuer.token('ES256')}"})
    assert body(response) == {"subject": "alice", "scopes": ["read", "write"], "scheme": "jwt"}
    cases = {
        "Basic YTpi": (401, "Bearer"),
        "Bearer x": (401, 'Bearer error="invalid_token"'),
        f"Bearer {issuer.token(scope='write')}": (
            403, 'Bearer error="insufficient_scope", scope="read"',
        ),
    }  # fmt: skip
    for header, (status, challenge) in cases.items():
        refusal = answer(JWT, {"authorization": header})
        assert (refusal.status, refusal.headers["www-authenticate"]) == (status, challenge)


def test_jwt_without_a_key_set(issuer: Any, site: Any) -> None:
    response = answer(
        JWT | {"jwks": site.url + "/none"}, {"authorization": f"Bearer {issuer.token()}"}
    )
    assert response.status == 503
    assert "www-authenticate" not in response.headers
    assert body(response)["title"] == "Service Unavailable"


def test_jwt_with_an_unsafe_source(issuer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PORTAFAAS_JWKS", raising=False)
    spec = JWT | {"jwks": "http://keys.example/"}
    response = answer(spec, {"authorization": f"Bearer {issuer.token()}"})
    assert response.status == 500
    assert "www-authenticate" not in response.headers


def test_two_authorization_headers_are_no_token(
    issuer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTAFAAS_JWKS", json.dumps({"keys": issuer.keys}))
    value = f"Bearer {issuer.token()}"
    request = Request("GET", "/", headers=[("authorization", value), ("authorization", value)])
    refusal = answer(JWT, {"authorization": request.headers["authorization"]})
    assert refusal.status == 401


def test_iam_takes_the_platforms_word() -> None:
    assert body(answer({"scheme": "iam"}, {}, caller="arn:x"))["subject"] == "arn:x"
    refusal = answer({"scheme": "iam"}, {"authorization": "Bearer x"})
    assert (refusal.status, refusal.headers["www-authenticate"]) == (401, "Bearer")
