"""``portafaas completion``."""

from __future__ import annotations

import click


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the script that completes commands in your shell.

    \b
    bash:  eval "$(portafaas completion bash)"      in ~/.bashrc
    zsh:   eval "$(portafaas completion zsh)"       in ~/.zshrc
    fish:  portafaas completion fish > ~/.config/fish/completions/portafaas.fish
    """
    from click.shell_completion import get_completion_class

    root = click.get_current_context().find_root()
    kind = get_completion_class(shell)
    assert kind is not None, shell
    click.echo(kind(root.command, {}, "portafaas", "_PORTAFAAS_COMPLETE").source())
