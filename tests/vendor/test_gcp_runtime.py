"""What is particular to ``functions-framework`` and gunicorn behind our HTTP client."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import pytest

from portafaas.vendor import NativeResult, VendorRuntimeError

pytestmark = pytest.mark.vendor

ALL_BYTES = bytes(range(256))


@pytest.fixture(params=["3.11", "3.12"])
def session(request: pytest.FixtureRequest, open_session: Any) -> Any:
    return open_session("gcp", request.param)


@pytest.fixture
def kit(target_of: Any) -> Any:
    return target_of("gcp")


def get(path: str, *headers: list[str], method: str = "GET", body: Any = None) -> dict[str, Any]:
    return {"method": method, "path": path, "headers": list(headers), "body": body}


def body_of(result: NativeResult) -> bytes:
    return base64.b64decode(result.value["body"])


@pytest.mark.parametrize(
    ("settings", "main", "connection"),
    [
        ({}, False, "keep-alive"),
        ({"threads": 2}, False, "keep-alive"),
        ({"threads": 1}, True, "close"),
        ({"threads": 1, "workers": 2}, True, "close"),
    ],
)
def test_thread_of_the_handler(
    open_session: Any, kit: Any, settings: Any, main: bool, connection: str
) -> None:
    # One thread makes gunicorn take its sync worker, which runs on the main thread.
    result = open_session("gcp", "3.11", settings=settings).invoke(kit.request())
    assert kit.read(result)["main_thread"] is main
    assert ["Connection", connection] in result.value["headers"]


def test_exact_path_query_and_headers(session: Any, kit: Any) -> None:
    path = "/a%2Fb/%C3%A9//c/../d;e?op=request&x=%20+&x=&y"
    headers = [["Host", "h.test"], ["X-Twice", "1"], ["x-twice", "2, 3"], ["X-Odd", "\u00e9"]]
    value = kit.read(session.invoke(get(path, *headers)))
    assert value["raw"] == path
    assert value["path"] == "/a/b/\u00e9//c/../d;e"
    seen = dict(value["headers"])
    # WSGI joins duplicates; the framework adds an id of its own.
    assert seen.pop("Function-Execution-Id")
    assert seen == {"Host": "h.test", "X-Twice": "1,2, 3", "X-Odd": "\u00e9"}


def test_duplicate_cookie_headers_are_joined_by_a_comma(session: Any, kit: Any) -> None:
    value = kit.read(session.invoke(get("/?op=request", ["Cookie", "a=1"], ["Cookie", "b=2"])))
    assert dict(value["headers"])["Cookie"] == "a=1,b=2"


def test_binary_bodies_headers_and_cookies(session: Any, kit: Any) -> None:
    result = session.invoke(kit.request("response", body=ALL_BYTES))
    assert result.value["status"] == 201
    assert body_of(result) == ALL_BYTES
    headers = result.value["headers"]
    assert [text for name, text in headers if name == "Set-Cookie"] == [
        "a=1; Path=/; HttpOnly",
        "b=x%20y=; Secure; SameSite=Lax; Max-Age=5",
    ]
    assert [text for name, text in headers if name == "X-Twice"] == ["1", "2"]
    added = {name for name, _ in headers} - {"Set-Cookie", "X-Twice", "Content-Type"}
    assert added == {"Server", "Date", "Connection", "Content-Length"}


def test_chunked_request_and_large_response(session: Any) -> None:
    data = ALL_BYTES * 8192
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (data[:7], data[7:]))
    request = get(
        "/?op=response",
        ["Transfer-Encoding", "chunked"],
        method="POST",
        body=base64.b64encode(chunks + b"0\r\n\r\n").decode(),
    )
    assert body_of(session.invoke(request)) == data


def test_head_has_no_body(session: Any) -> None:
    result = session.invoke(get("/?op=response", method="HEAD"))
    assert (result.value["status"], body_of(result)) == (201, b"")


def test_a_status_the_function_chose_is_ok(session: Any) -> None:
    for status in (404, 500, 503):
        result = session.invoke(get(f"/?op=status&value={status}"))
        assert result.ok
        assert result.value["status"] == status


def test_crash_is_marked_by_the_framework(session: Any, kit: Any) -> None:
    result = session.invoke(kit.request("fail", "no"))
    assert result.value["status"] == 500
    assert ["X-Google-Status", "crash"] in result.value["headers"]
    assert (result.error.type, result.error.message) == ("ValueError", "no")


def test_system_exit_under_the_sync_worker(open_session: Any, kit: Any) -> None:
    # Gunicorn answers it with a page of its own; its threaded worker would end instead.
    session = open_session("gcp", "3.11", settings={"threads": 1})
    result = session.invoke(kit.request("system-exit", "4"))
    assert result.value["status"] == 500
    assert (result.error.kind, result.error.type) == ("handler", "SystemExit")
    assert session.invoke(kit.request()).ok


def test_streamed_response(session: Any, kit: Any) -> None:
    assert body_of(session.invoke(kit.request("drip", "end"))) == b"drop" * 5 + b"end"


def test_deadline_is_for_the_whole_response(session: Any, kit: Any) -> None:
    # No single read takes as long as the timeout.
    result = session.invoke(kit.request("drip", "end"), timeout=0.25)
    assert (result.error.kind, result.value) == ("timeout", None)
    assert result.duration_ms < 450


def test_response_that_breaks_off(session: Any, kit: Any) -> None:
    result = session.invoke(kit.request("drip", "exit"))
    assert (result.error.kind, result.value) == ("exit", None)
    assert session.invoke(kit.request()).ok


def test_robots_txt_never_reaches_the_function(session: Any) -> None:
    assert session.invoke(get("/robots.txt")).value["status"] == 404


@pytest.mark.parametrize(
    ("settings", "least", "most"),
    [({}, 0.3, 0.9), ({"threads": 1, "workers": 3}, 0.3, 0.9)]
    + [(settings, 0.9, 5.0) for settings in ({"threads": 1}, {"concurrency": 1})],
)
def test_invocations_overlap(
    open_session: Any, kit: Any, settings: Any, least: float, most: float
) -> None:
    session = open_session("gcp", "3.11", settings=settings)
    start = time.perf_counter()
    results = session.invoke_many([kit.request("sleep", "0.3")] * 3)
    elapsed = time.perf_counter() - start
    assert all(result.ok for result in results)
    assert least <= elapsed < most


def test_cloud_event_signature(open_session: Any) -> None:
    session = open_session(
        "gcp", "3.11", entry="on_event", settings={"signature": "cloudevent"}
    )
    body = base64.b64encode(json.dumps({"a": 1}).encode()).decode()
    headers = [
        ["content-type", "application/json"],
        ["ce-id", "7"],
        ["ce-specversion", "1.0"],
        ["ce-type", "t"],
        ["ce-source", "//s"],
    ]
    result = session.invoke(get("/", *headers, method="POST", body=body))
    assert (result.value["status"], body_of(result)) == (200, b"OK")
    assert result.logs == "event 7 {'a': 1}\n"
    assert session.invoke(get("/", headers[0], method="POST", body=body)).value["status"] == 400


def test_missing_target_is_an_init_error(open_session: Any, kit: Any) -> None:
    result = open_session("gcp", "3.11", entry="nothing").invoke(kit.request())
    assert (result.error.kind, result.error.type) == ("init", "MissingTargetException")


def test_sessions_side_by_side(open_session: Any, kit: Any) -> None:
    one, two = (open_session("gcp", "3.11") for _ in range(2))
    pids = {kit.read(session.invoke(kit.request()))["pid"] for session in (one, two, one)}
    assert len(pids) == 2


@pytest.mark.parametrize(
    "request_",
    [
        {},
        get("/a b"),
        get("/\u00e9"),
        get("/", method="GE T"),
        get("/", ["X-A", "1\r\nX-B: 2"]),
        get("/", ["X A", "1"]),
        get("/", ["X-A", "\u2603"]),
        get("/", body="no base64!"),
    ],
)
def test_request_that_http_cannot_express(open_session: Any, kit: Any, request_: Any) -> None:
    session = open_session("gcp", "3.11")
    with pytest.raises(VendorRuntimeError, match="PF6004"):
        session.invoke(request_)
    assert session.invoke(kit.request()).ok
