"""Environments are built once, found again, repaired, and refused with a reason."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from portafaas.vendor import Requirements, VendorRuntimeError
from portafaas.vendor.environment import (
    cache_folder,
    ensure_environment,
    find_interpreter,
    installed_version,
    prepare,
    python_version,
)
from portafaas.vendor.process import Child

pytestmark = pytest.mark.vendor

SMALL = Requirements(("markupsafe==3.0.4",))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PORTAFAAS_HOME", str(tmp_path))
    return tmp_path


def test_built_once_and_repaired(home: Path) -> None:
    python = ensure_environment("small", SMALL, Path(sys.executable))
    assert python.is_relative_to(home / "vendor")
    assert installed_version(python, "markupsafe") == "3.0.4"
    subprocess.run([python, "-I", "-c", "import markupsafe"], check=True)
    created = python.parent.parent.stat().st_mtime_ns
    assert ensure_environment("small", SMALL, Path(sys.executable)) == python
    assert python.parent.parent.stat().st_mtime_ns == created
    package = next(python.parent.parent.glob("lib/python*/site-packages/markupsafe"))
    package.rename(home / "taken")
    ensure_environment("small", SMALL, Path(sys.executable))
    assert package.exists()
    assert not list((home / "vendor").glob(".building-*"))


def test_forced_package_ignores_requires_python(home: Path) -> None:
    needs = Requirements((), forced=("azure-functions-runtime==1.3.0",), forced_python="3.13")
    python = ensure_environment("forced", needs, Path(sys.executable))
    assert installed_version(python, "azure-functions-runtime") == "1.3.0"


def test_what_cannot_be_installed_leaves_nothing(home: Path) -> None:
    needs = Requirements(("markupsafe==0.0.0.dev99999",))
    with pytest.raises(VendorRuntimeError, match="PF6001") as caught:
        ensure_environment("bad", needs, Path(sys.executable))
    assert caught.value.hint is not None
    assert [path.suffix for path in (home / "vendor").iterdir()] == [".lock"]


def test_cache_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    monkeypatch.setenv("PORTAFAAS_HOME", str(blocked))
    with pytest.raises(VendorRuntimeError, match="PF6001"):
        ensure_environment("small", SMALL, Path(sys.executable))


def test_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("PORTAFAAS_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "portafaas" / "vendor"


def test_interpreters() -> None:
    own = f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert find_interpreter(own) == Path(sys.executable)
    assert python_version(Path(sys.executable)) == own
    assert find_interpreter("3.99") is None


def test_missing_interpreter(home: Path, target_of: Any) -> None:
    with pytest.raises(VendorRuntimeError, match=r"PF6002.*3\.99"):
        prepare("aws", target_of("aws").runtime(), "3.99")
    with pytest.raises(VendorRuntimeError, match="PF6002"):
        ensure_environment("small", SMALL, home / "no-python")
    with pytest.raises(VendorRuntimeError, match="PF6002"):
        python_version(home / "no-python")


def test_process_that_cannot_start(tmp_path: Path) -> None:
    with pytest.raises(VendorRuntimeError, match="PF6003"):
        Child([tmp_path / "nothing"], cwd=tmp_path, env={})
