"""``portafaas targets``."""

from __future__ import annotations

import click

from portafaas.cli import options
from portafaas.cli.output import print_json


@click.command()
@options.format_
def command(format_: str) -> None:
    """List the installed targets and what each supports."""
    from portafaas.adapter import Capability
    from portafaas.registry import get_adapter, installed_targets

    adapters = [get_adapter(name) for name in installed_targets()]
    if format_ == "json":
        print_json(
            {
                adapter.target: {
                    "title": adapter.title,
                    "pythons": list(adapter.layout.pythons),
                    "capabilities": {
                        str(item): str(adapter.capabilities[item]) for item in Capability
                    },
                }
                for adapter in adapters
            }
        )
        return
    for adapter in adapters:
        versions = ", ".join(adapter.layout.pythons)
        click.echo(f"{adapter.target:<8}{adapter.title} (Python {versions})")
    click.echo()
    widths = [max(len(adapter.target), 15) for adapter in adapters]
    head = "".join(f"  {a.target:<{w}}" for a, w in zip(adapters, widths, strict=True))
    click.echo(f"{'capability':<22}{head}".rstrip())
    for item in Capability:
        row = "".join(
            f"  {adapter.capabilities[item]:<{width}}"
            for adapter, width in zip(adapters, widths, strict=True)
        )
        click.echo(f"{item:<22}{row}".rstrip())
