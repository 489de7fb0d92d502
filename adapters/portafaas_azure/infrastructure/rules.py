"""What Azure demands of the values of each resource, where its schemas do not say so. Pure.

A rule yields sentences; the page that states it is beside it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from portafaas_azure.infrastructure.expressions import type_of
from portafaas_azure.infrastructure.fixed import check_fixed
from portafaas_azure.infrastructure.graph import SAMPLE, Node, once, reachable

Nodes = Mapping[str, Node]

#: https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules
NAMES = {
    "Microsoft.DocumentDB/databaseAccounts": r"[a-z0-9][a-z0-9-]{1,42}[a-z0-9]",
    "Microsoft.DocumentDB/databaseAccounts/sqlDatabases": r"[^/\\#?]{1,255}",
    "Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers": r"[^/\\#?]{1,255}",
    "Microsoft.EventGrid/systemTopics": r"[A-Za-z0-9-]{3,50}",
    "Microsoft.EventGrid/systemTopics/eventSubscriptions": r"[A-Za-z0-9-]{3,64}",
    "Microsoft.Insights/actionGroups": r"[A-Za-z0-9][A-Za-z0-9-]{0,258}[A-Za-z0-9]",
    "Microsoft.Insights/metricAlerts": r"[A-Za-z0-9][A-Za-z0-9-]{0,258}[A-Za-z0-9]",
    "Microsoft.Insights/scheduledQueryRules": r"[A-Za-z0-9][A-Za-z0-9-]{0,258}[A-Za-z0-9]",
    "Microsoft.Insights/components": r"[^%&\\?/]{0,259}[^%&\\?/. ]",
    "Microsoft.KeyVault/vaults": r"(?!.*--)[A-Za-z][A-Za-z0-9-]{1,22}[A-Za-z0-9]",
    "Microsoft.KeyVault/vaults/secrets": r"[A-Za-z0-9-]{1,127}",
    "Microsoft.ManagedIdentity/userAssignedIdentities": r"[A-Za-z0-9][A-Za-z0-9_-]{2,127}",
    "Microsoft.OperationalInsights/workspaces": r"[A-Za-z0-9][A-Za-z0-9-]{2,61}[A-Za-z0-9]",
    "Microsoft.OperationalInsights/workspaces/tables": r"App[A-Za-z]+",
    "Microsoft.ServiceBus/namespaces": r"[A-Za-z][A-Za-z0-9-]{4,48}[A-Za-z0-9](?<!-sb)(?<!-mgmt)",
    "Microsoft.ServiceBus/namespaces/queues": r"[A-Za-z0-9]([A-Za-z0-9._/-]{0,258}[A-Za-z0-9])?",
    "Microsoft.ServiceBus/namespaces/topics": r"[A-Za-z0-9]([A-Za-z0-9._/-]{0,258}[A-Za-z0-9])?",
    "Microsoft.ServiceBus/namespaces/topics/subscriptions": (
        r"[A-Za-z0-9]([A-Za-z0-9._-]{0,48}[A-Za-z0-9])?"
    ),
    "Microsoft.ServiceBus/namespaces/topics/subscriptions/rules": r"\$Default",
    "Microsoft.Storage/storageAccounts": r"[a-z0-9]{3,24}",
    "Microsoft.Storage/storageAccounts/blobServices": r"default",
    "Microsoft.Storage/storageAccounts/blobServices/containers": (
        r"(?=.{3,63}$)[a-z0-9]+(-[a-z0-9]+)*"
    ),
    "Microsoft.Storage/storageAccounts/managementPolicies": r"default",
    "Microsoft.Web/serverfarms": r"[A-Za-z0-9-]{1,40}",
    "Microsoft.Web/sites": r"[A-Za-z0-9][A-Za-z0-9-]{0,58}[A-Za-z0-9]",
    "Microsoft.Web/sites/config": r"authsettingsV2",
    "Microsoft.Web/sites/extensions": r"onedeploy",
}
_GUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
#: Types that Azure keeps in a region, and that have tags.
TRACKED = frozenset(kind for kind in NAMES if kind.count("/") == 1)
#: Types of which every resource belongs to one function or group of them.
_OWNED = ("Microsoft.Web/serverfarms", "Microsoft.Web/sites")
_DURATION = re.compile(r"P(?=.)(?:(\d+)D)?(?:T(?=.)(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?")


def check_values(nodes: Nodes, tags: Mapping[str, str]) -> Iterator[str]:
    """Yield what is wrong with the values of the resources; all that can have them have *tags*."""
    for node in nodes.values():
        pattern = NAMES.get(node.type)
        if node.type.endswith(("roleAssignments", "RoleAssignments", "RoleDefinitions")):
            pattern = _GUID
        if pattern is not None and not re.fullmatch(pattern, node.name):
            yield f"{node.label}: {node.name!r} is no name of it"
        if node.type in TRACKED:
            if not node.body.get("location"):
                yield f"{node.label}: has no location"
            found = dict(node.body.get("tags", {}))
            site = node.type == "Microsoft.Web/sites"
            if (found.pop("package", "") == "text") != site:
                yield f"{node.label}: the tag of the package is missing, or is too much"
            owner = [found.pop(name, "") for name in ("function", "app")]
            owned = sum(map(bool, owner)) == 1 or node.type not in _OWNED
            if found != tags or not owned:
                yield f"{node.label}: lacks the tags"
        elif "location" in node.body or "tags" in node.body:
            yield f"{node.label}: has no location and no tags of its own"
        for message in check_fixed(node.type, node.body):
            yield f"{node.label}: {message}"
        for message in _RULES.get(node.type, _nothing)(node, nodes):
            yield f"{node.label}: {message}"


def seconds(duration: object) -> int:
    """Return an ISO 8601 duration in seconds, or -1."""
    match = _DURATION.fullmatch(str(duration))
    if match is None:
        return -1
    days, hours, minutes, rest = (int(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + rest


def _nothing(node: Node, nodes: Nodes) -> Iterator[str]:
    yield from ()


def _entity(node: Node, nodes: Nodes) -> Iterator[str]:
    """https://learn.microsoft.com/azure/service-bus-messaging/service-bus-quotas."""
    found = node.properties
    if "lockDuration" in found and not 5 <= seconds(found["lockDuration"]) <= 300:
        yield f"lockDuration {found['lockDuration']} is not 5 s to 5 min"
    if not 1 <= found.get("maxDeliveryCount", 10) < 1 << 31:
        yield f"maxDeliveryCount {found['maxDeliveryCount']} is not 1 to 2147483647"
    live = found.get("defaultMessageTimeToLive")
    if live is not None and seconds(live) < 1:
        yield f"defaultMessageTimeToLive {live} is no duration"
    other = found.get("forwardDeadLetteredMessagesTo")
    if other is not None:
        target = "/".join([*node.id.split("/")[:9], "queues", other])
        if found.get("requiresSession"):
            # https://learn.microsoft.com/azure/service-bus-messaging/service-bus-auto-forwarding#considerations
            yield "dead letters of what has sessions are not forwarded"
        if target not in nodes:
            yield f"dead letters go to {other!r}, which is not there"
        elif nodes[target].properties.get("requiresSession"):
            yield f"dead letters go to {other!r}, which takes only what has a session"
        elif target not in node.needs:
            yield f"is not made after {other!r}, which takes its dead letters"


def _topic(node: Node, nodes: Nodes) -> Iterator[str]:
    if node.id.replace("/topics/", "/queues/") in nodes:
        yield "a queue has the same name"


def _rule(node: Node, nodes: Nodes) -> Iterator[str]:
    if not 0 < len(node.properties.get("sqlFilter", {}).get("sqlExpression", "")) <= 1024:
        yield "its expression has not 1 to 1024 characters"


def _workspace(node: Node, nodes: Nodes) -> Iterator[str]:
    if node.properties.get("retentionInDays") != SAMPLE:
        yield "keeps logs for other than the days of the parameter"


def _table(node: Node, nodes: Nodes) -> Iterator[str]:
    if {node.properties.get("retentionInDays"), node.properties.get("totalRetentionInDays")} != {
        SAMPLE
    }:
        yield "keeps its rows for other than the days of the parameter"


def _component(node: Node, nodes: Nodes) -> Iterator[str]:
    workspace = "Microsoft.OperationalInsights/workspaces"
    if type_of(node.properties.get("WorkspaceResourceId", "")) != workspace:
        yield "has no workspace"


def _system_topic(node: Node, nodes: Nodes) -> Iterator[str]:
    source = node.properties.get("source", "")
    if type_of(source) != "Microsoft.Storage/storageAccounts":
        yield "its source is no storage account"
    same = [other for other in nodes.values() if other.type == node.type]
    if [other.properties.get("source") for other in same].count(source) > 1:
        yield "its source has another system topic"


def _event_subscription(node: Node, nodes: Nodes) -> Iterator[str]:
    """https://learn.microsoft.com/azure/event-grid/handler-service-bus."""
    found = node.properties
    delivery = found.get("deliveryWithResourceIdentity", {})
    who = delivery.get("identity", {}).get("userAssignedIdentity")
    if who not in nodes[node.parent].body.get("identity", {}).get("userAssignedIdentities", {}):
        yield "delivers as an identity that its topic does not have"
    destination = delivery.get("destination", {})
    queue = destination.get("properties", {}).get("resourceId", "")
    if type_of(queue) != "Microsoft.ServiceBus/namespaces/queues":
        yield "delivers to no Service Bus queue"
    elif queue in nodes and nodes[queue].properties.get("requiresSession"):
        yield "delivers to a queue with sessions"
    # Making the subscription tries the queue.
    rights = {n.id for n in once(nodes, _assigned).get(queue, ()) if queue
              and str(who).endswith(f"/{_holder(n)}")}  # fmt: skip
    if not rights or not rights <= reachable(nodes, node.id):
        yield "is made before it may deliver"
    chosen = found.get("filter", {})
    kinds = {"Microsoft.Storage.BlobCreated", "Microsoft.Storage.BlobDeleted"}
    if not chosen.get("includedEventTypes") or not kinds.issuperset(chosen["includedEventTypes"]):
        yield "waits for other than created and deleted blobs"
    begin = re.match(
        r"/blobServices/default/containers/([^/]+)/blobs/", chosen.get("subjectBeginsWith", "")
    )
    account = nodes[node.parent].properties.get("source", "")
    if begin is None:
        yield "waits for blobs of every container"
    elif f"{account}/blobServices/default/containers/{begin[1]}" not in nodes:
        yield f"waits for blobs of {begin[1]!r}, which its account does not hold"
    elif f"{account}/blobServices/default/containers/{begin[1]}" not in reachable(nodes, node.id):
        yield f"is made before {begin[1]!r}"


def _assigned(nodes: Nodes) -> Mapping[str, list[Node]]:
    """Return the assignments of roles by what they are on."""
    found: dict[str, list[Node]] = {}
    for node in nodes.values():
        if node.type.endswith("/roleAssignments"):
            found.setdefault(node.scope, []).append(node)
    return found


def _holder(assignment: Node) -> str:
    return str(assignment.properties.get("principalId", "")).removeprefix("principal-of-")


def _cosmos(node: Node, nodes: Nodes) -> Iterator[str]:
    home = {"locationName": node.body.get("location"), "failoverPriority": 0}
    if node.properties.get("locations") != [home]:
        yield "is elsewhere than in its location"


def _cosmos_role(node: Node, nodes: Nodes) -> Iterator[str]:
    if node.properties.get("assignableScopes") != [node.parent]:
        yield "is no role of its account"


def _sql(node: Node, nodes: Nodes) -> Iterator[str]:
    resource = node.properties.get("resource", {})
    if resource.get("id") != node.name:
        yield f"its id {resource.get('id')!r} is not its name"
    if node.type.endswith("/containers"):
        paths = resource.get("partitionKey", {}).get("paths", [])
        if len(paths) != 1 or not paths[0].startswith("/"):
            yield "has no partition key"


def _vault(node: Node, nodes: Nodes) -> Iterator[str]:
    if not node.properties.get("tenantId"):
        yield "has no tenant"


def _deploy(node: Node, nodes: Nodes) -> Iterator[str]:
    if not node.properties.get("packageUri"):
        yield "has no package"


def _sign_in(node: Node, nodes: Nodes) -> Iterator[str]:
    way = node.properties.get("identityProviders", {}).get("azureActiveDirectory", {})
    client = way.get("registration", {}).get("clientId")
    if not client or not way["registration"].get("openIdIssuer", "").endswith("/v2.0"):
        yield "trusts no issuer"
    if way.get("validation", {}).get("allowedAudiences") != [client, f"api://{client}"]:
        yield "takes tokens for somebody else"


_RULES: dict[str, Callable[[Node, Nodes], Iterator[str]]] = {
    "Microsoft.DocumentDB/databaseAccounts": _cosmos,
    "Microsoft.DocumentDB/databaseAccounts/sqlDatabases": _sql,
    "Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers": _sql,
    "Microsoft.DocumentDB/databaseAccounts/sqlRoleDefinitions": _cosmos_role,
    "Microsoft.EventGrid/systemTopics": _system_topic,
    "Microsoft.EventGrid/systemTopics/eventSubscriptions": _event_subscription,
    "Microsoft.Insights/components": _component,
    "Microsoft.KeyVault/vaults": _vault,
    "Microsoft.OperationalInsights/workspaces": _workspace,
    "Microsoft.OperationalInsights/workspaces/tables": _table,
    "Microsoft.ServiceBus/namespaces/queues": _entity,
    "Microsoft.ServiceBus/namespaces/topics": _topic,
    "Microsoft.ServiceBus/namespaces/topics/subscriptions": _entity,
    "Microsoft.ServiceBus/namespaces/topics/subscriptions/rules": _rule,
    "Microsoft.Web/sites/config": _sign_in,
    "Microsoft.Web/sites/extensions": _deploy,
}
