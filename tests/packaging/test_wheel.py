"""What users install: the wheel, apart from the source tree."""

from __future__ import annotations

import json
import re
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

pytestmark = pytest.mark.packaging

ROOT = Path(__file__).resolve().parents[2]
TARGETS = ("aws", "azure", "gcp")
PACKAGES = {
    "portafaas": ROOT / "portafaas",
    **{f"portafaas_{target}": ROOT / "adapters" / f"portafaas_{target}" for target in TARGETS},
    "portafaas_templates": ROOT / "templates" / "portafaas_templates",
}

Command = Callable[..., str]


def _names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_builds_are_the_same_bytes(built: Any) -> None:
    assert built.wheel.name == built.direct.name
    assert built.wheel.read_bytes() == built.direct.read_bytes()


def test_wheel_holds_the_packages_and_nothing_else(built: Any) -> None:
    expected = {
        f"{package}/{file.relative_to(folder).as_posix()}"
        for package, folder in PACKAGES.items()
        for file in folder.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    names = _names(built.wheel)
    metadata = {name for name in names if name.split("/")[0].endswith(".dist-info")}
    assert names - metadata == expected
    assert {Path(name).name for name in metadata} == {
        "METADATA", "WHEEL", "RECORD", "entry_points.txt", "LICENSE",
    }  # fmt: skip


def test_wheel_holds_what_is_read_at_run_time(built: Any) -> None:
    """Said by name, so that a file missing from the tree is missed here."""
    names = _names(built.wheel)
    assert {f"{package}/py.typed" for package in PACKAGES} <= names
    assert {f"portafaas_{target}/options.schema.json" for target in TARGETS} <= names
    assert {
        "portafaas/manifest/schema/manifest.v1.schema.json",
        "portafaas/dev/dashboard/index.html",
        "portafaas/dev/dashboard/dashboard.css",
        "portafaas/dev/dashboard/app.js",
        "portafaas/dev/dashboard/view-map.js",
        "portafaas/testing/project/kit/web.py",
        "portafaas/testing/project/kit/work.py",
        "portafaas/testing/project/kit/views.py",
        "portafaas_templates/starters/api/portafaas.yaml",
        "portafaas_templates/starters/api/gitignore",
        "portafaas_templates/starters/app/requirements.txt",
        "portafaas_templates/starters/worker/handlers.py",
    } <= names
    assert not [
        name for name in names if re.search(r"(^|/)(tests?|\.portafaas|out|__pycache__)/|\.pyc$", name)
    ]


def test_wheel_names_its_entry_points(built: Any) -> None:
    with zipfile.ZipFile(built.wheel) as archive:
        (name,) = (item for item in archive.namelist() if item.endswith("entry_points.txt"))
        lines = archive.read(name).decode().splitlines()
    assert "portafaas = portafaas.cli:main" in lines
    assert "portafaas = portafaas.testing.plugin" in lines
    assert {f"{t} = portafaas_{t}.adapter:ADAPTER" for t in TARGETS} <= set(lines)


def test_sdist_holds_no_caches(built: Any) -> None:
    with tarfile.open(built.sdist) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    assert {"pyproject.toml", "README.md", "LICENSE", "portafaas/__init__.py"} <= set(names)
    assert "tests/packaging/test_wheel.py" in names
    unwanted = {".portafaas", "out", "__pycache__", ".venv", ".mypy_cache", ".hypothesis"}
    assert not [name for name in names if unwanted & set(name.split("/"))]


def test_imports_come_from_the_environment(installed: Command, venv: Path) -> None:
    code = "import sys, json, importlib; print(json.dumps([importlib.import_module(n).__file__ for n in sys.argv[1:]]))"
    files = json.loads(installed("python", "-c", code, *PACKAGES))
    assert len(files) == len(PACKAGES)
    assert all(Path(file).is_relative_to(venv) for file in files), files


def test_from_init_to_invoke(installed: Command, built: Any, tmp_path: Path) -> None:
    version = built.wheel.name.split("-")[1]
    assert version in installed("portafaas", "--version")
    installed("portafaas", "init", "demo")
    manifest = ("--manifest", "demo/portafaas.yaml")
    installed("portafaas", "check", *manifest)
    assert not (tmp_path / "empty" / "demo" / "out").exists()
    installed("portafaas", "build", "--target", "all", *manifest)
    for target in TARGETS:
        folder = tmp_path / "empty" / "demo" / "out" / target
        with zipfile.ZipFile(folder / "demo.zip") as package:
            names = set(package.namelist())
        assert {
            "handlers.py", "portafaas/runtime/function.py", f"portafaas_{target}/runtime/http.py",
        } <= names  # fmt: skip
    event = tmp_path / "empty" / "event.json"
    event.write_text('{"http": {"path": "/greetings/Ada"}}', encoding="utf-8")
    for where in ((), ("--target", "aws")):
        said = installed(
            "portafaas", "invoke", "greet", "--event", "event.json", *where, *manifest,
            "--format", "json",
        )  # fmt: skip
        assert "Hello, Ada!" in said


def test_schema_and_targets(installed: Command) -> None:
    schema = json.loads(installed("portafaas", "schema"))
    source = ROOT / "portafaas" / "manifest" / "schema" / "manifest.v1.schema.json"
    assert schema == json.loads(source.read_bytes())
    for target in TARGETS:
        assert {"service", "function"} <= set(
            json.loads(installed("portafaas", "schema", "--target", target))
        )
    listed = installed("portafaas", "targets")
    assert all(target in listed for target in TARGETS)


_SUITE = """
from portafaas.testing.suite import ConformanceSuite

class TestConformance(ConformanceSuite):
    target = "aws"
"""


def test_shipped_suite_runs_from_the_wheel(installed: Command, tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    (folder / "test_kit.py").write_text(_SUITE, encoding="utf-8")
    (folder / "pytest.ini").write_text(
        "[pytest]\nfilterwarnings = error\nmarkers = vendor: runs in the platform's runtime\n",
        encoding="utf-8",
    )
    installed(
        "python", "-m", "pytest", "-p", "no:cacheprovider", "--junitxml=report.xml",
        "-k", "http-query or queue-body",
    )  # fmt: skip
    cases = list(ElementTree.parse(folder / "report.xml").iter("testcase"))
    assert len(cases) >= 40
    assert not [case.get("name") for case in cases if len(case)]
