"""``portafaas drift``."""

from __future__ import annotations

from pathlib import Path

import click

from portafaas.cli import options
from portafaas.cli.output import print_json


@click.command()
@options.one_target("Ask this target.")
@options.manifest
@options.stage
@options.exit_code("something differs")
@options.format_
def command(target: str, manifest: Path, stage: str | None, exit_code: bool, format_: str) -> None:
    """Tell what is no longer as it was deployed: edited by hand, or removed."""
    from portafaas.cli import deploying

    engine = deploying.session(manifest, target, stage).engine
    found = engine.drift()
    if format_ == "json":
        print_json(
            [
                {"resource": d.resource, "type": d.type, "kind": d.kind, "detail": list(d.detail)}
                for d in found
            ]
        )
    else:
        for item in found:
            click.secho(f"{item.kind:<8}  {item.resource}  {item.type}", fg="yellow")
            for line in item.detail:
                click.echo(f"    {line}")
        if not found:
            click.echo("everything is as it was deployed")
        elif engine.reverts:
            again = deploying.command("deploy", target, stage)
            click.echo(f"'{again}' puts it back", err=True)
        else:
            click.echo(f"how to put it back: docs/deployment-{target}.md#looking", err=True)
    if exit_code and found:
        raise SystemExit(deploying.DIFFERENT)
