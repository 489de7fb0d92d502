"""What is particular to ``awslambdaric`` behind our Runtime API."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.vendor


@pytest.fixture(params=["3.11", "3.12"])
def session(request: pytest.FixtureRequest, open_session: Any) -> Any:
    return open_session("aws", request.param)


def test_handler_runs_on_the_main_thread(session: Any) -> None:
    # Also in 3.12, where the client polls from another thread: signals reach the handler.
    assert session.invoke({"op": "echo"}).value["main_thread"] is True


def test_context_and_environment(session: Any) -> None:
    value = session.invoke({"op": "context"}, timeout=5.0).value
    assert value["arn"] == "arn:aws:lambda:us-east-1:000000000000:function:fn"
    assert value["memory"] == "128"
    assert 4000 < value["remaining"] <= 5000
    facts = session.invoke({"op": "environment"}).value
    assert facts["value"]["AWS_EXECUTION_ENV"] == f"AWS_Lambda_python{facts['python']}"
    assert facts["value"]["AWS_LAMBDA_FUNCTION_NAME"] == "fn"
    assert facts["value"]["_X_AMZN_TRACE_ID"].startswith("Root=1-")


def test_error_document(session: Any) -> None:
    result = session.invoke({"op": "fail", "value": "no"})
    assert (result.value["errorType"], result.value["errorMessage"]) == ("ValueError", "no")
    assert result.value["requestId"]
    assert any("behaviour.py" in line for line in result.value["stackTrace"])


def test_value_that_is_no_json(session: Any) -> None:
    result = session.invoke({"op": "object"})
    assert (result.error.kind, result.error.type) == ("handler", "Runtime.MarshalError")
    result = session.invoke({"op": "bytes"})
    assert (result.error.kind, result.error.type) == ("handler", "InvalidResponse")
    assert session.invoke({"op": "echo"}).value["count"] == 1


def test_response_limit(session: Any) -> None:
    size = 6 * 1024 * 1024
    assert len(session.invoke({"op": "large", "value": size}).value) == size
    result = session.invoke({"op": "large", "value": size + 200})
    assert (result.error.kind, result.error.type) == ("handler", "Function.ResponseSizeTooLarge")
    # The runtime ends itself on a refused response.
    assert session.invoke({"op": "echo"}).ok
    assert session.describe()["cold_starts"] == 2


def test_large_request(session: Any) -> None:
    # Six bytes each on the way back in 3.11, which escapes; two in 3.12.
    text = "\u00e9" * 500_000
    assert session.invoke({"op": "echo", "value": text}).value["value"] == text


@pytest.mark.parametrize(
    ("entry", "error"),
    [("nothing.handler", "Runtime.ImportModuleError"), ("app.nothing", "Runtime.HandlerNotFound")],
)
def test_entry_that_does_not_exist(open_session: Any, entry: str, error: str) -> None:
    result = open_session("aws", "3.11", entry=entry).invoke({})
    assert (result.error.kind, result.error.type) == ("init", error)


def test_init_timeout(open_session: Any, tmp_path: Any) -> None:
    (tmp_path / "aws").mkdir()
    (tmp_path / "aws" / "slow.py").write_text("import time; time.sleep(60)", encoding="utf-8")
    session = open_session(
        "aws", "3.11", entry="slow.handler", settings={"init_timeout": 0.3}
    )
    result = session.invoke({})
    assert (result.error.kind, result.error.type) == ("init", "Sandbox.Timedout")


def test_settings_name_the_place(open_session: Any) -> None:
    session = open_session("aws", "3.11", settings={"region": "eu-west-1", "account": "1" * 12})
    assert session.invoke({"op": "context"}).value["arn"].startswith(
        "arn:aws:lambda:eu-west-1:111111111111:"
    )
