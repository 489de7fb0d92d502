"""``portafaas explain``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from portafaas.cli import options
from portafaas.cli.output import print_json


@click.command()
@click.argument("function", shell_complete=options.complete_function)
@options.targets("Explain for this target; repeat it, or say 'all' (the default).")
@options.manifest
@options.stage
@options.format_
def command(
    function: str, target: tuple[str, ...], manifest: Path, stage: str | None, format_: str
) -> None:
    """Tell what FUNCTION becomes on each target.

    How it is started and by what, which permissions it gets and which line of the manifest asks
    for each, who delivers again what failed, and what does not carry over to other targets.
    """
    from portafaas.cli.find import find
    from portafaas.pipeline import check

    explained = {}
    for item in check(manifest.absolute(), options.chosen(target), stage):
        find(item.plan, function)
        explained[item.adapter.target] = _explain(item, function)
    if format_ == "json":
        print_json(explained)
        return
    for name, facts in explained.items():
        _print(name, facts)


def _explain(item: Any, name: str) -> dict[str, Any]:
    adapter, plan = item.adapter, item.plan
    infrastructure = adapter.infrastructure(plan)
    (deployment,) = [d for d in adapter.lower(plan).deployments if d.function == name]
    function = plan.function(name)
    place = f"$.functions.{name}"
    return {
        "trigger": function.kind,
        "entry": deployment.entry,
        "memory": deployment.memory,
        "timeout": deployment.timeout,
        "retries": _retries(function),
        "binding": dict(deployment.binding),
        "permissions": [
            {"grant": p.grant, "scope": p.scope, "why": p.why}
            for p in infrastructure.permissions
            if p.function == name
        ],
        "notes": [
            note.as_dict()
            for note in (*item.notes, *infrastructure.notes)
            if (note.path or "").startswith(place)
        ],
        "documents": sorted(infrastructure.documents),
    }


def _retries(function: Any) -> str:
    if function.kind == "http":
        return "nobody: the caller decides"
    by = {
        "queue": "the queue",
        "topic": "the topic's subscription",
        "object": "the notification's delivery",
        "table": "the change feed",
        "schedule": "the scheduler",
    }[function.kind]
    if not function.retry.declared:
        return f"{by}, as the platform does by default"
    return f"{by}; the manifest asks for {function.retry.attempts} deliveries in all"


def _print(target: str, facts: dict[str, Any]) -> None:
    click.secho(target, bold=True)
    rows = [
        ("trigger", facts["trigger"]),
        ("entry", facts["entry"]),
        ("memory", f"{facts['memory']} MiB"),
        ("timeout", f"{facts['timeout']} s, the platform's"),
        ("repeats", facts["retries"]),
        ("documents", ", ".join(facts["documents"]) or "none"),
    ]
    for name, value in rows:
        click.echo(f"  {name:<11}{value}")
    _table("permissions", ((p["grant"], p["scope"], p["why"]) for p in facts["permissions"]))
    for note in facts["notes"]:
        click.echo(f"  {note['severity']}: {note['code']} {note['message']}")


def _table(title: str, rows: Iterable[tuple[str, ...]]) -> None:
    lines = list(rows)
    click.echo(f"  {title}{'' if lines else ': none'}")
    widths = [max((len(row[n]) for row in lines), default=0) for n in range(2)]
    for grant, scope, why in lines:
        click.echo(f"    {grant:<{widths[0]}}  {scope:<{widths[1]}}  {why}")
