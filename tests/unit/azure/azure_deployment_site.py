"""A service, and one who deploys it to a cloud on this machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZipFile, ZipInfo

import pytest

from portafaas.deployment.contract import Progress
from portafaas.deployment.release import Release, make_release
from portafaas.errors import DeploymentError
from portafaas.plan import (
    Auth,
    BucketPlan,
    BuildPlan,
    FunctionPlan,
    HttpTrigger,
    QueuePlan,
    QueueTrigger,
)
from portafaas.plan.model import SecretPlan, Use
from portafaas_azure.deployment.azureengine import AzureEngine
from portafaas_azure.infrastructure import emit

KEYS = "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8"
KEY = HttpTrigger(("GET",), "/web", Auth("key", "PORTAFAAS_HTTP_KEYS"))


def function(name: str, trigger: Any, *uses: Use) -> FunctionPlan:
    """Return a function whose handler does not matter."""
    return FunctionPlan(name, "app", "handler", trigger, uses=uses)


WEB = function("web", KEY, Use("read", "secret", "token"))
WORK = function("work", QueueTrigger("jobs"), Use("write", "bucket", "files"))


def plan(**more: Any) -> BuildPlan:
    """Return the plan; *more* replaces what it is made of."""
    given: dict[str, Any] = {
        "service": "shop", "stage": "prod", "python": "3.12", "architecture": "x86_64",
        "functions": (WEB, WORK), "queues": (QueuePlan("jobs"), QueuePlan("spare")),
        "buckets": (BucketPlan("files"),), "secrets": (SecretPlan("token"),),
        "options": {"location": "westeurope"},
    }  # fmt: skip
    return BuildPlan(**{**given, **more})


class Site:
    """One user in front of one cloud."""

    KEYS, WEB, WORK = KEYS, WEB, WORK
    plan, function = staticmethod(plan), staticmethod(function)

    def __init__(self, cloud: Any, folder: Path) -> None:
        self.cloud, self.folder = cloud, folder
        self.told: list[Progress] = []

    def engine(self, made: BuildPlan | None = None, **environ: str) -> AzureEngine:
        """Return an engine that does not wait."""
        given = {"ARM_ENDPOINT": self.cloud.root, "AZURE_SUBSCRIPTION_ID": "", **environ}
        engine = AzureEngine(plan() if made is None else made, given)
        engine.poll, engine.retries, engine.patience, engine.limit = 0.0, 0, 5.0, 5.0
        return engine

    def release(self, made: BuildPlan | None = None, text: str = "1", keys: str = KEYS) -> Release:
        """Return the build of a plan whose package holds *text*."""
        made = plan() if made is None else made
        path = self.folder / f"{text}.zip"
        with ZipFile(path, "w") as file:
            # Of the same text the same package, whenever it is made.
            file.writestr(ZipInfo("host.json"), text)
        found = emit(made)
        environ = {"PORTAFAAS_HTTP_KEYS": keys} if keys else {}
        return make_release(
            made, path, f"sha256:{text}", found.documents, found.permissions, environ
        )

    def deploy(self, made: BuildPlan | None = None, text: str = "1", **more: Any) -> Any:
        """Do what ``portafaas deploy`` does."""
        engine, release = self.engine(made), self.release(made, text, **more)
        assert release.package is not None
        engine.blobs(create=True).write(release.package_key, release.package)
        self.told.clear()
        return engine.apply(release, engine.preview(release), self.told.append)

    def applying(self, **more: Any) -> Callable[[], Any]:
        """Return :meth:`deploy`, to be called."""
        return lambda: self.deploy(**more)

    def refused(self, call: Callable[[], Any]) -> tuple[list[str], str]:
        """Return the codes of the refusal that *call* raises, and its text."""
        with pytest.raises(DeploymentError) as caught:
            call()
        assert KEYS not in str(caught.value)
        return [one.code for one in caught.value.diagnostics], str(caught.value)

    @property
    def unique(self) -> str:
        """What ends the names that all of Azure shares."""
        name = next(one for one in self.cloud.ids("namespaces") if one.count("/") == 8)
        return str(name.rpartition("-")[2])
