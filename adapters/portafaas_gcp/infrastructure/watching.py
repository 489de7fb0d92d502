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
FAILED = {
    'metric.labels.response_code_class = "5xx"': True,
    'metric.labels.response_code = monitoring.regex.full_match("400|5..")': False,
}


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
        yield from _condition(view, address, body["conditions"][0]["condition_threshold"])
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
    yield from _logs(view)


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
        open_to_clients = FAILED.get(found["rest"] or "")
        ingress = view.resources[kind][name]["service_config"]["ingress_settings"]
        if open_to_clients is not (ingress == "ALLOW_ALL"):
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
