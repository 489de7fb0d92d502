"""``portafaas rollback``."""

from __future__ import annotations

from pathlib import Path

import click

from portafaas.cli import options


@click.command()
@click.argument("digest", required=False)
@options.one_target("Roll back on this target.")
@options.manifest
@options.stage
@options.yes
@options.format_
def command(
    digest: str | None, target: str, manifest: Path, stage: str | None, yes: bool, format_: str
) -> None:
    """Deploy an earlier release again: package, resources and permissions as they were then.

    DIGEST is the beginning of a release's digest, as 'portafaas history' lists them; without one it
    is what ran before the last deployment, failed or not. Data stays as it is.
    """
    from portafaas.cli import deploying

    if digest is not None and not digest.removeprefix("sha256:"):
        # As of a variable in a script that is not set.
        raise click.BadParameter(
            "it is empty; leave it out to mean the release before", param_hint="DIGEST"
        )
    with deploying.interruptible("rollback", target, stage):
        made = deploying.session(manifest, target, stage)
        proposal = made.propose(made.earlier(digest or ""))
        deploying.carry_out(made, proposal, manifest, yes, format_ == "json", rollback=True)
