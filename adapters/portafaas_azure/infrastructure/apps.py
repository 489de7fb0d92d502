"""An app: identity, host storage, plan, settings, package. Pure.

What belongs to the app is equal in all its functions, so that the first of them stands for all.

https://learn.microsoft.com/azure/azure-functions/functions-infrastructure-as-code?pivots=flex-consumption-plan
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from portafaas.adapter import Deployment
from portafaas.plan import Auth, BuildPlan, HttpTrigger
from portafaas.plan.model import Use
from portafaas_azure.broker import dead_of, source_of
from portafaas_azure.flows import PATH, control_needed
from portafaas_azure.grouping import App, apps_of
from portafaas_azure.infrastructure.addresses import address, bus_host
from portafaas_azure.infrastructure.arm import (
    Ref,
    Template,
    expression,
    formatted,
    literal,
    parameter,
)
from portafaas_azure.infrastructure.iam import Grant, assign
from portafaas_azure.infrastructure.names import setting
from portafaas_azure.infrastructure.places import Places, container
from portafaas_azure.infrastructure.resources import STORAGE
from portafaas_azure.infrastructure.scaling import always_ready, most_instances

#: Container of the host's account that the platform unpacks the package from.
PACKAGES = "package"


def add_app(
    template: Template,
    plan: BuildPlan,
    app: App,
    deployment: Deployment,
    places: Places,
    granted: Mapping[str, list[Grant]],
) -> None:
    """Add *app* and everything that is its own, in the order it is made.

    *deployment* is its first function's, *granted* has the grants of its functions by name.
    """
    owners = [(function.name, f"$.functions.{function.name}") for function in app.functions]
    template.asked[:] = owners
    tags = {**template.tags, **_owner(app)}
    identity = template.add(places.identity(app), tracked=True, tags=tags)
    host = template.add(
        places.host(app),
        STORAGE,
        tracked=True,
        tags=tags,
        sku={"name": "Standard_LRS"},
        kind="StorageV2",
    )
    packages = container(host, PACKAGES)
    template.add(packages, {"publicAccess": "None"}, depends=[host])
    asking: dict[tuple[str, Ref], list[tuple[str, str]]] = {}
    for function in app.functions:
        for grant in granted[function.name]:
            own = (function.name, f"$.functions.{function.name}")
            why = own if grant.why == "platform" else (function.name, grant.why)
            asking.setdefault((grant.role, grant.scope), []).append(why)
    held: list[Ref] = []
    for (role, scope), whys in asking.items():
        template.asked[:] = dict.fromkeys(whys)
        held.append(assign(template, identity, role, scope))
    template.asked[:] = owners
    template.add(
        places.farm(app),
        {"reserved": True},
        tracked=True,
        tags=tags,
        kind="functionapp",
        sku={"name": "FC1", "tier": "FlexConsumption"},
    )
    site = _site(template, plan, app, deployment, places)
    trigger = app.first.trigger
    if isinstance(trigger, HttpTrigger):
        if trigger.auth is not None and trigger.auth.scheme == "iam":
            template.asked[:] = [(name, f"{why}.trigger.http.auth") for name, why in owners]
            _sign_in(template, site, deployment.binding["authentication"])
            template.asked[:] = owners
        # One output, since a template has no more than 64.
        urls = template.outputs.setdefault("urls", {"type": "object", "value": {}})
        url = expression(formatted("https://{0}", site.output("defaultHostName")))
        urls["value"].update({function.name: url for function in app.functions})
    if app.runs_workflows and control_needed(plan):
        template.asked[:] = [
            (function.name, function.why(index))
            for function in plan.functions
            for index, use in enumerate(function.uses)
            if use.kind == "workflow"
        ]
        _sign_in(template, site, deployment.binding["authentication"])
        template.asked[:] = owners
    template.add(
        site.child("extensions", "'onedeploy'"),
        {"packageUri": expression(parameter("packageUri")), "remoteBuild": False},
        depends=[site, packages, *held],
        condition=f"not(empty({parameter('packageUri')}))",
    )


def _owner(app: App) -> dict[str, str]:
    """Return the tag that says whose something is."""
    return {"function" if app.own else "app": app.name}


def _site(
    template: Template,
    plan: BuildPlan,
    app: App,
    deployment: Deployment,
    places: Places,
) -> Ref:
    function = app.first
    identity, host, farm = places.identity(app), places.host(app), places.farm(app)
    packages = container(host, PACKAGES)
    scale: dict[str, Any] = {
        "maximumInstanceCount": most_instances(plan, *app.functions),
        "instanceMemoryMB": deployment.memory,
    }
    ready = always_ready(app)
    if ready:
        scale["alwaysReady"] = [{"name": n, "instanceCount": count} for n, count in ready.items()]
    if function.kind == "http":
        scale["triggers"] = {"http": {"perInstanceConcurrency": function.concurrency}}
    settings = _settings(plan, app, deployment, places)
    return template.add(
        places.site(app),
        {
            "serverFarmId": farm.value,
            "httpsOnly": True,
            "functionAppConfig": {
                "deployment": {
                    "storage": {
                        "type": "blobContainer",
                        "value": expression(
                            formatted(f"{{0}}{PACKAGES}", host.output("primaryEndpoints.blob"))
                        ),
                        "authentication": {
                            "type": "UserAssignedIdentity",
                            "userAssignedIdentityResourceId": identity.value,
                        },
                    }
                },
                "scaleAndConcurrency": scale,
                "runtime": {"name": "python", "version": plan.python},
            },
            "siteConfig": {
                "minTlsVersion": "1.2",
                "appSettings": [{"name": n, "value": v} for n, v in settings.items()],
            },
        },
        tracked=True,
        tags={
            **template.tags,
            **_owner(app),
            "package": expression(parameter("packageDigest")),
        },
        kind="functionapp,linux",
        identity={"type": "UserAssigned", "userAssignedIdentities": {identity.value: {}}},
        depends=[
            identity, host, packages, farm, places.insights, *_needed(plan, app, places),
            *(_starters(plan, places) if app.runs_workflows else ()),
        ],
    )


def _needed(plan: BuildPlan, app: App, places: Places) -> list[Ref]:
    """Return the shared resources that the app settings look into."""
    uses = _uses(app)
    kinds = {use.kind for use in uses}
    found = []
    if _on_bus(app):
        found.append(places.namespace)
    if "table" in kinds or app.first.kind == "table":
        found.append(places.cosmos)
    if "secret" in kinds:
        found.append(places.vault)
    names = {use.name for use in uses if use.kind == "bucket"}
    versions = {bucket.versioned for bucket in plan.buckets if bucket.name in names}
    found += [places.buckets(versioned) for versioned in sorted(versions)]
    if "workflow" in kinds and not app.runs_workflows:
        found.append(places.site(next(one for one in apps_of(plan) if one.runs_workflows)))
    return found


def _uses(app: App) -> list[Use]:
    """Return what the functions of *app* use, each once; they differ in an app of workflows."""
    found = {(use.kind, use.name): use for function in app.functions for use in function.uses}
    return list(found.values())


def _on_bus(app: App) -> bool:
    kinds = {use.kind for use in _uses(app)}
    return app.first.kind not in ("http", "task") or bool(kinds & {"queue", "topic"})


def _starts(app: App) -> list[str]:
    return sorted({use.name for use in _uses(app) if use.kind == "workflow"})


def _starters(plan: BuildPlan, places: Places) -> list[Ref]:
    """Return the identities that may start runs."""
    return [places.identity(app) for app in apps_of(plan) if _starts(app)]


def _callers(plan: BuildPlan, places: Places) -> str:
    """Return code of who may start what: ``<principal>=<workflow>,<workflow>;...``."""
    starters = [app for app in apps_of(plan) if _starts(app)]
    words = ";".join(
        f"{{{index}}}={','.join(_starts(app))}" for index, app in enumerate(starters)
    )
    return formatted(
        words, *(places.identity(app).output("principalId") for app in starters)
    )


def _settings(
    plan: BuildPlan, app: App, deployment: Deployment, places: Places
) -> dict[str, str]:
    """Return the app settings, as values of the template, by name.

    Connections by identity: https://learn.microsoft.com/azure/azure-functions/functions-reference#configure-an-identity-based-connection
    """
    function = app.first
    client = expression(places.identity(app).output("clientId"))
    found = {name: literal(value) for name, value in deployment.environment.items()}
    auth: Auth | None = getattr(function.trigger, "auth", None)
    if auth is not None and auth.keys and auth.keys not in function.environment:
        found[auth.keys] = expression(parameter(auth.keys))

    def connection(prefix: str, name: str, value: str) -> None:
        found[f"{prefix}__{name}"] = expression(value)
        found[f"{prefix}__credential"] = "managedidentity"
        found[f"{prefix}__clientId"] = client

    # What the SDKs take for the identity that is meant.
    found["AZURE_CLIENT_ID"] = client
    connection(
        "AzureWebJobsStorage",
        "blobServiceUri",
        places.host(app).output("primaryEndpoints.blob"),
    )
    found["APPLICATIONINSIGHTS_CONNECTION_STRING"] = expression(
        places.insights.output("ConnectionString")
    )
    found["APPLICATIONINSIGHTS_AUTHENTICATION_STRING"] = expression(
        formatted("ClientId={0};Authorization=AAD", places.identity(app).output("clientId"))
    )
    if app.runs_workflows:
        for kind in ("queue", "table"):
            found[f"AzureWebJobsStorage__{kind}ServiceUri"] = expression(
                places.host(app).output(f"primaryEndpoints.{kind}")
            )
        if control_needed(plan):
            found["PORTAFAAS_STARTERS"] = expression(_callers(plan, places))
    if _on_bus(app):
        prefix = plan.options.get("serviceBusConnection", "SERVICEBUS")
        connection(prefix, "fullyQualifiedNamespace", bus_host(places))
    if function.kind == "table":
        prefix = plan.options.get("cosmosConnection", "COSMOS")
        connection(prefix, "accountEndpoint", places.cosmos.output("documentEndpoint"))
    for use in _uses(app):
        where = expression(address(plan, use.kind, use.name, places))
        if use.kind == "workflow" and app.runs_workflows:
            # A site cannot ask for its own name; the driver knows it.
            where = expression(
                formatted(f"/{PATH}/{use.name}#api://{{0}}", parameter("authClientId"))
            )
        found[setting(use.kind, use.name)] = where
    for member in app.functions:
        for what, kind, name in (
            ("dead", "queue", dead_of(plan, member)), ("source", *source_of(plan, member)),
        ):  # fmt: skip
            if name:
                found[setting(what, member.name)] = expression(address(plan, kind, name, places))
    return found


def _sign_in(template: Template, site: Ref, wanted: dict[str, Any]) -> None:
    """Let callers in with a token of the tenant for the app registration ``authClientId``.

    https://learn.microsoft.com/azure/app-service/configure-authentication-provider-aad
    """
    client = expression(parameter("authClientId"))
    issuer = formatted(
        "{0}{1}/v2.0", "environment().authentication.loginEndpoint", "subscription().tenantId"
    )
    audience = expression(formatted("api://{0}", parameter("authClientId")))
    template.add(
        site.child("config", "'authsettingsV2'"),
        {
            "platform": {"enabled": True},
            "globalValidation": dict(wanted),
            "identityProviders": {
                "azureActiveDirectory": {
                    "enabled": True,
                    "registration": {"clientId": client, "openIdIssuer": expression(issuer)},
                    "validation": {"allowedAudiences": [client, audience]},
                }
            },
            "login": {"tokenStore": {"enabled": False}},
        },
        depends=[site],
    )
