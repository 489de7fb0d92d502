"""The command line. Commands load when they are called: ``--help`` imports click and no more."""

from __future__ import annotations

import importlib
import os
from typing import Any

import click

from portafaas import __version__
from portafaas.cli.signals import exit_status, terminable
from portafaas.errors import PortafaasError

#: name -> what ``--help`` says of it. Each is a module here with a ``command``.
COMMANDS = {
    "build": "Build a package for each target.",
    "check": "Check the manifest, the plan and each target's limits; write nothing.",
    "completion": "Print the script that completes commands in your shell.",
    "deliver": "Deliver what waits on this machine to the functions it is for.",
    "deploy": "Build the service and put it where it runs.",
    "destroy": "Remove what 'deploy' made, but for data.",
    "dev": "Run the whole application on this machine.",
    "diff": "Show what 'deploy' would change.",
    "dlq": "Look at dead letters, deliver them again, or remove them.",
    "drift": "Tell what is no longer as it was deployed.",
    "events": "Make sample events.",
    "explain": "Tell what a function becomes: bindings, permissions and their reasons.",
    "graph": "Draw what starts what, or the steps of a workflow.",
    "history": "List who deployed what, and when.",
    "init": "Start a project.",
    "invoke": "Call one function with an event.",
    "logs": "Print the logs of deployed functions.",
    "plan": "Print the provider-neutral plan of the service.",
    "rollback": "Deploy an earlier release again.",
    "schema": "Print the JSON Schema of the manifest, or of a target's options.",
    "secrets": "Give the secrets that the manifest declares their values.",
    "status": "Tell what is deployed.",
    "targets": "List the installed targets and what each supports.",
    "workflow": "Start runs of workflows, look at them, signal, cancel and retry them.",
}


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"portafaas.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        from portafaas.errors import guess

        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            hint = guess(args[0], COMMANDS)
            ctx.fail(f"No such command {args[0]!r}." + (f" {hint.capitalize()}" if hint else ""))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        if os.environ.get("NO_COLOR"):  # https://no-color.org; click does not look at it
            extra.setdefault("color", False)
        return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with terminable():
            try:
                return super().invoke(ctx)
            except PortafaasError as error:
                from portafaas.cli.output import fail

                fail(error)
            except KeyboardInterrupt as interrupt:
                # Which click would make a 1, as if something had been wrong.
                click.echo("interrupted", err=True)
                raise SystemExit(exit_status(interrupt)) from None
            except OSError as error:
                from errno import EDQUOT, EFBIG, ENOSPC, EROFS

                from portafaas.cli.output import fail
                from portafaas.errors import MachineError

                if error.errno not in (EDQUOT, EFBIG, ENOSPC, EROFS):
                    raise
                fail(MachineError(f"cannot write {error.filename or 'any more'}: {error.strerror}"))


@click.group(
    cls=_Lazy,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, "-V", "--version", message="%(prog)s %(version)s")
def cli() -> None:
    """Build one service for AWS Lambda, Azure Functions and Google Cloud Functions.

    The service is described in portafaas.yaml; 'portafaas init' writes one to start from.
    """


def main() -> None:
    """Run the command line; the exit status is 0, 1 (failed), 2 (wrong input), 130 or 143.

    The last two are for Ctrl-C and SIGTERM.
    """
    # The prog name must not depend on how it was started: completion and errors use it.
    cli(prog_name="portafaas")


if __name__ == "__main__":
    main()
