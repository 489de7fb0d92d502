"""``portafaas workflow import``; :func:`register` puts it on the group."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from portafaas.cli import graph, options
from portafaas.cli.output import json_text, plain

if TYPE_CHECKING:
    from portafaas.manifest.model import Manifest


def register(group: click.Group) -> None:
    """Add ``import`` to *group*."""

    @group.command("import")
    @click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
    @click.option(
        "--functions", "mapping", metavar="NAME=FUNCTION", multiple=True,
        help="What FILE calls a function, or a workflow, and which it is. May be repeated.",
    )  # fmt: skip
    @options.manifest
    @options.stage
    @options.format_
    @graph.out_option
    @click.pass_context
    def import_(
        context: click.Context, file: str, mapping: tuple[str, ...], manifest: Path,
        stage: str | None, format_: str, out: Path | None,
    ) -> None:  # fmt: skip
        """Write a machine in the Amazon States Language as a definition of a workflow.

        FILE is JSON (*.json) or YAML, or '-' for stdin. What is written is for 'file' of a workflow
        in the manifest, and runs as FILE would. Functions are those of the manifest; without one,
        what FILE calls them. What workflows do not have is told, all of it, and nothing is written.
        With --format json the definition is JSON.
        """
        from portafaas.manifest.load import load_manifest
        from portafaas.plan.machine_import import called, imported_machine
        from portafaas.plan.machine_yaml import shorter, written

        given = context.get_parameter_source("manifest") is click.core.ParameterSource.COMMANDLINE
        known = None
        if given or manifest.exists():
            known = load_manifest(manifest.absolute(), stage)
        text = _text(file)
        names = {**(_declared(known, file) if known else {}), **_mapping(mapping)}
        name = "stdin" if file == "-" else file
        steps, comments = imported_machine(text, name, names, known)
        steps = shorter(steps)
        if format_ == "json":
            graph.write(json_text({"steps": steps}, 2) + "\n", out)
        else:
            graph.write(written(steps, comments), out)
        if known is None:
            functions = ", ".join(sorted(set(called(steps, "task"))))
            if functions:
                said = f"its functions, with 'trigger: {{task: {{}}}}': {plain(functions)}"
                click.echo(said, err=True)


def _text(file: str) -> str:
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        return data.decode("utf-8-sig")
    except OSError as exc:
        raise click.FileError(file, exc.strerror) from exc
    except UnicodeDecodeError as exc:
        raise click.BadParameter(f"{file} is not UTF-8: {exc}", param_hint="FILE") from None


def _mapping(texts: tuple[str, ...]) -> dict[str, str]:
    out = {}
    for text in texts:
        # An ARN has no equals sign.
        name, equals, function = text.rpartition("=")
        if not (name and equals and function):
            raise click.BadParameter(f"{text!r} is not NAME=FUNCTION", param_hint="--functions")
        out[name] = function
    return out


def _declared(manifest: Manifest, file: str) -> dict[str, str]:
    """Return the ``functions`` of the workflow whose file this is, if there is one."""
    for spec in (manifest.document.get("workflows") or {}).values():
        if "file" in spec and (manifest.root / spec["file"]).resolve() == Path(file).resolve():
            return dict(spec.get("functions") or {})
    return {}
