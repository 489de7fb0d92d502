"""What the broker of a trigger must be set to: queues, subscriptions, filters. Pure, build time."""

from __future__ import annotations

from typing import Any

from portafaas.plan import BuildPlan, FunctionPlan, ObjectTrigger, QueueTrigger, TopicTrigger
from portafaas.plan.model import QueuePlan

#: https://learn.microsoft.com/azure/service-bus-messaging/service-bus-quotas
_MAX_RULE = 1024
#: Deliveries that nothing reaches: of what Service Bus may not give up. NServiceBus makes all its
#: queues so: https://github.com/Particular/NServiceBus.Transport.AzureServiceBus/pull/1400
MANY = 2_147_483_647
#: How long who looks at dead letters may hold them.
_LONGEST_LOCK = "PT300S"
_CORE = ("id", "source", "type", "subject", "time", "datacontenttype", "dataschema")


def dead_queue(queue: QueuePlan) -> str:
    """Return the name of the queue that has the dead letters of *queue*, "" when there are none."""
    if queue.dead_letter is True:
        return f"{queue.name}-dead"
    return queue.dead_letter or ""


def dead_of(plan: BuildPlan, function: FunctionPlan) -> str:
    """Return the name of the queue with *function*'s dead letters, "" when it has none."""
    if isinstance(function.trigger, QueueTrigger):
        return dead_queue(plan.queue(function.trigger.queue))
    return "" if function.kind in ("http", "task") else f"{function.name}-dead"


def again_of(function: FunctionPlan) -> str:
    """Return the name of the queue by which events come again that no queue brought, or ""."""
    return f"{function.name}-again" if function.kind in ("table", "schedule") else ""


def source_of(plan: BuildPlan, function: FunctionPlan) -> tuple[str, str]:
    """Return kind and name of where a copy has to be sent to reach *function*; "" for none."""
    trigger = function.trigger
    if isinstance(trigger, QueueTrigger):
        return "queue", trigger.queue
    if isinstance(trigger, TopicTrigger):
        return "topic", trigger.topic
    if isinstance(trigger, ObjectTrigger):
        return "queue", f"{function.name}-objects"
    name = again_of(function)
    return ("queue", name) if name else ("", "")


def sends_copies(plan: BuildPlan, function: FunctionPlan) -> bool:
    """Tell whether the bridge sends copies: not where one could overtake what came later."""
    trigger = function.trigger
    if isinstance(trigger, QueueTrigger):
        return not plan.queue(trigger.queue).ordered
    if isinstance(trigger, TopicTrigger):
        return not plan.topic(trigger.topic).ordered
    return function.kind not in ("http", "task")


def dead_settings() -> dict[str, Any]:
    """Return the properties of a queue of dead letters: they stay for as long as nobody acts.

    Without a time to live of the queue. A letter with one of its own, or that was looked at too
    often, goes on to the queue's own dead-letter queue, where nothing expires.
    """
    return {
        "maxDeliveryCount": MANY,
        "lockDuration": _LONGEST_LOCK,
        "deadLetteringOnMessageExpiration": True,
    }


def _counted(function: FunctionPlan, ordered: bool, dead: str) -> dict[str, Any]:
    """Return who gives up: Service Bus after ``attempts``, or only the bridge.

    Dead letters of entities with sessions are not forwarded, as messages are not; there, and where
    there are none, Service Bus never gives up.
    https://learn.microsoft.com/azure/service-bus-messaging/service-bus-auto-forwarding#considerations
    """
    if ordered or not dead:
        return {"maxDeliveryCount": MANY}
    return {
        "maxDeliveryCount": function.retry.attempts,
        "forwardDeadLetteredMessagesTo": dead,
    }


def queue_settings(
    plan: BuildPlan, function: FunctionPlan, trigger: QueueTrigger
) -> dict[str, Any]:
    """Return the Service Bus queue's properties, named as in its ARM resource."""
    queue = plan.queue(trigger.queue)
    return {
        "requiresSession": queue.ordered,
        "defaultMessageTimeToLive": f"PT{queue.retention}S",
        "lockDuration": _lock(function),
        "deadLetteringOnMessageExpiration": queue.dead_letter is not False,
        **_counted(function, queue.ordered, dead_queue(queue)),
    }


def subscription_settings(
    plan: BuildPlan, function: FunctionPlan, trigger: TopicTrigger
) -> dict[str, Any]:
    """Return the Service Bus subscription's properties, and its rule."""
    ordered = plan.topic(trigger.topic).ordered
    return {
        "requiresSession": ordered,
        "lockDuration": _lock(function),
        **_counted(function, ordered, dead_of(plan, function)),
        "rule": {
            "filterType": "SqlFilter",
            "sqlExpression": subscription_rule(function.name, trigger.filter),
        },
    }


def subscription_rule(name: str, accepted: tuple[tuple[str, tuple[str, ...]], ...]) -> str:
    """Return the rule of the function *name*: no copies for others, and what its filter says.

    The bridge looks at both again, so that a filter that makes the rule too long is left to it.
    """
    field = _field("pf-to")
    own = f"(NOT EXISTS({field}) OR {field} = '{name}')"
    chosen = sql_filter(accepted)
    both = f"{own} AND ({chosen})"
    return both if chosen and len(both) <= _MAX_RULE else own


def again_settings(function: FunctionPlan) -> dict[str, Any]:
    """Return the properties of the queue ``<function>-again``."""
    return {
        "maxDeliveryCount": function.retry.attempts,
        "lockDuration": _lock(function),
        "deadLetteringOnMessageExpiration": True,
        "forwardDeadLetteredMessagesTo": f"{function.name}-dead",
    }


def sql_filter(accepted: tuple[tuple[str, tuple[str, ...]], ...]) -> str:
    """Return a rule that drops no message the bridge would pass; ``""`` when there is none.

    The bridge compares again. Structured events have their attributes in the body and pass here.
    https://learn.microsoft.com/azure/service-bus-messaging/service-bus-messaging-sql-filter
    """
    if not accepted:
        return ""
    tests = []
    for name, values in accepted:
        choices = ", ".join("'" + value.replace("'", "''") + "'" for value in values)
        fields = [_field(f"cloudEvents:{name}"), _field(f"cloudEvents_{name}")]
        if name not in _CORE:
            fields.append(_field(name))
        either = [f"{field} IN ({choices})" for field in fields]
        if name in _CORE:
            # A message that is no CloudEvent gets these from the bridge.
            either.append(" AND ".join(f"NOT EXISTS({field})" for field in fields))
        tests.append("(" + " OR ".join(either) + ")")
    rule = " AND ".join(tests) + " OR sys.ContentType LIKE 'application/cloudevents+json%'"
    return rule if len(rule) <= _MAX_RULE else ""


def _field(name: str) -> str:
    return 'user."' + name.replace('"', '""') + '"'


def event_subscription(function: FunctionPlan, trigger: ObjectTrigger) -> dict[str, Any]:
    """Return the Event Grid subscription that fills the function's queue, as in ARM.

    https://learn.microsoft.com/azure/event-grid/subscription-creation-schema
    """
    kinds = {"created": "Microsoft.Storage.BlobCreated", "deleted": "Microsoft.Storage.BlobDeleted"}
    found: dict[str, Any] = {
        "includedEventTypes": [kinds[kind] for kind in trigger.on],
        "subjectBeginsWith": (
            f"/blobServices/default/containers/{trigger.bucket}/blobs/{trigger.prefix}"
        ),
        "isSubjectCaseSensitive": True,
    }
    if trigger.suffix:
        found["subjectEndsWith"] = trigger.suffix
    return {
        "destination": {
            "endpointType": "ServiceBusQueue",
            "queue": f"{function.name}-objects",
            "settings": {
                "maxDeliveryCount": function.retry.attempts,
                "lockDuration": _lock(function),
                "forwardDeadLetteredMessagesTo": f"{function.name}-dead",
            },
        },
        "eventDeliverySchema": "EventGridSchema",
        "filter": found,
    }


def _lock(function: FunctionPlan) -> str:
    # At most five minutes; the host renews it.
    return f"PT{min(max(int(function.timeout) + 30, 60), 300)}S"
