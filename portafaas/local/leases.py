"""Who has which deliveries: those of a function are leased to it, and settled when it is done."""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Mapping
from time import time

from portafaas.local.boxes import Boxes
from portafaas.local.clock import StoreClock
from portafaas.local.deliveries import COLUMNS, Item, Lease, Settled, item_of
from portafaas.local.letters import Letters
from portafaas.local.owners import Owner
from portafaas.local.store import Store
from portafaas.plan import FunctionPlan

_ATTEMPTS = COLUMNS.index("attempts")
#: Sets of one that nobody has leased any more, ...
_FREE = "state = 'waiting', lease = null, owner = null, until = null"
#: ... and of one of a lease: what another has by now, since it ended, is his.
_HELD = "number = ? and state = 'leased' and lease = ?"
#: Nothing earlier, of its key or at all, is leased, or waits for its next attempt.
_UNBLOCKED = {
    "none": "",
    "key": " and (d.key is null or not exists (select 1 from deliveries as e where e.box = d.box "
    "and e.key = d.key and e.number < d.number "
    "and (e.state = 'leased' or (e.state = 'waiting' and e.due > ?))))",
    "all": " and not exists (select 1 from deliveries as e where e.box = d.box "
    "and e.number < d.number "
    "and (e.state = 'leased' or (e.state = 'waiting' and e.due > ?)))",
}


class Leases:
    """The leases of *owner*, and the end of others' whose owner is gone."""

    def __init__(
        self, store: Store, clock: StoreClock, boxes: Boxes, letters: Letters, owner: Owner
    ) -> None:
        self._store = store
        self._clock = clock
        self._boxes = boxes
        self._letters = letters
        self._owner = owner

    # What there is to do

    def ready(self) -> frozenset[str]:
        """Return the functions whose inboxes have something due; each may yet have to wait."""
        found = self._store.connection.execute(
            "select key from json_each(?) where exists (select 1 from deliveries "
            "where box = json_each.value and state = 'waiting' and due <= ?)",
            (json.dumps(self._boxes.inboxes), self._clock.now()),
        )
        return frozenset(name for (name,) in found)

    def due_after(self, now: float) -> float | None:
        """Return when something is due first after *now*; None when nothing is."""
        found: float | None
        (found,) = self._store.connection.execute(
            "select min((select due from deliveries where box = json_each.value "
            "and state = 'waiting' and due > ? order by due limit 1)) from json_each(?)",
            (now, json.dumps(self._boxes.inboxes)),
        ).fetchone()
        return found

    def waiting(self, function: FunctionPlan) -> int:
        """Return how many deliveries wait for *function*, now or later, or are under way."""
        (count,) = self._store.connection.execute(
            "select count(*) from deliveries where box = ? and state != 'dead'",
            (self._boxes.inboxes[function.name],),
        ).fetchone()
        return int(count)

    # A lease

    def lease(self, function: FunctionPlan, seconds: float) -> Lease | None:
        """Return what *function* is to do next, for *seconds* at most; None when nothing is due."""
        self._owner.lock()
        box, do = self._boxes.inboxes[function.name], self._store.connection
        now = self._clock.now()
        ahead = now - time()
        due = "select 1 from deliveries where box = ? and state = 'waiting' and due <= ? limit 1"
        if do.execute(due, (box, now)).fetchone() is None:
            return None
        size, most = self._boxes.batch(function), self._boxes.concurrency(function)
        rules = self._boxes.rules.get(function.name)
        with self._store.transaction():
            if most:
                busy = "select count(distinct lease) from deliveries where box = ? and state = ?"
                if do.execute(busy, (box, "leased")).fetchone()[0] >= most:
                    return None
            unblocked = _UNBLOCKED[self._boxes.order(function)]
            # In the order of an index, so that it ends with the first few.
            by, index = "due, number", "deliveries_due"
            if unblocked or (rules is not None and not rules.requeues):
                by, index = "number", "deliveries_order"
            while True:
                rows = do.execute(
                    f"select {', '.join(COLUMNS)}, alone from deliveries as d indexed by {index} "
                    f"where box = ? and state = 'waiting' and due <= ?{unblocked} "
                    f"order by {by} limit ?",
                    (box, now, *((now,) if unblocked else ()), size),
                ).fetchall()
                receives = 0 if rules is None else rules.receives
                over = [row for row in rows if 0 < receives <= row[_ATTEMPTS]]
                if rules is None or not over:
                    break
                self._letters.give_up(function, rules.buries, over, now)
            # What was in a batch that crashed comes alone, so that only the culprit comes again.
            cut = next((n for n, row in enumerate(rows) if row[-1]), None)
            rows = rows[:1] if cut == 0 else rows[:cut]
            if not rows:
                return None
            lease = uuid.uuid4().hex
            do.executemany(
                "update deliveries set state = 'leased', lease = ?, owner = ?, until = ?, "
                "attempts = attempts + 1 where number = ?",
                [(lease, self._owner.id, time() + seconds, row[0]) for row in rows],
            )
        return Lease(lease, function.name, tuple(item_of(row, ahead, 1) for row in rows))

    def settle(self, lease: Lease, settled: Settled) -> None:
        """Record what became of a lease. What another has by now, since it ended, is his."""
        # What is done needs no time.
        now = self._clock.now() if settled.again or settled.dead or settled.untried else 0.0
        with self._store.transaction() as do:
            for item in lease.items:
                mine = (item.number, lease.id)
                if item.number in settled.dead:
                    self._letters.bury(item, settled.dead[item.number], now, _HELD, mine)
                elif item.number in settled.copies:
                    own = settled.copies[item.number]
                    _copy(do, item, own, mine, now + settled.again[item.number])
                elif item.number in settled.again:
                    count = ", attempts = 0" if settled.anew else ""
                    do.execute(
                        f"update deliveries set {_FREE}, due = ?, alone = ?{count} where {_HELD}",
                        (now + settled.again[item.number], settled.alone, *mine),
                    )
                elif item.number in settled.untried:
                    do.execute(
                        f"update deliveries set {_FREE}, due = ?, attempts = attempts - 1 "
                        f"where {_HELD}",
                        (now, *mine),
                    )
                else:
                    do.execute(f"delete from deliveries where {_HELD}", mine)

    # Its end

    def give_back(self) -> None:
        """Have what is leased here wait again, as if it had not been tried."""
        if self._owner.locked:
            self._forget(self._owner.id)

    def take_back(self) -> None:
        """Have what those had wait again who are gone, as if it had not been tried."""
        # "lease is not null": its index has what is under way, and nothing of what waits.
        owners = self._store.connection.execute(
            "select distinct owner from deliveries where lease is not null"
        )
        for (owner,) in owners.fetchall():
            if owner != self._owner.id and not self._owner.alive(owner):
                # It was not the function's fault.
                self._forget(owner)
                self._owner.gone(owner)

    def _forget(self, owner: str) -> None:
        with self._store.transaction() as do:
            do.execute(
                f"update deliveries set {_FREE}, attempts = attempts - 1 "
                "where lease is not null and state = 'leased' and owner = ?",
                (owner,),
            )

    def expire(self) -> None:
        """Have what was leased for too long wait again; part of the caller's transaction."""
        self._store.connection.execute(
            f"update deliveries set {_FREE}, due = ?, alone = 1 "
            "where lease is not null and state = 'leased' and until < ?",
            (self._clock.now(), time()),
        )


def _copy(
    do: sqlite3.Connection,
    item: Item,
    own: Mapping[str, str],
    mine: tuple[int, str],
    due: float,
) -> None:
    """Put a copy of it behind what waits, with attributes of its *own*, and remove it."""
    done = do.execute(
        "insert into deliveries (box, state, kind, id, key, body, content_type, attributes, "
        "due, sent, expires) select box, 'waiting', kind, id, key, body, content_type, ?, ?, "
        f"sent, expires from deliveries where {_HELD}",
        (json.dumps({**item.attributes, **own}), due, *mine),
    )
    if done.rowcount:
        do.execute("delete from deliveries where number = ?", mine[:1])
