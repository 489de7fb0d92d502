"""How Google Cloud delivers, for ``portafaas dev --as gcp``: pushes, Eventarc, Cloud Scheduler."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

from portafaas.adapter import NativeRequest
from portafaas.adapter.delivery import (
    Delivered,
    DeliveryRules,
    Emulation,
    HttpRules,
    Wish,
    addresses,
    is_ordered,
)
from portafaas.plan import BuildPlan, FunctionPlan
from portafaas.runtime.text import epoch_time
from portafaas_gcp.lowering import binding_of
from portafaas_gcp.recovery import COUNTED, dead_letters, is_copied
from portafaas_gcp.runtime.settlement import ORDERED

#: Bytes of requests and of answers that are not streamed:
#: https://cloud.google.com/run/quotas#networking_limits
MAX_HTTP = 32 * 1024 * 1024
_TOO_LARGE = b"Error: Request Entity Too Large"
_RESPONSE = b"Response size was too large. Please consider reducing response size."
#: Bytes of a message: https://cloud.google.com/pubsub/quotas#resource_limits
MAX_MESSAGE = 10_000_000
#: Seconds between deliveries of an event, and for how long:
#: https://cloud.google.com/eventarc/docs/retry-events
EVENTARC = (10.0, 600.0, 86_400)
#: Seconds of a job that says nothing: https://cloud.google.com/scheduler/docs/reference/rest/v1/RetryConfig
_SCHEDULER = (5.0, 3600.0)
#: Seconds that a subscription keeps a message for that does not say:
#: https://cloud.google.com/pubsub/docs/reference/rest/v1/projects.subscriptions
_RETENTION = 604_800


class Emulated(Emulation):
    """See ``portafaas.adapter.delivery``."""

    def rules(self, plan: BuildPlan, function: FunctionPlan) -> DeliveryRules:
        """Return the settings of the push subscription, the trigger or the job."""
        facts = binding_of(plan, function)
        if function.kind == "table":
            first, longest, retention = EVENTARC
            # Eventarc keeps no order, and counts for nobody.
            return DeliveryRules(
                pace=first,
                longest=longest,
                gone=first,
                counted=False,
                retention=retention,
            )
        if function.kind == "schedule":
            config = facts.get("retryConfig", {})
            first, longest = (
                _seconds(config[name]) if name in config else usual
                for name, usual in zip(
                    ("minBackoffDuration", "maxBackoffDuration"), _SCHEDULER, strict=True
                )
            )
            return DeliveryRules(
                pace=first,
                longest=longest,
                gone=first,
                receives=config.get("retryCount", 0) + 1,
                buries=False,
                counted=False,
            )
        settings = facts["subscription"]
        policy = settings["retryPolicy"]
        return DeliveryRules(
            batch=1,
            order="key" if is_ordered(plan, function) else "none",
            requeues=is_copied(plan, function),
            pace=_seconds(policy["minimumBackoff"]),
            longest=_seconds(policy["maximumBackoff"]),
            gone=float(settings["ackDeadlineSeconds"]),
            receives=settings.get("deadLetterPolicy", {}).get("maxDeliveryAttempts", 0),
            counted="deadLetterPolicy" in settings,
            retention=int(_seconds(settings.get("messageRetentionDuration", f"{_RETENTION}s"))),
            message=MAX_MESSAGE,
        )

    def http(self, plan: BuildPlan, function: FunctionPlan) -> HttpRules:
        """Return what Cloud Run's front end lets through, both ways."""
        return HttpRules(
            MAX_HTTP,
            request_body=_TOO_LARGE,
            response=MAX_HTTP,
            response_body=_RESPONSE,
            source="https://cloud.google.com/run/quotas",
        )

    def environment(self, plan: BuildPlan, function: FunctionPlan) -> Mapping[str, str]:
        """Return the topics that copies and dead letters are published to."""
        topics, source = "projects/local/topics", ""
        if function.kind in COUNTED:
            source = ORDERED if is_ordered(plan, function) else f"{topics}/{function.name}"
        dead = dead_letters(plan, function)
        return addresses(function, source, f"{topics}/{dead}" if dead else "")

    def request(
        self, plan: BuildPlan, function: FunctionPlan, items: Sequence[Delivered]
    ) -> tuple[NativeRequest | None, str]:
        """Return the push, or the event, with the count of deliveries where there is one."""
        (item,) = items
        request, name = super().request(plan, function, items)
        if request is None or function.kind not in COUNTED:
            return request, name
        payload = dict(request.payload)
        document = json.loads(base64.b64decode(payload["body"]))
        document.pop("deliveryAttempt", None)
        if dead_letters(plan, function):
            document["deliveryAttempt"] = item.deliveries
        if function.kind == "object":
            message = document["message"]
            message["attributes"] |= item.control()
            message["publishTime"] = message["publish_time"] = epoch_time(item.sent)
        payload["body"] = base64.b64encode(json.dumps(document).encode()).decode("ascii")
        return NativeRequest(payload, request.ids), name

    def wishes(
        self, function: FunctionPlan, items: Sequence[Delivered], told: Sequence[Mapping[str, Any]]
    ) -> Mapping[int, Wish]:
        """Return what was published: a copy for later, by Cloud Tasks, or a dead letter."""
        wish = Wish()
        for call in told:
            message, *after = call["given"]
            wish = Wish.sent(message.get("attributes", {}), float(*after))
        return {items[0].number: wish} if told else {}


def _seconds(duration: str) -> float:
    return float(duration.removesuffix("s"))
