"""What an alert says, how many it tells, and which there cannot be; pure."""

from __future__ import annotations

from collections.abc import Iterator

from portafaas.errors import Diagnostic
from portafaas.plan import AlertPlan, BuildPlan, QueueTrigger

MONITORING = "https://cloud.google.com/monitoring/quotas"
DOCUMENTATION = (
    "https://cloud.google.com/monitoring/api/ref_v3/rest/v3/projects.alertPolicies#Documentation"
)
#: Notification channels of one alerting policy (MONITORING), and characters of what it says.
MOST_CHANNELS = 16
LONGEST_DOCUMENTATION = 8192


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


def watched(plan: BuildPlan) -> Iterator[Diagnostic]:
    """Yield alerts that Google Cloud cannot give, or not whole."""
    for alert in plan.alerts:
        path = f"$.alerts.{alert.name}"
        count = notified(plan, alert)
        if count > MOST_CHANNELS:
            yield Diagnostic(
                "PF3002",
                f"{count} addresses are notified; the limit is {MOST_CHANNELS} ({MONITORING})",
                path=f"{path}.notify",
            )
        size = len(description(plan, alert))
        if size > LONGEST_DOCUMENTATION:
            yield Diagnostic(
                "PF3002",
                f"the alert says {size} characters; the limit is {LONGEST_DOCUMENTATION} "
                f"({DOCUMENTATION})",
                path=f"{path}.description",
            )
