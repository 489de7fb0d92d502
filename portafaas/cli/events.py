"""``portafaas events``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from portafaas.adapter.neutral import KINDS
from portafaas.cli import options
from portafaas.cli.output import print_json
from portafaas.errors import InvocationError


@click.group()
def command() -> None:
    """Make sample events."""


@command.command()
@click.argument("what", metavar="FUNCTION|KIND", shell_complete=options.complete_function)
@options.target("Write the event as this platform sends it.  [default: a neutral event]")
@options.manifest
@options.stage
def generate(what: str, target: str | None, manifest: Path, stage: str | None) -> None:
    """Print a sample event for FUNCTION, or for any trigger of a KIND.

    KIND is http, queue, topic, object, table, schedule or task. 'portafaas invoke' takes either
    form of the event; the same arguments always print the same one.
    """
    from portafaas.adapter.neutral import stimulus_to_json

    plan, function = _find(what, target, manifest, stage)
    stimulus = fitting(plan, function)
    if target is None:
        print_json(stimulus_to_json(stimulus))
        return
    from portafaas.registry import get_adapter

    print_json(dict(get_adapter(target).encode(plan, function, stimulus)[0].payload))


def fitting(plan: Any, function: Any) -> Any:
    """Return a typical stimulus for *function*, as the schemas of the manifest want it."""
    from portafaas.adapter.neutral import sample

    made: Any = sample(plan, function)
    if function.kind not in ("queue", "topic", "task"):
        return made
    from portafaas.plan.patterns import NoExample
    from portafaas.testing import events

    try:
        if function.kind != "queue":
            return events.sample(plan, function)
        schema = plan.queue(function.trigger.queue).schema.document
        bodies = [events.data_of(schema)] * len(made.messages)
    except NoExample:
        # A schema that wants 'examples'; what does not fit it is still an event to be edited.
        return made
    return events.queue(plan, function, *bodies) if schema else made


def _find(what: str, target: str | None, manifest: Path, stage: str | None) -> tuple[Any, Any]:
    from portafaas.errors import guess

    names: list[str] = []
    if manifest.is_file():
        from portafaas.manifest.load import load_manifest
        from portafaas.plan.build import build_plan

        plan = build_plan(load_manifest(manifest.absolute(), stage), target or "")
        names = [function.name for function in plan.functions]
        if what in names:
            return plan, plan.function(what)
    if what in KINDS:
        return _typical(what)
    known = [*names, *KINDS]
    raise InvocationError(
        f"{what!r} is neither a function of the manifest nor a kind of trigger; "
        f"there are: {', '.join(known)}",
        hint=guess(what, known),
        code="PF7002",
    )


def _typical(kind: str) -> tuple[Any, Any]:
    """Return a plan with one function that has a typical trigger of *kind*."""
    from portafaas.plan import (
        BucketPlan,
        BuildPlan,
        FunctionPlan,
        HttpTrigger,
        ObjectTrigger,
        QueuePlan,
        QueueTrigger,
        ScheduleTrigger,
        TablePlan,
        TableTrigger,
        TaskTrigger,
        TopicPlan,
        TopicTrigger,
    )

    triggers: dict[str, Any] = {
        "http": HttpTrigger(("POST",), "/orders"),
        "queue": QueueTrigger("orders", 10),
        "topic": TopicTrigger("order-placed"),
        "object": ObjectTrigger("uploads"),
        "table": TableTrigger("orders"),
        "schedule": ScheduleTrigger("0 6 * * *"),
        "task": TaskTrigger(),
    }
    function = FunctionPlan("sample", "sample", "handle", triggers[kind])
    plan = BuildPlan(
        "sample",
        "",
        "3.12",
        "x86_64",
        (function,),
        queues=(QueuePlan("orders"),),
        topics=(TopicPlan("order-placed"),),
        buckets=(BucketPlan("uploads"),),
        tables=(TablePlan("orders"),),
    )
    return plan, function
