"""Contexts for tests of handlers that use resources."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from portafaas.runtime import NotFound, NotGranted, Request
from portafaas.testing import context_of, sent


def handler(project: Path) -> Any:
    spec = importlib.util.spec_from_file_location("app_of_test", project / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.order


def test_a_handler_of_a_project(project: Path, tmp_path_factory: Any) -> None:
    folder = tmp_path_factory.mktemp("resources")
    (folder / "secret").mkdir()
    (folder / "secret" / "pay-key").write_text("value-of-tests")
    context = context_of(project / "portafaas.yaml", "order", folder, stage="prod")
    assert (context.function, context.service, context.target) == ("order", "shop", "local")
    answer = handler(project)(Request("POST", "/orders"), context)
    assert (answer["secret"], answer["greeting"], answer["size"]) == ("ts", "good day", 2)
    (message,) = sent(folder, "payments")
    assert (json.loads(message["body"]), message["key"]) == ({"a": 1}, "c-1")
    (event,) = sent(folder, "news")
    assert event["attributes"]["ce-type"] == "order.placed"
    assert sent(folder, "nothing") == []
    # What one context wrote the next one reads; nothing is left in the project.
    again = context_of(project / "portafaas.yaml", "order", folder)
    assert again.tables["orders"].get("1", "2026") is not None
    assert not (project / ".portafaas" / "local").exists()


def test_only_what_is_granted(project: Path, tmp_path: Path) -> None:
    context = context_of(project / "portafaas.yaml", "quiet", tmp_path)
    with pytest.raises(NotGranted, match="function 'quiet' may not send queue 'payments'"):
        context.queues["payments"]


def test_a_secret_without_a_value(project: Path, tmp_path: Path) -> None:
    context = context_of(project / "portafaas.yaml", "order", tmp_path)
    with pytest.raises(NotFound):
        context.secrets["pay-key"].get()


def test_no_such_function(project: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        context_of(project / "portafaas.yaml", "nobody", tmp_path)
