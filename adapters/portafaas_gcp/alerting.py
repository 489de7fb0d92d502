"""What an alert says, and how many it tells; pure."""

from __future__ import annotations

from portafaas.plan import AlertPlan, BuildPlan, QueueTrigger


def description(plan: BuildPlan, alert: AlertPlan) -> str:
    """Return what a notification says beside the incident: markdown."""
    stage = f", stage {plan.stage}" if plan.stage else ""
    lines = [f"Service {plan.service}{stage}: alert {alert.name}."]
    if alert.description:
        lines.insert(0, alert.description)
    functions = [
        function.name
        for function in plan.functions
        if function.name == alert.function
        or (isinstance(function.trigger, QueueTrigger) and function.trigger.queue == alert.queue)
    ]
    lines += [f"Look first at: `portafaas logs {name}`" for name in functions]
    return "\n\n".join(lines)


def notified(plan: BuildPlan, alert: AlertPlan) -> int:
    """Return how many notification channels the alert has on Google Cloud."""
    channels = [plan.channel(name) for name in dict.fromkeys(alert.notify)]
    return sum(bool(channel.email) + bool(channel.webhook) for channel in channels)
