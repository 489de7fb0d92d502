"""What ``portafaas explain`` tells of the template: why each resource is there, and who repeats.

The numbers are those of the template and of the host's decorators; what they do not say is the
platform's, with the page that states it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from portafaas.adapter import Deployment, Emitted, Redelivery
from portafaas.plan import BuildPlan, FunctionPlan, QueueTrigger, TopicTrigger
from portafaas_azure.broker import again_of, dead_of, sends_copies
from portafaas_azure.infrastructure.arm import Template
from portafaas_azure.infrastructure.places import Places

#: What the host does with a message that a function failed at: it is there again at once.
#: https://learn.microsoft.com/azure/service-bus-messaging/message-transfers-locks-settlement
_BUS = "https://learn.microsoft.com/azure/azure-functions/functions-bindings-service-bus-trigger"
_HOST = "https://learn.microsoft.com/azure/azure-functions/functions-bindings-error-pages"
_DURABLE = "https://learn.microsoft.com/azure/azure-functions/durable/durable-functions-types-features-overview"
#: Properties of what is in Service Bus, by type and name.
_Entities = Mapping[tuple[str, str], Mapping[str, Any]]


def resources(template: Template) -> tuple[Emitted, ...]:
    """Return every resource of *template*."""
    found = zip(template.resources, template.names, template.whys, strict=True)
    return tuple(
        Emitted(name, body["type"], why, function)
        for body, name, whys in found
        for function, why in whys
    )


def redeliveries(
    template: Template, plan: BuildPlan, deployments: Iterable[Deployment]
) -> tuple[Redelivery, ...]:
    """Return who repeats what each function failed at."""
    bindings = {made.function: made.binding for made in deployments}
    places = Places(plan)
    entities = {
        (body["type"], body["name"]): body["properties"]
        for body in template.resources
        if body["type"].startswith("Microsoft.ServiceBus/")
    }
    return tuple(
        _redelivery(entities, places, function, bindings[function.name])
        for function in plan.functions
    )


def _redelivery(
    entities: _Entities, places: Places, function: FunctionPlan, binding: Mapping[str, Any]
) -> Redelivery:
    plan, trigger = places.plan, function.trigger
    if function.kind == "task":
        return Redelivery(function.name, "the workflow, as its step says", source=_DURABLE)
    if function.kind == "http":
        return Redelivery(function.name, "", source=_HOST)
    dead = dead_of(plan, function)
    if isinstance(trigger, QueueTrigger):
        ref, title = places.queue(trigger.queue), f"queue {trigger.queue}"
    elif isinstance(trigger, TopicTrigger):
        ref = places.topic(trigger.topic).child("subscriptions", f"'{function.name}'")
        title = f"subscription {trigger.topic}/{function.name}"
    elif function.kind == "object":
        ref, title = places.events_queue(function), f"queue {function.name}-objects"
    else:
        ref = places.queue(again_of(function))
        title = f"queue {again_of(function)}"
    settings = entities[ref.type, ref.name]
    age = settings.get("defaultMessageTimeToLive", "PT0S")
    lock = settings["lockDuration"][2:-1]
    gone = f"; {lock} s after the host is gone"
    retry = function.retry
    attempts = retry.attempts if dead else 0
    if function.kind == "table":
        policy = binding["retry"]
        who = "the host, which holds up the partition of the change feed"
        if policy["strategy"] == "fixed_delay":
            delay = f"{_seconds(policy['delay_interval'])} s after a failure"
        else:
            first, last = (_seconds(policy[f"{end}imum_interval"]) for end in ("min", "max"))
            delay = f"{first} s after a failure, then longer, up to {last} s"
        return Redelivery(
            function.name, who, attempts, delay if attempts > 1 else "", 0, f"queue {dead}", _HOST
        )
    delay = f"{retry.initial:g} s after a failure"
    if retry.backoff == "exponential":
        delay += f", then twice as long, up to {max(retry.maximum, retry.initial):g} s"
    if sends_copies(plan, function):
        who = f"the function, by a copy to the {title}"
        if isinstance(trigger, TopicTrigger):
            who = f"the function, by a copy to the topic {trigger.topic} for itself alone"
    else:
        who = f"Service Bus, from the {title}, once the function has waited"
        delay += ", as far as the timeout allows"
    return Redelivery(
        function.name,
        who,
        attempts,
        delay + gone,
        int(age[2:-1]),
        f"queue {dead}" if dead else "",
        _BUS,
    )


def _seconds(span: str) -> int:
    hours, minutes, seconds = span.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + int(seconds)
