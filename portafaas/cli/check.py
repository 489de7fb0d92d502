"""``portafaas check``."""

from __future__ import annotations

from pathlib import Path

import click

from portafaas.cli import options
from portafaas.cli.output import print_json, show


@click.command()
@options.manifest
@options.targets("Check for this target; repeat it, or say 'all' (the default).")
@options.stage
@options.format_
def command(manifest: Path, target: tuple[str, ...], stage: str | None, format_: str) -> None:
    """Check the manifest, the plan and each target's limits; write nothing.

    Exits with 2 when anything is wrong. Handlers are looked up in the sources but not imported.
    """
    from portafaas.pipeline import check

    checked = check(manifest.absolute(), options.chosen(target), stage)
    if format_ == "json":
        print_json(
            {
                "targets": {
                    item.adapter.target: {"notes": [note.as_dict() for note in item.notes]}
                    for item in checked
                }
            }
        )
        return
    for item in checked:
        show(item.notes)
    names = ", ".join(item.adapter.target for item in checked)
    count = len(checked[0].plan.functions)
    click.echo(f"{manifest}: {count} function{'s' * (count != 1)}, good for {names}")
