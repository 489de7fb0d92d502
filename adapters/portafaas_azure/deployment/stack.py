"""The deployment stack: put, wait, delete, and why it failed.

https://learn.microsoft.com/azure/azure-resource-manager/bicep/deployment-stacks
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from portafaas.deployment.contract import Progress, Report
from portafaas.errors import DeploymentError, Diagnostic
from portafaas_azure.deployment.account import Account
from portafaas_azure.deployment.ids import kind, label, shown, tags
from portafaas_azure.deployment.refusals import (
    azure,
    clean,
    diagnostic,
    is_reason,
    reasons,
    refused,
)

_ENDED = frozenset(("succeeded", "failed", "canceled"))


class Stack:
    """The stack of one service and stage."""

    def __init__(self, account: Account) -> None:
        self.account = account

    def get(self) -> dict[str, Any] | None:
        """Return the stack as JSON values, None when it is not there."""
        own = self.account
        with azure(f"reading the deployment stack {own.stack}"):
            found = own.missing_is_none(own.stacks.get_at_resource_group, own.group, own.stack)
        return None if found is None else dict(found.as_dict())

    def idle(self) -> dict[str, Any] | None:
        """Return the stack. Raises PF8005 while something is under way in it."""
        found = self.get()
        if found is not None and is_busy(found):
            raise refused(
                "PF8005", f"{self.account.stack} is in the state {state(found)!r}",
                hint="wait until it has ended; 'portafaas status' tells",
                doing="another deployment is under way:",
            )  # fmt: skip
        return found

    def template(self) -> Mapping[str, Any]:
        """Return the template that was deployed last."""
        own = self.account
        with azure(f"reading the template of {own.stack}"):
            found = own.stacks.export_template_at_resource_group(own.group, own.stack)
        exported: Mapping[str, Any] = found.as_dict()["template"]
        return exported

    def put(
        self,
        document: Mapping[str, Any],
        parameters: Mapping[str, Any],
        report: Report,
        secrets: Iterable[str],
    ) -> dict[str, Any]:
        """Deploy *document*; return the stack when it has succeeded. Raises PF8005, PF8007, …"""
        own = self.account
        before = self.get()
        body = {
            "tags": tags(own.plan),
            "properties": {
                "template": dict(document),
                "parameters": {name: {"value": value} for name, value in parameters.items()},
                # What has left the template is removed afterwards, in an order and with a regard
                # for data and locks that a stack does not have.
                "actionOnUnmanage": {
                    "resources": "detach", "resourceGroups": "detach",
                    "managementGroups": "detach",
                },
                "denySettings": {"mode": "none"},
            },
        }  # fmt: skip
        with azure(f"deploying {own.stack}", secrets):
            # The answer to a PUT is not waited for: the loop below reads more than it says.
            poller = own.stacks.begin_create_or_update_at_resource_group(
                own.group, own.stack, body, polling=False
            )
            accepted = poller.result()
        old = "-" if before is None else _deployment(before)
        found = dict(accepted.as_dict()) if accepted is not None else self.get()
        seen: dict[str, str] = {}
        while found is None or is_busy(found):
            time.sleep(own.poll)
            found = self.get()
            # Until the new deployment has begun the stack names the one before.
            if found is not None and _deployment(found) != old:
                self._progress(found, report, seen)
        if state(found) != "succeeded":
            raise self.failure(found, secrets, "deploy", old)
        return found

    def operations(self, stack: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the operations of the stack's last deployment."""
        own = self.account
        name = _deployment(stack).rpartition("/")[2]
        if not name:
            return []
        found = own.missing_is_none(
            lambda: list(own.deployments.deployment_operations.list(own.group, name))
        )
        return [dict(one.as_dict()).get("properties") or {} for one in found or ()]

    def _progress(self, stack: Mapping[str, Any], report: Report, seen: dict[str, str]) -> None:
        with azure("reading the progress"):
            found = self.operations(stack)
        for operation in found:
            identifier = (operation.get("targetResource") or {}).get("id", "")
            now = str(operation.get("provisioningState", ""))
            if identifier and seen.get(identifier) != now:
                seen[identifier] = now
                report(Progress(label(identifier), shown(identifier), now))

    def failure(
        self, stack: Mapping[str, Any], secrets: Iterable[str], command: str, old: str = "-"
    ) -> DeploymentError:
        """Return why the stack has failed: the reason of each resource, not those of *old*."""
        properties = stack.get("properties") or {}
        found: list[Diagnostic] = []
        named: set[str] = set()

        def add(identifier: str, error: Any) -> None:
            for target, code, message in reasons(error):
                if found and not is_reason(code):
                    continue
                where = label(identifier or target) if identifier or target else ""
                one = diagnostic(where, code, message, secrets)
                key = f"{code}: {message}"
                if key not in named or (identifier and one not in found):
                    named.add(key)
                    found.append(one)

        with azure("reading what failed"):
            operations = [] if _deployment(stack) == old else self.operations(stack)
        for operation in operations:
            if str(operation.get("provisioningState", "")).lower() == "failed":
                message = operation.get("statusMessage") or {}
                target = (operation.get("targetResource") or {}).get("id", "")
                add(target, message.get("error") or message)
        for resource in properties.get("failedResources") or ():
            add(resource.get("id", ""), resource.get("error"))
        add("", properties.get("error"))
        if not found:
            found = [Diagnostic("PF8007", f"Azure gave no reason; the state is {state(stack)!r}")]
        summary = (
            f"{self.account.stack} is in the state {state(stack)!r}: what was done stays, what had "
            f"not begun was not touched; mend the cause and run 'portafaas {command}' again:"
        )
        return DeploymentError(clean(summary, secrets), found)

    def delete(self, report: Report) -> None:
        """Delete the stack and none of its resources. Raises PF8007.

        A stack that deletes its resources is stuck for hours when one is gone already or locked:
        https://github.com/Azure/deployment-stacks/issues/194
        """
        own = self.account
        with azure(f"deleting the deployment stack {own.stack}"):
            own.missing_is_none(
                own.stacks.begin_delete_at_resource_group, own.group, own.stack,
                unmanage_action_resources="detach", unmanage_action_resource_groups="detach",
                unmanage_action_management_groups="detach",
                bypass_stack_out_of_sync_error=True, polling=False,
            )  # fmt: skip
        kind_of, last = "Microsoft.Resources/deploymentStacks", ""
        while (found := self.get()) is not None:
            if not is_busy(found) and state(found) != "succeeded":
                raise self.failure(found, (), "destroy")
            if state(found) != last:
                last = state(found)
                report(Progress(own.stack, kind_of, last))
            time.sleep(own.poll)
        report(Progress(own.stack, kind_of, "deleted"))


def managed(stack: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    """Return the stack's resources, the ids in the case that Azure gives."""
    found = ((stack or {}).get("properties") or {}).get("resources") or ()
    return [one for one in found if one.get("id")]


def given(stack: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the parameters that the stack was deployed with; Azure keeps the secret ones."""
    found = ((stack or {}).get("properties") or {}).get("parameters") or {}
    return {name: one["value"] for name, one in found.items() if one and "value" in one}


def urls(stack: Mapping[str, Any]) -> dict[str, str]:
    """Return the address of each http function, which the template puts into one output."""
    found = (stack.get("properties") or {}).get("outputs") or {}
    value = (found.get("urls") or {}).get("value")
    return dict(value) if isinstance(value, Mapping) else {}


def state(stack: Mapping[str, Any]) -> str:
    """Return the stack's state in Azure's word: ``deploying``, ``succeeded``."""
    return str((stack.get("properties") or {}).get("provisioningState") or "")


def is_busy(stack: Mapping[str, Any]) -> bool:
    """Return whether something is under way in the stack."""
    return state(stack).lower() not in _ENDED


def is_managed(stack: Mapping[str, Any], wanted: str) -> list[str]:
    """Return the ids of the stack's resources of the type *wanted* (lower case)."""
    return [one["id"] for one in managed(stack) if kind(one["id"]) == wanted]


def _deployment(stack: Mapping[str, Any]) -> str:
    return str((stack.get("properties") or {}).get("deploymentId") or "")
