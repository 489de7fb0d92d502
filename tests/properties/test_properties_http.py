"""Random requests reach an HTTP handler unchanged, and the same, on every target."""

from __future__ import annotations

import base64
from urllib.parse import parse_qsl, unquote_to_bytes

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from portafaas.adapter import HttpStimulus

pytestmark = pytest.mark.vendor

# The same examples on every run: new ones come with new strategies, not by luck.
PROPERTY = settings(
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.too_slow],
)

UNRESERVED = "ABCXYZabcxyz0189-._~"
SUB_DELIMS = "!$&'()*+,;="

# API Gateway's HTTP APIs route these seven; others never reach a function.
# https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def _encoded(data: bytes) -> str:
    return "".join(f"%{byte:02X}" for byte in data)


def _pieces(safe: str, raw: st.SearchStrategy[bytes]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.text(safe, max_size=6),
        st.text(max_size=4).map(lambda text: _encoded(text.encode())),
        raw.map(_encoded),
        # Lower-case hex digits mean the same.
        st.text(max_size=2).map(lambda text: _encoded(text.encode()).lower()),
    )


# Clients and proxies remove "." and ".." segments, plain and encoded, before anyone sees them:
# https://url.spec.whatwg.org/#double-dot-path-segment
def _no_dots(segment: str) -> bool:
    return unquote_to_bytes(segment) not in (b".", b"..")


SEGMENTS = (
    st.lists(_pieces(UNRESERVED + SUB_DELIMS + ":@", st.binary(max_size=3)), max_size=3)
    .map("".join)
    .filter(_no_dots)
)
PATHS = st.lists(SEGMENTS, max_size=4).map(lambda parts: "/".join(["/echo", *parts]))

# What a client may put after "?" (RFC 3986, section 3.4), and percent signs that encode nothing.
QUERY_PIECES = st.one_of(
    _pieces(UNRESERVED + SUB_DELIMS + ":@/?", st.binary(max_size=3)),
    st.sampled_from(["%", "%%", "%4", "%zz", "%u0041", "&&", "=", "a=1&a=2", ";", "+", "%00"]),
)
QUERIES = st.lists(QUERY_PIECES, max_size=6).map("".join)

TOKEN = "abcdefghijklmnopqrstuvwxyzABCXYZ0123456789!#$%&'*+-.^`|~"
# RFC 9110, section 5.5: visible characters, with spaces and tabs inside.
VALUES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=12).map(str.strip)
NAMES = st.text(TOKEN, max_size=5).map(lambda text: f"x-case-{text}")
TYPES = st.sampled_from(
    [
        "application/json", "application/json; charset=utf-8", "text/plain", "text/plain;charset=latin-1",
        "application/octet-stream", "image/png", "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x", "application/xml", "application/javascript",
        "APPLICATION/JSON", "text/html", "application/vnd.api+json", "text/", "x",
    ]
)  # fmt: skip

# RFC 6265, section 4.1.1, and what browsers send beyond it; ";" and "," separate.
COOKIE_NAMES = st.text(TOKEN, min_size=1, max_size=4)
COOKIE_VALUES = st.text("abcXYZ019!#$%&'()*+-./:<=>?@[]^_`{|}~\"", max_size=8)
COOKIES = st.lists(st.tuples(COOKIE_NAMES, COOKIE_VALUES), min_size=1, max_size=4)


@st.composite
def headers(draw: st.DrawFn) -> tuple[tuple[str, str], ...]:
    found = draw(st.lists(st.tuples(NAMES, VALUES), max_size=5))
    if draw(st.booleans()):
        found.append(("content-type", draw(TYPES)))
    if draw(st.booleans()):
        found.append(("accept", draw(st.sampled_from(["*/*", "text/html, */*;q=0.8"]))))
    if draw(st.booleans()):
        # One header: the targets cannot say where one ended and the next began.
        pairs = draw(COOKIES)
        found.append(("cookie", "; ".join(f"{name}={value}" for name, value in pairs)))
    return tuple(draw(st.permutations(found)))


REQUESTS = st.builds(
    HttpStimulus,
    method=st.sampled_from(METHODS),
    path=PATHS,
    query=QUERIES,
    headers=headers(),
    body=st.one_of(st.just(b""), st.binary(max_size=60), st.text(max_size=20).map(str.encode)),
)


@settings(PROPERTY, max_examples=100)
@given(REQUESTS)
def test_requests_arrive_the_same(agree, sent):
    observed = agree("echo", sent)
    (seen,) = observed.seen
    assert seen["method"] == sent.method
    assert seen["path"] == unquote_to_bytes(sent.path).decode("utf-8", "replace")
    assert seen["raw_query"] == sent.query
    assert seen["query"] == [
        list(pair) for pair in parse_qsl(sent.query, keep_blank_values=True)
    ]
    assert base64.b64decode(seen["body"]) == sent.body
