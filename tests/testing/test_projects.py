"""Tests that users have: of new projects, of the example, of the tutorial."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
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


def blocks() -> list[tuple[str, str]]:
    """Return the blocks of the tutorial that say which file they are."""
    text = DOCUMENT.read_text()
    return re.findall(r"^<!-- file: (\S+) -->\n```\w*\n(.*?)^```", text, re.M | re.S)


@pytest.fixture(scope="module")
def shop(
    tmp_path_factory: pytest.TempPathFactory, share_builds: Callable[[Path], None]
) -> Path:
    folder = tmp_path_factory.mktemp("examples")
    ignored = shutil.ignore_patterns("out", ".portafaas", "__pycache__")
    for name in ("shop", "shop-saga"):
        shutil.copytree(ROOT / "examples" / name, folder / name, ignore=ignored)
        python(folder / name / "portafaas.yaml")
        share_builds(folder / name)
    return folder / "shop"


def test_on_this_machine(shop: Path) -> None:
    """One run has them all, so that projects with modules of one name are beside one another."""
    folder = shop.parent
    counts = {"shop": 11, "shop-saga": 5, "api": 2, "worker": 4, "app": 1}
    for template in ("api", "worker", "app"):
        command = [sys.executable, "-m", "portafaas", "init", str(folder / template)]
        subprocess.run([*command, "--template", template], check=True, capture_output=True)
    for name, text in blocks():
        file = folder / "tutorial" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        counts["tutorial"] = counts.get("tutorial", 0) + text.count("def test_")
    status, said = run(folder, "--import-mode=importlib", "-vv")
    assert status == 0, said
    found = re.findall(r"^([\w-]+)/tests/test_\w+.py::test_\w+\[local\] PASSED", said, re.M)
    assert Counter(found) == counts


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
