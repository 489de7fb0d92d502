"""``portafaas workflow``."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from portafaas.cli import graph, options, workflow_import, workflow_picture
from portafaas.cli.output import LINES, json_text, plain, print_json, wants_json
from portafaas.cli.shown import shown_logs
from portafaas.cli.signals import exit_status

if TYPE_CHECKING:
    from portafaas.deployment.workflows import RunState, StepEvent, Workflows
    from portafaas.plan import BuildPlan, WorkflowPlan

F = TypeVar("F", bound=Callable[..., Any])

#: Seconds between two looks at a run on a platform.
_LOOK = 1.0
#: Characters of an input or output that are shown; ``--format json`` has all.
_LONGEST = 200
_COLOURS = {
    "succeeded": "green", "failed": "red", "canceled": "yellow", "caught": "yellow",
    "undone": "yellow", "undo-failed": "red", "waiting": "cyan", "started": None, "running": "cyan",
}  # fmt: skip


@click.group()
def command() -> None:
    """Start runs of workflows, look at them, signal, cancel and retry them.

    Without --target a run is on this machine, where 'portafaas deliver' works on it.
    """


_workflow = click.argument("workflow", shell_complete=graph.complete_workflow)
_run = click.argument("run")
_target = options.one_target("The target whose runs are meant.  [default: local]", False)


def _common(function: F) -> F:
    for decorator in (options.format_, options.stage, options.manifest, _target):
        function = decorator(function)
    return function


def _json_option(help_text: str) -> Callable[[F], F]:
    return click.option("-i", "--input", "text", metavar="JSON|@FILE|-", help=help_text)


class _Opened:
    """The runs on the target, or on this machine."""

    def __init__(self, manifest: Path, target: str | None, stage: str | None) -> None:
        self.target, self.stage = target, stage
        self.root = manifest.absolute().parent
        self.plan: BuildPlan
        self.workflows: Workflows
        if target is None:
            from portafaas.local.operations import LocalWorkflows
            from portafaas.manifest.load import load_manifest
            from portafaas.plan.build import build_plan

            self.plan = build_plan(load_manifest(manifest.absolute(), stage))
            self.workflows = LocalWorkflows(self.root, self.plan)
        else:
            from portafaas.cli import deploying

            made = deploying.session(manifest, target, stage)
            self.plan, self.workflows = made.plan, made.engine.workflows()

    def workflow(self, name: str) -> WorkflowPlan:
        """Return the workflow called *name*; raises PF8040 when there is none."""
        from portafaas.errors import guess

        names = [flow.name for flow in self.plan.workflows]
        if name not in names:
            these = f"there are: {', '.join(names)}" if names else "the manifest declares none"
            _refuse("PF8040", f"no workflow is called {name!r}", guess(name, names) or these)
        return self.plan.workflow(name)

    def command(self, verb: str, *arguments: str) -> str:
        """Return a command for the same target and stage, to be pasted into a shell."""
        from shlex import quote

        at = f" --target {self.target}" if self.target else ""
        at += f" --stage {quote(self.stage)}" if self.stage else ""
        return f"portafaas workflow {verb} {' '.join(map(quote, arguments))}{at}"


def _refuse(code: str, text: str, hint: str | None = None) -> None:
    from portafaas.deployment.workflows import refused

    raise refused(code, text, hint)


def _value(text: str | None, option: str = "--input") -> Any:
    """Return the JSON value of an option: text, ``@file``, or ``-`` for stdin; None is null."""
    if text is None:
        return None
    try:
        if text == "-":
            return json.load(sys.stdin)
        if text.startswith("@"):
            return json.loads(Path(text[1:]).read_bytes())
        return json.loads(text)
    except OSError as exc:
        problem = f"{text[1:]}: {exc.strerror}"
    except (ValueError, RecursionError) as exc:
        where = "stdin" if text == "-" else text[1:] if text.startswith("@") else text
        _refuse("PF8043", f"{option}: {plain(where[:_LONGEST])} is not JSON: {exc}")
    raise click.BadParameter(problem, param_hint=option)


def _checked(flow: WorkflowPlan, input: Any) -> None:
    """Raise PF8043 with each place where *input* is not what the workflow's schema says."""
    from portafaas.errors import DeploymentError, Diagnostic
    from portafaas.runtime.workflows import checked

    try:
        checked(input)
    except (TypeError, ValueError) as exc:
        _refuse("PF8043", f"the input of {flow.name!r}: {exc}")
    if not flow.input.document:
        return
    from portafaas.runtime.schema import problems as problems_of

    problems = [
        Diagnostic("PF8043", f"the input of {flow.name!r}: {message}", path=path)
        for path, message in problems_of(flow.input.document, input)
    ]
    if problems:
        raise DeploymentError("no run was started:", problems)


@command.command()
@_workflow
@_json_option("The run's input: JSON, a file with it, or '-' for stdin.  [default: null]")
@click.option("--wait", is_flag=True, help="Wait until the run has ended; here: run it.")
@_common
def start(
    workflow: str, text: str | None, wait: bool, target: str | None, manifest: Path,
    stage: str | None, format_: str,
) -> None:  # fmt: skip
    """Start a run of WORKFLOW and print its id.

    The input must be what the workflow's 'input' schema says. With --wait, the outcome is printed
    as well; exits with 1 when the run has failed or was canceled. On this machine it ends as well
    when the run cannot go on before a signal.
    """
    opened = _Opened(manifest, target, stage)
    flow = opened.workflow(workflow)
    input = _value(text)
    _checked(flow, input)
    run = opened.workflows.start(workflow, input)
    _started(opened, workflow, run, wait, format_ == "json")


@command.command()
@_workflow
@_run
@click.option("--wait", is_flag=True, help="Wait until the run has ended; here: run it.")
@_common
def retry(
    workflow: str, run: str, wait: bool, target: str | None, manifest: Path, stage: str | None,
    format_: str,
) -> None:  # fmt: skip
    """Start a new run of WORKFLOW with the input of RUN, which has ended."""
    opened = _Opened(manifest, target, stage)
    flow = opened.workflow(workflow)
    if flow.input.document:
        # The schema may be another one than when it was started.
        state = opened.workflows.status(workflow, run)
        if state.state != "running":
            _checked(flow, state.input)
    new = opened.workflows.retry(workflow, run)
    _started(opened, workflow, new, wait, format_ == "json")


def _started(opened: _Opened, workflow: str, run: str, wait: bool, as_json: bool) -> None:
    if not wait:
        if as_json:
            print_json({"workflow": workflow, "run": run})
        else:
            click.echo(run)
            if opened.target is None:
                click.echo("'portafaas deliver' runs it", err=True)
        return
    try:
        if not as_json:
            # Whoever does not wait to the end has to know it.
            click.echo(f"started {plain(run)}", err=True)
        found = _awaited(opened, workflow, run)
    except KeyboardInterrupt as interrupt:
        then = "'portafaas deliver' goes on with it" if opened.target is None else "it goes on"
        click.echo(f"{plain(run)} has not ended: {then}", err=True)
        raise SystemExit(exit_status(interrupt)) from None
    _show(opened, found, as_json)
    if found.state in ("failed", "canceled"):
        raise SystemExit(1)


def _awaited(opened: _Opened, workflow: str, run: str) -> RunState:
    """Return the run when it has ended, or, here, when nothing can go on before a signal comes."""
    if opened.target is None:
        from portafaas.local.dispatch import Dispatcher
        from portafaas.local.operations import LocalWorkflows
        from portafaas.local.resources import store
        from portafaas.local.store import explained

        here = LocalWorkflows(opened.root, opened.plan)
        with (
            explained(store(opened.root, opened.plan.stage)),
            shown_logs([one.name for one in opened.plan.functions], not wants_json()) as shown,
            Dispatcher(
                opened.plan, opened.root, errors=shown.to if shown else None
            ) as dispatcher,
        ):
            dispatcher.run(until=lambda: here.at_rest(run))
        return opened.workflows.status(workflow, run)
    from time import sleep

    while (found := opened.workflows.status(workflow, run)).state == "running":
        sleep(_LOOK)
    return found


@command.command()
@_workflow
@_run
@_common
def status(
    workflow: str, run: str, target: str | None, manifest: Path, stage: str | None, format_: str
) -> None:
    """Print how RUN of WORKFLOW is: its state, output or error, and what it waits for."""
    opened = _Opened(manifest, target, stage)
    opened.workflow(workflow)
    _show(opened, opened.workflows.status(workflow, run), format_ == "json")


def _show(opened: _Opened, run: RunState, as_json: bool) -> None:
    if as_json:
        print_json(_values(run))
        return
    values = _values(run)
    for name in ("workflow", "run", "state", "started", "ended", "error", "cause"):
        if values[name]:
            # Lines of a cause are set in: none looks like a field of ours.
            text = plain(str(values[name]), LINES).replace("\n", f"\n{'':<10}")
            colour = _COLOURS[run.state] if name == "state" else None
            click.echo(f"{name + ':':<10}" + click.style(text, fg=colour))
    click.echo(f"{'input:':<10}{_short(run.input)}")
    if run.state == "succeeded":
        click.echo(f"{'output:':<10}{_short(run.output)}")
    for name in run.waiting:
        click.echo(f"{'waits for:':<10} signal {plain(name)}")
        click.echo(f"{'':<10} {plain(opened.command('signal', run.workflow, run.run, name))}")


def _values(run: RunState) -> dict[str, Any]:
    return {
        "workflow": run.workflow,
        "run": run.run,
        "state": run.state,
        "started": _time(run.started),
        "ended": _time(run.ended),
        "input": run.input,
        "output": run.output,
        "error": run.error,
        "cause": run.cause,
        "waiting": list(run.waiting),
    }


def _time(seconds: float) -> str | None:
    from portafaas.runtime.text import epoch_time

    return epoch_time(seconds) if seconds else None


def _short(value: Any) -> str:
    text = json_text(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


@command.command()
@_workflow
@_run
@_common
def history(
    workflow: str, run: str, target: str | None, manifest: Path, stage: str | None, format_: str
) -> None:
    """Print what happened in RUN of WORKFLOW: steps, attempts, errors, compensations."""
    opened = _Opened(manifest, target, stage)
    opened.workflow(workflow)
    events = opened.workflows.history(workflow, run)
    if format_ == "json":
        print_json([_event(event) for event in events])
        return
    names = [event.place or event.step for event in events]
    width = max((len(plain(name)) for name in names), default=0)
    for name, event in zip(names, events, strict=True):
        attempt = f" {event.attempt}" if event.attempt > 1 else ""
        said = f"{plain(event.error)}: {plain(event.cause)}" if event.error else ""
        if not said and event.detail is not None:
            said = _short(event.detail)
        what = click.style(f"{event.what + attempt:<12}", fg=_COLOURS[event.what])
        click.echo(f"{_time(event.time) or '-':<24}  {plain(name):<{width}}  {what} {said}")


def _event(event: StepEvent) -> dict[str, Any]:
    return {
        "time": _time(event.time),
        "step": event.step,
        "what": event.what,
        "place": event.place,
        "attempt": event.attempt,
        "detail": event.detail,
        "error": event.error,
        "cause": event.cause,
    }


@command.command()
@_workflow
@_run
@click.argument("name")
@_json_option("What the signal carries: JSON, a file with it, or '-'.  [default: null]")
@_common
def signal(
    workflow: str, run: str, name: str, text: str | None, target: str | None, manifest: Path,
    stage: str | None, format_: str,
) -> None:  # fmt: skip
    """Hand the signal NAME to RUN of WORKFLOW, which waits for it."""
    opened = _Opened(manifest, target, stage)
    opened.workflow(workflow)
    opened.workflows.signal(workflow, run, name, _value(text))
    if format_ == "json":
        print_json({"workflow": workflow, "run": run, "signal": name})
    else:
        then = "" if opened.target else "; 'portafaas deliver' goes on with it"
        click.echo(f"{plain(run)} has the signal {plain(name)}{then}")


@command.command()
@_workflow
@_run
@_common
def cancel(
    workflow: str, run: str, target: str | None, manifest: Path, stage: str | None, format_: str
) -> None:
    """Stop RUN of WORKFLOW. Nothing is undone: what is being called ends, and is not kept."""
    opened = _Opened(manifest, target, stage)
    opened.workflow(workflow)
    opened.workflows.cancel(workflow, run)
    if format_ == "json":
        print_json({"workflow": workflow, "run": run, "state": "canceled"})
    else:
        click.echo(f"{plain(run)} is canceled")


@command.command("list")
@click.argument("workflow", required=False, shell_complete=graph.complete_workflow)
@click.option(
    "--limit", type=click.IntRange(1), default=20, show_default=True,
    help="Most runs of each workflow to list.",
)  # fmt: skip
@_common
def list_(
    workflow: str | None, limit: int, target: str | None, manifest: Path, stage: str | None,
    format_: str,
) -> None:  # fmt: skip
    """List the latest runs of WORKFLOW, or of all workflows."""
    opened = _Opened(manifest, target, stage)
    flows = [opened.workflow(workflow)] if workflow else opened.plan.workflows
    runs = [run for flow in flows for run in opened.workflows.runs(flow.name, limit)]
    if format_ == "json":
        print_json([_values(run) for run in runs])
        return
    width = max((len(run.workflow) for run in runs), default=0)
    for run in runs:
        said = f"  {plain(run.error)}" if run.error else ""
        said += f"  waits for {', '.join(map(plain, run.waiting))}" if run.waiting else ""
        state = click.style(f"{run.state:<9}", fg=_COLOURS[run.state])
        click.echo(
            f"{_time(run.started) or '-':<24}  {run.workflow:<{width}}  {state}  "
            f"{plain(run.run)}{said}"
        )


def _opened(manifest: Path, target: str | None, stage: str | None) -> tuple[BuildPlan, Workflows]:
    opened = _Opened(manifest, target, stage)
    return opened.plan, opened.workflows


workflow_picture.register(command, _opened)
workflow_import.register(command)
