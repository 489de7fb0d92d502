"""Lambda functions of moto's, executed: a process of awslambdaric each, with the package from S3.

In the server's process only.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import sys
import threading
import time
import zipfile
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import boto3

from portafaas.vendor.contract import Requirements
from portafaas.vendor.environment import ensure_environment, find_interpreter
from portafaas_aws.vendor import AwsVendorSession, runtime
from tests.aws_cloud.world import ACCOUNT, World


@cache
def interpreter(version: str) -> Path:
    """Return a Python that has what Lambda's has: the runtime client, and boto3."""
    python = find_interpreter(version)
    if python is None:
        raise RuntimeError(f"no Python {version} here")
    pinned = runtime().requirements(version).pinned
    needs = Requirements((*pinned, f"boto3=={boto3.__version__}"))
    return ensure_environment("aws-cloud", needs, python)


class _Place:
    """One function's execution environment; it takes one invocation at a time."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.identity = ""
        self.session: AwsVendorSession | None = None
        self.stream = ""


class Functions:
    """Runs functions, cold at their first invocation and whenever code or settings change."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._guard = threading.Lock()
        self._places: dict[str, _Place] = {}
        self._packages: dict[str, Path] = {}
        self._root = Path(mkdtemp(prefix="aws-cloud-"))

    def invoke(self, function: Any, event: Any, reason: str) -> tuple[bool, Any]:
        """Return whether *function*, moto's object, succeeded, and its answer or error document."""
        name = function.function_name
        with self._guard:
            place = self._places.setdefault(function.function_arn, _Place())
        with self._world.busy(f"{name} runs ({reason})"), place.lock:
            session = self._ready(place, function)
            result = session.invoke(event, timeout=float(function.timeout))
            self._log(place, function, result.logs)
            self._world.invocations.append(
                {
                    "function": name,
                    "reason": reason,
                    "event": event,
                    "ok": result.ok,
                    "value": result.value,
                    "log": result.logs,
                    "time": time.time(),
                }
            )
            return result.ok, result.value

    def _ready(self, place: _Place, function: Any) -> AwsVendorSession:
        variables = {name: str(value) for name, value in (function.environment_vars or {}).items()}
        facts = [function.code_sha_256, function.handler, function.timeout, variables]
        facts += [function.memory_size, function.run_time, function.role]
        identity = json.dumps(facts, sort_keys=True)
        if place.session is not None and place.identity == identity:
            return place.session
        if place.session is not None:
            place.session.close()
            place.session = None
        name, region = function.function_name, function.region
        version = function.run_time.removeprefix("python")
        place.session = runtime().start(
            self._unpacked(function.code_bytes),
            entry=function.handler,
            function=name,
            python=interpreter(version),
            env={
                **variables,
                "AWS_ACCESS_KEY_ID": self._world.key_of(name),
                "AWS_SECRET_ACCESS_KEY": "secret",
                "AWS_SESSION_TOKEN": "token",
                "AWS_ENDPOINT_URL": self._world.endpoint,
            },
            timeout=float(function.timeout),
            memory=int(function.memory_size),
            settings={"region": region, "account": ACCOUNT},
        )
        place.identity = identity
        place.stream = ""
        return place.session

    def _unpacked(self, package: bytes) -> Path:
        if not package:
            raise RuntimeError("the function has no package: is it in the bucket?")
        digest = hashlib.sha256(package).hexdigest()
        with self._guard:
            found = self._packages.get(digest)
            if found is None:
                found = self._packages[digest] = self._root / digest[:16]
                with zipfile.ZipFile(io.BytesIO(package)) as archive:
                    archive.extractall(found)
            return found

    def _log(self, place: _Place, function: Any, text: str) -> None:
        """Write to the function's log with the function's role, as Lambda does."""
        name = function.function_name
        logs = self._world.client("logs", function.region, name)
        group = f"/aws/lambda/{name}"
        try:
            if not place.stream:
                stream = f"[$LATEST]{hashlib.sha256(str(time.time_ns()).encode()).hexdigest()[:32]}"
                logs.create_log_stream(logGroupName=group, logStreamName=stream)
                place.stream = stream
            now = round(time.time() * 1000)
            lines = [line for line in text.split("\n") if line] or ["REPORT"]
            logs.put_log_events(
                logGroupName=group,
                logStreamName=place.stream,
                logEvents=[{"timestamp": now, "message": line[:200_000]} for line in lines],
            )
        except logs.exceptions.ClientError as exc:
            # Without a group or the right to write there is no log; the function runs all the same.
            print(f"no log of {name}: {exc}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """End all processes and remove what was unpacked."""
        for place in self._places.values():
            if place.session is not None:
                place.session.close()
        shutil.rmtree(self._root, ignore_errors=True)
