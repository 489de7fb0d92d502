"""Log lines: one JSON object each."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from portafaas.runtime import secrets
from portafaas.runtime.context import Context
from portafaas.runtime.log import configure


@pytest.fixture(autouse=True)
def pristine() -> Iterator[None]:
    """Give each test a process that has not logged."""
    root = logging.getLogger("portafaas")
    kept = root.level, root.propagate, root.handlers[:]
    root.level, root.propagate, root.handlers[:] = logging.NOTSET, True, []
    yield
    root.level, root.propagate, root.handlers[:] = kept


def lines(capsys: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_record(context: Context, capsys: Any) -> None:
    context.logger.info("took %d", 7, extra={"order": "A1"})
    (line,) = lines(capsys)
    assert line.pop("time").endswith("Z")
    assert line == {
        "severity": "INFO", "message": "took 7", "logger": "portafaas.f", "service": "shop",
        "function": "f", "invocation_id": "id-1", "correlation_id": context.correlation_id,
        "trace_id": context.trace_id, "span_id": context.span_id, "order": "A1",
    }  # fmt: skip


def test_the_trace_is_the_caller_s(make: Any, capsys: Any) -> None:
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    Context(make(), "1", trace_parent=parent).logger.warning("x")
    assert lines(capsys)[0]["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"


def test_the_stage_is_named_where_there_is_one(make: Any, capsys: Any) -> None:
    function = make()
    function.stage = "prod"
    Context(function, "1").logger.info("x")
    assert lines(capsys)[0]["stage"] == "prod"


def test_on_gcp_a_record_belongs_to_its_trace(
    make: Any, capsys: Any, monkeypatch: Any
) -> None:
    context = Context(make(), "1", target="gcp")
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "my-project")
    context.logger.info("x")
    (line,) = lines(capsys)
    trace = f"projects/my-project/traces/{context.trace_id}"
    assert line["logging.googleapis.com/trace"] == trace
    assert line["logging.googleapis.com/spanId"] == context.span_id
    assert line["logging.googleapis.com/trace_sampled"] is True
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT")
    Context(make(), "1", target="gcp").logger.info("x")
    assert "logging.googleapis.com/trace" not in lines(capsys)[0]


def test_a_context_that_the_handler_broke_is_logged_all_the_same(make: Any, capsys: Any) -> None:
    for name in ("deadline", "span", "payload", "correlation_id", "invocation_id", "trace_parent"):
        context = Context(make(), "1")
        setattr(context, name, None)
        context.logger.error("still here")
    told = lines(capsys)
    assert [line["message"] for line in told] == ["still here"] * 6
    assert {line["function"] for line in told} == {"f"}


LEVELS = [
    ("debug", ["debug", "info", "warning", "error"]),
    ("info", ["info", "warning", "error"]),
    (" Warning ", ["warning", "error"]),
    ("error", ["error"]),
    ("", ["info", "warning", "error"]),
    ("loud", ["info", "warning", "error"]),
]


@pytest.mark.parametrize(("level", "written"), LEVELS)
def test_levels(
    context: Context, capsys: Any, monkeypatch: Any, level: str, written: list[str]
) -> None:
    monkeypatch.setenv("PORTAFAAS_LOG_LEVEL", level)
    for name in ("debug", "info", "warning", "error"):
        getattr(context.logger, name)(name)
    assert [line["message"] for line in lines(capsys)] == written


SECRETS = ["hunter2hunter2", 'quo"ted\\secret', "line one is long\nline two is long", "\u00e4" * 9]


@pytest.mark.parametrize("value", SECRETS)
def test_secrets_are_left_out(
    context: Context, capsys: Any, monkeypatch: Any, value: str
) -> None:
    monkeypatch.setattr(secrets, "redacted", {})
    secrets._redact(value.encode())
    log = context.logger
    log.info("it is %s!", value)
    log.info("it is %r!", value)
    log.info("x", extra={"deep": {"in": [value]}, value: 1})
    try:
        raise ValueError(value)
    except ValueError:
        log.exception("failed")
    for line in value.splitlines():
        log.info(line)
    text = capsys.readouterr().err
    for form in (value, json.dumps(value, ensure_ascii=False)[1:-1], repr(value)[1:-1]):
        assert form not in text
    assert text.count("[redacted]") >= 6
    for record in text.splitlines():
        json.loads(record)


def test_short_secrets_are_not_searched_for(
    context: Context, capsys: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(secrets, "redacted", {})
    secrets._redact(b"abc1234")
    context.logger.info("abc1234")
    assert lines(capsys)[0]["message"] == "abc1234"


def test_on_azure_secrets_are_left_out_too(make: Any, caplog: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(secrets, "redacted", {"top-secret": None})
    log = Context(make(), "1", target="azure").logger
    with caplog.at_level(logging.INFO):
        try:
            raise ValueError("a top-secret b")
        except ValueError:
            log.exception("it is %s", "top-secret", extra={"x": "top-secret"})
    (record,) = caplog.records
    formatted = logging.Formatter().format(record)
    assert "top-secret" not in formatted
    assert formatted.startswith("it is [redacted]\nTraceback")
    assert record.portafaas["x"] == "[redacted]"


def test_one_line_whatever_the_text(context: Context, capsys: Any) -> None:
    context.logger.error('a\nb\r"c"\u2028\u00e4\0', extra={"odd": {1, 2}.__class__})
    (line,) = [json.loads(text) for text in capsys.readouterr().err.split("\n") if text]
    assert line["message"] == 'a\nb\r"c"\u2028\u00e4\0'
    assert line["odd"] == "<class 'set'>"


def test_values_without_json_do_not_cost_the_record(context: Context, capsys: Any) -> None:
    endless: list[Any] = []
    endless.append(endless)
    values = {"a": float("nan"), "b": {(1, 2): 3}, "c": endless, "d": 1, "e": "\u00e4"}
    context.logger.info("odd", extra=values)
    text = capsys.readouterr().err
    line = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert (line["message"], line["a"], line["b"]) == ("odd", "nan", "{(1, 2): 3}")
    assert (line["c"], line["d"], line["e"]) == ("[[...]]", 1, "\u00e4")


def test_what_a_handler_adds_does_not_replace_the_message(context: Context, capsys: Any) -> None:
    context.logger.info("placed", extra={"message": "x", "severity": "DEBUG", "time": "never"})
    (line,) = lines(capsys)
    assert (line["message"], line["severity"]) == ("placed", "INFO") and line["time"] != "never"


def test_a_record_that_cannot_be_formatted_tells_where(context: Context, capsys: Any) -> None:
    context.logger.info("took %d", "long")
    text = capsys.readouterr().err
    assert text.startswith("portafaas: a record of portafaas.f could not be logged: test_log.py:")


def test_on_azure_it_does_not_fail_the_handler_either(
    make: Any, caplog: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(secrets, "redacted", {"top-secret": None})
    log = Context(make(), "1", target="azure").logger
    with caplog.at_level(logging.INFO):
        log.info("took %d", "top-secret")
        log.info("odd", extra={"a": {(1, 2): "top-secret"}})
    one, two = caplog.records
    assert one.getMessage().startswith("a record that could not be logged: test_log.py:")
    assert two.portafaas["a"] == "{(1, 2): '[redacted]'}"


def test_an_exception_is_part_of_the_record(context: Context, capsys: Any) -> None:
    try:
        raise ValueError("boom")
    except ValueError:
        context.logger.exception("failed")
    (line,) = lines(capsys)
    assert line["severity"] == "ERROR"
    assert line["exception"].endswith("ValueError: boom")


def test_debug_is_off(context: Context, capsys: Any) -> None:
    context.logger.debug("x")
    assert lines(capsys) == []


def test_two_invocations_do_not_mix(make: Any, capsys: Any) -> None:
    function = make()
    one, two = Context(function, "1"), Context(function, "2")
    one.logger.info("a")
    two.logger.info("b")
    one.logger.info("c")
    assert [line["invocation_id"] for line in lines(capsys)] == ["1", "2", "1"]


def test_on_azure_the_hosts_handler_writes(make: Any, capsys: Any, caplog: Any) -> None:
    with caplog.at_level(logging.INFO):
        Context(make(), "1", target="azure").logger.info("x")
    assert lines(capsys) == []
    assert [record.getMessage() for record in caplog.records] == ["x"]
    assert caplog.records[0].portafaas["invocation_id"] == "1"


def test_configured_twice_writes_once(context: Context, capsys: Any) -> None:
    configure(propagate=False)
    configure(propagate=False)
    context.logger.info("x")
    assert len(lines(capsys)) == 1
