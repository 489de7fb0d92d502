"""``portafaas build``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from portafaas.cli import options
from portafaas.cli.output import clear, print_json, progress, show, size
from portafaas.paths import absolute


@click.command()
@options.manifest
@options.targets("Build for this target; repeat it, or say 'all' (the default).")
@options.stage
@click.option(
    "-o",
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder to write to.  [default: 'out' beside the manifest]",
)
@click.option(
    "--infrastructure/--no-infrastructure",
    default=True,
    help="Write what each package needs around it, too: a template for the platform's own engine "
    "(the default), or packages alone.",
)
@click.option("--force", is_flag=True, help="Build even when nothing has changed.")
@options.format_
def command(
    manifest: Path,
    target: tuple[str, ...],
    stage: str | None,
    out: Path | None,
    infrastructure: bool,
    force: bool,
    format_: str,
) -> None:
    """Build a package for each target.

    Writes OUT/[STAGE/]TARGET/SERVICE.zip, with the deployment description (.deployment.json), the
    software bill of materials (.cdx.json) and the infrastructure beside it. All targets are
    written, or none; what an earlier build wrote stays whole until then.
    """
    import atexit
    import gc

    # The process ends soon: collecting garbage, now or at its exit, takes a tenth of a build and
    # frees nothing.
    atexit.register(gc.freeze)
    collecting = gc.isenabled()
    gc.disable()
    try:
        built, fresh = build(manifest, options.chosen(target), stage, out, infrastructure, force)
        if format_ == "json":
            print_json({"packages": built, "changed": fresh})
        else:
            _print(built, fresh)
    finally:
        if collecting:
            gc.enable()


def build(
    manifest: Path,
    targets: list[str],
    stage: str | None,
    out: Path | None,
    infrastructure: bool,
    force: bool,
) -> tuple[list[dict[str, Any]], bool]:
    """Build unless nothing has changed; return the facts of each package, and if they are new."""
    from portafaas import stamp

    manifest = absolute(manifest)
    out = manifest.parent / "out" if out is None else absolute(out)
    extra = "" if infrastructure else "+bare"
    built = None if force else stamp.unchanged(manifest, targets, stage, out, extra)
    if built is not None:
        return built, False
    from portafaas import pipeline

    inputs = stamp.before(manifest, targets, out) if manifest.is_file() else ""
    try:
        results = pipeline.build(
            manifest,
            targets,
            stage=stage,
            out=out,
            infrastructure=infrastructure,
            progress=progress(),
        )
    finally:
        clear()
    stamp.remember(manifest, targets, stage, out, results, inputs, extra)
    return [stamp.facts(item) for item in results], True


def _print(built: list[dict[str, Any]], fresh: bool) -> None:
    import os

    from portafaas.errors import Diagnostic

    notes: dict[Diagnostic, list[str]] = {}
    for item in built:
        for note in item["notes"]:
            notes.setdefault(Diagnostic(**note), []).append(item["target"])
    show(notes, alike=2)
    here = os.getcwd()  # noqa: PTH109
    width = max(len(item["target"]) for item in built)
    for item in built:
        path = os.path.relpath(item["package"], here)
        state = "" if fresh else "  (unchanged)"
        click.echo(
            f"{item['target']:<{width}}  {path}  {size(item['size'])}, {item['files']} files, "
            f"{item['digest'][:19]}{state}"
        )
