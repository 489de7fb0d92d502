"""Removing: what has left the manifest, and the whole service.

Azure's own ``deleteResources`` deletes data as readily as the rest, and fails at what is gone
already (https://github.com/Azure/deployment-stacks/issues/194) or lies under a lock, role
assignments included: https://learn.microsoft.com/azure/azure-resource-manager/management/lock-resources
So resources are deleted here, one by one, and the stack is told to let go.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from portafaas.deployment.contract import Kept, Progress, Report
from portafaas.errors import DeploymentError, Diagnostic
from portafaas_azure.deployment.account import Account
from portafaas_azure.deployment.clouds import load
from portafaas_azure.deployment.ids import (
    LOCK,
    LOCKS,
    VAULTS,
    extended,
    in_order,
    is_data,
    is_ours,
    is_within,
    kind,
    label,
    shown,
    version,
)
from portafaas_azure.deployment.refusals import azure, diagnostic, reasons

_LOCKS_API = "2020-05-01"
_GROUPS_API = "2021-04-01"
_VAULTS_API = "2024-11-01"
#: How often a deletion is tried that another one, or a lock just lifted, still stands against.
_TRIES = 20
#: Questions until a vault that was deleted is listed as such.
_SOON = 5
_WAIT = frozenset(("scopelocked", "conflict", "anotheroperationinprogress", "inuse"))


def delete(
    account: Account, identifiers: Iterable[str], versions: Mapping[str, str], report: Report
) -> list[Diagnostic]:
    """Delete resources; return why some could not be, all others are gone."""
    failed: list[Diagnostic] = []
    for one in in_order(identifiers):
        report(Progress(label(one), shown(one), "deleting"))
        found = _delete(account, one, version(one, versions.get(one, "")))
        if found is None:
            report(Progress(label(one), shown(one), "deleted"))
        else:
            report(Progress(label(one), shown(one), "failed", found.message))
            failed.append(found)
    return failed


def _delete(account: Account, identifier: str, api: str) -> Diagnostic | None:
    core = load("azure.core.exceptions")
    for tried in range(_TRIES):
        try:
            with azure(f"deleting {label(identifier)}"):
                try:
                    poller = account.missing_is_none(
                        account.resources.resources.begin_delete_by_id, identifier,
                        api_version=api, polling_interval=account.poll,
                    )  # fmt: skip
                    if poller is not None:
                        poller.result()
                except core.ResourceNotFoundError:
                    pass
                except core.HttpResponseError as error:
                    found = list(reasons(error.error)) or [("", str(error.status_code), str(error))]
                    if found[0][1].lower() not in _WAIT or tried + 1 == _TRIES:
                        return diagnostic(label(identifier), *found[0][1:])
                    time.sleep(account.poll)
                    continue
                return None
        except DeploymentError as error:
            return error.diagnostics[0]
    return None


@contextmanager
def unlocked(
    account: Account, locks: Sequence[str], doomed: Sequence[str], report: Report
) -> Iterator[None]:
    """Lift the locks that *doomed* resources lie under, and put them back, whatever happens."""
    lifted: dict[str, Any] = {}
    for lock in locks:
        if not any(one != lock and is_within(one, extended(lock)) for one in doomed):
            continue
        with azure(f"lifting the lock of {label(extended(lock))}"):
            body = account.read(lock, _LOCKS_API)
            if body is not None:
                lifted[lock] = {"properties": _own(body.get("properties") or {})}
                account.send("DELETE", f"{account.cloud.arm}{lock}", _LOCKS_API)
                report(Progress(label(lock), shown(lock), "lifted"))
    try:
        yield
    finally:
        for lock, body in lifted.items():
            with azure(f"locking {label(extended(lock))} again"):
                account.send("PUT", f"{account.cloud.arm}{lock}", _LOCKS_API, body)
                report(Progress(label(lock), shown(lock), "locked"))


def _own(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {name: properties[name] for name in ("level", "notes") if name in properties}


def remove(
    account: Account, identifiers: Iterable[str], locks: Sequence[str],
    versions: Mapping[str, str], report: Report, command: str,
) -> None:  # fmt: skip
    """Delete those of *identifiers* that hold no data. Raises PF8007 with each one's reason."""
    doomed = [one for one in identifiers if not is_data(account.plan, one)]
    with unlocked(account, locks, doomed, report):
        failed = delete(account, doomed, versions, report)
    if failed:
        raise DeploymentError(
            f"{len(failed)} resources could not be deleted; mend the cause and run "
            f"'portafaas {command}' again:", failed,
        )  # fmt: skip


def remove_all(
    account: Account, identifiers: Iterable[str], versions: Mapping[str, str], report: Report
) -> None:
    """Delete *identifiers*, data and all. Raises PF8007 with each one's reason."""
    failed = delete(account, identifiers, versions, report)
    if failed:
        raise DeploymentError(
            f"{len(failed)} resources could not be deleted; mend the cause and run "
            "'portafaas destroy --data' again:", failed,
        )  # fmt: skip


def kept(account: Account, identifiers: Iterable[str]) -> list[Kept]:
    """Return what of *identifiers* holds data and stays."""
    return [
        Kept(label(one), shown(one))
        for one in identifiers
        if is_data(account.plan, one) and kind(one) != LOCKS and not one.endswith("/default")
    ]


def leftovers(account: Account) -> list[dict[str, Any]]:
    """Return the tagged resources of the service and stage in its group, whoever manages them."""
    with azure(f"listing the resources of {account.group}"):
        found = account.missing_is_none(
            lambda: list(account.resources.resources.list_by_resource_group(account.group))
        )
        every = [dict(one.as_dict()) for one in found or ()]
    return [one for one in every if is_ours(account.plan, one.get("tags"))]


def purge(account: Account, vaults: Sequence[tuple[str, str]], report: Report) -> list[Kept]:
    """Purge deleted vaults (name, location); return those that purge protection keeps.

    https://learn.microsoft.com/azure/key-vault/general/soft-delete-overview
    """
    found: list[Kept] = []
    for name, location in vaults:
        place = (
            f"{account.cloud.arm}/subscriptions/{account.subscription}/providers/"
            f"Microsoft.KeyVault/locations/{location}/deletedVaults/{name}"
        )
        with azure(f"purging the vault {name}"):
            for _ in range(_SOON):
                deleted = account.send("GET", place, _VAULTS_API)
                if deleted is not None:
                    break
                time.sleep(account.poll)
            if deleted is None:
                continue
            properties = deleted.get("properties") or {}
            if properties.get("purgeProtectionEnabled"):
                until = properties.get("scheduledPurgeDate", "")
                about = f"deleted vault; purge protection keeps it until {until}"
                found.append(Kept(name, about))
                continue
            account.send("POST", f"{place}/purge", _VAULTS_API)
            report(Progress(name, "Microsoft.KeyVault/vaults", "purged"))
    return found


def erase(account: Account, identifiers: Sequence[str], report: Report) -> None:
    """Lift all locks of the service for good, so that everything can be deleted.

    In a group of our own these are all of our locks; elsewhere those on tagged resources.
    """
    owned = account.owns_group()
    ours = [one["id"] for one in leftovers(account)] + list(identifiers)
    url = f"{account.cloud.arm}{account.group_id}/providers/Microsoft.Authorization/locks"
    with azure("listing the locks"):
        found = (account.send("GET", url, _LOCKS_API) or {}).get("value") or ()
    for lock in [one["id"] for one in found if one.get("name") == LOCK]:
        above = extended(lock)
        if owned or any(is_within(above, one) for one in ours):
            with azure(f"lifting the lock of {label(above)}"):
                account.send("DELETE", f"{account.cloud.arm}{lock}", _LOCKS_API)
            report(Progress(label(lock), shown(lock), "lifted"))


def empty(account: Account, report: Report) -> None:
    """Delete the group if it is ours, else what is left in it of the service."""
    if account.owns_group():
        report(Progress(account.group, "Microsoft.Resources/resourceGroups", "deleting"))
        with azure(f"deleting the resource group {account.group}"):
            account.resources.resource_groups.begin_delete(
                account.group, polling_interval=account.poll
            ).result()
        report(Progress(account.group, "Microsoft.Resources/resourceGroups", "deleted"))
        return
    remove_all(account, [one["id"] for one in leftovers(account)], {}, report)


def vaults(account: Account, identifiers: Iterable[str]) -> list[tuple[str, str]]:
    """Return name and location of the vaults among *identifiers* and the tagged resources."""
    tagged = {one["id"].lower(): one for one in leftovers(account)}
    every = {one.lower(): one for one in [*identifiers, *(one["id"] for one in tagged.values())]}
    found = []
    for lowered, identifier in every.items():
        if kind(identifier) == VAULTS:
            place = str((tagged.get(lowered) or {}).get("location") or account.location())
            found.append((identifier.rpartition("/")[2], place))
    return found
