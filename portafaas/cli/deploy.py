"""``portafaas deploy``."""

from __future__ import annotations

from pathlib import Path

import click

from portafaas.cli import options


@click.command()
@options.one_target("Deploy to this target.")
@options.manifest
@options.stage
@click.option(
    "-o",
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder that the build writes to.  [default: 'out' beside the manifest]",
)
@options.yes
@options.format_
def command(
    target: str, manifest: Path, stage: str | None, out: Path | None, yes: bool, format_: str
) -> None:
    """Build the service and put it where it runs.

    The target's own engine does it, with your own credentials; what would change is shown first.
    After a failure or Ctrl-C the same command goes on from whatever state the engine was left in.
    """
    from portafaas.cli import deploying

    with deploying.interruptible("deploy", target, stage):
        made = deploying.session(manifest, target, stage)
        release = deploying.built(made, manifest, stage, out)
        deploying.carry_out(made, made.propose(release), manifest, yes, format_ == "json")
