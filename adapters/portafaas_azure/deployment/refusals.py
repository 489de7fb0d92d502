"""Azure's errors as diagnostics, in Azure's own words.

Codes: https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/common-deployment-errors
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from portafaas.errors import DeploymentError, Diagnostic

#: https://github.com/Azure/deployment-stacks/issues/180 names the first.
_BUSY = frozenset((
    "deploymentstackinnonterminalstate", "anotheroperationinprogress", "deploymentactive",
    "deploymentbeingdeleted", "resourcegroupbeingdeleted",
))  # fmt: skip
_QUOTA = (
    "quota", "skunotavailable", "maxstorageaccountscountpersubscriptionexceeded", "limitexceeded",
)  # fmt: skip
_TAKEN = frozenset((
    "storageaccountalreadytaken", "vaultalreadyexists", "namespacealreadyexists",
    "websitealreadyexists", "hostnamealreadyinuse", "accountnamealreadyexists", "nameunavailable",
    "dnsrecordconflict", "storageaccountalreadyexists",
))  # fmt: skip
#: In messages of plain ``Conflict`` and ``BadRequest``.
_TAKEN_TEXT = re.compile(
    r"name \S+ (is )?(already (in use|exists|taken)|not available)|already (in use|taken) by", re.I
)
_DENIED = frozenset((
    "authorizationfailed", "linkedauthorizationfailed", "invalidauthenticationtokentenant",
    "expiredauthenticationtoken", "invalidauthenticationtoken", "authenticationfailed",
    "forbidden", "authorizationpermissionmismatch", "subscriptionnotfound",
))  # fmt: skip
_DELETED = re.compile(r"(soft[- ]?deleted|deleted state|recoverable state)", re.I)
#: What an identity's server or Entra ID says when it was asked and refused.
_REFUSED = re.compile(
    r"AADSTS|invalid_(client|grant|request)|expired|unauthori[sz]ed|\b40[0-9]\b"
    r"|unexpected response", re.I,
)
_WRAPPERS = frozenset((
    "deploymentfailed", "deploymentstackdeploymentfailed", "resourcedeploymentfailure",
    "invalidtemplatedeployment", "deploymentstackvalidationfailed", "multipleerrorsoccurred",
    "deploymentstackdeleteresourcesfailed", "deploymentstackupdatefailed",
))  # fmt: skip


def reasons(error: Any, target: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield (target, code, message) of the innermost errors of an ARM error object or dict."""
    if error is None:
        return
    code, message, own = (str(_field(error, name) or "") for name in ("code", "message", "target"))
    details = _field(error, "details") or ()
    target = own or target
    if details and (code.lower() in _WRAPPERS or not message):
        for detail in details:
            yield from reasons(detail, target)
        return
    if code or message:
        yield target, code, " ".join(message.split())
    for detail in details:
        yield from reasons(detail, target)


def is_reason(code: str) -> bool:
    """Return whether an error says why, and not only that something else failed."""
    return code.lower() not in _WRAPPERS


def _field(error: Any, name: str) -> Any:
    return error.get(name) if isinstance(error, Mapping) else getattr(error, name, None)


def number(code: str, message: str) -> str:
    """Return the PF code that stands for Azure's *code* and *message*."""
    word = code.lower()
    if word in _BUSY:
        return "PF8005"
    if word in _DENIED:
        return "PF8002"
    if any(part in word for part in _QUOTA) or "quota" in message.lower():
        return "PF8009"
    if _DELETED.search(message) or word == "missingsubscriptionregistration":
        return "PF8006"
    if word in _TAKEN or _TAKEN_TEXT.search(message):
        return "PF8008"
    return "PF8007"


_HINTS = {
    "PF8005": "wait until it has ended; 'portafaas status' tells",
    "PF8002": "sign in again (az login), and see docs/deployment-azure.md for the roles needed",
    "PF8009": "ask for more in the portal under 'Quotas', or choose another location",
    "PF8008": "another service has it; a stage or a resource group of another name avoids it",
}


def _mending(target: str, message: str) -> str:
    """Return the command that mends what stands against a deployment."""
    provider = re.search(r"namespace '([\w.]+)'", message)
    if provider is not None:
        return f"az provider register --wait --namespace {provider.group(1)}"
    return f"az keyvault recover --name {target or 'NAME'}; then 'portafaas deploy' again"


def diagnostic(target: str, code: str, message: str, secrets: Iterable[str] = ()) -> Diagnostic:
    """Return the diagnostic of one of Azure's errors; no secret of *secrets* is left in it."""
    made = number(code, message)
    text = f"{target}: {code}: {message}" if target else f"{code}: {message}"
    hint = _mending(target, message) if made == "PF8006" else _HINTS.get(made)
    return Diagnostic(made, clean(text, secrets), hint=hint)


def clean(text: str, secrets: Iterable[str]) -> str:
    """Return *text* without the values of *secrets*."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    return text


def refused(
    code: str, message: str, *, hint: str | None = None, doing: str = ""
) -> DeploymentError:
    """Return an error with one diagnostic."""
    return DeploymentError(doing or "Azure:", [Diagnostic(code, message, hint=hint)])


@contextmanager
def azure(doing: str, secrets: Iterable[str] = ()) -> Iterator[None]:
    """Turn what Microsoft's clients raise into DeploymentError; *doing* is what failed."""
    try:
        yield
    except DeploymentError:
        raise
    except Exception as error:
        found = _translated(error, doing, tuple(secrets))
        if found is None:
            raise
        raise found from None


def _translated(error: Exception, doing: str, secrets: tuple[str, ...]) -> DeploymentError | None:
    try:
        from azure.core import exceptions as core
    except ImportError:
        return None
    summary = f"{doing} failed:"
    text = clean(" ".join(str(getattr(error, "message", "") or error).split()), secrets)
    if isinstance(error, core.ClientAuthenticationError) and error.response is None:
        return DeploymentError(summary, [_credentials(text)])
    if isinstance(error, (core.ServiceRequestError, core.ServiceResponseError)):
        hint = "check the network, and ARM_ENDPOINT if it is set"
        return DeploymentError(summary, [Diagnostic("PF8012", text, hint=hint)])
    if not isinstance(error, core.HttpResponseError):
        return None
    status = error.status_code or 0
    found = [diagnostic(*one, secrets) for one in reasons(error.error)]
    if isinstance(error, core.ClientAuthenticationError) or status == 401:
        found = [Diagnostic("PF8002", one.message, hint=_HINTS["PF8002"]) for one in found]
        found = found or [Diagnostic("PF8002", text, hint=_HINTS["PF8002"])]
    if not found:
        word = "Forbidden" if status == 403 else str(status)
        found = [diagnostic("", word, text or str(error.reason or ""), secrets)]
    return DeploymentError(summary, found)


def _credentials(text: str) -> Diagnostic:
    """Return PF8002 where something was found and refused, PF8001 where nothing was found."""
    if _REFUSED.search(text):
        return Diagnostic("PF8002", text, hint=_HINTS["PF8002"])
    hint = "sign in with 'az login', or set AZURE_TENANT_ID, AZURE_CLIENT_ID and a secret"
    tried = ", ".join(dict.fromkeys(re.findall(r"(\w+)Credential:", text)))
    return Diagnostic("PF8001", f"nothing to sign in with; tried: {tried or text}", hint=hint)
