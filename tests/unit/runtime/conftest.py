"""Functions and contexts to serve with."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from portafaas.runtime.context import Context
from portafaas.runtime.function import Function
from portafaas.runtime.http import Request, Response
from portafaas.runtime.serve import run

Make = Callable[..., Function]

#: What the function of :func:`used` may do.
USES: dict[str, dict[str, Any]] = {
    "queue": {"jobs": {"verbs": ["send"], "ordered": False},
              "in-order": {"verbs": ["send"], "ordered": True}},
    "topic": {"news": {"verbs": ["publish"], "ordered": False},
              "ordered-news": {"verbs": ["publish"], "ordered": True}},
    "table": {"orders": {"verbs": ["read", "write"], "key": "id", "sort": "created"},
              "users": {"verbs": ["read"], "key": "id", "sort": ""},
              "audit": {"verbs": ["write"], "key": "id", "sort": ""}},
    "bucket": {"up": {"verbs": ["read", "write"]}, "down": {"verbs": ["read"]},
               "drop": {"verbs": ["write"]}},
    "secret": {"key": {"verbs": ["read"]}},
}  # fmt: skip


@pytest.fixture
def make() -> Make:
    """Return a factory of functions of any kind with a given handle."""

    def make_function(
        handle: Any = None, kind: str = "http", *, handler: str = "x:y", timeout: float = 5,
        interface: str = "handler", **trigger: Any,
    ) -> Function:  # fmt: skip
        if kind == "http":
            trigger = {"methods": [], "path": "/"} | trigger
        function = Function(
            {
                "name": "f", "service": "shop", "kind": kind, "handler": handler,
                "interface": interface, "timeout": timeout, "memory": 256,
                "source": f"/shop/{kind}s/f", "trigger": trigger,
            }
        )  # fmt: skip
        if handle is not None:
            function.handle = handle
            function.takes_batch = bool(getattr(handle, "__portafaas_batch__", False))
        return function

    return make_function


@pytest.fixture
def context(make: Make) -> Context:
    return Context(make(), "id-1")


@pytest.fixture
def serve(make: Make) -> Callable[..., Response]:
    """Return a function that serves one request with a handle and a trigger's settings."""

    def serve_one(handle: Any, request: Request | None = None, **settings: Any) -> Response:
        function = make(handle, **settings)
        return run(function, request or Request(), Context(function, "id-1"))

    return serve_one


@pytest.fixture(autouse=True)
def no_opentelemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let handlers be loaded as in a package without OpenTelemetry, which some tests import."""
    monkeypatch.delitem(sys.modules, "opentelemetry", raising=False)


@pytest.fixture
def used(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    """Return a context of a function that uses everything, kept in *tmp_path*."""
    for kind, names in USES.items():
        for name in names:
            variable = f"PORTAFAAS_{kind}_{name}".upper().replace("-", "_")
            monkeypatch.setenv(variable, str(tmp_path / kind / name))
    function = make()
    function.uses = USES
    return Context(function, "id-1")
