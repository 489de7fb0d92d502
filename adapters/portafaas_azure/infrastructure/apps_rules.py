"""What a Flex Consumption app must be. Pure.

https://learn.microsoft.com/azure/azure-functions/flex-consumption-plan
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from portafaas_azure.infrastructure.graph import Node, of_type, once, reachable

SITE = "Microsoft.Web/sites"
FARM = "Microsoft.Web/serverfarms"
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
#: Settings that the plan refuses: https://learn.microsoft.com/azure/azure-functions/functions-app-settings#flex-consumption-plan-deprecations
FORBIDDEN = frozenset(
    ("ENABLE_ORYX_BUILD", "FUNCTIONS_EXTENSION_VERSION", "FUNCTIONS_WORKER_RUNTIME",
     "FUNCTIONS_WORKER_RUNTIME_VERSION", "FUNCTIONS_MAX_HTTP_CONCURRENCY",
     "FUNCTIONS_WORKER_PROCESS_COUNT", "FUNCTIONS_WORKER_DYNAMIC_CONCURRENCY_ENABLED",
     "SCM_DO_BUILD_DURING_DEPLOYMENT", "WEBSITE_CONTENTAZUREFILECONNECTIONSTRING",
     "WEBSITE_CONTENTOVERVNET", "WEBSITE_CONTENTSHARE", "WEBSITE_DNS_SERVER",
     "WEBSITE_MAX_DYNAMIC_APPLICATION_SCALE_OUT", "WEBSITE_NODE_DEFAULT_VERSION",
     "WEBSITE_RUN_FROM_PACKAGE", "WEBSITE_SKIP_CONTENTSHARE_VALIDATION", "WEBSITE_TIME_ZONE",
     "WEBSITE_USE_PLACEHOLDER", "WEBSITE_VNET_ROUTE_ALL", "AzureWebJobsStorage")
)  # fmt: skip


def settings_of(site: Node) -> dict[str, str]:
    """Return the app settings of *site* by name."""
    found = site.properties.get("siteConfig", {}).get("appSettings", [])
    return {one.get("name", ""): one.get("value", "") for one in found}


def identity_of(site: Node) -> str:
    """Return the id of the one identity of *site*, or ``""``."""
    found = site.body.get("identity", {})
    owned = list(found.get("userAssignedIdentities", {}))
    return owned[0] if found.get("type") == "UserAssigned" and len(owned) == 1 else ""


def check_apps(nodes: Mapping[str, Node]) -> Iterator[str]:
    """Yield what is wrong with the apps and their plans."""
    taken: dict[str, str] = {}
    people: dict[str, str] = {}
    for site in of_type(nodes, SITE):
        farm = site.properties.get("serverFarmId", "")
        if nodes[farm].type != FARM if farm in nodes else True:
            yield f"{site.label}: has no plan"
        if taken.setdefault(farm, site.id) != site.id:
            yield f"{site.label}: shares its plan; a Flex Consumption plan takes one app"
        identity = identity_of(site)
        if not identity:
            yield f"{site.label}: has not one identity"
        elif people.setdefault(identity, site.id) != site.id:
            yield f"{site.label}: shares its identity"
        for message in _app(site, identity, nodes):
            yield f"{site.label}: {message}"


def _app(site: Node, identity: str, nodes: Mapping[str, Node]) -> Iterator[str]:
    if "cors" in site.properties.get("siteConfig", {}):
        yield "answers preflights, which is the bridge's work"
    config = site.properties.get("functionAppConfig", {})
    runtime = config.get("runtime", {})
    if runtime.get("name") != "python" or runtime.get("version") not in PYTHONS:
        yield f"no such runtime: {runtime}"
    yield from _scale(config.get("scaleAndConcurrency", {}))
    yield from _package(site, config.get("deployment", {}).get("storage", {}), identity, nodes)
    yield from _settings(site, identity, nodes)
    deploy = f"{site.id}/extensions/onedeploy"
    if deploy not in nodes:
        yield "gets no package"
    principal = f"principal-of-{identity.rpartition('/')[2]}"
    if not once(nodes, _held).get(principal, set()) <= reachable(nodes, deploy):
        yield "starts before it has its grants"


def _held(nodes: Mapping[str, Node]) -> Mapping[Any, set[str]]:
    """Return the ids of what names a principal, by the principal."""
    found: dict[Any, set[str]] = {}
    for node in nodes.values():
        found.setdefault(node.properties.get("principalId"), set()).add(node.id)
    return found


def _scale(found: Mapping[str, Any]) -> Iterator[str]:
    if found.get("instanceMemoryMB") not in (512, 2048, 4096):
        yield f"instanceMemoryMB {found.get('instanceMemoryMB')} is not 512, 2048 or 4096"
    if not 1 <= found.get("maximumInstanceCount", 0) <= 1000:
        yield "maximumInstanceCount is not 1 to 1000"
    groups = found.get("alwaysReady", ())
    kept = {one.get("name", ""): one.get("instanceCount", 0) for one in groups}
    if len(kept) != len(groups):
        yield "alwaysReady names a group twice"
    if any(count < 1 for count in kept.values()) or sum(kept.values()) > found.get(
        "maximumInstanceCount", 0
    ):
        yield "alwaysReady is not 1 to maximumInstanceCount in all"
    http = found.get("triggers", {}).get("http")
    if http is not None and not 1 <= http.get("perInstanceConcurrency", 0) <= 1000:
        yield "perInstanceConcurrency is not 1 to 1000"


def _package(
    site: Node, storage: Mapping[str, Any], identity: str, nodes: Mapping[str, Node]
) -> Iterator[str]:
    containers = once(nodes, _containers)
    if storage.get("type") != "blobContainer" or storage.get("value") not in containers:
        yield "its package lies in no container of the template"
    elif containers[storage["value"]].id not in reachable(nodes, site.id):
        yield "is made before the container of its package"
    way = storage.get("authentication", {})
    if (
        way.get("type") != "UserAssignedIdentity"
        or way.get("userAssignedIdentityResourceId") != identity
    ):
        yield "fetches its package as somebody else"


def _containers(nodes: Mapping[str, Node]) -> Mapping[str, Node]:
    kind = "Microsoft.Storage/storageAccounts/blobServices/containers"
    return {_url(node): node for node in of_type(nodes, kind)}


def _url(container: Node) -> str:
    account = container.id.split("/blobServices/")[0].rpartition("/")[2]
    return f"https://{account}.blob.core.windows.net/{container.name}"


def _settings(site: Node, identity: str, nodes: Mapping[str, Node]) -> Iterator[str]:
    config = site.properties.get("siteConfig", {})
    listed = [one.get("name") for one in config.get("appSettings", [])]
    settings = settings_of(site)
    for name in sorted({str(name) for name in listed if listed.count(name) > 1}):
        yield f"the setting {name} stands twice"
    for name in sorted(FORBIDDEN & set(settings)):
        yield f"the setting {name} is refused by the plan"
    client = f"client-of-{identity.rpartition('/')[2]}"
    for name, value in settings.items():
        if not isinstance(value, str):
            yield f"the setting {name} is no text"
        prefix, _, part = name.rpartition("__")
        if part in ("fullyQualifiedNamespace", "accountEndpoint") or part.endswith("ServiceUri"):
            if settings.get(f"{prefix}__credential") != "managedidentity":
                yield f"the connection {prefix} uses no identity"
            if settings.get(f"{prefix}__clientId") != client:
                yield f"the connection {prefix} uses another identity"
    if settings.get("AZURE_CLIENT_ID") != client:
        yield "AZURE_CLIENT_ID is another identity"
    if settings.get("APPLICATIONINSIGHTS_AUTHENTICATION_STRING") != (
        f"ClientId={client};Authorization=AAD"
    ):
        yield "sends telemetry as another identity"
    if not settings.get("APPLICATIONINSIGHTS_CONNECTION_STRING"):
        yield "sends no telemetry"
    for kind in ("queue", "table"):
        own = settings.get("AzureWebJobsStorage__blobServiceUri", "").replace(".blob.", f".{kind}.")
        runs = site.body.get("tags", {}).get("app") == "workflows"
        if settings.get(f"AzureWebJobsStorage__{kind}ServiceUri") != (own if runs else None):
            yield f"its host has other {kind}s than what workflows are kept in"
    host = settings.get("AzureWebJobsStorage__blobServiceUri", "")
    if host not in once(nodes, _hosts):
        yield "its host has no storage"


def _hosts(nodes: Mapping[str, Node]) -> set[str]:
    accounts = of_type(nodes, "Microsoft.Storage/storageAccounts")
    return {f"https://{node.name}.blob.core.windows.net/" for node in accounts}
