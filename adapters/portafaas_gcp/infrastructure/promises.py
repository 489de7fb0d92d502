"""What the manifest asks for and the document must therefore say: thresholds, times, channels.

Written down once more, apart from what emits it, so that one mistake is not made twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from portafaas.plan import AlertPlan, BuildPlan, QueuePlan, QueueTrigger
from portafaas_gcp.infrastructure.document import key, literal
from portafaas_gcp.infrastructure.view import View
from portafaas_gcp.infrastructure.watching import counted

#: Milliseconds, messages, and seconds.
_UNITS = {
    "errors": ("request_count", 1),
    "latency-p95": ("request_latencies", 1000),
    "dead-letters": ("num_undelivered_messages", 1),
    "oldest-message": ("oldest_unacked_message_age", 1),
}


def promises(view: View, plan: BuildPlan) -> Iterator[str]:
    """Yield each promise that is broken as ``address: problem``; the document's shape is right."""
    yield from _instances(view, plan)
    yield from _retention(view, plan)
    yield from _retries(view, plan)
    policies = view.resources.get("google_monitoring_alert_policy", {})
    for alert in plan.alerts:
        address = f"google_monitoring_alert_policy.{key(alert.name)}"
        body = policies.get(key(alert.name))
        if body is None:
            yield f"{address}: is missing"
        else:
            yield from (f"{address}: {problem}" for problem in _alert(view, plan, alert, body))
    for name in policies.keys() - {key(alert.name) for alert in plan.alerts}:
        yield f"google_monitoring_alert_policy.{name}: nobody asked for it"


def _instances(view: View, plan: BuildPlan) -> Iterator[str]:
    functions = view.resources.get("google_cloudfunctions2_function", {})
    for function in plan.functions:
        address = f"google_cloudfunctions2_function.{key(function.name)}"
        body = functions.get(key(function.name))
        if body is None:
            yield f"{address}: is missing"
            continue
        least = body["service_config"].get("min_instance_count", 0)
        if least != function.min_instances:
            yield f"{address}: keeps {least} instances ready, not {function.min_instances}"
        most = body["service_config"].get("max_instance_count", 0)
        limits = [function.max_instances] if function.max_instances else []
        if isinstance(function.trigger, QueueTrigger):
            at_once = plan.queue(function.trigger.queue).max_concurrency
            limits += [max(1, at_once // function.concurrency)] if at_once else []
        if most != min([*limits, 1000] if limits else [0]):
            yield f"{address}: has at most {most} instances, not {min(limits, default=0)}"


def _retries(view: View, plan: BuildPlan) -> Iterator[str]:
    for function in plan.functions:
        found = view.resources["google_cloudfunctions2_function"].get(key(function.name))
        if found is None or function.kind in ("http", "task"):
            continue
        variables = found["service_config"]["environment_variables"]
        trigger, retry = function.trigger, function.retry
        address = f"google_pubsub_subscription.{key(function.name)}"
        loses = False
        if isinstance(trigger, QueueTrigger):
            address = f"google_pubsub_subscription.queue__{key(trigger.queue)}"
            loses = not plan.queue(trigger.queue).dead_letter
        dead = f"PORTAFAAS_DEAD_{key(function.name).upper()}"
        if (dead in variables) is loses:
            yield f"google_cloudfunctions2_function.{key(function.name)}: {dead} is not as asked"
        if function.kind not in ("queue", "topic", "object"):
            continue
        body = view.resources["google_pubsub_subscription"].get(address.partition(".")[2], {})
        most = body.get("dead_letter_policy", {}).get("max_delivery_attempts", 0)
        if most != (0 if loses else max(5, retry.attempts)):
            yield f"{address}: gives up after {most} deliveries, not {retry.attempts}"
        last = retry.initial if retry.backoff == "fixed" else max(retry.initial, retry.maximum)
        for word, seconds in (("minimum", retry.initial), ("maximum", last)):
            text = body.get("retry_policy", {}).get(f"{word}_backoff", "")
            if not text or abs(float(text[:-1]) - min(seconds, 600)) > 0.001:
                yield f"{address}: the {word} of its delays is {text}, not {seconds:g} s"


def _retention(view: View, plan: BuildPlan) -> Iterator[str]:
    found = [
        body["retention_days"] for _, body in view.of("google_logging_project_bucket_config")
    ]
    wanted = [plan.logs.retention] if plan.functions and plan.logs.retention != 30 else []
    if found != wanted:
        yield f"google_logging_project_bucket_config: keeps logs for {found} days, not {wanted}"


def _alert(view: View, plan: BuildPlan, alert: AlertPlan, body: Any) -> Iterator[str]:
    conditions = body["conditions"]
    if len(conditions) != 1:
        yield f"has {len(conditions)} conditions"
        return
    yield from _said(view, plan, alert, body)
    if alert.metric == "errors" and plan.function(alert.function).kind != "http":
        query = conditions[0].get("condition_prometheus_query_language", {}).get("query", "")
        if counted(query) != (key(alert.function), alert.window, alert.threshold):
            yield f"asks {query!r}"
        return
    threshold = conditions[0].get("condition_threshold")
    if threshold is None:
        yield "compares no metric with a threshold"
        return
    metric, unit = _UNITS[alert.metric]
    if f'/{metric}"' not in threshold["filter"]:
        yield f"does not look at {metric}"
    if alert.function:
        watched = f"google_cloudfunctions2_function.{key(alert.function)}"
    else:
        watched = _subscription(plan.queue(alert.queue), alert.metric)
    if alert.function and alert.metric == "dead-letters":
        trigger = plan.function(alert.function).trigger
        watched = f"google_pubsub_subscription._dead__{key(alert.function)}"
        if isinstance(trigger, QueueTrigger):
            watched = _subscription(plan.queue(trigger.queue), alert.metric)
    if f'"${{{watched}.name}}"' not in threshold["filter"]:
        yield f"does not watch {watched}"
    if threshold["threshold_value"] != alert.threshold * unit:
        yield f"fires above {threshold['threshold_value']}, not {alert.threshold * unit:g}"
    for step in threshold["aggregations"]:
        if step["alignment_period"] != f"{alert.window}s":
            yield f"looks at {step['alignment_period']}, not at {alert.window} s"


def _said(view: View, plan: BuildPlan, alert: AlertPlan, body: Any) -> Iterator[str]:
    said = body["documentation"]["content"]
    begins = literal(alert.description.replace("${", "$${"))
    if not said.startswith(begins) or f"alert {alert.name}" not in said:
        yield f"says {said!r}"
    places = {
        f"${{google_monitoring_notification_channel.{key(name, kind)}.id}}": (label, address)
        for name in alert.notify
        for kind, label, address in (
            ("email", "email_address", plan.channel(name).email),
            ("webhook", "url", plan.channel(name).webhook),
        )
        if address
    }
    if set(body["notification_channels"]) != places.keys():
        yield f"notifies {', '.join(body['notification_channels'])}"
        return
    channels = view.resources["google_monitoring_notification_channel"]
    for reference, (label, address) in places.items():
        labels = channels[reference.split(".")[1]]["labels"]
        if labels.get(label) != literal(address):
            yield f"tells {labels}, not {address}"


def _subscription(queue: QueuePlan, metric: str) -> str:
    if metric != "dead-letters":
        return f"google_pubsub_subscription.queue__{key(queue.name)}"
    if queue.dead_letter is True:
        return f"google_pubsub_subscription.dead_letter__{key(queue.name)}"
    return f"google_pubsub_subscription.queue__{key(str(queue.dead_letter))}"
