"""Reasons that Google and Terraform give, as diagnostics; pure.

Google's errors: https://google.aip.dev/193, Cloud Storage's:
https://cloud.google.com/storage/docs/json_api/v1/status-codes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from portafaas.errors import DeploymentError, Diagnostic

#: Words of an error that mean a quota: google.rpc.Code, and reasons of the older APIs.
_QUOTA = ("RESOURCE_EXHAUSTED", "quotaExceeded", "rateLimitExceeded", "Quota exceeded", "QUOTA_")
_TAKEN = ("alreadyExists", "ALREADY_EXISTS", "already exists", "Error 409")


class ApiError(DeploymentError):
    """A call that Google refused. ``status`` is that of HTTP, ``reason`` Google's word for it."""

    def __init__(
        self, summary: str, diagnostic: Diagnostic, status: int = 0, reason: str = ""
    ) -> None:
        super().__init__(summary, [diagnostic])
        self.status = status
        self.reason = reason


def failure(code: str, summary: str, message: str, hint: str | None = None) -> DeploymentError:
    """Return an error of one diagnostic."""
    return DeploymentError(summary, [Diagnostic(code, message, hint=hint)])


def refused(what: str, status: int, content: bytes, project: str) -> ApiError:
    """Return the error for a response that is not a success; *what* was asked for."""
    try:
        error = json.loads(content)["error"]
        message, word = str(error.get("message", "")), str(error.get("status", ""))
        info = _info(error)
    except (ValueError, TypeError, KeyError, AttributeError):
        message, word, info = content.decode("utf-8", "replace")[:300].strip(), "", {}
    reason = info.get("reason") or word
    brackets = ", ".join(filter(None, (f"HTTP {status}", reason)))
    text = f"{what}: {message or 'no reason given'} ({brackets})"
    code, hint = _classify(status, reason, message, info, project)
    return ApiError(f"Google Cloud refused to {what}", Diagnostic(code, text, hint=hint), status,
                    reason)  # fmt: skip


def _info(error: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ErrorInfo of an error, or what Cloud Storage has in its place."""
    for detail in error.get("details") or ():
        if str(detail.get("@type", "")).endswith("google.rpc.ErrorInfo"):
            return {"reason": detail.get("reason", ""), **(detail.get("metadata") or {})}
    for item in error.get("errors") or ():
        return {"reason": item.get("reason", "")}
    return {}


def _classify(
    status: int, reason: str, message: str, info: Mapping[str, Any], project: str
) -> tuple[str, str | None]:
    if reason in ("SERVICE_DISABLED", "accessNotConfigured"):
        service = info.get("service") or "the API that is named"
        return "PF8003", f"gcloud services enable {service} --project={project}"
    if status == 429 or any(word in f"{reason} {message}" for word in _QUOTA):
        return "PF8009", "ask for more: https://cloud.google.com/docs/quotas/view-manage"
    if status == 401:
        return "PF8002", "gcloud auth application-default login"
    if status == 403:
        return "PF8002", "docs/deployment-gcp.md lists the roles that the deployer needs"
    if status == 409 and (reason == "ABORTED" or is_lock(message)):
        return "PF8005", "wait until it has ended: portafaas status --target gcp"
    if status == 400 and reason == "FAILED_PRECONDITION" and is_lock(message):
        return "PF8005", "wait until it has ended: portafaas status --target gcp"
    if status == 409:
        return "PF8008", None
    if status >= 500:
        return "PF8012", "try again later"
    return "PF8007", None


def is_lock(text: str) -> bool:
    """Return whether *text* says that another is at work on the same."""
    lower = text.lower()
    return any(
        words in lower
        for words in ("is locked", "state lock", "lock_acquire", "in progress", "being updated",
                      "concurrent", "saved plan is stale")
    )  # fmt: skip


def of_resource(
    address: str, text: str, status: int = 0, secrets: Iterable[str] = ()
) -> Diagnostic:
    """Return the diagnostic for what happened to one resource, by what is said about it."""
    text = scrub(" ".join(text.split()), secrets)
    where = f"{address}: " if address else ""
    if status == 409 or any(word in text for word in _TAKEN):
        hint = "what has the name is not part of this deployment; rename it, or remove it"
        return Diagnostic("PF8008", where + text, hint=hint)
    if status == 429 or any(word in text for word in _QUOTA):
        hint = "ask for more: https://cloud.google.com/docs/quotas/view-manage"
        return Diagnostic("PF8009", where + text, hint=hint)
    if is_lock(text) and not address:
        return Diagnostic("PF8005", text)
    return Diagnostic("PF8007", where + text)


def scrub(text: str, secrets: Iterable[str]) -> str:
    """Return *text* without the values of *secrets*, however they came into it."""
    for value in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(value, "(not shown)")
    return text
