"""What is particular to ``azure-functions-runtime`` behind our driver."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from portafaas.vendor import NativeResult

pytestmark = pytest.mark.vendor

ALL_BYTES = bytes(range(256))


@pytest.fixture(params=["3.11", "3.12", "3.13"])
def session(request: pytest.FixtureRequest, open_session: Any) -> Any:
    return open_session("azure", request.param)


@pytest.fixture
def kit(target_of: Any) -> Any:
    return target_of("azure")


def body_of(result: NativeResult) -> bytes:
    return base64.b64decode(result.value["body"])


def test_thread_of_the_handler(session: Any, kit: Any) -> None:
    # Sync functions run in a pool, async ones on the event loop's thread, the main thread.
    assert kit.read(session.invoke(kit.request()))["main_thread"] is False
    assert kit.read(session.invoke(kit.request(), function="web_async"))["main_thread"] is True


def test_one_thread_is_still_not_the_main_one(open_session: Any, kit: Any) -> None:
    session = open_session("azure", "3.11", env={"PYTHON_THREADPOOL_THREAD_COUNT": "1"})
    assert kit.read(session.invoke(kit.request()))["main_thread"] is False
    results = session.invoke_many([kit.request("sleep", "0.1")] * 3)
    assert results[-1].duration_ms >= 300


def test_invocations_overlap(session: Any, kit: Any) -> None:
    results = session.invoke_many([kit.request("sleep", "0.4")] * 4)
    assert all(result.ok for result in results)
    assert max(result.duration_ms for result in results) < 1500


def test_unfinished_ones_fail_when_time_runs_out(session: Any, kit: Any) -> None:
    requests = [kit.request(), kit.request("sleep", "60"), kit.request()]
    results = session.invoke_many(requests, timeout=0.5)
    assert [result.ok for result in results] == [True, False, True]
    assert results[1].error.kind == "timeout"


def test_request_as_the_host_sends_it(session: Any, kit: Any) -> None:
    request = kit.request("request", "a b&c")
    request["trigger"]["value"]["headers"] = {"cookie": "a=1; b=2", "x-many": "1,2"}
    value = kit.read(session.invoke(request))
    assert value["method"] == "GET"
    assert value["url"] == request["trigger"]["value"]["url"]
    assert value["headers"] == {"cookie": "a=1; b=2", "x-many": "1,2"}
    assert value["query"] == {"op": "request", "value": "a b&c"}
    assert value["route"] == {"path": "some/path"}


def test_binary_bodies_headers_and_cookies(session: Any, kit: Any) -> None:
    result = session.invoke(kit.request("response", body=ALL_BYTES))
    assert result.value["status"] == 201
    assert body_of(result) == ALL_BYTES
    # The SDK keeps one value per header, and takes cookies apart; the host puts them together.
    assert sorted(result.value["headers"]) == [["X-Twice", "2"], ["content-type", "image/x-raw"]]
    assert result.value["cookies"] == [
        "a=1; path=/; httponly",
        "b=x%2520y%3D; max-age=5; secure; samesite=lax",
    ]


def test_handler_that_returns_nothing(session: Any, kit: Any) -> None:
    result = session.invoke(kit.request("none"))
    assert (result.error.kind, result.error.type) == ("handler", "TypeError")


def test_queue_message_and_output(session: Any) -> None:
    request = {
        "trigger": {"type": "string", "value": "h\u00e9"},
        "metadata": {
            "Id": {"type": "string", "value": "1"},
            "DequeueCount": {"type": "json", "value": 4},
        },
    }
    result = session.invoke(request, function="queue")
    assert result.ok, result
    assert result.value is None
    assert result.outputs == {"out": {"type": "string", "value": "h\u00e9 4"}}


def test_describe_shows_raw_bindings(session: Any) -> None:
    functions = session.describe()["functions"]
    assert sorted(functions) == ["queue", "web", "web_async"]
    trigger = next(b for b in functions["web"]["bindings"] if b["type"] == "httpTrigger")
    assert trigger["route"] == "{*path}"
    assert trigger["authLevel"] == "ANONYMOUS"


def test_app_with_a_syntax_error(open_session: Any, kit: Any, tmp_path: Any) -> None:
    session = open_session("azure", "3.11")
    (tmp_path / "azure" / "function_app.py").write_text("def (", encoding="utf-8")
    session.invoke(kit.request("exit", "1"))
    result = session.invoke(kit.request())
    assert (result.error.kind, result.error.type) == ("init", "SyntaxError")


def test_exit_during_indexing(open_session: Any, kit: Any, tmp_path: Any) -> None:
    session = open_session("azure", "3.11")
    (tmp_path / "azure" / "function_app.py").write_text(
        "import os; print('bye', flush=True); os._exit(9)", encoding="utf-8"
    )
    session.invoke(kit.request("exit", "1"))
    result = session.invoke(kit.request())
    assert (result.error.kind, result.error.type) == ("init", "WorkerProcessExit")
    assert "status 9" in result.error.message
    assert "bye" in result.logs
