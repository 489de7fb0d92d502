"""What happens around an http handler."""

from __future__ import annotations

import json
import time
from http import HTTPStatus
from typing import Any

import pytest

from portafaas.runtime import serve as module
from portafaas.runtime.context import Context
from portafaas.runtime.http import HttpError, Request, Response
from portafaas.runtime.taxonomy import Permanent, Retryable, Throttled


class Unreached:
    """A handler that must not be called."""

    def __call__(self, request: Request, context: Context) -> None:
        raise AssertionError("the handler was called")


def problem(response: Response) -> dict[str, Any]:
    assert response.headers["content-type"] == "application/problem+json"
    assert isinstance(response.body, str)
    document: dict[str, Any] = json.loads(response.body)
    assert document["type"] == "about:blank"
    assert document["status"] == response.status
    return document


@pytest.mark.parametrize(
    ("result", "status", "kind", "body"),
    [
        (None, 204, None, None),
        ({"a": 1}, 200, "application/json", '{"a": 1}'),
        ([], 200, "application/json", "[]"),
        ("text", 200, "text/plain; charset=utf-8", "text"),
        ("", 200, "text/plain; charset=utf-8", ""),
        (b"\xff", 200, "application/octet-stream", b"\xff"),
        (bytearray(b"a"), 200, "application/octet-stream", b"a"),
        (memoryview(b"ab")[1:], 200, "application/octet-stream", b"b"),
        (Response("x"), 200, "text/plain; charset=utf-8", "x"),
        (Response(b"x", 201), 201, "application/octet-stream", b"x"),
        (Response(bytearray(b"x")), 200, "application/octet-stream", b"x"),  # type: ignore[arg-type]
        (Response("x", content_type="text/html"), 200, "text/html", "x"),
        (Response(None, HTTPStatus.ACCEPTED), 202, None, None),
        (Response("gone", 204, content_type="a/b"), 204, None, None),
        (Response("same", 304, {"etag": "1"}), 304, "text/plain; charset=utf-8", None),
    ],
)
def test_results(serve: Any, result: Any, status: int, kind: str | None, body: Any) -> None:
    response = serve(lambda request, context: result)
    assert type(response.status) is int
    assert (response.status, response.headers.get("content-type"), response.body) == (
        status, kind, body,
    )  # fmt: skip


def test_subclasses_of_dict_and_list_are_json(serve: Any) -> None:
    class Row(dict):  # type: ignore[type-arg]
        pass

    assert serve(lambda request, context: Row(a=1)).body == '{"a": 1}'


@pytest.mark.parametrize(
    "result",
    [
        1, True, object(), {1, 2}, {"a": object()}, (1,), iter([]),
        Response(status=199), Response(status=600), Response(status="200"),  # type: ignore[arg-type]
        Response(status=True), Response(body=1),  # type: ignore[arg-type]
        Response(headers={"a": 1}), Response(headers={"a": "b\r\nc: d"}),  # type: ignore[arg-type]
        Response(headers={"a": "b\0"}), Response(headers={"a b": "c"}), Response(headers={"": "c"}),
        Response(headers={"a\r\nb": "c"}), Response(headers={"\u00e4": "c"}),
        Response(cookies=["a=b\r\nc: d"]), Response(cookies=["flag"]),
        Response(headers={"set-cookie": "flag"}),
    ],
)  # fmt: skip
def test_what_cannot_be_sent_is_500(serve: Any, capsys: Any, result: Any) -> None:
    response = serve(lambda request, context: result)
    assert response.status == 500
    assert problem(response) == {
        "type": "about:blank", "title": "Internal Server Error", "status": 500
    }  # fmt: skip
    record = json.loads(capsys.readouterr().err.splitlines()[0])
    assert record["severity"] == "ERROR"


def test_headers_are_sent_in_lower_case_once(serve: Any) -> None:
    def handle(request: Request, context: Context) -> Response:
        response = Response("x", headers={"X-A": "1"})
        response.headers["X-a"] = "2"
        response.headers["Set-Cookie"] = "a=1"
        response.headers["Content-Length"] = "99"
        response.headers["Transfer-Encoding"] = "chunked"
        response.headers["Connection"] = "close"
        return response

    response = serve(handle)
    assert response.headers == {"x-a": "1, 2", "content-type": "text/plain; charset=utf-8"}
    assert response.cookies == ["a=1"]


def test_head_gets_no_body(serve: Any) -> None:
    response = serve(lambda request, context: {"a": 1}, Request("HEAD"))
    assert (response.status, response.body) == (200, None)
    assert response.headers["content-type"] == "application/json"
    for error in (HttpError(404), ValueError("x")):

        def handle(request: Request, context: Context, error: Exception = error) -> None:
            raise error

        assert serve(handle, Request("HEAD")).body is None
    assert serve(Unreached(), Request("HEAD", "/no")).body is None


@pytest.mark.parametrize(
    ("size", "unit", "status"),
    [(100, "x", 200), (4_500_000, "x", 200), (4_500_001, "x", 500), (4_500_001, b"x", 500),
     (2_250_000, "\u00e4", 200), (2_250_001, "\u00e4", 500)],
)  # fmt: skip
def test_the_response_has_a_limit(serve: Any, size: int, unit: Any, status: int) -> None:
    assert serve(lambda request, context: unit * size).status == status


# --- before


def test_routes(serve: Any) -> None:
    def handle(request: Request, context: Context) -> Any:
        return request.path_params

    for template, path, body in (
        ("/", "/", "{}"), ("/a", "/a", "{}"), ("/{id}", "/7", '{"id": "7"}'),
    ):  # fmt: skip
        assert serve(handle, Request("GET", path), path=template).body == body
    for template, path in (("/", "/a"), ("/a", "/a/"), ("/{id}", "/7/8")):
        response = serve(Unreached(), Request("GET", path), path=template)
        assert problem(response)["title"] == "Not Found"
        assert response.status == 404


def test_methods(serve: Any) -> None:
    for method in ("GET", "PUT", "PATCH", "OPTIONS"):
        assert serve(lambda r, c: "x", Request(method)).status == 200
    response = serve(Unreached(), Request("DELETE"), methods=["GET", "POST"])
    assert response.status == 405
    assert response.headers["allow"] == "GET, POST"
    # Without cors an OPTIONS request is one like any other.
    preflight = Request("OPTIONS", headers={"access-control-request-method": "GET"})
    assert serve(Unreached(), preflight, methods=["GET"]).status == 405
    assert serve(lambda r, c: "x", preflight, methods=["OPTIONS"]).body == "x"


def test_the_request_has_a_limit(serve: Any) -> None:
    for settings, limit in (({}, module.MAX_BODY), ({"max_body": 3}, 3), ({"max_body": 0}, 0)):
        assert serve(lambda r, c: "x", Request(body=b"x" * limit), **settings).status == 200
        response = serve(Unreached(), Request(body=b"x" * (limit + 1)), **settings)
        assert response.status == 413
        assert str(limit) in problem(response)["detail"]


def test_authentication_comes_last_but_before_the_handler(serve: Any) -> None:
    auth = {"scheme": "iam"}
    assert serve(Unreached(), Request("GET", "/no"), auth=auth).status == 404
    assert serve(Unreached(), Request("PUT"), auth=auth, methods=["GET"]).status == 405
    assert serve(Unreached(), Request(body="xx"), auth=auth, max_body=1).status == 413
    assert serve(Unreached(), Request(), auth=auth).status == 401


def test_a_handler_that_cannot_load_does_not_matter_to_an_unknown_path(make: Any) -> None:
    function = make(handler="no_such_module:handle")
    context = Context(function, "1")
    assert module.run(function, Request("GET", "/no"), context).status == 404
    assert module.run(function, Request("GET", "/"), context).status == 500


# --- failed


def test_http_error(serve: Any) -> None:
    def handle(request: Request, context: Context) -> None:
        raise HttpError(409, "taken", {"Retry-After": "5"})

    response = serve(handle)
    assert response.status == 409
    assert response.headers["retry-after"] == "5"
    assert problem(response) == {
        "type": "about:blank", "title": "Conflict", "status": 409, "detail": "taken"
    }  # fmt: skip


@pytest.mark.parametrize(
    "error",
    [HttpError(99), HttpError(1000), HttpError("404"),  # type: ignore[arg-type]
     HttpError(400, headers={"x": "a\r\nset-cookie: b=c"}), HttpError(400, headers={"a b": "c"})],
)  # fmt: skip
def test_an_http_error_that_cannot_be_sent_is_500(
    serve: Any, capsys: Any, error: HttpError
) -> None:
    def handle(request: Request, context: Context) -> None:
        raise error

    response = serve(handle)
    assert response.status == 500
    assert set(response.headers) == {"content-type"}
    assert "ERROR" in capsys.readouterr().err


@pytest.mark.parametrize("error", [ValueError("secret"), SystemExit(3), KeyError()])
def test_other_errors_are_500_and_logged(
    serve: Any, capsys: Any, error: BaseException
) -> None:
    def handle(request: Request, context: Context) -> None:
        raise error

    response = serve(handle)
    assert "detail" not in problem(response)
    assert response.status == 500
    record = json.loads(capsys.readouterr().err)
    assert type(error).__name__ in record["message"]
    assert "Traceback" in record["exception"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, GeneratorExit, SystemExit, BaseException])
def test_what_is_no_exception_is_500_too(serve: Any, error: type[BaseException]) -> None:
    def handle(request: Request, context: Context) -> None:
        raise error

    assert serve(handle).status == 500


def test_a_handler_that_spoils_its_logger_is_answered(serve: Any) -> None:
    def handle(request: Request, context: Context) -> None:
        context.logger = None  # type: ignore[assignment]
        raise ValueError

    assert serve(handle).status == 500


@pytest.mark.parametrize("result", ["\udc80", "a\ud800b"])
def test_text_that_is_no_unicode_is_500(serve: Any, result: str) -> None:
    from portafaas.runtime.http import Response

    assert serve(lambda request, context: result).status == 500
    assert serve(lambda request, context: Response(result)).status == 500


def test_an_empty_quoted_cookie_is_sent_empty(serve: Any) -> None:
    from portafaas.runtime.http import Response

    given = ['a=""; Max-Age=0', 'b=""', 'c="x"', 'd=""x']
    response = serve(lambda request, context: Response("x", cookies=given))
    assert response.cookies == ["a=; Max-Age=0", "b=", 'c="x"', 'd=""x']


def test_a_handler_over_its_time_is_504(serve: Any, capsys: Any) -> None:
    def handle(request: Request, context: Context) -> None:
        try:
            time.sleep(5)
        except Exception:  # must not catch the deadline
            return

    started = time.monotonic()
    response = serve(handle, timeout=0.05)
    assert time.monotonic() - started < 2
    assert response.status == 504
    assert problem(response)["title"] == "Gateway Timeout"
    assert "0.05 s" in json.loads(capsys.readouterr().err)["message"]


def test_async_handlers(serve: Any) -> None:
    async def handle(request: Request, context: Context) -> Any:
        return {"path": request.path}

    assert serve(handle).body == '{"path": "/"}'

    async def failing(request: Request, context: Context) -> Any:
        raise HttpError(418, "tea")

    assert serve(failing).status == 418


def test_errors_carry_cors_headers(serve: Any) -> None:
    cors = {"origins": ["https://a.example"], "methods": ["GET"], "headers": []}
    request = Request(headers={"origin": "https://a.example"})

    def handle(request: Request, context: Context) -> None:
        raise HttpError(404)

    for response in (
        serve(handle, request, cors=cors),
        serve(Unreached(), request, cors=cors, path="/x"),
        serve(Unreached(), request, cors=cors, auth={"scheme": "iam"}),
    ):
        assert response.headers["access-control-allow-origin"] == "https://a.example"
        assert response.headers["vary"] == "origin"


@pytest.mark.parametrize("value", ["caf\xe9", "\u20ac", "a\x7f", "a\x1bb", "a\u2028b"])
def test_a_header_value_beyond_printable_ascii_is_refused(value: str) -> None:
    from portafaas.runtime.http import Response
    from portafaas.runtime.serve import _checked

    with pytest.raises(ValueError, match="printable ASCII"):
        _checked(Response("x", 200, {"x-case": value}))
    assert _checked(Response("x", 200, {"x-case": "a\tb"})).headers["x-case"] == "a\tb"


def test_a_redirect_percent_encodes_what_no_header_can_hold() -> None:
    from portafaas.runtime.http import Response

    assert Response.redirect("/gr\xfc\xdfe?a=%20").headers["location"] == "/gr%C3%BC%C3%9Fe?a=%20"


@pytest.mark.parametrize(
    ("error", "status", "after"),
    [
        (Throttled("later", retry_after=1.2), 503, "2"),
        (Throttled(), 503, None),
        (Retryable("not now"), 503, None),
        (Permanent("never"), 500, None),
    ],
)
def test_what_may_be_tried_again_is_503(
    make: Any, error: Exception, status: int, after: str | None
) -> None:
    def handle(request: Request, context: Context) -> None:
        raise error

    function = make(handle)
    response = module.run(function, Request("GET", "/"), Context(function, "1"))
    assert (response.status, response.headers.get("retry-after")) == (status, after)
