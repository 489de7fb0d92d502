"""What ``portafaas explain`` tells of the template: why each resource is there, and who repeats.

The numbers are those of the template and of the host's decorators; what they do not say is the
platform's, with the page that states it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from portafaas.adapter import Deployment, Emitted, Redelivery
from portafaas.plan import BuildPlan, FunctionPlan, QueueTrigger, TopicTrigger
from portafaas_azure.infrastructure.arm import Ref, Template
from portafaas_azure.infrastructure.places import Places

#: What the host does with a message that a function failed at: it is there again at once.
#: https://learn.microsoft.com/azure/service-bus-messaging/message-transfers-locks-settlement
_BUS = "https://learn.microsoft.com/azure/azure-functions/functions-bindings-service-bus-trigger"
_HOST = "https://learn.microsoft.com/azure/azure-functions/functions-bindings-error-pages"
#: Properties of what is in Service Bus, by type and name.
_Entities = Mapping[tuple[str, str], Mapping[str, Any]]
#: Of an entity of Service Bus that does not say.
_DELIVERIES = 10


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
    trigger = function.trigger
    if isinstance(trigger, QueueTrigger):
        return _bus(entities, function, places.queue(trigger.queue), f"queue {trigger.queue}")
    if isinstance(trigger, TopicTrigger):
        ref = places.topic(trigger.topic).child("subscriptions", f"'{function.name}'")
        return _bus(entities, function, ref, f"subscription {trigger.topic}/{function.name}")
    if function.kind == "object":
        queue = f"{function.name}-objects"
        return _bus(entities, function, places.events_queue(function), f"queue {queue}")
    if function.kind == "http":
        return Redelivery(function.name, "", source=_HOST)
    policy = binding.get("retry")
    if policy is None:
        return Redelivery(function.name, "", source=_HOST)
    if policy["strategy"] == "fixed_delay":
        delay = f"{_seconds(policy['delay_interval'])} s after a failure"
    else:
        first, last = (_seconds(policy[f"{end}imum_interval"]) for end in ("min", "max"))
        delay = f"{first} s after a failure, then longer, up to {last} s"
    held = ", which holds up the partition of the change feed" * (function.kind == "table")
    attempts = int(policy["max_retry_count"]) + 1
    return Redelivery(
        function.name, f"the host{held}", attempts, delay if attempts > 1 else "", source=_HOST
    )


def _bus(entities: _Entities, function: FunctionPlan, ref: Ref, title: str) -> Redelivery:
    """Return what the entity *ref* of Service Bus does, which the template has."""
    settings = entities[ref.type, ref.name]
    dead = settings.get("forwardDeadLetteredMessagesTo")
    age = settings.get("defaultMessageTimeToLive", "PT0S")
    expired = settings.get("deadLetteringOnMessageExpiration", False)
    where = f"queue {dead}" if dead else f"the dead-letter queue of the {title}"
    if age != "PT0S" and not expired:
        where += "; not what became too old"
    return Redelivery(
        function.name,
        f"Service Bus, from the {title}",
        settings.get("maxDeliveryCount", _DELIVERIES),
        f"at once after a failure; {settings['lockDuration'][2:-1]} s after the host is gone",
        int(age[2:-1]),
        where,
        _BUS,
    )


def _seconds(span: str) -> int:
    hours, minutes, seconds = span.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + int(seconds)
