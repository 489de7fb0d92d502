"""What is kept for how long: deliveries, dead letters, what was sent, claims and effects.

Looks at the ends of indexes only, however much waits.
"""

from __future__ import annotations

from collections.abc import Iterator
from time import time
from typing import Any

from portafaas.local.boxes import RETENTION, Boxes
from portafaas.local.clock import StoreClock
from portafaas.local.deliveries import COLUMNS, item_of
from portafaas.local.driver.portafaas_local_resources import DEDUP
from portafaas.local.intake import Intake
from portafaas.local.letters import Letters
from portafaas.local.store import Store
from portafaas.plan.claims import days_of_claims

#: Seconds that dead letters are kept (SQS: 14 days).
DEAD_RETENTION = 1_209_600
#: What was sent and shared out, and what invocations did, stays to be looked at: so many of the
#: newest.
TAIL = 10_000
#: Rows that are removed by one statement.
_PART = 1000


class Retention:
    """Removes what nobody wants any more."""

    def __init__(
        self, store: Store, clock: StoreClock, boxes: Boxes, letters: Letters, intake: Intake
    ) -> None:
        self._store = store
        self._clock = clock
        self._boxes = boxes
        self._letters = letters
        self._intake = intake

    def drop(self) -> None:
        """Remove what is over; part of the caller's transaction."""
        do, now = self._store.connection, self._clock.now()
        do.execute("delete from deliveries where expires <= ? and state = 'waiting'", (now,))
        kept = self._boxes.retentions()
        for function in self._boxes.plan.functions:
            rules = self._boxes.rules.get(function.name)
            if rules is not None and rules.keeps:
                box = self._boxes.inboxes[function.name]
                old = self._old(box, now - kept.get(box, RETENTION))
                self._letters.give_up(function, True, old, now)
        for box in self._filled():
            self._drop_old(box, now - kept.get(box, RETENTION))
            do.execute(
                "delete from deliveries where box = ? and state = 'dead' and due < ?",
                (box, now - DEAD_RETENTION),
            )
        self._drop_claims()
        self._drop_messages()
        do.execute(
            "delete from effects where number <= (select max(number) from effects) - ?", (TAIL,)
        )

    def _filled(self) -> Iterator[str]:
        """Yield the boxes that have anything, also those of functions that are no more."""
        box = ""
        while True:
            (found,) = self._store.connection.execute(
                "select min(box) from deliveries where box > ?", (box,)
            ).fetchone()
            if found is None:
                return
            yield (box := found)

    def _old(self, box: str, before: float) -> list[Any]:
        """Return what waits and was sent *before*, if the first of it was."""
        part = f"select {', '.join(COLUMNS)} from deliveries where box = ? and state = 'waiting'"
        do = self._store.connection
        first = do.execute(f"{part} order by number limit 1", (box,)).fetchone()
        if first is None or item_of(first, 0.0).sent >= before:
            return []
        return do.execute(f"{part} and sent < ?", (box, before)).fetchall()

    def _drop_old(self, box: str, before: float) -> None:
        """Remove what waits and was sent *before*: numbers are in the order of that."""
        do = self._store.connection
        first = (
            "select sent from deliveries where box = ? and state = 'waiting' "
            "order by number limit 1"
        )
        while (found := do.execute(first, (box,)).fetchone()) and found[0] < before:
            done = do.execute(
                "delete from deliveries where sent < ? and number in (select number "
                "from deliveries where box = ? and state = 'waiting' order by number limit ?)",
                (before, box, _PART),
            )
            if done.rowcount < _PART:
                return

    def _drop_claims(self) -> None:
        """Remove bodies of large messages that nobody can want any more."""
        for bucket in self._boxes.plan.buckets:
            if days := days_of_claims(self._boxes.plan, bucket.name):
                self._store.connection.execute(
                    "delete from objects where name = ? and key like 'pf-claims/%' "
                    "and modified < ?",
                    (bucket.name, time() - days * 86_400),
                )

    def _drop_messages(self) -> None:
        """Remove what was shared out, but the last, which people look at.

        What says how it is known again stays for as long as that is asked.
        """
        # Never the newest: its number is how far this broker has come.
        do, cursor, old = self._store.connection, self._intake.cursor(), time() - DEDUP
        # Not for long at once: others wait for the store.
        for _ in range(20):
            first = do.execute(
                "select number, sent from messages order by number limit 1"
            ).fetchone()
            if first is None or (first[0] > cursor - TAIL and first[1] >= old):
                return
            done = do.execute(
                "delete from messages where (sent < ? or (dedup is null and number <= ?)) "
                "and number in (select number from messages where number < ? "
                "order by number limit ?)",
                (old, cursor - TAIL, cursor, _PART),
            )
            if done.rowcount < _PART:
                return
