"""Any request means the same to an application as through an independent implementation."""

from __future__ import annotations

from urllib.parse import parse_qsl, unquote, unquote_to_bytes
from wsgiref.validate import validator

import pytest
from a2wsgi import ASGIMiddleware, WSGIMiddleware
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.datastructures import QueryParams

from portafaas.adapter.stimulus import HttpStimulus
from portafaas.local.runner import deliver

RELAXED = settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
PCHAR = "abcXYZ019-._~!$&'()*+,;=:@"
segments = st.one_of(
    st.text(PCHAR, max_size=6),
    # Any text at all, as a client encodes it; a literal percent sign becomes %25.
    st.text(max_size=4).map(lambda text: "".join(f"%{b:02x}" for b in encoded(text))),
    st.sampled_from(["%252F", "%25", "%2B", "%20", "%C3%A9", "..", "."]),
)
paths = st.lists(segments, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))
queries = st.one_of(
    st.text(PCHAR + "/?%", max_size=20),
    st.lists(st.tuples(st.text("ab[]", max_size=2), segments), max_size=4).map(
        lambda pairs: "&".join(f"{name}={value}" for name, value in pairs)
    ),
)
names = st.text("abcdefghij-", min_size=1, max_size=6).map(lambda name: f"x-{name}")
values = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_categories=["Cc"]), max_size=12
).map(str.strip)
headers = st.lists(st.tuples(names, values), max_size=4, unique_by=lambda pair: pair[0])
requests = st.builds(
    lambda method, path, query, pairs, body: HttpStimulus(
        method,
        path,
        query,
        (("host", "h"), *pairs, *([("content-type", "text/plain")] if body else [])),
        body,
    ),
    st.sampled_from(["GET", "POST", "PUT", "DELETE", "OPTIONS"]),
    paths,
    queries,
    headers,
    st.binary(max_size=40),
)


def encoded(text: str) -> bytes:
    return text.encode("utf-8", "replace")


@pytest.fixture
def asgi_scope(around):
    scopes = []

    async def app(scope, receive, send):
        assert scope["type"] == "http"
        scopes.append(scope)
        await send({"type": "http.response.start", "status": 204})
        await send({"type": "http.response.body"})

    function = around(app, "asgi")

    def get(stimulus):
        assert deliver(function, stimulus).status == 204
        return scopes.pop()

    return get


@RELAXED
@given(requests)
def test_asgi_scope_against_urllib(asgi_scope, stimulus):
    """A-3, A-4, A-5, G-2."""
    scope = asgi_scope(stimulus)
    assert scope["path"] == unquote(stimulus.path)
    assert unquote(scope["raw_path"].decode("ascii")) == scope["path"]
    assert scope["query_string"] == stimulus.query.encode("ascii")
    expected = QueryParams(parse_qsl(stimulus.query, keep_blank_values=True))
    assert QueryParams(scope["query_string"]).multi_items() == expected.multi_items()
    sent = {name.encode(): value.encode("latin-1") for name, value in stimulus.headers}
    if stimulus.body:
        sent[b"content-length"] = str(len(stimulus.body)).encode()
    assert dict(scope["headers"]) == sent


@RELAXED
@given(requests)
def test_wsgi_environ_against_urllib(around, stimulus):
    """W-1, W-2; the validator checks the environ's form."""
    environs = []

    def app(environ, start_response):
        environs.append((environ, environ["wsgi.input"].read(-1)))
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"ok"]

    assert deliver(around(validator(app), "wsgi"), stimulus).status == 200
    environ, body = environs[0]
    path = unquote(stimulus.path).encode()  # bytes that are not UTF-8 are U+FFFD everywhere
    assert environ["PATH_INFO"] == path.decode("latin-1")
    if b"\xef\xbf\xbd" not in path:
        assert environ["PATH_INFO"].encode("latin-1") == unquote_to_bytes(stimulus.path)
    assert environ["QUERY_STRING"] == stimulus.query
    assert body == stimulus.body
    for name, value in stimulus.headers:
        if name.startswith("x-"):
            assert environ[f"HTTP_{name.upper().replace('-', '_')}"] == value


def echo_wsgi(environ, start_response):
    """Answer with everything both protocols know."""
    facts = [
        environ[name]
        for name in ("REQUEST_METHOD", "PATH_INFO", "QUERY_STRING", "wsgi.url_scheme")
    ]
    facts += [f"{key}={environ[key]}" for key in sorted(environ) if key.startswith("HTTP_X_")]
    start_response(
        "201 Created",
        [("content-type", "text/plain"), ("set-cookie", "b=2"), ("set-cookie", "a=1")],
    )
    yield "\n".join(facts).encode("latin-1")
    yield b"\n"
    yield environ["wsgi.input"].read()


async def echo_asgi(scope, receive, send):
    if scope["type"] != "http":
        raise ValueError(scope["type"])
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    facts = [scope["method"].encode(), scope["path"].encode(), scope["query_string"]]
    facts += [
        b"=".join(pair) for pair in sorted(scope["headers"]) if pair[0].startswith(b"x-")
    ]
    cookies = [(b"set-cookie", b"b=2"), (b"set-cookie", b"a=1")]
    await send(
        {
            "type": "http.response.start",
            "status": 201,
            "headers": [(b"content-type", b"text/plain"), *cookies],
        }
    )
    await send({"type": "http.response.body", "body": b"\n".join(facts), "more_body": True})
    await send({"type": "http.response.body", "body": body})


@settings(RELAXED, max_examples=40)
@given(requests)
def test_wsgi_application_answers_the_same_through_asgi(around, stimulus):
    """a2wsgi turns the application into the other kind: two ways, one answer."""
    direct = deliver(around(echo_wsgi, "wsgi"), stimulus)
    assert direct.status == 201
    assert deliver(around(WSGIMiddleware(echo_wsgi), "asgi"), stimulus) == direct


@settings(RELAXED, max_examples=40)
@given(requests)
def test_asgi_application_answers_the_same_through_wsgi(around, stimulus):
    direct = deliver(around(echo_asgi, "asgi"), stimulus)
    assert direct.status == 201
    assert deliver(around(ASGIMiddleware(echo_asgi), "wsgi"), stimulus) == direct


@RELAXED
@given(st.binary(max_size=60), st.integers(1, 7), st.sampled_from(["asgi", "wsgi"]))
def test_any_split_of_a_body_is_the_same_body(around, data, size, interface):
    """A-11."""
    parts = [data[at : at + size] for at in range(0, len(data), size)]

    def wsgi(environ, start_response):
        start_response("200 OK", [])
        return iter(parts)

    async def asgi(scope, receive, send):
        await send({"type": "http.response.start", "status": 200})
        for part in parts:
            await send({"type": "http.response.body", "body": memoryview(part), "more_body": True})
        await send({"type": "http.response.body"})

    outcome = deliver(around(wsgi if interface == "wsgi" else asgi, interface), HttpStimulus())
    assert (outcome.status, outcome.body) == (200, data)
