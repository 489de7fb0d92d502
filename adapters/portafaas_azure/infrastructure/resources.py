"""What the functions of a service share: logs, the declared resources, and their protection. Pure.

Everything that holds data is locked against deletion, unless the deployment says otherwise with
the parameter ``protectData``: https://learn.microsoft.com/azure/azure-resource-manager/management/lock-resources
"""

from __future__ import annotations

from typing import Any

from portafaas.plan import BuildPlan
from portafaas.plan.claims import days_of_claims
from portafaas.plan.model import QueuePlan
from portafaas.runtime.control import CLAIMS
from portafaas_azure.broker import dead_queue, dead_settings
from portafaas_azure.infrastructure.arm import Ref, Template, expression, parameter, quote
from portafaas_azure.infrastructure.iam import COSMOS_ROLES, Grant, define_cosmos_role
from portafaas_azure.infrastructure.places import (
    Places,
    container,
    lease_container,
    lease_containers,
)

#: What the host and the handlers write.
#: https://learn.microsoft.com/azure/azure-monitor/logs/data-retention-configure#log-tables-with-90-day-default-retention
TABLES = (
    "AppDependencies", "AppEvents", "AppExceptions", "AppMetrics", "AppPerformanceCounters",
    "AppRequests", "AppTraces",
)  # fmt: skip
#: Of every storage account: no keys, no anonymous access.
STORAGE = {
    "allowBlobPublicAccess": False,
    "allowSharedKeyAccess": False,
    "minimumTlsVersion": "TLS1_2",
    "supportsHttpsTrafficOnly": True,
}


def add_logs(template: Template, places: Places) -> None:
    """Add the workspace and the component that all functions log to."""
    template.ask("platform")
    workspace = template.add(
        places.workspace,
        {
            "sku": {"name": "PerGB2018"},
            "retentionInDays": expression(parameter("logRetentionDays")),
        },
        tracked=True,
    )
    template.add(
        places.insights,
        {
            "Application_Type": "web",
            "WorkspaceResourceId": workspace.value,
            "DisableLocalAuth": True,
        },
        tracked=True,
        kind="web",
        depends=[workspace],
    )
    # Tables of Application Insights keep their rows for 90 days, whatever their workspace says.
    before = workspace
    for name in TABLES:
        kept = expression(parameter("logRetentionDays"))
        before = template.add(
            workspace.child("tables", quote(name)),
            # Without the total the rest of it would be kept elsewhere.
            {"retentionInDays": kept, "totalRetentionInDays": kept},
            # One after the other: each is a change of the workspace.
            depends=[workspace, before],
        )


def add_bus(
    template: Template, plan: BuildPlan, places: Places, consumed: dict[str, dict[str, Any]]
) -> None:
    """Add the Service Bus namespace, the queues and the topics.

    *consumed* has the settings of the queues that a function consumes, by name.
    """
    if not places.has_bus:
        return
    template.ask(
        *(f"$.queues.{queue.name}" for queue in plan.queues),
        *(f"$.topics.{topic.name}" for topic in plan.topics),
        *(
            f"$.functions.{f.name}.trigger.{f.kind}"
            for f in plan.functions
            if f.kind in ("object", "table", "schedule")
        ),
    )
    namespace = template.add(
        places.namespace,
        {"disableLocalAuth": True, "minimumTlsVersion": "1.2"},
        tracked=True,
        # Topics and sessions need Standard.
        sku={"name": "Standard", "tier": "Standard"},
    )
    _lock(template, namespace)
    for queue in plan.queues:
        depends = [namespace]
        if queue.dead_letter is True:
            template.ask(f"$.queues.{queue.name}.dead-letter")
            template.add(places.queue(dead_queue(queue)), dead_settings(), depends=[namespace])
        if queue.dead_letter:
            depends.append(places.queue(dead_queue(queue)))
        template.ask(f"$.queues.{queue.name}")
        settings = {**_unread(queue), **consumed.get(queue.name, {})}
        template.add(places.queue(queue.name), settings, depends=depends)
    for topic in plan.topics:
        # Sessions of the subscriptions keep the order.
        template.ask(f"$.topics.{topic.name}")
        settings = {"supportOrdering": topic.ordered}
        template.add(places.topic(topic.name), settings, depends=[namespace])


def _unread(queue: QueuePlan) -> dict[str, Any]:
    """Return the settings of a queue that no function of the service consumes."""
    settings: dict[str, Any] = {
        "requiresSession": queue.ordered,
        "defaultMessageTimeToLive": f"PT{queue.retention}S",
        "deadLetteringOnMessageExpiration": queue.dead_letter is not False,
    }
    if queue.dead_letter and not queue.ordered:
        settings["forwardDeadLetteredMessagesTo"] = dead_queue(queue)
    return settings


def add_buckets(template: Template, plan: BuildPlan, places: Places) -> None:
    """Add an account for the buckets that keep versions and one for the others, as needed."""
    for versioned in places.bucket_accounts:
        held = [bucket.name for bucket in plan.buckets if bucket.versioned is versioned]
        template.ask(*(f"$.buckets.{name}" for name in held))
        account = template.add(
            places.buckets(versioned),
            STORAGE,
            tracked=True,
            sku={"name": "Standard_LRS"},
            kind="StorageV2",
        )
        _lock(template, account)
        kept = {"enabled": True, "days": 7}
        services = template.add(
            account.child("blobServices", "'default'"),
            {
                "deleteRetentionPolicy": kept,
                "containerDeleteRetentionPolicy": kept,
                "isVersioningEnabled": versioned,
            },
            depends=[account],
        )
        for bucket in plan.buckets:
            if bucket.versioned == versioned:
                template.ask(f"$.buckets.{bucket.name}")
                ref = container(account, bucket.name)
                template.add(ref, {"publicAccess": "None"}, depends=[services])
        rules = [
            _claims(name, days, versioned) for name in held if (days := days_of_claims(plan, name))
        ]
        if rules:
            template.ask(*(f"$.buckets.{name}" for name in held if days_of_claims(plan, name)))
            template.add(
                account.child("managementPolicies", "'default'"),
                {"policy": {"rules": rules}},
                depends=[services],
            )


def _claims(bucket: str, days: int, versioned: bool) -> dict[str, Any]:
    """Return the rule that deletes the bodies of a claim check when nothing leads to them.

    https://learn.microsoft.com/azure/storage/blobs/lifecycle-management-policy-structure
    """
    actions: dict[str, Any] = {"baseBlob": {"delete": {"daysAfterModificationGreaterThan": days}}}
    if versioned:
        actions["version"] = {"delete": {"daysAfterCreationGreaterThan": days}}
    return {
        "enabled": True,
        "name": f"claims-{bucket}",
        "type": "Lifecycle",
        "definition": {
            "actions": actions,
            "filters": {"blobTypes": ["blockBlob"], "prefixMatch": [f"{bucket}/{CLAIMS}"]},
        },
    }


def add_tables(
    template: Template, plan: BuildPlan, places: Places, grants: list[Grant]
) -> None:
    """Add the Cosmos DB account, its database and containers, and roles that are not built in."""
    if not places.has_tables:
        return
    template.ask(*(f"$.tables.{table.name}" for table in plan.tables))
    home = {"locationName": expression(parameter("location")), "failoverPriority": 0}
    account = template.add(
        places.cosmos,
        {
            "databaseAccountOfferType": "Standard",
            "locations": [home],
            "capabilities": [{"name": "EnableServerless"}],
            # Of one region: instances of functions see at once what others have written.
            # https://learn.microsoft.com/azure/cosmos-db/consistency-levels
            "consistencyPolicy": {"defaultConsistencyLevel": "Strong"},
            "disableLocalAuth": True,
            "minimalTlsVersion": "Tls12",
            "backupPolicy": {
                "type": "Continuous",
                "continuousModeProperties": {"tier": "Continuous7Days"},
            },
        },
        tracked=True,
        kind="GlobalDocumentDB",
    )
    _lock(template, account)
    name = plan.options.get("cosmosDatabase", plan.service)
    template.add(places.database, {"resource": {"id": name}}, depends=[account])
    for table in plan.tables:
        template.ask(f"$.tables.{table.name}")
        resource: dict[str, Any] = {
            "id": table.name,
            "partitionKey": {"paths": [path(table.key)], "kind": "Hash", "version": 2},
        }
        if table.sort:
            # Key and sort key identify a row.
            resource["uniqueKeyPolicy"] = {"uniqueKeys": [{"paths": [path(table.sort)]}]}
        if table.ttl:
            # Each item says how long it lives, or for ever: the driver's "ttl".
            # https://learn.microsoft.com/azure/cosmos-db/nosql/time-to-live
            resource["defaultTtl"] = -1
        ref = places.table(table.name)
        template.turn.append(template.add(ref, {"resource": resource}, depends=[places.database]))
    for name in lease_containers(plan):
        template.ask(
            *(
                f"$.functions.{function.name}.trigger.table"
                for function in plan.functions
                if function.kind == "table" and lease_container(function) == name
            )
        )
        key = {"paths": ["/id"], "kind": "Hash", "version": 2}
        resource = {"id": name, "partitionKey": key}
        ref = places.table(name)
        template.turn.append(template.add(ref, {"resource": resource}, depends=[places.database]))
    for role, (_, definition) in COSMOS_ROLES.items():
        asking = [grant.why for grant in grants if grant.role == role]
        if not isinstance(definition, str) and asking:
            template.ask(*dict.fromkeys(asking))
            define_cosmos_role(template, account, role)


def path(attribute: str) -> str:
    """Return the path of an item's attribute: ``/sku``, and in quotes what is no plain word.

    https://learn.microsoft.com/azure/cosmos-db/index-policy#include-exclude-paths
    """
    plain = attribute.isascii() and attribute.isidentifier()
    return f"/{attribute}" if plain else f'/"{attribute}"'


def add_secrets(template: Template, plan: BuildPlan, places: Places) -> None:
    """Add the vault, and a shell for each secret that ``secretShells`` names.

    A vault has no secret without a value, and a deployment would put the shell's value over a real
    one: the shells are made once, disabled, and never again.
    """
    if not plan.secrets:
        return
    template.ask(*(f"$.secrets.{secret.name}" for secret in plan.secrets))
    vault = template.add(
        places.vault,
        {
            "tenantId": "[subscription().tenantId]",
            "sku": {"family": "A", "name": "standard"},
            "enableRbacAuthorization": True,
            "enableSoftDelete": True,
            "softDeleteRetentionInDays": 90,
            "enablePurgeProtection": True,
        },
        tracked=True,
    )
    _lock(template, vault)
    template.outputs["vault"] = {"type": "string", "value": expression(vault.names[0])}
    for secret in plan.secrets:
        template.ask(f"$.secrets.{secret.name}")
        template.add(
            places.secret(secret.name),
            {"value": "unset", "attributes": {"enabled": False}},
            depends=[vault],
            condition=f"contains({parameter('secretShells')}, {quote(secret.name)})",
        )


def _lock(template: Template, ref: Ref) -> None:
    template.add(
        Ref("Microsoft.Authorization/locks", ("'portafaas-keep'",), on=ref),
        {
            "level": "CanNotDelete",
            "notes": "Holds data of the service. Portafaas: protectData=false deploys no lock.",
        },
        depends=[ref],
        condition=parameter("protectData"),
    )
