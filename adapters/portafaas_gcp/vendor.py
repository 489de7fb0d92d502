"""Run a Cloud Run functions package in Google's own ``functions-framework``. Build time only."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from portafaas.vendor import NativeError, NativeResult, Requirements
from portafaas.vendor.environment import installed_version
from portafaas.vendor.process import Child, Clock
from portafaas.vendor.session import ProcessSession
from portafaas_gcp.vendor_http import ConnectionLost, exchange, is_listening, reserve_port

# What Google's buildpack installs when a function names no version itself, and all of its needs.
# https://github.com/GoogleCloudPlatform/buildpacks/tree/main/cmd/python/functions_framework
_PINNED = (
    "functions-framework==3.10.2",
    "anyio==4.16.0",
    "blinker==1.9.0",
    "click==8.5.1",
    "cloudevents==1.12.0",
    "deprecation==2.1.0",
    "flask==3.1.3",
    "gunicorn==27.0.1",
    "h11==0.16.0",
    "idna==3.20",
    "itsdangerous==2.2.0",
    "jinja2==3.1.6",
    "markupsafe==3.0.4",
    "packaging==26.3",
    "typing-extensions==4.16.0",
    "uvicorn==0.54.0",
    "uvicorn-worker==0.4.0",
    "werkzeug==3.1.9",
)
_PINNED_NEW = ("starlette==1.10.0", "watchdog==7.1.0")
# The last that run on 3.10.
_PINNED_310 = ("starlette==1.7.0", "watchdog==6.0.0", "exceptiongroup==1.3.1")

# Cloud Run waits 4 minutes for a container to listen; nothing local needs as much.
_INIT_SECONDS = 60.0
# The messages that Cloud Run logs. https://docs.cloud.google.com/run/docs/troubleshooting
_TIMED_OUT = "The request has been terminated because it has reached the maximum request timeout."
_LOST = (
    "The request failed because either the HTTP response was malformed or connection to the "
    "instance had an error."
)
_TRACEBACK = "Traceback (most recent call last):\n"
# The last line of a traceback: a name in dots, then the text.
_RAISED = re.compile(r"^([A-Za-z_][\w.]*)(?:: (.*))?$", re.MULTILINE)


class GcpVendorRuntime:
    """The ``portafaas.vendor.VendorRuntime`` of Cloud Run functions."""

    def requirements(self, python: str) -> Requirements:
        """Return the pinned wheels for *python*."""
        return Requirements(_PINNED + (_PINNED_310 if python == "3.10" else _PINNED_NEW))

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
    ) -> GcpVendorSession:
        """Start ``functions-framework`` on *package*'s ``main.py``; *entry* is FUNCTION_TARGET.

        Settings: ``init_timeout`` in seconds; ``signature`` (``http``, ``cloudevent``, ``event``),
        by default ``http``; ``threads`` and ``workers`` of gunicorn, by default the framework's (4
        threads per processor, 1 worker; 1 thread means gunicorn's ``sync`` worker); and
        ``concurrency``, the most requests sent at a time, by default all.
        """
        given = {"THREADS": settings.get("threads"), "WORKERS": settings.get("workers")}
        counts = {name: str(int(value)) for name, value in given.items() if value is not None}
        variables = _environment(entry, function, str(settings.get("signature", "http")))
        return GcpVendorSession(
            package.absolute(),
            function=function,
            python=python.absolute(),
            env=variables | counts | dict(env),
            timeout=timeout,
            init_timeout=float(settings.get("init_timeout", _INIT_SECONDS)),
            concurrency=int(settings.get("concurrency", 0)),
        )


def _environment(entry: str, function: str, signature: str) -> dict[str, str]:
    """Return the variables that Cloud Run, the function's deployment and the buildpack define.

    https://docs.cloud.google.com/run/docs/container-contract#env-vars
    https://docs.cloud.google.com/run/docs/configuring/services/environment-variables
    https://github.com/GoogleCloudPlatform/buildpacks/blob/main/cmd/python/runtime/lib/lib.go
    """
    return {
        "PATH": "/layers/google.python.runtime/python/bin:/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "TRUE",
        "K_SERVICE": function,
        "K_REVISION": f"{function}-00001-abc",
        "K_CONFIGURATION": function,
        "FUNCTION_TARGET": entry,
        "FUNCTION_SIGNATURE_TYPE": signature,
    }


class GcpVendorSession(ProcessSession):
    """One instance of a function: gunicorn's master and its workers on 127.0.0.1.

    Any response of the function is ok.
    """

    def __init__(
        self,
        package: Path,
        *,
        function: str,
        python: Path,
        env: Mapping[str, str],
        timeout: float,
        init_timeout: float,
        concurrency: int,
    ) -> None:
        super().__init__(package, function, python, timeout, init_timeout)
        self._concurrency = concurrency
        # Gunicorn keeps a control socket in the home folder.
        self._home = tempfile.TemporaryDirectory(prefix="portafaas-")
        self._port, self._reserved = reserve_port()
        # PORT and HOST decide where the framework listens: not a caller's to change.
        own = {"PORT": str(self._port), "HOST": "127.0.0.1"}
        self._env = {"HOME": self._home.name, **env, **own}
        self._open()

    def invoke_many(
        self,
        requests: Sequence[Mapping[str, Any]],
        *,
        function: str | None = None,
        timeout: float | None = None,
    ) -> tuple[NativeResult, ...]:
        """Send all *requests* at once, or ``concurrency`` at a time; *timeout* is for each."""
        self._refuse_other(function)
        seconds = self._timeout if timeout is None else timeout
        child, start, failure = self._awake()
        if failure is not None:
            result = NativeResult(False, None, failure, 0.0, child.log(start))
            self._stop()
            return tuple(result for _ in requests)

        def deliver(request: Mapping[str, Any]) -> NativeResult:
            return self._deliver(child, request, seconds, start)

        if len(requests) == 1:
            results = [deliver(requests[0])]
        elif requests:
            with ThreadPoolExecutor(self._concurrency or len(requests)) as pool:
                results = list(pool.map(deliver, requests))
        else:
            results = []
        if any(result.error and result.error.kind != "handler" for result in results):
            self._stop()
        return tuple(results)

    def describe(self) -> dict[str, Any]:
        """Return versions and how the last start went."""
        gunicorn = installed_version(self._python, "gunicorn")
        return {**self._facts("functions-framework"), "server": f"gunicorn {gunicorn}"}

    def close(self) -> None:
        """Kill gunicorn, which takes 0.4 s to end itself, and free the port and the folder."""
        super().close()
        self._reserved.close()
        self._home.cleanup()

    def _launch(self, clock: Clock) -> tuple[Child, NativeError | None]:
        # The framework imports the function before it listens: an import error ends the process.
        # A killed worker may hold the port for a moment longer than its master.
        while is_listening(self._port) and clock.left():
            time.sleep(0.002)
        # The script, as in production: "-m" would put the package in front of the import path.
        # -B: the buildpack compiles what is imported, and a build's output must not change here.
        script = self._python.with_name("functions-framework")
        child = self._run(self._python, "-B", script, env=self._env)
        status = child.wait(0.1)
        while status is None and clock.left() and not is_listening(self._port):
            status = child.wait(0.005)
        if status is not None:
            text = f"the container exited with status {status}"
            error = _raised("init", child.log())
            return child, error or NativeError("init", "ContainerExit", text, child.log())
        if clock.left():
            return child, None
        text = f"not listening on PORT after {self._init_timeout:.2f} seconds"
        return child, NativeError("init", "ContainerStartTimeout", text, child.log())

    def _deliver(
        self, child: Child, request: Mapping[str, Any], seconds: float, start: int
    ) -> NativeResult:
        clock = Clock(seconds)
        value: dict[str, Any] | None = None
        error: NativeError | None = None
        try:
            value = exchange(self._port, request, clock)
        except TimeoutError:
            error = NativeError("timeout", "RequestTimeout", _TIMED_OUT)
        except ConnectionLost as exc:
            error = NativeError("exit", "ConnectionLost", f"{_LOST} ({exc})")
        elapsed, log = clock.elapsed_ms(), child.log(start)
        if value and _has_crashed(value):
            error = _raised("handler", log) or NativeError("handler", "", "")
        return NativeResult(error is None, value, error, elapsed, log)


def _has_crashed(response: Mapping[str, Any]) -> bool:
    """Tell whether the function raised: a 500 by the framework, or by gunicorn (SystemExit)."""
    headers = {name.lower(): text for name, text in response["headers"]}
    by_gunicorn = response["status"] == 500 and "server" not in headers
    return headers.get("x-google-status") == "crash" or by_gunicorn


def _raised(kind: Any, log: str) -> NativeError | None:
    """Return the error of the last traceback in *log*: the framework reports it nowhere else."""
    _, found, stack = log.rpartition(_TRACEBACK)
    last = _RAISED.search(stack) if found else None
    if last is None:
        return None
    return NativeError(kind, last[1].rpartition(".")[2], last[2] or "", found + stack)


def runtime() -> GcpVendorRuntime:
    """Return the target's vendor runtime; the adapter's contract."""
    return GcpVendorRuntime()
