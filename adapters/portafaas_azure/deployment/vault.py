"""The secrets of a service, in its Key Vault.

https://learn.microsoft.com/rest/api/keyvault/secrets
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from portafaas.deployment.contract import SecretFacts, Secrets
from portafaas_azure.deployment.account import Account
from portafaas_azure.deployment.ids import VAULTS, kind, label
from portafaas_azure.deployment.refusals import azure, refused

_API = "7.4"
#: Questions until a secret that is being recovered or deleted is.
_TRIES = 60


def vault_of(account: Account, managed: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the id of the vault: among a stack's resources, else of those the stack let go of.

    A vault outlives ``destroy``, and its secrets must be found again.
    """
    from portafaas_azure.deployment.removal import leftovers

    own = [one["id"] for one in managed if kind(one["id"]) == VAULTS]
    own = own or [one["id"] for one in leftovers(account) if kind(one["id"]) == VAULTS]
    return own[0] if own else None


def secret_names(document: Mapping[str, Any]) -> list[str]:
    """Return the names of the secrets that a template makes shells of."""
    found = []
    for one in document["resources"]:
        if one["type"] == "Microsoft.KeyVault/vaults/secrets":
            found.append(str(one["name"]).rpartition("/")[2].partition("'")[0].rstrip("]"))
    return found


class Vault:
    """The data plane of one Key Vault."""

    def __init__(self, account: Account, identifier: str) -> None:
        self.account = account
        self.identifier = identifier
        self._root = ""

    @property
    def root(self) -> str:
        """The vault's address, as Resource Manager gives it."""
        if not self._root:
            with azure(f"reading {label(self.identifier)}"):
                found = self.account.read(self.identifier) or {}
            uri = str((found.get("properties") or {}).get("vaultUri") or "")
            if not uri:
                raise refused("PF8010", f"the vault {label(self.identifier)} is not there")
            self._root = uri.rstrip("/")
        return self._root

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request to the vault; return the response."""
        url = path if path.startswith("http") else f"{self.root}/{path}"
        params = {} if path.startswith("http") else {"api-version": _API}
        return self.account.ask(method, url, scope_of(self.root), params, body)

    def checked(self, method: str, path: str, body: Any = None) -> Any:
        """Like :meth:`ask`, and raise for every status but 2xx and 404."""
        found = self.ask(method, path, body)
        if found.status_code == 403:
            raise refused(
                "PF8002", f"the vault {label(self.identifier)} refuses you its secrets",
                hint="az role assignment create --role 'Key Vault Secrets Officer' "
                f"--assignee YOU --scope {self.identifier}; honoured after a minute or two",
            )  # fmt: skip
        if found.status_code != 404:
            found.raise_for_status()
        return found

    def is_deleted(self, name: str) -> bool:
        """Return whether a secret is deleted but not purged; False when we may not ask."""
        with azure(f"reading the secret {name}"):
            return bool(self.ask("GET", f"deletedsecrets/{name}").status_code == 200)

    def facts(self) -> dict[str, str]:
        """Return the time of the newest value by secret, "" for a shell."""
        found: dict[str, str] = {}
        path = "secrets"
        while path:
            page = self.checked("GET", path).json()
            for one in page.get("value") or ():
                attributes = one.get("attributes") or {}
                when = attributes.get("updated") if attributes.get("enabled", True) else None
                found[str(one["id"]).rstrip("/").rpartition("/")[2]] = _time(when)
            path = page.get("nextLink") or ""
        return found

    def put(self, name: str, value: str) -> None:
        """Give a secret a value; one that is deleted is recovered first."""
        body = {"value": value, "attributes": {"enabled": True}}
        found = self.ask("PUT", f"secrets/{name}", body)
        if found.status_code == 409 and self.is_deleted(name):
            self.checked("POST", f"deletedsecrets/{name}/recover")
            for found in self._again("PUT", f"secrets/{name}", body):
                if found.status_code != 409:
                    break
        if found.status_code == 403:
            self.checked("PUT", f"secrets/{name}", body)
        found.raise_for_status()

    def remove(self, name: str) -> bool:
        """Delete a secret, for good where that is allowed; return whether it is gone for good."""
        if self.checked("DELETE", f"secrets/{name}").status_code == 404:
            return True
        for found in self._again("GET", f"deletedsecrets/{name}"):
            if found.status_code != 404:
                break
        level = str(((found.json() or {}).get("attributes") or {}).get("recoveryLevel", ""))
        if "Purgeable" not in level:
            return False
        return bool(self.ask("DELETE", f"deletedsecrets/{name}").status_code == 204)

    def _again(self, method: str, path: str, body: Any = None) -> Iterator[Any]:
        for _ in range(_TRIES):
            yield self.ask(method, path, body)
            time.sleep(self.account.poll)


def scope_of(root: str) -> str:
    """Return the token scope of a vault: its cloud's domain (vault.azure.net, vault.azure.cn…)."""
    host = root.partition("://")[2]
    domain = host.partition(".")[2] if host.partition(".")[2].startswith("vault.") else ""
    return f"https://{domain or 'vault.azure.net'}/.default"


def _time(seconds: Any) -> str:
    if seconds is None:
        return ""
    found = datetime.datetime.fromtimestamp(float(seconds), datetime.UTC)
    return found.strftime("%Y-%m-%dT%H:%M:%SZ")


class AzureSecrets(Secrets):
    """The declared secrets; the vault is the one of the deployed stack."""

    def __init__(self, account: Account, identifier: str | None) -> None:
        self.account = account
        self.vault = None if identifier is None else Vault(account, identifier)

    def _declared(self, name: str) -> None:
        if name not in [secret.name for secret in self.account.plan.secrets]:
            raise refused("PF8011", f"the manifest declares no secret {name!r}")

    def _there(self) -> Vault:
        if self.vault is None:
            raise refused(
                "PF8010", "the vault is made by the first deployment",
                hint="run 'portafaas deploy' first: secrets may be set afterwards",
            )  # fmt: skip
        return self.vault

    def set(self, name: str, value: bytes) -> None:
        """Give the declared secret *name* a new value. Raises PF8010 before a deployment."""
        self._declared(name)
        try:
            text = value.decode()
        except UnicodeDecodeError:
            # The decoder's own error would show the value.
            raise refused("PF8011", f"the value of {name!r} is not UTF-8 text") from None
        vault = self._there()
        with azure(f"setting the secret {name}", [text]):
            vault.put(name, text)

    def list(self) -> Sequence[SecretFacts]:
        """Return the facts of each declared secret; without a vault none has a value."""
        found: dict[str, str] = {}
        if self.vault is not None and self.account.plan.secrets:
            with azure("listing the secrets"):
                found = self.vault.facts()
        place = "" if self.vault is None else f"{label(self.vault.identifier)}/"
        return [
            SecretFacts(one.name, f"{place}{one.name}", found.get(one.name, ""))
            for one in self.account.plan.secrets
        ]

    def remove(self, name: str) -> None:
        """Delete the secret; purge protection keeps it recoverable for 90 days."""
        self._declared(name)
        vault = self._there()
        with azure(f"removing the secret {name}"):
            vault.remove(name)
