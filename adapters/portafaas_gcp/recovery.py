"""What becomes of a failure on Google Cloud, as far as it is settled before anything runs; pure.

``runtime/settlement.py`` carries it out, ``docs/spec/recovery.md`` has the rules.
"""

from __future__ import annotations

from portafaas.adapter.delivery import is_ordered
from portafaas.plan import BuildPlan, FunctionPlan, QueueTrigger
from portafaas_gcp import names

#: Kinds of triggers whose deliveries are Pub/Sub's: counted, and delayed by a retry policy.
COUNTED = ("queue", "topic", "object")
#: Deliveries after which Pub/Sub moves a message, at least and at most:
#: https://cloud.google.com/pubsub/docs/reference/rest/v1/projects.subscriptions#DeadLetterPolicy
FEWEST, MOST = 5, 100


def dead_letters(plan: BuildPlan, function: FunctionPlan) -> str:
    """Return the name of the topic that takes the function's dead letters; "" if there is none.

    As in a manifest: not yet physical. A queue's may be another queue's.
    """
    trigger = function.trigger
    if isinstance(trigger, QueueTrigger):
        queue = plan.queue(trigger.queue)
        return names.dead_letter(queue.name, queue.dead_letter) if queue.dead_letter else ""
    return "" if function.kind in ("http", "task") else names.dead(function)


def is_copied(plan: BuildPlan, function: FunctionPlan) -> bool:
    """Return whether what the function failed at may be sent to it again, as a copy.

    It would break an order.
    """
    return function.kind in COUNTED and not is_ordered(plan, function)


def delayed_queues(plan: BuildPlan, function: FunctionPlan) -> tuple[int, ...]:
    """Return which of the function's ``uses`` may send a message with a delay."""
    ordered = {queue.name for queue in plan.queues if queue.ordered}
    return tuple(
        index
        for index, use in enumerate(function.uses)
        if use.kind == "queue" and use.verb == "send" and use.name not in ordered
    )


def makes_tasks(plan: BuildPlan, function: FunctionPlan) -> bool:
    """Return whether the function may have something published later."""
    return is_copied(plan, function) or bool(delayed_queues(plan, function))


def needs_tasks(plan: BuildPlan) -> bool:
    """Return whether the service needs a queue of tasks.

    For what is to be published later, and to call functions again whose dead letters came from no
    topic: those of tables and schedules.
    """
    return any(
        function.kind in ("table", "schedule") or makes_tasks(plan, function)
        for function in plan.functions
    )


def deliveries(function: FunctionPlan) -> int:
    """Return after how many deliveries Pub/Sub itself gives up: those that got no answer."""
    return min(max(function.retry.attempts, FEWEST), MOST)
