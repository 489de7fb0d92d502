"""What handlers wrote down (``project/faulty/probe.py``), and what the way to them did."""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: ``what`` is begin, effect, end or drop; ``place`` counts all lines.

    ``attempt`` and ``id`` are as the handler saw them, and of ``begin`` only.
    """

    place: int
    what: str
    function: str
    number: int
    turn: int
    time: float
    attempt: int = 0
    id: str = ""
    key: str | None = None
    process: int = 0


class Ledger:
    """The folder that handlers write to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "turns").mkdir(parents=True)
        (folder / "ledger").touch()

    def plan(self, steps: Mapping[str, Mapping[str, Sequence[str]]]) -> None:
        """Say what goes wrong: ``{function: {number: steps}}``."""
        (self.folder / "plan.json").write_text(json.dumps(steps))

    def heal(self) -> None:
        """Nothing goes wrong from now on."""
        (self.folder / "healed").touch()

    def entries(self) -> list[Entry]:
        """Return everything so far."""
        found = []
        for place, line in enumerate((self.folder / "ledger").read_bytes().splitlines()):
            fact = json.loads(line)
            found.append(
                Entry(
                    place,
                    fact["e"],
                    fact["f"],
                    fact["n"],
                    fact["w"],
                    fact["t"],
                    fact.get("a", 0),
                    fact.get("i", ""),
                    fact.get("k"),
                    fact.get("p", 0),
                )
            )
        return found

    def length(self) -> int:
        """Return how many bytes there are: it grows with whatever a handler does."""
        return (self.folder / "ledger").stat().st_size


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message handed to a function's process, and what the platform made of the answer.

    ``outcome``: ``done``, ``failed``, ``dead`` (the process ended or was killed: no answer),
    ``lost`` (there was an answer, which the broker never got), ``again`` (done, and forgotten).
    """

    time: float
    function: str
    number: int
    batch: int
    outcome: str


class Deliveries:
    """All deliveries of a target; several threads add to it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._batches = 0
        self.all: list[Delivery] = []

    def add(self, function: str, outcomes: Sequence[tuple[int, str]]) -> None:
        """Note one invocation with its messages' numbers and outcomes."""
        with self._lock:
            self._batches += 1
            now = time.time()
            self.all += [
                Delivery(now, function, number, self._batches, outcome)
                for number, outcome in outcomes
            ]

    def by_item(self) -> dict[tuple[str, int], list[Delivery]]:
        """Return the deliveries of each function and number."""
        found: dict[tuple[str, int], list[Delivery]] = defaultdict(list)
        for delivery in self.all:
            found[delivery.function, delivery.number].append(delivery)
        return found


def grouped(entries: Sequence[Entry]) -> dict[tuple[str, int], list[Entry]]:
    """Return the entries of each function and number."""
    found: dict[tuple[str, int], list[Entry]] = defaultdict(list)
    for entry in entries:
        found[entry.function, entry.number].append(entry)
    return found


def history(
    function: str, number: int, entries: Sequence[Entry], deliveries: Sequence[Delivery]
) -> str:
    """Return in words what became of one message."""
    lines: list[tuple[float, str]] = []
    for entry in entries:
        more = f" attempt {entry.attempt}, id {entry.id}, process {entry.process}" if entry.id else ""
        lines.append((entry.time, f"{entry.what}{more}"))
    lines += [(d.time, f"delivery in batch {d.batch}: {d.outcome}") for d in deliveries]
    start = min((when for when, _ in lines), default=0.0)
    told = [f"    +{when - start:8.3f} s  {text}" for when, text in sorted(lines)]
    return "\n".join([f"  {function} {number}:", *(told or ["    nothing happened"])])


Facts = dict[str, Any]
