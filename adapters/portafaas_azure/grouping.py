"""Which functions share an app. Pure.

Memory, identity, settings, sign-in and the bounds of scaling belong to the app on Azure, not to the
function. So one app per function, or, with ``targets.azure.apps: grouped``, one for the functions
that are equal in all of it: nobody gets a permission, a variable or a limit of another. But where
to send what failed the app is told, and allowed, for each of its functions.

Workflows call their tasks within one app, and a task may be called by several workflows: the tasks
of a service are one app in both modes, with what all of them may do. Its name never changes, so
that runs that go on outlive a deployment.

In an app of the Flex Consumption plan the http functions scale together, in the same instances;
what is Durable Functions' scales together in others; every other function scales into instances of
its own (blob triggers are not used here):
https://learn.microsoft.com/azure/azure-functions/flex-consumption-plan#per-function-scaling
"""

from __future__ import annotations

from typing import Any, assert_never

from portafaas.plan import (
    BuildPlan,
    FunctionPlan,
    HttpTrigger,
    ObjectTrigger,
    QueueTrigger,
    ScheduleTrigger,
    TableTrigger,
    TaskTrigger,
    TopicTrigger,
)
from portafaas.record import dataclass
from portafaas_azure.host import instance_memory

GROUPED = "grouped"
#: The app of the workflows and their tasks.
WORKFLOWS = "workflows"
#: Variables that the core gives all functions of a service; their values rename no app.
_OF_ALL = ("PORTAFAAS_CONFIG", "PORTAFAAS_LOG_LEVEL")


@dataclass(frozen=True, slots=True)
class App:
    """An app: its name within service and stage, and its functions in the manifest's order."""

    name: str
    functions: tuple[FunctionPlan, ...]
    #: True when the name is the function's, so that the app is never anybody else's.
    own: bool

    @property
    def first(self) -> FunctionPlan:
        """The function that stands for all in what they are equal in."""
        return self.functions[0]

    @property
    def runs_workflows(self) -> bool:
        """True for the app of the workflows."""
        return self.name == WORKFLOWS and not self.own

    @property
    def environment(self) -> dict[str, str]:
        """The variables of its functions together; that they agree is checked before this."""
        return {k: v for function in self.functions for k, v in function.environment.items()}

    @property
    def memory(self) -> int:
        """MiB of an instance: what the largest of its functions needs."""
        return instance_memory(max(function.memory for function in self.functions))

    @property
    def entries(self) -> str:
        """The value of ``PORTAFAAS_FUNCTIONS``."""
        return ",".join(function.entry for function in self.functions)


def is_grouped(plan: BuildPlan) -> bool:
    """Return whether the service wants equal functions in one app."""
    return bool(plan.options.get("apps") == GROUPED)


def apps_of(plan: BuildPlan) -> tuple[App, ...]:
    """Return the apps, each where the first of its functions is in the manifest.

    A group is called by its kind and a hash of what its functions are equal in: a function that
    joins or leaves renames nothing. What has a source of its own is alone in any case, and called
    like the function in both modes.
    """
    grouped = is_grouped(plan)
    found: dict[tuple[str, bool], list[FunctionPlan]] = {}
    for function in plan.functions:
        if function.kind == "task":
            key = (WORKFLOWS, False)
        elif grouped:
            key = (_name(function), _alone(function))
        else:
            key = (function.name, True)
        found.setdefault(key, []).append(function)
    return tuple(App(name, tuple(members), own) for (name, own), members in found.items())


def app_of(plan: BuildPlan, function: FunctionPlan) -> App:
    """Return the app that runs *function*."""
    return next(app for app in apps_of(plan) if function in app.functions)


def _alone(function: FunctionPlan) -> bool:
    # A queue has one consumer; subscriptions and notifications are one function's.
    return function.kind in ("queue", "topic", "object")


def _name(function: FunctionPlan) -> str:
    if _alone(function):
        return function.name
    import json
    from hashlib import sha256

    text = json.dumps(equal_in(function), sort_keys=True)
    return f"{function.kind}-{sha256(text.encode()).hexdigest()[:10]}"


def equal_in(function: FunctionPlan) -> dict[str, Any]:
    """Return what the functions of one app are equal in besides their kind, as JSON values.

    Changing a key or how a value is written renames every group: add keys only where they differ
    from what was before.
    """
    auth = getattr(function.trigger, "auth", None)
    ready = {"ready": function.min_instances} if function.min_instances else {}
    return {
        **ready,
        "needs": _needs(function),
        "uses": sorted({(use.verb, use.kind, use.name) for use in function.uses}),
        "memory": instance_memory(function.memory),
        "timeout": function.timeout,
        "concurrency": function.concurrency,
        "instances": function.max_instances,
        # The whole app asks for a token, or nobody does; and the digests of keys are a setting.
        "iam": auth is not None and auth.scheme == "iam",
        "keys": auth.keys if auth is not None else "",
        "environment": {
            name: value for name, value in function.environment.items() if name not in _OF_ALL
        },
    }


def _needs(function: FunctionPlan) -> list[str]:
    """Return what the trigger needs a grant for."""
    trigger = function.trigger
    match trigger:
        case QueueTrigger():
            return [trigger.queue]
        case TopicTrigger() | ObjectTrigger():
            return [function.name]
        case TableTrigger():
            return [trigger.table, str(function.options.get("leaseContainer", "leases"))]
        case HttpTrigger() | ScheduleTrigger() | TaskTrigger():
            return []
        case _:
            assert_never(trigger)
