"""The invented platform's adapter as a stranger would install it: a wheel, unpacked."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest

DISTRIBUTION = Path(__file__).with_name("distribution")

_SUITE = """
from portafaas.testing.suite import ConformanceSuite

class TestConformance(ConformanceSuite):
    target = "example"
"""
_SETTINGS = """
[pytest]
filterwarnings = error
markers = vendor: runs in the platform's runtime
"""


@dataclass(frozen=True)
class Report:
    """What pytest said: names of tests by how they ended, and its output."""

    passed: tuple[str, ...]
    failed: tuple[str, ...]
    errors: tuple[str, ...]
    skipped: tuple[str, ...]
    output: str


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that holds the distribution as an installer leaves it."""
    folder = tmp_path_factory.mktemp("fourth")
    project, site = folder / "project", folder / "site"
    shutil.copytree(
        DISTRIBUTION, project, ignore=shutil.ignore_patterns("__pycache__", ".mypy_cache")
    )
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=project, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return site


def environment(site: Path) -> dict[str, str]:
    """Return this process's environment with *site* in front of the import path."""
    return {**os.environ, "PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"}


Run = Callable[..., Report]


@pytest.fixture
def run_suite(tmp_path: Path) -> Run:
    """Return what runs the shipped suite, as an adapter's author would, in a process of its own."""

    def run(site: Path, *cases: str) -> Report:
        folder = tmp_path / "suite"
        folder.mkdir()
        (folder / "test_kit.py").write_text(_SUITE, encoding="utf-8")
        (folder / "pytest.ini").write_text(_SETTINGS, encoding="utf-8")
        tests = [f"test_kit.py::TestConformance::test_case[{case}]" for case in cases]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--tb=short",
             "--basetemp", str(tmp_path / "base"), "--junitxml=report.xml",
             *(tests or ["test_kit.py"])],
            cwd=folder, env=environment(site), capture_output=True, text=True, check=False,
        )  # fmt: skip
        output = done.stdout + done.stderr
        assert (folder / "report.xml").is_file(), output
        return _read(folder / "report.xml", output)

    return run


def _read(file: Path, output: str) -> Report:
    found: Mapping[str, list[str]] = {"passed": [], "failure": [], "error": [], "skipped": []}
    for case in ElementTree.parse(file).iter("testcase"):
        kinds = [child.tag for child in case if child.tag in found] or ["passed"]
        found[kinds[0]].append(case.get("name", "").removeprefix("test_case[").removesuffix("]"))
    return Report(
        tuple(found["passed"]),
        tuple(found["failure"]),
        tuple(found["error"]),
        tuple(found["skipped"]),
        output,
    )
