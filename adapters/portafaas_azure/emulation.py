"""How Azure delivers, for ``portafaas dev --as azure``: Service Bus, the change feed, the timer.

Where a worker's process ends its host does not: it fails what the worker was at, and Service Bus
has the message again at once.
https://github.com/Azure/azure-functions-host/blob/dev/src/WebJobs.Script.Grpc/Channel/GrpcWorkerChannel.cs
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from portafaas.adapter import MessageStimulus, NativeRequest
from portafaas.adapter.delivery import (
    Delivered,
    DeliveryRules,
    Emulation,
    HttpRules,
    Wish,
    addresses,
    has_dead_letters,
    is_ordered,
)
from portafaas.plan import BuildPlan, FunctionPlan, ObjectTrigger, QueueTrigger, TopicTrigger
from portafaas.runtime.text import epoch_time
from portafaas_azure.broker import (
    MANY,
    again_settings,
    event_subscription,
    queue_settings,
    sends_copies,
    subscription_settings,
)
from portafaas_azure.events import native_message

#: ``ScriptConstants.DefaultMaxRequestBodySize``, which the host gives its server:
#: https://github.com/Azure/azure-functions-host/blob/dev/src/WebJobs.Script/ScriptConstants.cs
MAX_REQUEST = 104_857_600
#: Tier Standard: https://learn.microsoft.com/azure/service-bus-messaging/service-bus-quotas
MAX_MESSAGE = 256 * 1024
#: Seconds after which another instance takes over a partition of the change feed:
#: https://learn.microsoft.com/azure/azure-functions/functions-bindings-cosmosdb-v2-trigger
LEASE = 60.0
#: Nothing has a time to live that is not set.
_FOREVER = 315_360_000


class Emulated(Emulation):
    """See ``portafaas.adapter.delivery``."""

    def rules(self, plan: BuildPlan, function: FunctionPlan) -> DeliveryRules:
        """Return the settings of the entity in Service Bus, or the host's own retry policy."""
        trigger, retry = function.trigger, function.retry
        if function.kind == "table":
            # The host's policy, in whole seconds; it never gives up, the bridge does.
            first = float(int(max(retry.initial, 1)))
            longest = float(int(max(retry.maximum, retry.initial, 1)))
            return DeliveryRules(
                order="all",
                pace=first,
                longest=longest if retry.backoff == "exponential" else first,
                gone=LEASE,
                forgets=True,
                retention=_FOREVER,
            )
        retention = _FOREVER
        if isinstance(trigger, QueueTrigger):
            settings = queue_settings(plan, function, trigger)
            retention = plan.queue(trigger.queue).retention
        elif isinstance(trigger, TopicTrigger):
            settings = subscription_settings(plan, function, trigger)
        elif isinstance(trigger, ObjectTrigger):
            settings = event_subscription(function, trigger)["destination"]["settings"]
        else:
            settings = again_settings(function)
        receives = settings["maxDeliveryCount"]
        return DeliveryRules(
            batch=1,
            order="key" if is_ordered(plan, function) else "none",
            requeues=sends_copies(plan, function),
            gone=float(settings["lockDuration"][2:-1]),
            receives=0 if receives == MANY else receives,
            loses=function.kind == "schedule",
            keeps=bool(settings.get("deadLetteringOnMessageExpiration")),
            retention=retention,
            message=MAX_MESSAGE,
        )

    def http(self, plan: BuildPlan, function: FunctionPlan) -> HttpRules:
        """Return what the host's server takes."""
        source = "https://learn.microsoft.com/azure/azure-functions/functions-bindings-http-webhook-trigger"
        return HttpRules(MAX_REQUEST, source=source)

    def environment(self, plan: BuildPlan, function: FunctionPlan) -> Mapping[str, str]:
        """Return the addresses of what copies and dead letters are sent to."""
        if function.kind in ("http", "task"):
            return {}
        own = f"https://bus.local/{function.name}"
        return addresses(
            function,
            own if sends_copies(plan, function) else "",
            f"{own}-dead" if has_dead_letters(plan, function) else "",
        )

    def request(
        self, plan: BuildPlan, function: FunctionPlan, items: Sequence[Delivered]
    ) -> tuple[NativeRequest | None, str]:
        """Return what the host sends the worker; a schedule's copies come by a queue."""
        (item,) = items
        if item.copied and function.kind == "schedule":
            time = json.loads(item.body)["schedule"]["time"]
            message = MessageStimulus(
                item.id,
                json.dumps({"time": time}).encode(),
                item.control(),
                attempt=item.deliveries,
                time=epoch_time(item.sent),
                content_type="application/json",
            )
            return native_message(message), f"{function.entry}__again"
        request, name = super().request(plan, function, items)
        if request is None:
            return None, name
        payload: dict[str, Any] = dict(request.payload)
        if function.kind == "table":
            payload["retry"] = {"count": item.deliveries - 1, "max": -1}
        elif function.kind == "object":
            metadata = payload["metadata"]
            metadata["DeliveryCount"]["value"] = item.deliveries
            for part in ("EnqueuedTimeUtc", "EnqueuedTime"):
                metadata[part]["value"] = epoch_time(item.sent)
            for part in ("ApplicationProperties", "UserProperties"):
                metadata[part]["value"] |= item.control()
        return NativeRequest(payload, request.ids), name

    def wishes(
        self, function: FunctionPlan, items: Sequence[Delivered], told: Sequence[Mapping[str, Any]]
    ) -> Mapping[int, Wish]:
        """Return what was sent to Service Bus: a copy for later, or a dead letter."""
        wish = Wish()
        for call in told:
            (message,) = call["given"]
            wish = Wish.sent(message["attributes"], message["after"])
        return {items[0].number: wish} if told else {}
