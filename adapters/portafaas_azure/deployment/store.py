"""The store of packages and records: one storage account for each subscription and region.

It has a resource group of its own, so that it outlives every service.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from portafaas.deployment.contract import Blobs
from portafaas.errors import DeploymentError
from portafaas_azure.deployment.account import Account
from portafaas_azure.deployment.clouds import load
from portafaas_azure.deployment.refusals import azure, refused
from portafaas_azure.infrastructure.arm import API
from portafaas_azure.infrastructure.names import digest
from portafaas_azure.infrastructure.resources import STORAGE

CONTAINER = "portafaas"
#: https://learn.microsoft.com/azure/role-based-access-control/built-in-roles#storage-blob-data-contributor
ROLE = "ba92f5b4-2d11-453d-a403-e96b0029c9fe"
_ACCOUNTS = "Microsoft.Storage/storageAccounts"
_API = API[_ACCOUNTS]
_TAGS = {"managed-by": "portafaas"}


class AzureBlobs(Blobs):
    """The container; ``patience`` is how long a new role may take, in seconds."""

    def __init__(self, account: Account, patience: float) -> None:
        self.account = account
        self.patience = patience
        hashed = digest(f"{account.subscription.lower()}/{account.location().lower()}")
        #: 24 letters and digits at most, one name in all of Azure.
        self.name = f"pf{hashed[:20]}"
        self.group = f"portafaas-{hashed[:8]}"
        self.identifier = (
            f"/subscriptions/{account.subscription}/resourceGroups/{self.group}"
            f"/providers/{_ACCOUNTS}/{self.name}"
        )
        self._client: Any = None

    def make(self) -> None:
        """Make what is missing of the group, the account, the container, the caller's role."""
        own = self.account
        with azure(f"making the store {self.name}"):
            groups = own.resources.resource_groups
            if own.missing_is_none(groups.get, self.group) is None:
                groups.create_or_update(
                    self.group, {"location": own.location(), "tags": _TAGS}
                )
            if own.read(self.identifier) is None:
                own.resources.resources.begin_create_or_update_by_id(
                    self.identifier,
                    {
                        "location": own.location(),
                        "tags": _TAGS,
                        "kind": "StorageV2",
                        "sku": {"name": "Standard_LRS"},
                        "properties": dict(STORAGE),
                    },
                    api_version=_API,
                    polling_interval=own.poll,
                ).result()
            services = f"{own.cloud.arm}{self.identifier}/blobServices/default"
            container = f"{services}/containers/{CONTAINER}"
            if own.send("GET", container, _API) is None:
                own.send("PUT", services, _API, {"properties": {"isVersioningEnabled": True}})
                self._allow()
                # Last, since it is what tells that all is made.
                own.send("PUT", container, _API, {"properties": {"publicAccess": "None"}})

    def _allow(self) -> None:
        """Let the caller read and write blobs; who may not say so may be allowed already."""
        import uuid

        own = self.account
        claims = own.claims()
        person = str(claims.get("oid", ""))
        if not person:
            return
        name = uuid.uuid5(uuid.NAMESPACE_URL, f"{self.identifier.lower()}/{person}/{ROLE}")
        role = (
            f"/subscriptions/{own.subscription}/providers/Microsoft.Authorization/"
            f"roleDefinitions/{ROLE}"
        )
        kind = "ServicePrincipal" if claims.get("idtyp") == "app" else "User"
        found = own.ask(
            "PUT",
            f"{own.cloud.arm}{self.identifier}/providers/Microsoft.Authorization/"
            f"roleAssignments/{name}",
            own.cloud.scope,
            {"api-version": API["Microsoft.Authorization/roleAssignments"]},
            {"properties": {"roleDefinitionId": role, "principalId": person,
                            "principalType": kind}},
        )  # fmt: skip
        # 409: it is there under another name.
        if found.status_code not in (403, 409):
            found.raise_for_status()

    def _container(self) -> Any:
        """Return the client of the container, None when there is no account."""
        if self._client is None:
            with azure(f"reading the store {self.name}"):
                found = self.account.read(self.identifier)
            if found is None:
                return None
            url = str(found["properties"]["primaryEndpoints"]["blob"])
            service = load("azure.storage.blob").BlobServiceClient(
                url, credential=self.account.credential, retry_total=self.account.retries
            )
            self._client = service.get_container_client(CONTAINER)
        return self._client

    def _patiently(self, doing: str, ask: Any) -> Any:
        """Call *ask*; wait while the role of a new store is not honoured yet."""
        core = load("azure.core.exceptions")
        end = time.monotonic() + self.patience
        while True:
            try:
                with azure(doing):
                    try:
                        return ask()
                    except core.ResourceNotFoundError:
                        return None
            except DeploymentError as error:
                refusal = any(one.code == "PF8002" for one in error.diagnostics)
                if not refusal or time.monotonic() >= end:
                    if refusal:
                        raise self._denied(error) from None
                    raise
                time.sleep(self.account.poll)

    def _denied(self, error: DeploymentError) -> DeploymentError:
        return refused(
            "PF8002", error.diagnostics[0].message, doing=error.message,
            hint="az role assignment create --role 'Storage Blob Data Contributor' "
            f"--assignee YOU --scope {self.identifier}; honoured after a minute or two",
        )  # fmt: skip

    def read(self, key: str) -> bytes | None:
        """Return a blob's content."""
        container = self._container()
        if container is None:
            return None
        found: bytes | None = self._patiently(
            f"reading {key}", lambda: container.download_blob(key).readall()
        )
        return found

    def write(self, key: str, content: bytes | Path) -> None:
        """Write a blob. Raises PF8010 when there is no store: ``blobs(create=True)`` makes it."""
        container = self._container()
        if container is None:
            raise refused("PF8010", f"the store {self.name} is not there")

        def put() -> bool:
            if isinstance(content, bytes):
                container.upload_blob(key, content, overwrite=True)
            else:
                with content.open("rb") as file:
                    container.upload_blob(key, file, overwrite=True)
            return True

        if self._patiently(f"writing {key}", put) is None:
            raise refused("PF8010", f"the store {self.name} has no container {CONTAINER}")

    def names(self, prefix: str) -> Sequence[str]:
        """Return the names of the blobs that begin with *prefix*, sorted."""
        container = self._container()
        if container is None:
            return []
        found = self._patiently(
            f"listing {prefix}",
            lambda: [str(one) for one in container.list_blob_names(name_starts_with=prefix)],
        )
        return sorted(found or ())

    def remove(self, key: str) -> None:
        """Delete a blob; its versions stay for the platform's own time."""
        container = self._container()
        if container is not None:
            self._patiently(f"deleting {key}", lambda: container.delete_blob(key))


class Pending:
    """Ids that were managed when a deployment began: what of them leaves is still to be deleted.

    Kept in the store from before the stack lets go of them until they are deleted.
    """

    def __init__(self, blobs: Blobs, account: Account) -> None:
        self.blobs = blobs
        plan = account.plan
        self.key = f"pending/{plan.service}/{plan.stage or '-'}/{account.group}.json"

    def read(self) -> list[str]:
        """Return the ids."""
        found = self.blobs.read(self.key)
        return [] if found is None else list(json.loads(found))

    def write(self, identifiers: Sequence[str]) -> None:
        """Remember ids."""
        self.blobs.write(self.key, json.dumps(list(identifiers)).encode())

    def clear(self) -> None:
        """Forget them."""
        self.blobs.remove(self.key)
