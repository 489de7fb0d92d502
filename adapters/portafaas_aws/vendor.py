"""Run a Lambda package in AWS's own runtime interface client, ``awslambdaric``. Build time only."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from portafaas.vendor.contract import NativeError, NativeResult, Requirements
from portafaas.vendor.environment import python_version
from portafaas.vendor.process import Child, Clock
from portafaas.vendor.session import ProcessSession
from portafaas_aws.vendor_api import RuntimeApi
from portafaas_aws.vendor_reply import (
    TOO_LARGE,
    error_document,
    read_error,
    read_reply,
    status_text,
)

# awslambdaric is what AWS's managed Python runtimes and base images run; wheels for cp310-cp314.
# Its sdist compiles libcurl for minutes: the environment installs wheels only.
_PINNED = ("awslambdaric==4.2.2", "simplejson==4.3.0", "snapshot-restore-py==1.0.0")

_REGION = "us-east-1"
# Lambda gives the init phase 10 s.
# https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
_INIT_SECONDS = 10.0


class AwsVendorRuntime:
    """The ``portafaas.vendor.VendorRuntime`` of AWS Lambda."""

    def requirements(self, python: str) -> Requirements:
        """Return the pinned wheels; the same for every Python version."""
        return Requirements(_PINNED)

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
    ) -> AwsVendorSession:
        """Start ``python -m awslambdaric <entry>`` in *package*; see the contract.

        Settings: ``init_timeout`` in seconds, ``region``, ``account``.
        """
        region = str(settings.get("region", _REGION))
        account = str(settings.get("account", "000000000000"))
        variables = _environment(package.absolute(), entry, function, memory, region)
        # The runtime client polls from a second thread in 3.12 and later, as this tells it.
        variables["AWS_EXECUTION_ENV"] = f"AWS_Lambda_python{python_version(python.absolute())}"
        return AwsVendorSession(
            package.absolute(),
            entry=entry,
            python=python.absolute(),
            env=variables | dict(env),
            timeout=timeout,
            init_timeout=float(settings.get("init_timeout", _INIT_SECONDS)),
            arn=f"arn:aws:lambda:{region}:{account}:function:{function}",
        )


def _environment(
    package: Path, entry: str, function: str, memory: int, region: str
) -> dict[str, str]:
    """Return the variables that Lambda defines, and no other.

    https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
    """
    root = str(package)
    libraries = ("/var/lang/lib", "/lib64", "/usr/lib64", "/var/runtime", "/var/runtime/lib")
    return {
        "PATH": "/var/lang/bin:/usr/local/bin:/usr/bin:/bin:/opt/bin",
        "LD_LIBRARY_PATH": ":".join([*libraries, root, f"{root}/lib", "/opt/lib"]),
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "LAMBDA_TASK_ROOT": root,
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "_HANDLER": entry,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_LAMBDA_FUNCTION_NAME": function,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(memory),
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function}",
        "AWS_LAMBDA_LOG_STREAM_NAME": "local",
        # The role's credentials on Lambda; here they keep an SDK from finding the developer's.
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_SESSION_TOKEN": "local",
    }


class AwsVendorSession(ProcessSession):
    """One execution environment of one function; invocations run one after another."""

    def __init__(
        self,
        package: Path,
        *,
        entry: str,
        python: Path,
        env: Mapping[str, str],
        timeout: float,
        init_timeout: float,
        arn: str,
    ) -> None:
        super().__init__(package, arn.rpartition(":")[2], python, timeout, init_timeout)
        self._entry = entry
        self._arn = arn
        self._api = RuntimeApi()
        self._env = {"AWS_LAMBDA_RUNTIME_API": self._api.address, **env}
        self._open()

    def invoke(
        self,
        request: Mapping[str, Any],
        *,
        function: str | None = None,
        timeout: float | None = None,
    ) -> NativeResult:
        """Deliver one Lambda event; see the contract."""
        self._refuse_other(function)
        seconds = self._timeout if timeout is None else timeout
        body = json.dumps(request, ensure_ascii=False).encode()
        child, start, failure = self._awake()
        clock = Clock(seconds)
        request_id = str(uuid.uuid4())
        document: Any = None
        if failure is None and self._deliver(child, request_id, body, seconds):
            reply = self._api.reply
            assert reply is not None
            failure, document = read_reply(reply.kind, reply.body)
        elif failure is None:
            failure = self._lost(child, request_id, seconds)
        refused = failure is not None and failure.type == TOO_LARGE
        if refused:
            # The runtime gives up when its response is refused.
            self._api.serve(lambda: False, child, Clock(1.0))
        if failure is not None and document is None:
            document = error_document(failure, request_id)
        result = NativeResult(
            failure is None, document, failure, clock.elapsed_ms(), child.log(start)
        )
        if failure is not None and (refused or failure.kind != "handler"):
            self._stop()
        return result

    def invoke_many(
        self,
        requests: Sequence[Mapping[str, Any]],
        *,
        function: str | None = None,
        timeout: float | None = None,
    ) -> tuple[NativeResult, ...]:
        """Deliver events one after another, as one execution environment does."""
        return tuple(
            self.invoke(request, function=function, timeout=timeout) for request in requests
        )

    def describe(self) -> dict[str, Any]:
        """Return the runtime's version and how the last start went."""
        return {**self._facts("awslambdaric"), "arn": self._arn}

    def close(self) -> None:
        """Kill the runtime and close the API."""
        super().close()
        self._api.close()

    def _release(self) -> None:
        self._api.reset()

    def _launch(self, clock: Clock) -> tuple[Child, NativeError | None]:
        # /var/task is read-only on Lambda, so Python writes no bytecode there: hence -B.
        child = self._run(self._python, "-B", "-m", "awslambdaric", self._entry, env=self._env)
        api = self._api
        ready = api.serve(lambda: api.is_polled() or api.init_error is not None, child, clock)
        if api.init_error is not None:
            child.wait(1.0)
            return child, read_error("init", api.init_error)
        if ready:
            return child, None
        status = child.exit_status()
        if status is None:
            text = f"init timed out after {self._init_timeout:.2f} seconds"
            return child, NativeError("init", "Sandbox.Timedout", text)
        text = f"Runtime exited with error: {status_text(status)}"
        return child, NativeError("init", "Runtime.ExitError", text, child.log())

    def _deliver(self, child: Child, request_id: str, body: bytes, seconds: float) -> bool:
        """Return whether the runtime answered in time."""
        api, clock = self._api, Clock(seconds)
        if not api.serve(api.is_polled, child, clock):
            return False
        # https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html#runtimes-api-next
        now = time.time()
        trace = f"Root=1-{int(now):08x}-{os.urandom(12).hex()};Parent={os.urandom(8).hex()}"
        headers = {
            "Content-Type": "application/json",
            "Lambda-Runtime-Aws-Request-Id": request_id,
            "Lambda-Runtime-Deadline-Ms": str(int((now + seconds) * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": self._arn,
            "Lambda-Runtime-Trace-Id": f"{trace};Sampled=0",
        }
        api.dispatch(request_id, headers, body)
        return api.serve(lambda: api.reply is not None, child, clock)

    def _lost(self, child: Child, request_id: str, seconds: float) -> NativeError:
        # A runtime that closed its connections is about to end.
        status = child.exit_status()
        if status is None:
            text = f"{request_id} Task timed out after {seconds:.2f} seconds"
            return NativeError("timeout", "Sandbox.Timedout", text)
        text = f"RequestId: {request_id} Error: Runtime exited with error: {status_text(status)}"
        return NativeError("exit", "Runtime.ExitError", text)


def runtime() -> AwsVendorRuntime:
    """Return the target's vendor runtime; the adapter's contract."""
    return AwsVendorRuntime()
