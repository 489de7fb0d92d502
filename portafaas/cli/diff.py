"""``portafaas diff``."""

from __future__ import annotations

from pathlib import Path

import click

from portafaas.cli import options
from portafaas.cli.output import print_json


@click.command()
@options.one_target("Compare with what is deployed on this target.")
@options.manifest
@options.stage
@click.option(
    "-o",
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder that the build writes to.  [default: 'out' beside the manifest]",
)
@options.exit_code("there are changes")
@options.format_
def command(
    target: str, manifest: Path, stage: str | None, out: Path | None, exit_code: bool, format_: str
) -> None:
    """Show what 'deploy' would change: what functions may do first, then everything else.

    The target's own engine reckons it; nothing is changed.
    """
    from portafaas.cli import deploying

    made = deploying.session(manifest, target, stage)
    proposal = made.propose(deploying.built(made, manifest, stage, out))
    if format_ == "json":
        print_json(deploying.changes_of(proposal))
    else:
        click.echo(f"{made.target}: {made.caller.place}, as {made.caller.name}")
        deploying.print_changes(proposal)
    if exit_code and not proposal.unchanged:
        raise SystemExit(deploying.DIFFERENT)
