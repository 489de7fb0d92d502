"""``portafaas graph``."""

from __future__ import annotations

from pathlib import Path

import click

from portafaas.cli import options

_FORMATS = ("mermaid", "json", "svg", "html")
_SUFFIXES = {".mmd": "mermaid", ".mermaid": "mermaid", ".json": "json", ".svg": "svg",
             ".html": "html", ".htm": "html"}  # fmt: skip


def _remember(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    ctx.meta[options.JSON] = value == "json"
    return value


@click.command()
@options.manifest
@options.stage
@click.option(
    "--format",
    "format_",
    type=click.Choice(_FORMATS),
    is_eager=True,
    callback=_remember,
    help="What to write.  [default: what the name of --out ends in, else mermaid]",
)
@click.option(
    "-o",
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write to.  [default: the standard output]",
)
@click.option("--all", "everything", is_flag=True, help="Draw secrets, too.")
def command(
    manifest: Path, stage: str | None, format_: str | None, out: Path | None, everything: bool
) -> None:
    """Draw what starts what: functions, queues, topics with their events, data and workflows.

    The picture is made of the manifest alone; it is the same for every target.
    """
    from portafaas.graph import graph_of
    from portafaas.manifest.load import load_manifest
    from portafaas.plan.build import build_plan

    format_ = format_ or _SUFFIXES.get(out.suffix.lower() if out else "", "mermaid")
    plan = build_plan(load_manifest(manifest.absolute(), stage))
    text = _text(graph_of(plan, everything), format_)
    if out is None:
        click.echo(text, nl=False)
        return
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
    except OSError as exc:
        raise click.FileError(str(out), exc.strerror) from exc
    click.echo(str(out))


def _text(graph: object, format_: str) -> str:
    import importlib
    import json

    if format_ == "json":
        from portafaas.graph.document import document

        return json.dumps(document(graph), indent=2, ensure_ascii=False) + "\n"  # type: ignore[arg-type]
    module = importlib.import_module(f"portafaas.graph.{format_}")
    text: str = getattr(module, format_)(graph)
    return text
