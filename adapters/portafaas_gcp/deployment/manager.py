"""Infrastructure Manager: Terraform that Google runs, with its own state, lock and history.

https://cloud.google.com/infrastructure-manager/docs/reference/rest
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from portafaas.deployment.contract import Drift, Kept, Preview, Report, Status
from portafaas.deployment.release import Release, key_variables
from portafaas.errors import DeploymentError
from portafaas_gcp.deployment import changes, operations
from portafaas_gcp.deployment import documents as docs
from portafaas_gcp.deployment.base import GcpEngine
from portafaas_gcp.deployment.failures import ApiError, failure
from portafaas_gcp.deployment.store import object_of
from portafaas_gcp.deployment.vault import is_ours, labels

#: The newest that costs nothing:
#: https://cloud.google.com/infrastructure-manager/docs/terraform-version-deprecation
TERRAFORM = "1.5.7"
#: Annotations of a deployment: the release that was asked for last, and whether only data is left.
RELEASE, KEPT = "portafaas-release", "portafaas-kept"
_MASK = "terraformBlueprint,serviceAccount,labels,annotations,tfVersionConstraint"
_BUSY = ("CREATING", "UPDATING", "DELETING")


class ManagerEngine(GcpEngine):
    """A deployment of Infrastructure Manager."""

    @property
    def parent(self) -> str:
        """Return the path of the project and region."""
        return f"v1/projects/{self.cloud.project}/locations/{self.cloud.region}"

    @property
    def path(self) -> str:
        """Return the path of the deployment."""
        return f"{self.parent}/deployments/{self.id}"

    def is_deployed(self) -> bool:
        """Return whether there is a deployment."""
        return self._found() is not None

    def preview(self, release: Release) -> Preview:
        """Return what a preview of Infrastructure Manager says.

        It takes a minute or two, as it is a run of Terraform; the first one needs none.
        """
        deployment = self._free()
        given = self.inputs(release, self._keys(deployment))
        gathered = self.gathered(release)
        if deployment is None:
            return Preview(changes.first(release.documents), True)
        self.store.create()
        blueprint = self._blueprint(gathered, given)
        plan = self._plan(blueprint)
        found = changes.changes(plan, key_variables(release.plan))
        return Preview(found, _is_only_data(deployment))

    def apply(self, release: Release, preview: Preview, report: Report) -> Status:
        """Create or update the deployment, and follow it to its end."""
        deployment = self._free()
        given = self.inputs(release, self._keys(deployment))
        self.store.create()
        blueprint = self._blueprint(self.gathered(release), given)
        self._put(deployment, blueprint, {RELEASE: release.digest}, report, given)
        return self.status()

    def status(self) -> Status:
        """Return the deployment, with the outputs and resources of its latest revision."""
        deployment = self._found()
        if deployment is None:
            return Status("absent")
        self._own(deployment)
        state = deployment.get("state", "")
        if deployment.get("lockState") in ("LOCKED", "LOCKING"):
            state = f"{state}, {deployment['lockState']}"
        latest = deployment.get("latestRevision", "")
        revision = self._get(latest) or {}
        outputs = operations.outputs(self, revision)
        found = self.cloud.pages("config", f"v1/{latest}/resources", "resources") if latest else ()
        resources = tuple(sorted(_resource(item) for item in found))
        if state.startswith(_BUSY) or state.endswith("LOCKED"):
            reason = "a deployment is under way"
            return Status("busy", state, reason, "", _package(outputs), self.addresses(outputs),
                          resources)  # fmt: skip
        if _is_only_data(deployment):
            return Status("absent", state, "only data is left", resources=resources)
        if state == "ACTIVE":
            return Status("ready", state, package=_package(outputs),
                          outputs=self.addresses(outputs), resources=resources)  # fmt: skip
        secrets = _secret(_given(deployment.get("terraformBlueprint", {})))
        reasons = operations.reasons(self, deployment, secrets)
        reason = "; ".join(item.message for item in reasons)
        resume = self.command("destroy" if _is_kept(deployment) else "deploy")
        return Status("failed", state, reason, resume, _package(outputs),
                      self.addresses(outputs), resources)  # fmt: skip

    def drift(self) -> Sequence[Drift]:
        """Preview what is deployed against itself, and return what Terraform finds changed."""
        deployment = self._free()
        if deployment is None or _is_only_data(deployment):
            raise self.nothing()
        return changes.drift(self._plan(deployment["terraformBlueprint"]))

    def destroy(self, data: bool, report: Report) -> Sequence[Kept]:
        """Shrink the deployment to its data; with *data*, then delete it with all it has."""
        deployment = self._free()
        if deployment is None:
            raise self.nothing()
        if _is_only_data(deployment) and not data:
            raise self.nothing(f"of {self.id} only data is left")
        blueprint = deployment["terraformBlueprint"]
        deployed = self._deployed(blueprint)
        kept = self.kept(deployed)
        given = _given(blueprint)
        if kept:
            lean = docs.retained(deployed, data)
            wanted = docs.variables(lean)
            given = {name: value for name, value in given.items() if name in wanted}
            # Everything but what the data needs goes with the next revision.
            smaller = self._blueprint(lean, given)
            self._put(deployment, smaller, {KEPT: "true"}, report, given)
        if data or not kept:
            query = {"force": "true", "deletePolicy": "DELETE"}
            operation = self.cloud.call("config", "DELETE", self.path, query)
            before = deployment.get("latestRevision", "")
            operations.follow(self, operation, before, report, _secret(given), "destroy")
            return ()
        return kept

    def _put(
        self,
        deployment: Any,
        blueprint: Any,
        annotations: Mapping[str, str],
        report: Report,
        given: Mapping[str, str],
    ) -> None:
        """Send a blueprint, and wait until it is what is deployed."""
        body = {
            "terraformBlueprint": blueprint,
            "serviceAccount": self._account,
            "labels": labels(self.plan),
            "annotations": dict(annotations),
            "tfVersionConstraint": self._version,
        }
        try:
            if deployment is None:
                query = {"deploymentId": self.id}
                operation = self.cloud.call("config", "POST", f"{self.parent}/deployments", query,
                                            body)  # fmt: skip
            else:
                query = {"updateMask": _MASK}
                operation = self.cloud.call("config", "PATCH", self.path, query, body)
        except ApiError as exc:
            if exc.status != 409 or exc.diagnostics[0].code != "PF8008":
                raise
            # Made since we looked: by another deployer of the same, who is at work then.
            self._free()
            raise self.busy("it was made by somebody else just now") from exc
        verb = "destroy" if KEPT in annotations else "deploy"
        before = (deployment or {}).get("latestRevision", "")
        operations.follow(self, operation, before, report, _secret(given), verb)

    def _plan(self, blueprint: Any) -> Any:
        """Return Terraform's plan for the deployment with a blueprint."""
        body = {
            "deployment": self.path.removeprefix("v1/"),
            "terraformBlueprint": blueprint,
            "serviceAccount": self._account,
            "labels": labels(self.plan),
            "tfVersionConstraint": self._version,
        }
        operation = self.cloud.call("config", "POST", f"{self.parent}/previews", body=body)
        name = ""
        try:
            name = operations.preview(self, operation, _secret(_given(blueprint)))
            result = self.cloud.call("config", "POST", f"v1/{name}:export", body={})
            return json.loads(self.cloud.fetch(result["result"]["jsonSignedUri"]))
        finally:
            # It holds the plan with all values, and counts against a quota.
            name = name or operations.target(operation)
            if name:
                # One that is interrupted cannot be deleted yet: nothing more to be done.
                with suppress(DeploymentError):
                    self.cloud.call("config", "DELETE", f"v1/{name}", absent=True)

    def _blueprint(self, gathered: docs.Documents, given: Mapping[str, str]) -> Any:
        """Write documents to the store, and return what tells Infrastructure Manager of them."""
        from hashlib import sha256

        content = docs.bundle(gathered)
        key = f"documents/{self.id}/{sha256(content).hexdigest()}.zip"
        self.store.write(key, content)
        return {
            "gcsSource": f"gs://{self.store.bucket}/{object_of(key)}",
            "inputValues": {name: {"inputValue": value} for name, value in given.items()},
        }

    def _deployed(self, blueprint: Any) -> dict[str, Any]:
        source = blueprint["gcsSource"]
        bucket, _, name = source.removeprefix("gs://").partition("/")
        mend = f"gcloud infra-manager deployments delete {self.path.removeprefix('v1/')}"
        return docs.unpacked(self.store.read_object(name, bucket), source, mend)

    def _keys(self, deployment: Any) -> dict[str, str]:
        given = _given((deployment or {}).get("terraformBlueprint", {}))
        return {n.removeprefix("env_"): v for n, v in given.items() if n.startswith("env_")}

    @property
    def _account(self) -> str:
        project = self.cloud.project
        default = f"portafaas-deployer@{project}.iam.gserviceaccount.com"
        account = self.plan.options.get("deployer-service-account", default)
        return f"projects/{project}/serviceAccounts/{account}"

    @property
    def _version(self) -> str:
        return f"={self.plan.options.get('terraform-version', TERRAFORM)}"

    def _get(self, name: str) -> Any:
        return self.cloud.call("config", "GET", f"v1/{quote(name)}", absent=True) if name else None

    def _found(self) -> Any:
        found = self.cloud.call("config", "GET", self.path, absent=True)
        return None if found is None or found.get("state") == "DELETED" else found

    def _own(self, deployment: Any) -> None:
        if not is_ours(deployment.get("labels"), self.plan):
            text = f"the deployment {self.id!r} exists and was not made for this service and stage"
            raise failure("PF8008", "a name is taken:", text, "rename the service, or the stage")

    def _free(self) -> Any:
        """Return the deployment, None without one; PF8005 when somebody is at work on it."""
        deployment = self._found()
        if deployment is None:
            return None
        self._own(deployment)
        name = self.path.removeprefix("v1/")
        if deployment.get("state") in _BUSY:
            raise self.busy(f"its state is {deployment['state']}")
        if deployment.get("lockState") in ("LOCKED", "LOCKING", "UNLOCKING"):
            lock = self.cloud.call("config", "GET", f"{self.path}:exportLock", absent=True) or {}
            who = " ".join(
                str(lock[key]) for key in ("who", "operation", "createTime") if lock.get(key)
            )
            command = f"gcloud infra-manager deployments unlock {name}"
            if lock.get("lockId"):
                command += f" --lock-id={lock['lockId']}"
            raise self.busy(f"it is locked{f' ({who})' if who else ''}",
                            f"if nobody is at work any more: {command}")  # fmt: skip
        if deployment.get("state") == "SUSPENDED":
            raise failure(
                "PF8006",
                f"{self.id} must be mended first:",
                f"its state is SUSPENDED: {deployment.get('stateDetail', '')}",
                f"gcloud infra-manager deployments describe {name}",
            )
        return deployment

    def busy(self, text: str, hint: str = "") -> Exception:
        """Return the error for a deployment that somebody else is at work on."""
        summary = f"another deployment of {self.id} is under way:"
        return failure("PF8005", summary, text, hint or f"wait: {self.command('status')}")


def _package(outputs: Mapping[str, Any]) -> str:
    return str(outputs.get(docs.PACKAGE, {}).get("value", ""))


def _is_kept(deployment: Any) -> bool:
    return KEPT in (deployment.get("annotations") or {})


def _is_only_data(deployment: Any) -> bool:
    return _is_kept(deployment) and deployment.get("state") == "ACTIVE"


def _resource(item: Any) -> tuple[str, str, str]:
    about = item.get("terraformInfo", {})
    return about.get("address", ""), about.get("type", ""), item.get("state", "")


def _given(blueprint: Any) -> dict[str, str]:
    values = blueprint.get("inputValues") or {}
    return {name: item.get("inputValue", "") for name, item in values.items()}


def _secret(given: Mapping[str, str]) -> list[str]:
    return [value for name, value in given.items() if name.startswith("env_")]
