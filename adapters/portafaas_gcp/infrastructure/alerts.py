"""Alerts as policies of Cloud Monitoring, and the channels they notify.

https://registry.terraform.io/providers/hashicorp/google/latest/docs/resources/monitoring_alert_policy

Failures at events and messages are counted in the log, where what the core writes of them and what
Cloud Run writes of requests come together; of the answers alone nobody could tell a failure that
has been settled, nor two attempts in one invocation.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from portafaas.plan import AlertPlan, BuildPlan
from portafaas.runtime.context import FAILED
from portafaas_gcp import names
from portafaas_gcp.alerting import description
from portafaas_gcp.infrastructure.document import Document, key, literal, ref
from portafaas_gcp.infrastructure.recovering import subscription_of
from portafaas_gcp.infrastructure.resources import dead_letter_subscription

#: Seconds without data after which an incident closes; the fewest there may be:
#: https://cloud.google.com/monitoring/alerts/incidents-events#closing
AUTO_CLOSE = 1800


class Measure(NamedTuple):
    """A metric, and how its series over a window become one number.

    Aligners and reducers that invent no data where there is none:
    https://cloud.google.com/monitoring/api/ref_v3/rest/v3/projects.alertPolicies#Aggregation
    """

    metric: str
    aligner: str
    reducer: str
    #: Of the neutral threshold in the unit of the metric.
    factor: int = 1


#: https://cloud.google.com/monitoring/api/metrics_gcp_p_z. All revisions and answers are one: a p95
#: of each series would fire for one slow answer of a kind that is rare.
MEASURES = {
    "errors": Measure("run.googleapis.com/request_count", "ALIGN_SUM", "REDUCE_SUM"),
    "latency-p95": Measure(
        "run.googleapis.com/request_latencies", "ALIGN_SUM", "REDUCE_PERCENTILE_95", 1000
    ),
    "dead-letters": Measure(
        "pubsub.googleapis.com/subscription/num_undelivered_messages", "ALIGN_MAX", "REDUCE_MAX"
    ),
    "oldest-message": Measure(
        "pubsub.googleapis.com/subscription/oldest_unacked_message_age", "ALIGN_MAX", "REDUCE_MAX"
    ),
}


def alerts(document: Document) -> None:
    """Add the alerts of the manifest, and the channels that any of them notifies."""
    plan = document.plan
    used = {name for alert in plan.alerts for name in alert.notify}
    for channel in plan.channels:
        if channel.name not in used:
            continue
        document.ask(f"$.channels.{channel.name}")
        for kind, label, value in (
            ("email", "email_address", channel.email),
            # Posts to a URL as it is; the other type of webhook must have a user and a password.
            ("webhook_tokenauth", "url", channel.webhook),
        ):
            if value:
                document.add(
                    "google_monitoring_notification_channel",
                    key(channel.name, kind.partition("_")[0]),
                    {
                        "display_name": names.physical(plan, channel.name, names.DISPLAY),
                        "type": kind,
                        "labels": {label: literal(value)},
                        "user_labels": document.labels(),
                        # Terraform deletes a channel before it takes it off a policy that stays,
                        # which Google refuses otherwise.
                        "force_delete": True,
                    },
                )
    for alert in plan.alerts:
        document.ask(f"$.alerts.{alert.name}", function=alert.function)
        if counts_attempts(plan, alert):
            _failures(document, alert.function)
        _policy(document, alert)


def counts_attempts(plan: BuildPlan, alert: AlertPlan) -> bool:
    """Tell whether *alert* is about failures at events or messages."""
    return alert.metric == "errors" and plan.function(alert.function).kind != "http"


def _failures(document: Document, function: str) -> None:
    """Add the count of the failures of *function*, which several alerts may look at.

    A delivery is one message here, and each record one attempt. 500 is the bridge's answer to a
    failure that it has logged; also Cloud Run's for want of an instance, which is no attempt.
    https://cloud.google.com/logging/docs/view/logging-query-language
    https://cloud.google.com/run/docs/troubleshooting
    """
    kind, block = "google_logging_metric", key(function)
    if block in document.resources.get(kind, {}):
        return
    service = ref(f"google_cloudfunctions2_function.{block}", "name")
    document.add(
        kind,
        block,
        {
            "name": names.physical(document.plan, f"{function}-failures", names.METRIC),
            "filter": f'resource.type="cloud_run_revision" AND '
            f'resource.labels.service_name="{service}" AND '
            f'((severity=ERROR AND jsonPayload.{FAILED}>0) OR '
            '(log_id("run.googleapis.com/requests") AND '
            "(httpRequest.status=400 OR httpRequest.status>500)))",
            "metric_descriptor": {"metric_kind": "DELTA", "value_type": "INT64", "unit": "1"},
        },
    )


def _policy(document: Document, alert: AlertPlan) -> None:
    plan, measure = document.plan, MEASURES[alert.metric]
    channels = document.resources.get("google_monitoring_notification_channel", {})
    notified = [
        ref(f"google_monitoring_notification_channel.{block}", "id")
        for name in dict.fromkeys(alert.notify)
        for block in (key(name, "email"), key(name, "webhook"))
        if block in channels
    ]
    name = names.physical(plan, alert.name, names.DISPLAY)
    document.add(
        "google_monitoring_alert_policy",
        key(alert.name),
        {
            "display_name": name,
            "combiner": "OR",
            "conditions": [
                {
                    "display_name": f"{alert.metric} of {alert.function or alert.queue}",
                    **(
                        _attempts(alert)
                        if counts_attempts(plan, alert)
                        else _threshold(plan, alert, measure)
                    ),
                }
            ],
            "alert_strategy": {"auto_close": f"{AUTO_CLOSE}s"},
            "notification_channels": notified,
            "documentation": {
                # Monitoring has templates of its own, and the same way out of them:
                # https://cloud.google.com/monitoring/alerts/doc-variables
                "content": literal(description(plan, alert).replace("${", "$${")),
                "mime_type": "text/markdown",
            },
            "user_labels": document.labels(),
        },
    )


def _threshold(plan: BuildPlan, alert: AlertPlan, measure: Measure) -> dict[str, Any]:
    threshold = alert.threshold * measure.factor
    return {
        "condition_threshold": {
            "filter": _filter(plan, alert, measure),
            "comparison": "COMPARISON_GT",
            "threshold_value": int(threshold) if threshold % 1 == 0 else threshold,
            # One value over a whole window is enough; without one nothing happens.
            "duration": "0s",
            "aggregations": [
                {
                    "alignment_period": f"{alert.window}s",
                    "per_series_aligner": measure.aligner,
                    "cross_series_reducer": measure.reducer,
                }
            ],
            "trigger": {"count": 1},
        }
    }


def _attempts(alert: AlertPlan) -> dict[str, Any]:
    """Return the condition on a metric of logs.

    A threshold on one that is younger than ten minutes is refused, and Terraform does not wait:
    https://github.com/hashicorp/terraform-provider-google/issues/11102. Only PromQL may name what
    is not there yet.
    https://cloud.google.com/monitoring/promql/promql-mapping
    """
    metric = ref(f"google_logging_metric.{key(alert.function)}", "name")
    series = (
        f'{{"__name__"="logging.googleapis.com/user/{metric}",'
        '"monitored_resource"="cloud_run_revision"}'
    )
    threshold = int(alert.threshold) if alert.threshold % 1 == 0 else alert.threshold
    return {
        "condition_prometheus_query_language": {
            "query": f"sum(increase({series}[{alert.window}s])) > {threshold}",
            "duration": "0s",
            "disable_metric_validation": True,
        }
    }


def _filter(plan: BuildPlan, alert: AlertPlan, measure: Measure) -> str:
    """Return which series are looked at: https://cloud.google.com/monitoring/api/v3/filters."""
    metric = f'metric.type = "{measure.metric}"'
    if alert.metric in ("errors", "latency-p95"):
        function = ref(f"google_cloudfunctions2_function.{key(alert.function)}", "name")
        terms = [
            'resource.type = "cloud_run_revision"',
            f'resource.labels.service_name = "{function}"',
            metric,
        ]
        if alert.metric == "errors":
            # A client that sends nonsense gets 4xx: no failure of the function.
            terms.append('metric.labels.response_code_class = "5xx"')
        return " AND ".join(terms)
    if alert.metric == "oldest-message":
        watched = f"google_pubsub_subscription.{key('queue', alert.queue)}"
    elif alert.function:
        watched = subscription_of(plan, plan.function(alert.function))
    else:
        watched = dead_letter_subscription(plan.queue(alert.queue))
    return (
        f'resource.type = "pubsub_subscription" AND '
        f'resource.labels.subscription_id = "{ref(watched, "name")}" AND {metric}'
    )
