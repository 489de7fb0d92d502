"""A package for a Python version that is not installed here still runs, and says so."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from portafaas.adapter import HttpStimulus
from portafaas.errors import InvocationError
from portafaas.invocation import PackageRunner
from portafaas.pipeline import build, check
from portafaas.vendor import environment

OWN = f"{sys.version_info[0]}.{sys.version_info[1]}"
OTHER = next(version for version in ("3.12", "3.13") if version != OWN)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    known = environment.find_interpreter
    monkeypatch.setattr(
        environment, "find_interpreter", lambda version: None if version == OTHER else known(version)
    )
    # Where the package stage looks for a compiler of that version.
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "portafaas.yaml").write_text(
        f'portafaas: 1\nname: other\npython: "{OTHER}"\nfunctions:\n'
        "  hello: {handler: 'app:hello', trigger: {http: {path: /hello}}}\n"
    )
    (folder / "app.py").write_text("def hello(request, context):\n    return 'hello'\n")
    return folder


def runner(project: Path, folder: Path) -> PackageRunner:
    (item,) = check(project / "portafaas.yaml", ["aws"])
    place = project / "out" / "aws"
    return PackageRunner(
        item.adapter, item.plan, place / "other.zip", place / "other.deployment.json", folder
    )


@pytest.mark.vendor
def test_it_runs_on_this_python_and_says_so(project: Path, tmp_path: Path) -> None:
    build(project / "portafaas.yaml", ["aws"])
    with runner(project, tmp_path / "package") as running:
        function = running._plan.function("hello")
        outcome = running.deliver(function, HttpStimulus("GET", "/hello")).outcome
        assert outcome.body == b"hello"  # type: ignore[union-attr]
        assert running.notes == [f"no Python {OTHER} found; ran on Python {OWN}"]


@pytest.mark.vendor
def test_compiled_modules_need_their_own_python(project: Path, tmp_path: Path) -> None:
    build(project / "portafaas.yaml", ["aws"])
    with runner(project, tmp_path / "package") as running:
        (tmp_path / "package" / "native.so").write_bytes(b"\x7fELF")
        with pytest.raises(InvocationError, match=f"no Python {OTHER} is installed"):
            running.deliver(running._plan.function("hello"), HttpStimulus("GET", "/hello"))
