"""What the broker of a trigger must be set to: queues, subscriptions, filters. Pure, build time."""

from __future__ import annotations

from typing import Any

from portafaas.plan import BuildPlan, FunctionPlan, ObjectTrigger, QueueTrigger, TopicTrigger

#: https://learn.microsoft.com/azure/service-bus-messaging/service-bus-quotas
_MAX_RULE = 1024
_CORE = ("id", "source", "type", "subject", "time", "datacontenttype", "dataschema")


def queue_settings(
    plan: BuildPlan, function: FunctionPlan, trigger: QueueTrigger
) -> dict[str, Any]:
    """Return the Service Bus queue's properties, named as in its ARM resource."""
    queue = plan.queue(trigger.queue)
    settings: dict[str, Any] = {
        "requiresSession": queue.ordered,
        "maxDeliveryCount": function.retry.attempts,
        "defaultMessageTimeToLive": f"PT{queue.retention}S",
        "lockDuration": _lock(function),
        "deadLetteringOnMessageExpiration": queue.dead_letter is not False,
    }
    if isinstance(queue.dead_letter, str):
        settings["forwardDeadLetteredMessagesTo"] = queue.dead_letter
    return settings


def subscription_settings(
    plan: BuildPlan, function: FunctionPlan, trigger: TopicTrigger
) -> dict[str, Any]:
    """Return the Service Bus subscription's properties, and its rule when there is a filter."""
    settings: dict[str, Any] = {
        "requiresSession": plan.topic(trigger.topic).ordered,
        "maxDeliveryCount": function.retry.attempts,
        "lockDuration": _lock(function),
    }
    expression = sql_filter(trigger.filter)
    if expression:
        settings["rule"] = {"filterType": "SqlFilter", "sqlExpression": expression}
    return settings


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
            },
        },
        "eventDeliverySchema": "EventGridSchema",
        "filter": found,
    }


def _lock(function: FunctionPlan) -> str:
    # At most five minutes; the host renews it.
    return f"PT{min(max(int(function.timeout) + 30, 60), 300)}S"
