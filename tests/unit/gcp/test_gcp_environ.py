"""Reading a WSGI environment, and answering, without a server in between."""

from __future__ import annotations

from typing import Any

import pytest
from werkzeug.test import run_wsgi_app

from portafaas_gcp.runtime.bridge import headers_of, invocation_id, path_of, reply, utf8, wire


@pytest.mark.parametrize(
    ("environ", "path"),
    [
        ({"RAW_URI": "/a%2Fb?c=/d", "PATH_INFO": "/wrong"}, "/a/b"),
        ({"RAW_URI": "//a//b", "PATH_INFO": "/b"}, "//a//b"),
        ({"REQUEST_URI": "/%2525", "PATH_INFO": "/%"}, "/%25"),
        ({"RAW_URI": "http://host:80/x%20y?z", "PATH_INFO": "/x y"}, "/x y"),
        ({"RAW_URI": "https://host"}, "/"),
        ({"RAW_URI": "https://host?a"}, "/"),
        ({"RAW_URI": "*"}, "*"),
        ({"RAW_URI": "/\xc3\xbc"}, "/ü"),
        ({"RAW_URI": "/a://b/c"}, "/a://b/c"),
        ({"PATH_INFO": "/\xc3\xbc/%41"}, "/ü/%41"),
        ({"PATH_INFO": "/\xff"}, "/\ufffd"),
        ({"PATH_INFO": ""}, "/"),
    ],
)
def test_path(environ: dict[str, Any], path: str) -> None:
    assert path_of(environ) == path


def test_headers() -> None:
    environ = {
        "CONTENT_TYPE": "text/plain",
        "CONTENT_LENGTH": "",
        "HTTP_X_TWICE": "1,2",
        "HTTP_X_NAME": "\xc3\xbc",
        "HTTP_X_OLD": "\xfc",
        "HTTP_FUNCTION_EXECUTION_ID": "abc",
        "REMOTE_ADDR": "::1",
    }
    assert headers_of(environ) == {
        "x-twice": "1,2",
        "x-name": "ü",
        "x-old": "ü",
        "content-type": "text/plain",
    }
    assert invocation_id(environ) == "abc"
    assert len(invocation_id({})) == 16 and invocation_id({}) != invocation_id({})


@pytest.mark.parametrize("text", ["plain", "grüße", "☃", "Ã©"])
def test_header_text_both_ways(text: str) -> None:
    assert wire(text).encode("latin-1").decode("utf-8") == text
    assert utf8(wire(text)) == text


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (200, b"abc", [("X-A", "1"), ("Content-Length", "3")]),
        (200, b"", [("X-A", "1"), ("Content-Length", "0")]),
        (204, b"", [("X-A", "1")]),
        (304, b"", [("X-A", "1")]),
    ],
)
def test_nothing_is_added_but_the_length(
    status: int, body: bytes, headers: list[tuple[str, str]]
) -> None:
    chunks, line, found = run_wsgi_app(
        reply(status, [("X-A", "1")], body), {"REQUEST_METHOD": "GET"}, buffered=True
    )
    assert int(line[:3]) == status and b"".join(chunks) == body
    assert list(found) == headers
