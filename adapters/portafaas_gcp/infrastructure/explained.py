"""What ``portafaas explain`` tells of who repeats what a function failed at.

The numbers are read from the document; what it does not say is the platform's, with the page that
states it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from portafaas.adapter import Redelivery
from portafaas.plan import FunctionPlan, QueueTrigger
from portafaas_gcp import recovery
from portafaas_gcp.infrastructure.document import Document, key
from portafaas_gcp.infrastructure.recovering import subscription_of

_PUBSUB = "https://cloud.google.com/pubsub/docs/subscription-retry-policy"
_EVENTARC = "https://cloud.google.com/eventarc/docs/retry-events"
_SCHEDULER = "https://cloud.google.com/scheduler/docs/reference/rest/v1/RetryConfig"
_WORKFLOWS = "https://cloud.google.com/workflows/docs/reference/syntax/retrying"
_HTTP = "https://cloud.google.com/functions/docs/bestpractices/retries"
#: Seconds; of a subscription that does not say:
#: https://cloud.google.com/pubsub/docs/reference/rest/v1/projects.subscriptions
_RETENTION = 604_800
_CHANGES = 86_400


def redeliveries(document: Document) -> tuple[Redelivery, ...]:
    """Return who repeats what each function of *document* failed at."""
    return tuple(_redelivery(document, function) for function in document.plan.functions)


def _redelivery(document: Document, function: FunctionPlan) -> Redelivery:
    name, trigger, retry = function.name, function.trigger, function.retry
    if function.kind == "http":
        return Redelivery(name, "", source=_HTTP)
    if function.kind == "task":
        return Redelivery(name, "the workflow, as its step says", source=_WORKFLOWS)
    subscriptions = document.resources.get("google_pubsub_subscription", {})
    if isinstance(trigger, QueueTrigger):
        return _pubsub(document, function, subscriptions[key("queue", trigger.queue)])
    if function.kind in recovery.COUNTED:
        return _pubsub(document, function, subscriptions[key(name)])
    # The bridge tries again, and buries; what ran out of time or crashed is the platform's.
    last = retry.initial if retry.backoff == "fixed" else max(retry.initial, retry.maximum)
    delay = _delay(f"{retry.initial:g} s", f"{last:g} s")
    by, until, source = "the function, within an invocation", 0, _SCHEDULER
    if function.kind == "table":
        by += "; out of time, Pub/Sub for Eventarc, after 10 to 600 s"
        until, source = _CHANGES, _EVENTARC
    else:
        job = document.resources["google_cloud_scheduler_job"][key(name)]
        count = job.get("retry_config", {}).get("retry_count", 0)
        by += f"; out of time, Cloud Scheduler, {count} times" if count else ""
    dead = f"subscription {_kept(document, function)}; not what never had the time"
    return Redelivery(name, by, retry.attempts, delay, until, dead, source)


def _pubsub(
    document: Document, function: FunctionPlan, subscription: Mapping[str, Any]
) -> Redelivery:
    policy = subscription["retry_policy"]
    delay = _delay(_span(policy["minimum_backoff"]), _span(policy["maximum_backoff"]))
    if recovery.is_copied(document.plan, function):
        delay += "; what is to come later than that, exactly then, by Cloud Tasks"
    age = subscription.get("message_retention_duration", f"{_RETENTION}s")
    dead = subscription.get("dead_letter_policy")
    where = ""
    if dead is not None:
        where = (
            f"subscription {_kept(document, function)}, by the function; after "
            f"{dead['max_delivery_attempts']} deliveries without an answer by Pub/Sub; not what "
            "became too old"
        )
    return Redelivery(
        function.name,
        f"Pub/Sub, from the subscription {subscription['name']}",
        function.retry.attempts if dead is not None else 0,
        delay,
        int(age.removesuffix("s")),
        where,
        _PUBSUB,
    )


def _kept(document: Document, function: FunctionPlan) -> str:
    kind, _, block = subscription_of(document.plan, function).partition(".")
    return str(document.resources[kind][block]["name"])


def _span(duration: str) -> str:
    return f"{duration.removesuffix('s')} s"


def _delay(first: str, last: str) -> str:
    if first == last:
        return f"{first} after a failure"
    return f"{first} after a failure, then longer, up to {last}"
