"""The time zones that a plan's schedules need, from the installed ``tzdata``.

Platforms differ in which zones they have, and how recent: ``portafaas.runtime.cron.load_zone``
looks into the package first.
"""

# Plain strings instead of pathlib: it would cost more than the work itself.
# ruff: noqa: PTH118, PTH120, PTH123, PTH208
from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from portafaas.artifact.member import Member

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from portafaas.plan import BuildPlan

_UTC = ("UTC", "Etc/UTC")


def members(plan: BuildPlan, taken: Iterable[str]) -> list[Member]:
    """Return ``tzdata/__init__.py`` and one file for each zone but UTC.

    Nothing when one of the names *taken* is in ``tzdata/``: a project that brings its own tzdata,
    or depends on it, has all zones.
    """
    from portafaas.plan import ScheduleTrigger

    triggers = [function.trigger for function in plan.functions]
    wanted = {
        trigger.timezone
        for trigger in triggers
        if isinstance(trigger, ScheduleTrigger) and trigger.timezone not in _UTC
    }
    if not wanted or any(name.startswith("tzdata/") for name in taken):
        return []
    folder = _folder()
    names = ["tzdata/__init__.py", *(f"tzdata/zoneinfo/{zone}" for zone in sorted(wanted))]
    found = []
    for name in names:
        with open(os.path.join(folder, name), "rb") as file:
            found.append(Member(name, 0o644, file.read(), "generated"))
    return found


def component(shipped: Sequence[Member]) -> dict[str, Any]:
    """Return tzdata as a CycloneDX component, of which only *shipped* is there."""
    from portafaas.artifact.distributions import read_distribution
    from portafaas.artifact.sbom import library

    folder = _folder()
    (info,) = (
        name
        for name in os.listdir(folder)
        if name.startswith("tzdata-") and name.endswith(".dist-info")
    )
    hashes = {member.name: member.sha256 for member in shipped}
    return library(read_distribution(folder, info), hashes)


def _folder() -> str:
    from importlib.util import find_spec

    spec = find_spec("tzdata")
    assert spec is not None and spec.origin is not None, "tzdata is a dependency of portafaas"
    return os.path.dirname(os.path.dirname(spec.origin))
