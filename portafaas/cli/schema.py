"""``portafaas schema``."""

from __future__ import annotations

import click

from portafaas.cli import options
from portafaas.cli.output import print_json


@click.command()
@options.target("Print the schemas of this target's option blocks instead.")
def command(target: str | None) -> None:
    """Print the JSON Schema of the manifest, or of a target's options.

    Save it and name it in your editor, or in the first line of the manifest:
    '# yaml-language-server: $schema=portafaas.schema.json'.
    """
    if target is None:
        from portafaas.manifest.load import manifest_schema

        print_json(manifest_schema())
    else:
        from portafaas.registry import get_adapter

        print_json(get_adapter(target).options_schema())
