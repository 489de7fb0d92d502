"""Cross-origin requests: https://fetch.spec.whatwg.org/#http-cors-protocol."""

from __future__ import annotations

from typing import Any

import pytest

from portafaas.runtime.http import Request, Response

A = "https://a.example"
CORS = {
    "origins": [A, "https://b.example"], "methods": ["GET", "PUT"], "headers": ["x-a", "x-b"],
    "expose": ["x-c", "x-d"], "credentials": False, "max_age": 600,
}  # fmt: skip


def prefixed(response: Response) -> dict[str, str]:
    start = "access-control-"
    return {
        name.removeprefix(start): value
        for name, value in response.headers.items()
        if name.startswith(start)
    }


def preflight(serve: Any, method: str = "PUT", origin: str = A, asked: str | None = None,
              **changes: Any) -> Response:  # fmt: skip
    headers = {"origin": origin, "access-control-request-method": method}
    if asked is not None:
        headers["access-control-request-headers"] = asked

    def handle(request: Request, context: Any) -> None:
        raise AssertionError("a preflight request reached the handler")

    response = serve(
        handle, Request("OPTIONS", headers=headers), cors=CORS | changes, methods=["GET", "PUT"]
    )
    assert isinstance(response, Response)
    assert (response.status, response.body) == (204, None)
    return response


def test_a_preflight_is_answered_with_permission(serve: Any) -> None:
    response = preflight(serve, asked="x-b")
    assert prefixed(response) == {
        "allow-origin": A,
        "allow-methods": "GET, PUT",
        "allow-headers": "x-a, x-b",
        "expose-headers": "x-c, x-d",
        "max-age": "600",
    }
    assert response.headers["vary"] == "origin"


def test_headers_are_permitted_if_asked_for(serve: Any) -> None:
    assert "allow-headers" not in prefixed(preflight(serve))
    assert prefixed(preflight(serve, asked="x-y, x-z", headers=["*"]))["allow-headers"] == (
        "x-y, x-z"
    )
    assert "allow-headers" not in prefixed(preflight(serve, asked="x-y", headers=[]))


def test_another_origin_gets_no_permission(serve: Any) -> None:
    for origin in ("https://c.example", "http://a.example", A + ".evil.example", "null", A + "/"):
        response = preflight(serve, origin=origin)
        assert prefixed(response) == {}
        assert response.headers["vary"] == "origin"


def test_another_method_gets_no_permission(serve: Any) -> None:
    assert "allow-methods" not in prefixed(preflight(serve, method="DELETE"))


def test_a_preflight_needs_no_credentials(serve: Any) -> None:
    request = Request("OPTIONS", headers={"origin": A, "access-control-request-method": "GET"})
    response = serve(None, request, cors=CORS, auth={"scheme": "iam"}, handler="none:none")
    assert response.status == 204


def test_options_without_a_preflights_header_is_a_request(serve: Any) -> None:
    request = Request("OPTIONS", headers={"origin": A})
    response = serve(lambda r, c: "x", request, cors=CORS, methods=["OPTIONS"])
    assert response.body == "x"
    assert serve(lambda r, c: "x", request, cors=CORS, methods=["GET"]).status == 405


@pytest.mark.parametrize(
    ("origins", "credentials", "origin", "expected", "vary"),
    [
        ([A], False, A, A, "origin"),
        ([A], True, A, A, "origin"),
        ([A], True, "https://c.example", None, "origin"),
        ([A], False, None, None, "origin"),
        (["*"], False, A, "*", None),
        (["*"], False, None, None, None),
        # "*" is not allowed with credentials: the origin is named.
        (["*"], True, A, A, "origin"),
    ],
)
def test_an_actual_request(
    serve: Any, origins: list[str], credentials: bool, origin: str | None,
    expected: str | None, vary: str | None,
) -> None:  # fmt: skip
    headers = {} if origin is None else {"origin": origin}
    cors = CORS | {"origins": origins, "credentials": credentials}
    response = serve(lambda r, c: "x", Request(headers=headers), cors=cors)
    found = prefixed(response)
    assert found.get("allow-origin") == expected
    assert ("allow-credentials" in found) == (credentials and expected is not None)
    assert ("expose-headers" in found) == (expected is not None)
    assert response.headers.get("vary") == vary


def test_the_handlers_vary_is_kept(serve: Any) -> None:
    response = serve(
        lambda r, c: Response("x", headers={"Vary": "accept"}), Request(), cors=CORS
    )
    assert response.headers["vary"] == "accept, origin"
