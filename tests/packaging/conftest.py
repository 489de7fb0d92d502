"""The wheel and the source distribution, and an environment that has nothing but the wheel."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
#: Seconds since 1970 that both builds are told: the first of 2026.
EPOCH = "1767225600"


@dataclass(frozen=True)
class Built:
    """``wheel`` was made from ``sdist``, as an installer makes it; ``direct`` from the tree."""

    sdist: Path
    wheel: Path
    direct: Path


def _clean() -> dict[str, str]:
    """Return this process's environment without what would lead Python back to the sources."""
    dropped = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PYTEST_ADDOPTS")
    return {name: text for name, text in os.environ.items() if name not in dropped}


def _run(command: Sequence[str | Path], cwd: Path, **variables: str) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd, env={**_clean(), **variables}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--no-isolation"]
    first, second = folder / "first", folder / "second"
    _run([*build, "--outdir", first, ROOT], folder, SOURCE_DATE_EPOCH=EPOCH)
    _run([*build, "--wheel", "--outdir", second, ROOT], folder, SOURCE_DATE_EPOCH=EPOCH)
    (sdist,), (wheel,) = first.glob("*.tar.gz"), first.glob("*.whl")
    (direct,) = second.glob("*.whl")
    return Built(sdist, wheel, direct)


@pytest.fixture(scope="session")
def venv(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a fresh virtual environment that has the wheel and what it needs."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    uv = [sys.executable, "-m", "uv"]
    _run([*uv, "venv", "--quiet", "--no-project", "--python", sys.executable, folder], folder.parent)
    python = str(folder / "bin" / "python")
    install = [*uv, "pip", "install", "--quiet", "--python", python]
    pins = ROOT / "requirements" / "dev.txt"
    _run([*install, "--constraint", str(pins), f"{built.wheel}[testing]"], folder.parent)
    return folder


Command = Callable[..., str]


@pytest.fixture
def installed(venv: Path, tmp_path: Path) -> Command:
    """Return what runs a program of the environment, in an empty folder that stays the same."""
    folder = tmp_path / "empty"
    folder.mkdir()

    def run(program: str, *arguments: str) -> str:
        return _run([venv / "bin" / program, *arguments], folder)

    return run
