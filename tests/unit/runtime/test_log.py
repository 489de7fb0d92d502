"""Log lines: one JSON object each."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

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
        "severity": "INFO", "message": "took 7", "logger": "portafaas.f", "function": "f",
        "invocation_id": "id-1", "order": "A1",
    }  # fmt: skip


def test_the_caller_of_a_trace_is_named(make: Any, capsys: Any) -> None:
    Context(make(), "1", trace_parent="00-ab-cd-01").logger.warning("x")
    assert lines(capsys)[0]["trace_parent"] == "00-ab-cd-01"


def test_one_line_whatever_the_text(context: Context, capsys: Any) -> None:
    context.logger.error('a\nb\r"c"\u2028\u00e4\0', extra={"odd": {1, 2}.__class__})
    (line,) = [json.loads(text) for text in capsys.readouterr().err.split("\n") if text]
    assert line["message"] == 'a\nb\r"c"\u2028\u00e4\0'
    assert line["odd"] == "<class 'set'>"


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
