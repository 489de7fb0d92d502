"""The values of the template's parameters: exactly those that it declares and has no better for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from portafaas.deployment.release import Release
from portafaas.errors import DeploymentError, Diagnostic
from portafaas_azure.deployment.account import Account
from portafaas_azure.deployment.ids import SITES, kind, label, version
from portafaas_azure.deployment.refusals import azure, refused

#: Parameters with a meaning of their own; all others are variables of API keys.
_KNOWN = frozenset((
    "location", "packageUri", "packageDigest", "logRetentionDays", "protectData", "secretShells",
    "authClientId",
))  # fmt: skip


def template(release: Release) -> Mapping[str, Any]:
    """Return the release's ARM template."""
    for name, document in sorted(release.documents.items()):
        if name.endswith(".arm.json"):
            found: Mapping[str, Any] = document
            return found
    raise refused(
        "PF8007", "the release has no ARM template (it was built with --no-infrastructure)"
    )


def app_settings(account: Account, site: str) -> Mapping[str, str]:
    """Return an app's settings; they may be secret."""
    url = f"{account.cloud.arm}{site}/config/appsettings/list"
    with azure(f"reading the settings of {label(site)}"):
        found = account.send("POST", url, version(site)) or {}
    settings: Mapping[str, str] = found.get("properties") or {}
    return settings


def sites(managed: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the ids of the apps among a stack's resources."""
    return [one["id"] for one in managed if kind(one["id"]) == SITES]


def running(account: Account, identifiers: Sequence[str]) -> dict[str, str]:
    """Return the digest of the package that runs by app: its tag ``package``, "" for none."""
    found = {}
    for site in identifiers:
        with azure(f"reading {label(site)}"):
            body = account.read(site) or {}
        found[site] = str((body.get("tags") or {}).get("package", ""))
    return found


def common(digests: Mapping[str, str]) -> str:
    """Return the one digest of all apps, "" when they differ."""
    different = set(digests.values())
    return different.pop() if len(different) == 1 else ""


def values(
    account: Account,
    document: Mapping[str, Any],
    managed: Sequence[Mapping[str, Any]],
    given: Mapping[str, Any],
    keys: Mapping[str, str],
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the parameters of a deployment of *document*.

    *managed* are the stack's resources, *given* the parameters it was deployed with, *keys* the
    digests of API keys by variable; a variable that is missing keeps what an app has. Raises
    PF8013 for one that no app has, PF8003 for an unknown app registration: all at once.
    """
    declared = document["parameters"]
    apps = sites(managed)
    found: dict[str, Any] = {}
    problems: list[Diagnostic] = []
    if "location" in declared:
        found["location"] = account.location()
    if "packageDigest" in declared:
        # The tag says what runs; the new package is not there before the apps are.
        found["packageDigest"] = common(running(account, apps))
    if "secretShells" in declared:
        found["secretShells"] = _shells(account, document, managed)
    if "authClientId" in declared:
        client = options.get("auth-client-id") or given.get("authClientId")
        if client:
            found["authClientId"] = client
        else:
            problems.append(
                Diagnostic(
                    "PF8003", "'auth: iam' needs the client id of an app registration",
                    hint="targets: {azure: {auth-client-id: …}}",
                )
            )
    wanted = sorted(set(declared) - _KNOWN)
    deployed = _deployed_keys(account, apps, [name for name in wanted if not keys.get(name)])
    for name in wanted:
        value = keys.get(name) or deployed.get(name)
        if value:
            found[name] = value
        else:
            problems.append(
                Diagnostic(
                    "PF8013", f"the variable {name} with the API keys' digests has no value",
                    hint=f"set {name} to the SHA-256 of each key: printf %s KEY | sha256sum",
                )
            )
    if problems:
        raise DeploymentError("the deployment lacks values:", problems)
    return found


def _deployed_keys(account: Account, apps: list[str], names: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for site in apps if names else ():
        settings = app_settings(account, site)
        found |= {name: settings[name] for name in names if settings.get(name)}
    return found


def _shells(
    account: Account, document: Mapping[str, Any], managed: Sequence[Mapping[str, Any]]
) -> list[str]:
    """Return the declared secrets that are not in the vault, nor deleted and recoverable there.

    A shell over a deleted secret is refused; the roles on it are still there.
    """
    from portafaas_azure.deployment.vault import secret_names, vault_of

    names = secret_names(document)
    vault = vault_of(account, managed)
    if vault is None:
        return names
    found = []
    for name in names:
        with azure(f"reading the secret {name}"):
            there = account.read(f"{vault}/secrets/{name}")
        if there is None and not _is_deleted(account, vault, name):
            found.append(name)
    return found


def _is_deleted(account: Account, vault: str, name: str) -> bool:
    from portafaas_azure.deployment.vault import Vault

    with azure(f"reading {label(vault)}"):
        if account.read(vault) is None:
            return False
    # Who deploys need not be allowed to see secrets: then there is no telling.
    return Vault(account, vault).is_deleted(name)
