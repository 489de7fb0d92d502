"""Tests that users have: of new projects, of the example, of the tutorial."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "testing.md"


def run(folder: Path, *arguments: str) -> tuple[int, str]:
    environment = {name: text for name, text in os.environ.items() if "PYTEST" not in name}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=folder, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def python(manifest: Path) -> None:
    """Have the project built for the Python that is here."""
    text = manifest.read_text()
    own = f'python: "{sys.version_info[0]}.{sys.version_info[1]}"'
    manifest.write_text(re.sub(r'python: "[\d.]+"', own, text))


def test_new_projects_have_tests_that_pass(tmp_path: Path) -> None:
    counts = {"api": 2, "worker": 4, "app": 1}
    for template in counts:
        folder = tmp_path / template
        command = [sys.executable, "-m", "portafaas", "init", str(folder), "--template", template]
        subprocess.run(command, check=True, capture_output=True)
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --import-mode=importlib\n")
    status, said = run(tmp_path)
    assert status == 0, said
    assert f"{sum(counts.values())} passed" in said


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("examples")
    ignored = shutil.ignore_patterns("out", ".portafaas", "__pycache__")
    for name in ("shop", "shop-saga"):
        shutil.copytree(ROOT / "examples" / name, folder / name, ignore=ignored)
        python(folder / name / "portafaas.yaml")
    return folder / "shop"


def test_the_shops_on_this_machine(shop: Path) -> None:
    status, said = run(shop.parent, "--import-mode=importlib")
    assert status == 0, said
    assert "16 passed" in said


@pytest.mark.vendor
@pytest.mark.parametrize(
    ("target", "which", "count"),
    # Few functions: each has a runtime, which takes its time to start.
    [("aws", "charge or in_order or crash", 5), ("azure", "tried or never", 2),
     ("gcp", "tried or never", 2)],
)  # fmt: skip
def test_the_shop_on_a_target(shop: Path, target: str, which: str, count: int) -> None:
    status, said = run(shop, "--portafaas-target", target, "-vv", "-k", which)
    assert status == 0, said
    assert f"{count} passed" in said
    assert f"test_a_charge_that_fails_is_tried_again[{target}] PASSED" in said


def blocks() -> list[tuple[str, str]]:
    """Return the blocks of the tutorial that say which file they are."""
    text = DOCUMENT.read_text()
    return re.findall(r"^<!-- file: (\S+) -->\n```\w*\n(.*?)^```", text, re.M | re.S)


def test_the_tutorial_runs(tmp_path: Path) -> None:
    for name, text in blocks():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    status, said = run(tmp_path)
    assert status == 0, said
    count = sum(text.count("def test_") for _, text in blocks())
    assert f"{count} passed" in said
