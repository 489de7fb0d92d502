"""``portafaas logs``."""

from __future__ import annotations

import re
from pathlib import Path

import click

from portafaas.cli import options
from portafaas.cli.signals import exit_status

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def _since(ctx: click.Context, param: click.Parameter, value: str) -> float:
    """Return seconds since 1970 of ``10m`` ago, or of an RFC 3339 time."""
    from datetime import UTC, datetime
    from time import time

    found = re.fullmatch(r"(\d+)([smhd])", value)
    if found:
        return time() - int(found[1]) * _UNITS[found[2]]
    try:
        instant = datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter(
            f"{value!r} is neither a duration such as 10m nor a time such as 2026-11-23T08:00:00Z"
        ) from None
    return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp()


@click.command()
@click.argument("functions", nargs=-1, shell_complete=options.complete_function)
@options.one_target("Read the logs of this target.")
@options.manifest
@options.stage
@click.option(
    "-s", "--since", callback=_since, default="10m", show_default=True, metavar="TIME",
    help="From so long ago (30s, 10m, 2h, 1d), or from an RFC 3339 time.",
)  # fmt: skip
@click.option("-f", "--follow", is_flag=True, help="Go on with new lines until Ctrl-C.")
@options.format_
def command(
    functions: tuple[str, ...],
    target: str,
    manifest: Path,
    stage: str | None,
    since: float,
    follow: bool,
    format_: str,
) -> None:
    """Print the logs of FUNCTIONS (default: all), by time.

    With --format json one JSON object a line.
    """
    import json

    from portafaas.cli import deploying
    from portafaas.cli.find import find

    made = deploying.session(manifest, target, stage)
    names = [find(made.plan, name).name for name in functions]
    names = names or [function.name for function in made.plan.functions]
    try:
        for line in made.engine.logs(names, since, follow):
            if format_ == "json":
                values = {"time": line.time, "function": line.function, "text": line.text}
                click.echo(json.dumps(values, ensure_ascii=False))
            else:
                click.echo(f"{line.time}  {line.function}  {line.text}")
    except KeyboardInterrupt as interrupt:
        raise SystemExit(exit_status(interrupt)) from None
