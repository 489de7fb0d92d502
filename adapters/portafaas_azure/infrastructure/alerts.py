"""Alerts and whom they tell: action groups, metric alerts, log search alerts. Pure.

What a function does is in the workspace's table ``AppRequests``, which is what a query on a
*workspace* calls the requests; on the component the same rows are ``requests``, with other columns.
The host writes one row for an invocation, named like the function, of which ``Success`` is what the
function's result was, whatever the response says; a handler's failure is the bridge's answer 500.
A failure at an event or message that the bridge has settled is a success: those are in
``AppTraces``, where each record is filed under its invocation, as the request is.
https://learn.microsoft.com/azure/azure-monitor/reference/tables/apprequests
https://github.com/Azure/azure-webjobs-sdk/blob/dev/src/Microsoft.Azure.WebJobs.Logging.ApplicationInsights/Initializers/WebJobsTelemetryInitializer.cs

Logs arrive some minutes late. So a query counts by time of arrival (``ingestion_time``): every row
is in some evaluation, once the windows have no gaps.
https://learn.microsoft.com/azure/azure-monitor/logs/data-ingestion-time
"""

from __future__ import annotations

from typing import Any

from portafaas.plan import BuildPlan, FunctionPlan
from portafaas.plan.model import AlertPlan, ChannelPlan
from portafaas.runtime.context import FAILED
from portafaas_azure.broker import again_of, dead_of, dead_queue
from portafaas_azure.infrastructure.arm import Template, literal
from portafaas_azure.infrastructure.places import Places

#: Longer texts are cut; a metric alert takes 2048 characters.
_MAX_TEXT = 1500


def add_alerts(template: Template, plan: BuildPlan, places: Places) -> None:
    """Add the channels that alerts use, and the alerts, each in the manifest's order."""
    used = {name for alert in plan.alerts for name in alert.notify}
    for channel in plan.channels:
        if channel.name in used:
            template.ask(f"$.channels.{channel.name}")
            _channel(template, channel, places)
    for alert in plan.alerts:
        template.ask(f"$.alerts.{alert.name}", function=alert.function)
        if alert.metric == "dead-letters":
            _metric(template, plan, alert, places)
        else:
            _query(template, plan, alert, places)


def _channel(template: Template, channel: ChannelPlan, places: Places) -> None:
    """https://learn.microsoft.com/azure/azure-monitor/alerts/action-groups."""
    found: dict[str, Any] = {
        # People see it in messages.
        "groupShortName": channel.name[:12].rstrip("-"),
        "enabled": True,
    }
    if channel.email:
        found["emailReceivers"] = [
            {"name": "email", "emailAddress": literal(channel.email), "useCommonAlertSchema": True}
        ]
    if channel.webhook:
        address = literal(channel.webhook)
        found["webhookReceivers"] = [
            {"name": "webhook", "serviceUri": address, "useCommonAlertSchema": True}
        ]
    template.add(places.channel(channel.name), found, tracked=True, location="Global")


def _metric(template: Template, plan: BuildPlan, alert: AlertPlan, places: Places) -> None:
    """Add an alert on the messages of an entity of Service Bus.

    https://learn.microsoft.com/azure/service-bus-messaging/monitor-service-bus-reference
    """
    metric, entity = messages(plan, alert)
    groups = [places.channel(name) for name in alert.notify]
    criterion = {
        "criterionType": "StaticThresholdCriterion",
        "name": "value",
        "metricNamespace": "Microsoft.ServiceBus/namespaces",
        "metricName": metric,
        "dimensions": [{"name": "EntityName", "operator": "Include", "values": [entity]}],
        # How many there were at most; where there is no value, there is no alert.
        "timeAggregation": "Maximum",
        "operator": "GreaterThan",
        # Counts are whole: more than 2.5 is more than 2.
        "threshold": int(alert.threshold),
    }
    template.add(
        places.metric_alert(alert.name),
        {
            **_told(plan, alert),
            "scopes": [places.namespace.value],
            "evaluationFrequency": duration(min(alert.window, 300)),
            "windowSize": duration(alert.window),
            "criteria": {
                "odata.type": "Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria",
                "allOf": [criterion],
            },
            "actions": [{"actionGroupId": group.value} for group in groups],
        },
        tracked=True,
        location="Global",
        depends=[places.namespace, *groups],
    )


def messages(plan: BuildPlan, alert: AlertPlan) -> tuple[str, str]:
    """Return metric and entity of Service Bus with what an alert on dead letters counts.

    Dead letters wait in a queue of their own as any message does.
    """
    if alert.queue:
        return "ActiveMessages", dead_queue(plan.queue(alert.queue))
    return "ActiveMessages", dead_of(plan, plan.function(alert.function))


def _query(template: Template, plan: BuildPlan, alert: AlertPlan, places: Places) -> None:
    """Add an alert on what the log says of a function's invocations.

    https://learn.microsoft.com/azure/azure-monitor/alerts/alerts-create-log-alert-rule
    """
    groups = [places.channel(name) for name in alert.notify]
    errors = alert.metric == "errors"
    criterion = {
        "query": query(plan.function(alert.function), alert),
        "metricMeasureColumn": "Value",
        # There is one row, or one for each minute; none fires nothing.
        "timeAggregation": "Maximum",
        "operator": "GreaterThan",
        "threshold": int(alert.threshold) if errors else round(alert.threshold * 1000),
        "failingPeriods": {"numberOfEvaluationPeriods": 1, "minFailingPeriodsToAlert": 1},
    }
    template.add(
        places.query_alert(alert.name),
        {
            **_told(plan, alert),
            "scopes": [places.workspace.value],
            "evaluationFrequency": "PT5M",
            "windowSize": duration(max(alert.window, 300)),
            # How late a row may be: the query itself chooses what has arrived in the window.
            "overrideQueryTimeRange": "PT2H",
            # The first deployment comes before the first row.
            "skipQueryValidation": True,
            "criteria": {"allOf": [criterion]},
            "actions": {"actionGroups": [group.value for group in groups]},
        },
        tracked=True,
        kind="LogAlert",
        depends=[places.workspace, *groups],
    )


def query(function: FunctionPlan, alert: AlertPlan) -> str:
    """Return the query whose ``Value`` is the metric: a number of rows, or milliseconds.

    Failures at events and messages are what the core has logged of them (O-18), and the invocations
    that failed without a word. A function that events come to by a queue, too, has two names.

    A window of one minute is each of the five whole minutes before: every minute Azure runs only
    queries that it can rewrite (https://aka.ms/lsa_1m_limits), every five minutes all.
    """
    if alert.metric == "errors" and function.kind != "http":
        return _attempts(function, alert)
    if alert.window == 60:
        came = "ingestion_time() >= bin(ago(5m), 1m) and ingestion_time() < bin(now(), 1m)"
        by = "OperationName, Minute = bin(ingestion_time(), 1m)"
    else:
        came = f"ingestion_time() > ago({alert.window // 60}m)"
        by = "OperationName"
    lines = ["AppRequests", f"where {came}", f"where OperationName == '{function.entry}'"]
    if alert.metric == "errors":
        lines.append("where Success == false or toint(ResultCode) >= 500")
        lines.append(f"summarize Value = sum(ItemCount) by {by}")
    else:
        lines.append(f"summarize Value = percentile(DurationMs, 95) by {by}")
    return " | ".join(lines)


def _attempts(function: FunctionPlan, alert: AlertPlan) -> str:
    names = f"'{function.entry}'"
    if again_of(function):
        names += f", '{function.entry}__again'"
    mine = f"where OperationName in ({names})"
    columns = "project Arrived = ingestion_time(), Invocation = tostring(Properties.InvocationId)"
    number = f"toint(extract('^{FAILED}=([0-9]+) ', 1, Message))"
    logged = (
        f"AppTraces | {mine} | where Message startswith '{FAILED}='"
        f" | {columns}, Failed = tolong(ItemCount * {number})"
    )
    if alert.window == 60:
        came = "Arrived >= bin(ago(5m), 1m) and Arrived < bin(now(), 1m)"
        by = " by Arrived = bin(Arrived, 1m)"
    else:
        came, by = f"Arrived > ago({alert.window // 60}m)", ""
    steps = [
        f"let logged = {logged}; AppRequests",
        mine,
        "where Success == false",
        # The same type as above: union makes two columns of two types.
        f"{columns}, Failed = tolong(ItemCount)",
        # What was both logged and raised is one failure, whichever row arrives first.
        "join kind=leftanti logged on Invocation",
        "union logged",
        f"where {came}",
        f"summarize Value = sum(Failed){by}",
    ]
    return " | ".join(steps)


def _told(plan: BuildPlan, alert: AlertPlan) -> dict[str, Any]:
    """Return what people see of *alert*."""
    return {
        "description": literal(text(plan, alert)),
        # Error, or warning.
        "severity": 2 if alert.metric == "latency-p95" else 1,
        "enabled": True,
        "autoMitigate": True,
    }


def text(plan: BuildPlan, alert: AlertPlan) -> str:
    """Return the description: the manifest's, where it is, and what to do first."""
    stage = f", stage {plan.stage}" if plan.stage else ""
    name = alert.function or next(
        (f.name for f in plan.functions
         if f.trigger.kind == "queue" and f.trigger.queue == alert.queue), ""
    )  # fmt: skip
    look = f"; portafaas logs {name}" if name else ""
    about = alert.description or f"{alert.metric} of {alert.function or alert.queue}"
    where = f" (service {plan.service}{stage}{look})"
    return about[: _MAX_TEXT - len(where)] + where


def duration(seconds: int) -> str:
    """Return whole minutes as Azure writes them: ``PT5M``, ``PT1H``."""
    return f"PT{seconds // 3600}H" if seconds % 3600 == 0 else f"PT{seconds // 60}M"
