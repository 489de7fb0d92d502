"""What ``portafaas explain`` tells of who repeats what a function failed at.

The numbers are read from the document; what it does not say is the platform's, with the page that
states it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from portafaas.adapter import Redelivery
from portafaas.plan import FunctionPlan, QueueTrigger
from portafaas_gcp.infrastructure.document import Document, key
from portafaas_gcp.infrastructure.resources import dead_letter_subscription

_PUBSUB = "https://cloud.google.com/pubsub/docs/subscription-retry-policy"
_EVENTARC = "https://cloud.google.com/eventarc/docs/retry-events"
_SCHEDULER = "https://cloud.google.com/scheduler/docs/reference/rest/v1/RetryConfig"
_HTTP = "https://cloud.google.com/functions/docs/bestpractices/retries"
#: Seconds; of a subscription that does not say:
#: https://cloud.google.com/pubsub/docs/reference/rest/v1/projects.subscriptions
_RETENTION = 604_800
_CHANGES = 86_400


def redeliveries(document: Document) -> tuple[Redelivery, ...]:
    """Return who repeats what each function of *document* failed at."""
    return tuple(_redelivery(document, function) for function in document.plan.functions)


def _redelivery(document: Document, function: FunctionPlan) -> Redelivery:
    name, trigger = function.name, function.trigger
    subscriptions = document.resources.get("google_pubsub_subscription", {})
    match function.kind:
        case "http":
            return Redelivery(name, "", source=_HTTP)
        case "queue":
            assert isinstance(trigger, QueueTrigger)
            return _pubsub(document, function, subscriptions[key("queue", trigger.queue)])
        case "topic" | "object":
            return _pubsub(document, function, subscriptions[key(name)])
        case "table":
            delay = "10 s after a failure, then longer, up to 600 s"
            by = "Pub/Sub, for Eventarc"
            return Redelivery(name, by, 0, delay, _CHANGES, source=_EVENTARC)
    repeated = document.resources["google_cloud_scheduler_job"][key(name)].get("retry_config", {})
    attempts = repeated.get("retry_count", 0) + 1
    if attempts == 1:
        return Redelivery(name, "", source=_SCHEDULER)
    first, last = (_span(repeated[f"{end}_backoff_duration"]) for end in ("min", "max"))
    return Redelivery(name, "Cloud Scheduler", attempts, _delay(first, last), source=_SCHEDULER)


def _pubsub(
    document: Document, function: FunctionPlan, subscription: Mapping[str, Any]
) -> Redelivery:
    policy = subscription.get("retry_policy")
    # Push backoff: https://cloud.google.com/pubsub/docs/push#push_backoff
    delay = "at once after a failure, up to 60 s later while many fail"
    if policy is not None:
        delay = _delay(_span(policy["minimum_backoff"]), _span(policy["maximum_backoff"]))
    age = subscription.get("message_retention_duration", f"{_RETENTION}s")
    dead = subscription.get("dead_letter_policy")
    where = ""
    if dead is not None and isinstance(function.trigger, QueueTrigger):
        kept = dead_letter_subscription(document.plan.queue(function.trigger.queue))
        kind, _, block = kept.partition(".")
        where = f"subscription {document.resources[kind][block]['name']}; not what became too old"
    return Redelivery(
        function.name,
        f"Pub/Sub, from the subscription {subscription['name']}",
        dead["max_delivery_attempts"] if dead is not None else 0,
        delay,
        int(age.removesuffix("s")),
        where,
        _PUBSUB,
    )


def _span(duration: str) -> str:
    return f"{duration.removesuffix('s')} s"


def _delay(first: str, last: str) -> str:
    if first == last:
        return f"{first} after a failure"
    return f"{first} after a failure, then longer, up to {last}"
