"""What an http handler sees, and who gets past the bridge.

Long because it is all tables, of which a half would be no easier to read.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import Any

from portafaas.adapter import HttpStimulus
from portafaas.testing import tokens
from portafaas.testing.cases.model import ABSENT, PROBLEM, TRACE, TRACED, Case, problem
from portafaas.testing.service import KEY, KEY_NAME

Headers = tuple[tuple[str, str], ...]


def _case(
    name: str,
    function: str,
    method: str = "GET",
    path: str = "/",
    query: str = "",
    headers: Headers = (),
    body: bytes = b"",
    caller: str | None = None,
    headers_out: Mapping[str, str] | None = None,
    **expected: Any,
) -> Case:
    stimulus = HttpStimulus(method, path, query, headers, body, caller)
    return Case(name=name, function=function, stimulus=stimulus, headers=headers_out, **expected)


def _methods() -> Iterator[Case]:
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        yield _case(
            f"http-method-{method.lower()}", "echo", method, "/echo/a",
            status=200, json={"method": method, "path": "/echo/a"},
        )  # fmt: skip
    yield _case(
        "http-method-head",
        "echo",
        "HEAD",
        "/echo/a",
        status=200,
        body=b"",
        seen=({"method": "HEAD"},),
    )


#: name -> (path as sent, path as the handler sees it, the wildcard's value)
_PATHS = {
    "plain": ("/echo/a/b", "/echo/a/b", "a/b"),
    "empty-rest": ("/echo/", "/echo/", ""),
    "bare": ("/echo", "/echo", ""),
    "trailing-slash": ("/echo/a/", "/echo/a/", "a/"),
    "space": ("/echo/a%20b", "/echo/a b", "a b"),
    "plus": ("/echo/a+b", "/echo/a+b", "a+b"),
    "utf8": ("/echo/gr%C3%BC%C3%9Fe", "/echo/grüße", "grüße"),
    "astral": ("/echo/%F0%9F%9B%92", "/echo/\U0001f6d2", "\U0001f6d2"),
    "double-encoded": ("/echo/a%2520b", "/echo/a%20b", "a%20b"),
    "percent": ("/echo/100%25", "/echo/100%", "100%"),
    "at-colon": ("/echo/a@b:c;d=e,f", "/echo/a@b:c;d=e,f", "a@b:c;d=e,f"),
    "reserved": ("/echo/%26%3D%3F%23", "/echo/&=?#", "&=?#"),
    "quotes": ("/echo/%22%27%3C%3E", "/echo/\"'<>", "\"'<>"),
    "unreserved": ("/echo/-._~", "/echo/-._~", "-._~"),
    "upper": ("/echo/A/b", "/echo/A/b", "A/b"),
}


def _paths() -> Iterator[Case]:
    for name, (sent, seen, rest) in _PATHS.items():
        yield _case(
            f"http-path-{name}", "echo", "GET", sent,
            status=200, json={"path": seen, "path_params": {"path": rest}},
        )  # fmt: skip
    yield _case(
        "http-params", "item", "GET", "/items/42/parts/left",
        status=200, json={"path_params": {"id": "42", "part": "left"}},
    )  # fmt: skip
    yield _case(
        "http-params-encoded", "item", "PUT", "/items/a%20b/parts/%C3%BC",
        status=200, json={"method": "PUT", "path_params": {"id": "a b", "part": "ü"}},
    )  # fmt: skip
    yield _case(
        "http-path-root", "site", "GET", "/", status=200, json={"path_params": {"path": ""}},
    )  # fmt: skip
    for name in ("static/x.css", "robots.txt", "favicon.ico", "a//b"):
        yield _case(
            f"http-path-{name.replace('/', '-')}", "site", "GET", f"/{name}",
            status=200, json={"path": f"/{name}", "path_params": {"path": name}},
        )  # fmt: skip
    for name, path in {
        "no-route": "/items/42",
        "no-route-longer": "/items/42/parts/left/more",
        "no-route-case": "/Items/42/parts/left",
        "no-route-empty-segment": "/items//parts/left",
        "no-route-trailing": "/items/42/parts/left/",
    }.items():
        yield _case(
            f"http-{name}", "item", "GET", path,
            status=404, json=problem(404, "Not Found"), headers_out=PROBLEM, seen=(),
        )  # fmt: skip
    for method in ("POST", "DELETE", "HEAD", "OPTIONS"):
        yield _case(
            f"http-method-refused-{method.lower()}", "item", method, "/items/1/parts/2",
            status=405, seen=(),
        )  # fmt: skip
    yield _case(
        "http-method-refused-allow", "item", "PATCH", "/items/1/parts/2",
        status=405, json=problem(405, "Method Not Allowed"),
        headers_out={**PROBLEM, "allow": "GET, PUT"},
    )  # fmt: skip


#: name -> (query as sent, pairs as the handler sees them)
_QUERIES: dict[str, tuple[str, list[list[str]]]] = {
    "one": ("a=1", [["a", "1"]]),
    "two": ("a=1&b=2", [["a", "1"], ["b", "2"]]),
    "order": ("b=2&a=1", [["b", "2"], ["a", "1"]]),
    "multi": ("a=1&a=2&a=3", [["a", "1"], ["a", "2"], ["a", "3"]]),
    "multi-mixed": ("a=1&b=x&a=2", [["a", "1"], ["b", "x"], ["a", "2"]]),
    "multi-same": ("a=1&a=1", [["a", "1"], ["a", "1"]]),
    "empty-value": ("a=&b=1", [["a", ""], ["b", "1"]]),
    "no-value": ("a&b=1", [["a", ""], ["b", "1"]]),
    "comma": ("a=1,2&a=3", [["a", "1,2"], ["a", "3"]]),
    "comma-encoded": ("a=1%2C2", [["a", "1,2"]]),
    "plus": ("a=b+c", [["a", "b c"]]),
    "plus-encoded": ("a=b%2Bc", [["a", "b+c"]]),
    "space": ("a=b%20c", [["a", "b c"]]),
    "utf8": ("n=gr%C3%BC%C3%9Fe&%C3%BC=1", [["n", "grüße"], ["ü", "1"]]),
    "astral": ("a=%F0%9F%9B%92", [["a", "\U0001f6d2"]]),
    "equals": ("a=b=c", [["a", "b=c"]]),
    "equals-encoded": ("a%3Db=c", [["a=b", "c"]]),
    "ampersand-encoded": ("a=1%262", [["a", "1&2"]]),
    "percent": ("a=100%25", [["a", "100%"]]),
    "double-encoded": ("a=%2541", [["a", "%41"]]),
    "brackets": ("a[]=1&a[]=2", [["a[]", "1"], ["a[]", "2"]]),
    "brackets-encoded": ("a%5B%5D=1", [["a[]", "1"]]),
    "slash-question": ("a=/b?c", [["a", "/b?c"]]),
    "semicolon": ("a=1;b=2", [["a", "1;b=2"]]),
    "case": ("A=1&a=2", [["A", "1"], ["a", "2"]]),
    "long": ("a=" + "x" * 1500, [["a", "x" * 1500]]),
}


def _queries() -> Iterator[Case]:
    for name, (sent, pairs) in _QUERIES.items():
        yield _case(
            f"http-query-{name}", "echo", "GET", "/echo/q", sent,
            status=200, json={"query": pairs, "raw_query": sent},
        )  # fmt: skip
    yield _case(
        "http-query-none", "echo", "GET", "/echo/q", status=200, json={"query": [], "raw_query": ""}
    )


#: name -> (headers as sent, headers as the handler sees them)
_HEADERS: dict[str, tuple[Headers, dict[str, str]]] = {
    "one": ((("x-case-one", "1"),), {"x-case-one": "1"}),
    "upper": ((("X-Case-ONE", "Value"),), {"x-case-one": "Value"}),
    "duplicate": ((("x-case", "a"), ("x-case", "b")), {"x-case": "a,b"}),
    "duplicate-case": ((("X-Case", "a"), ("x-case", "b")), {"x-case": "a,b"}),
    "three": ((("x-case", "a"), ("x-case", "b"), ("x-case", "c")), {"x-case": "a,b,c"}),
    "comma": ((("x-case", "a, b"),), {"x-case": "a, b"}),
    "comma-duplicate": ((("x-case", "a, b"), ("x-case", "c")), {"x-case": "a, b,c"}),
    "empty": ((("x-case", ""), ("x-case-two", "2")), {"x-case": "", "x-case-two": "2"}),
    "quoted": ((("x-case", '"a, b"; q=1'),), {"x-case": '"a, b"; q=1'}),
    "percent": ((("x-case", "%20+&="),), {"x-case": "%20+&="}),
    "content-type": (
        (("content-type", "text/plain; charset=UTF-8"),),
        {"content-type": "text/plain; charset=UTF-8"},
    ),
    "accept": ((("accept", "text/html"), ("accept", "*/*")), {"accept": "text/html,*/*"}),
    "authorization": ((("authorization", "Custom abc"),), {"authorization": "Custom abc"}),
    "long": ((("x-case", "x" * 3000),), {"x-case": "x" * 3000}),
}


def _headers() -> Iterator[Case]:
    for name, (sent, seen) in _HEADERS.items():
        yield _case(
            f"http-header-{name}", "echo", "POST", "/echo/h", headers=sent, body=b"x",
            status=200, json={"headers": seen},
        )  # fmt: skip
    yield _case(
        "http-header-underscore", "echo", "GET", "/echo/h",
        headers=(("x_case", "spoofed"), ("x-case", "real")),
        status=200, json={"headers": {"x-case": "real", "x_case": ABSENT}},
    )  # fmt: skip
    yield _case(
        "http-trace", "echo", "GET", "/echo/h", headers=(("traceparent", TRACE),),
        status=200, json={"context": {"trace": TRACE, **TRACED, "correlation": None}},
    )  # fmt: skip
    yield _case(
        "http-trace-state", "echo", "GET", "/echo/h",
        headers=(("traceparent", TRACE), ("tracestate", "rojo=00f067,congo=t61")),
        status=200, json={"context": {**TRACED, "trace_state": "rojo=00f067,congo=t61"}},
    )  # fmt: skip
    yield _case(
        "http-trace-invalid", "echo", "GET", "/echo/h",
        headers=(("traceparent", f"{TRACE}-more"), ("tracestate", "rojo=00f067")),
        status=200, json={"context": {"trace_id": None, "trace_state": ""}},
    )  # fmt: skip
    yield _case(
        "http-correlation", "echo", "GET", "/echo/h",
        headers=(("X-Correlation-Id", "order-7/a"),),
        status=200, json={"context": {"correlation": "order-7/a"}},
    )  # fmt: skip
    yield _case(
        "http-correlation-invalid", "echo", "GET", "/echo/h",
        headers=(("X-Correlation-Id", "x" * 129),),
        status=200, json={"context": {"correlation": None}},
    )  # fmt: skip
    yield _case(
        "http-within-rate", "limited", "GET", "/limited", status=200, body=b"plain GET",
    )  # fmt: skip


_COOKIES: dict[str, tuple[str, list[list[str]]]] = {
    "one": ("a=1", [["a", "1"]]),
    "two": ("a=1; b=2", [["a", "1"], ["b", "2"]]),
    "same-name": ("a=1; a=2", [["a", "1"], ["a", "2"]]),
    "equals": ("a=b=c", [["a", "b=c"]]),
    "quoted": ('a="b c"', [["a", '"b c"']]),
    "percent": ("a=%20b", [["a", "%20b"]]),
    "empty": ("a=; b=2", [["a", ""], ["b", "2"]]),
}


def _cookies() -> Iterator[Case]:
    for name, (sent, pairs) in _COOKIES.items():
        yield _case(
            f"http-cookie-{name}", "echo", "GET", "/echo/c", headers=(("cookie", sent),),
            status=200, json={"cookies": pairs, "headers": {"cookie": sent}},
        )  # fmt: skip


#: name -> (content type, body)
_BODIES: dict[str, tuple[str, bytes]] = {
    "json": ("application/json", b'{"a": 1}'),
    "json-utf8": ("application/json", '{"a": "grüße \U0001f6d2"}'.encode()),
    "json-invalid": ("application/json", b"{not json"),
    "text": ("text/plain", b"hello\r\nworld\n"),
    "text-latin1": ("text/plain; charset=latin-1", "grüße".encode("latin-1")),
    "form": ("application/x-www-form-urlencoded", b"a=1&a=2&b=%20+x"),
    "binary": ("application/octet-stream", bytes(range(256))),
    "image": ("image/png", b"\x89PNG\r\n\x1a\n\x00\x00\xff"),
    "zip-as-text": ("text/plain", b"PK\x03\x04\xff\xfe\x00"),
    "binary-as-json": ("application/json", b"\xff\xfe{\x00}"),
    "nul": ("text/plain", b"a\x00b"),
    "base64-text": ("text/plain", base64.b64encode(b"looks encoded")),
    "xml": ("application/xml", b"<a>\xc3\xbc</a>"),
    "multipart": (
        "multipart/form-data; boundary=b",
        b'--b\r\ncontent-disposition: form-data; name="f"; filename="a.bin"\r\n\r\n\x00\xff\r\n--b--\r\n',
    ),
    "gzip": ("application/gzip", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff\x03\x00"),
    "one-byte": ("application/octet-stream", b"\x00"),
    "bom": ("text/plain", b"\xef\xbb\xbfhello"),
}


def _bodies() -> Iterator[Case]:
    for name, (content_type, body) in _BODIES.items():
        yield _case(
            f"http-body-{name}", "echo", "POST", "/echo/b",
            headers=(("content-type", content_type),), body=body,
            status=200,
            json={
                "body": base64.b64encode(body).decode(),
                "headers": {"content-type": content_type},
            },
        )  # fmt: skip
    yield _case("http-body-none", "echo", "POST", "/echo/b", status=200, json={"body": ""})
    yield _case(
        "http-body-no-type", "echo", "POST", "/echo/b", body=b"\x00\x01text",
        status=200, json={"body": base64.b64encode(b"\x00\x01text").decode()},
    )  # fmt: skip
    large = bytes(range(256)) * 4096
    yield _case(
        "http-body-large", "reply", "POST", "/reply/size", body=large,
        headers=(("content-type", "application/octet-stream"),),
        status=200, json={"size": len(large), "sum": sum(large)},
    )  # fmt: skip
    yield _case(
        "http-body-at-limit", "small", "POST", "/small/size", body=b"\x01" * 100,
        status=200, json={"size": 100, "sum": 100},
    )  # fmt: skip
    yield _case(
        "http-body-over-limit", "small", "POST", "/small/size", body=b"\x01" * 101,
        status=413, headers_out=PROBLEM, seen=(),
        json=problem(413, "Content Too Large", "the body has 101 bytes; the limit is 100"),
    )  # fmt: skip


def _cors() -> Iterator[Case]:
    origin = ("origin", "https://shop.example")
    other = ("origin", "https://evil.example")
    ask = ("access-control-request-method", "POST")
    json_type = {"content-type": "application/json"}
    vary = {"vary": "origin"}
    granted = {
        **vary,
        "access-control-allow-origin": "https://shop.example",
        "access-control-allow-credentials": "true",
        "access-control-expose-headers": "etag",
    }
    permission = {
        **granted,
        "access-control-allow-methods": "GET, POST",
        "access-control-max-age": "300",
    }
    yield _case(
        "http-cors-simple", "cors", "GET", "/cors", headers=(origin,),
        status=200, json={"method": "GET"}, headers_out={**json_type, **granted},
    )  # fmt: skip
    yield _case(
        "http-cors-preflight", "cors", "OPTIONS", "/cors", headers=(origin, ask),
        status=204, seen=(), headers_out=permission,
    )  # fmt: skip
    yield _case(
        "http-cors-preflight-headers", "cors", "OPTIONS", "/cors",
        headers=(origin, ask, ("access-control-request-headers", "x-case")),
        status=204, seen=(),
        headers_out={**permission, "access-control-allow-headers": "content-type, x-case"},
    )  # fmt: skip
    yield _case(
        "http-cors-preflight-other-origin", "cors", "OPTIONS", "/cors", headers=(other, ask),
        status=204, seen=(), headers_out=vary,
    )  # fmt: skip
    yield _case(
        "http-cors-preflight-method", "cors", "OPTIONS", "/cors",
        headers=(origin, ("access-control-request-method", "DELETE")),
        status=204, seen=(), headers_out=granted,
    )  # fmt: skip
    yield _case(
        "http-cors-other-origin", "cors", "GET", "/cors", headers=(other,),
        status=200, headers_out={**json_type, **vary},
    )  # fmt: skip
    yield _case(
        "http-cors-no-origin", "cors", "GET", "/cors",
        status=200, headers_out={**json_type, **vary},
    )  # fmt: skip
    yield _case(
        "http-cors-refused-method", "cors", "PUT", "/cors", headers=(origin,),
        status=405, seen=(), headers_out={**PROBLEM, **granted, "allow": "GET, POST"},
    )  # fmt: skip
    yield _case(
        "http-cors-any", "cors-any", "GET", "/cors-any/text", headers=(other,), status=200,
        headers_out={
            "content-type": "text/plain; charset=utf-8", "access-control-allow-origin": "*",
        },
    )  # fmt: skip
    yield _case(
        "http-cors-any-error", "cors-any", "GET", "/cors-any/raises", headers=(origin,),
        status=500, headers_out={**PROBLEM, "access-control-allow-origin": "*"},
    )  # fmt: skip


def _auth() -> Iterator[Case]:
    yield _case(
        "http-key", "keyed", "GET", "/keyed", headers=(("x-api-key", KEY),),
        status=200, json={"identity": [KEY_NAME, []]},
    )  # fmt: skip
    yield _case("http-key-missing", "keyed", "GET", "/keyed", status=401, seen=())
    yield _case(
        "http-key-wrong", "keyed", "GET", "/keyed", headers=(("x-api-key", KEY + "x"),),
        status=401, seen=(),
    )  # fmt: skip
    yield _case(
        "http-key-empty", "keyed", "GET", "/keyed", headers=(("x-api-key", ""),),
        status=401, seen=(),
    )  # fmt: skip
    yield _case("http-key-no-route", "keyed", "GET", "/keyed/x", status=404, seen=())
    bearer: dict[str, tuple[str, int]] = {
        "valid": (tokens.VALID, 200),
        "expired": (tokens.EXPIRED, 401),
        "audience": (tokens.OTHER_AUDIENCE, 401),
        "issuer": (tokens.OTHER_ISSUER, 401),
        "scope": (tokens.NO_SCOPE, 403),
        "forged": (tokens.FORGED, 401),
        "no-expiry": (tokens.NO_EXPIRY, 401),
        "not-yet": (tokens.NOT_YET, 401),
        "unsigned": (tokens.UNSIGNED, 401),
        "garbage": ("a.b.c", 401),
        "cut": (tokens.VALID[:-10], 401),
    }
    for name, (token, status) in bearer.items():
        expected: dict[str, Any] = {"status": status}
        if status == 200:
            expected["json"] = {"identity": ["customer-7", ["orders:read", "orders:write"]]}
        else:
            expected["seen"] = ()
        yield _case(
            f"http-jwt-{name}", "signed", "GET", "/signed",
            headers=(("authorization", f"Bearer {token}"),), **expected,
        )  # fmt: skip
    yield _case("http-jwt-missing", "signed", "GET", "/signed", status=401, seen=())
    yield _case(
        "http-jwt-basic", "signed", "GET", "/signed",
        headers=(("authorization", "Basic dXNlcjpwYXNz"),), status=401, seen=(),
    )  # fmt: skip
    yield _case(
        "http-iam", "internal", "GET", "/internal", caller="caller@shop.example",
        status=200, json={"identity": ["caller@shop.example", []]},
    )  # fmt: skip
    yield _case("http-iam-missing", "internal", "GET", "/internal", status=401, seen=())


def _handlers() -> Iterator[Case]:
    yield _case(
        "http-async",
        "async-echo",
        "GET",
        "/async/x",
        "a=1",
        status=200,
        json={"query": [["a", "1"]]},
    )
    yield _case(
        "http-async-raises",
        "async-echo",
        "GET",
        "/async/raise",
        status=500,
        json=problem(500, "Internal Server Error"),
    )
    yield _case("http-async-hangs", "async-echo", "GET", "/async/hang", status=504, seen=("hang",))
    yield _case("http-async-after-hang", "async-echo", "GET", "/async/again", status=200)
    yield _case("http-kept-ready", "warm", "GET", "/warm", status=200, body=b"plain GET")
    yield _case("http-plain-function", "plain", "GET", "/plain", status=200, body=b"plain GET")
    yield _case(
        "http-plain-async-function",
        "plain-async",
        "GET",
        "/plain-async",
        status=200,
        body=b"plain async GET",
    )
    yield _case("http-callable-class", "callable", "GET", "/callable", status=200, json=[True])
    yield _case(
        "http-lifecycle",
        "lifecycle",
        "GET",
        "/lifecycle",
        status=200,
        json={"initialised": 1, "handled": True},
    )
    for again in ("", "-again"):
        yield _case(
            f"http-broken{again}", "broken-web", "GET", "/broken",
            status=500, json=problem(500, "Internal Server Error"), seen=(),
        )  # fmt: skip
    yield _case(
        "http-environment", "settings", "GET", "/settings",
        status=200, json={"COLOUR": "grün", "SIZE": "7", "ABSENT": None},
    )  # fmt: skip
    yield _case(
        "http-lifecycle-again",
        "lifecycle",
        "GET",
        "/lifecycle",
        status=200,
        json={"initialised": 1, "handled": True},
    )
    yield _case(
        "http-async-lifecycle",
        "async-lifecycle",
        "GET",
        "/async-lifecycle",
        status=200,
        json={"same_loop": True},
    )
    yield _case(
        "http-concurrency",
        "parallel",
        "POST",
        "/parallel/a",
        body=b"x",
        status=200,
        json={"path_params": {"path": "a"}},
    )
    yield _case(
        "http-context", "echo", "GET", "/echo/x", status=200,
        json={
            "context": {
                "function": "echo",
                "service": "conformance",
                "memory": 256,
                "attempt": 1,
                "has_id": True,
                "has_raw": True,
                "in_time": True,
            }
        },
    )  # fmt: skip
    yield _case(
        "http-helpers", "reply", "GET", "/reply/helpers", "a=1&a=2",
        (("x-case-list", 'a, "b, c" , d'), ("cookie", "a=7; a=8"), ("x-case-one", "1")),
        status=200,
        json={
            "first": "1", "all": ["1", "2"], "missing": "default",
            "list": ["a", '"b, c"', "d"], "cookie": "7", "header": "1",
        },
    )  # fmt: skip
    yield _case(
        "http-text-charset", "reply", "POST", "/reply/text-body",
        headers=(("content-type", "text/plain; charset=latin-1"),), body="grüße".encode("latin-1"),
        status=200, json={"text": "grüße"},
    )  # fmt: skip
    yield _case(
        "http-bad-json", "reply", "POST", "/reply/bad-json",
        headers=(("content-type", "application/json"),), body=b"{oops",
        status=400,
    )  # fmt: skip

    yield _case(
        "http-json-too-deep", "reply", "POST", "/reply/bad-json",
        headers=(("content-type", "application/json"),), body=b"[" * 200_000,
        status=400,
    )  # fmt: skip


def _applications() -> Iterator[Case]:
    for kind in ("asgi", "wsgi"):
        name, prefix = f"{kind}-app", f"/{kind}"
        cookies = ("a=1; Path=/", "b=2; Path=/")
        yield _case(
            f"http-{kind}", name, "POST", f"{prefix}/gr%C3%BC%C3%9Fe", "a=1&a=2", body=b"\x00\xff",
            headers=(("content-type", "application/octet-stream"),),
            status=201, cookies=cookies,
            json={
                "method": "POST", "path": f"{prefix}/grüße", "query_string": "a=1&a=2",
                "body": base64.b64encode(b"\x00\xff").decode(),
            },
        )  # fmt: skip
        yield _case(f"http-{kind}-get", name, "GET", f"{prefix}/", status=201, json={"body": ""})
        yield _case(
            f"http-{kind}-encoded", name, "GET", f"{prefix}/a%252Fb%20c", "x=%20+y",
            status=201, json={"path": f"{prefix}/a%2Fb c", "query_string": "x=%20+y"},
        )  # fmt: skip
        yield _case(
            f"http-{kind}-headers", name, "GET", f"{prefix}/h",
            headers=(("x-case", "a"), ("x-case", "b")), status=201,
        )  # fmt: skip
        yield _case(f"http-{kind}-head", name, "HEAD", f"{prefix}/x", status=201, body=b"")
        yield _case(f"http-{kind}-no-route", name, "GET", "/elsewhere", status=404, seen=())
        yield _case(
            f"http-{kind}-raises", name, "GET", f"{prefix}/raise",
            status=500, json=problem(500, "Internal Server Error"), seen=(),
        )  # fmt: skip
        yield _case(f"http-{kind}-hangs", name, "GET", f"{prefix}/hang", status=504, seen=())
        yield _case(f"http-{kind}-after", name, "GET", f"{prefix}/x", status=201)


HTTP_CASES: tuple[Case, ...] = (
    *_methods(),
    *_paths(),
    *_queries(),
    *_headers(),
    *_cookies(),
    *_bodies(),
    *_cors(),
    *_auth(),
    *_handlers(),
    *_applications(),
)
