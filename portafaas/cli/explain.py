"""``portafaas explain``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from portafaas.cli import options
from portafaas.cli.output import print_json


@click.command()
@click.argument("function", shell_complete=options.complete_function)
@options.targets("Explain for this target; repeat it, or say 'all' (the default).")
@options.manifest
@options.stage
@options.format_
def command(
    function: str, target: tuple[str, ...], manifest: Path, stage: str | None, format_: str
) -> None:
    """Tell what FUNCTION becomes on each target.

    For each line of the manifest: what starts the function, which resources there are for it and
    what it may do. Then who delivers again what failed, how often and when, and what does not carry
    over to other targets.
    """
    from portafaas.cli.find import find
    from portafaas.explanation import explain
    from portafaas.pipeline import check

    explained = {}
    for item in check(manifest.absolute(), options.chosen(target), stage):
        find(item.plan, function)
        explained[item.adapter.target] = explain(item, function)
    if format_ == "json":
        print_json(explained)
        return
    for number, (name, facts) in enumerate(explained.items()):
        if number:
            click.echo()
        click.secho(f"{function} on {name}", bold=True)
        for text in _text(facts):
            click.echo(text)


def _text(facts: Mapping[str, Any]) -> Iterator[str]:
    for line in facts["lines"]:
        yield ""
        yield _where(line, line["title"])
        yield from _produced(line)
    yield ""
    yield "retries"
    yield from _rows(_retries(facts["trigger"], facts["redelivery"]))
    yield from _rows(_stack(facts["trigger"], facts["stack"]))
    yield ""
    yield "portability"
    if not facts["portability"]:
        yield "  nothing here is of this target alone"
    for setting in facts["portability"]:
        value = setting["value"]
        shown = value if isinstance(value, str) else json.dumps(value)
        yield f"  {_where(setting, setting['setting'])}: {shown}"
        for text in (setting["meaning"], f"elsewhere: {setting['elsewhere']}"):
            if text:
                yield f"    {text}"
    if facts["notes"]:
        yield ""
        yield "notes"
    for note in facts["notes"]:
        yield f"  {note['severity']}: {note['code']} {note['message']}"
    yield ""
    yield f"documents: {', '.join(facts['documents']) or 'none'}"


def _where(place: Mapping[str, Any], title: str) -> str:
    return f"{place['file']}:{place['line']}  {title}" if place["line"] else title


def _produced(line: Mapping[str, Any]) -> Iterator[str]:
    for name, value in line["binding"].items():
        shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        yield f"  binding     {name}: {shown}"
    # Some addresses begin with the type.
    plain = [f for f in line["resources"] if not f["name"].startswith(f"{f['type']}.")]
    width = max((len(found["type"]) for found in plain), default=0)
    for found in line["resources"]:
        shared = "shared" if found["shared"] else "resource"
        kind = f"{found['type']:<{width}}  " if found in plain else ""
        yield f"  {shared:<10}  {kind}{found['name']}"
    width = max((len(found["grant"]) for found in line["permissions"]), default=0)
    for found in line["permissions"]:
        yield f"  permission  {found['grant']:<{width}}  {found['scope']}"


def _span(seconds: int) -> str:
    """Return a time for people: ``7 days``, ``90 s``."""
    for unit, size in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds % size == 0 and seconds // size > 1:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _rows(rows: Iterator[tuple[str, str]]) -> Iterator[str]:
    for name, value in rows:
        yield f"  {name:<12}  {value}"


def _retries(kind: str, facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    asked = facts["asked"]
    if asked is not None:
        delays = f"{asked['initial']:g} s"
        if asked["backoff"] == "exponential":
            delays += f" to {asked['max']:g} s"
        wanted = f"{asked['attempts']} deliveries, {asked['backoff']}, {delays}"
        yield "asked for", f"{wanted}  ({asked['file']}:{asked['line']})"
    elif kind not in ("http", "task"):
        yield "asked for", "nothing: the target's defaults"
    if facts["by"] is None:
        yield "by", "unknown: the adapter does not say"
        return
    if not facts["by"]:
        http = "the caller decides" if kind == "http" else "what failed is lost"
        yield "by", f"nobody: {http}"
    elif kind == "task":
        yield "by", facts["by"]
        yield "given up", "when the step's 'retry' is used up, to its 'catch', or the run fails"
    else:
        yield "by", facts["by"]
        attempts = facts["attempts"]
        yield "deliveries", f"{attempts} in all" if attempts else "as many as it takes"
        if facts["delay"]:
            yield "the next", facts["delay"]
        age = f"it is {_span(facts['until'])} old" if facts["until"] else "however old it is"
        yield "until", age
        yield "dead letters", facts["dead_letters"] or "none: what is given up is lost"
    if facts["source"]:
        yield "see", facts["source"]


def _stack(kind: str, facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what all repetitions come to at the worst."""
    from portafaas.choreography.retries import span

    attempts = facts["client_attempts"]
    tries = f"each call {attempts} times" if attempts > 1 else "each call once"
    chain = facts["chain"]
    way = f" ({' -> '.join(chain)})" if len(chain) > 1 else ""
    if facts["runs"]:
        runs = "once" if facts["runs"] == 1 else f"{facts['runs']} times"
        what = "one attempt of a step" if kind == "task" else "one event"
        yield "at worst", f"{what} runs it {runs}{way}, {tries}: {facts['calls']} calls"
    else:
        yield "at worst", f"one event runs it without bound{way}, {tries}"
    if facts["deliveries"] > 1:
        yield "takes", f"up to {span(facts['seconds'])}, by the delays of 'retry'"
