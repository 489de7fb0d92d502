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
@click.option(
    "--against",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Compare schemas with those of another build: its .portafaas/schemas/<stage>.json.  "
    "[default: the last build here]",
)
@options.format_
def command(
    manifest: Path,
    target: tuple[str, ...],
    stage: str | None,
    against: Path | None,
    format_: str,
) -> None:
    """Check the manifest, the plan and each target's limits; write nothing.

    Exits with 2 when anything is wrong; warnings and notes do not count. Handlers are looked up in
    the sources but not imported.
    """
    from portafaas.pipeline import check

    checked = check(
        manifest.absolute(), options.chosen(target), stage, against=against, thorough=True
    )
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
    show(dict.fromkeys(note for item in checked for note in item.notes))
    names = ", ".join(item.adapter.target for item in checked)
    count = len(checked[0].plan.functions)
    click.echo(f"{manifest}: {count} function{'s' * (count != 1)}, good for {names}")
