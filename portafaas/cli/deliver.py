"""``portafaas deliver``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from portafaas.cli import options
from portafaas.cli.output import LINES, json_text, plain
from portafaas.cli.shown import shown_logs
from portafaas.cli.signals import exit_status

if TYPE_CHECKING:
    from portafaas.cli.shown import Shown
    from portafaas.local.hooks import Report
    from portafaas.local.making import Note


@click.command()
@click.option("--once", is_flag=True, help="Deliver what is due now, and end.")
@click.option("--follow", is_flag=True, help="Go on with what comes, schedules too, until Ctrl-C.")
@click.option("--fast", is_flag=True, help="Set the clock forward to what is due next: no waiting.")
@click.option("--timeouts", is_flag=True, help="Wait for the timeouts of signals, too.")
@options.manifest
@options.stage
@options.format_
def command(
    once: bool,
    follow: bool,
    fast: bool,
    timeouts: bool,
    manifest: Path,
    stage: str | None,
    format_: str,
) -> None:
    """Deliver what was sent, published and written on this machine to its functions.

    Messages wait here when 'portafaas invoke' has run a function that sends them. Each function
    runs in a process of its own, from the sources; failures come again as its 'retry' says, and
    end as dead letters ('portafaas dlq'). Without an option it ends when nothing waits any more,
    what handlers send meanwhile included.

    Runs of workflows are worked on, too, as far as they get without a signal: a run that waits for
    one holds up nothing, but for its timeout with --timeouts or --follow.

    With --format json one JSON object a line; the last one holds the totals. Exits with 1 when
    something became a dead letter, or a run failed.
    """
    from portafaas.local.dispatch import Dispatcher
    from portafaas.local.hooks import Hooks
    from portafaas.local.resources import store
    from portafaas.local.store import explained
    from portafaas.manifest.load import load_manifest
    from portafaas.plan.build import build_plan

    if once and (follow or fast):
        other = "--follow" if follow else "--fast"
        raise click.UsageError(f"--once ends before anything else is due: not with {other}")
    plan = build_plan(load_manifest(manifest.absolute(), stage))
    totals = {"delivered": 0, "again": 0, "held": 0, "dead": 0}
    ended = {"succeeded": 0, "failed": 0}

    class Printing(Hooks):
        def __init__(self, shown: Shown | None) -> None:
            self.shown = shown

        def settled(self, reports: Sequence[Report]) -> None:
            if self.shown:
                self.shown.drain()
            for report in reports:
                totals[report.what] += 1
                _print(report, format_ == "json")

        def fired(self, function: str, instant: str) -> None:
            if format_ == "text":
                click.echo(f"{function}: fires at {instant}")

        def noted(self, note: Note) -> None:
            if note.what == "ended" and not note.inner:
                ended["failed" if note.error else "succeeded"] += 1
            _print_note(note, format_ == "json")

    root = manifest.absolute().parent
    # What ends it is Ctrl-C, or a service manager: either way functions are ended, and what they
    # were at waits, as if it had not been tried.
    try:
        with (
            explained(store(root, plan.stage)),
            shown_logs([one.name for one in plan.functions], format_ == "text") as shown,
            Dispatcher(
                plan, root, fast=fast, timeouts=timeouts, schedules=follow, hooks=Printing(shown),
                errors=shown.to if shown else None,
            ) as dispatcher,
        ):
            status = 0
            try:
                dispatcher.run(wait=not once, follow=follow)
            except KeyboardInterrupt as interrupt:
                status = exit_status(interrupt)
            waiting = sum(
                dispatcher.broker.waiting(function)
                for function in plan.functions
                if function.kind not in ("http", "task")
            )
            running = dispatcher.engine.runs.count("running") if dispatcher.engine else 0
    except KeyboardInterrupt as interrupt:
        raise SystemExit(exit_status(interrupt)) from None
    if format_ == "json":
        runs = {"runs": {**ended, "running": running}} if plan.workflows else {}
        click.echo(json.dumps({"totals": {**totals, "waiting": waiting, **runs}}))
    else:
        told = f"{totals['delivered']} delivered, {totals['again']} put off"
        click.echo(f"{told}, {totals['dead']} dead letters, {waiting} waiting")
        if plan.workflows:
            told = f"{ended['succeeded']} runs succeeded, {ended['failed']} failed"
            click.echo(f"{told}, {running} running")
    if status:
        raise SystemExit(status)
    if totals["dead"] or ended["failed"]:
        raise SystemExit(1)


def _print(report: Report, as_json: bool) -> None:
    if as_json:
        values: dict[str, Any] = {
            "function": report.function,
            "box": report.box,
            "id": report.id,
            "attempt": report.attempt,
            "outcome": report.what,
        }
        if report.what == "again":
            values["seconds"] = round(report.seconds, 3)
        if report.error:
            values["error"] = report.error
        if report.letter:
            values["letter"] = dict(report.letter)
        click.echo(json_text(values))
        return
    about = f"{report.function}: {plain(report.id)}"
    if report.attempt > 1:
        about += f", attempt {report.attempt}"
    why = f" ({plain(report.error, LINES)})" if report.error else ""
    if report.what == "delivered":
        click.echo(f"{about}: delivered")
    elif report.what == "again":
        text = f"{about}: failed, again in {report.seconds:.1f} s{why}"
        click.secho(text, fg="yellow")
    elif report.what == "held":
        click.echo(f"{about}: held back by an earlier message of its key")
    else:
        reason = report.letter.get("reason", "")
        click.secho(f"{about}: dead letter, {reason}{why}", fg="red")


def _print_note(note: Note, as_json: bool) -> None:
    if as_json:
        values = {"workflow": note.workflow, "run": note.run, "what": note.what}
        for name in ("step", "place", "attempt", "error", "cause"):
            if getattr(note, name):
                values[name] = getattr(note, name)
        click.echo(json_text(values))
        return
    about = f"{note.workflow} {plain(note.run)}"
    why = f", {plain(note.error)}: {plain(note.cause)}" if note.error else ""
    if note.what == "ended":
        click.secho(f"{about}: {'failed' if why else 'succeeded'}{why}", fg="red" if why else None)
    elif note.what == "waiting":
        click.echo(f"{about}: {plain(note.place)} waits for a signal")
    elif note.what != "called":
        click.secho(f"{about}: {plain(note.place)} {note.what}{why}", fg="yellow" if why else None)
