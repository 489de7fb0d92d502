"""What the commands that deal with a deployed service share."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from portafaas.cli.output import clear, show, wants_json
from portafaas.cli.signals import exit_status

if TYPE_CHECKING:
    from portafaas.deployment.contract import Change, Progress, Status
    from portafaas.deployment.release import Release
    from portafaas.deployment.session import Proposal, Session

#: What ``--exit-code`` exits with when there is something to tell.
DIFFERENT = 3
_SIGNS = {"add": "+", "change": "~", "replace": "±", "remove": "-", "keep": "="}
_COLOURS = {"add": "green", "change": "yellow", "replace": "red", "remove": "red", "keep": "cyan"}


def session(manifest: Path, target: str, stage: str | None) -> Session:
    """Return the session of the manifest's service and stage on *target*."""
    from portafaas.deployment.session import Session
    from portafaas.pipeline import check

    (item,) = check(manifest.absolute(), [known(target)], stage)
    return Session(item.adapter, item.plan, os.environ)


def known(target: str) -> str:
    """Return *target*; raises AdapterNotFoundError when it is not installed, or all are meant."""
    from portafaas.cli.options import chosen

    if target == "all":
        raise click.BadParameter("say one target: each is deployed alone", param_hint="--target")
    (name,) = chosen((target,))
    return name


def built(made: Session, manifest: Path, stage: str | None, out: Path | None) -> Release:
    """Build, and return the release."""
    import json

    from portafaas.cli.build import build
    from portafaas.errors import Diagnostic

    (facts,), _ = build(manifest, [made.target], stage, out, True, False)
    show(note for entry in facts["notes"] if (note := Diagnostic(**entry)).severity == "warning")
    documents = {
        Path(file).name: json.loads(Path(file).read_text("utf-8"))
        for file in facts["infrastructure"]
    }
    return made.release(Path(facts["package"]), facts["digest"], documents)


def changes_of(proposal: Proposal) -> dict[str, Any]:
    """Return what would change as JSON values."""
    return {
        "release": proposal.release.digest,
        "previous": proposal.current.release if proposal.current else None,
        "first": proposal.preview.first,
        "permissions": list(proposal.permissions),
        "changes": [
            {
                "action": change.action,
                "resource": change.resource,
                "type": change.type,
                "detail": change.detail,
                "security": change.security,
            }
            for change in ordered(proposal.preview.changes)
        ],
        "notes": [note.as_dict() for note in proposal.notes],
    }


def ordered(changes: Iterable[Change]) -> list[Change]:
    """Return *changes* with those first that decide who may do what."""
    return sorted(changes, key=lambda change: not change.security)


def print_changes(proposal: Proposal) -> None:
    """Print what would change to stdout, security first."""
    if proposal.permissions:
        click.secho("Permissions of functions", bold=True)
        for line in grouped(proposal.permissions):
            click.secho(f"  {line}", fg="green" if line.startswith("+") else "red")
    changes = ordered(proposal.preview.changes)
    for title, security in (("Access", True), ("Resources", False)):
        part = [change for change in changes if change.security is security]
        if part:
            click.secho(title, bold=True)
            _print_part(part)
    show(proposal.notes)
    counts = {sign: sum(c.action == name for c in changes) for name, sign in _SIGNS.items()}
    told = ", ".join(f"{sign}{count}" for sign, count in counts.items() if count)
    click.echo(f"{told or 'No changes of resources'}; release {proposal.release.digest[:19]}")


def grouped(permissions: Iterable[str]) -> list[str]:
    """Return permission lines with all grants of a function on one thing in one line.

    ``+ charge: sqs:DeleteMessage, ReceiveMessage on …:shop-payments``; what the platform fills in
    itself (``${AWS::Region}``) is an ellipsis, but for the attribute of a resource of the document
    (``${google_pubsub_topic.jobs.id}``), which is the resource: else nobody could tell on what.
    """
    import re

    lines: dict[tuple[str, str], list[str]] = {}
    for line in permissions:
        head, _, rest = line.partition(": ")
        grant, _, scope = rest.partition(" on ")
        lines.setdefault((head, scope), []).append(grant)
    out = []
    for (head, scope), grants in lines.items():
        service = grants[0].partition(":")[0]
        if all(grant.startswith(f"{service}:") for grant in grants):
            grants[1:] = [grant.removeprefix(f"{service}:") for grant in grants[1:]]
        short = re.sub(r"\$\{([\w-]+\.[\w-]+)\.[\w-]+\}", r"\1", scope)
        short = re.sub(r"(\$\{[^}]*\}:?)+", "…", short)
        out.append(f"{head}: {', '.join(grants)} on {short}")
    return out


def _print_part(changes: Sequence[Change]) -> None:
    width = max(len(change.resource) for change in changes)
    for change in changes:
        detail = f"  ({change.detail})" if change.detail else ""
        text = f"  {_SIGNS[change.action]} {change.resource:<{width}}  {change.type}{detail}"
        click.secho(text, fg=_COLOURS[change.action])


def confirm(
    question: str, yes: bool, word: str = "yes", look: str = "look at 'portafaas diff', then "
) -> None:
    """Go on only when the person types *word*, or said ``--yes``; raises PF8015 otherwise."""
    if yes:
        return
    from portafaas.errors import DeploymentError, Diagnostic

    if wants_json() or not sys.stdin.isatty():
        problem = Diagnostic("PF8015", "nobody is there to be asked", hint=f"{look}say --yes")
        raise DeploymentError("nothing was changed:", [problem])
    if click.prompt(f"{question} Type {word!r} to go on", default="", show_default=False) != word:
        raise DeploymentError("nothing was changed:", [Diagnostic("PF8015", "not confirmed")])


def reporter() -> Callable[[Progress], None]:
    """Return what prints each resource's progress to stderr; nothing for ``--format json``."""
    if wants_json():
        return lambda progress: None

    def report(progress: Progress) -> None:
        reason = f"  {progress.reason}" if progress.reason else ""
        failed = "FAIL" in progress.state.upper()
        line = f"{progress.state:<24}  {progress.resource}  {progress.type}{reason}"
        click.secho(line, fg="red" if failed else None, err=True)

    return report


def command(verb: str, target: str, stage: str | None) -> str:
    """Return the command that does *verb* at the same place: ``portafaas deploy --target …``."""
    return f"portafaas {verb} --target {target}" + (f" --stage {stage}" if stage else "")


@contextmanager
def interruptible(again: str, target: str, stage: str | None) -> Iterator[None]:
    """Turn Ctrl-C and SIGTERM into their exit statuses, and tell how to go on."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        clear()
        click.echo(
            "interrupted: the platform's engine may still be at work; "
            f"'{command('status', target, stage)}' tells, "
            f"'{command(again, target, stage)}' goes on",
            err=True,
        )
        raise SystemExit(exit_status(interrupt)) from None


def carry_out(
    made: Session,
    proposal: Proposal,
    manifest: Path,
    yes: bool,
    as_json: bool,
    rollback: bool = False,
) -> None:
    """Show what would change, ask, do it, and print where the functions are."""
    from portafaas.cli.output import print_json
    from portafaas.deployment.session import commit_of

    if not as_json:
        click.echo(f"{made.target}: {made.caller.place}, as {made.caller.name}")
        print_changes(proposal)
    if proposal.unchanged:
        status = made.engine.status()
    else:
        confirm(f"Deploy to {made.caller.place}?", yes)
        status = made.apply(
            proposal, reporter(), rollback=rollback, commit=commit_of(manifest.absolute().parent)
        )
    if as_json:
        print_json({**changes_of(proposal), "deployed": True, "status": status_of(made, status)})
        return
    done = "already there" if proposal.unchanged else status.state
    click.secho(f"{proposal.release.digest[:19]}  {done}", bold=True)
    print_outputs(status.outputs)


def resume_of(made: Session, status: Status) -> str:
    """Return the command that goes on, with the target and the stage it is for."""
    found = status.resume
    if found.startswith("portafaas ") and "--target" not in found:
        return command(found.removeprefix("portafaas "), made.target, made.plan.stage)
    return found


def status_of(made: Session, status: Status) -> dict[str, Any]:
    """Return the status as JSON values."""
    return {
        "health": status.health,
        "state": status.state,
        "reason": status.reason,
        "resume": resume_of(made, status),
        "package": status.package,
        "outputs": dict(status.outputs),
        "resources": [
            {"resource": name, "type": kind, "state": state}
            for name, kind, state in status.resources
        ],
    }


def print_outputs(outputs: Mapping[str, str]) -> None:
    """Print names and addresses, aligned."""
    width = max(map(len, outputs), default=0)
    for name, value in outputs.items():
        click.echo(f"  {name:<{width}}  {value}")
