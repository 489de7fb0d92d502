"""The facts about one invocation."""

from __future__ import annotations

import logging
import time
from typing import Any

import pytest

from portafaas.runtime.context import Context, HandlerTimeout


def test_facts(make: Any) -> None:
    before = time.time()
    context = Context(
        make(timeout=30), "id-1", target="aws", attempt=2, trace_parent="00-1", raw={"a": 1}
    )
    assert (context.function, context.service, context.memory) == ("f", "shop", 256)
    assert (context.invocation_id, context.target, context.attempt) == ("id-1", "aws", 2)
    assert (context.trace_parent, context.raw) == ("00-1", {"a": 1})
    assert before + 30 <= context.deadline <= time.time() + 30
    assert 29 < context.remaining() <= 30


def test_defaults(context: Context) -> None:
    assert (context.target, context.attempt) == ("local", 1)
    assert context.trace_parent is None
    assert context.raw is None


def test_remaining_is_never_negative(context: Context) -> None:
    context.deadline = time.time() - 10
    assert context.remaining() == 0.0


def test_the_logger_is_made_once(context: Context) -> None:
    assert isinstance(context.logger, logging.LoggerAdapter)
    assert context.logger is context.logger


def test_unknown_names(context: Context) -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        context.nothing  # noqa: B018
    with pytest.raises(AttributeError):
        context.extra = 1  # type: ignore[attr-defined]


def test_a_timeout_is_no_exception() -> None:
    assert not issubclass(HandlerTimeout, Exception)
