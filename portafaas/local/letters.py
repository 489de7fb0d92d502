"""The dead letters of a store: deliveries that were given up, by functions or by the platform."""

from __future__ import annotations

import json
from collections.abc import Sequence
from time import time
from typing import Any

from portafaas.local.boxes import Boxes
from portafaas.local.clock import StoreClock
from portafaas.local.deliveries import COLUMNS, Item, item_of
from portafaas.local.store import Store, claimed
from portafaas.plan import FunctionPlan
from portafaas.record import dataclass
from portafaas.runtime.control import CLAIM

#: The attributes without what says that it is a copy: a letter that is redriven is as new.
_UNCOUNTED = """json_remove(attributes, '$."pf-attempt"', '$."pf-sent"', '$."pf-to"')"""
#: What is a letter, and no function is at (of a queue that has a function for letters).
_LETTER = "letter is not null and state != 'leased'"


@dataclass(frozen=True, slots=True)
class Ended:
    """What the platform itself has made an end of; ``letter`` is "" when it is lost."""

    function: str
    letter: str
    item: Item


class Letters:
    """Buries deliveries, and has people look at what was, send it again, or remove it."""

    def __init__(self, store: Store, clock: StoreClock, boxes: Boxes) -> None:
        self._store = store
        self._clock = clock
        self._boxes = boxes
        self._ended: list[Ended] = []

    def bury(
        self,
        item: Item,
        letter: str,
        now: float,
        which: str = "number = ?",
        values: tuple[object, ...] = (),
    ) -> None:
        """Make it a dead letter, or a message of the queue that its queue names for them.

        If *which*, a condition with *values*, is still so; part of the caller's transaction.
        """
        do, other = self._store.connection, self._boxes.elsewhere(item.box)
        if other is None:
            state, box, own = "dead", item.box, "sent, expires, attempts"
        else:
            state, box, own = "waiting", f"queue/{other}", f"{now!r}, null, 0"
        done = do.execute(
            "insert into deliveries (box, state, kind, id, key, body, content_type, attributes, "
            "due, letter, origin, sent, expires, attempts) select ?, ?, kind, id, key, body, "
            f"content_type, {_UNCOUNTED}, ?, ?, box, {own} from deliveries where {which}",
            (box, state, now, letter, *(values or (item.number,))),
        )
        if done.rowcount:
            do.execute("delete from deliveries where number = ?", (item.number,))

    def give_up(
        self, function: FunctionPlan, buries: bool, rows: Sequence[Sequence[Any]], now: float
    ) -> None:
        """Make an end of what the platform makes an end of; part of the caller's transaction.

        *rows* begin with the columns of ``portafaas.local.deliveries``.
        """
        ahead = self._clock.ahead()
        for row in rows:
            item, letter = item_of(row, ahead), ""
            if buries:
                letter = _platform_letter(function, item)
                self.bury(item, letter, now)
            else:
                self._store.connection.execute(
                    "delete from deliveries where number = ?", (item.number,)
                )
            self._ended.append(Ended(function.name, letter, item))

    def ended(self) -> list[Ended]:
        """Return what the platform has made an end of since this was last asked."""
        found, self._ended = self._ended, []
        return found

    def count(self, origin: str) -> int:
        """Return how many letters of a box there are."""
        (count,) = self._store.connection.execute(
            f"select count(*) from deliveries where origin = ? and {_LETTER}", (origin,)
        ).fetchone()
        return int(count)

    def list(self, origin: str, limit: int = -1, *, bodies: bool = True) -> list[Item]:
        """Return letters of a box, the oldest first; -1: all. Without *bodies* those are empty."""
        columns = ", ".join(COLUMNS)
        if not bodies:
            columns = columns.replace("body", "x''")
        rows = self._store.connection.execute(
            f"select {columns} from deliveries where origin = ? and {_LETTER} "
            "order by number limit ?",
            (origin, limit),
        ).fetchall()
        ahead = self._clock.ahead()
        return [item_of(row, ahead) for row in rows]

    def body(self, item: Item) -> bytes:
        """Return a letter's body, also one that was too large to be sent; empty when it is gone."""
        place = item.attributes.get(CLAIM)
        return item.body if place is None else claimed(self._store.connection, place)

    def redrive(self, items: Sequence[Item]) -> int:
        """Put letters back where they came from, behind what waits there; return how many."""
        now, count = self._clock.now(), 0
        with self._store.transaction() as do:
            for item in items:
                done = do.execute(
                    # What has expired meanwhile is wanted by who redrives it.
                    "insert into deliveries (box, state, kind, id, key, body, content_type, "
                    "attributes, sent, due) select origin, 'waiting', kind, id, key, "
                    "body, content_type, attributes, ?, ? from deliveries "
                    f"where number = ? and {_LETTER}",
                    (now, now, item.number),
                )
                if done.rowcount:
                    do.execute("delete from deliveries where number = ?", (item.number,))
                    count += 1
        return count

    def purge(self, items: Sequence[Item]) -> int:
        """Remove letters; return how many."""
        with self._store.transaction() as do:
            return sum(
                do.execute(
                    f"delete from deliveries where number = ? and {_LETTER}", (item.number,)
                ).rowcount
                for item in items
            )


def _platform_letter(function: FunctionPlan, item: Item) -> str:
    """Return the letter of what nobody but the platform has given up."""
    from portafaas.runtime.text import epoch_time

    facts = {
        "reason": "platform", "error": "", "attempts": item.deliveries, "function": function.name,
        "id": item.id, "time": epoch_time(time()), "trace": "", "correlation": "",
    }  # fmt: skip
    return json.dumps(facts, separators=(",", ":"))
