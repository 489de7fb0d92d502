"""``portafaas secrets``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from portafaas.cli import options
from portafaas.cli.output import print_json

if TYPE_CHECKING:
    from portafaas.deployment.contract import Secrets


@click.group()
def command() -> None:
    """Give the secrets that the manifest declares their values.

    A value is never an argument, printed, or part of a package, a template or a log.
    """


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[object]:
    from click.shell_completion import CompletionItem

    from portafaas.errors import PortafaasError
    from portafaas.manifest.load import load_manifest

    try:
        document = load_manifest(Path(ctx.params.get("manifest") or "portafaas.yaml")).document
    except PortafaasError:
        return []
    names = document.get("secrets") or {}
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


_name = click.argument("name", shell_complete=_complete)
_target = options.one_target("The target whose secrets are meant.  [default: local]", False)


def _open(manifest: Path, target: str | None, stage: str | None, name: str = "") -> Secrets:
    """Return the secrets of the target, or of this machine; *name* must be declared."""
    from portafaas.cli import deploying
    from portafaas.errors import DeploymentError, Diagnostic, guess
    from portafaas.manifest.load import load_manifest
    from portafaas.plan.build import build_plan

    plan = build_plan(load_manifest(manifest.absolute(), stage))
    names = [secret.name for secret in plan.secrets]
    if name and name not in names:
        hint = guess(name, names) or "declare it under secrets:"
        problem = Diagnostic("PF8011", f"the manifest declares no secret {name!r}", hint=hint)
        raise DeploymentError("nothing was changed:", [problem])
    if target is None:
        from portafaas.local.secrets import LocalSecrets

        return LocalSecrets(manifest.absolute().parent, plan)
    return deploying.session(manifest, target, stage).engine.secrets()


@command.command("set")
@_name
@_target
@options.manifest
@options.stage
@click.option("--file", type=click.File("rb"), help="Read the value from this file, '-' for stdin.")
@options.format_
def set_(
    name: str,
    target: str | None,
    manifest: Path,
    stage: str | None,
    file: IO[bytes] | None,
    format_: str,
) -> None:
    """Give the secret NAME a value: from --file, from a pipe, or typed unseen.

    One line break at the end of a pipe's or terminal's value is not part of it.
    """
    secrets = _open(manifest, target, stage, name)
    if file is not None:
        value = file.read()
    elif sys.stdin.isatty():
        value = click.prompt(f"Value of {name}", hide_input=True, confirmation_prompt=True).encode()
    else:
        value = sys.stdin.buffer.read().removesuffix(b"\n").removesuffix(b"\r")
    if not value:
        raise click.UsageError("an empty value would be no secret")
    secrets.set(name, value)
    if format_ == "json":
        print_json({"name": name, "set": True})
    else:
        click.echo(f"{name} has a new value", err=True)


@command.command("list")
@_target
@options.manifest
@options.stage
@options.format_
def list_(target: str | None, manifest: Path, stage: str | None, format_: str) -> None:
    """List the declared secrets, and since when each has its value; never the value."""
    facts = _open(manifest, target, stage).list()
    if format_ == "json":
        print_json(
            [{"name": f.name, "physical": f.physical, "changed": f.changed or None} for f in facts]
        )
        return
    width = max((len(item.name) for item in facts), default=0)
    for item in facts:
        click.echo(f"{item.name:<{width}}  {item.changed or 'no value':<24}  {item.physical}")


@command.command("rm")
@_name
@_target
@options.manifest
@options.stage
@options.yes
@options.format_
def remove(
    name: str, target: str | None, manifest: Path, stage: str | None, yes: bool, format_: str
) -> None:
    """Remove the values of the secret NAME; functions that read it fail from then on."""
    from portafaas.cli import deploying

    secrets = _open(manifest, target, stage, name)
    deploying.confirm(f"Remove the values of {name}?", yes, name, "")
    secrets.remove(name)
    if format_ == "json":
        print_json({"name": name, "removed": True})
    else:
        click.echo(f"{name} has no value any more", err=True)
