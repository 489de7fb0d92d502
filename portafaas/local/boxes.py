"""The boxes that deliveries wait in, and what the manifest, or another platform, says of each.

``queue/<name>`` is the inbox of a queue's function, ``function/<name>`` that of a function with
another trigger.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from portafaas.adapter.delivery import addresses, has_dead_letters, order_of
from portafaas.plan import BuildPlan, FunctionPlan, QueueTrigger, TopicTrigger

if TYPE_CHECKING:
    from portafaas.adapter.delivery import DeliveryRules

#: Seconds that topics, buckets, tables and schedules keep what is not done (SNS, SQS: 4 days).
RETENTION = 345_600


def inbox(function: FunctionPlan) -> str:
    """Return the box that *function* gets its deliveries from."""
    trigger = function.trigger
    return (
        f"queue/{trigger.queue}"
        if isinstance(trigger, QueueTrigger)
        else f"function/{function.name}"
    )


def letters_to(plan: BuildPlan, function: FunctionPlan) -> dict[str, str]:
    """Return the variable that says where the function's dead letters go; none without any."""
    return addresses(function, dead=inbox(function)) if has_dead_letters(plan, function) else {}


class Boxes:
    """The boxes of one service and stage. *rules* are those of another platform, by function."""

    def __init__(self, plan: BuildPlan, rules: Mapping[str, DeliveryRules] | None = None) -> None:
        self.plan = plan
        self.rules = dict(rules or {})
        #: By function.
        self.inboxes = {function.name: inbox(function) for function in plan.functions}

    def order(self, function: FunctionPlan) -> str:
        """Return what is in order in a function's inbox: ``none``, ``key`` or ``all``."""
        rules = self.rules.get(function.name)
        return order_of(self.plan, function) if rules is None else rules.order

    def batch(self, function: FunctionPlan) -> int:
        """Return how many deliveries a function gets at once, at most."""
        size, rules = 1, self.rules.get(function.name)
        if isinstance(function.trigger, QueueTrigger):
            size = function.trigger.batch
        return min(size, rules.batch) if rules is not None and rules.batch else size

    def concurrency(self, function: FunctionPlan) -> int:
        """Return how many leases a queue's inbox may have at a time; 0 for any number."""
        trigger = function.trigger
        if not isinstance(trigger, QueueTrigger):
            return 0
        return self.plan.queue(trigger.queue).max_concurrency

    def elsewhere(self, box: str) -> str | None:
        """Return the queue that a box' dead letters go to, None for its own."""
        kind, _, name = box.partition("/")
        target = self.plan.queue(name).dead_letter if kind == "queue" else True
        return target if isinstance(target, str) else None

    def retentions(self) -> dict[str, float]:
        """Return the seconds for which boxes keep what waits; others: :data:`RETENTION`."""
        kept: dict[str, float] = {
            f"queue/{queue.name}": queue.retention for queue in self.plan.queues
        }
        for name, rules in self.rules.items():
            if rules.retention:
                kept[self.inboxes[name]] = rules.retention
        return kept

    def sizes(self) -> dict[str, tuple[int, bool]]:
        """Return the bytes of the largest message that the platform takes, by queue and topic.

        And whether it carries text only. Nothing for those that it sets no limit to.
        """
        limits: dict[str, tuple[int, bool]] = {}
        for function in self.plan.functions:
            rules, trigger = self.rules.get(function.name), function.trigger
            if rules is None or not rules.message:
                continue
            if isinstance(trigger, TopicTrigger):
                name = f"topic/{trigger.topic}"
            elif isinstance(trigger, QueueTrigger):
                name = f"queue/{trigger.queue}"
            else:
                continue
            limits[name] = min((rules.message, rules.text), limits.get(name, (1 << 62, False)))
        return limits
