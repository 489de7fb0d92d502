"""Builds the kit's service for one target and delivers cases to it in the vendor's own runtime."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Self

from portafaas.adapter import Adapter, Capability, Support
from portafaas.capabilities import needs
from portafaas.invocation import LocalRunner, PackageRunner
from portafaas.manifest.load import load_manifest
from portafaas.pipeline import Built, build
from portafaas.plan import BuildPlan
from portafaas.plan.build import build_plan
from portafaas.registry import get_adapter
from portafaas.testing import service
from portafaas.testing.cases import CASES, Case, Observation

#: Python that the kit builds for: the one it runs on, so that it always can run what it built.
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"


@cache
def requirements() -> Mapping[str, frozenset[Capability]]:
    """Return what each function of the service needs."""
    with tempfile.TemporaryDirectory() as folder:
        plan = build_plan(load_manifest(service.write(Path(folder), service.document(PYTHON))))
    return {
        function.name: frozenset(need[0] for need in needs(replace(plan, functions=(function,))))
        for function in plan.functions
    }


class _Recorder:
    """Reads what handlers append to the file they are told by ``KIT_RECORD``."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._read = 0
        file.touch()

    def environment(self) -> dict[str, str]:
        return {**service.ENVIRONMENT, "KIT_RECORD": str(self._file)}

    def take(self) -> tuple[Any, ...]:
        with self._file.open("rb") as file:
            file.seek(self._read)
            data = file.read()
        self._read += len(data)
        return tuple(json.loads(line) for line in data.splitlines())


class LocalKit:
    """The neutral delivery, which every target must equal; a context manager."""

    def __init__(self, folder: Path) -> None:
        self._recorder = _Recorder(folder / "record")
        manifest = service.write(folder / "project", service.document(PYTHON))
        self._plan = build_plan(load_manifest(manifest))
        self._runner = LocalRunner(self._plan, manifest.parent, self._recorder.environment())
        self._observed: dict[str, Observation] = {}

    def observe(self, case: Case) -> Observation:
        """Deliver *case*, once, and return what came of it."""
        if case.name not in self._observed:
            outcome = self._runner.deliver(self._plan.function(case.function), case.stimulus)
            self._observed[case.name] = Observation(outcome, self._recorder.take())
        return self._observed[case.name]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.close()


class Kit:
    """The service on one target; a context manager. Building happens in the constructor."""

    def __init__(self, target: str, folder: Path) -> None:
        self.adapter: Adapter = get_adapter(target)
        folder.mkdir(parents=True, exist_ok=True)
        offered = offers(self.adapter)
        self.functions = {
            name: spec
            for name, spec in service.FUNCTIONS.items()
            if requirements()[name] <= offered
        }
        self.manifest = service.write(folder / "project", service.document(PYTHON, self.functions))
        self.built: Built = build(self.manifest, [target])[0]
        self.plan: BuildPlan = build_plan(load_manifest(self.manifest), target)
        self._recorder = _Recorder(folder / "record")
        self.package = folder / "package"
        self._runner = PackageRunner(
            self.adapter,
            self.plan,
            self.built.package,
            self.built.deployment,
            self.package,
            self._recorder.environment(),
        )
        self._observed: dict[str, Observation] = {}
        self.logs: dict[str, str] = {}

    def supports(self, case: Case) -> bool:
        """Tell whether the target declares all that the case's function needs."""
        return case.function in self.functions

    def observe(self, case: Case) -> Observation:
        """Deliver *case*, once, and return what came of it."""
        from portafaas.adapter.neutral import outcome_to_json

        if case.name not in self._observed:
            delivery = self._runner.deliver(self.plan.function(case.function), case.stimulus)
            self.logs[case.name] = delivery.logs
            self._observed[case.name] = Observation(
                json.loads(json.dumps(outcome_to_json(delivery.outcome))), self._recorder.take()
            )
        return self._observed[case.name]

    @property
    def runner(self) -> PackageRunner:
        """The running package."""
        return self._runner

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.close()


def offers(adapter: Adapter) -> frozenset[Capability]:
    """Return the capabilities that *adapter* declares to support fully."""
    return frozenset(c for c in Capability if adapter.capabilities[c] is Support.FULL)


_DURATIONS = (Capability.ALERT_LATENCY, Capability.ALERT_OLDEST_MESSAGE)
_WATCHED = {"function": "on-minute", "queue": "jobs"}


def refused_manifest(capability: Capability) -> Mapping[str, Any]:
    """Return a manifest that needs *capability*; every capability has one."""
    document = service.document(PYTHON)
    if capability is Capability.ARCHITECTURE_ARM:
        return {**document, "architecture": "aarch64", "functions": _one("plain")}
    if capability is Capability.WORKFLOW:
        return {
            **document,
            "workflows": {"order": {"steps": {"end": {"succeed": True}}}},
            "functions": _one("plain"),
        }
    if capability.startswith("alert."):
        # Infrastructure alone: no function can show it.
        of = "queue" if capability is Capability.ALERT_OLDEST_MESSAGE else "function"
        threshold = {"threshold": "1s"} if capability in _DURATIONS else {}
        metric = {"metric": capability.partition(".")[2], of: _WATCHED[of], **threshold}
        return {
            **document,
            "functions": {**_one("plain"), **_one("on-minute")},
            "channels": {"operators": {"email": "operators@example.com"}},
            "alerts": {"watched": {**metric, "notify": ["operators"]}},
        }
    fitting = [name for name in service.FUNCTIONS if capability in requirements()[name]]
    return {**document, "functions": _one(fitting[0])}


def _one(name: str) -> dict[str, Any]:
    return {name: service.FUNCTIONS[name]}


def cases_of(adapter: Adapter) -> list[Case]:
    """Return the cases whose functions need nothing that *adapter* does not declare."""
    offered = offers(adapter)
    return [case for case in CASES if requirements()[case.function] <= offered]
