"""What a template must have for what starts a function: queue, subscription, feed, events. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from portafaas.adapter import Deployment
from portafaas.plan import BuildPlan, FunctionPlan
from portafaas_azure.infrastructure.apps_rules import settings_of
from portafaas_azure.infrastructure.declared_rules import Nodes, place
from portafaas_azure.infrastructure.graph import Node, of_type, once


def check_trigger(
    plan: BuildPlan, function: FunctionPlan, made: Deployment, app: Node, nodes: Nodes
) -> Iterator[str]:
    """Yield what is wrong with what makes events of *function*."""
    settings = settings_of(app)
    for decorator, wanted in made.binding.items():
        if decorator.startswith("service_bus_"):
            yield from _bus(made.binding, decorator, wanted, settings, nodes)
        elif decorator == "cosmos_db_trigger":
            yield from _feed(wanted, settings, nodes)
        elif decorator == "again":
            again = {**made.binding, "queue": wanted["queue"]}
            yield from _bus(again, "service_bus_queue_trigger", wanted, settings, nodes)
        elif decorator == "eventSubscription":
            yield from _event_grid(plan, function, wanted, nodes)


def _bus(
    binding: Mapping[str, Any],
    decorator: str,
    wanted: Mapping[str, Any],
    settings: Mapping[str, str],
    nodes: Nodes,
) -> Iterator[str]:
    host = settings.get(f"{wanted['connection']}__fullyQualifiedNamespace", "")
    bus = "Microsoft.ServiceBus/namespaces"
    namespace = next(iter(of_type(nodes, bus)), None)
    if namespace is None or host != f"{namespace.name}.servicebus.windows.net":
        yield f"the connection {wanted['connection']} leads nowhere"
        return
    if decorator == "service_bus_queue_trigger":
        node = nodes.get(f"{namespace.id}/queues/{wanted['queue_name']}")
        expected = binding.get("queue")
        if expected is None:
            expected = binding["eventSubscription"]["destination"]["settings"]
    else:
        path = f"{namespace.id}/topics/{wanted['topic_name']}/subscriptions"
        node = nodes.get(f"{path}/{wanted['subscription_name']}")
        expected = binding["subscription"]
    if node is None:
        yield "what it listens to is not there"
        return
    if bool(node.properties.get("requiresSession")) != wanted.get("is_sessions_enabled", False):
        yield "listens with sessions to what has none, or without to what has some"
    for name, value in expected.items():
        if name != "rule" and node.properties.get(name) != value:
            yield f"{name} is {node.properties.get(name)!r}, not {value!r}"
    rule = nodes.get(f"{node.id}/rules/$Default")
    text = rule.properties.get("sqlFilter", {}).get("sqlExpression") if rule is not None else None
    if text != expected.get("rule", {}).get("sqlExpression"):
        yield f"the filter is {text!r}"


def _feed(
    wanted: Mapping[str, Any], settings: Mapping[str, str], nodes: Nodes
) -> Iterator[str]:
    account = next(iter(of_type(nodes, "Microsoft.DocumentDB/databaseAccounts")), None)
    endpoint = settings.get(f"{wanted['connection']}__accountEndpoint", "")
    if account is None or endpoint != f"https://{account.name}.documents.azure.com:443/":
        yield f"the connection {wanted['connection']} leads nowhere"
        return
    path = f"{account.id}/sqlDatabases/{wanted['database_name']}/containers"
    if f"{path}/{wanted['container_name']}" not in nodes:
        yield "its table is not there"
    leases = nodes.get(f"{path}/{wanted['lease_container_name']}")
    if leases is None:
        yield "its leases have no container"
    elif leases.properties["resource"]["partitionKey"]["paths"] != ["/id"]:
        yield "its leases are not divided by /id"


def _event_grid(
    plan: BuildPlan, function: FunctionPlan, wanted: Mapping[str, Any], nodes: Nodes
) -> Iterator[str]:
    queue = place(nodes, "queue", wanted["destination"]["queue"])
    subscriptions = once(nodes, _filling).get(queue, [])
    if len(subscriptions) != 1:
        yield "its queue is filled by other than one subscription"
    elif subscriptions[0].properties["filter"] != wanted["filter"]:
        yield f"waits for {subscriptions[0].properties['filter']}"


def _filling(nodes: Nodes) -> Mapping[str, list[Node]]:
    """Return the Event Grid subscriptions by what they name."""
    found: dict[str, list[Node]] = {}
    for node in of_type(nodes, "Microsoft.EventGrid/systemTopics/eventSubscriptions"):
        for other in node.named:
            found.setdefault(other, []).append(node)
    return found
