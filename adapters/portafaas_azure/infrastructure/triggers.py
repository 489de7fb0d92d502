"""What a function's trigger needs besides the declared resources. Pure.

A topic's function has its own subscription, an object's function its own queue that Event Grid
fills. The settings are those that lowering writes beside the package.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from portafaas.adapter import Deployment
from portafaas.plan import BuildPlan, FunctionPlan, ObjectTrigger, TopicTrigger
from portafaas_azure.broker import dead_settings
from portafaas_azure.infrastructure.arm import Ref, Template, literal, quote
from portafaas_azure.infrastructure.iam import assign
from portafaas_azure.infrastructure.places import Places

#: Event Grid goes on trying for a day: https://learn.microsoft.com/azure/event-grid/delivery-and-retry
_RETRY = {"maxDeliveryAttempts": 30, "eventTimeToLiveInMinutes": 1440}


def add_trigger(
    template: Template,
    plan: BuildPlan,
    function: FunctionPlan,
    deployment: Deployment,
    places: Places,
) -> None:
    """Add what *function*'s trigger needs of its own."""
    trigger = function.trigger
    template.ask(f"$.functions.{function.name}.trigger.{function.kind}", function=function.name)
    dead = places.queue(f"{function.name}-dead")
    if function.kind not in ("http", "queue", "task"):
        template.add(dead, dead_settings(), depends=[places.namespace])
    if again := deployment.binding.get("again"):
        queue = places.queue(again["queue_name"])
        template.add(queue, again["queue"], depends=[places.namespace, dead])
    if isinstance(trigger, TopicTrigger):
        _subscription(template, function, trigger, deployment.binding["subscription"], places)
    elif isinstance(trigger, ObjectTrigger):
        _notification(template, plan, function, trigger, deployment, places)


def _subscription(
    template: Template,
    function: FunctionPlan,
    trigger: TopicTrigger,
    settings: Mapping[str, Any],
    places: Places,
) -> None:
    topic = places.topic(trigger.topic)
    own = {
        **settings,
        # What cannot be delivered is kept; a filter that fails is no reason to lose the message.
        "deadLetteringOnMessageExpiration": True,
        "deadLetteringOnFilterEvaluationExceptions": True,
    }
    rule = own.pop("rule")
    dead = places.queue(f"{function.name}-dead")
    ref = template.add(
        topic.child("subscriptions", quote(function.name)), own, depends=[topic, dead]
    )
    # A new subscription has a rule of this name that lets everything pass; this replaces it.
    properties = {
        "filterType": rule["filterType"],
        "sqlFilter": {"sqlExpression": literal(rule["sqlExpression"])},
    }
    template.add(ref.child("rules", "'$Default'"), properties, depends=[ref])


def add_delivery(template: Template, plan: BuildPlan, places: Places) -> None:
    """Add the Event Grid topics of the buckets' accounts, and the identity they deliver as."""
    used = sorted({_versioned(plan, f.trigger) for f in plan.functions
                   if isinstance(f.trigger, ObjectTrigger)})  # fmt: skip
    if not used:
        return
    watching = [f for f in plan.functions if isinstance(f.trigger, ObjectTrigger)]
    template.ask(*(f"$.functions.{f.name}.trigger.object" for f in watching))
    deliverer = template.add(places.deliverer, tracked=True)
    for versioned in used:
        template.ask(
            *(
                f"$.functions.{f.name}.trigger.object"
                for f in watching
                if isinstance(f.trigger, ObjectTrigger) and _versioned(plan, f.trigger) is versioned
            )
        )
        account = places.buckets(versioned)
        template.add(
            places.system_topic(versioned),
            {"source": account.value, "topicType": "Microsoft.Storage.StorageAccounts"},
            tracked=True,
            identity={"type": "UserAssigned", "userAssignedIdentities": {deliverer.value: {}}},
            depends=[account, deliverer],
        )


def _notification(
    template: Template,
    plan: BuildPlan,
    function: FunctionPlan,
    trigger: ObjectTrigger,
    deployment: Deployment,
    places: Places,
) -> None:
    wanted = deployment.binding["eventSubscription"]
    queue = template.add(
        places.events_queue(function),
        {**wanted["destination"]["settings"], "deadLetteringOnMessageExpiration": True},
        depends=[places.namespace, places.queue(f"{function.name}-dead")],
    )
    allowed = assign(template, places.deliverer, "send", queue)
    chosen = {
        key: literal(value) if isinstance(value, str) else value
        for key, value in wanted["filter"].items()
    }
    versioned = _versioned(plan, trigger)
    topic = places.system_topic(versioned)
    bucket = places.bucket(plan, trigger.bucket)
    template.add(
        places.event_subscription(function, versioned),
        {
            "deliveryWithResourceIdentity": {
                "identity": {
                    "type": "UserAssigned",
                    "userAssignedIdentity": places.deliverer.value,
                },
                "destination": {
                    "endpointType": wanted["destination"]["endpointType"],
                    "properties": {"resourceId": queue.value},
                },
            },
            "eventDeliverySchema": wanted["eventDeliverySchema"],
            "filter": chosen,
            "retryPolicy": _RETRY,
        },
        # Making the subscription tries the queue.
        depends=[topic, queue, allowed, bucket, places.deliverer],
    )


def _versioned(plan: BuildPlan, trigger: ObjectTrigger) -> bool:
    return next(bucket.versioned for bucket in plan.buckets if bucket.name == trigger.bucket)


def delivery_grant(function: FunctionPlan, places: Places) -> Ref | None:
    """Return the queue that Event Grid may send to for *function*, if it waits for objects."""
    return places.events_queue(function) if function.kind == "object" else None
