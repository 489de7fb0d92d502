"""An application answers the same behind portafaas as behind uvicorn or gunicorn."""

from __future__ import annotations

import json

import pytest

from portafaas.adapter.stimulus import HttpStimulus
from portafaas.local.runner import deliver

HOST = ("host", "shop.example")
JSON = ("content-type", "application/json")
PLAIN_FORM = ("content-type", "application/x-www-form-urlencoded")
MULTIPART = ("content-type", "multipart/form-data; boundary=xYzZy")
UPLOAD = b"".join(
    (
        b'--xYzZy\r\nContent-Disposition: form-data; name="title"\r\n\r\nSpring \xc3\xa9\r\n',
        b'--xYzZy\r\nContent-Disposition: form-data; name="title"\r\n\r\nAgain\r\n',
        b'--xYzZy\r\nContent-Disposition: form-data; name="files"; filename="a.bin"\r\n',
        b"Content-Type: application/octet-stream\r\n\r\n" + bytes(range(256)) * 40 + b"\r\n",
        b'--xYzZy\r\nContent-Disposition: form-data; name="files"; filename="b.txt"\r\n',
        b"Content-Type: text/plain\r\n\r\nplain\r\n--xYzZy--\r\n",
    )
)


def get(path, *headers, query="", method="GET"):
    return HttpStimulus(method, path, query, (HOST, *headers))


def post(path, kind, body, *headers, method="POST"):
    length = ("content-length", str(len(body)))
    return HttpStimulus(method, path, "", (HOST, kind, length, *headers), body)


ECHO = [
    get("/echo/plain"),
    get("/echo/a%20b"),
    get("/echo/caf%C3%A9"),
    get("/echo/a%252Fb"),
    get("/echo/a+b;c=d,e@f:g!$&'()*"),
    get("/echo/x", query="a=1&a=2&b=&c"),
    get("/echo/x", query="q=%C3%A9+%26%3D&%5B%5D=%2B"),
    get("/echo/x", ("cookie", "a=1; b=two; c=")),
    get("/echo/x", ("x-trace", "t-1"), ("x-list", "a, b")),
    get("/echo/x", ("x-latin", "caf\xe9")),
    post("/echo/x", JSON, b'{"a": [1, 2]}'),
    post("/echo/x", ("content-type", "application/octet-stream"), bytes(range(256))),
    post("/echo/x", PLAIN_FORM, b"a=1&a=2&b=%C3%A9", method="PUT"),
    post("/echo/x", JSON, b"{}", method="PATCH"),
    get("/echo/x", method="DELETE"),
]
COMMON = [
    get("/"),
    get("/", method="HEAD"),
    get("/nowhere"),
    get("/nowhere", method="POST"),
]
PAGES = [
    get("/cookies"),
    get("/stream"),
    get("/stream", method="HEAD"),
    get("/headers"),
    get("/empty"),
    get("/same"),
    get("/binary"),
    get("/redirect"),
    get("/slash"),
    get("/slash", ("x-forwarded-proto", "https")),
    get("/broken"),
    get("/teapot"),
    get("/file", ("range", "bytes=2-5")),
    post("/form", PLAIN_FORM, b"a=1&a=2&b=%C3%A9"),
    post("/form", MULTIPART, UPLOAD),
]
ORDER = json.dumps({"id": 7, "items": ["a", "b\u00e9"]}).encode()

CASES = {
    "starlette": (
        "site_starlette:app",
        "asgi",
        [
            *COMMON,
            *ECHO,
            *PAGES,
            get("/client", ("x-forwarded-for", "203.0.113.9"), ("x-forwarded-proto", "https")),
            get("/uses"),
            get("/uses"),
            get("/background", ("x-request", "r-1")),
            get("/binary", ("accept-encoding", "gzip")),
            get("/echo/x", ("accept-encoding", "gzip")),
            get("/echo/x", method="OPTIONS"),
            get("/static/text.txt"),
            get("/static/text.txt", method="HEAD"),
            get("/static/..%2Fconftest.py"),
        ],
    ),
    "fastapi": (
        "site_fastapi:app",
        "asgi",
        [
            *COMMON,
            get("/orders/7"),
            post("/orders", JSON, ORDER),
            post("/orders", JSON, ORDER),
            get("/orders/7"),
            get("/orders/7", method="DELETE"),
            get("/orders/7"),
            get("/orders/seven"),
            post("/orders", JSON, b'{"id": "x"}'),
            post("/orders", JSON, b"{"),
            get("/search", query="tag=a&tag=b%20c&q=%C3%A9"),
            get("/search", ("x-trace", "t"), ("cookie", "last=7; x=y"), query="tag=a"),
            get("/search", query="tag=a&limit=11"),
            get("/search"),
            post("/upload", MULTIPART, UPLOAD),
            get("/files/a/b%20c/%C3%A9.txt"),
            get("/files/a%252Fb"),
            get("/export"),
            get("/old"),
            get("/orders/"),
            get("/openapi.json"),
            get("/docs"),
            get("/", ("origin", "https://shop.example")),
            get(
                "/orders",
                ("origin", "https://shop.example"),
                ("access-control-request-method", "POST"),
                method="OPTIONS",
            ),
            get("/broken"),
        ],
    ),
    "flask": (
        "site_flask:app",
        "wsgi",
        [
            *COMMON,
            *ECHO,
            *PAGES,
            post("/json", JSON, b'{"a": 1}'),
            post("/json", JSON, b"{"),
            get("/external", ("x-forwarded-proto", "https")),
            get("/echo/x", method="OPTIONS"),
        ],
    ),
    "django-asgi": ("site_django:asgi_application", "asgi", None),
    "django-wsgi": ("site_django:wsgi_application", "wsgi", None),
}
DJANGO = [
    *COMMON,
    *ECHO,
    get("/later/"),
    get("/later"),
    get("/cookies/"),
    get("/stream/"),
    get("/binary/"),
    get("/empty/"),
    get("/redirect/"),
    get("/missing/"),
    get("/broken/"),
    get("/form/"),
    get("/tagged/"),
    get("/tagged/", ("if-none-match", '"1"')),
    get("/echo/x", ("x-forwarded-proto", "https")),
    post("/form/", PLAIN_FORM, b"a=1&a=2&b=%C3%A9"),
    post("/form/", MULTIPART, UPLOAD),
]


def comparable(outcome):
    headers = {name: value for name, value in outcome.headers if name != "date"}
    if "allow" in headers:
        # Frameworks keep the methods in a set, whose order differs between processes.
        headers["allow"] = sorted(headers["allow"].split(", "))
    # H-20: an empty quoted value is sent empty.
    cookies = [cookie.replace('=""', "=", 1) for cookie in outcome.cookies]
    return outcome.status, headers, cookies, outcome.body


def brief(outcome):
    return f"{outcome.status} {outcome.headers} {outcome.cookies} {outcome.body[:300]!r}"


@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume:Warning")
@pytest.mark.parametrize("name", CASES)
def test_same_answers(name, site, served, ask, caplog):
    handler, interface, requests = CASES[name]
    requests = requests or [*DJANGO, *([get("/stream-async/")] if interface == "asgi" else [])]
    assert len(requests) >= 20
    port = served(handler, interface)
    function = site(handler, interface)
    # Both get the whole sequence in order: some answers depend on what came before.
    differences = []
    for request in requests:
        expected = ask(port, request)
        actual = deliver(function, request)
        if comparable(actual) != comparable(expected):
            differences.append(f"{request}\n  here   {brief(actual)}\n  server {brief(expected)}")
    assert not differences, "\n".join(differences)
