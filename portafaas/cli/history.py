"""``portafaas history``."""

from __future__ import annotations

from pathlib import Path

import click

from portafaas.cli import options
from portafaas.cli.output import print_json


@click.command()
@options.one_target("Ask this target.")
@options.manifest
@options.stage
@click.option(
    "-n", "--limit", type=click.IntRange(0), default=20, show_default=True,
    help="At most so many; 0 is all.",
)  # fmt: skip
@click.option("-v", "--verbose", is_flag=True, help="Show what each changed.")
@options.format_
def command(
    target: str, manifest: Path, stage: str | None, limit: int, verbose: bool, format_: str
) -> None:
    """List who deployed, rolled back or removed what, and when; the newest first."""
    from portafaas.cli import deploying

    records = deploying.session(manifest, target, stage).history(limit)
    if format_ == "json":
        print_json([record.as_dict() for record in records])
        return
    for record in records:
        release = record.release[:19] or "-"
        line = f"{record.time}  {record.action:<8}  {record.outcome:<11}  {release:<19}"
        click.echo(f"{line}  {record.who}" + (f"  {record.commit[:12]}" if record.commit else ""))
        if record.reason:
            click.echo(f"    {record.reason}")
        if verbose:
            for text in (*deploying.grouped(record.permissions), *record.changes):
                click.echo(f"    {text}")
