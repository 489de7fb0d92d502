"""A stand-in for Resource Manager as the engine uses it: groups, stacks, what-if, locks, tags.

Templates are checked and evaluated by ``fake_arm``. A stack advances with each time it is read, so
that a client sees it at work, and goes on when nobody waits for it.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

from portafaas_azure.infrastructure.expressions import GROUP, Evaluator, ExpressionError
from portafaas_azure.infrastructure.graph import resolve

SUBSCRIPTION = GROUP.split("/")[2]
_GROUP = re.compile(r"/subscriptions/[^/]+/resourcegroups/([^/]+)", re.I)
_STACK = re.compile(
    r".*/resourcegroups/([^/]+)/providers/microsoft.resources/deploymentstacks/([^/]+)(/.*)?$", re.I
)
_SECRET = re.compile(r"/vaults/[^/]+/secrets/[^/]+$")
_BUSY = ("deploying", "deleting")
LOCK = "/providers/microsoft.authorization/locks/"


class Cloud:
    """The state of the cloud, and the answers of Resource Manager."""

    def __init__(self, planes_module: Any, fake_arm: Any, certificate: str) -> None:
        self.lib, self.fake_arm = planes_module, fake_arm
        self.planes = planes_module.Planes()
        self.subscriptions = [{"subscriptionId": SUBSCRIPTION, "state": "Enabled"}]
        self.groups: dict[str, dict[str, Any]] = {}
        #: By id in lower case; ``id``, ``tags``, ``properties``, … as they are.
        self.resources: dict[str, dict[str, Any]] = {}
        self.stacks: dict[str, dict[str, Any]] = {}
        self.jobs: dict[str, list[dict[str, Any]]] = {}
        self.operations: dict[str, list[dict[str, Any]]] = {}
        self.deleted_vaults: dict[str, dict[str, Any]] = {}
        #: Part of an id -> the error that making or deleting it gives.
        self.failures: dict[str, dict[str, Any]] = {}
        #: Answers that come instead, once each: (method, part of the path, status, body).
        self.instead: list[tuple[str, str, int, Any]] = []
        self.purge_protection = True
        #: Resources a stack makes between two readings.
        self.pace = 40
        self.calls: list[str] = []
        self.apps: dict[str, Any] = {}
        self.results: dict[str, Any] = {}
        self.server = planes_module.Server(self.answer)
        # Microsoft's client of blobs sends tokens through TLS only.
        self.store = planes_module.Server(self.planes.blob, certificate)
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

    # HTTP.

    def answer(self, method: str, url: str, headers: Any, body: bytes) -> Any:
        """Answer a request of any plane but a deployment site's."""
        path = urlsplit(url).path
        self.calls.append(f"{method} {path}")
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
            return 200, self.results[lowered]
        if "/deletedvaults/" in lowered:
            return self._deleted(method, lowered) or missing
        group = _GROUP.match(path)
        name = group.group(1) if group else ""
        if group and group.end() == len(path):
            return self._group(method, name, body)
        if group and name.lower() not in self.groups:
            return 404, self.lib.error("ResourceGroupNotFound", f"no group {name}")
        if stack := _STACK.match(path):
            return self._stack(method, lowered, stack.group(3) or "", body, path)
        if lowered.endswith("/whatif"):
            return self._what_if(name, body)
        if lowered.endswith("/operations"):
            return 200, {"value": self.operations.get(lowered.split("/")[-2], [])}
        if lowered.endswith(f"/resourcegroups/{name.lower()}/resources"):
            return 200, {"value": [self._live(r) for r in self._in(name) if "location" in r]}
        if lowered.endswith("microsoft.authorization/locks"):
            return 200, {"value": [r for r in self._in(name) if LOCK in r["id"].lower()]}
        if lowered.endswith("/providers/microsoft.resources/tags/default"):
            one = self.resources[lowered.removesuffix("/providers/microsoft.resources/tags/default")]
            assert body["operation"] == "Merge"
            one.setdefault("tags", {}).update(body["properties"]["tags"])
            return 200, {"properties": {"tags": one["tags"]}}
        if lowered.endswith("/config/appsettings/list"):
            one = self.resources.get(lowered.removesuffix("/config/appsettings/list"))
            settings = one["properties"]["siteConfig"]["appSettings"] if one else []
            found = {"properties": {s["name"]: s["value"] for s in settings}}
            return (200, found) if one else missing
        return self._resource(method, path, body) or missing

    def _in(self, group: str) -> list[dict[str, Any]]:
        part = f"/resourcegroups/{group.lower()}/"
        return [one for key, one in self.resources.items() if part in key]

    def _group(self, method: str, name: str, body: Any) -> Any:
        if method == "PUT":
            self.groups[name.lower()] = {"name": name, **body}
            return 201, self.groups[name.lower()]
        if name.lower() not in self.groups:
            return 404, self.lib.error("ResourceGroupNotFound", f"no group {name}")
        if method == "DELETE":
            inside = self._in(name)
            if any(LOCK in one["id"].lower() for one in inside):
                return 409, self.lib.error("ScopeLocked", f"{name} has locks")
            for one in inside:
                self._gone(one["id"])
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
            if refused := self._failing(key):
                return 409, {"error": refused}
            self.resources[key] = made
            if key.endswith("/containers/portafaas"):
                self.planes.has_container = True
            return 201, self._live(made)
        if key not in self.resources:
            return None
        if method == "DELETE":
            if refused := (self._locked(key) or self._failing(key)):
                return 409, {"error": refused}
            self._gone(path)
            return 200, {}
        return 200, self._live(self.resources[key])

    def _failing(self, key: str) -> Any:
        return next((e for part, e in self.failures.items() if part.lower() in key), None)

    def _locked(self, key: str) -> Any:
        for other in self.resources:
            above, found, _ = other.partition(LOCK)
            if found and other != key and (key == above or key.startswith(f"{above}/")):
                message = f"The scope '{key}' cannot perform delete operation: '{above}' is locked"
                return {"code": "ScopeLocked", "message": message}
        return None

    def _gone(self, identifier: str) -> None:
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
        key = found["id"].lower()
        if "/microsoft.web/sites/" in key and key.count("/") == 8:
            if key not in self.apps:
                self.apps[key] = self.lib.Server(
                    lambda *asked: self.planes.kudu(name, *asked)
                )
            properties["hostNameSslStates"] = [
                {"hostType": "Standard", "name": f"{name}.azurewebsites.net"},
                {"hostType": "Repository", "name": self.apps[key].host},
            ]
        if "/microsoft.keyvault/vaults/" in key:
            properties["vaultUri"] = f"{self.root}/vault/"
        if "/microsoft.storage/storageaccounts/" in key:
            properties["primaryEndpoints"] = {"blob": f"https://{self.store.host}/blobs"}
        if "/microsoft.operationalinsights/workspaces/" in key:
            properties["customerId"] = "customer"
        return found

    # Stacks and what-if.

    def desired(self, group: str, properties: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the resources of a template in the order they can be made in."""
        template = properties["template"]
        given = {n: p["value"] for n, p in (properties.get("parameters") or {}).items()}
        order = self.fake_arm.deploy(template, given, {})
        values = {n: given.get(n, d.get("defaultValue")) for n, d in template["parameters"].items()}
        evaluator = Evaluator(template, values)
        nodes, _ = resolve(template)
        bodies = dict(zip(nodes, template["resources"], strict=True))
        real = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}"
        made = []
        for identifier in order:
            body = {key: evaluator.value(value) for key, value in bodies[identifier].items()
                    if key not in ("dependsOn", "condition", "scope", "type", "name")}  # fmt: skip
            made.append(json.loads(json.dumps({"id": identifier, **body}).replace(GROUP, real)))
        return made

    def _stack(self, method: str, path: str, rest: str, body: Any, shown: str) -> Any:
        key = path.removesuffix(rest.lower())
        found = self.stacks.get(key)
        if method == "PUT":
            return self._put_stack(key, body, shown)
        if found is None:
            return 404, self.lib.error("DeploymentStackNotFound", "no stack")
        if method == "POST":
            return 200, {"template": found["template"]}
        if method == "DELETE":
            self.jobs[key] = []
            found["shown"]["properties"]["provisioningState"] = "deleting"
            found["then"] = body
            return 202, {}
        self._advance(key, found)
        return (200, self.stacks[key]["shown"]) if key in self.stacks else (404, {})

    def _put_stack(self, key: str, body: Any, shown: str) -> Any:
        before = self.stacks.get(key)
        if before and before["shown"]["properties"]["provisioningState"] in _BUSY:
            text = "The stack could not be updated as it is in a non-terminal state 'deploying'."
            return 409, self.lib.error("DeploymentStackInNonTerminalState", text)
        asked = body["properties"]
        try:
            wanted = self.desired(_GROUP.match(shown).group(1), asked)  # type: ignore[union-attr]
        except (self.fake_arm.Refused, ExpressionError) as error:
            code, _, message = str(error).partition(": ")
            return 400, self.lib.error(code, message)
        number = len(self.operations)
        declared = asked["template"]["parameters"]
        old = before["shown"]["properties"]["resources"] if before else []
        secret = {n for n, d in declared.items() if d["type"].startswith("secure")}
        self.stacks[key] = {
            "template": asked["template"],
            "outputs": Evaluator(
                asked["template"],
                {n: asked["parameters"].get(n, {}).get("value", d.get("defaultValue"))
                 for n, d in declared.items()},
            ).value(asked["template"]["outputs"]),
            "wanted": [one["id"] for one in wanted],
            "unmanage": asked["actionOnUnmanage"]["resources"],
            "shown": {
                "id": shown, "name": shown.split("/")[-1], "tags": body.get("tags"),
                "properties": {
                    "provisioningState": "deploying",
                    "actionOnUnmanage": asked["actionOnUnmanage"],
                    "denySettings": asked["denySettings"],
                    "parameters": {n: ({"type": "secureString"} if n in secret else p)
                                   for n, p in asked["parameters"].items()},
                    "deploymentId": f"{shown.split('/providers/')[0]}/providers/"
                                    f"Microsoft.Resources/deployments/run{number}",
                    "resources": old,
                },
            },
        }  # fmt: skip
        self.operations[f"run{number}"] = []
        self.jobs[key] = wanted
        return 201, self.stacks[key]["shown"]

    def _advance(self, key: str, stack: dict[str, Any]) -> None:
        properties = stack["shown"]["properties"]
        if properties["provisioningState"] == "deleting":
            for one in properties["resources"] if stack["then"] == "delete" else ():
                refused = self._locked(one["id"].lower())
                if refused and one["id"].lower() in self.resources:
                    properties |= {"provisioningState": "failed", "error": refused}
                    return
            for one in properties["resources"] if stack["then"] == "delete" else ():
                self._gone(one["id"])
            del self.stacks[key]
            return
        if properties["provisioningState"] != "deploying":
            return
        run = self.operations[properties["deploymentId"].split("/")[-1]]
        for _ in range(self.pace):
            if not self.jobs[key]:
                break
            one = self.jobs[key].pop(0)
            refused = self._failing(one["id"].lower())
            operation = {"targetResource": {"id": one["id"]}, "provisioningState": "Succeeded"}
            run.append({"operationId": str(len(run)), "properties": operation})
            if refused:
                operation |= {"provisioningState": "Failed", "statusMessage": {"error": refused}}
                inner = {"code": "DeploymentFailed", "message": "See details.", "details": [refused]}
                properties["provisioningState"] = "failed"
                properties["failedResources"] = [{"id": one["id"], "error": refused}]
                properties["error"] = {"code": "DeploymentStackDeploymentFailed",
                                       "message": "At least one failed.", "details": [inner]}  # fmt: skip
                return
            self._make(one)
            if one["id"] not in [other["id"] for other in properties["resources"]]:
                properties["resources"] = [
                    *properties["resources"],
                    {"id": one["id"], "apiVersion": one["apiVersion"], "status": "managed"},
                ]
        if not self.jobs[key]:
            stays = [r for r in properties["resources"] if r["id"] in stack["wanted"]]
            properties |= {"provisioningState": "succeeded", "resources": stays,
                           "outputs": stack["outputs"]}  # fmt: skip

    def _make(self, one: dict[str, Any]) -> None:
        self.resources[one["id"].lower()] = one
        if _SECRET.search(one["id"]):
            self.planes.put_secret(one["id"].split("/")[-1], one["properties"]["value"], False)

    def _what_if(self, group: str, body: Any) -> Any:
        try:
            wanted = self.desired(group, body["properties"])
        except (self.fake_arm.Refused, ExpressionError) as error:
            code, _, message = str(error).partition(": ")
            return 400, self.lib.error(code, message)
        changes = []
        for one in wanted:
            change: dict[str, Any] = {"resourceId": one["id"], "after": one}
            before = self.resources.get(one["id"].lower())
            delta = [] if before is None else list(_delta(before, one, ""))
            word = "Create" if before is None else "Modify" if delta else "NoChange"
            changes.append({**change, "changeType": word, "delta": delta})
        ids = {one["id"].lower() for one in wanted}
        changes += [{"resourceId": r["id"], "changeType": "Ignore"}
                    for r in self._in(group) if r["id"].lower() not in ids]  # fmt: skip
        place = f"/results/{len(self.results)}"
        self.results[place] = {"status": "Succeeded", "properties": {"changes": changes}}
        headers = {"Location": f"{self.root}{place}?api-version=1", "Retry-After": "0"}
        return 202, b"", headers


def _delta(before: Any, after: Any, path: str) -> Iterator[dict[str, Any]]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in sorted({*before, *after}):
            yield from _delta(before.get(name), after.get(name), f"{path}.{name}".lstrip("."))
    elif isinstance(before, list) and isinstance(after, list) and before != after:
        children = [
            {"path": str(index), "propertyChangeType": "Modify",
             "children": list(_delta(old, new, ""))}
            for index, (old, new) in enumerate(zip(before, after, strict=False)) if old != new
        ]  # fmt: skip
        yield {"path": path, "propertyChangeType": "Array", "children": children,
               "before": before, "after": after}  # fmt: skip
    elif before != after:
        yield {"path": path, "propertyChangeType": "Modify", "before": before, "after": after}


@contextmanager
def cloud(planes_module: Any, fake_arm: Any, certificate: str) -> Iterator[Cloud]:
    """Yield a cloud that is served until the end."""
    made = Cloud(planes_module, fake_arm, certificate)
    try:
        yield made
    finally:
        made.close()
