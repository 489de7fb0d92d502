"""One service of bad handlers, built for every target and run in the vendors' runtimes."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from portafaas.adapter import HttpStimulus, Stimulus
from portafaas.adapter.neutral import outcome_to_json
from portafaas.errors import InvocationError
from portafaas.invocation import LocalRunner, PackageRunner
from portafaas.manifest.load import load_manifest
from portafaas.pipeline import Built, build
from portafaas.plan import BuildPlan
from portafaas.plan.build import build_plan
from portafaas.registry import get_adapter
from portafaas.vendor import NativeResult

TARGETS = ("aws", "azure", "gcp")
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"


def _http(handler: str, path: str, **settings: Any) -> dict[str, Any]:
    trigger = {"http": {"method": "ANY", "path": path}}
    return {"handler": f"bad.{handler}", "trigger": trigger, "timeout": "1s", **settings}


def _event(handler: str, **trigger: Any) -> dict[str, Any]:
    return {"handler": f"bad.{handler}", "trigger": trigger, "timeout": "1s"}


MANIFEST: Mapping[str, Any] = {
    "portafaas": 1,
    "name": "robustness",
    "python": PYTHON,
    "functions": {
        "act": _http("web:Act", "/act/{what}"),
        "act-many": _http("web:Act", "/many/{what}", concurrency=4),
        "async-act": _http("web:AsyncAct", "/async/{what}"),
        "read": _http("web:read", "/read"),
        "import-web": _http("fragile_import:handle", "/import"),
        "construct-web": _http("fragile:Construct", "/construct"),
        "init-web": _http("fragile:Init", "/init"),
        "async-init-web": _http("fragile:AsyncInit", "/async-init"),
        "import-work": _event("fragile_import:work", queue={"name": "imports"}),
        "construct-work": _event("fragile:Construct", queue={"name": "constructs"}),
        "init-work": _event("fragile:Init", topic={"name": "inits"}),
        "web": _http("work:web", "/web"),
        "queue": _event("work:note", queue={"name": "jobs", "batch": 5}),
        "ordered": _event("work:note", queue={"name": "steps"}),
        "topic": _event("work:note", topic={"name": "news"}),
        "object": _event("work:note", object={"bucket": "files", "on": ["created", "deleted"]}),
        "table": _event("work:note", table={"name": "rows"}),
        "schedule": _event("work:note", schedule={"cron": "*/5 * * * *"}),
    },
    "queues": {"jobs": {}, "imports": {}, "constructs": {}, "steps": {"ordered": True}},
    "topics": {"news": {}, "inits": {}},
    "buckets": {"files": {}},
    "tables": {"rows": {"key": "id"}},
}


@dataclass
class Answer:
    """What came of one delivery; ``seconds`` is what the caller waited."""

    outcome: dict[str, Any]
    logs: str
    seconds: float
    results: tuple[NativeResult, ...] = field(default=())


class Service:
    """The service on one target."""

    def __init__(self, target: str, built: Built, manifest: Path, folder: Path) -> None:
        self.target = target
        self.adapter = get_adapter(target)
        self.plan: BuildPlan = build_plan(load_manifest(manifest), target)
        self.flags = folder / "flags"
        self.flags.mkdir(parents=True)
        self.runner = PackageRunner(
            self.adapter,
            self.plan,
            built.package,
            built.deployment,
            folder / "package",
            {"ROBUST_FLAGS": str(self.flags)},
        )

    def deliver(self, function: str, stimulus: Stimulus) -> Answer:
        begun = time.monotonic()
        delivery = self.runner.deliver(self.plan.function(function), stimulus)
        seconds = time.monotonic() - begun
        outcome = json.loads(json.dumps(outcome_to_json(delivery.outcome)))
        return Answer(outcome, delivery.logs, seconds, delivery.results)

    def native(self, function: str, payload: Any) -> NativeResult:
        return self.runner.native(self.plan.function(function), payload)

    def end(self, function: str) -> None:
        """End the function's instance, so that the next invocation is its first."""
        session = self.runner._sessions.pop(function, None)
        if session is not None:
            session.close()


class Neutral:
    """The service on this machine, without a platform."""

    def __init__(self, manifest: Path, folder: Path) -> None:
        self.plan = build_plan(load_manifest(manifest))
        self.flags = folder / "flags"
        self.flags.mkdir(parents=True)
        self.runner = LocalRunner(
            self.plan, manifest.parent, {"ROBUST_FLAGS": str(self.flags)}
        )

    def deliver(self, function: str, stimulus: Stimulus) -> dict[str, Any]:
        try:
            return self.runner.deliver(self.plan.function(function), stimulus)
        except InvocationError:
            return {"ended": True}


@pytest.fixture(scope="session")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = tmp_path_factory.mktemp("robustness") / "project"
    source = Path(__file__).with_name("project")
    shutil.copytree(source, project, ignore=shutil.ignore_patterns("__pycache__"))
    file = project / "portafaas.yaml"
    file.write_text(json.dumps(MANIFEST, indent=2), encoding="utf-8")
    return file


@pytest.fixture(scope="session")
def services(
    manifest: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, Service]]:
    with ExitStack() as stack:
        found = {}
        for built in build(manifest, TARGETS):
            folder = tmp_path_factory.mktemp(f"robustness-{built.target}")
            found[built.target] = Service(built.target, built, manifest, folder)
            stack.callback(found[built.target].runner.close)
        yield found


@pytest.fixture(params=TARGETS)
def service(request: pytest.FixtureRequest, services: Mapping[str, Service]) -> Service:
    found: Service = services[request.param]
    return found


@pytest.fixture(scope="session")
def neutral(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Neutral]:
    found = Neutral(manifest, tmp_path_factory.mktemp("robustness-local"))
    yield found
    found.runner.close()


@pytest.fixture(scope="session")
def ask() -> Callable[..., HttpStimulus]:
    """Return a function that makes a request for ``act`` and its like."""

    def make(path: str, body: bytes = b"", **more: Any) -> HttpStimulus:
        headers = (("content-type", "application/json"),) if body else ()
        return HttpStimulus("POST" if body else "GET", path, "", headers, body, **more)

    return make
