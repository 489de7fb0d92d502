"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

F = TypeVar("F", bound=Callable[..., Any])

manifest = click.option(
    "-m",
    "--manifest",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("portafaas.yaml"),
    show_default=True,
    help="The manifest.",
)
stage = click.option("--stage", metavar="NAME", help="Apply the overrides of this stage.")
#: Key of ``ctx.meta``: True once the command was asked for JSON.
JSON = "portafaas.json"


def _remember(ctx: click.Context, param: click.Parameter, value: str) -> str:
    ctx.meta[JSON] = value == "json"
    return value


format_ = click.option(
    "--format",
    "format_",
    type=click.Choice(["text", "json"]),
    is_eager=True,
    callback=_remember,
    default="text",
    show_default=True,
    help="How to print results and problems.",
)


def _complete_target(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    from portafaas.registry import installed_targets

    names = ["all", *installed_targets()] if param.multiple else list(installed_targets())
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def complete_function(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete the name of a function of the manifest; nothing when it cannot be read."""
    from portafaas.errors import PortafaasError
    from portafaas.manifest.load import load_manifest

    try:
        document = load_manifest(Path(ctx.params.get("manifest") or "portafaas.yaml")).document
    except PortafaasError:
        return []
    return [CompletionItem(name) for name in document["functions"] if name.startswith(incomplete)]


def targets(help_text: str) -> Callable[[F], F]:
    """Return the repeatable ``--target`` option; resolve its value with :func:`chosen`."""
    return click.option(
        "-t",
        "--target",
        "target",
        multiple=True,
        metavar="NAME",
        shell_complete=_complete_target,
        help=help_text,
    )


def target(help_text: str) -> Callable[[F], F]:
    """Return the single ``--target`` option."""
    return click.option(
        "-t", "--target", metavar="NAME", shell_complete=_complete_target, help=help_text
    )


def one_target(help_text: str, required: bool = True) -> Callable[[F], F]:
    """Return the ``--target`` option of a command that changes or reads what is deployed."""
    return click.option(
        "-t",
        "--target",
        metavar="NAME",
        required=required,
        shell_complete=_complete_target,
        help=help_text,
    )


yes = click.option("-y", "--yes", is_flag=True, help="Do not ask.")


def exit_code(when: str) -> Callable[[F], F]:
    """Return the ``--exit-code`` option."""
    return click.option("--exit-code", is_flag=True, help=f"Exit with 3 when {when}.")


def chosen(names: tuple[str, ...]) -> list[str]:
    """Return the targets meant by ``--target``: none or ``all`` is every installed one, sorted.

    Raises AdapterNotFoundError for a name that is not installed.
    """
    from portafaas.errors import AdapterNotFoundError
    from portafaas.registry import installed_targets

    installed = installed_targets()
    if not names or "all" in names:
        return list(installed)
    for name in names:
        if name not in installed:
            raise AdapterNotFoundError(name, installed)
    return sorted(set(names))


def variables(pairs: tuple[str, ...]) -> dict[str, str]:
    """Return what ``--env`` says, ``NAME=VALUE`` each."""
    for pair in pairs:
        if "=" not in pair or pair.startswith("="):
            raise click.BadParameter(f"{pair!r} is not NAME=VALUE", param_hint="--env")
    return {name: value for name, _, value in (pair.partition("=") for pair in pairs)}
