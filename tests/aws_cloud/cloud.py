"""The tests' side of the local AWS: start it, deploy to it with boto3, and ask what went on."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any, Self
from urllib.parse import urlsplit

from portafaas.vendor.environment import cache_folder
from tests.aws_cloud.permissions import Call, Grant, Policy

REGION = "eu-central-1"
ACCOUNT = "123456789012"
_ROOT = Path(__file__).parents[2]


def _server_environment() -> dict[str, str]:
    """Return the environment of the server: it may keep moto's bytecode, which takes seconds."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    own.pop("PYTHONDONTWRITEBYTECODE", None)
    return {
        **own,
        "PYTHONPYCACHEPREFIX": str(cache_folder() / "bytecode"),
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP response; headers by lower-case name, of several the last."""

    status: int
    headers: Mapping[str, str]
    cookies: tuple[str, ...]
    body: bytes

    def json(self) -> Any:
        """Return the body parsed as JSON."""
        return json.loads(self.body)


class Cloud:
    """A local AWS of its own process; a context manager.

    *folder* takes the server's log. Of *options*, ``--workflows`` runs state machines. ``calls`` and ``invocations`` begin at the last ``forget``.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        self._log_path = folder / "server.log"
        self._log: IO[str] = self._log_path.open("w")
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.aws_cloud", *options],
            cwd=_ROOT,
            env=_server_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        assert self._server.stdout is not None
        self.endpoint = self._server.stdout.readline().strip()
        if not self.endpoint:
            self._server.wait()
            raise RuntimeError(self._log_path.read_text())
        self._calls = self._invocations = 0
        self.client = cache(self._client)

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which any SDK or CLI talks to this cloud, as its administrator."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def _client(self, service: str, region: str = REGION) -> Any:
        """Return a boto3 client of *service*, as administrator."""
        import boto3
        from botocore.config import Config

        return boto3.client(
            service,
            region_name=region,
            endpoint_url=self.endpoint,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            # What fails on this server fails each time.
            config=Config(retries={"total_max_attempts": 1, "mode": "standard"}),
        )

    def url(self, api: str | None = None) -> str:
        """Return the address of the HTTP API with that name, id or endpoint; None is the only one."""
        return str(self._ask("url", name=api))

    def function_url(self, function: str) -> str:
        """Return the address of the URL of the function with that name, or with that URL."""
        return str(self._ask("function_url", name=function))

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        *,
        base: str | None = None,
    ) -> Response:
        """Send a request to the HTTP API (or to *base*); a body that is not bytes goes as JSON."""
        sent = dict(headers or {})
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            sent.setdefault("content-type", "application/json")
        connection = http.client.HTTPConnection(urlsplit(base or self.url()).netloc, timeout=60)
        try:
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            found = answer.getheaders()
            return Response(
                answer.status,
                {name.lower(): value for name, value in found},
                tuple(value for name, value in found if name.lower() == "set-cookie"),
                answer.read(),
            )
        finally:
            connection.close()

    def idle(self, timeout: float = 30.0) -> None:
        """Wait until nothing is on its way anywhere; raises TimeoutError that tells what still is.

        On its way are requests and invocations, messages in queues that a function consumes
        (delayed and invisible ones too), changes in streams that a function follows, and events
        that are to be repeated. What lies in a queue that nobody consumes is at its destination.
        """
        left = self._ask("idle", seconds=timeout)
        if left:
            raise TimeoutError(f"after {timeout:g} s: {'; '.join(left)}\n{self._failures()}")

    def _failures(self) -> str:
        failed = [each for each in self.invocations if not each["ok"]]
        told = [f"{each['function']}: {each['value']}" for each in failed[-5:]]
        # What is no request is an error of the server's.
        log = [line for line in self.log().splitlines() if '" ' not in line]
        return "\n".join([*told, *log[-15:]])

    @property
    def calls(self) -> dict[str, list[Call]]:
        """API calls that were made with a role, by principal.

        A principal is a function's name, or ``schedule:`` and a schedule's name. Calls that Lambda
        itself makes with the function's role are the function's: those for sources, logs, failures.
        """
        return self._calls_from(self._calls)

    @property
    def all_calls(self) -> dict[str, list[Call]]:
        """``calls`` since the start of the cloud, whatever has been forgotten."""
        return self._calls_from(0)

    def _calls_from(self, start: int) -> dict[str, list[Call]]:
        found: dict[str, list[Call]] = {}
        for each in self._ask("calls", start=start):
            found.setdefault(each["principal"], []).append(Call(**each))
        return found

    @property
    def invocations(self) -> list[dict[str, Any]]:
        """Invocations that have ended: ``function``, ``reason``, ``event``, ``ok``, ``value``, ``log``."""
        found: list[dict[str, Any]] = self._ask("invocations", start=self._invocations)
        return found

    def forget(self) -> None:
        """Begin ``calls`` and ``invocations`` anew."""
        self._calls += len(self._ask("calls", start=self._calls))
        self._invocations += len(self._ask("invocations", start=self._invocations))

    def fire(self, schedule: str, time: str, group: str = "default") -> None:
        """Have EventBridge Scheduler find that it is *time*, ``2026-11-23T10:00:00Z``.

        Whether the schedule's expression has that instant is not asked.
        """
        self._ask("fire", name=schedule, group=group, time=time)

    def policy(self, principal: str) -> Policy:
        """Return what the deployed role of *principal* allows, its references resolved."""
        found = self._ask("policy", principal=principal)
        policy = Policy(())
        policy.grants += [Grant(*each) for each in found["grants"]]
        policy.denials += [Grant(*each) for each in found["denials"]]
        return policy

    def messages(self, queue: str) -> list[str]:
        """Take all messages out of the queue with that name, and return their bodies."""
        sqs = self.client("sqs")
        url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
        bodies: list[str] = []
        while found := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            for message in found:
                bodies.append(message["Body"])
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return bodies

    def log(self) -> str:
        """Return what the server has written: requests, and what went wrong in it."""
        return self._log_path.read_text()

    def _ask(self, question: str, **arguments: Any) -> Any:
        connection = http.client.HTTPConnection(urlsplit(self.endpoint).netloc, timeout=600)
        try:
            connection.request("POST", f"/_cloud/{question}", json.dumps(arguments))
            answer = connection.getresponse()
            value = json.loads(answer.read())
        finally:
            connection.close()
        if answer.status != 200:
            raise RuntimeError(value)
        return value

    def close(self) -> None:
        """End the server and all functions."""
        assert self._server.stdin is not None and self._server.stdout is not None
        self._server.stdin.close()
        try:
            self._server.wait(10)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()
        self._server.stdout.close()
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
