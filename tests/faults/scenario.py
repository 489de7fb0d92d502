"""What is sent, and what goes wrong with it: the same on every target, and for one seed the same."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

#: The ``retry.attempts`` of the project.
ATTEMPTS = 5
#: The seconds between two attempts, and what ``Throttled`` asks for.
DELAY, PATIENCE = 1.0, 2.0
#: Messages of one key, on average, in an ordered queue.
OF_A_KEY = 12


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to go wrong.

    ``steps`` are those of the handler (``probe``); a tuple of several is what happens the first
    times. ``broker`` is what the broker, or the way to it, does. ``letters`` are the reasons of
    which one has to be on the message's dead letter; none means that it must be done instead.
    ``effects`` is how often the side effect may happen. ``rare``: it costs a process or seconds.
    """

    name: str
    steps: tuple[str, ...] = ()
    broker: str = ""
    letters: frozenset[str] = frozenset()
    effects: int = 1
    rare: bool = False
    #: Seconds that lie at least between two attempts.
    delay: float = 0.0
    readable: bool = True
    #: Patterns that have it; all if empty.
    only: frozenset[str] = frozenset()
    never: frozenset[str] = frozenset()


_PLATFORM = frozenset(("attempts", "platform"))

FAULTS: tuple[Fault, ...] = (
    Fault("none"),
    # The handler.
    Fault("raises before the effect", ("raise",), delay=DELAY),
    Fault("raises 3 of 4 times", ("raise",) * 3, delay=DELAY),
    Fault("raises after the effect", ("raise-after",), effects=2, delay=DELAY),
    Fault("raises SystemExit", ("system-exit",), delay=DELAY),
    Fault("is throttled", ("throttled",), delay=PATIENCE),
    Fault("raises always", ("raise*",), letters=frozenset(("attempts",)), effects=0, delay=DELAY),
    Fault("raises Permanent", ("permanent*",), letters=frozenset(("permanent",)), effects=0),
    Fault("hangs before the effect", ("hang",), rare=True),
    Fault("hangs after the effect", ("hang-after",), effects=2, rare=True),
    Fault("exits before the effect", ("exit",), rare=True),
    Fault("exits after the effect", ("exit-after",), effects=2, rare=True),
    Fault("exits always", ("exit*",), letters=_PLATFORM, effects=0, rare=True),
    # The message.
    Fault("is not JSON", ("read*",), letters=frozenset(("poison",)), effects=0, readable=False),
    # The broker.
    Fault("is delivered twice", broker="twice", effects=2),
    Fault("is delayed", broker="late"),
    Fault("is overtaken", broker="overtaken", never=frozenset(("ordered",))),
    Fault("connection lost before the ack", broker="lost", effects=2, rare=True),
    # What a batch handler says.
    Fault("BatchResult.retry", ("retry",), delay=DELAY, only=frozenset(("batch",))),
    Fault(
        "BatchResult.dead_letter",
        ("dead*",),
        letters=frozenset(("handler",)),
        effects=0,
        only=frozenset(("batch",)),
    ),
    Fault("BatchResult.drop", ("drop",), effects=0, only=frozenset(("batch",))),
    # Between the two halves of an outbox.
    Fault("exits between commit and send", ("exit-unsent",), only=frozenset(("outbox",)), rare=True),
)


@dataclass(frozen=True, slots=True)
class Pattern:
    """One way to use the product: where messages go, and which functions get each of them.

    The faults are those of the first function. ``once``: no side effect happens twice, whatever
    is delivered how often, but for handlers that fail or die after it: only they know of it.
    """

    name: str
    kind: str
    to: str
    functions: tuple[str, ...]
    ordered: bool = False
    once: bool = False
    #: A handler that raises fails all of its batch.
    batch: bool = False
    #: The second function gets what the first one sends, not what was sent to the first.
    chain: bool = False


PATTERNS: tuple[Pattern, ...] = (
    Pattern("queue", "queue", "single", ("single",)),
    Pattern("batch", "queue", "batch", ("batch",), batch=True),
    Pattern("ordered", "queue", "ordered", ("ordered",), ordered=True),
    Pattern("topic", "topic", "news", ("first", "second")),
    Pattern("idempotent", "queue", "once", ("once",), once=True),
    Pattern("outbox", "queue", "orders", ("order", "relayed"), chain=True),
)


@dataclass(frozen=True, slots=True)
class Item:
    """One message: its number, what goes wrong with it, and its key in an ordered queue."""

    number: int
    fault: Fault
    key: str | None = None

    def order(self) -> dict[str, Any]:
        """Return it as ``feed`` takes it."""
        body = json.dumps({"n": self.number}) if self.fault.readable else f"{{no JSON {self.number}"
        order: dict[str, Any] = {"body": body, "attributes": {"n": str(self.number)}}
        if self.key is not None:
            order["key"] = self.key
        return order


@dataclass(frozen=True, slots=True)
class Run:
    """The messages of one pattern."""

    pattern: Pattern
    seed: int
    items: tuple[Item, ...]
    by_number: dict[int, Item] = field(default_factory=dict)

    @property
    def steps(self) -> dict[str, list[str]]:
        """The plan of the pattern's first function."""
        return {str(item.number): list(item.fault.steps) for item in self.items if item.fault.steps}

    @property
    def broker(self) -> dict[int, str]:
        """What the broker does at the pattern's first function, by number."""
        return {item.number: item.fault.broker for item in self.items if item.fault.broker}


def faults_of(pattern: Pattern) -> list[Fault]:
    """Return the faults that *pattern* can have."""
    return [
        _batched(fault) if pattern.batch else fault
        for fault in FAULTS
        if (not fault.only or pattern.name in fault.only) and pattern.name not in fault.never
    ]


def _batched(fault: Fault) -> Fault:
    """Return *fault* as one of a batch handler, which answers for all messages at once."""
    from dataclasses import replace

    if fault.name == "raises Permanent":
        # Nobody knows for which message: all come again, until the attempts are used up.
        return replace(fault, rare=True, letters=frozenset(("permanent", "attempts")))
    if not fault.readable:
        return replace(fault, letters=frozenset(("handler",)))
    if fault.steps and not fault.only:
        # Of several nobody knows which one is throttled.
        return replace(fault, rare=True, delay=min(fault.delay, DELAY))
    return fault


def plan(pattern: Pattern, messages: int, seed: int, rare: int, offset: int = 0) -> Run:
    """Return *messages* items, *rare* of each rare fault, numbered from *offset* on.

    Of the others each fault has its share, and half of all messages have none.
    """
    dice = random.Random(f"{seed}/{pattern.name}")
    faults = faults_of(pattern)
    cheap = [fault for fault in faults[1:] if not fault.rare]
    chosen = [fault for fault in faults if fault.rare for _ in range(rare)]
    share = max(1, (messages // 2 - len(chosen)) // len(cheap))
    chosen += [fault for fault in cheap for _ in range(share)]
    if len(chosen) > messages:
        raise ValueError(f"{pattern.name}: {messages} messages do not have room for all faults")
    chosen += [faults[0]] * (messages - len(chosen))
    dice.shuffle(chosen)
    keys = [f"key-{n}" for n in range(max(8, messages // OF_A_KEY))]
    items = tuple(
        Item(offset + place, fault, dice.choice(keys) if pattern.ordered else None)
        for place, fault in enumerate(chosen)
    )
    return Run(pattern, seed, items, {item.number: item for item in items})


def chunks(items: Sequence[Item], size: int) -> list[Sequence[Item]]:
    """Return *items* in pieces of at most *size*."""
    return [items[start : start + size] for start in range(0, len(items), size)]
