"""Rules A and W of docs/spec/applications.md, with applications written to PEP 3333."""

from __future__ import annotations

import io
import json
import sys
import threading
import time
from wsgiref.validate import validator

import pytest

from portafaas.runtime.context import Context
from portafaas.runtime.http import HttpError, Request


def plain(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]


@pytest.fixture
def seen(around, send):
    """Return a function that sends a request and gives the environ the application got."""

    def call(*arguments, trigger=None, **more):
        environs = []

        def app(environ, start_response):
            environs.append(environ)
            return plain(environ, start_response)

        function = around(app, "wsgi", **(trigger or {}))
        assert send(function, *arguments, **more).status == 200
        return environs[0]

    return call


def test_environ_is_complete_and_exact(seen):
    """A-3 to A-8, A-14, W-1 to W-4."""
    environ = seen(
        "post",
        "/a%20b/%C3%A9/c%252Fd",
        "x=%41&y=+",
        [
            ("Host", "shop.example"),
            ("Content-Type", "text/plain"),
            ("Cookie", "a=1; b=2"),
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-For", "198.51.100.1, 203.0.113.9:4711"),
            ("X-Latin", "\xe9"),
            ("X-Wide", "\u20ac"),
            ("Transfer-Encoding", "chunked"),
        ],
        b"body",
    )
    assert environ.pop("wsgi.input").read() == b"body"
    assert environ.pop("wsgi.errors") is sys.stderr
    assert isinstance(environ.pop("portafaas.context"), Context)
    assert isinstance(environ.pop("portafaas.request"), Request)
    assert environ == {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/a b/\xc3\xa9/c%2Fd",
        "QUERY_STRING": "x=%41&y=+",
        "CONTENT_TYPE": "text/plain",
        "CONTENT_LENGTH": "4",
        "SERVER_NAME": "shop.example",
        "SERVER_PORT": "443",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "203.0.113.9",
        "REMOTE_PORT": "4711",
        "HTTP_HOST": "shop.example",
        "HTTP_COOKIE": "a=1; b=2",
        "HTTP_X_FORWARDED_PROTO": "https",
        "HTTP_X_FORWARDED_FOR": "198.51.100.1, 203.0.113.9:4711",
        "HTTP_X_LATIN": "\xe9",
        "HTTP_X_WIDE": "\u20ac".encode().decode("latin-1"),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "https",
        "wsgi.multithread": False,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "portafaas.identity": None,
    }


def test_identity_and_concurrency(seen):
    """A-14, W-3, W-4."""
    environ = seen(trigger={"auth": {"scheme": "iam"}, "concurrency": 8}, caller="ada")
    assert environ["REMOTE_USER"] == "ada"
    assert environ["portafaas.identity"].subject == "ada"
    assert environ["wsgi.multithread"] is True
    bare = seen()
    assert not {"REMOTE_USER", "REMOTE_ADDR", "CONTENT_LENGTH", "CONTENT_TYPE"} & bare.keys()


@pytest.mark.parametrize(
    ("method", "query", "body"),
    [
        ("GET", "", b""),
        ("GET", "a=1", b""),
        ("HEAD", "", b""),
        ("POST", "", b"in"),
        ("PUT", "", b""),
    ],
)
def test_validator_finds_nothing(around, send, method, query, body):
    """The standard library's checker of both sides of PEP 3333."""

    def app(environ, start_response):
        data = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        print("seen", file=environ["wsgi.errors"])
        start_response("200 OK", [("Content-Type", "text/plain"), ("Set-Cookie", "a=1")])
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else b"got " + data]

    function = around(validator(app), "wsgi")
    headers = [("host", "h"), ("content-type", "text/plain")] if body else []
    outcome = send(function, method, "/caf%C3%A9", query, headers, body)
    assert outcome.status == 200, outcome
    assert outcome.cookies == ("a=1",)
    assert outcome.body == (b"" if method == "HEAD" else b"got " + body)


def test_response_headers(around, send):
    """A-9, A-10, W-6."""

    def app(environ, start_response):
        start_response(
            "299 Custom Reason",
            [("Set-Cookie", " b=2"), ("set-cookie", "a=1"), ("Vary", "x"), ("vary", "y"),
             ("X-Latin", "e"), ("Content-Length", "2")],
        )  # fmt: skip
        return [b"a", b"", b"b"]

    outcome = send(around(app, "wsgi"))
    assert outcome.status == 299
    assert outcome.cookies == ("b=2", "a=1")
    assert outcome.body == b"ab"
    assert outcome.headers == (
        ("content-type", "application/octet-stream"),
        ("vary", "x, y"),
        ("x-latin", "e"),
    )


def test_write_comes_before_the_iterable(around, send):
    """W-7."""

    def app(environ, start_response):
        write = start_response("200 OK", [])
        write(b"1")
        write(b"2")
        return [b"3"]

    assert send(around(app, "wsgi")).body == b"123"


def test_start_response_at_the_first_part(around, send):
    def app(environ, start_response):
        yield b""
        start_response("202 Accepted", [])
        yield b"late"

    outcome = send(around(app, "wsgi"))
    assert (outcome.status, outcome.body) == (202, b"late")


class Parts:
    """An iterable that records its end."""

    def __init__(self, *parts):
        self.parts = parts
        self.closed = 0

    def __iter__(self):
        for part in self.parts:
            if isinstance(part, BaseException):
                raise part
            yield part

    def close(self):
        self.closed += 1


def answering(parts):
    def app(environ, start_response):
        start_response("200 OK", [])
        return parts

    return app


@pytest.mark.parametrize(
    ("parts", "status"), [((b"a", b"b"), 200), ((b"a", LookupError()), 500), (("text",), 500)]
)
def test_iterable_is_closed(around, send, parts, status):
    """W-8."""
    result = Parts(*parts)
    assert send(around(answering(result), "wsgi")).status == status
    assert result.closed == 1


def test_failing_close_is_logged(around, send, capsys):
    """A-12: a server has sent the response by then."""

    class Failing(Parts):
        def close(self):
            raise OSError("close")

    outcome = send(around(answering(Failing(b"fine")), "wsgi"))
    assert (outcome.status, outcome.body) == (200, b"fine")
    assert "application failed after its response: OSError('close')" in capsys.readouterr().err
    assert send(around(answering(Failing(LookupError())), "wsgi")).status == 500


def test_exc_info_replaces_a_response_nothing_of_which_was_sent(around, send):
    """W-5."""

    def app(environ, start_response):
        start_response("200 OK", [("x-first", "1")])
        try:
            raise LookupError
        except LookupError:
            start_response("503 Busy", [("x-second", "2")], sys.exc_info())
        return [b"busy"]

    outcome = send(around(app, "wsgi"))
    assert outcome.status == 503
    assert dict(outcome.headers).keys() == {"x-second", "content-type"}


def test_exc_info_after_a_part_was_sent_raises(around, send):
    """W-5."""
    raised = []

    def app(environ, start_response):
        start_response("200 OK", [])
        yield b"part"
        try:
            raise HttpError(409)
        except HttpError:
            try:
                start_response("500 Broken", [], sys.exc_info())
            except HttpError as exc:
                raised.append(exc)
                raise

    assert send(around(app, "wsgi")).status == 409
    assert len(raised) == 1


def never_starts(environ, start_response):
    return [b""]


def body_first(environ, start_response):
    return [b"body"]


def starts_twice(environ, start_response):
    start_response("200 OK", [])
    start_response("200 OK", [])
    return []


def bad_status(environ, start_response):
    start_response("OK 200", [])
    return []


def number_status(environ, start_response):
    start_response(200, [])
    return []


def long_status(environ, start_response):
    start_response("2000 OK", [])
    return []


def informs(environ, start_response):
    start_response("103 Early Hints", [])
    return []


def injects(environ, start_response):
    start_response("200 OK", [("a", "b\r\nc: d")])
    return []


def returns_none(environ, start_response):
    start_response("200 OK", [])


def raises(environ, start_response):
    raise LookupError


def exits(environ, start_response):
    sys.exit(3)


@pytest.mark.parametrize(
    "app",
    [
        never_starts, body_first, starts_twice, bad_status, number_status, long_status, informs,
        injects, returns_none, raises, exits,
    ],
)  # fmt: skip
def test_broken_applications_answer_500(app, around, send):
    """A-12, W-5 to W-7."""
    outcome = send(around(app, "wsgi"))
    assert outcome.status == 500
    assert json.loads(outcome.body)["title"] == "Internal Server Error"


def test_stream_is_stopped_at_the_limit(around, send):
    """A-11, W-9."""
    made = []

    def app(environ, start_response):
        start_response("200 OK", [])
        for number in range(100):
            made.append(number)
            yield b"x" * 10

    function = around(app, "wsgi", max_body=35)
    assert send(function).status == 500
    assert len(made) == 4
    outcome = send(function, "HEAD")
    assert (outcome.status, outcome.body, len(made)) == (200, b"", 104)


@pytest.mark.parametrize("threaded", [False, True])
def test_hanging_application_answers_504_and_is_closed(around, send, threaded):
    """W-8, on the main thread and on another."""
    closed = threading.Event()

    class Endless(Parts):
        def __iter__(self):
            while True:
                time.sleep(0.001)
                yield b""

        def close(self):
            closed.set()

    function = around(answering(Endless()), "wsgi", timeout=0.1)
    outcomes = []
    if threaded:
        worker = threading.Thread(target=lambda: outcomes.append(send(function)))
        worker.start()
        worker.join(10)
    else:
        outcomes.append(send(function))
    assert outcomes[0].status == 504
    assert closed.wait(10)


def test_body_is_a_whole_file(around, send):
    """W-4: iteration, lines and seeking, as PEP 3333 asks of wsgi.input."""
    got = []

    def app(environ, start_response):
        stream = environ["wsgi.input"]
        got.extend((stream.readline(), list(stream), stream.read()))
        assert isinstance(stream, io.BytesIO)
        return plain(environ, start_response)

    assert send(around(app, "wsgi"), "POST", body=b"a\nb\nc").status == 200
    assert got == [b"a\n", [b"b\n", b"c"], b""]
