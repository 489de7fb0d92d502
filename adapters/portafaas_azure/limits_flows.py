"""What the app of a service's workflows cannot be, and how much one run may do (PF3002)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from portafaas.errors import Diagnostic
from portafaas.plan import BuildPlan
from portafaas.plan.machines import inner
from portafaas_azure.grouping import WORKFLOWS
from portafaas_azure.infrastructure.names import setting

_REPLAY = (
    "https://learn.microsoft.com/azure/azure-functions/durable/"
    "durable-functions-perf-and-scale#orchestrator-function-replay"
)
_APP = "docs/infrastructure-azure.md#workflows"
#: Calls and waits of one run: all that happened is replayed whenever something does.
MAX_STEPS = 10_000


def check_workflows(plan: BuildPlan) -> Iterator[Diagnostic]:
    """Yield one PF3002 for each thing that the app of the workflows cannot be."""
    tasks = [function for function in plan.functions if function.kind == "task"]
    for workflow in plan.workflows:
        where = f"$.workflows.{workflow.name}"
        if not tasks:
            text = "the service has no function with a task trigger, and so no app to run it"
            yield _refused(where, text, _APP)
        most = steps(workflow.machine)
        if most > MAX_STEPS:
            yield _refused(
                f"{where}.steps",
                f"a run may make {most} calls and waits; on Azure at most {MAX_STEPS}, since all "
                f"of them are replayed after each",
                f"let a loop or map run a workflow of its own, or lower 'most'; {_REPLAY}",
            )
    if tasks:
        for function in plan.functions:
            if function.name == WORKFLOWS and function.kind != "task":
                text = f"{WORKFLOWS!r} is the name of the app that workflows run in"
                yield _refused(f"$.functions.{function.name}", text, _APP)
    given: dict[str, tuple[str, str]] = {}
    for function in tasks:
        for name, value in function.environment.items():
            other, text = given.setdefault(name, (function.name, value))
            if text != value:
                yield _refused(
                    f"$.functions.{function.name}.environment.{name}",
                    f"{name} is another one for {other!r}; functions of workflows share an app, "
                    f"and its variables",
                    _APP,
                )
        for use in function.uses:
            name = setting(use.kind, use.name)
            if name in given:
                where = f"$.functions.{given[name][0]}.environment.{name}"
                yield _refused(where, f"{name} is the address of {use.name!r}", _APP)


def steps(machine: Mapping[str, Any]) -> int:
    """Return how many calls and waits a run of *machine* makes at most, repetitions apart.

    Steps that are gone back to count once: what goes in circles has no bound of its own.
    """
    found = 0
    for step in machine["steps"].values():
        times = step["most"] if step["kind"] in ("map", "loop") else 1
        found += times * sum(map(steps, inner(step)))
        found += step["kind"] in ("task", "workflow", "wait")
    return found


def _refused(path: str, message: str, hint: str) -> Diagnostic:
    return Diagnostic("PF3002", message, path=path, hint=hint)
