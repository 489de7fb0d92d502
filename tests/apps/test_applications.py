"""Real applications, unchanged: the same answers in every vendor's runtime as on this machine."""

from __future__ import annotations

import json

import pytest

from portafaas.adapter import HttpStimulus

pytestmark = pytest.mark.vendor

TARGETS = ("aws", "azure", "gcp")
JSON = (("content-type", "application/json"),)
FORM = (("content-type", "application/x-www-form-urlencoded"),)
HOST = (("host", "shop.example"), ("x-forwarded-proto", "https"))
BOUNDARY = "----boundary7MA4YWxk"
MULTIPART = (("content-type", f"multipart/form-data; boundary={BOUNDARY}"),)


def _part(name: str, content: bytes, filename: str = "", kind: str = "") -> bytes:
    head = f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="{name}"'
    if filename:
        head += f'; filename="{filename}"\r\ncontent-type: {kind}'
    return head.encode() + b"\r\n\r\n" + content + b"\r\n"


UPLOAD = (
    _part("title", "Größe".encode())
    + _part("files", bytes(range(256)) * 30, "a b.bin", "application/octet-stream")
    + _part("files", b"1,2\r\n3,4\r\n", "table.csv", "text/csv")
    + f"--{BOUNDARY}--\r\n".encode()
)


def _get(path: str, query: str = "", *headers: tuple[str, str]) -> HttpStimulus:
    return HttpStimulus("GET", path, query, (*HOST, *headers))


def _post(path: str, body: bytes, headers: tuple[tuple[str, str], ...] = JSON, method: str = "POST") -> HttpStimulus:
    return HttpStimulus(method, path, "", (*HOST, *headers), body)


def _json(path: str, value: object, method: str = "POST") -> HttpStimulus:
    return _post(path, json.dumps(value).encode(), JSON, method)


ORDER = {"customer": "Zoë", "lines": [{"sku": "tea-1", "count": 2}]}

#: application -> (request, expected status) in order
TALKS = {
    "fastapi": (
        (_json("/orders", ORDER), 201),
        (_get("/orders/1"), 200),
        (_get("/orders/7", "", ("cookie", "last-order=1; other=x")), 404),
        (_get("/orders/seven"), 422),
        (_json("/orders", {"customer": "", "lines": [{"sku": "!", "count": 0}]}), 422),
        (_post("/orders", b'{"customer": '), 422),
        (_json("/orders", {"customer": "a", "lines": [{"sku": "none-0", "count": 1}]}), 409),
        (_get("/mails"), 200),
        (HttpStimulus("DELETE", "/orders/1", "", HOST), 204),
        (_get("/orders/1"), 404),
        (_get("/search", "tag=a&tag=b%20c&limit=3", ("accept-language", "de, en;q=0.5")), 200),
        (_get("/search", "limit=99"), 422),
        (_post("/upload", UPLOAD, MULTIPART), 200),
        (_post("/upload", b"title=x", FORM), 422),
        (_get("/export.csv"), 200),
        (_get("/logo.png"), 200),
        (_get("/old"), 307),
        (_get("/account"), 401),
        (_get("/account", "", ("authorization", "Bearer abc")), 200),
        (_get("/broken"), 500),
        (_get("/files/a/b%20c/%C3%BC%2525"), 200),
        (_get("/nowhere"), 404),
        (HttpStimulus("PATCH", "/orders/1", "", HOST), 405),
        (_get("/mails", "", ("origin", "https://shop.example"), ("x-trace", "t-1")), 200),
        (HttpStimulus("OPTIONS", "/orders", "", (*HOST, ("origin", "https://shop.example"), ("access-control-request-method", "POST"))), 200),
        (_get("/openapi.json"), 200),
        (_get("/docs"), 200),
    ),
    "starlette": (
        (_get("/"), 200),
        (_post("/login", b"user=Ada+L&password=open", FORM), 303),
        (_get("/"), 200),
        (_post("/login", b"user=Eve&password=no", FORM), 403),
        (_get("/api/items/7", "a=1&a=2&b=%C3%BC+x"), 200),
        (_json("/api/items/8", {"stored": [1, None, "ü"]}, "PUT"), 200),
        (HttpStimulus("DELETE", "/api/items/8", "", HOST), 405),
        (_post("/api/raw", bytes(range(256)) * 100, (("content-type", "application/octet-stream"),)), 200),
        (_post("/upload", UPLOAD, MULTIPART), 200),
        (_get("/stream"), 200),
        (_get("/stream", "", ("accept-encoding", "gzip")), 200),
        (HttpStimulus("POST", "/work", "", HOST), 202),
        (_get("/finished"), 200),
        (_get("/cookies", "", ("cookie", 'a=1; b="x y"; old=z')), 200),
        (_get("/static/page.html"), 200),
        (_get("/static/logo.png"), 200),
        (_get("/static/logo.png", "", ("range", "bytes=2-9")), 206),
        (HttpStimulus("HEAD", "/static/logo.png", "", HOST), 200),
        (_get("/static/../site_app.py"), 404),
        (_get("/empty"), 204),
        (_get("/slash"), 307),
        (_get("/broken"), 500),
        (_get("/nothing/h%C3%A9re"), 404),
        (_get("/logout"), 303),
        (_get("/"), 200),
    ),
    "flask": (
        (_get("/"), 200),
        (_post("/login", b"user=Ada+%3Cb%3E", FORM), 302),
        (_get("/"), 200),
        (_get("/"), 200),
        (_json("/api/notes", {"text": "grüße"}), 201),
        (_get("/api/notes/1"), 200),
        (_get("/api/notes"), 200),
        (_json("/api/notes", {"no": "text"}), 422),
        (_post("/api/notes", b"{", JSON), 400),
        (_post("/api/notes", b"x", FORM), 415),
        (HttpStimulus("DELETE", "/api/notes/1", "", HOST), 204),
        (_get("/api/notes/1"), 404),
        (_post("/upload", UPLOAD, MULTIPART), 200),
        (_get("/stream", "word=w%C3%B6rd"), 200),
        (_get("/download"), 200),
        (_get("/page"), 200),
        (_get("/static/logo.png"), 200),
        (_get("/static/logo.png", "", ("range", "bytes=0-7")), 206),
        (_get("/cookies", "", ("cookie", "a=1; b=2; old=z")), 200),
        (_get("/where", "q=1&q=2+3&r=%26", ("user-agent", "test/1.0")), 200),
        (_get("/slash"), 308),
        (_get("/broken"), 500),
        (_get("/unhandled"), 500),
        (_get("/nothing/%C3%BC"), 404),
        (HttpStimulus("PUT", "/login", "", HOST), 405),
        (HttpStimulus("HEAD", "/page", "", HOST), 200),
        (HttpStimulus("OPTIONS", "/page", "", HOST), 200),
    ),
    "django": (
        (_get("/"), 200),
        (_post("/login/", b"user=Ada+%3Cb%3E", FORM), 302),
        (_get("/"), 200),
        (_get("/"), 200),
        (_post("/books/", b"title=Dune&year=1965", FORM), 201),
        (_post("/books/", b"title=&year=1300", FORM), 422),
        (_post("/guarded/", b"a=1", FORM), 403),
        (_post("/upload/", UPLOAD, MULTIPART), 200),
        (_json("/store/", {"a": [1, "ü"]}), 200),
        (_get("/cookies/", "", ("cookie", "a=1; old=z")), 200),
        (_get("/shelves/a/b%20%C3%BC/", "x=1&x=2&y="), 200),
        (HttpStimulus("HEAD", "/shelves/a/", "", HOST), 200),
        (HttpStimulus("OPTIONS", "/shelves/a/", "", HOST), 200),
        (_get("/stream/"), 200),
        (_get("/download/"), 200),
        (_get("/where/", "a=%20b"), 200),
        (_get("/where"), 301),
        (HttpStimulus("PUT", "/only-put/", "", HOST), 204),
        (_get("/only-put/"), 405),
        (_get("/later/"), 200),
        (_get("/tagged/"), 200),
        (_get("/tagged/", "", ("if-none-match", '"1"')), 304),
        (_get("/missing/"), 404),
        (_get("/nowhere/"), 404),
        (_get("/broken/"), 500),
    ),
}


@pytest.fixture(scope="module")
def local(running, talk):
    """Return a function that gives what an application answers on this machine."""
    known = {}

    def answers(name):
        if name not in known:
            known[name] = talk(running(name)["local"], [request for request, _ in TALKS[name]])
        return known[name]

    return answers


@pytest.mark.parametrize("name", [*TALKS])
def test_applications_answer_as_they_should(name, local):
    got = [(r.method, r.path, a["status"]) for (r, _), a in zip(TALKS[name], local(name), strict=True)]
    assert got == [(r.method, r.path, status) for r, status in TALKS[name]]
    assert len(got) >= 15


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", [*TALKS])
def test_applications_answer_the_same_in_the_vendors_runtime(name, target, local, running, talk):
    answers = talk(running(name)[target], [request for request, _ in TALKS[name]])
    for (request, _), answer, reference in zip(TALKS[name], answers, local(name), strict=True):
        assert answer == reference, (request.method, request.path)


def test_some_answers_in_full(local):
    """What follows from all of the above being equal, spelt out once for each framework."""
    fastapi, starlette, flask, django = (local(name) for name in ("fastapi", "starlette", "flask", "django"))
    assert fastapi[0]["headers"]["location"] == "/orders/1"
    assert [cookie[0].partition("=")[0] for cookie in fastapi[0]["cookies"]] == ["last-order", "customer"]
    assert json.loads(fastapi[7]["body"]) == ["confirmed 1"]  # it ran before the answer left
    assert json.loads(starlette[12]["body"]) == ["one", "two"]
    assert "Ada L" in starlette[2]["body"] and "nobody" in starlette[24]["body"]
    assert "welcome" in flask[2]["body"] and "welcome" not in flask[3]["body"]
    assert "welcome" in django[2]["body"] and "welcome" not in django[3]["body"]
    assert json.loads(flask[19]["body"])["url"] == "https://shop.example/where"
    assert json.loads(django[15]["body"]) == {"uri": "https://shop.example/where/?a=%20b", "secure": True}
