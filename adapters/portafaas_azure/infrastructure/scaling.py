"""How many instances an app keeps ready, and how many it may have. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from portafaas.errors import Diagnostic
from portafaas.plan import BuildPlan, FunctionPlan, QueueTrigger
from portafaas_azure.grouping import App, apps_of

_READY = (
    "https://learn.microsoft.com/azure/azure-functions/"
    "flex-consumption-plan#always-ready-instances"
)
#: The platform's own default.
MAX_INSTANCES = 100
#: The platform takes no more.
MOST_INSTANCES = 1000


def always_ready(app: App) -> dict[str, int]:
    """Return how many instances of *app* are kept ready, by the group or function they are of.

    The http functions of an app are one group, in the same instances; those of workflows another;
    any other has its own.
    https://learn.microsoft.com/azure/azure-functions/flex-consumption-how-to#set-always-ready-instance-counts
    """
    if app.runs_workflows:
        kept = max(function.min_instances for function in app.functions)
        return {"durable": kept} if kept else {}
    return {
        "http" if function.kind == "http" else f"function:{function.entry}": function.min_instances
        for function in app.functions
        if function.min_instances
    }


def most_instances(plan: BuildPlan, function: FunctionPlan, *others: FunctionPlan) -> int:
    """Return how many instances an app may have; a queue's bound is shared out among them.

    In an app of workflows no function may have more than it is bound to, and so no other either.
    """
    bounds = [one.max_instances for one in (function, *others) if one.max_instances]
    if isinstance(function.trigger, QueueTrigger):
        bound = plan.queue(function.trigger.queue).max_concurrency
        if bound:
            share = max(bound // function.concurrency, 1)
            return min(share, function.max_instances or share, MOST_INSTANCES)
    return min(bounds, default=MAX_INSTANCES)


def beyond(plan: BuildPlan) -> Iterator[Diagnostic]:
    """Yield a PF3002 for each app that keeps more instances ready than it may have in all.

    https://github.com/hashicorp/terraform-provider-azurerm adds them up in the same way.
    """
    for app in apps_of(plan):
        kept, most = sum(always_ready(app).values()), most_instances(plan, *app.functions)
        if kept > most:
            names = ", ".join(function.name for function in app.functions)
            yield Diagnostic(
                "PF3002",
                f"the app of {names} keeps {kept} instances ready; it has {most} at most",
                path=f"$.functions.{app.first.name}.min-instances",
                hint=_READY,
            )
