"""The cheap answer to whether anything changed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import pytest

from portafaas.artifact import fingerprint, fingerprint_settings

Project = Any


@pytest.fixture
def taken(project: Project) -> Callable[[], str]:
    project.write({"data/a.json": "{}"})
    project.depend("-r more.txt\n")
    project.write({"more.txt": ""})
    project.change(include=("data/*.json",))
    given = fingerprint_settings(str(project.root), project.plan, project.layout, "out")
    settings = json.loads(json.dumps(given))
    return lambda: fingerprint(str(project.root), **settings)


def test_nothing_changed(project: Project, taken: Callable[[], str]) -> None:
    before = taken()
    project.write({"README.md": "new", "tests/test_x.py": "", "out/shop.zip": ""})
    assert taken() == before


@pytest.mark.parametrize(
    "name",
    ["app/orders.py", "app/new.py", "portafaas.yaml", "data/a.json", "data/new.json",
     "requirements.txt", "more.txt"],
)  # fmt: skip
def test_an_input_changed(project: Project, taken: Callable[[], str], name: str) -> None:
    before = taken()
    project.write({name: "# changed\n"})
    assert taken() != before


def test_same_size_but_another_time_is_a_change(project: Project, taken: Callable[[], str]) -> None:
    before = taken()
    os.utime(project.root / "app/orders.py", ns=(1, 1))
    assert taken() != before


def test_a_lock_that_appears_or_a_file_that_goes_is_a_change(
    project: Project, taken: Callable[[], str]
) -> None:
    before = taken()
    lock = f"requirements.{project.plan.python}-x86_64-manylinux_2_28.lock"
    project.write({lock: ""})
    with_lock = taken()
    assert with_lock != before
    (project.root / "app/__init__.py").unlink()
    assert taken() not in (before, with_lock)


def test_the_adapters_runtime_counts(acme: Any, taken: Callable[[], str]) -> None:
    before = taken()
    (acme / "acme_faas/adapter.py").write_text("not shipped")
    assert taken() == before
    (acme / "acme_faas/runtime/http.py").write_text("changed")
    assert taken() != before
