"""What becomes of what an http handler returns or raises."""

from __future__ import annotations

from typing import Any

from portafaas.adapter import HttpStimulus
from portafaas.testing.cases.model import PROBLEM, Case, problem

_JSON = {"content-type": "application/json"}
_TEXT = {"content-type": "text/plain; charset=utf-8"}
_BYTES = {"content-type": "application/octet-stream"}
_BROKEN: dict[str, Any] = {
    "status": 500,
    "headers": PROBLEM,
    "json": {"type": "about:blank", "title": "Internal Server Error", "status": 500},
}
_LATE: dict[str, Any] = {
    "status": 504,
    "headers": PROBLEM,
    "json": {
        "type": "about:blank",
        "title": "Gateway Timeout",
        "status": 504,
        "detail": "the function did not answer in time",
    },
}


_SESSION = "session=abc123; Max-Age=60; Path=/; Secure; HttpOnly; SameSite=Lax"

#: last segment of the path -> what the client receives
_EXPECTED: dict[str, dict[str, Any]] = {
    "none": {"status": 204, "headers": {}, "body": b""},
    "dict": {
        "status": 200,
        "headers": _JSON,
        "json": {"text": "grüße", "number": 1.5, "list": [1, None, True]},
    },
    "empty-dict": {"status": 200, "headers": _JSON, "body": b"{}"},
    "list": {"status": 200, "headers": _JSON, "json": [1, "two", None]},
    "text": {"status": 200, "headers": _TEXT, "body": "plain text, grüße".encode()},
    "empty-text": {"status": 200, "headers": {}, "body": b""},
    "bytes": {"status": 200, "headers": _BYTES, "body": bytes(range(256))},
    "bytearray": {"status": 200, "headers": _BYTES, "body": b"\x00\xff"},
    "response": {
        "status": 201,
        "headers": {**_TEXT, "x-case": "one", "location": "/orders/1"},
        "body": b"created",
    },
    "response-bytes": {
        "status": 200,
        "headers": {"content-type": "image/png"},
        "body": b"\x89PNG\r\n\x1a\n\x00",
    },
    "response-text-bytes": {
        "status": 200,
        "headers": {"content-type": "text/html; charset=utf-8"},
        "body": "<p>grüße</p>".encode(),
    },
    "response-json-bytes": {"status": 200, "headers": _JSON, "json": {"a": "ü"}},
    "latin": {
        "status": 200,
        "headers": {"content-type": "text/plain; charset=latin-1"},
        "body": "grüße".encode("latin-1"),
    },
    "no-content-type": {"status": 200, "headers": _TEXT, "body": b"text"},
    "empty": {"status": 200, "headers": {}, "body": b""},
    "no-content": {"status": 204, "headers": {}, "body": b""},
    "not-modified": {"status": 304, "headers": {"etag": '"abc"'}, "body": b""},
    "redirect": {
        "status": 303,
        "headers": {"location": "https://example.org/a?b=c%20d"},
        "body": b"",
    },
    "json-status": {"status": 410, "headers": _JSON, "json": {"error": "gone"}},
    "http-status": {"status": 418, "headers": _TEXT, "body": b"teapot"},
    "headers": {
        "status": 200,
        "headers": {
            **_TEXT,
            "x-case-upper": "Value",
            "x-case-twice": "a, b",
            "x-case-empty": "",
            "x-case-comma": "a, b",
            "vary": "accept",
            "cache-control": "no-store",
            "etag": '"1"',
            "link": '<https://example.org/>; rel="next"',
        },
    },
    "cookie": {"status": 200, "cookies": (_SESSION,)},
    "cookies": {
        "status": 200,
        "cookies": (
            "a=1; Path=/; Secure; HttpOnly; SameSite=Lax",
            "b=2; Max-Age=60; Domain=example.org; Path=/; Secure; HttpOnly; SameSite=Strict",
            "c=x=y&z; Path=/shop",
        ),
    },
    "cookie-percent": {
        "status": 200,
        "cookies": ("a=50%25; Path=/; Secure; HttpOnly; SameSite=Lax",),
    },
    "cookie-header": {"status": 200, "headers": _TEXT, "cookies": ("a=1; Path=/", "b=2; Path=/")},
    "redirect-unicode": {
        "status": 303,
        "headers": {"location": "/gr%C3%BC%C3%9Fe?a=%20"},
        "body": b"",
    },
    "deleted-cookies": {"status": 200, "headers": _TEXT},
    "surrogate-text": _BROKEN,
    "surrogate-response": _BROKEN,
    "header-beyond-ascii": _BROKEN,
    "raises-interrupt": _BROKEN,
    "raises-generator-exit": _BROKEN,
    "hop-by-hop": {"status": 200, "headers": _TEXT, "body": b"x"},
    "server-error": {
        "status": 503,
        "headers": {**_JSON, "retry-after": "7"},
        "json": {"own": "body"},
    },
    "raises": _BROKEN,
    "raises-base": _BROKEN,
    "raises-http": {
        "status": 409,
        "headers": {**PROBLEM, "x-case": "conflict"},
        "json": problem(409, "Conflict", "already placed"),
    },
    "raises-http-bare": {"status": 404, "headers": PROBLEM, "json": problem(404, "Not Found")},
    "raises-http-unicode": {
        "status": 422,
        "headers": PROBLEM,
        "json": problem(422, "Unprocessable Content", "größer als erlaubt"),
    },
    "sys-exit": _BROKEN,
    "wrong-type": _BROKEN,
    "wrong-tuple": _BROKEN,
    "wrong-number": _BROKEN,
    "wrong-status": _BROKEN,
    "wrong-status-type": _BROKEN,
    "wrong-body": _BROKEN,
    "wrong-header": _BROKEN,
    "wrong-header-name": _BROKEN,
    "wrong-header-type": _BROKEN,
    "not-json": _BROKEN,
    "set-value": _BROKEN,
    "generator": _BROKEN,
    "missing-method": _BROKEN,
    "large": {"status": 200, "headers": _TEXT, "body": b"x" * 1_000_000},
    "large-binary": {"status": 200, "headers": _BYTES, "body": bytes(1_000_000)},
    "too-large": _BROKEN,
    "hang": _LATE,
    "spin": _LATE,
    "swallow": _LATE,
}


def _reply(what: str, expected: dict[str, Any]) -> Case:
    return Case(
        name=f"reply-{what}",
        function="reply",
        stimulus=HttpStimulus("GET", f"/reply/{what}"),
        seen=(what,),
        **expected,
    )


REPLY_CASES: tuple[Case, ...] = (
    *(_reply(what, expected) for what, expected in _EXPECTED.items()),
    # HEAD: the headers of GET without its body; without a body there is no content type.
    *(
        Case(
            name=f"reply-head-{what}",
            function="reply",
            stimulus=HttpStimulus("HEAD", f"/reply/{what}"),
            status=status,
            body=b"",
        )
        for what, status in (("dict", 200), ("raises", 500), ("raises-http", 409))
    ),
    # An instance that was interrupted must serve the next request as if nothing had happened.
    Case(
        name="reply-after-interruptions",
        function="reply",
        stimulus=HttpStimulus("GET", "/reply/text"),
        status=200,
        seen=("text",),
    ),
)
