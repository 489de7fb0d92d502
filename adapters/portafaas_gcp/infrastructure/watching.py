"""Rules of what watches: alerts and whom they tell, and where logs are kept."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from portafaas_gcp.infrastructure.view import View

#: Metric: type of resource, its label, what becomes of a series, and of all of them.
#: https://cloud.google.com/monitoring/api/metrics_gcp
METRICS = {
    "run.googleapis.com/request_count": (
        "cloud_run_revision", "service_name", "ALIGN_SUM", "REDUCE_SUM"),
    "run.googleapis.com/request_latencies": (
        "cloud_run_revision", "service_name", "ALIGN_SUM", "REDUCE_PERCENTILE_95"),
    "pubsub.googleapis.com/subscription/num_undelivered_messages": (
        "pubsub_subscription", "subscription_id", "ALIGN_MAX", "REDUCE_MAX"),
    "pubsub.googleapis.com/subscription/oldest_unacked_message_age": (
        "pubsub_subscription", "subscription_id", "ALIGN_MAX", "REDUCE_MAX"),
}  # fmt: skip
#: Label that a type of channel must have, and what it is like.
CHANNELS = {
    "email": ("email_address", r"[^@\s]+@[^@\s]+"),
    "webhook_tokenauth": ("url", r"https://\S+"),
}
CHANNEL = "google_monitoring_notification_channel"
#: Channels that one policy may notify: https://cloud.google.com/monitoring/quotas
MOST_CHANNELS = 16
_FILTER = re.compile(
    r'resource\.type = "(?P<resource>\w+)" AND '
    r'resource\.labels\.(?P<label>\w+) = "\$\{(?P<address>google_\w+\.\w+)\.name\}" AND '
    r'metric\.type = "(?P<metric>[\w./]+)"(?: AND (?P<rest>.+))?'
)
FAILED = 'metric.labels.response_code_class = "5xx"'
#: What is looked at where failures are of events or messages: a metric of the service's own.
METRIC = "google_logging_metric"
_QUERY = re.compile(
    r'sum\(increase\(\{"__name__"="logging\.googleapis\.com/user/'
    r'\$\{google_logging_metric\.(?P<name>\w+)\.name\}",'
    r'"monitored_resource"="cloud_run_revision"\}\[(?P<window>\d+)s\]\)\) > (?P<most>[\d.]+)'
)
#: The core's records of failed attempts, each once; 400 is what cannot be read, and what is above
#: 500 is Cloud Run's own, of what has crashed. 500 says the bridge of what it has logged.
_COUNTED = (
    'resource.type="cloud_run_revision" AND resource.labels.service_name="${%s.name}" AND '
    "((severity=ERROR AND jsonPayload.pf_failed_attempts>0) OR "
    '(log_id("run.googleapis.com/requests") AND '
    "(httpRequest.status=400 OR httpRequest.status>500)))"
)


def watching(view: View) -> Iterator[str]:
    """Yield each broken rule as ``address: problem``."""
    told: set[str] = set()
    for address, body in view.of("google_monitoring_alert_policy"):
        channels = body["notification_channels"]
        told.update(channels)
        if len(set(channels)) != len(channels) or len(channels) > MOST_CHANNELS:
            yield f"{address}: notifies {len(channels)} channels, or one of them twice"
        for channel in channels:
            if not channel.startswith(f"${{{CHANNEL}."):
                yield f"{address}: notifies {channel}, which is no channel of the document"
        if len(body["conditions"]) != 1:
            yield f"{address}: must have one condition"
            continue
        condition = body["conditions"][0]
        kinds = condition.keys() - {"display_name"}
        if kinds == {"condition_threshold"}:
            yield from _condition(view, address, condition["condition_threshold"])
        elif kinds == {"condition_prometheus_query_language"}:
            yield from _counting(view, address, condition["condition_prometheus_query_language"])
        else:
            yield f"{address}: its condition has {len(kinds)} kinds"
        yield from _labels(view, address, body)
    for address, body in view.of(CHANNEL):
        label, pattern = CHANNELS[body["type"]]
        if body["labels"].keys() != {label}:
            yield f"{address}: {body['type']} has the label {label} and no other"
        elif not re.fullmatch(pattern, body["labels"][label]):
            yield f"{address}: {body['labels'][label]!r} is no address of {body['type']}"
        if not body["force_delete"]:
            yield f"{address}: cannot be taken off an alert that stays"
        if f"${{{address}.id}}" not in told:
            yield f"{address}: no alert tells it anything"
        yield from _labels(view, address, body)
    yield from _metrics(view)
    yield from _logs(view)


def counted(query: str) -> tuple[str, int, float] | None:
    """Return metric, seconds and threshold of the query of a condition, if it is one of ours."""
    found = _QUERY.fullmatch(query)
    if found is None:
        return None
    return found["name"], int(found["window"]), float(found["most"])


def _counting(view: View, address: str, condition: Mapping[str, Any]) -> Iterator[str]:
    found = counted(condition["query"])
    if found is None or found[0] not in view.resources.get(METRIC, {}):
        yield f"{address}: asks {condition['query']}"
    elif _is_open(view, found[0]):
        yield f"{address}: {found[0]} has requests, not attempts"
    if condition["disable_metric_validation"] is not True:
        yield f"{address}: is refused as long as its metric is new"


def _metrics(view: View) -> Iterator[str]:
    looked = {
        found[0]
        for _, body in view.of("google_monitoring_alert_policy")
        for condition in body["conditions"]
        if (query := condition.get("condition_prometheus_query_language"))
        and (found := counted(query["query"]))
    }
    for address, body in view.of(METRIC):
        name = address.partition(".")[2]
        if name not in looked:
            yield f"{address}: no alert looks at it"
        if body["filter"] != _COUNTED % f"google_cloudfunctions2_function.{name}":
            yield f"{address}: counts {body['filter']}"


def _is_open(view: View, function: str) -> bool:
    found = view.resources["google_cloudfunctions2_function"].get(function)
    return not found or found["service_config"]["ingress_settings"] == "ALLOW_ALL"


def _labels(view: View, address: str, body: Mapping[str, Any]) -> Iterator[str]:
    if body["user_labels"] != view.document["provider"]["google"]["default_labels"]:
        yield f"{address}: has not the labels of the service"


def _condition(view: View, address: str, threshold: Mapping[str, Any]) -> Iterator[str]:
    found = _FILTER.fullmatch(threshold["filter"])
    if found is None or found["metric"] not in METRICS:
        yield f"{address}: looks at {threshold['filter']}"
        return
    resource, label, aligner, reducer = METRICS[found["metric"]]
    if (found["resource"], found["label"]) != (resource, label):
        yield f"{address}: {found['metric']} is of {resource} by {label}"
    wanted = {
        "cloud_run_revision": "google_cloudfunctions2_function",
        "pubsub_subscription": "google_pubsub_subscription",
    }[resource]
    kind, _, name = found["address"].partition(".")
    if kind != wanted:
        yield f"{address}: {found['metric']} is of a {wanted}, not of {found['address']}"
        return
    if found["metric"].endswith("/request_count"):
        if found["rest"] != FAILED or not _is_open(view, name):
            yield f"{address}: {found['rest']!r} does not tell what failed in {name}"
    elif found["rest"] is not None:
        yield f"{address}: looks at a part of {found['metric']} only"
    if len(threshold["aggregations"]) != 1:
        yield f"{address}: must have one aggregation"
    for step in threshold["aggregations"]:
        if (step["per_series_aligner"], step["cross_series_reducer"]) != (aligner, reducer):
            yield f"{address}: {found['metric']} is to be taken with {aligner} and {reducer}"


def _logs(view: View) -> Iterator[str]:
    buckets = [address for address, _ in view.of("google_logging_project_bucket_config")]
    covered: dict[str, str] = {}
    for address, body in view.of("google_logging_project_sink"):
        if body["destination"] not in {
            f"logging.googleapis.com/${{{bucket}.id}}" for bucket in buckets
        }:
            yield f"{address}: brings logs to no bucket of the document"
        head, _, tail = body["filter"].partition(" AND resource.labels.service_name=(")
        services = re.findall(r'"([^"]+)"', tail)
        rebuilt = " OR ".join(f'"{name}"' for name in services) + ")"
        if head != 'resource.type="cloud_run_revision"' or tail != rebuilt:
            yield f"{address}: takes {body['filter']}"
        covered |= dict.fromkeys(services, address)
    if not buckets:
        return
    names = {body["name"] for _, body in view.of("google_cloudfunctions2_function")}
    for name in sorted(names - covered.keys()):
        yield f"{buckets[0]}: no sink brings it the logs of {name}"
    for name in sorted(covered.keys() - names):
        yield f"{covered[name]}: {name} is no function of the document"
