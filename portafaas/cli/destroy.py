"""``portafaas destroy``."""

from __future__ import annotations

from pathlib import Path

import click

from portafaas.cli import options
from portafaas.cli.output import print_json


@click.command()
@options.one_target("Remove the service from this target.")
@options.manifest
@options.stage
@click.option(
    "--data",
    is_flag=True,
    help="Remove queues, buckets, tables and secrets, too, with all that is in them.",
)
@options.yes
@options.format_
def command(
    target: str, manifest: Path, stage: str | None, data: bool, yes: bool, format_: str
) -> None:
    """Remove what 'deploy' made, but for data.

    Queues, buckets, tables and secrets stay with what is in them unless --data is said; a later
    'deploy' finds them again. Packages and the record of all deployments stay.
    """
    from portafaas.cli import deploying
    from portafaas.deployment.session import commit_of

    with deploying.interruptible("destroy", target, stage):
        made = deploying.session(manifest, target, stage)
        status = made.engine.status()
        name = "-".join(filter(None, (made.plan.service, made.plan.stage)))
        if format_ != "json":
            click.echo(f"{made.target}: {made.caller.place}, as {made.caller.name}")
            click.secho(
                "All of these, with all that is in them" if data else "All of these but data",
                bold=True,
            )
            for resource, kind, _ in status.resources:
                click.echo(f"  {resource}  {kind}")
        what = "and ALL ITS DATA " if data else ""
        deploying.confirm(f"Remove {name} {what}from {made.caller.place}?", yes, name, "")
        kept = made.destroy(data, deploying.reporter(), commit_of(manifest.absolute().parent))
    if format_ == "json":
        print_json(
            {"destroyed": True, "kept": [{"name": item.name, "type": item.type} for item in kept]}
        )
        return
    click.echo(f"{name} is gone from {made.caller.place}")
    for item in kept:
        click.echo(f"  kept  {item.name}  {item.type}")
