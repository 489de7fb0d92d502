"""``portafaas init``."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

import click

from portafaas.cli import options
from portafaas.cli.output import print_json
from portafaas.errors import Diagnostic, DiagnosticsError

#: Stands in the templates without its dot, so that no tool takes it for its own.
_RENAMED = {"gitignore": ".gitignore"}


def _starters() -> dict[str, str]:
    """Return the templates: name -> description."""
    folder = resources.files("portafaas_templates").joinpath("starters")
    return {
        item.name: item.joinpath("description.txt").read_text("utf-8").strip()
        for item in sorted(folder.iterdir(), key=lambda item: item.name)
        if item.is_dir()
    }


def _place(file: str) -> str:
    """Return where a file of a template goes: its tests are for the project alone."""
    return f"tests/{file}" if file.startswith("test_") else _RENAMED.get(file, file)


def _service_name(text: str) -> str:
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    return name if name[:1].isalpha() else "service"


def _list(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        for name, description in _starters().items():
            click.echo(f"{name:<8}  {description}")
        ctx.exit()


@click.command()
@click.argument(
    "directory", type=click.Path(file_okay=False, path_type=Path), default=Path(), required=False
)
@click.option("--name", help="Name of the service.  [default: the directory's]")
@click.option("--template", default="api", show_default=True, help="What to start from.")
@click.option(
    "--list", is_flag=True, is_eager=True, expose_value=False, callback=_list,
    help="List the templates and exit.",
)  # fmt: skip
@options.format_
def command(directory: Path, name: str | None, template: str, format_: str) -> None:
    """Start a project in DIRECTORY (default: here).

    Overwrites nothing: when a file is already there, none is written.
    """
    starters = _starters()
    if template not in starters:
        raise click.BadParameter(
            f"no template {template!r}; there are: {', '.join(starters)}", param_hint="--template"
        )
    if name is not None and _service_name(name) != name:
        raise click.BadParameter(
            f"{name!r} is not a name of lower-case letters, digits and hyphens",
            param_hint="--name",
        )
    name = name or _service_name(directory.absolute().name)
    source = resources.files("portafaas_templates").joinpath("starters", template)
    files = {
        _place(item.name): item.read_text("utf-8").replace("{{name}}", name)
        for item in source.iterdir()
        if item.is_file() and item.name != "description.txt"
    }
    taken = sorted(file for file in files if (directory / file).exists())
    if taken:
        raise DiagnosticsError(
            "nothing was written:",
            [
                Diagnostic(
                    "PF1010", f"{directory / file} exists already", hint="choose a new folder"
                )
                for file in taken
            ],
        )
    begun: list[Path] = []
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for file, text in sorted(files.items()):
            (directory / file).parent.mkdir(exist_ok=True)
            begun.append(directory / file)
            begun[-1].write_text(text, encoding="utf-8")
    except OSError as exc:
        for path in begun:
            path.unlink(missing_ok=True)  # half a project would keep the next try from beginning
        raise DiagnosticsError(
            "the project could not be written:",
            [Diagnostic("PF1010", f"{exc.filename or directory}: {exc.strerror}")],
        ) from exc
    if format_ == "json":
        print_json({"name": name, "directory": str(directory), "files": sorted(files)})
        return
    for file in sorted(files):
        click.echo(f"wrote {directory / file}")
    click.echo("next: portafaas dev, pytest, portafaas build --target all")
