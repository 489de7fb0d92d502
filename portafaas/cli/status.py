"""``portafaas status``."""

from __future__ import annotations

from pathlib import Path

import click

from portafaas.cli import options
from portafaas.cli.output import print_json

_COLOURS = {"ready": "green", "busy": "yellow", "failed": "red", "absent": "cyan"}


@click.command()
@options.one_target("Ask this target.")
@options.manifest
@options.stage
@options.format_
def command(target: str, manifest: Path, stage: str | None, format_: str) -> None:
    """Tell what is deployed: state, release, addresses, resources.

    Exits with 1 when the last deployment failed or nothing is deployed.
    """
    from portafaas.cli import deploying
    from portafaas.deployment.record import current

    made = deploying.session(manifest, target, stage)
    status = made.engine.status()
    records = made.history()
    now = current(records)
    if format_ == "json":
        values = deploying.status_of(made, status)
        values["release"] = now.release if now else None
        values["last"] = records[0].as_dict() if records else None
        print_json(values)
    else:
        click.echo(f"{made.target}: {made.caller.place}")
        click.secho(f"{status.health}  {status.state}", fg=_COLOURS[status.health], bold=True)
        resume = deploying.resume_of(made, status)
        for label, text in (("reason", status.reason), ("resume", resume)):
            if text:
                click.echo(f"  {label}: {text}")
        if now is not None:
            click.echo(f"  release {now.release[:19]}, {now.action} at {now.time} by {now.who}")
        deploying.print_outputs(status.outputs)
        for name, kind, state in status.resources:
            click.echo(f"  {state:<20}  {name}  {kind}")
    if status.health in ("failed", "absent"):
        raise SystemExit(1)
