"""A stand-in for Resource Manager as the engine uses it: groups, resources by id, locks, tags."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

from portafaas_azure.infrastructure.expressions import GROUP

SUBSCRIPTION = GROUP.split("/")[2]
_GROUP = re.compile(r"/subscriptions/[^/]+/resourcegroups/([^/]+)", re.I)
_STACK = re.compile(
    r".*/resourcegroups/([^/]+)/providers/microsoft.resources/deploymentstacks/([^/]+)(/.*)?$", re.I
)
_SECRET = re.compile(r"/vaults/[^/]+/secrets/[^/]+$")
LOCK = "/providers/microsoft.authorization/locks/"


class Cloud:
    """The state of the cloud, and the answers of Resource Manager."""

    def __init__(
        self, planes_module: Any, stacks_module: Any, fake_arm: Any, certificate: str
    ) -> None:
        self.lib, self.fake_arm = planes_module, fake_arm
        self.engine = stacks_module.Stacks(self)
        self.stacks: dict[str, dict[str, Any]] = self.engine.stacks
        self.planes = planes_module.Planes()
        self.subscriptions = [{"subscriptionId": SUBSCRIPTION, "state": "Enabled"}]
        self.groups: dict[str, dict[str, Any]] = {}
        #: By id in lower case; ``id``, ``tags``, ``properties``, … as they are.
        self.resources: dict[str, dict[str, Any]] = {}
        self.deleted_vaults: dict[str, dict[str, Any]] = {}
        #: Part of an id -> the error that making or deleting it gives.
        self.failures: dict[str, dict[str, Any]] = {}
        #: Answers that come instead, once each: (method, part of the path, status, body).
        self.instead: list[tuple[str, str, int, Any]] = []
        self.purge_protection = True
        #: Resources a stack makes between two readings.
        self.pace = 40
        #: The error of a stack that fails before its deployment begins.
        self.broken: Any = None
        #: How often the address of a deployment site is one that nobody answers at.
        self.dark = 0
        self.calls: list[str] = []
        #: What anybody sent, but for the vault.
        self.sent: list[bytes] = []
        self.apps: dict[str, Any] = {}
        #: System keys of apps, by their ids in lower case.
        self.keys: dict[str, dict[str, str]] = {}
        self.server = planes_module.Server(self.answer)
        # Microsoft's client of blobs sends tokens through TLS only.
        self.store = planes_module.Server(self.planes.blob, certificate)
        self.blob_url = f"https://{self.store.host}/blobs"
        self.root = self.planes.root = f"http://{self.server.host}"

    def close(self) -> None:
        """End all servers."""
        for one in [self.server, self.store, *self.apps.values()]:
            one.close()

    # What a test does by hand.

    def edit(self, part: str, change: Any) -> None:
        """Call *change* with the one resource whose id has *part*."""
        change(self.one(part))

    def one(self, part: str) -> dict[str, Any]:
        """Return the one resource whose id ends in *part*."""
        (found,) = [one for key, one in self.resources.items() if key.endswith(part.lower())]
        return found

    def ids(self, kind: str = "") -> list[str]:
        """Return the ids with */kind/* in them."""
        return [one["id"] for one in self.resources.values() if f"/{kind}/" in one["id"] or not kind]

    def _scm(self, key: str) -> str:
        """Return the host of an app's deployment site, a dead one while it is ``dark``."""
        self.dark -= 1
        return self.apps[key].host if self.dark < 0 else "127.0.0.1:9"

    # HTTP.

    def answer(self, method: str, url: str, headers: Any, body: bytes) -> Any:
        """Answer a request of any plane but a deployment site's."""
        path = urlsplit(url).path
        self.calls.append(f"{method} {path}")
        if not path.startswith("/vault/"):
            self.sent.append(body)
        for index, (verb, part, status, found) in enumerate(self.instead):
            if verb == method and part.lower() in path.lower():
                del self.instead[index]
                return status, found, {}
        value = json.loads(body) if body else None
        if path == "/identity":
            return self.planes.issue(url, headers)
        if path.startswith("/vault/"):
            return self.planes.vault(method, url, headers, value)
        if path.startswith("/v1/workspaces/"):
            return self.planes.query(headers, value)
        if path == "/metadata/endpoints":
            found = {"authentication": {"audiences": [self.lib.ARM]}, "resourceManager": self.root,
                     "logAnalyticsResourceId": self.root}  # fmt: skip
            return 200, found, {}
        if self.lib.audience(headers.get("Authorization", "")) != self.lib.ARM:
            return 401, self.lib.error("InvalidAuthenticationToken", "The access token is invalid"), {}
        if "api-version" not in parse_qs(urlsplit(url).query):
            return 400, self.lib.error("MissingApiVersionParameter"), {}
        query = parse_qs(urlsplit(url).query)
        if method == "DELETE":
            value = (query.get("unmanageAction.Resources") or ["detach"])[0]
        found = self._arm(method, path, value)
        return found if len(found) == 3 else (*found, {})

    def _arm(self, method: str, path: str, body: Any) -> Any:
        lowered = path.lower().rstrip("/")
        missing = 404, self.lib.error("ResourceNotFound", f"no {path}")
        if lowered == "/subscriptions":
            return 200, {"value": self.subscriptions}
        if lowered.startswith("/results/"):
            return 200, self.engine.results[lowered]
        if "/deletedvaults/" in lowered:
            return self._deleted(method, lowered) or missing
        group = _GROUP.match(path)
        name = group.group(1) if group else ""
        if group and group.end() == len(path):
            return self._group(method, name, body)
        if group and name.lower() not in self.groups:
            return 404, self.lib.error("ResourceGroupNotFound", f"no group {name}")
        if stack := _STACK.match(path):
            return self.engine.answer(method, lowered, stack.group(3) or "", body, path)
        if lowered.endswith("/whatif"):
            return self.engine.what_if(name, body)
        if lowered.endswith("/operations"):
            return 200, {"value": self.engine.operations.get(lowered.split("/")[-2], [])}
        if lowered.endswith(f"/resourcegroups/{name.lower()}/resources"):
            return 200, {"value": [self._live(r) for r in self.within(name) if "location" in r]}
        if lowered.endswith("microsoft.authorization/locks"):
            locks = [self._live(r) for r in self.within(name) if LOCK in r["id"].lower()]
            return 200, {"value": locks}
        if lowered.endswith("/providers/microsoft.resources/tags/default"):
            one = self.resources[lowered.removesuffix("/providers/microsoft.resources/tags/default")]
            assert body["operation"] == "Merge"
            one.setdefault("tags", {}).update(body["properties"]["tags"])
            return 200, {"properties": {"tags": one["tags"]}}
        if lowered.endswith("/host/default/listkeys"):
            site = lowered.removesuffix("/host/default/listkeys")
            keys = {"systemKeys": self.keys.get(site, {}), "functionKeys": {}}
            return (200, keys) if method == "POST" and site in self.resources else missing
        if lowered.endswith("/config/appsettings/list"):
            app = self.resources.get(lowered.removesuffix("/config/appsettings/list"))
            settings = app["properties"]["siteConfig"]["appSettings"] if app else []
            found = {"properties": {s["name"]: s["value"] for s in settings}}
            return (200, found) if app else missing
        return self._resource(method, path, body) or missing

    def within(self, group: str) -> list[dict[str, Any]]:
        """Return the resources of a group."""
        part = f"/resourcegroups/{group.lower()}/"
        return [one for key, one in self.resources.items() if part in key]

    def _group(self, method: str, name: str, body: Any) -> Any:
        if method == "PUT":
            self.groups[name.lower()] = {"name": name, **body}
            return 201, self.groups[name.lower()]
        if name.lower() not in self.groups:
            return 404, self.lib.error("ResourceGroupNotFound", f"no group {name}")
        if method == "DELETE":
            inside = self.within(name)
            if any(LOCK in one["id"].lower() for one in inside):
                return 409, self.lib.error("ScopeLocked", f"{name} has locks")
            for one in inside:
                self.gone(one["id"])
            del self.groups[name.lower()]
            return 200, {}
        return 200, self.groups[name.lower()]

    def _deleted(self, method: str, path: str) -> Any:
        name = path.split("/deletedvaults/")[1].split("/")[0]
        if name not in self.deleted_vaults:
            return None
        if method == "POST":
            del self.deleted_vaults[name]
            return 200, {}
        return 200, {"properties": self.deleted_vaults[name]}

    def _resource(self, method: str, path: str, body: Any) -> Any:
        key = path.lower()
        if _SECRET.search(key) and method == "GET":
            return (200, {"id": path}) if path.split("/")[-1] in self.planes.secrets else None
        if method == "PUT":
            made = {"id": path, "type": "", "name": path.split("/")[-1], **body}
            if refused := self.failing(key):
                return 409, {"error": refused}
            self.resources[key] = made
            if key.endswith("/containers/portafaas"):
                self.planes.has_container = True
            return 201, self._live(made)
        if key not in self.resources:
            return None
        if method == "DELETE":
            if refused := (self.locked(key) or self.failing(key)):
                return 409, {"error": refused}
            self.gone(path)
            return 200, {}
        return 200, self._live(self.resources[key])

    def failing(self, key: str) -> Any:
        """Return the error that a test has put on a resource."""
        return next((e for part, e in self.failures.items() if part.lower() in key), None)

    def locked(self, key: str) -> Any:
        """Return the error of deleting what lies under a lock."""
        for other in self.resources:
            above, found, _ = other.partition(LOCK)
            if found and other != key and (key == above or key.startswith(f"{above}/")):
                message = f"The scope '{key}' cannot perform delete operation: '{above}' is locked"
                return {"code": "ScopeLocked", "message": message}
        return None

    def gone(self, identifier: str) -> None:
        """Delete a resource with what is inside of it or extends it."""
        low = identifier.lower()
        for key in [k for k in self.resources if k == low or k.startswith(f"{low}/")]:
            del self.resources[key]
        if "/microsoft.keyvault/vaults/" in low and low.count("/") == 8:
            self.deleted_vaults[low.split("/")[-1]] = {
                "purgeProtectionEnabled": self.purge_protection,
                "scheduledPurgeDate": "2030-01-01T00:00:00Z",
            }

    def _live(self, one: Mapping[str, Any]) -> dict[str, Any]:
        """Return a resource with what Azure says of it."""
        found = copy.deepcopy(dict(one))
        name, properties = found["id"].split("/")[-1], found.setdefault("properties", {})
        key, found["name"] = found["id"].lower(), name
        if "/microsoft.web/sites/" in key and key.count("/") == 8:
            if key not in self.apps:
                self.apps[key] = self.lib.Server(
                    lambda *asked: self.planes.kudu(name, *asked)
                )
            properties["hostNameSslStates"] = [
                {"hostType": "Standard", "name": f"{name}.azurewebsites.net"},
                {"hostType": "Repository", "name": self._scm(key)},
            ]
        if "/microsoft.keyvault/vaults/" in key:
            properties["vaultUri"] = f"{self.root}/vault/"
        if "/microsoft.storage/storageaccounts/" in key:
            properties["primaryEndpoints"] = {"blob": self.blob_url}
        if "/microsoft.operationalinsights/workspaces/" in key:
            properties["customerId"] = "customer"
        return found


@contextmanager
def cloud(
    planes_module: Any, stacks_module: Any, fake_arm: Any, certificate: str
) -> Iterator[Cloud]:
    """Yield a cloud that is served until the end."""
    made = Cloud(planes_module, stacks_module, fake_arm, certificate)
    try:
        yield made
    finally:
        made.close()
