"""The account and region that are deployed to: session, clients, who calls."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Concatenate, ParamSpec, TypeVar

from portafaas.deployment.contract import Caller
from portafaas.errors import DeploymentError
from portafaas.plan import BuildPlan
from portafaas_aws.deployment.faults import diagnose, fail, no_region

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S")


class Cloud:
    """One account and region, reached through boto3's default chain of credentials.

    Nothing is asked before it is needed. ``poll`` is the pause between two looks at an engine at
    work, in seconds; it grows to five times that.
    """

    def __init__(self, plan: BuildPlan) -> None:
        self.plan = plan
        self.poll = 1.0
        #: Values that no message may show.
        self.hidden: set[str] = set()
        self._session: Any = None
        self._clients: dict[str, Any] = {}
        self._identity: dict[str, str] = {}

    @property
    def session(self) -> Any:
        """The boto3 session. Raises DeploymentError (PF8004) without boto3."""
        if self._session is None:
            try:
                import boto3
            except ImportError as exc:
                raise fail(
                    "AWS cannot be asked:", "PF8004", f"boto3 is not installed: {exc}",
                    "pip install 'portafaas[aws]'",
                ) from exc  # fmt: skip
            # boto3 knows AWS_DEFAULT_REGION only; AWS's own command line asks this one first.
            self._session = boto3.Session(region_name=os.environ.get("AWS_REGION") or None)
        return self._session

    @property
    def region(self) -> str:
        """The region, by environment or configuration. Raises DeploymentError (PF8003)."""
        region = self.session.region_name
        if not region:
            raise DeploymentError("AWS cannot be asked:", [no_region()])
        return str(region)

    @property
    def account(self) -> str:
        """The account's number."""
        return self._who()["Account"]

    @property
    def partition(self) -> str:
        """``aws``, ``aws-cn``, ``aws-us-gov``."""
        return self._who()["Arn"].split(":")[1]

    @property
    def suffix(self) -> str:
        """Domain of the partition's addresses."""
        return "amazonaws.com.cn" if self.partition == "aws-cn" else "amazonaws.com"

    def client(self, service: str) -> Any:
        """Return the client of *service*, one for all calls."""
        if service not in self._clients:
            session = self.session
            from botocore.config import Config

            config = Config(user_agent_extra="portafaas")
            try:
                self._clients[service] = session.client(
                    service, region_name=self.region, config=config
                )
            except ValueError as exc:
                # Of the region's name, or of an address in AWS_ENDPOINT_URL.
                raise fail(
                    "AWS cannot be asked:", "PF8003", str(exc),
                    "mend AWS_REGION or AWS_ENDPOINT_URL",
                ) from exc  # fmt: skip
        return self._clients[service]

    def caller(self) -> Caller:
        """Return who calls; always asks, so that it proves the credentials."""
        self._identity.clear()
        who = self._who()
        return Caller(who["Arn"], f"account {who['Account']}, region {self.region}")

    def _who(self) -> dict[str, str]:
        if not self._identity:
            found = self.client("sts").get_caller_identity()
            self._identity.update({key: str(found[key]) for key in ("Account", "Arn")})
        return self._identity

    def has(self, service: str, operation: str, member: str = "") -> bool:
        """Return whether the installed boto3 knows *operation*, and *member* of its input."""
        model = self.client(service).meta.service_model
        if operation not in model.operation_names:
            return False
        return not member or member in model.operation_model(operation).input_shape.members

    def pauses(self) -> Iterator[None]:
        """Yield for ever, each time a little later."""
        pause = self.poll
        while True:
            time.sleep(pause)
            yield
            pause = min(pause * 1.2, 5 * self.poll)

    @contextmanager
    def speaking(self, summary: str) -> Iterator[None]:
        """Turn what the client library raises into DeploymentError with *summary*."""
        try:
            yield
        except Exception as exc:
            found = diagnose(exc, self.hidden)
            if found is None:
                raise
            # The original may hold what must not be shown.
            raise DeploymentError(summary, [found]) from None


def speaking(
    summary: str,
) -> Callable[[Callable[Concatenate[S, P], T]], Callable[Concatenate[S, P], T]]:
    """Let a method of an object with a ``cloud`` raise nothing but DeploymentError, or bugs."""

    def wrap(method: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[S, P], T]:
        def run(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
            cloud: Cloud = self.cloud  # type: ignore[attr-defined]
            with cloud.speaking(summary):
                return method(self, *args, **kwargs)
            raise AssertionError("not reached")

        functools.update_wrapper(run, method)
        return run

    return wrap
