"""``terraform`` or ``tofu`` of this machine, with its state and its lock in our bucket.

The state: https://developer.hashicorp.com/terraform/language/backend/gcs. Beside it lie the
documents that were applied last, so that what is deployed can be compared and removed from any
machine.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from portafaas.deployment.contract import Drift, Kept, Preview, Report, Status
from portafaas.deployment.release import Release, key_variables
from portafaas.errors import DeploymentError
from portafaas_gcp.deployment import changes
from portafaas_gcp.deployment import documents as docs
from portafaas_gcp.deployment.base import GcpEngine
from portafaas_gcp.deployment.cloud import base
from portafaas_gcp.deployment.command import Workspace
from portafaas_gcp.deployment.failures import failure
from portafaas_gcp.deployment.store import object_of

_MEND = "write it anew: portafaas deploy --target gcp"


class TerraformEngine(GcpEngine):
    """A state of Terraform."""

    @property
    def _prefix(self) -> str:
        return f"terraform/{self.id}"

    def is_deployed(self) -> bool:
        """Return whether the state has any resource."""
        return bool(_instances(self._state()))

    def preview(self, release: Release) -> Preview:
        """Return Terraform's plan, which :meth:`apply` takes as its token."""
        self._own()
        state = self._state()
        given = self.inputs(release, self._keys(release.documents, state))
        there = self.store.exists()
        workspace = self._workspace(self.gathered(release), given, release.keys.values(), there)
        self._run(workspace, "init")
        found = changes.changes(self._run(workspace, "plan"), key_variables(release.plan))
        is_first = not _instances(state) or self._is_only_data(state, self._written())
        return Preview(found, is_first, (), workspace if there else None)

    def apply(self, release: Release, preview: Preview, report: Report) -> Status:
        """Apply the plan of the preview, or a new one if there was no store for a state yet."""
        self._own()
        self.store.create()
        gathered = self.gathered(release)
        given = self.inputs(release, self._keys(release.documents, self._state()))
        workspace = preview.token
        if workspace is None:
            workspace = self._workspace(gathered, given, release.keys.values())
            self._run(workspace, "init")
        self._write(gathered, given)
        self._run(workspace, "apply", report, "deploy")
        return self.status()

    def status(self) -> Status:
        """Return what the state says, and whether the last deployment got to its end."""
        state = self._state()
        lock = self.store.read(f"{self._prefix}/default.tflock") if self.store.exists() else None
        outputs = state.get("outputs", {})
        instances = _instances(state)
        package = str(outputs.get(docs.PACKAGE, {}).get("value", ""))
        urls = self.addresses(outputs)
        listed = tuple(sorted((a, kind, word) for a, kind, word, _ in instances))
        if lock is not None:
            who = _who(lock)
            return Status("busy", "LOCKED", f"a deployment is under way{who}", "", package, urls,
                          listed)  # fmt: skip
        applied = self._written()
        if not instances and applied is None:
            return Status("absent")
        if self._is_only_data(state, applied):
            return Status("absent", "APPLIED", "only data is left", resources=listed)
        wanted = (applied or {}).get(docs.OURS, {}).get("output", {})
        tainted = [address for address, _, word, _ in instances if word == "tainted"]
        value = wanted.get(docs.RELEASE, {}).get("value")
        if value is None or outputs.get(docs.RELEASE, {}).get("value") != value or tainted:
            reason = "the last deployment did not get to its end"
            if tainted:
                reason += f"; to be made again: {', '.join(tainted)}"
            resume = self.command("destroy" if docs.KEPT in wanted else "deploy")
            return Status("failed", "INCOMPLETE", reason, resume, package, urls, listed)
        return Status("ready", "APPLIED", "", "", package, urls, listed)

    def drift(self) -> Sequence[Drift]:
        """Return what ``plan -refresh-only`` finds."""
        state, applied = self._state(), self._written()
        if not _instances(state) or self._is_only_data(state, applied):
            raise self.nothing()
        gathered = self._parts(applied)
        given = {**(applied or {})[docs.INPUTS], **self._secret(gathered, state)}
        workspace = self._workspace(gathered, given, self._keys(gathered, state).values())
        self._run(workspace, "init")
        return changes.drift(self._run(workspace, "plan", "-refresh-only"))

    def destroy(self, data: bool, report: Report) -> Sequence[Kept]:
        """Apply documents that hold the data only; with *data*, remove that and the state, too."""
        self._own()
        state, applied = self._state(), self._written()
        if not _instances(state):
            if applied is None:
                raise self.nothing()
            self._forget()
            return ()
        if self._is_only_data(state, applied) and not data:
            raise self.nothing(f"of {self.id} only data is left")
        deployed = self._parts(applied)
        kept = self.kept(deployed)
        lean = docs.retained(deployed, data)
        wanted = docs.variables(lean)
        known = (applied or {})[docs.INPUTS]
        given = {name: value for name, value in known.items() if name in wanted}
        secrets = list(self._keys(deployed, state).values())
        workspace = self._workspace(lean, given, secrets)
        self._run(workspace, "init")
        self._write(lean, given)
        self._run(workspace, "apply", report, "destroy")
        if kept and not data:
            return kept
        self._run(workspace, "destroy", report, "destroy")
        self._forget()
        return ()

    def _workspace(
        self,
        gathered: docs.Documents,
        given: Mapping[str, str],
        secrets: Any,
        remote: bool = True,
    ) -> Workspace:
        """Return a folder; without *remote*, with a state of its own, as there is none yet."""
        own = docs.marked(gathered)
        if remote:
            override = "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE" in os.environ
            endpoint = f"{base('storage')}storage/v1/b" if override else ""
            own |= docs.backend(self.store.bucket, object_of(self._prefix), endpoint)
        secret = [*secrets, *(given[name] for name in given if name.startswith("env_"))]
        return Workspace({**docs.terraform(gathered), docs.OURS: own}, given, secret)

    def _run(self, workspace: Workspace, verb: str, *arguments: Any) -> Any:
        """Run a command of Terraform, and say in its errors what is left and what goes on."""
        resume = self.command(str(arguments[-1])) if verb in ("apply", "destroy") else ""
        try:
            return getattr(workspace, verb)(*arguments[: 1 if resume else None])
        except DeploymentError as exc:
            codes = {item.code for item in exc.diagnostics}
            if codes == {"PF8005"}:
                lock = self.store.read(f"{self._prefix}/default.tflock") or b""
                hint = f"wait: {self.command('status')}"
                if lock:
                    name = f"gs://{self.store.bucket}/{object_of(self._prefix)}/default.tflock"
                    hint += f"; if nobody is at work any more: gcloud storage rm {name}"
                raise failure(
                    "PF8005",
                    f"another deployment of {self.id} is under way{_who(lock)}:",
                    exc.diagnostics[0].message,
                    hint,
                ) from exc
            if not resume:
                summary = f"{self.id}: {exc.message.rstrip(':')}; nothing was changed:"
                raise DeploymentError(summary, exc.diagnostics) from exc
            count = len(_instances(self._state()))
            summary = (
                f"{self.id} failed, with {count} resources in place; what is mended, goes on with: "
                f"{resume}"
            )
            raise DeploymentError(summary, exc.diagnostics) from exc

    def _state(self) -> dict[str, Any]:
        content = self.store.read(f"{self._prefix}/default.tfstate")
        found: dict[str, Any] = json.loads(content) if content else {}
        return found

    def _write(self, gathered: docs.Documents, given: Mapping[str, str]) -> None:
        """Keep what is about to be applied, but for the keys, which the functions have."""
        known = {name: value for name, value in given.items() if not name.startswith("env_")}
        about = {"service": self.plan.service, "stage": self.plan.stage}
        whole = {**gathered, docs.INPUTS: known, "owner.json": about}
        self.store.write(f"{self._prefix}/documents.zip", docs.bundle(whole))

    def _written(self) -> dict[str, Any] | None:
        place = f"{self._prefix}/documents.zip"
        content = self.store.read(place)
        if content is None:
            return None
        return docs.unpacked(content, f"gs://{self.store.bucket}/{object_of(place)}", _MEND)

    def _parts(self, applied: dict[str, Any] | None) -> dict[str, Any]:
        if applied is None:
            place = object_of(f"{self._prefix}/documents.zip")
            docs.unpacked(None, f"gs://{self.store.bucket}/{place}", _MEND)
        return docs.terraform(applied or {})

    @staticmethod
    def _is_only_data(state: Mapping[str, Any], applied: Mapping[str, Any] | None) -> bool:
        """Return whether "destroy" got to its end, and left data."""
        left = {address for address, _, _, _ in _instances(state)}
        is_kept = docs.KEPT in (applied or {}).get(docs.OURS, {}).get("output", {})
        return is_kept and bool(left) and left <= docs.protected(applied or {}).keys()

    def _own(self) -> None:
        owner = (self._written() or {}).get("owner.json")
        if owner not in (None, {"service": self.plan.service, "stage": self.plan.stage}):
            text = f"the state {self.id!r} is of another service and stage"
            raise failure("PF8008", "a name is taken:", text, "rename the service, or the stage")

    def _forget(self) -> None:
        for name in ("default.tfstate", "documents.zip"):
            self.store.remove(f"{self._prefix}/{name}")

    def _keys(self, documents: docs.Documents, state: Mapping[str, Any]) -> dict[str, str]:
        """Return the digests of keys that functions have."""
        environments = {}
        for address, kind, _, attributes in _instances(state):
            if kind == docs.FUNCTION:
                for service in attributes.get("service_config") or ():
                    environments[address] = service.get("environment_variables") or {}
        return docs.keys_of_functions(documents, environments)

    def _secret(self, documents: docs.Documents, state: Mapping[str, Any]) -> dict[str, str]:
        return {f"env_{n}": value for n, value in self._keys(documents, state).items()}


def _instances(state: Mapping[str, Any]) -> list[tuple[str, str, str, Any]]:
    """Return (address, type, state, attributes) of each resource.

    ``tainted`` is one that was made but not to its end, ``deposed`` one whose successor is there.
    """
    found = []
    for resource in state.get("resources") or ():
        if resource.get("mode") != "managed" or resource["type"] == docs.MARK:
            continue
        for instance in resource.get("instances") or ():
            address = f"{resource['type']}.{resource['name']}"
            if "index_key" in instance:
                address += f"[{json.dumps(instance['index_key'])}]"
            word = "deposed" if instance.get("deposed") else instance.get("status", "applied")
            found.append((address, resource["type"], word, instance.get("attributes") or {}))
    return found


def _field(lock: bytes, name: str) -> str:
    try:
        return str(json.loads(lock).get(name, ""))
    except ValueError:
        return ""


def _who(lock: bytes) -> str:
    words = [_field(lock, name) for name in ("Operation", "Who", "Created")]
    return f" ({', '.join(filter(None, words))})" if any(words) else ""
