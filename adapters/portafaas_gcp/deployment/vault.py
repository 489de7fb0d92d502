"""The manifest's secrets in Secret Manager.

https://cloud.google.com/secret-manager/docs/reference/rest. Functions read ``latest``: the newest
version is enabled, the one before it disabled, so that it can be brought back, and all older ones
are destroyed.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import Any

from portafaas.deployment.contract import SecretFacts, Secrets
from portafaas.errors import nearest
from portafaas.plan import BuildPlan
from portafaas_gcp import names
from portafaas_gcp.deployment.cloud import Cloud
from portafaas_gcp.deployment.failures import failure


class Vault(Secrets):
    """Secrets of one service and stage; *owned* tells whether a deployment has them."""

    def __init__(self, cloud: Cloud, plan: BuildPlan, owned: Callable[[], bool]) -> None:
        self._cloud = cloud
        self._plan = plan
        self._owned = owned

    def set(self, name: str, value: bytes) -> None:
        """Add a version, disable the one before, destroy those before that."""
        physical = self._physical(name)
        path = self._path(physical)
        found = self._cloud.call("secretmanager", "GET", path, absent=True)
        if found is None:
            body = {"replication": {"automatic": {}}, "labels": labels(self._plan)}
            parent = f"v1/projects/{self._cloud.project}/secrets"
            self._cloud.call("secretmanager", "POST", parent, {"secretId": physical}, body)
        else:
            self._own(physical, found)
        before = self._versions(path)
        payload = {"payload": {"data": base64.b64encode(value).decode()}}
        self._cloud.call("secretmanager", "POST", f"{path}:addVersion", body=payload)
        for index, version in enumerate(before):
            if version["state"] == "ENABLED" and index == 0:
                self._change(version, "disable")
            elif version["state"] != "DESTROYED" and index > 0:
                self._change(version, "destroy")

    def list(self) -> Sequence[SecretFacts]:
        """Return when each declared secret got its newest value that can be read."""
        facts = []
        for secret in self._plan.secrets:
            physical = names.physical(self._plan, secret.name, names.SECRET)
            facts.append(SecretFacts(secret.name, physical, self.changed(physical)))
        return facts

    def changed(self, physical: str) -> str:
        """Return the time of a secret's newest enabled version, "" without one."""
        versions = self._versions(self._path(physical))
        enabled = [item["createTime"] for item in versions if item["state"] == "ENABLED"]
        return str(enabled[0]) if enabled else ""

    def remove(self, name: str) -> None:
        """Destroy all versions; delete the secret, too, when no deployment has it."""
        path = self._path(self._physical(name))
        found = self._cloud.call("secretmanager", "GET", path, absent=True)
        if found is None:
            return
        self._own(self._physical(name), found)
        if not self._owned():
            self._cloud.call("secretmanager", "DELETE", path, absent=True)
            return
        for version in self._versions(path):
            if version["state"] != "DESTROYED":
                self._change(version, "destroy")

    def exists(self, physical: str) -> bool:
        """Return whether a secret of ours is there; PF8008 for another's."""
        found = self._cloud.call("secretmanager", "GET", self._path(physical), absent=True)
        if found is not None:
            self._own(physical, found)
        return found is not None

    def _physical(self, name: str) -> str:
        declared = [secret.name for secret in self._plan.secrets]
        if name not in declared:
            near = nearest(name, declared)
            hint = f"did you mean {near!r}?" if near else "declare it: secrets: {...}"
            text = f"the manifest declares no secret {name!r}"
            raise failure("PF8011", "no such secret:", text, hint)
        return names.physical(self._plan, name, names.SECRET)

    def _own(self, physical: str, found: Any) -> None:
        if not is_ours(found.get("labels"), self._plan):
            text = f"the secret {physical!r} exists and was not made for this service and stage"
            raise failure("PF8008", "a name is taken:", text, "rename it, or remove it")

    def _path(self, physical: str) -> str:
        return f"v1/projects/{self._cloud.project}/secrets/{physical}"

    def _versions(self, path: str) -> Sequence[Any]:
        """Return the versions, newest first; none of a secret that is not there."""
        if self._cloud.call("secretmanager", "GET", path, absent=True) is None:
            return []
        found = self._cloud.pages("secretmanager", f"{path}/versions", "versions")
        return sorted(found, key=lambda item: -int(item["name"].rpartition("/")[2]))

    def _change(self, version: Any, verb: str) -> None:
        self._cloud.call("secretmanager", "POST", f"v1/{version['name']}:{verb}", body={})


def labels(plan: BuildPlan) -> dict[str, str]:
    """Return what tells whose something is; those of the emitted document."""
    found = {"managed-by": "portafaas", "service": plan.service}
    return {**found, "stage": plan.stage} if plan.stage else found


def is_ours(found: Any, plan: BuildPlan) -> bool:
    """Return whether labels are those of the plan's service and stage."""
    ours = ("managed-by", "service", "stage")
    return {name: text for name, text in (found or {}).items() if name in ours} == labels(plan)
