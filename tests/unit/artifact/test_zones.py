"""Time zones travel with the schedules that need them."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from portafaas.artifact import Package, unpack
from portafaas.plan.model import FunctionPlan, ScheduleTrigger

Project = Any

FIRES = """
import sys
sys.path.insert(0, sys.argv[1])
import zoneinfo
zoneinfo.reset_tzpath([])
from portafaas.runtime.cron import should_fire
# 2026-01-05 and 2026-07-06, 09:00 in Berlin.
print([should_fire("0 9 * * MON", "Europe/Berlin", t) for t in (1767600000, 1783321200, 1783317600)])
try:
    should_fire("0 9 * * *", "Asia/Tokyo", 0)
except RuntimeError as error:
    print("none")
"""


@pytest.fixture
def scheduled(project: Project) -> Callable[..., Package]:
    def build(*zones: str) -> Package:
        functions = [
            FunctionPlan(f"f{at}", "app.orders", "handle", ScheduleTrigger("0 9 * * *", zone))
            for at, zone in enumerate(zones)
        ]
        project.change(functions=tuple(functions))
        package: Package = project.build()
        return package

    return build


def shipped(package: Package) -> list[str]:
    with zipfile.ZipFile(package.file) as archive:
        return [name for name in archive.namelist() if name.startswith("tzdata/")]


def libraries(package: Package) -> dict[str, str]:
    found = json.loads(package.sbom.read_text())["components"]
    return {one["name"]: one["version"] for one in found if one["type"] == "library"}


def test_a_zone_is_shipped_and_used(
    scheduled: Callable[..., Package], tmp_path: Path
) -> None:
    package = scheduled("Europe/Berlin", "Europe/Berlin", "America/Argentina/Ushuaia", "UTC")
    names = [name for name in shipped(package) if not name.endswith(".pyc")]
    assert names == [
        "tzdata/__init__.py",
        "tzdata/zoneinfo/America/Argentina/Ushuaia",
        "tzdata/zoneinfo/Europe/Berlin",
    ]
    assert libraries(package) == {"tzdata": version("tzdata")}
    unpack(package.file, tmp_path / "x")
    ran = subprocess.run(
        [sys.executable, "-I", "-S", "-c", FIRES, str(tmp_path / "x")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert ran.stdout.splitlines() == ["[True, True, False]", "none"], ran.stderr


@pytest.mark.parametrize("zone", ["UTC", "Etc/UTC"])
def test_utc_needs_none(scheduled: Callable[..., Package], zone: str) -> None:
    package = scheduled(zone)
    assert shipped(package) == [] and libraries(package) == {}


def test_the_projects_own_tzdata_is_left_alone(
    project: Project, scheduled: Callable[..., Package]
) -> None:
    project.write({"tzdata/__init__.py": "MINE = True\n"})
    assert "tzdata/zoneinfo/Europe/Berlin" not in shipped(scheduled("Europe/Berlin"))


def test_a_dependency_on_tzdata_is_left_alone(
    project: Project, scheduled: Callable[..., Package], wheelhouse: Any
) -> None:
    wheelhouse.wheel("tzdata", "1.0", {"tzdata/__init__.py": "", "tzdata/zoneinfo/X": "theirs"})
    project.depend("tzdata\n")
    package = scheduled("Europe/Berlin")
    assert "tzdata/zoneinfo/Europe/Berlin" not in shipped(package)
    assert libraries(package) == {"tzdata": "1.0"}
