"""A stand-in for deployment stacks and what-if.

Templates are checked and evaluated by ``fake_arm``. A stack advances with each time it is read, so
that a client sees it at work, and goes on when nobody waits for it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from portafaas_azure.infrastructure.expressions import GROUP, Evaluator, ExpressionError
from portafaas_azure.infrastructure.graph import resolve

SUBSCRIPTION = GROUP.split("/")[2]
_SECRET = re.compile(r"/vaults/[^/]+/secrets/[^/]+$")
_BUSY = ("deploying", "deleting")


class Stacks:
    """The stacks of a ``Cloud``."""

    def __init__(self, cloud: Any) -> None:
        self.cloud = cloud
        self.stacks: dict[str, dict[str, Any]] = {}
        self.jobs: dict[str, list[dict[str, Any]]] = {}
        self.operations: dict[str, list[dict[str, Any]]] = {}
        self.results: dict[str, Any] = {}

    def desired(
        self, group: str, properties: Mapping[str, Any], blind: bool = False
    ) -> list[dict[str, Any]]:
        """Return the resources of a template in the order they can be made in.

        With *blind* what asks deployed resources stays an expression, as what-if has it.
        """
        template = properties["template"]
        given = {n: p["value"] for n, p in (properties.get("parameters") or {}).items()}
        order = self.cloud.fake_arm.deploy(template, given, {})
        values = {n: given.get(n, d.get("defaultValue")) for n, d in template["parameters"].items()}
        evaluator = Evaluator(template, values)
        nodes, _ = resolve(template)
        bodies = dict(zip(nodes, template["resources"], strict=True))
        real = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}"
        made = []
        for identifier in order:
            body = {key: _value(evaluator, value, blind)
                    for key, value in bodies[identifier].items()
                    if key not in ("dependsOn", "condition", "scope", "type", "name")}  # fmt: skip
            made.append(json.loads(json.dumps({"id": identifier, **body}).replace(GROUP, real)))
        return made

    def answer(self, method: str, path: str, rest: str, body: Any, shown: str) -> Any:
        key = path.removesuffix(rest.lower())
        found = self.stacks.get(key)
        if method == "PUT":
            return self._put_stack(key, body, shown)
        if found is None:
            return 404, self.cloud.lib.error("DeploymentStackNotFound", "no stack")
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
        if before and self.cloud.broken:
            failed = {"provisioningState": "failed", "error": self.cloud.broken}
            before["shown"]["properties"] |= {**failed, "failedResources": []}
            return 200, before["shown"]
        if before and before["shown"]["properties"]["provisioningState"] in _BUSY:
            text = "The stack could not be updated as it is in a non-terminal state 'deploying'."
            return 409, self.cloud.lib.error("DeploymentStackInNonTerminalState", text)
        asked = body["properties"]
        try:
            wanted = self.desired(shown.split("/")[4], asked)
        except (self.cloud.fake_arm.Refused, ExpressionError) as error:
            code, _, message = str(error).partition(": ")
            return 400, self.cloud.lib.error(code, message)
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
                refused = self.cloud.locked(one["id"].lower())
                if refused and one["id"].lower() in self.cloud.resources:
                    properties |= {"provisioningState": "failed", "error": refused}
                    return
            for one in properties["resources"] if stack["then"] == "delete" else ():
                self.cloud.gone(one["id"])
            del self.stacks[key]
            return
        if properties["provisioningState"] != "deploying":
            return
        run = self.operations[properties["deploymentId"].split("/")[-1]]
        for _ in range(self.cloud.pace):
            if not self.jobs[key]:
                break
            one = self.jobs[key].pop(0)
            refused = self.cloud.failing(one["id"].lower())
            if _SECRET.search(one["id"]) and one["id"].split("/")[-1] in self.cloud.planes.deleted:
                refused = {"code": "Conflict", "message": "deleted but recoverable"}
            operation = {"targetResource": {"id": one["id"]}, "provisioningState": "Succeeded"}
            run.append({"operationId": str(len(run)), "properties": operation})
            if refused:
                operation |= {"provisioningState": "Failed", "statusMessage": {"error": refused}}
                # As in https://github.com/Azure/deployment-stacks/issues/81: no reason.
                text = "At least one resource deployment operation failed. Please list operations."
                properties["provisioningState"] = "failed"
                properties["error"] = {
                    "code": "DeploymentStackUpdateFailed", "message": "One or more stages failed.",
                    "details": [{"code": "DeploymentFailed", "message": text}],
                }  # fmt: skip
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
        self.cloud.resources[one["id"].lower()] = one
        if _SECRET.search(one["id"]):
            self.cloud.planes.put_secret(one["id"].split("/")[-1], one["properties"]["value"], False)

    def what_if(self, group: str, body: Any) -> Any:
        try:
            wanted = self.desired(group, body["properties"], True)
        except (self.cloud.fake_arm.Refused, ExpressionError) as error:
            code, _, message = str(error).partition(": ")
            return 400, self.cloud.lib.error(code, message)
        changes = []
        for one in wanted:
            change: dict[str, Any] = {"resourceId": one["id"], "after": one}
            before = self.cloud.resources.get(one["id"].lower())
            # What another call has made is the same resource.
            delta = [] if before is None else list(_delta(_body(before), _body(one), ""))
            word = "Create" if before is None else "Modify" if delta else "NoChange"
            changes.append({**change, "changeType": word, "delta": delta})
        ids = {one["id"].lower() for one in wanted}
        changes += [{"resourceId": r["id"], "changeType": "Ignore"}
                    for r in self.cloud.within(group) if r["id"].lower() not in ids]  # fmt: skip
        place = f"/results/{len(self.results)}"
        self.results[place] = {"status": "Succeeded", "properties": {"changes": changes}}
        headers = {"Location": f"{self.cloud.root}{place}?api-version=1", "Retry-After": "0"}
        return 202, b"", headers


def _body(one: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in one.items() if key not in ("apiVersion", "name", "type")}


def _value(evaluator: Evaluator, value: Any, blind: bool) -> Any:
    if isinstance(value, Mapping):
        return {evaluator.value(key): _value(evaluator, item, blind) for key, item in value.items()}
    if isinstance(value, list):
        return [_value(evaluator, item, blind) for item in value]
    return value if blind and "reference(" in str(value) else evaluator.value(value)


def _delta(before: Any, after: Any, path: str) -> Iterator[dict[str, Any]]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in sorted({*before, *after}):
            yield from _delta(before.get(name), after.get(name), f"{path}.{name}".lstrip("."))
    elif isinstance(before, list) and isinstance(after, list) and before != after:
        children: list[dict[str, Any]] = [
            {"path": str(index), "propertyChangeType": "Modify",
             "children": list(_delta(old, new, ""))}
            for index, (old, new) in enumerate(zip(before, after, strict=False)) if old != new
        ]  # fmt: skip
        children += [
            {"path": str(index), "propertyChangeType": "Create", "after": after[index]}
            for index in range(len(before), len(after))
        ]
        yield {"path": path, "propertyChangeType": "Array", "children": children,
               "before": before, "after": after}  # fmt: skip
    elif before != after:
        yield {"path": path, "propertyChangeType": "Modify", "before": before, "after": after}
