"""``portafaas dev``."""

from __future__ import annotations

import gc
import signal
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import click

from portafaas.cli import options


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=8300,
    show_default=True,
    help="Where to serve; 0: any free one.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="An address of this machine.")
@click.option(
    "--as",
    "target",
    metavar="TARGET",
    help="Have this target's semantics: envelopes, delays, limits.  [default: neutral ones]",
)
@options.manifest
@options.stage
@click.option(
    "--clock",
    default="real",
    metavar="real|virtual|TIME",
    show_default=True,
    help="Of what is due when, and of schedules. A virtual one stands still until it is set; "
    "with a TIME (RFC 3339) it begins there.",
)
@click.option(
    "--env",
    multiple=True,
    metavar="NAME=VALUE",
    help="Set an environment variable of the functions; repeat it.",
)
@click.option(
    "--debug",
    multiple=True,
    is_flag=False,
    flag_value="*",
    metavar="[FUNCTION]",
    help="Let a debugger attach to this function, or to all; repeat it.",
)
@click.option(
    "--debug-port",
    type=click.IntRange(1, 65_535),
    default=5678,
    show_default=True,
    help="The first function's.",
)
@click.option("--debug-wait", is_flag=True, help="Call nothing before the debugger is there.")
@click.option("--reload/--no-reload", default=True, help="Run new code when files change.")
@click.option(
    "--catch-up", is_flag=True, help="Fire schedules that missed instants while dev did not run."
)
@click.option(
    "--duplicates",
    type=click.FloatRange(0, 100),
    default=0.0,
    metavar="PERCENT",
    help="Deliver so many of what was done well once more, as platforms may.",
)
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How to print what functions log.",
)
def command(
    port: int,
    host: str,
    target: str | None,
    manifest: Path,
    stage: str | None,
    clock: str,
    env: tuple[str, ...],
    debug: tuple[str, ...],
    debug_port: int,
    debug_wait: bool,
    reload: bool,
    catch_up: bool,
    duplicates: float,
    log_format: str,
) -> None:
    """Run the whole application on this machine, until Ctrl-C.

    Functions with an http trigger are served at their routes; queues, topics, buckets, tables,
    schedules and workflows work among them, on the store below .portafaas/, which outlives it.
    Each function runs in processes of its own, from the sources; when these change, the next
    request is answered by new ones.
    """
    from portafaas.dev.clock import seconds_of
    from portafaas.dev.logs import Console
    from portafaas.dev.service import Dev

    begin: Literal["real", "virtual"] | float
    begin = seconds_of(clock) if clock not in ("real", "virtual") else clock  # type: ignore[assignment]
    json_lines = log_format == "json"
    given = options.variables(env)
    console = Console(sys.stderr, json_lines=json_lines)
    dev = Dev(
        manifest, stage=stage, target=target, host=host, port=port, clock=begin,
        environment=given, debug=debug, debug_port=debug_port, debug_wait=debug_wait,
        reload=reload, catch_up=catch_up, duplicates=duplicates / 100, console=console,
    )  # fmt: skip
    ended = threading.Event()
    status = [0]

    def stop(number: int, frame: object) -> None:
        if status[0]:
            # The second time: whoever says so does not want to wait.
            dev.kill()
            raise SystemExit(128 + number)
        status[0] = 128 + number
        ended.set()

    before = [(each, signal.signal(each, stop)) for each in (signal.SIGINT, signal.SIGTERM)]
    try:
        dev.start()
        # What is there stays; what a request makes is freed without it.
        gc.freeze()
        gc.set_threshold(50_000, 20, 100)
        if not ended.is_set():
            _greet(dev, console, given)
        while not ended.wait(1.0):
            if not dev.running:
                status[0] = 1
                break
    finally:
        dev.stop()
        for each, handler in before:
            signal.signal(each, handler)
    if status[0]:
        raise SystemExit(status[0])


def _greet(dev: object, console: object, given: Mapping[str, str]) -> None:
    from portafaas.dev.logs import Console
    from portafaas.dev.missed import told
    from portafaas.dev.service import Dev
    from portafaas.dev.start import inherited, keyless, valueless
    from portafaas.local.debugger import PORT
    from portafaas.plan import HttpTrigger, ScheduleTrigger

    assert isinstance(dev, Dev) and isinstance(console, Console)
    plan = dev.plan
    stage = f" ({plan.stage})" if plan.stage else ""
    target = f" as {dev.target}" if dev.target else ""
    name = f"{plan.service}{stage}{target}"
    console.notice(f"{name} at {dev.url}, dashboard at {dev.url}/_portafaas/")
    for function in plan.functions:
        trigger = function.trigger
        if isinstance(trigger, HttpTrigger):
            methods = ",".join(trigger.methods) or "ANY"
            auth = f"  ({trigger.auth.scheme})" if trigger.auth else ""
            console.notice(f"  {methods} {trigger.path} -> {function.name}{auth}")
        elif isinstance(trigger, ScheduleTrigger):
            console.notice(f"  {trigger.cron} {trigger.timezone} -> {function.name}")
    variables = inherited(given, dev.target)
    for line in (*valueless(plan, dev.root), *keyless(plan, variables)):
        console.notice(line, "WARNING")
    for one in dev.caught_up.values():
        console.notice(f"  fires for what it missed: {one}")
    for line in told(dev.missed, dev.url):
        console.notice(line)
    for name, found in dev.debugging.items():
        console.notice(f"  debugger of {name}: 127.0.0.1:{found[PORT]}")
    if dev.clock.mode == "virtual":
        from datetime import UTC, datetime

        now = datetime.fromtimestamp(dev.clock.now(), UTC).isoformat(timespec="seconds")
        console.notice(f"  the clock stands at {now}")
