"""``portafaas graph``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from portafaas.cli import options

if TYPE_CHECKING:
    from portafaas.deployment.workflows import RunState, StepEvent
    from portafaas.plan import BuildPlan, WorkflowPlan

_FORMATS = ("mermaid", "json", "svg", "html")
_SUFFIXES = {".mmd": "mermaid", ".mermaid": "mermaid", ".json": "json", ".svg": "svg",
             ".html": "html", ".htm": "html"}  # fmt: skip
#: What one may well ask for, and would get Mermaid's text in.
_OTHERS = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".pdf", ".dot", ".puml")


def _remember(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    ctx.meta[options.JSON] = value == "json"
    return value


def complete_workflow(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete the name of a workflow of the manifest; nothing when it cannot be read."""
    from portafaas.errors import PortafaasError
    from portafaas.manifest.load import load_manifest

    try:
        document = load_manifest(Path(ctx.params.get("manifest") or "portafaas.yaml")).document
    except PortafaasError:
        return []
    names = document.get("workflows") or {}
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


format_option = click.option(
    "--format",
    "format_",
    type=click.Choice(_FORMATS),
    is_eager=True,
    callback=_remember,
    help="What to write.  [default: what the name of --out ends in, else mermaid]",
)
out_option = click.option(
    "-o",
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write to.  [default: the standard output]",
)


def format_of(format_: str | None, out: Path | None) -> str:
    """Return the form to write: the one asked for, or the one that the file's name ends in.

    Raises UsageError for an ending that says another form, of a picture above all.
    """
    ending = out.suffix.lower() if out else ""
    if format_ is None and ending in _OTHERS:
        known = ", ".join(ending for ending in _SUFFIXES)
        raise click.UsageError(f"nothing here writes {ending} files: {known}, or say --format")
    return format_ or _SUFFIXES.get(ending, "mermaid")


@click.command()
@options.manifest
@options.stage
@format_option
@out_option
@click.option("--all", "everything", is_flag=True, help="Draw secrets, too.")
@click.option(
    "--workflow", metavar="NAME", shell_complete=complete_workflow,
    help="Draw the steps of this workflow.",
)  # fmt: skip
def command(
    manifest: Path,
    stage: str | None,
    format_: str | None,
    out: Path | None,
    everything: bool,
    workflow: str | None,
) -> None:
    """Draw what starts what: functions, queues, topics with their events, data and workflows.

    Or, with --workflow, what is done after what in one. The picture is made of the manifest alone;
    it is the same for every target.
    """
    from portafaas.graph import graph_of
    from portafaas.manifest.load import load_manifest
    from portafaas.plan.build import build_plan

    format_ = format_of(format_, out)
    plan = build_plan(load_manifest(manifest.absolute(), stage))
    if workflow is not None:
        if everything:
            raise click.UsageError("--all is of the picture of the service, not of a workflow")
        text = machine_text(workflow_of(plan, workflow), format_)
    else:
        text = _text(graph_of(plan, everything), format_)
    write(text, out)


def write(text: str, out: Path | None) -> None:
    """Write to the standard output, or to a file and print its name."""
    if out is None:
        click.echo(text, nl=False)
        return
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
    except OSError as exc:
        raise click.FileError(str(out), exc.strerror) from exc
    click.echo(str(out))


def workflow_of(plan: BuildPlan, name: str) -> WorkflowPlan:
    """Return the workflow called *name*; raises BadParameter when there is none."""
    from portafaas.errors import guess

    names = [workflow.name for workflow in plan.workflows]
    if name not in names:
        near = guess(name, names) or (f"one of: {', '.join(names)}" if names else "there are none")
        raise click.BadParameter(f"no workflow is called {name!r}: {near}", param_hint="--workflow")
    return plan.workflow(name)


def machine_text(
    workflow: WorkflowPlan,
    format_: str,
    run: RunState | None = None,
    events: Sequence[StepEvent] = (),
) -> str:
    """Return the picture of a workflow or of a run of it."""
    import json

    if format_ == "svg":
        from portafaas.graph.machine_svg import machine_svg

        return machine_svg(workflow, run, events)
    if format_ == "html":
        from portafaas.graph.machine_html import machine_html

        return machine_html(workflow, run, events)
    from portafaas.graph.machine_text import machine_document, machine_mermaid

    if format_ == "mermaid":
        return machine_mermaid(workflow, run, events)
    document = machine_document(workflow, run, events)
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _text(graph: object, format_: str) -> str:
    import importlib
    import json

    if format_ == "json":
        from portafaas.graph.document import document

        return json.dumps(document(graph), indent=2, ensure_ascii=False) + "\n"  # type: ignore[arg-type]
    module = importlib.import_module(f"portafaas.graph.{format_}")
    text: str = getattr(module, format_)(graph)
    return text
