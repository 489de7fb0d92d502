"""Following what Infrastructure Manager does to its end, and the reasons of what went wrong."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from portafaas.deployment.contract import Progress, Report
from portafaas.errors import DeploymentError, Diagnostic
from portafaas_gcp.deployment.failures import failure, is_lock, of_resource, scrub

if TYPE_CHECKING:
    from portafaas_gcp.deployment.manager import ManagerEngine


def wait(engine: ManagerEngine, operation: Any, look: Any) -> Any:
    """Return an operation that is done; *look* gets each state of it."""
    delay = engine.poll
    while True:
        look(operation)
        if operation.get("done"):
            return operation
        time.sleep(delay)
        delay = min(delay * 1.2, engine.poll * 5)
        operation = engine.cloud.call("config", "GET", f"v1/{operation['name']}")


def follow(
    engine: ManagerEngine,
    operation: Any,
    before: str,
    report: Report,
    secrets: Iterable[str],
    verb: str,
) -> None:
    """Wait for a change of the deployment; raise PF8005, PF8007, PF8008 or PF8009 if it failed.

    Reports the steps of the whole, and the resources of the new revision, which is not *before*, as
    they change.
    """
    seen: dict[str, str] = {}

    def tell(resource: str, kind: str, state: str) -> None:
        if state and seen.get(resource) != state:
            seen[resource] = state
            report(Progress(resource, kind, state))

    def look(current: Any) -> None:
        about = (current.get("metadata") or {}).get("deploymentMetadata") or {}
        tell(engine.id, "deployment", about.get("step", ""))
        for item in _resources(engine, before):
            info = item.get("terraformInfo", {})
            tell(info.get("address", ""), info.get("type", ""), item.get("state", ""))

    done = wait(engine, operation, look)
    secrets = list(secrets)
    deployment = engine.cloud.call("config", "GET", engine.path, absent=True)
    failed = deployment is not None and deployment.get("state") == "FAILED"
    if not done.get("error") and not failed:
        return
    found = reasons(engine, deployment or {}, secrets) if failed else []
    error = done.get("error") or {}
    text = scrub(str(error.get("message", "")), secrets)
    if not found:
        code = "PF8005" if is_lock(text) or error.get("code") == 10 else "PF8007"
        found = [Diagnostic(code, text or "the engine gives no reason")]
    state = (deployment or {}).get("state", "gone")
    left = len([item for item in _resources(engine, "") if item.get("state") == "RECONCILED"])
    raise DeploymentError(
        f"{engine.id} failed, and is left {state} with {left} resources in place; what is mended, "
        f"goes on with: {engine.command(verb)}",
        found,
    )


def _resources(engine: ManagerEngine, before: str) -> list[Any]:
    """Return the resources of the latest revision, none while that is still *before*."""
    deployment = engine.cloud.call("config", "GET", engine.path, absent=True) or {}
    latest = deployment.get("latestRevision", "")
    if not latest or latest == before:
        return []
    found = engine.cloud.pages("config", f"v1/{latest}/resources", "resources")
    return sorted(found, key=lambda item: str(item.get("terraformInfo", {}).get("address", "")))


def reasons(engine: ManagerEngine, deployment: Any, secrets: Iterable[str]) -> list[Diagnostic]:
    """Return why a deployment is FAILED: Terraform's errors, or what came before Terraform."""
    secrets = list(secrets)
    sources = [deployment]
    if deployment.get("errorCode", "REVISION_FAILED") == "REVISION_FAILED":
        latest = deployment.get("latestRevision", "")
        revision = engine.cloud.call("config", "GET", f"v1/{latest}") if latest else {}
        sources.insert(0, revision)
    for source in sources:
        if source.get("tfErrors"):
            return [_terraform(item, secrets) for item in source["tfErrors"]]
    for source in sources:
        text = " ".join(
            str(source[key]) for key in ("errorCode", "stateDetail") if source.get(key)
        )
        if text:
            code = "PF8009" if "QUOTA" in text else "PF8007"
            logs = source.get("errorLogs") or source.get("logs")
            return [Diagnostic(code, scrub(text, secrets), hint=f"see {logs}" if logs else None)]
    return []


def _terraform(item: Any, secrets: list[str]) -> Diagnostic:
    status = item.get("httpResponseCode", 0)
    text = item.get("errorDescription") or (item.get("error") or {}).get("message", "")
    return of_resource(item.get("resourceAddress", ""), text, status, secrets)


def preview(engine: ManagerEngine, operation: Any, secrets: Iterable[str]) -> str:
    """Wait for a preview, and return its name."""
    done = wait(engine, operation, lambda _: None)
    name = target(done)
    found = engine.cloud.call("config", "GET", f"v1/{name}", absent=True) or {} if name else {}
    if not done.get("error") and found.get("state") == "SUCCEEDED":
        return name
    secrets = list(secrets)
    if found.get("errorCode") == "DEPLOYMENT_LOCK_ACQUIRE_FAILED":
        text = (found.get("errorStatus") or {}).get("message") or "the lock is held"
        raise engine.busy(scrub(text, secrets))
    problems = [_terraform(item, secrets) for item in found.get("tfErrors") or ()]
    if problems:
        raise DeploymentError(f"{engine.id} cannot be previewed; nothing was changed:", problems)
    error = found.get("errorStatus") or done.get("error") or {}
    text = f"{found.get('errorCode', '')} {error.get('message', '')}".strip()
    raise failure(
        "PF8005" if is_lock(text) else "PF8007",
        f"{engine.id} cannot be previewed; nothing was changed:",
        scrub(text, secrets) or "the engine gives no reason",
        f"see {found['logs']}" if found.get("logs") else None,
    )


def target(operation: Any) -> str:
    """Return the name of what an operation makes."""
    about = operation.get("metadata") or {}
    return str((operation.get("response") or {}).get("name") or about.get("target") or "")


def outputs(engine: ManagerEngine, revision: Any) -> Mapping[str, Any]:
    """Return the outputs of a revision, or of the last that succeeded.

    Terraform writes outputs whose values are known even if what should be there failed.
    """
    if revision.get("state") == "APPLIED" or not revision:
        found: Mapping[str, Any] = (revision.get("applyResults") or {}).get("outputs") or {}
        return found
    pages = engine.cloud.pages("config", f"{engine.path}/revisions", "revisions")
    done = [item for item in pages if item.get("state") == "APPLIED"]
    last: Any = max(done, key=lambda item: str(item.get("createTime", "")), default={})
    return (last.get("applyResults") or {}).get("outputs") or {}
