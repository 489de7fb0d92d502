"""``portafaas invoke``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import click

from portafaas.cli import options
from portafaas.cli.output import clear, print_json, progress
from portafaas.cli.shown import shown_logs
from portafaas.errors import InvocationError

#: Characters of what was sent or written that are shown; ``--format json`` has all.
_LONGEST = 400


@click.command()
@click.argument("function", shell_complete=options.complete_function)
@click.option(
    "-e",
    "--event",
    type=click.File("rb"),
    help="File with the event, '-' for stdin.  [default: a sample event]",
)
@options.target("Run the built package in this target's own runtime.  [default: run the sources]")
@options.manifest
@options.stage
@click.option(
    "--env",
    multiple=True,
    metavar="NAME=VALUE",
    help="Set an environment variable of the function; repeat it.",
)
@options.format_
def command(
    function: str,
    event: IO[bytes] | None,
    target: str | None,
    manifest: Path,
    stage: str | None,
    env: tuple[str, ...],
    format_: str,
) -> None:
    """Call FUNCTION once with an event and print what comes of it.

    The event is neutral ('portafaas events generate' writes one) or, with --target, the
    platform's own. What the function sends and writes stays on this machine, below .portafaas/,
    and is printed. Exits with 1 when the delivery or the task failed, or the status is 500 or more.
    """
    from portafaas.cli.find import find
    from portafaas.manifest.load import load_manifest
    from portafaas.plan.build import build_plan

    manifest = manifest.absolute()
    document = _read(event) if event is not None else None
    environment = options.variables(env)
    if target is None:
        plan = build_plan(load_manifest(manifest, stage))
        with shown_logs([function], format_ == "text") as shown:
            errors = shown.to if shown else None
            found = find(plan, function)
            answer = _from_sources(plan, found, document, manifest, environment, errors)
    else:
        answer, logs = _in_runtime(manifest, stage, target, function, document, environment)
        with shown_logs([function], format_ == "text") as shown:
            if shown:
                shown.text(logs)
            elif logs:
                click.echo(logs, err=True, nl=not logs.endswith("\n"))
    print_json(answer) if format_ == "json" else _print(answer)
    status = answer.get("status", 200)
    failed = answer.get("failed") or answer.get("ok") is False or "error" in answer
    if status >= 500 or failed:
        raise SystemExit(1)


def _read(file: IO[bytes]) -> dict[str, Any]:
    name = getattr(file, "name", "the event")
    try:
        document = json.loads(file.read())
    except ValueError as exc:
        raise InvocationError(f"{name} is not JSON: {exc}") from exc
    if not isinstance(document, dict):
        raise InvocationError(f"{name} must hold a JSON object")
    return document


def _stimulus(plan: Any, function: Any, document: dict[str, Any] | None) -> Any:
    """Return the stimulus in a neutral event, or a sample; None for a platform's own event."""
    from portafaas.adapter.neutral import is_neutral, stimulus_from_json

    if document is None:
        from portafaas.cli.events import fitting

        return fitting(plan, function)
    if not is_neutral(document):
        return None
    kind = next(iter(document))
    if kind != function.kind:
        raise InvocationError(
            f"{function.name!r} has a {function.kind} trigger; the event is for {kind} triggers"
        )
    return stimulus_from_json(document)


def _from_sources(
    plan: Any,
    function: Any,
    document: dict[str, Any] | None,
    manifest: Path,
    environment: Mapping[str, str],
    errors: int | None,
) -> dict[str, Any]:
    from portafaas.invocation import LocalRunner

    stimulus = _stimulus(plan, function, document)
    if stimulus is None:
        raise InvocationError(
            "the event is not a neutral one",
            hint="a platform's own event needs --target; 'portafaas events generate "
            f"{function.name}' writes a neutral one",
        )
    own, run = _resources(plan, function, manifest, packaged=False)
    with LocalRunner(plan, manifest.parent, {**own, **environment}, errors) as runner:
        answer = runner.deliver(function, stimulus)
    return _with_effects(answer, plan, manifest, run)


def _resources(
    plan: Any, function: Any, manifest: Path, *, packaged: bool
) -> tuple[dict[str, str], str]:
    """Return the variables that lead the function's clients to this machine, and the run's mark.

    Nothing for a function that uses nothing.
    """
    if not function.uses:
        return {}, ""
    import uuid

    from portafaas.local.resources import environment

    run = str(uuid.uuid4())
    return environment(plan, function, manifest.parent, run, packaged=packaged), run


def _with_effects(answer: dict[str, Any], plan: Any, manifest: Path, run: str) -> dict[str, Any]:
    if run:
        from portafaas.local.resources import effects, store

        answer["effects"] = effects(store(manifest.parent, plan.stage), run)
    return answer


def _in_runtime(
    manifest: Path,
    stage: str | None,
    target: str,
    name: str,
    document: dict[str, Any] | None,
    environment: Mapping[str, str],
) -> tuple[dict[str, Any], str]:
    import tempfile

    from portafaas.adapter.neutral import outcome_to_json
    from portafaas.cli.find import find
    from portafaas.emulation import packaged
    from portafaas.invocation import PackageRunner
    from portafaas.pipeline import check

    options.chosen((target,))
    (checked,) = check(manifest, [target], stage)
    plan = checked.plan
    function = find(plan, name)
    stimulus = _stimulus(plan, function, document)
    own, run = _resources(plan, function, manifest, packaged=True)
    report = progress()
    try:
        made = packaged(manifest, stage, target, report, checked)
        report(f"starting the {target} runtime")
        with (
            tempfile.TemporaryDirectory(prefix="portafaas-") as folder,
            PackageRunner(
                made.adapter,
                plan,
                made.package,
                made.deployment,
                Path(folder),
                {**own, **environment},
            ) as runner,
        ):
            if stimulus is not None:
                delivery = runner.deliver(function, stimulus)
                answer, logs = outcome_to_json(delivery.outcome), delivery.logs
                broken = next((r.error for r in delivery.results if r.error is not None), None)
                if broken is not None and broken.kind != "handler":
                    answer["error"] = f"{broken.type}: {broken.message}"
            else:
                assert document is not None
                result = runner.native(function, document)
                answer = {"ok": result.ok, "value": result.value}
                if result.error is not None:
                    answer["error"] = f"{result.error.type}: {result.error.message}"
                logs = result.logs
            notes = runner.notes
    finally:
        clear()
    for note in notes:
        click.echo(f"note: {note}", err=True)
    return _with_effects(answer, plan, manifest, run), logs


def _print(answer: Mapping[str, Any]) -> None:
    _print_outcome({name: value for name, value in answer.items() if name != "effects"})
    for effect in answer.get("effects", ()):
        click.echo(_line(effect))


def _line(effect: Mapping[str, Any]) -> str:
    """Return one thing that the function sent or wrote as a line: ``queue payments: send ...``."""
    rest = {
        name: value
        for name, value in effect.items()
        if name not in ("kind", "name", "verb") and value is not None
    }
    text = json.dumps(rest, ensure_ascii=False)
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}..."
    return f"{effect['kind']} {effect['name']}: {effect['verb']} {text}"


def _print_outcome(answer: Mapping[str, Any]) -> None:
    if "status" not in answer:
        print_json(answer)
        return
    click.echo(f"HTTP {answer['status']}")
    for name, value in answer["headers"].items():
        click.echo(f"{name}: {value}")
    for cookie in answer["cookies"]:
        click.echo(f"set-cookie: {cookie}")
    if answer.get("body"):
        click.echo()
        click.echo(answer["body"])
    elif answer.get("body_base64"):
        click.echo()
        click.echo(f"(base64) {answer['body_base64']}")
    if "error" in answer:
        click.echo(f"error: {answer['error']}", err=True)
