"""Whether what happened is what the specification promises: ``docs/spec/recovery.md``, ``events.md``.

Reads the ledger, the deliveries and the dead letters; knows nothing of any target.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from portafaas.deployment.dead_letters import DeadLetter
from tests.faults.ledger import Delivery, Entry, grouped, history
from tests.faults.scenario import ATTEMPTS, FAULTS, Fault, Item, Run

#: How much earlier than promised an attempt may come: clocks of brokers count milliseconds.
_SLACK = 0.1
_NONE = FAULTS[0]


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken promise. ``rule`` is a short name, ``text`` says what is wrong."""

    rule: str
    function: str
    number: int
    fault: str
    text: str

    def __str__(self) -> str:
        return f"[{self.rule}] {self.function} {self.number} ({self.fault}): {self.text}"


@dataclass(slots=True)
class Cell:
    """What became of the messages of one pattern with one fault on one target."""

    messages: int = 0
    #: Handler calls, and side effects, beyond the first of each message and function.
    redeliveries: int = 0
    duplicates: int = 0
    letters: int = 0
    #: Dead letters of messages that did nothing wrong, but shared batches with those that did.
    bystanders: int = 0
    redriven: int = 0
    violations: list[Violation] = field(default_factory=list)


@dataclass(slots=True)
class Evidence:
    """All that is known of one run.

    ``letters`` are those before the redrive, by function. ``redriven_at`` is the ledger's length
    (in entries) when it began, None when there was none; ``left`` are the letters after it.
    ``sent`` are the ids that the sender was told.
    """

    run: Run
    entries: Sequence[Entry]
    deliveries: Mapping[tuple[str, int], Sequence[Delivery]]
    letters: Mapping[str, Sequence[DeadLetter]]
    sent: Mapping[int, str]
    redriven_at: int | None = None
    redriven_time: float = 0.0
    left: Mapping[str, Sequence[DeadLetter]] = field(default_factory=dict)
    #: Attempts beyond the policy that the target's documentation allows.
    extra: int = 0
    #: Whether delays between attempts are kept to the second.
    delays: bool = True
    #: Letters that could be redriven, though not listed.
    unseen: int = 0
    _grouped: dict[tuple[str, int], list[Entry]] = field(default_factory=dict)

    def of(self, key: tuple[str, int]) -> Sequence[Entry]:
        """Return the entries of a function and number."""
        if not self._grouped:
            self._grouped = grouped(self.entries)
        return self._grouped.get(key, [])


def number_of(letter: DeadLetter) -> int:
    """Return the number of the message that *letter* is."""
    return int(letter.attributes["n"])


def judge(evidence: Evidence) -> dict[str, Cell]:
    """Return a cell for each fault of the run's pattern, with what is wrong."""
    run = evidence.run
    cells = {item.fault.name: Cell() for item in run.items}
    until = len(evidence.entries) if evidence.redriven_at is None else evidence.redriven_at
    before = grouped([entry for entry in evidence.entries if entry.place < until])
    after = grouped([entry for entry in evidence.entries if entry.place >= until])
    for place, function in enumerate(run.pattern.functions):
        letters: dict[int, list[DeadLetter]] = defaultdict(list)
        for letter in evidence.letters.get(function, ()):
            letters[number_of(letter)].append(letter)
        for number in set(letters) - set(run.by_number):
            letter = letters[number][0]
            cells[_NONE.name].violations.append(
                Violation("foreign", function, number, "?", f"a letter of another run: {letter}")
            )
        for item in run.items:
            # Only the first function of a topic goes wrong; what nobody can read all cannot.
            unread = not item.fault.readable and not run.pattern.chain
            fault = item.fault if not place or unread else _NONE
            cell = cells[item.fault.name]
            case = _Case(function, item, fault, evidence, chained=bool(place) and run.pattern.chain)
            entries = before.get((function, item.number), [])
            found = letters.get(item.number, [])
            if case.chained:
                # What was never committed is not sent; what was redriven is sent afterwards.
                first = (run.pattern.functions[0], item.number)
                entries = entries + after.get((function, item.number), [])
                if not any(entry.what in ("effect", "known") for entry in evidence.of(first)):
                    cell.violations += case.nothing(entries)
                    continue
            if not place:
                cell.messages += 1
            again = after.get((function, item.number), [])
            if evidence.unseen and not found and fault.letters and _count(again, "end"):
                # Its letter was not to be seen, and was there.
                evidence.unseen -= 1
                cell.letters += 1
                cell.redriven += 1
                cell.violations += case.attempts(entries, found)
                cell.violations += case.redriven(again, True)
                continue
            cell.redeliveries += max(0, _count(entries, "begin") - 1)
            cell.duplicates += max(0, _count(entries, "effect") - 1)
            cell.letters += len(found)
            cell.bystanders += bool(found) and found[0].reason not in (fault.letters or "")
            cell.violations += case.settled(entries, found)
            cell.violations += case.attempts(entries, found)
            if evidence.redriven_at is not None:
                cell.redriven += bool(found)
                if not case.chained:
                    cell.violations += case.redriven(again, bool(found))
        if run.pattern.ordered:
            for violation in _order(evidence, function, before, letters):
                cells[run.by_number[violation.number].fault.name].violations.append(violation)
        for letter in evidence.left.get(function, ()):
            item = run.by_number[number_of(letter)]
            cells[item.fault.name].violations.append(
                Violation(
                    "redrive", function, item.number, item.fault.name, f"is there again: {letter}"
                )
            )
    return cells


def _count(entries: Iterable[Entry], what: str) -> int:
    return sum(entry.what == what for entry in entries)


class _Case:
    """One message at one function."""

    def __init__(
        self, function: str, item: Item, fault: Fault, evidence: Evidence, chained: bool = False
    ) -> None:
        self.chained = chained
        self.function, self.item, self.fault, self.evidence = function, item, fault, evidence
        self.deliveries = evidence.deliveries.get((function, item.number), ())
        self.outcomes = Counter(delivery.outcome for delivery in self.deliveries)

    def broken(self, rule: str, text: str) -> Violation:
        return Violation(rule, self.function, self.item.number, self.fault.name, text)

    def nothing(self, entries: Sequence[Entry]) -> Iterable[Violation]:
        """Neither: what was not committed was not sent."""
        if entries:
            yield self.broken("outbox", "was sent, and never committed")

    def settled(
        self, entries: Sequence[Entry], letters: Sequence[DeadLetter]
    ) -> Iterable[Violation]:
        """None lost, none twice without a reason, dead letters as they should be: F-1, F-4, F-5."""
        fault = self.fault
        done = _count(entries, "end") or _count(entries, "drop")
        if not done and not letters:
            yield self.broken("lost", "neither done nor a dead letter")
        # A letter is written before the answer; one whose answer is lost is written again.
        unanswered = sum(self.outcomes[one] for one in ("dead", "lost", "again"))
        if len(letters) > 1 + unanswered:
            yield self.broken("letters", f"{len(letters)} dead letters: {letters}")
        if fault.letters and not letters and done:
            yield self.broken("letters", "was done, and should be a dead letter")
        for letter in letters[:1]:
            yield from self._letter(letter, bool(done))
        effects = _count(entries, "effect")
        # A delivery of which the broker never learned is repeated.
        unheard = sum(self.outcomes[one] for one in ("failed", "dead", "lost", "again"))
        if self.chained:
            # Its consumer is idempotent, and the row was committed once.
            most = 1
        elif self.evidence.run.pattern.chain:
            most = 1
        elif self.evidence.run.pattern.once:
            # Of a handler that failed or died after its effect nobody else can know.
            most = fault.effects if "after" in "".join(fault.steps) else 1
        else:
            most = max(1, fault.effects) + unheard
        if effects > most:
            yield self.broken("twice", f"{effects} side effects, at most {most} have a reason")

    def _letter(self, letter: DeadLetter, done: bool) -> Iterable[Violation]:
        fault = self.fault
        if letter.id != self.evidence.sent.get(self.item.number):
            yield self.broken("id", f"the letter's id is {letter.id!r}")
        allowed = fault.letters
        if len(self.deliveries) >= ATTEMPTS:
            # Each time with one that ended the process, or failed the batch, or its key: F-8, F-9.
            allowed |= frozenset(("attempts", "platform"))
        if letter.reason not in allowed:
            yield self.broken("letters", f"is a dead letter{', though done' * done}: {letter}")
        if "attempts" in fault.letters and letter.reason == "attempts":
            most = ATTEMPTS + self.evidence.extra
            if not ATTEMPTS <= letter.attempts <= most:
                yield self.broken("letters", f"its letter says {letter.attempts} attempts")

    def attempts(
        self, entries: Sequence[Entry], letters: Sequence[DeadLetter]
    ) -> Iterable[Violation]:
        """Attempts are counted and bounded, ids are one, delays are kept: F-1, F-2, F-7, E-2."""
        begins = [entry for entry in entries if entry.what == "begin"]
        repeats = self.outcomes["again"] + self.outcomes["lost"]
        most = ATTEMPTS + self.evidence.extra + repeats
        if len(begins) > most:
            yield self.broken("attempts", f"its handler was called {len(begins)} times")
        sent = self.evidence.sent.get(self.item.number)
        if self.chained and begins:
            # Sent once, or with the same id.
            sent = begins[0].id
        for begin in begins:
            if begin.id != sent:
                yield self.broken("id", f"the handler saw id {begin.id!r}, sent was {sent!r}")
                break
        for begin in begins:
            # A platform may forgive what was its own fault.
            if self.fault.steps and begin.attempt < begin.turn - self.outcomes["lost"]:
                text = f"attempt {begin.attempt} was the handler's call no. {begin.turn}"
                yield self.broken("count", text)
                break
        undisturbed = not (self.outcomes["dead"] or self.outcomes["lost"])
        if self.fault.delay and self.evidence.delays and undisturbed:
            for one, next_ in pairwise(begins):
                gap = next_.time - one.time
                if gap < self.fault.delay - _SLACK:
                    text = f"attempt {next_.attempt} came {gap:.2f} s after the one before"
                    yield self.broken("delay", text)
                    break

    def redriven(self, entries: Sequence[Entry], was_letter: bool) -> Iterable[Violation]:
        """What was redriven is done, as new; what was not is left alone."""
        if not was_letter:
            if _count(entries, "begin"):
                yield self.broken("redrive", "was delivered, and was no dead letter")
            return
        if not _count(entries, "end"):
            known = self.evidence.run.pattern.once and any(
                entry.what == "end" for entry in self.evidence.of((self.function, self.item.number))
            )
            if not known:
                yield self.broken("redrive", "was not done after the redrive")
            return
        begin = next(entry for entry in entries if entry.what == "begin")
        # Put off while another has it, an idempotent one is not done yet.
        once = self.evidence.run.pattern.once
        tries = sum(
            (once or delivery.outcome != "done")
            and self.evidence.redriven_time <= delivery.time <= begin.time
            for delivery in self.deliveries
        )
        if begin.attempt > 1 + tries:
            yield self.broken("redrive", f"began with attempt {begin.attempt}")
        if begin.id != self.evidence.sent.get(self.item.number):
            yield self.broken("id", f"came back with id {begin.id!r}")


def _order(
    evidence: Evidence,
    function: str,
    before: Mapping[tuple[str, int], Sequence[Entry]],
    letters: Mapping[int, Sequence[DeadLetter]],
) -> Iterable[Violation]:
    """No message begins before the earlier ones of its key are done, or dead letters: E-8, F-9."""
    last: dict[str | None, tuple[int, int]] = {}
    for item in evidence.run.items:
        entries = before.get((function, item.number), ())
        begun = next((entry.place for entry in entries if entry.what == "begin"), None)
        ended = next((entry.place for entry in entries if entry.what == "end"), None)
        earlier = last.get(item.key)
        if begun is not None and earlier is not None and begun < earlier[0]:
            yield Violation(
                "order",
                function,
                item.number,
                item.fault.name,
                f"began before {earlier[1]}, sent earlier with its key {item.key}, was done",
            )
        if ended is not None and not letters.get(item.number):
            last[item.key] = max(last.get(item.key, (0, 0)), (ended, item.number))


def told(evidence: Evidence, violation: Violation) -> str:
    """Return *violation* with the history of its message, and how to have it again."""
    key = (violation.function, violation.number)
    entries = grouped(evidence.entries).get(key, [])
    story = history(*key, entries, list(evidence.deliveries.get(key, ())))
    if evidence.run.pattern.chain and violation.function != evidence.run.pattern.functions[0]:
        first = (evidence.run.pattern.functions[0], violation.number)
        story += "\n" + history(*first, evidence.of(first), list(evidence.deliveries.get(first, ())))
    return f"{violation} (seed {evidence.run.seed})\n{story}"
