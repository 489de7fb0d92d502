"""The checker finds what a broken product would do: each promise, broken in a made-up ledger."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from portafaas.deployment.dead_letters import DeadLetter
from tests.faults.check import Evidence, judge, told
from tests.faults.ledger import Delivery, Entry, grouped
from tests.faults.scenario import ATTEMPTS, FAULTS, PATTERNS, Item, Pattern, Run

FAULT = {fault.name: fault for fault in FAULTS}
QUEUE, _, ORDERED, TOPIC, ONCE, OUTBOX = PATTERNS


class Story:
    """A made-up run: what happened to items, one after the other."""

    def __init__(self, pattern: Pattern = QUEUE, *faults: str, key: str | None = None) -> None:
        items = tuple(Item(n, FAULT[name], key) for n, name in enumerate(faults or ("none",)))
        self.run = Run(pattern, 1, items, {item.number: item for item in items})
        self.entries: list[Entry] = []
        self.deliveries: list[Delivery] = []
        self.letters: dict[str, list[DeadLetter]] = {}
        self.time = 0.0
        self.redriven_at: int | None = None

    def _add(self, what: str, function: str, number: int, turn: int, **more: Any) -> None:
        self.entries.append(
            Entry(len(self.entries), what, function, number, turn, self.time, **more)
        )

    def call(
        self,
        number: int = 0,
        *what: str,
        outcome: str = "done",
        attempt: int = 0,
        function: str = "",
        id: str = "",
        later: float = 2.5,
    ) -> Story:
        """Deliver an item: its handler does *what* after it began."""
        function = function or self.run.pattern.functions[0]
        begun = [e for e in self.entries if (e.function, e.number) == (function, number)]
        turn = sum(e.what == "begin" for e in begun) + 1
        self._add("begin", function, number, turn, attempt=attempt or turn, id=id or f"id-{number}")
        for one in what:
            self._add(one, function, number, turn)
        self.deliveries.append(Delivery(self.time, function, number, len(self.deliveries), outcome))
        self.time += later
        return self

    def bury(self, number: int = 0, reason: str = "attempts", attempts: int = ATTEMPTS) -> Story:
        """Put a letter of an item into its box."""
        function = self.run.pattern.functions[0]
        found = DeadLetter(
            f"id-{number}", "box", reason, "", attempts, function, "", "", "", "", b"",
            {"n": str(number)},
        )  # fmt: skip
        self.letters.setdefault(function, []).append(found)
        return self

    def redrive(self) -> Story:
        """From here on it is after the redrive."""
        self.redriven_at = len(self.entries)
        return self

    @property
    def evidence(self) -> Evidence:
        return Evidence(
            self.run,
            self.entries,
            {
                key: [d for d in self.deliveries if (d.function, d.number) == key]
                for key in {(d.function, d.number) for d in self.deliveries}
            },
            self.letters,
            {item.number: f"id-{item.number}" for item in self.run.items},
            self.redriven_at,
        )

    @property
    def rules(self) -> list[str]:
        """The names of the rules that are broken."""
        cells = judge(self.evidence).values()
        return sorted({violation.rule for cell in cells for violation in cell.violations})


OK = ("effect", "end")


def exhausted(story: Story, number: int = 0) -> Story:
    for _ in range(ATTEMPTS - 1):
        story.call(number, outcome="failed")
    return story.call(number).bury(number)


GOOD: dict[str, Callable[[], Story]] = {
    "done": lambda: Story().call(0, *OK),
    "again": lambda: Story(QUEUE, "raises before the effect").call(0, outcome="failed").call(0, *OK),
    "given up": lambda: exhausted(Story(QUEUE, "raises always")),
    "redriven": lambda: exhausted(Story(QUEUE, "raises always")).redrive().call(0, *OK, attempt=1),
    "twice by the broker": lambda: Story(QUEUE, "is delivered twice")
    .call(0, *OK, outcome="again")
    .call(0, *OK),
    "in order": lambda: Story(ORDERED, "none", "none", key="k").call(0, *OK).call(1, *OK),
    "both subscribers": lambda: Story(TOPIC).call(0, *OK).call(0, *OK, function="second"),
    "once": lambda: Story(ONCE, "is delivered twice").call(0, *OK, outcome="again"),
    "outbox": lambda: Story(OUTBOX).call(0, *OK).call(0, *OK, function="relayed", id="new"),
    "a letter more for a lost answer": lambda: Story(QUEUE, "raises Permanent")
    .call(0, outcome="lost").bury(0, "permanent", 1).call(0).bury(0, "permanent", 2),
}  # fmt: skip

BAD: dict[str, tuple[Callable[[], Story], str]] = {
    "never delivered": (Story, "lost"),
    "acknowledged before it was buried": (
        lambda: Story(QUEUE, "raises Permanent").call(0), "lost"),
    "begun and forgotten": (lambda: Story().call(0, "effect", outcome="dead"), "lost"),
    "one subscriber forgotten": (lambda: Story(TOPIC).call(0, *OK), "lost"),
    "buried twice": (
        lambda: Story(QUEUE, "raises Permanent").call(0).bury(0, "permanent").bury(0, "permanent"),
        "letters"),
    "buried for no reason": (lambda: Story().call(0, outcome="failed").bury(0), "letters"),
    "done, and buried all the same": (lambda: Story().call(0, *OK).bury(0, "permanent"), "letters"),
    "poison was done": (lambda: Story(QUEUE, "is not JSON").call(0, *OK), "letters"),
    "the wrong reason": (
        lambda: Story(QUEUE, "is not JSON").call(0).bury(0, "permanent", 1), "letters"),
    "given up too early": (
        lambda: Story(QUEUE, "raises always").call(0).bury(0, "attempts", 2), "letters"),
    "a letter of nobody": (lambda: Story().call(0, *OK).bury(9), "foreign"),
    "tried without an end": (
        lambda: exhausted(exhausted(Story(QUEUE, "raises always"))), "attempts"),
    "the id of a copy": (lambda: Story().call(0, *OK, id="copy"), "id"),
    "a copy that begins to count anew": (
        lambda: Story(QUEUE, "raises before the effect").call(0, outcome="failed")
        .call(0, *OK, attempt=1), "count"),
    "no delay": (
        lambda: Story(QUEUE, "raises before the effect").call(0, outcome="failed", later=0.2)
        .call(0, *OK), "delay"),
    "impatient": (
        lambda: Story(QUEUE, "is throttled").call(0, outcome="failed", later=1.2).call(0, *OK),
        "delay"),
    "twice for no reason": (lambda: Story().call(0, *OK).call(0, *OK), "twice"),
    "no idempotency": (
        lambda: Story(ONCE, "is delivered twice").call(0, *OK, outcome="again").call(0, *OK),
        "twice"),
    "out of order": (
        lambda: Story(ORDERED, "none", "none", key="k").call(1, *OK).call(0, *OK), "order"),
    "not held back": (
        lambda: Story(ORDERED, "raises before the effect", "none", key="k")
        .call(0, outcome="failed").call(1, *OK).call(0, *OK), "order"),
    "redrive does nothing": (lambda: exhausted(Story(QUEUE, "raises always")).redrive(), "redrive"),
    "redriven with its old count": (
        lambda: exhausted(Story(QUEUE, "raises always")).redrive().call(0, *OK, attempt=6),
        "redrive"),
    "the redrive reaches others": (lambda: Story().call(0, *OK).redrive().call(0, *OK), "redrive"),
    "written and never sent": (lambda: Story(OUTBOX).call(0, *OK), "lost"),
    "sent and never written": (
        lambda: Story(OUTBOX, "raises Permanent").call(0).bury(0, "permanent", 1)
        .call(0, *OK, function="relayed"), "outbox"),
    "sent twice as two": (
        lambda: Story(OUTBOX).call(0, *OK).call(0, *OK, function="relayed", id="a")
        .call(0, *OK, function="relayed", id="b"), "id"),
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_what_is_promised_is_no_violation(name: str) -> None:
    assert GOOD[name]().rules == []


@pytest.mark.parametrize("name", BAD)
def test_what_is_not_promised_is_one(name: str) -> None:
    make, rule = BAD[name]
    assert rule in make().rules


def test_a_violation_is_told_with_its_history() -> None:
    story = Story(QUEUE, "raises before the effect").call(0, outcome="failed", later=0.2).call(0, *OK)
    (violation,) = judge(story.evidence)["raises before the effect"].violations
    text = told(story.evidence, violation)
    assert "seed 1" in text and "delivery in batch 0: failed" in text and "+   0.200 s" in text


def test_bystanders_are_counted() -> None:
    story = Story()
    for _ in range(ATTEMPTS):
        story.call(0, outcome="dead")
    story.bury(0)
    cell = judge(story.evidence)["none"]
    assert not cell.violations and cell.bystanders == 1


def test_letters_that_a_platform_does_not_show() -> None:
    story = exhausted(Story(QUEUE, "raises always")).redrive().call(0, *OK, attempt=1)
    story.letters.clear()
    assert story.rules == ["lost", "redrive"]
    evidence = replace(story.evidence, unseen=1)
    assert not judge(evidence)["raises always"].violations
    assert grouped(evidence.entries)
