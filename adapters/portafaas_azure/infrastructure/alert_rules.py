"""Every alert asks what the manifest asks, and tells whom it names. Pure.

What it expects is written down once more, apart from the module that writes the alerts.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from portafaas.plan import BuildPlan, FunctionPlan
from portafaas.plan.model import AlertPlan, ChannelPlan
from portafaas_azure.infrastructure.graph import Node, of_type, once, reachable
from portafaas_azure.infrastructure.names import base, fit

Nodes = Mapping[str, Node]
_GROUP = "Microsoft.Insights/actionGroups"
_METRIC = "Microsoft.Insights/metricAlerts"
_QUERY = "Microsoft.Insights/scheduledQueryRules"
_TABLES = {
    "AppDependencies", "AppEvents", "AppExceptions", "AppMetrics", "AppPerformanceCounters",
    "AppRequests", "AppTraces",
}  # fmt: skip
#: Seconds -> how Azure writes it, and how a query does.
_WINDOWS = {
    60: ("PT1M", ""), 300: ("PT5M", "5m"), 900: ("PT15M", "15m"), 1800: ("PT30M", "30m"),
    3600: ("PT1H", "60m"),
}  # fmt: skip


def check_alerts(plan: BuildPlan, document: Mapping[str, Any], nodes: Nodes) -> Iterator[str]:
    """Yield what is wrong with logs, channels and alerts."""
    days = document["parameters"]["logRetentionDays"].get("defaultValue")
    if days != plan.logs.retention:
        yield f"logs are kept for {days} days, not {plan.logs.retention}"
    kept = "Microsoft.OperationalInsights/workspaces/tables"
    tables = {node.id: reachable(nodes, node.id) for node in nodes.values() if node.type == kept}
    if {nodes[one].name for one in tables} != _TABLES:
        yield "not every table of the logs is kept as long as it should"
    ordered = sorted(tables, key=lambda one: len(tables[one]))
    if any(first not in tables[second] for first, second in itertools.pairwise(ordered)):
        yield "tables of the workspace may be changed at the same time"
    used = {name for alert in plan.alerts for name in alert.notify}
    channels = [channel for channel in plan.channels if channel.name in used]
    yield from _same(nodes, (_GROUP,), [channel.name for channel in channels])
    yield from _same(nodes, (_METRIC, _QUERY), [alert.name for alert in plan.alerts])
    groups = {}
    for channel in channels:
        node = _find(plan, nodes, _GROUP, channel.name)
        groups[channel.name] = node.id
        yield from _channel(channel, node)
    for alert in plan.alerts:
        node = _find(plan, nodes, _kind(alert), alert.name)
        for message in _alert(plan, alert, node, nodes, groups):
            yield f"alert {alert.name}: {message}"


def _kind(alert: AlertPlan) -> str:
    return _METRIC if alert.metric == "dead-letters" else _QUERY


def _find(plan: BuildPlan, nodes: Nodes, kind: str, name: str) -> Node:
    """Return the resource called *name*; raises KeyError."""
    return once(nodes, _named)[kind, fit(base(plan, name), 128)]


def _named(nodes: Nodes) -> Mapping[tuple[str, str], Node]:
    return {(node.type, node.name): node for node in nodes.values()}


def _same(nodes: Nodes, kinds: tuple[str, ...], names: list[str]) -> Iterator[str]:
    found = [node.name for node in nodes.values() if node.type in kinds]
    if len(found) != len(names):
        yield f"{len(found)} of {', '.join(kinds)}; the manifest has {len(names)}"


def _channel(channel: ChannelPlan, node: Node) -> Iterator[str]:
    found = node.properties
    if not 0 < len(found.get("groupShortName", "")) <= 12:
        yield f"channel {channel.name}: groupShortName has not 1 to 12 characters"
    for name, field, address in (
        ("emailReceivers", "emailAddress", channel.email),
        ("webhookReceivers", "serviceUri", channel.webhook),
    ):
        receivers = [
            (one.get(field), one.get("useCommonAlertSchema"), bool(one.get("name")))
            for one in found.get(name, ())
        ]
        if receivers != ([(address, True, True)] if address else []):
            yield f"channel {channel.name}: {name} are {receivers}"
    if set(found) - {"groupShortName", "enabled", "emailReceivers", "webhookReceivers"}:
        yield f"channel {channel.name}: tells others, too"


def _alert(
    plan: BuildPlan, alert: AlertPlan, node: Node, nodes: Nodes, groups: Mapping[str, str]
) -> Iterator[str]:
    found = node.properties
    told = found.get("description", "")
    for word in (alert.description[:1000], plan.service, plan.stage):
        if word not in told:
            yield f"does not say {word!r}"
    if alert.function and f"portafaas logs {alert.function}" not in told:
        yield "does not say where to look"
    if found.get("severity") != (2 if alert.metric == "latency-p95" else 1):
        yield f"severity is {found.get('severity')}"
    (criterion,) = found["criteria"]["allOf"]
    if criterion.get("operator") != "GreaterThan":
        yield f"operator is {criterion.get('operator')}"
    # Of a count or of milliseconds.
    late = alert.metric == "latency-p95"
    threshold = round(alert.threshold * 1000) if late else alert.threshold // 1
    if criterion.get("threshold") != threshold:
        yield f"threshold is {criterion.get('threshold')}, not {threshold}"
    if criterion.get("timeAggregation") != "Maximum":
        yield f"timeAggregation is {criterion.get('timeAggregation')}"
    wanted = [groups[name] for name in alert.notify]
    if alert.metric == "dead-letters":
        yield from _metric(plan, alert, node, nodes, wanted)
    else:
        yield from _query(plan, alert, node, nodes, wanted)


def _metric(
    plan: BuildPlan, alert: AlertPlan, node: Node, nodes: Nodes, groups: list[str]
) -> Iterator[str]:
    found = node.properties
    (criterion,) = found["criteria"]["allOf"]
    bus = "Microsoft.ServiceBus/namespaces"
    if found["scopes"] != [n.id for n in of_type(nodes, bus)]:
        yield f"is on {found['scopes']}"
    if [one.get("actionGroupId") for one in found.get("actions", ())] != groups:
        yield f"tells {found.get('actions')}"
    often = "PT1M" if alert.window == 60 else "PT5M"
    if (found.get("windowSize"), found.get("evaluationFrequency")) != (
        _WINDOWS[alert.window][0], often
    ):  # fmt: skip
        yield f"windowSize is {found.get('windowSize')}"
    if criterion.get("metricNamespace") != bus or not criterion.get("name"):
        yield f"its metric is of {criterion.get('metricNamespace')}"
    if criterion.get("criterionType") != "StaticThresholdCriterion":
        yield f"criterionType is {criterion.get('criterionType')}"
    metric, entity = "ActiveMessages", f"{alert.queue or alert.function}-dead"
    if alert.queue and plan.queue(alert.queue).dead_letter is not True:
        entity = str(plan.queue(alert.queue).dead_letter)
    if criterion.get("metricName") != metric:
        yield f"metric is {criterion.get('metricName')}, not {metric}"
    dimension = {"name": "EntityName", "operator": "Include", "values": [entity]}
    if criterion.get("dimensions") != [dimension]:
        yield f"counts those of {criterion.get('dimensions')}, not of {entity}"
    kinds = (f"{bus}/queues", f"{bus}/topics")
    if not any((kind, entity) in once(nodes, _named) for kind in kinds):
        yield f"watches {entity!r}, which is not there"


def _query(
    plan: BuildPlan, alert: AlertPlan, node: Node, nodes: Nodes, groups: list[str]
) -> Iterator[str]:
    found = node.properties
    (criterion,) = found["criteria"]["allOf"]
    # On a workspace the table is AppRequests; on the component it would be requests.
    space = "Microsoft.OperationalInsights/workspaces"
    if found["scopes"] != [n.id for n in of_type(nodes, space)]:
        yield f"is on {found['scopes']}"
    if found.get("actions") != {"actionGroups": groups}:
        yield f"tells {found.get('actions')}"
    window, span = _WINDOWS[alert.window]
    if found.get("windowSize") != ("PT5M" if alert.window == 60 else window):
        yield f"windowSize is {found.get('windowSize')}"
    once = {"numberOfEvaluationPeriods": 1, "minFailingPeriodsToAlert": 1}
    if criterion.get("failingPeriods") != once:
        yield f"failingPeriods are {criterion.get('failingPeriods')}"
    if criterion.get("metricMeasureColumn") != "Value":
        yield f"measures {criterion.get('metricMeasureColumn')}"
    when, by = f"ingestion_time() > ago({span})", "OperationName"
    if not span:
        when = "ingestion_time() >= bin(ago(5m), 1m) and ingestion_time() < bin(now(), 1m)"
        by = "OperationName, Minute = bin(ingestion_time(), 1m)"
    function = plan.function(alert.function)
    if alert.metric == "errors" and function.kind != "http":
        if criterion.get("query") != _attempts(function, span):
            yield f"asks {criterion.get('query')!r}"
        return
    steps = ["AppRequests", f"where {when}"]
    steps.append(f"where OperationName == '{function.entry}'")
    if alert.metric == "errors":
        steps.append("where Success == false or toint(ResultCode) >= 500")
        steps.append(f"summarize Value = sum(ItemCount) by {by}")
    else:
        steps.append(f"summarize Value = percentile(DurationMs, 95) by {by}")
    if criterion.get("query") != " | ".join(steps):
        yield f"asks {criterion.get('query')!r}"


def _attempts(function: FunctionPlan, span: str) -> str:
    """Return the query of failed attempts: what is logged, and what failed and is not."""
    name = function.entry
    # Table and schedule triggers have a queue by which events come again, with its own entry.
    both = f"'{name}', '{name}__again'" if function.kind in ("table", "schedule") else f"'{name}'"
    facts = "Arrived = ingestion_time(), Invocation = tostring(Properties.InvocationId), Failed = "
    when, by = f"Arrived > ago({span})", ""
    if not span:
        when = "Arrived >= bin(ago(5m), 1m) and Arrived < bin(now(), 1m)"
        by = " by Arrived = bin(Arrived, 1m)"
    return (
        f"let logged = AppTraces | where OperationName in ({both})"
        " | where Message startswith 'pf_failed_attempts='"
        f" | project {facts}tolong(ItemCount"
        " * toint(extract('^pf_failed_attempts=([0-9]+) ', 1, Message)));"
        f" AppRequests | where OperationName in ({both}) | where Success == false"
        f" | project {facts}tolong(ItemCount)"
        " | join kind=leftanti logged on Invocation | union logged"
        f" | where {when} | summarize Value = sum(Failed){by}"
    )
