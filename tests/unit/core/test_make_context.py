from __future__ import annotations

import logging

import pytest

from portafaas.runtime import HttpHandler, Request
from portafaas.testing import make_context


class Greet(HttpHandler):
    def handle(self, request: Request, context):  # type: ignore[no-untyped-def]
        context.logger.info("greeting")
        return {"hello": request.query["name"], "by": context.function}


def test_a_handler_is_called_like_any_object(caplog: pytest.LogCaptureFixture) -> None:
    context = make_context("greet", timeout=5)
    caplog.set_level(logging.INFO, "portafaas")
    answer = Greet().handle(Request("GET", "/", query="name=Ada"), context)
    assert answer == {"hello": "Ada", "by": "greet"}
    assert 4 < context.remaining() <= 5
    assert (context.service, context.attempt, context.target) == ("test", 1, "local")
