"""Runs all patterns on one target at once: send, deliver, look, redrive, look again."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from portafaas.deployment.dead_letters import DeadLetters, dead_letter_boxes
from tests.faults.check import Cell, Evidence, judge
from tests.faults.scenario import PATTERNS, Pattern, Run, chunks, plan
from tests.faults.target import Target

#: Numbers of one pattern begin at a multiple of this.
_RANGE = 1_000_000
#: Messages that are sent at once, and of which there are at most so many at a function.
CHUNK, DEPTH = 100, 300
#: Seconds without anything after which it is over: something may be between two places.
CALM = 1.0


@dataclass(slots=True)
class Outcome:
    """What one target did: cells by pattern and fault, what they rest on, and how long it took."""

    target: str
    cells: dict[tuple[str, str], Cell]
    evidence: dict[str, Evidence]
    seconds: float
    problems: list[str]
    #: Patterns that were not run, and why.
    without: dict[str, str] = field(default_factory=dict)


def execute(
    target: Target,
    messages: int,
    seed: int,
    rare: int,
    patterns: Sequence[Pattern] = PATTERNS,
    patience: float = 120.0,
    redrive: bool = True,
    limit: float = 3600.0,
    say: Callable[[str], None] = lambda text: None,
) -> Outcome:
    """Run *patterns* with *messages* each on *target*, which has started nothing yet.

    Raises TimeoutError when nothing has happened for *patience* seconds, and it is not over. What
    is not over after *limit* seconds is judged as it is.
    """
    started = time.monotonic()
    patterns = [pattern for pattern in patterns if pattern.name not in target.without]
    runs = [
        plan(pattern, messages, seed, rare, place * _RANGE) for place, pattern in enumerate(patterns)
    ]
    target.ledger.plan({run.pattern.functions[0]: run.steps for run in runs})
    target.broker_faults = {run.pattern.functions[0]: run.broker for run in runs}
    target.start()
    sent = _send(target, runs, limit)
    say(f"{target.name}: {messages} messages of each pattern sent")
    settle(target, patience, limit)
    say(f"{target.name}: settled after {time.monotonic() - started:.1f} s")
    entries = target.ledger.entries()
    until = len(entries)
    evidence = {}
    for run in runs:
        evidence[run.pattern.name] = Evidence(
            run,
            entries,
            {},
            {},
            sent[run.pattern.name],
            extra=target.extra,
            delays=target.delays,
        )
    if redrive:
        boxes = [(run, function) for run in runs for function in run.pattern.functions]
        looked = _each(target, boxes, lambda letters, box: letters.list(box, 10 * messages))
        for run, function in boxes:
            found = evidence[run.pattern.name]
            found.letters = {**found.letters, function: looked[function]}
        target.ledger.heal()
        began = time.time()
        moved = _each(target, boxes, lambda letters, box: target.redrive(letters, box))
        for run, function in boxes:
            done = moved[function]
            expected = len(evidence[run.pattern.name].letters[function])
            unseen = done.moved - expected
            if unseen > 0 and run.pattern.ordered and not target.shows_all:
                evidence[run.pattern.name].unseen = unseen
            elif done.failed or unseen:
                target.problems.append(f"redrive of {function}: {done}, not {expected}")
        for box, _ in dead_letter_boxes(target.plan):
            # What no pattern has: the relay of the outbox.
            if box.endswith("-outbox"):
                relayed = target.redrive(target.dead_letters(), box)
                say(f"{target.name}: {relayed.moved} changes of {box} were dead letters")
        settle(target, patience, limit)
        say(f"{target.name}: redriven after {time.monotonic() - started:.1f} s")
        entries = target.ledger.entries()
        looked = _each(target, boxes, lambda letters, box: letters.list(box, 10 * messages))
        for run, function in boxes:
            found = evidence[run.pattern.name]
            found.redriven_at, found.redriven_time = until, began
            found.left = {**found.left, function: looked[function]}
    deliveries = target.deliveries.by_item()
    cells: dict[tuple[str, str], Cell] = {}
    for name, found in evidence.items():
        found.entries, found.deliveries = entries, deliveries
        for fault, cell in judge(found).items():
            cells[name, fault] = cell
    return Outcome(
        target.name,
        cells,
        evidence,
        time.monotonic() - started,
        list(target.problems),
        target.without,
    )


def _send(target: Target, runs: Sequence[Run], limit: float) -> dict[str, dict[int, str]]:
    """Send the messages of all patterns in turn, as fast as they are done; return their ids.

    What stands in for a platform looks at all of a queue for each message.
    """
    sent: dict[str, dict[int, str]] = {run.pattern.name: {} for run in runs}
    waiting = {run.pattern.name: chunks(run.items, CHUNK) for run in runs}
    end = time.monotonic() + limit
    while any(waiting.values()) and time.monotonic() < end:
        left = target.pending() if len(runs[0].items) > DEPTH else {}
        for run in runs:
            name = run.pattern.name
            if waiting[name] and max(left.get(f, 0) for f in run.pattern.functions) < DEPTH:
                sent[name] |= target.feed(run.pattern, waiting[name].pop(0))
        if left:
            time.sleep(0.1)
    return sent


def _each(
    target: Target,
    boxes: Sequence[tuple[Run, str]],
    do: Callable[[DeadLetters, str], Any],
) -> dict[str, Any]:
    """Return by function what *do* returns of its box; all at once, since clients wait for more."""
    with ThreadPoolExecutor(len(boxes)) as pool:
        made = {
            function: pool.submit(do, target.dead_letters(), box_of(target, function))
            for _, function in boxes
        }
        return {function: future.result() for function, future in made.items()}


def box_of(target: Target, function: str) -> str:
    """Return the name of the box that holds *function*'s dead letters."""
    return str(getattr(target.plan.function(function).trigger, "queue", function))


def settle(target: Target, patience: float, limit: float) -> None:
    """Wait until nothing is on its way, for a while; see :func:`execute`."""
    last = calm = start = time.monotonic()
    seen = (-1, -1)
    left: dict[str, int] = {}
    while True:
        moment = time.monotonic()
        now = (target.ledger.length(), len(target.deliveries.all))
        if now != seen:
            # What is left, a back end is asked only when nothing is seen to happen.
            last = calm = moment
            seen = now
        else:
            left = target.pending()
            if left:
                calm = moment
        if moment - calm > CALM:
            return
        if moment - start > limit:
            target.problems.append(f"not over after {limit:g} s: {left}")
            return
        if moment - last > patience:
            raise TimeoutError(f"{target.name}: still on their way: {left}\n" + target.report())
        if len(target.problems) > 20:
            raise RuntimeError(f"{target.name}: {target.report()}")
        time.sleep(0.25)
