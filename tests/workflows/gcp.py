"""Runs workflows on Google's target: ``gcp_engine.py`` with tasks on the real functions-framework."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from portafaas.plan import BuildPlan
from portafaas.vendor import Requirements
from portafaas.vendor.environment import ensure_environment
from portafaas_gcp.workflows import source

PARENT = "projects/project-1/locations/europe-west1/workflows"
#: workflows-emulator, and of its dependencies what running a source needs.
PINNED = (
    "addict==2.4.0",
    "google-auth==2.62.2",
    "google-re2==1.1.20251105",
    "jinja2==3.1.6",
    "jsonschema==4.26.0",
    "pyyaml==6.0.3",
    "requests==2.34.2",
    "typeguard==4.6.1",
)


class Engine:
    """The emulator's process, and the Workflow Executions API that it serves at ``url``."""

    def __init__(self) -> None:
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        wanted = Requirements(PINNED, ("workflows-emulator==1.10.0",), version)
        python = ensure_environment("workflows-emulator", wanted, Path(sys.executable))
        script = Path(__file__).with_name("gcp_engine.py")
        self._process = subprocess.Popen(
            [python, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}/"

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()

    def call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content)
            response = connection.getresponse()
            found: dict[str, Any] = json.loads(response.read())
            assert response.status == 200, found
            return found
        finally:
            connection.close()

    def deploy(self, name: str, made: Mapping[str, Any]) -> None:
        """Give the emulator a source."""
        self.call("PUT", f"/source/{name}", made)

    def run(
        self,
        name: str,
        input: Any,
        signals: Mapping[str, tuple[float, Any]] | None = None,
        clock: str = "wait",
    ) -> dict[str, Any]:
        """Run a workflow and return its outcome; sleeping takes no time unless *clock* is real."""
        labels = {"clock": clock, "large": True, "signals": dict(signals or {})}
        body = {"argument": json.dumps({"input": input}), "labels": labels}
        found = self.call("POST", f"/v1/{PARENT}/{name}/executions", body)
        if found["state"] == "WAITING":
            return {}
        if found["state"] == "SUCCEEDED":
            return {"ok": json.loads(found["result"])}
        error: dict[str, Any] = json.loads(found["error"]["payload"])
        return error


class Functions:
    """Task functions of a package, each a functions-framework that starts at its first use."""

    def __init__(
        self, package: Path, plan: BuildPlan, python: Path, env: Mapping[str, str]
    ) -> None:
        from portafaas_gcp.lowering import lower
        from portafaas_gcp.vendor import runtime

        self.plan = plan
        self._sessions: dict[str, Any] = {}
        # Threads stand in for the instances that the platform starts.
        for function, deployment in zip(plan.functions, lower(plan).deployments, strict=True):
            self._sessions[function.name] = runtime().start(
                package, entry=deployment.entry, function=function.name, python=python,
                env={**deployment.environment, **env, "THREADS": "16"}, timeout=30, memory=256,
                settings={},
            )  # fmt: skip

    def url(self, function: str) -> str:
        """Return the address of a function, which listens there."""
        session = self._sessions[function]
        session._awake()
        return f"http://127.0.0.1:{session._port}"

    def close(self) -> None:
        for session in self._sessions.values():
            session.close()


def deploy(engine: Engine, plan: BuildPlan, name: str, functions: Functions) -> dict[str, Any]:
    """Deploy one workflow of *plan* to *engine*; return its source."""
    made = source(plan, plan.workflow(name), functions.url)
    engine.deploy(name, made)
    return made


def eventually(what: Any, seconds: float = 10.0) -> Any:
    """Return what *what* returns once that is true."""
    end = time.monotonic() + seconds
    while True:
        found = what()
        if found:
            return found
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)
