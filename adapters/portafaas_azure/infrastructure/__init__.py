"""The infrastructure of a service on Azure, as one ARM template. Pure.

Order: what all share, then one block for each app, so that a new function changes nothing but its
own app's block.
"""

from __future__ import annotations

from typing import Any

from portafaas.adapter import Infrastructure, Permission
from portafaas.plan import BuildPlan, HttpTrigger
from portafaas_azure.grouping import apps_of
from portafaas_azure.infrastructure.addresses import add_addresses
from portafaas_azure.infrastructure.alerts import add_alerts
from portafaas_azure.infrastructure.apps import add_app
from portafaas_azure.infrastructure.arm import Template
from portafaas_azure.infrastructure.iam import grants, notes
from portafaas_azure.infrastructure.places import Places
from portafaas_azure.infrastructure.resources import (
    add_buckets,
    add_bus,
    add_logs,
    add_secrets,
    add_tables,
)
from portafaas_azure.infrastructure.triggers import add_delivery, add_trigger, delivery_grant
from portafaas_azure.lowering import deployed


def emit(plan: BuildPlan) -> Infrastructure:
    """Return ``<service>.arm.json`` for *plan*, what it grants, and notes (PF3010).

    More resources than a deployment takes are an error among the notes, without a document. Raises
    PortafaasError when the template breaks one of its own rules: a bug.
    """
    from portafaas_azure.limits import too_many

    template, permissions = _made(plan)
    document = template.document()
    if refused := too_many(plan, document):
        return Infrastructure({}, (), tuple(refused))
    _refuse_own_mistakes(plan, document)
    from portafaas_azure.infrastructure.explained import redeliveries, resources

    return Infrastructure(
        {f"{plan.service}.arm.json": document},
        permissions,
        notes(plan),
        resources(template),
        redeliveries(template, plan, deployed(plan)),
    )


def size(plan: BuildPlan) -> int:
    """Return how many resources the template of *plan* has."""
    return len(_made(plan)[0].resources)


def _made(plan: BuildPlan) -> tuple[Template, tuple[Permission, ...]]:
    places = Places(plan)
    deployments = {made.function: made for made in deployed(plan)}
    groups = apps_of(plan)
    granted = {
        function.name: grants(plan, app, function, places)
        for app in groups
        for function in app.functions
    }
    consumed: dict[str, dict[str, Any]] = {}
    for function in plan.functions:
        if function.trigger.kind == "queue":
            consumed[function.trigger.queue] = deployments[function.name].binding["queue"]

    template = Template(_tags(plan), _parameters(plan), dict(places.variables()))
    add_logs(template, places)
    add_bus(template, plan, places, consumed)
    add_buckets(template, plan, places)
    add_delivery(template, plan, places)
    add_tables(template, plan, places, [one for found in granted.values() for one in found])
    add_secrets(template, plan, places)
    permissions = []
    for app in groups:
        made = deployments[app.first.name]
        for function in app.functions:
            add_trigger(template, plan, function, deployments[function.name], places)
        add_app(template, plan, app, made, places, granted)
    add_alerts(template, plan, places)
    add_addresses(template, plan, places)
    for function in plan.functions:
        # Those of the app are equal in all its functions: what one may do, its own lines ask for.
        permissions += [
            Permission(function.name, grant.title, grant.scope.label, grant.why)
            for grant in granted[function.name]
        ]
        queue = delivery_grant(function, places)
        if queue is not None:
            # Not the function itself: the identity that Event Grid delivers as.
            why = f"$.functions.{function.name}.trigger"
            title = "Azure Service Bus Data Sender (Event Grid)"
            permissions.append(Permission(function.name, title, queue.label, why))
    return template, tuple(permissions)


def _tags(plan: BuildPlan) -> dict[str, str]:
    stage = {"stage": plan.stage} if plan.stage else {}
    return {"service": plan.service, **stage, "managed-by": "portafaas"}


def _parameters(plan: BuildPlan) -> dict[str, Any]:
    """Return the template's parameters: what is not known, or not to be known, at build time."""
    found: dict[str, Any] = {
        "location": _parameter("string", "Region of everything.", "[resourceGroup().location]"),
        "packageUri": _parameter(
            "securestring",
            "URL of the package, readable without further credentials (SAS); empty: deploy none.",
            "",
        ),
        "packageDigest": _parameter(
            "string", "SHA-256 of the package, kept as a tag of the apps.", ""
        ),
        "logRetentionDays": {
            **_parameter("int", "Days that logs are kept.", plan.logs.retention),
            "minValue": 30,
            "maxValue": 730,
        },
    }
    if Places(plan).has_data:
        found["protectData"] = _parameter("bool", "Lock what holds data against deletion.", True)
    if plan.secrets:
        found["secretShells"] = _parameter(
            "array",
            "Secrets to make, disabled and without a value: name only those that are not there.",
            [],
        )
    auths = [f.trigger.auth for f in plan.functions if isinstance(f.trigger, HttpTrigger)]
    for name in sorted({auth.keys for auth in auths if auth is not None and auth.keys}):
        if any(name not in f.environment for f in plan.functions if _keys(f) == name):
            found[name] = _parameter(
                "securestring", "Digests of the valid API keys; empty: every call fails.", ""
            )
    starts = any(use.kind == "workflow" for function in plan.functions for use in function.uses)
    if starts or any(auth is not None and auth.scheme == "iam" for auth in auths):
        text = "Client id of the app registration that callers of 'auth: iam' need a token for."
        found["authClientId"] = _parameter("string", text)
    return found


def _keys(function: Any) -> str:
    auth = getattr(function.trigger, "auth", None)
    return auth.keys if auth is not None else ""


def _parameter(kind: str, description: str, *default: Any) -> dict[str, Any]:
    value = {"defaultValue": default[0]} if default else {}
    return {"type": kind, **value, "metadata": {"description": description}}


def _refuse_own_mistakes(plan: BuildPlan, document: dict[str, Any]) -> None:
    from portafaas.errors import PortafaasError
    from portafaas_azure.infrastructure.verify import verify

    found = verify(plan, document)
    if found:
        raise PortafaasError(
            "the Azure template breaks its own rules:\n  " + "\n  ".join(found),
            hint="this is a bug of portafaas_azure",
        )
