"""What never depends on the manifest: every resource of a type has these values. Pure.

A list of its own, apart from the modules that write them, so that a value that is lost there is
missed here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

#: What a deployment decides on: these types have a condition, others none.
CONDITIONAL = frozenset(
    ("Microsoft.Authorization/locks", "Microsoft.KeyVault/vaults/secrets",
     "Microsoft.Web/sites/extensions")
)  # fmt: skip
_WEEK = {"enabled": True, "days": 7}
#: Resource type -> path -> value.
FIXED: Mapping[str, Mapping[str, Any]] = {
    "Microsoft.Authorization/locks": {"properties/level": "CanNotDelete"},
    "Microsoft.Authorization/roleAssignments": {
        # Without it a new identity may not be found yet.
        "properties/principalType": "ServicePrincipal",
    },
    "Microsoft.DocumentDB/databaseAccounts": {
        "kind": "GlobalDocumentDB",
        "properties/databaseAccountOfferType": "Standard",
        # Containers without throughput need it.
        "properties/capabilities": [{"name": "EnableServerless"}],
        "properties/consistencyPolicy": {"defaultConsistencyLevel": "Strong"},
        "properties/disableLocalAuth": True,
        "properties/minimalTlsVersion": "Tls12",
        "properties/backupPolicy": {
            "type": "Continuous",
            "continuousModeProperties": {"tier": "Continuous7Days"},
        },
    },
    "Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers": {
        "properties/resource/partitionKey/kind": "Hash",
        # Keys of more than 101 bytes: https://learn.microsoft.com/azure/cosmos-db/large-partition-keys
        "properties/resource/partitionKey/version": 2,
    },
    "Microsoft.DocumentDB/databaseAccounts/sqlRoleDefinitions": {"properties/type": "CustomRole"},
    "Microsoft.EventGrid/systemTopics": {
        "identity/type": "UserAssigned",
        "properties/topicType": "Microsoft.Storage.StorageAccounts",
    },
    "Microsoft.EventGrid/systemTopics/eventSubscriptions": {
        "properties/deliveryWithResourceIdentity/identity/type": "UserAssigned",
        "properties/deliveryWithResourceIdentity/destination/endpointType": "ServiceBusQueue",
        # What the bridge reads.
        "properties/eventDeliverySchema": "EventGridSchema",
        "properties/retryPolicy": {"maxDeliveryAttempts": 30, "eventTimeToLiveInMinutes": 1440},
    },
    "Microsoft.Insights/actionGroups": {"location": "Global", "properties/enabled": True},
    "Microsoft.Insights/metricAlerts": {
        "location": "Global",
        "properties/enabled": True,
        "properties/autoMitigate": True,
        "properties/criteria/odata.type": (
            "Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria"
        ),
    },
    "Microsoft.Insights/scheduledQueryRules": {
        "kind": "LogAlert",
        "properties/enabled": True,
        "properties/autoMitigate": True,
        # Every minute Azure takes some queries only; and rows may arrive late.
        "properties/evaluationFrequency": "PT5M",
        "properties/overrideQueryTimeRange": "PT2H",
        "properties/skipQueryValidation": True,
    },
    "Microsoft.Insights/components": {
        "kind": "web",
        "properties/Application_Type": "web",
        "properties/DisableLocalAuth": True,
    },
    "Microsoft.KeyVault/vaults": {
        "properties/sku": {"family": "A", "name": "standard"},
        "properties/enableRbacAuthorization": True,
        "properties/enableSoftDelete": True,
        "properties/softDeleteRetentionInDays": 90,
        "properties/enablePurgeProtection": True,
    },
    "Microsoft.KeyVault/vaults/secrets": {
        "properties/value": "unset",
        "properties/attributes": {"enabled": False},
    },
    "Microsoft.OperationalInsights/workspaces": {"properties/sku": {"name": "PerGB2018"}},
    "Microsoft.ServiceBus/namespaces": {
        # Topics and sessions need Standard.
        "sku": {"name": "Standard", "tier": "Standard"},
        "properties/disableLocalAuth": True,
        "properties/minimumTlsVersion": "1.2",
    },
    "Microsoft.ServiceBus/namespaces/topics/subscriptions": {
        "properties/deadLetteringOnMessageExpiration": True,
        "properties/deadLetteringOnFilterEvaluationExceptions": True,
    },
    "Microsoft.ServiceBus/namespaces/topics/subscriptions/rules": {
        "properties/filterType": "SqlFilter",
    },
    "Microsoft.Storage/storageAccounts": {
        "kind": "StorageV2",
        "sku": {"name": "Standard_LRS"},
        "properties/allowBlobPublicAccess": False,
        "properties/allowSharedKeyAccess": False,
        "properties/minimumTlsVersion": "TLS1_2",
        "properties/supportsHttpsTrafficOnly": True,
    },
    "Microsoft.Storage/storageAccounts/blobServices": {
        "properties/deleteRetentionPolicy": _WEEK,
        "properties/containerDeleteRetentionPolicy": _WEEK,
    },
    "Microsoft.Storage/storageAccounts/blobServices/containers": {
        "properties/publicAccess": "None",
    },
    "Microsoft.Web/serverfarms": {
        "kind": "functionapp",
        "sku": {"name": "FC1", "tier": "FlexConsumption"},
        "properties/reserved": True,
    },
    "Microsoft.Web/sites": {
        "kind": "functionapp,linux",
        "properties/httpsOnly": True,
        "properties/siteConfig/minTlsVersion": "1.2",
    },
    "Microsoft.Web/sites/config": {
        "properties/platform": {"enabled": True},
        "properties/identityProviders/azureActiveDirectory/enabled": True,
        "properties/login/tokenStore/enabled": False,
    },
    "Microsoft.Web/sites/extensions": {"properties/remoteBuild": False},
}


def check_fixed(kind: str, body: Mapping[str, Any]) -> Iterator[str]:
    """Yield what differs in *body*, a resource of the type *kind*."""
    for path, wanted in FIXED.get(kind, {}).items():
        found: Any = body
        for word in path.split("/"):
            found = found.get(word) if isinstance(found, Mapping) else None
        if found != wanted or type(found) is not type(wanted):
            yield f"{path} is {found!r}, not {wanted!r}"
