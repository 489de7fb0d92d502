"""What a session of pytest keeps: plans, packages that are built, and processes that run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from portafaas.errors import PortafaasError
from portafaas.plan import BuildPlan
from portafaas.testing.executor import Executor
from portafaas.testing.in_process import InProcess
from portafaas.testing.processes import Processes

if TYPE_CHECKING:
    from portafaas.testing.app import App

#: Functions run from the sources, without any target.
LOCAL = "local"


@dataclass(frozen=True)
class Setting:
    """What a test runs: which manifest, and how."""

    manifest: Path
    stage: str | None
    target: str
    processes: bool = False


class Session:
    """Executors by what they run. *folder* is a temporary one, of the session."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._executors: dict[Setting, Executor] = {}
        self._failed: dict[Setting, PortafaasError] = {}

    def executor(self, setting: Setting) -> Executor:
        """Return the executor of *setting*, made when it is first asked for.

        One that is made ends those of other targets: their processes would take up memory. Raises
        PortafaasError when the manifest is not valid, the package cannot be built, or the target's
        runtime cannot be installed.
        """
        from portafaas.testing.modules import enter

        enter(str(setting.manifest.parent))
        if setting in self._failed:
            raise self._failed[setting]
        found = self._executors.get(setting)
        if found is None:
            for other in [each for each in self._executors if each.target != setting.target]:
                self._executors.pop(other).close()
            try:
                found = self._executors[setting] = self._made(setting)
            except PortafaasError as exc:
                # The next test would wait for the same.
                self._failed[setting] = exc
                raise
        return found

    def _made(self, setting: Setting) -> Executor:
        root = setting.manifest.parent
        if setting.target == LOCAL:
            kind: type[Executor] = Processes if setting.processes else InProcess
            return kind(plan_of(setting), root, self._folder)
        from portafaas.testing.packages import Packages

        place = self._folder / f"{setting.target}-{len(list(self._folder.iterdir()))}"
        place.mkdir()
        return Packages(setting, place)

    def close(self) -> None:
        """End all processes."""
        for executor in self._executors.values():
            executor.close()
        self._executors.clear()


@contextmanager
def opened(
    manifest: Path | str, target: str, stage: str | None, processes: bool
) -> Iterator[App]:
    """See ``portafaas.testing.application``."""
    from portafaas.testing.app import App

    with TemporaryDirectory(prefix="portafaas-") as folder:
        home = Path(folder, "home")
        kept = Path(folder, "session")
        home.mkdir()
        kept.mkdir()
        session = Session(kept)
        try:
            setting = Setting(Path(manifest).resolve(), stage, target, processes)
            app = App(session.executor(setting), home, target)
            try:
                yield app
            finally:
                app.close()
        finally:
            session.close()


def plan_of(setting: Setting) -> BuildPlan:
    """Return the plan; raises ManifestError or PlanError."""
    from portafaas.manifest.load import load_manifest
    from portafaas.plan.build import build_plan

    target = "" if setting.target == LOCAL else setting.target
    return build_plan(load_manifest(setting.manifest, setting.stage), target)
