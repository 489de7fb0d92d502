"""Alerts and channels: alarms of CloudWatch, and the topics that tell people of them.

What counts, and in which period, is in ``docs/infrastructure-aws.md``. Missing data never fires: a
function nobody calls and a queue nobody uses report nothing.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from portafaas.plan import AlertPlan, BuildPlan, QueueTrigger
from portafaas_aws.infrastructure.document import Template, att, logical_id, ref, tags
from portafaas_aws.infrastructure.resources import dead_letters_of
from portafaas_aws.names import ALARM_NAME, channel_topic, physical_name

#: The records that the bridge of HTTP writes when it answers a failure, so that Lambda counts a
#: success; and those of all other kinds, which say how many attempts have failed (O-18).
#: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntaxForMetricFilters.html
PATTERN = (
    '{ $.severity = "ERROR" && ($.message = "handler failed*" || '
    '$.message = "handler exceeded its timeout*" || '
    '$.message = "application failed after its response*") }'
)
ATTEMPTS = '{ $.severity = "ERROR" && $.pf_failed_attempts > 0 }'
#: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
_DESCRIPTION = 1024
_NAMESPACE = "portafaas"


def add_channels(template: Template) -> None:
    """Add a topic for each channel that an alert notifies, and who is told by it."""
    plan = template.plan
    used = {name for alert in plan.alerts for name in alert.notify}
    for channel in plan.channels:
        if channel.name not in used:
            continue
        template.asked = (f"$.channels.{channel.name}",)
        topic = template.add(
            logical_id(channel.name, "Channel"),
            "AWS::SNS::Topic",
            {"TopicName": channel_topic(plan, channel.name), "Tags": tags(plan)},
        )
        for kind, protocol, address in (
            ("ChannelEmail", "email", channel.email),
            ("ChannelWebhook", "https", channel.webhook),
        ):
            if address:
                template.add(
                    logical_id(channel.name, kind),
                    "AWS::SNS::Subscription",
                    {"TopicArn": ref(topic), "Protocol": protocol, "Endpoint": address},
                )


def watched(plan: BuildPlan) -> set[str]:
    """Return the functions whose failures an alert is about."""
    return {alert.function for alert in plan.alerts if alert.metric == "errors"}


def add_failures(template: Template, function: str) -> None:
    """Add the count of the failures that *function*, which is :func:`watched`, answers."""
    plan = template.plan
    requests = plan.function(function).kind == "http"
    watching = (a.name for a in plan.alerts if a.metric == "errors" and a.function == function)
    template.asked = tuple(f"$.alerts.{name}" for name in watching)
    template.add(
        logical_id(function, "Failures"),
        "AWS::Logs::MetricFilter",
        {
            "LogGroupName": ref(logical_id(function, "Logs")),
            "FilterPattern": PATTERN if requests else ATTEMPTS,
            "MetricTransformations": [
                {
                    "MetricNamespace": _NAMESPACE,
                    "MetricName": _failures(plan, function),
                    "MetricValue": "1" if requests else "$.pf_failed_attempts",
                    # So that there is a value whenever Lambda has one, to add up.
                    "DefaultValue": 0,
                }
            ],
        },
    )


def add_alarm(template: Template, alert: AlertPlan) -> None:
    """Add the alarm of *alert*."""
    plan = template.plan
    # CloudWatch has milliseconds.
    threshold = alert.threshold * (1000 if alert.metric == "latency-p95" else 1)
    template.add(
        logical_id(alert.name, "Alert"),
        "AWS::CloudWatch::Alarm",
        {
            "AlarmName": physical_name(plan, alert.name, ALARM_NAME),
            "AlarmDescription": _description(plan, alert),
            **_measured(plan, alert),
            "EvaluationPeriods": 1,
            "ComparisonOperator": "GreaterThanThreshold",
            "Threshold": int(threshold) if threshold == int(threshold) else round(threshold, 6),
            "TreatMissingData": "notBreaching",
            "AlarmActions": [ref(logical_id(name, "Channel")) for name in alert.notify],
            "Tags": tags(plan),
        },
    )


def _failures(plan: BuildPlan, function: str) -> str:
    return f"{physical_name(plan, function)}-failures"


def _measured(plan: BuildPlan, alert: AlertPlan) -> dict[str, Any]:
    """Return what the alarm looks at, and over which time."""
    match alert.metric:
        case "errors":
            return _errors(plan, alert)
        case "latency-p95":
            metric = _lambda("Duration", alert.function)
            return {**metric, "ExtendedStatistic": "p95", "Period": alert.window}
        case "dead-letters":
            found = "ApproximateNumberOfMessagesVisible"
            queue = _dead_letters(plan, alert)
        case _:
            found, queue = "ApproximateAgeOfOldestMessage", logical_id(alert.queue, "Queue")
    # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
    return {
        "Namespace": "AWS/SQS",
        "MetricName": found,
        "Dimensions": [{"Name": "QueueName", "Value": att(queue, "QueueName")}],
        "Statistic": "Maximum",
        "Period": alert.window,
    }


def _errors(plan: BuildPlan, alert: AlertPlan) -> dict[str, Any]:
    """Return what Lambda counts, and what the bridge answers (500, ids) instead of raising it.

    No failure is in both: what the bridge has logged it does not raise.

    A sum of the series, which a missing value of one does not make missing; FILL would take
    values that are late for zero, and the alarm would never see them.
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
    """
    raised = _lambda("Errors", alert.function)
    answered = {"Namespace": _NAMESPACE, "MetricName": _failures(plan, alert.function)}
    return {
        "Metrics": [
            {
                "Id": name,
                "MetricStat": {"Metric": metric, "Period": alert.window, "Stat": "Sum"},
                "ReturnData": False,
            }
            for name, metric in (("raised", raised), ("answered", answered))
        ]
        + [
            {
                "Id": "failed",
                "Expression": "SUM([raised, answered])",
                "Label": "failures",
                "ReturnData": True,
            }
        ]
    }


def _lambda(metric: str, function: str) -> dict[str, Any]:
    name = ref(logical_id(function, "Function"))
    return {
        "Namespace": "AWS/Lambda",
        "MetricName": metric,
        "Dimensions": [{"Name": "FunctionName", "Value": name}],
    }


def _dead_letters(plan: BuildPlan, alert: AlertPlan) -> str:
    if alert.function:
        found = dead_letters_of(plan, plan.function(alert.function))
        assert found is not None
        return found[0]
    dead = plan.queue(alert.queue).dead_letter
    kind: Mapping[bool, str] = {True: "DeadLetters", False: "Queue"}
    return logical_id(alert.queue if dead is True else str(dead), kind[dead is True])


def _description(plan: BuildPlan, alert: AlertPlan) -> str:
    """Return what whoever is told reads: what it is about, of what, and where to look."""
    readers = [alert.function] if alert.function else [
        function.name
        for function in plan.functions
        if isinstance(function.trigger, QueueTrigger) and function.trigger.queue == alert.queue
    ]  # fmt: skip
    about = f"function {alert.function}" if alert.function else f"queue {alert.queue}"
    stage = f", stage {plan.stage}" if plan.stage else ""
    parts = [f"{alert.metric} of {about}, service {plan.service}{stage}."]
    if readers:
        parts.append(f"Look at: {', '.join(f'portafaas logs {name}' for name in readers)}")
    tail = " ".join(parts)[:_DESCRIPTION]
    head = alert.description.strip()[: max(0, _DESCRIPTION - 1 - len(tail))]
    return f"{head} {tail}".strip()
