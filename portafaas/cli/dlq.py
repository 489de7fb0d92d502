"""``portafaas dlq``.

The four verbs of one command in one module: what they print is theirs alone.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from portafaas.cli import options
from portafaas.cli.output import LINES, plain, print_json

if TYPE_CHECKING:
    from portafaas.deployment.dead_letters import Box, DeadLetter, DeadLetters

#: Letters that are looked through for an id.
_DEEP = 1000
#: Bytes of a binary body that ``show`` prints as text.
_DUMP = 512


@click.group()
def command() -> None:
    """Look at dead letters, deliver them again, or remove them.

    A dead letter is what a function could not process, with the reason. Each queue with a
    'dead-letter', and each function with a topic, object, table or schedule trigger, has a BOX of
    them, of the same name.
    """


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[object]:
    from click.shell_completion import CompletionItem

    from portafaas.deployment.dead_letters import dead_letter_boxes
    from portafaas.errors import PortafaasError
    from portafaas.manifest.load import load_manifest
    from portafaas.plan.build import build_plan

    try:
        manifest = Path(ctx.params.get("manifest") or "portafaas.yaml")
        plan = build_plan(load_manifest(manifest.absolute(), ctx.params.get("stage")))
    except PortafaasError:
        return []
    return [CompletionItem(n) for n, _ in dead_letter_boxes(plan) if n.startswith(incomplete)]


_box = click.argument("box", shell_complete=_complete)
_ids = click.argument("ids", nargs=-1, metavar="[ID]...")
_all = click.option("--all", "everything", is_flag=True, help="All that are there now.")
_target = options.one_target("The target whose dead letters are meant.  [default: local]", False)


class _Opened:
    """The dead letters of the target, or of this machine."""

    def __init__(self, manifest: Path, target: str | None, stage: str | None) -> None:
        self.target, self.stage = target, stage
        self.letters: DeadLetters
        if target is None:
            from portafaas.local.dead_letters import LocalDeadLetters
            from portafaas.manifest.load import load_manifest
            from portafaas.plan.build import build_plan

            self.plan = build_plan(load_manifest(manifest.absolute(), stage))
            self.letters = LocalDeadLetters(manifest.absolute().parent, self.plan)
        else:
            from portafaas.cli import deploying

            made = deploying.session(manifest, target, stage)
            self.plan, self.letters = made.plan, made.engine.dead_letters()

    def box(self, name: str) -> str:
        """Return *name*; raises PF8017 when there is no such box."""
        from portafaas.deployment.dead_letters import dead_letter_boxes
        from portafaas.errors import guess

        names = [known for known, _ in dead_letter_boxes(self.plan)]
        if name not in names:
            near = guess(name, names)
            _unknown(f"nothing called {name!r} has dead letters", near or _these(names))
        return name

    def find(self, box: str, ids: Collection[str]) -> list[DeadLetter]:
        """Return the letters with *ids*; raises PF8017 for one that is not there."""
        from portafaas.errors import guess

        letters = self.letters.list(box, _DEEP)
        found = [letter for letter in letters if letter.id in ids]
        known = {letter.id for letter in letters}
        for id_ in ids:
            # Where there are more than can be looked through, the engine has the last word.
            if id_ not in known and len(letters) < _DEEP:
                _unknown(
                    f"{box!r} has no dead letter {id_!r}",
                    guess(id_, known) or f"see '{self.command('dlq list', box)}'",
                )
        return found

    def command(self, text: str, *arguments: str) -> str:
        """Return a command for the same target and stage, to be pasted into a shell."""
        from shlex import quote

        at = f" --target {self.target}" if self.target else ""
        at += f" --stage {quote(self.stage)}" if self.stage else ""
        given = "".join(f" {quote(argument)}" for argument in arguments)
        if any(argument.startswith("-") for argument in arguments):
            return f"portafaas {text}{at} --{given}"  # ids are anything that senders like
        return f"portafaas {text}{given}{at}"

    @property
    def place(self) -> str:
        """Where the letters are, for people."""
        at = f"on {self.target}" if self.target else "on this machine"
        return f"{at}, stage {self.plan.stage}" if self.plan.stage else at


def _these(names: Sequence[str]) -> str:
    return f"there are: {', '.join(names)}" if names else "the manifest declares none"


def _unknown(text: str, hint: str) -> None:
    from portafaas.errors import DeploymentError, Diagnostic

    raise DeploymentError("nothing was changed:", [Diagnostic("PF8017", text, hint=hint)])


@command.command("list")
@click.argument("box", required=False, shell_complete=_complete)
@_target
@options.manifest
@options.stage
@click.option(
    "--limit", type=click.IntRange(1), default=100, show_default=True, help="Most letters to list."
)
@options.format_
def list_(
    box: str | None,
    target: str | None,
    manifest: Path,
    stage: str | None,
    limit: int,
    format_: str,
) -> None:
    """List the dead letters in BOX, or all boxes with how many each holds.

    A platform's count may lag behind.
    """
    opened = _Opened(manifest, target, stage)
    if box is None:
        _print_boxes(opened.letters.boxes(), format_ == "json")
        return
    letters = opened.letters.list(opened.box(box), limit)
    if format_ == "json":
        print_json([_values(letter) for letter in letters])
        return
    width = max((len(plain(letter.id)) for letter in letters), default=0)
    for letter in letters:
        said = f"  {_line(letter.error)}" if letter.error else ""
        click.echo(
            f"{plain(letter.time or letter.sent or '-'):<24}  {plain(letter.id):<{width}}  "
            f"{plain(letter.reason):<9}  {letter.attempts:>3}x{said}"
        )


def _line(text: str) -> str:
    first = plain(text.splitlines()[0]) if text else ""
    return first if len(first) <= 100 else f"{first[:97]}..."


def _print_boxes(boxes: Sequence[Box], as_json: bool) -> None:
    if as_json:
        print_json(
            [
                {"name": b.name, "kind": b.kind, "physical": b.physical, "count": b.count}
                for b in boxes
            ]
        )
        return
    width = max((len(box.name) for box in boxes), default=0)
    for box in boxes:
        count = "?" if box.count is None else str(box.count)
        click.echo(f"{box.name:<{width}}  {box.kind:<8}  {count:>6}  {box.physical}")


def _values(letter: DeadLetter) -> dict[str, Any]:
    from base64 import b64encode

    body: dict[str, str]
    try:
        body = {"body": letter.body.decode("utf-8")}
    except UnicodeDecodeError:
        body = {"body_base64": b64encode(letter.body).decode("ascii")}
    return {
        "id": letter.id,
        "box": letter.box,
        "function": letter.function,
        "reason": letter.reason,
        "error": letter.error,
        "attempts": letter.attempts,
        "time": letter.time or None,
        "sent": letter.sent or None,
        "trace": letter.trace or None,
        "correlation": letter.correlation or None,
        "key": letter.key,
        "attributes": dict(letter.attributes),
        **body,
    }


@command.command()
@_box
@click.argument("id_", metavar="ID")
@_target
@options.manifest
@options.stage
@options.format_
def show(
    box: str, id_: str, target: str | None, manifest: Path, stage: str | None, format_: str
) -> None:
    """Print the dead letter ID in BOX: why, what was delivered, and how to deliver it again."""
    opened = _Opened(manifest, target, stage)
    found = opened.find(opened.box(box), [id_])
    if not found:
        _unknown(f"{id_!r} is not among the first {_DEEP} dead letters of {box!r}", "redrive it")
    letter = found[0]
    redrive = opened.command("dlq redrive", box, id_)
    if format_ == "json":
        print_json({**_values(letter), "redrive": redrive})
        return
    for name, value in _values(letter).items():
        if name not in ("body", "body_base64", "attributes") and value not in (None, ""):
            click.echo(f"{name + ':':<13}{plain(str(value), LINES)}")
    for name, value in letter.attributes.items():
        click.echo(f"{'attribute:':<13}{plain(f'{name} = {value}')}")
    click.echo(f"{'redrive:':<13}{plain(redrive)}")
    click.echo()
    click.echo(plain(_body(letter.body), LINES))


def _body(body: bytes) -> str:
    """Return a body for people: JSON indented, text as it is, else a dump of its beginning."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        text = "\0"
    if any(char < " " and char not in "\t\r\n" for char in text):
        return _dump(body)
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text


def _dump(body: bytes) -> str:
    lines = []
    for start in range(0, min(len(body), _DUMP), 16):
        part = body[start : start + 16]
        shown = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        lines.append(f"{start:08x}  {part.hex(' '):<47}  {shown}")
    if len(body) > _DUMP:
        lines.append(f"({len(body)} bytes; --format json has all, as base64)")
    return "\n".join(lines)


def _which(ids: tuple[str, ...], everything: bool) -> None:
    if bool(ids) == everything:
        raise click.UsageError("say the ids of the letters, or --all")


@command.command()
@_box
@_ids
@_all
@_target
@options.manifest
@options.stage
@options.format_
def redrive(
    box: str,
    ids: tuple[str, ...],
    everything: bool,
    target: str | None,
    manifest: Path,
    stage: str | None,
    format_: str,
) -> None:
    """Deliver dead letters in BOX again, by ID or --all, as if they were new.

    Only those that are there now are moved, so that a function that still fails does not make it
    endless. Exits with 1 when some could not be moved.
    """
    _which(ids, everything)
    opened = _Opened(manifest, target, stage)
    opened.box(box)
    if ids:
        opened.find(box, ids)
    done = opened.letters.redrive(box, None if everything else ids)
    if format_ == "json":
        failed = [{"id": id_, "reason": reason} for id_, reason in done.failed]
        print_json({"box": box, "moved": done.moved, "failed": failed})
    else:
        then = "" if opened.target else "; 'portafaas deliver' delivers them"
        click.echo(f"{_letters(done.moved)} of {box} moved{then}")
        for id_, reason in done.failed:
            click.secho(plain(f"{id_}: {reason}"), fg="red", err=True)
    if done.failed:
        raise SystemExit(1)


@command.command()
@_box
@_ids
@_all
@_target
@options.manifest
@options.stage
@options.yes
@options.format_
def purge(
    box: str,
    ids: tuple[str, ...],
    everything: bool,
    target: str | None,
    manifest: Path,
    stage: str | None,
    yes: bool,
    format_: str,
) -> None:
    """Remove dead letters in BOX, by ID or --all, for good. It asks first."""
    from portafaas.cli import deploying

    _which(ids, everything)
    opened = _Opened(manifest, target, stage)
    opened.box(box)
    if ids:
        opened.find(box, ids)
    what = "all dead letters" if everything else _letters(len(ids))
    look = f"look at '{opened.command('dlq list', box)}', then "
    deploying.confirm(f"Remove {what} of {box} ({opened.place}) for good?", yes, box, look)
    count = opened.letters.purge(box, None if everything else ids)
    if format_ == "json":
        print_json({"box": box, "purged": count})
    else:
        click.echo(f"{_letters(count)} of {box} removed")


def _letters(count: int) -> str:
    return f"{count} dead letter" + ("" if count == 1 else "s")
