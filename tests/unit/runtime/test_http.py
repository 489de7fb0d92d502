"""Requests and responses as handlers see them."""

from __future__ import annotations

from http.cookies import SimpleCookie
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portafaas.runtime.http import Headers, HttpError, Query, Request, Response


def test_headers_ignore_case_and_join() -> None:
    headers = Headers([("X-A", "1"), ("accept", "a"), ("x-a", "2")])
    assert headers["x-A"] == headers.get("X-a") == "1,2"
    assert "ACCEPT" in headers
    assert "b" not in headers
    assert 1 not in headers
    assert headers.get("b") is None
    assert headers.get("b", "c") == "c"
    assert list(headers) == ["x-a", "accept"] == list(headers.keys())
    assert dict(headers.items()) == {"x-a": "1,2", "accept": "a"}
    assert len(headers) == 2
    with pytest.raises(KeyError):
        headers["b"]


def test_headers_cannot_be_written() -> None:
    with pytest.raises(TypeError):
        Headers()["a"] = "b"  # type: ignore[index]


@pytest.mark.parametrize(
    ("value", "members"),
    [
        ("a, b,c", ["a", "b", "c"]),
        ("", []),
        (", ,a,", ["a"]),
        ('"a, b", c', ['"a, b"', "c"]),
        ('"a\\", b", c', ['"a\\", b"', "c"]),
        ('"a\\\\", b', ['"a\\\\"', "b"]),
        ("a;q=0.5, */*", ["a;q=0.5", "*/*"]),
    ],
)
def test_get_list(value: str, members: list[str]) -> None:
    assert Headers({"accept": value}).get_list("Accept") == members
    assert Headers().get_list("accept") == []


def test_query() -> None:
    query = Request(query="a=1&b=%C3%A4&a=2&c").query
    assert isinstance(query, Query)
    assert query.get("a") == query["a"] == "1"
    assert query.get_all("a") == ["1", "2"]
    assert query["b"] == "\u00e4"
    assert query["c"] == ""
    assert query.get("d", 0) == 0
    assert query.get_all("d") == []
    assert list(query) == ["a", "b", "c"]
    assert len(query) == 4
    assert query.items() == [("a", "1"), ("b", "\u00e4"), ("a", "2"), ("c", "")]
    assert "a" in query
    assert "d" not in query
    with pytest.raises(KeyError):
        query["d"]


def test_a_request_fills_itself_on_first_use() -> None:
    request = Request("post", "/a", headers={"Cookie": "a=1; b=2; a=3"}, body="\u00e4")
    assert request.method == "POST"
    assert request.body == b"\xc3\xa4"
    assert request.cookies == [("a", "1"), ("b", "2"), ("a", "3")]
    assert request.cookie("a") == "1"
    assert request.cookie("c", "x") == "x"
    assert request.path_params == {}
    assert request.identity is None
    assert request.query is request.query
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        request.nothing  # noqa: B018
    assert repr(request) == "<Request POST /a>"


@pytest.mark.parametrize(
    ("content_type", "body", "text"),
    [
        (None, "\u00e4".encode(), "\u00e4"),
        ("text/plain", b"\xff", "\ufffd"),
        ("text/plain; charset=ISO-8859-1", b"\xe4", "\u00e4"),
        ('text/plain; Charset="utf-16-le"', b"a\0", "a"),
        ("text/plain; charset=no-such", "\u00e4".encode(), "\u00e4"),
        ("text/plain; charset=", b"a", "a"),
        # Codecs that are no text encoding, or that cannot replace.
        ("text/plain; charset=hex", b"61", "61"),
        ("text/plain; charset=idna", b"\xff", "\ufffd"),
        ("text/plain; charset=undefined", b"a", "a"),
    ],
)
def test_text(content_type: str | None, body: bytes, text: str) -> None:
    headers = {"content-type": content_type} if content_type is not None else {}
    assert Request(headers=headers, body=body).text == text


def test_json() -> None:
    assert Request(body='{"a": [1, "\u00e4"]}').json() == {"a": [1, "\u00e4"]}


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_json_is_the_callers_mistake(body: bytes) -> None:
    with pytest.raises(HttpError, match="not valid JSON") as caught:
        Request(body=body).json()
    assert caught.value.status == 400


def test_response_headers() -> None:
    response = Response("x", 201, [("X-A", "1"), ("x-a", "2"), ("Set-Cookie", "a=1")])
    assert response.headers == {"x-a": "1, 2"}
    assert response.cookies == ["a=1"]
    response.add_header("SET-COOKIE", "b=2")
    response.add_header("Y", "z")
    assert response.cookies == ["a=1", "b=2"]
    assert response.headers["y"] == "z"
    assert Response(content_type="a/b").headers == {"content-type": "a/b"}


def test_response_helpers() -> None:
    response = Response.json({"a": 1}, 202, {"Content-Type": "application/hal+json"})
    assert (response.body, response.status) == ('{"a": 1}', 202)
    assert response.headers["content-type"] == "application/hal+json"
    assert Response.json([]).headers["content-type"] == "application/json"
    with pytest.raises(TypeError):
        Response.json({1, 2})
    response = Response.redirect("/there")
    assert (response.status, response.headers["location"], response.body) == (
        303, "/there", None,
    )  # fmt: skip
    assert Response.redirect("/x", 308).status == 308


def test_set_cookie() -> None:
    response = Response()
    response.set_cookie("a", "1")
    response.set_cookie(
        "b", "2", max_age=60, path="/x", domain="shop.example", secure=False, http_only=False,
        same_site="strict",
    )  # fmt: skip
    response.set_cookie("c", "", max_age=0, path=None, same_site=None)
    assert response.cookies == [
        "a=1; Path=/; Secure; HttpOnly; SameSite=Lax",
        "b=2; Max-Age=60; Domain=shop.example; Path=/x; SameSite=Strict",
        "c=; Max-Age=0; Secure; HttpOnly",
    ]
    for bad in ({"value": "a;b"}, {"value": "a\r\nb"}, {"name": "a\0"}, {"domain": "x;y"},
                {"path": "/;"}, {"same_site": "maybe"}):  # fmt: skip
        arguments: dict[str, Any] = {"name": "n", "value": "v"} | bad
        with pytest.raises(ValueError, match=r"may not stand|is not Lax"):
            response.set_cookie(**arguments)
    assert len(response.cookies) == 3


@given(st.text("abcXYZ019-_.", min_size=1), st.text("abcXYZ019-_./"))
def test_set_cookie_is_read_by_the_library(name: str, value: str) -> None:
    response = Response()
    response.set_cookie(name, value, max_age=5)
    morsel = SimpleCookie(response.cookies[0])[name]
    assert morsel.value == value
    assert (morsel["max-age"], morsel["path"], morsel["samesite"]) == ("5", "/", "Lax")
