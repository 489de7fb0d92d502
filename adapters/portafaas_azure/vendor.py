"""Run an Azure Functions package in Microsoft's ``azure-functions-runtime``. Build time only."""

from __future__ import annotations

import json
import select
import socket
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from portafaas.vendor.contract import (
    NativeError,
    NativeResult,
    Requirements,
    VendorRuntimeError,
)
from portafaas.vendor.environment import installed_version
from portafaas.vendor.process import Child, Clock
from portafaas.vendor.session import ProcessSession

# The runtime is the library that the platform's worker for Python 3.13 and later calls; pure
# Python. Microsoft runs another worker on 3.11 and 3.12, which is on no registry; the library
# serves the same programming model there, but Microsoft does not support it: hence "forced".
_RUNTIME = "azure-functions-runtime==1.3.0"
_SHARED = ("azurefunctions-extensions-base==1.2.0", "werkzeug==3.1.9", "markupsafe==3.0.4")
# azure-functions 2.x needs Python 3.13.
_SDK_OLD, _SDK_NEW = "azure-functions==1.26.0", "azure-functions==2.3.0"

_DRIVER = Path(__file__).with_name("vendor_driver.py")
_CHUNK = 1 << 16
_INIT_SECONDS = 60.0


class AzureVendorRuntime:
    """The ``portafaas.vendor.VendorRuntime`` of Azure Functions."""

    def requirements(self, python: str) -> Requirements:
        """Return the pinned packages for *python*; the runtime is forced below 3.13."""
        major, minor = (int(part) for part in python.split(".")[:2])
        if (major, minor) >= (3, 13):
            return Requirements((_RUNTIME, _SDK_NEW, *_SHARED))
        return Requirements((_SDK_OLD, *_SHARED), forced=(_RUNTIME,), forced_python="3.13")

    def start(
        self,
        package: Path,
        *,
        entry: str,
        function: str,
        python: Path,
        env: Mapping[str, str],
        timeout: float,
        memory: int,
        settings: Mapping[str, Any],
    ) -> AzureVendorSession:
        """Start a worker with the app in *package*; *entry* is the default function of requests.

        *function* is the name of the app. Settings: ``init_timeout`` in seconds.
        """
        root = package.absolute()
        return AzureVendorSession(
            root,
            entry=entry,
            python=python.absolute(),
            env=_environment(root, function) | dict(env),
            timeout=timeout,
            init_timeout=float(settings.get("init_timeout", _INIT_SECONDS)),
        )


def _environment(package: Path, app: str) -> dict[str, str]:
    """Return the variables that the platform defines for a worker.

    https://learn.microsoft.com/azure/azure-functions/functions-app-settings
    """
    return {
        "PATH": "/opt/python/bin:/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "HOME": str(package.parent),
        "FUNCTIONS_EXTENSION_VERSION": "~4",
        "FUNCTIONS_WORKER_RUNTIME": "python",
        "AzureWebJobsScriptRoot": str(package),
        "AZURE_FUNCTIONS_ENVIRONMENT": "Production",
        "WEBSITE_SITE_NAME": app,
        "WEBSITE_HOSTNAME": f"{app}.azurewebsites.net",
        "WEBSITE_INSTANCE_ID": "local",
    }


class AzureVendorSession(ProcessSession):
    """One worker process that serves all functions of an app."""

    def __init__(
        self,
        package: Path,
        *,
        entry: str,
        python: Path,
        env: Mapping[str, str],
        timeout: float,
        init_timeout: float,
    ) -> None:
        super().__init__(package, entry, python, timeout, init_timeout)
        self._env = env
        self._channel: socket.socket | None = None
        self._received = bytearray()
        self._functions: dict[str, Any] = {}
        self._open()

    def invoke_many(
        self,
        requests: Sequence[Mapping[str, Any]],
        *,
        function: str | None = None,
        timeout: float | None = None,
    ) -> tuple[NativeResult, ...]:
        """Deliver all *requests* at once; when time runs out, all that are unfinished fail."""
        seconds = self._timeout if timeout is None else timeout
        child, start, failure = self._awake()
        clock = Clock(seconds)
        if failure is not None:
            result = NativeResult(False, None, failure, clock.elapsed_ms(), child.log(start))
            self._stop()
            return tuple(result for _ in requests)
        name = self._function if function is None else function
        if name not in self._functions:
            known = ", ".join(sorted(self._functions)) or "none"
            raise VendorRuntimeError("PF6004", f"no function {name!r} in this app; it has: {known}")
        ids = [str(uuid.uuid4()) for _ in requests]
        lines = [
            json.dumps({"id": one, "function": name, "request": request}).encode() + b"\n"
            for one, request in zip(ids, requests, strict=True)
        ]
        results: dict[str, NativeResult] = {}
        pending = memoryview(b"".join(lines))
        closed = False
        while len(results) < len(ids) and clock.left():
            pending, answers = self._exchange(pending, clock.left())
            if answers is None:
                closed = True
                break
            for answer in answers:
                results[answer["id"]] = NativeResult(
                    answer["ok"],
                    answer["value"],
                    None if answer["ok"] else _error("handler", answer["error"]),
                    clock.elapsed_ms(),
                    child.log(start),
                    answer["outputs"],
                )
        if len(results) < len(ids):
            lost = _lost(child, closed, seconds)
            result = NativeResult(False, None, lost, clock.elapsed_ms(), child.log(start))
            results = {one: results.get(one, result) for one in ids}
            self._stop()
        return tuple(results[one] for one in ids)

    def describe(self) -> dict[str, Any]:
        """Return versions and the functions that the worker has indexed, with raw bindings."""
        return {
            **self._facts("azure-functions-runtime"),
            "sdk": installed_version(self._python, "azure-functions"),
            "functions": self._functions,
        }

    def _release(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        self._received.clear()

    def _launch(self, clock: Clock) -> tuple[Child, NativeError | None]:
        self._channel, theirs = socket.socketpair()
        with theirs:
            # The platform mounts a package read-only, so Python writes no bytecode there: -B.
            fd = theirs.fileno()
            command = (self._python, "-B", _DRIVER, self._package, str(fd))
            child = self._run(*command, env=self._env, pass_fds=(fd,))
        self._channel.setblocking(False)
        self._functions = {}
        answers: list[Any] | None = []
        while answers == [] and clock.left():
            _, answers = self._exchange(memoryview(b""), clock.left())
        if answers:
            self._functions = answers[0].get("functions", {})
            error = answers[0].get("error")
            return child, None if error is None else _error("init", error)
        if answers is None:
            text = f"the worker exited with status {child.wait(1.0)}"
            return child, NativeError("init", "WorkerProcessExit", text, child.log())
        text = f"the worker was not ready after {self._init_timeout:.2f} seconds"
        return child, NativeError("init", "WorkerInitTimeout", text, child.log())

    def _exchange(self, pending: memoryview, seconds: float) -> tuple[memoryview, list[Any] | None]:
        """Write some of *pending* and read some answers; None for them once the worker is gone."""
        channel = self._channel
        assert channel is not None
        readable, writable, _ = select.select([channel], [channel] if pending else [], [], seconds)
        try:
            if writable:
                pending = pending[channel.send(pending[:_CHUNK]) :]
            if not readable:
                return pending, []
            data = channel.recv(_CHUNK)
        except OSError:
            return pending, None
        if not data:
            return pending, None
        self._received += data
        if b"\n" not in data:
            return pending, []
        *lines, rest = bytes(self._received).split(b"\n")
        self._received[:] = rest
        return pending, [json.loads(line) for line in lines]


def _error(kind: Any, error: Mapping[str, str]) -> NativeError:
    # The runtime reports "ValueError: text".
    name, separator, text = error["message"].partition(": ")
    if not separator:
        name, text = "", error["message"]
    return NativeError(kind, name, text, error["stack"])


def _lost(child: Child, closed: bool, seconds: float) -> NativeError:
    # A worker that closed its channel is about to end.
    status = child.wait(1.0) if closed else child.exit_status()
    if status is None and not closed:
        text = f"timeout value of {seconds:.2f} seconds was exceeded"
        return NativeError("timeout", "FunctionTimeoutException", text)
    return NativeError("exit", "WorkerProcessExit", f"the worker exited with status {status}")


def runtime() -> AzureVendorRuntime:
    """Return the target's vendor runtime; the adapter's contract."""
    return AzureVendorRuntime()
