"""``portafaas plan``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import click

from portafaas.cli import options
from portafaas.cli.output import print_json


def plain(value: Any) -> Any:
    """Return a plan, or a part of one, as JSON values."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


@click.command()
@options.manifest
@options.target("Add this target's options, and how its functions will be started.")
@options.stage
@options.format_
def command(manifest: Path, target: str | None, stage: str | None, format_: str) -> None:
    """Print the provider-neutral plan of the service.

    The plan is what every adapter reads: all defaults filled in, all references resolved,
    durations in seconds, memory in MiB.
    """
    from portafaas.manifest.load import load_manifest
    from portafaas.plan.build import build_plan

    if target is None:
        document = plain(build_plan(load_manifest(manifest.absolute(), stage)))
    else:
        from portafaas.pipeline import check

        if target == "all":
            raise click.BadParameter("say one target: each adds its own", param_hint="--target")
        (item,) = check(manifest.absolute(), options.chosen((target,)), stage)
        document = plain(item.plan)
        document["deployments"] = [plain(one) for one in item.adapter.lower(item.plan).deployments]
    if format_ == "json":
        print_json(document)
        return
    import yaml

    click.echo(yaml.safe_dump(document, sort_keys=False, allow_unicode=True).rstrip())
