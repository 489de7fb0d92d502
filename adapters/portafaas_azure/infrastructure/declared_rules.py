"""Every declared resource is there once, with what the manifest says of it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from portafaas.plan import BuildPlan
from portafaas_azure.infrastructure.graph import Node, once

Nodes = Mapping[str, Node]
#: Kind -> resource type, and how the id ends.
_SUFFIX = {
    "queue": ("Microsoft.ServiceBus/namespaces/queues", "/queues/{}"),
    "topic": ("Microsoft.ServiceBus/namespaces/topics", "/topics/{}"),
    "bucket": ("Microsoft.Storage/storageAccounts/blobServices/containers", "/containers/{}"),
    "table": (
        "Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers", "/containers/{}",
    ),
    "secret": ("Microsoft.KeyVault/vaults/secrets", "/secrets/{}"),
}  # fmt: skip


def place(nodes: Nodes, kind: str, name: str) -> str:
    """Return the id of the declared resource *name*, or ``""``."""
    wanted, suffix = _SUFFIX[kind]
    found = [
        node.id
        for node in once(nodes, _ends).get((wanted, suffix.format(name)), ())
        # The containers with the packages are no buckets: their accounts have no settings of blobs.
        if (kind != "bucket" or node.id.rpartition("/containers/")[0] in nodes)
    ]
    return found[0] if len(found) == 1 else ""


def _ends(nodes: Nodes) -> Mapping[tuple[str, str], list[Node]]:
    """Return the resources by type and by how their ids end: ``/queues/jobs``."""
    found: dict[tuple[str, str], list[Node]] = {}
    for node in nodes.values():
        end = "/".join(("", *node.id.rsplit("/", 2)[1:]))
        found.setdefault((node.type, end), []).append(node)
    return found


def check_declared(plan: BuildPlan, nodes: Nodes) -> Iterator[str]:
    """Yield what is wrong with the declared resources."""
    declared = (
        ("queue", plan.queues), ("topic", plan.topics), ("bucket", plan.buckets),
        ("table", plan.tables), ("secret", plan.secrets),
    )  # fmt: skip
    for kind, resources in declared:
        for resource in resources:
            if not place(nodes, kind, resource.name):
                yield f"the {kind} {resource.name!r} is not there, or not once"
    for queue in plan.queues:
        node = nodes.get(place(nodes, "queue", queue.name))
        if node is not None:
            yield from _equal(node, "requiresSession", queue.ordered)
            yield from _equal(node, "defaultMessageTimeToLive", f"PT{queue.retention}S")
            forward = f"{queue.name}-dead" if queue.dead_letter is True else queue.dead_letter
            yield from _equal(
                node, "forwardDeadLetteredMessagesTo",
                forward if forward and not queue.ordered else None,
            )  # fmt: skip
            yield from _equal(
                node, "deadLetteringOnMessageExpiration", queue.dead_letter is not False
            )
    own = [queue.name for queue in plan.queues if queue.dead_letter is True]
    own += [f.name for f in plan.functions if f.kind in ("topic", "object", "table", "schedule")]
    for name in own:
        node = nodes.get(place(nodes, "queue", f"{name}-dead"))
        if node is None:
            yield f"the dead letters of {name!r} have no queue"
        else:
            yield from _dead(node)
    for topic in plan.topics:
        node = nodes.get(place(nodes, "topic", topic.name))
        if node is not None:
            yield from _equal(node, "supportOrdering", topic.ordered)
    for bucket in plan.buckets:
        node = nodes.get(place(nodes, "bucket", bucket.name))
        if node is not None:
            services = nodes[node.id.rpartition("/containers/")[0]]
            yield from _equal(services, "isVersioningEnabled", bucket.versioned)
    for table in plan.tables:
        node = nodes.get(place(nodes, "table", table.name))
        if node is not None:
            resource = node.properties["resource"]
            if _words(resource.get("partitionKey", {}).get("paths", [])) != [[table.key]]:
                yield f"{node.label}: is not divided by {table.key!r}"
            keys = resource.get("uniqueKeyPolicy", {}).get("uniqueKeys", [])
            if _words(*(one["paths"] for one in keys)) != ([[table.sort]] if table.sort else []):
                yield f"{node.label}: its rows are told apart by other than the table's keys"
            if resource.get("defaultTtl") != (-1 if table.ttl else None):
                yield f"{node.label}: its rows {'never ' if table.ttl else ''}expire"


def check_addresses(
    plan: BuildPlan, nodes: Nodes, outputs: Mapping[str, Any]
) -> Iterator[str]:
    """Yield which declared resources the outputs, evaluated, do not lead to."""
    told = dict(outputs.get("addresses", {}).get("value", {}))
    declared: dict[str, Sequence[Any]] = {
        "queue": plan.queues, "topic": plan.topics, "bucket": plan.buckets,
        "table": plan.tables, "secret": plan.secrets,
    }  # fmt: skip
    for kind, resources in declared.items():
        for resource in resources:
            at = place(nodes, kind, resource.name)
            names = at.rpartition("/providers/")[2].split("/")[2::2] or [""]
            host, way = _HOSTS[kind]
            wanted = f"https://{names[0]}.{host}/{way.format(*names)}{resource.name}"
            variable = f"PORTAFAAS_{kind}_{resource.name}".upper().replace("-", "_")
            found = told.pop(variable, None)
            if found != wanted:
                yield f"the address of {kind} {resource.name!r} is {found!r}"
    if told:
        yield f"there are addresses of {', '.join(told)}"


#: Host of the data plane, and what is before the name.
_HOSTS = {
    "queue": ("servicebus.windows.net", ""),
    "topic": ("servicebus.windows.net", ""),
    "bucket": ("blob.core.windows.net", ""),
    "table": ("documents.azure.com:443", "dbs/{1}/colls/"),
    "secret": ("vault.azure.net", "secrets/"),
}


def _dead(node: Node) -> Iterator[str]:
    """Yield what would lose a dead letter, or keep people from it."""
    wanted = {
        "maxDeliveryCount": 2_147_483_647,
        "lockDuration": "PT300S",
        "deadLetteringOnMessageExpiration": True,
    }
    if dict(node.properties) != wanted:
        yield f"{node.label}: keeps dead letters by {dict(node.properties)}"


def _words(*paths: list[str]) -> list[list[str]]:
    """Return the attributes that paths lead to."""
    return [[one.removeprefix("/").strip('"') for one in path] for path in paths]


def _equal(node: Node, name: str, value: Any) -> Iterator[str]:
    if node.properties.get(name) != value:
        yield f"{node.label}: {name} is {node.properties.get(name)!r}, not {value!r}"
