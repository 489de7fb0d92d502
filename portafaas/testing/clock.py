"""The clock of a test: it stands still until the test moves it, and the broker that goes by it.

Only what waits goes by it: deliveries, schedules, timers of workflows, leases, and rows that
expire. Handlers have the machine's own clock, by which all of these are as old as they should be.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import time

from portafaas.adapter.delivery import DeliveryRules
from portafaas.local.broker import Broker
from portafaas.local.clock import StoreClock
from portafaas.local.store import Store
from portafaas.plan import BuildPlan, FunctionPlan

Duration = str | int | float | timedelta

_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)\s*")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}


def seconds_of(duration: Duration) -> float:
    """Return the seconds of ``"1h"``, ``"1h 30m"``, ``"250ms"``, a timedelta or a number.

    Raises ValueError for other text and for less than nothing.
    """
    if isinstance(duration, timedelta):
        found = duration.total_seconds()
    elif isinstance(duration, str):
        parts = list(_PART.finditer(duration))
        if not parts or "".join(part[0] for part in parts) != duration:
            raise ValueError(
                f"{duration!r} is no duration: write '90s', '1h 30m', '2d', a number of seconds "
                "or a timedelta"
            )
        found = sum(float(part[1]) * _UNITS[part[2]] for part in parts)
    else:
        found = float(duration)
    if found < 0:
        raise ValueError("time does not go back: the duration is negative")
    return found


def instant_of(instant: str | float | datetime) -> float:
    """Return the seconds since 1970 of RFC 3339 text, an aware datetime or such a number."""
    if isinstance(instant, str):
        instant = datetime.fromisoformat(instant)
    if isinstance(instant, datetime):
        if instant.tzinfo is None:
            raise ValueError(f"{instant.isoformat()} has no time zone: add 'Z' or an offset")
        return instant.timestamp()
    return float(instant)


class FrozenClock(StoreClock):
    """The store's clock, which stands still at ``virtual``."""

    def __init__(self, store: Store, plan: BuildPlan) -> None:
        super().__init__(store)
        self._plan = plan
        self.virtual = time()
        self.sync()

    def now(self) -> float:
        """Return its time."""
        return self.virtual

    def sync(self) -> None:
        """Tell the store, so that other processes' clients see the same time."""
        self.hold(self.virtual)

    def advance(self, seconds: float) -> None:
        """Move it; what is kept grows older by handlers' clocks."""
        self.virtual += max(0.0, seconds)
        if seconds > 0:
            with self._store.transaction() as do:
                # Ordered queues know for a time what they were sent.
                do.execute("update messages set sent = sent - ?", (seconds,))
                for table in self._plan.tables:
                    if table.ttl:
                        self._age(table.name, table.ttl, seconds)
        self.sync()

    def _age(self, table: str, ttl: str, seconds: float) -> None:
        """Have rows expire, and leases of idempotency end, sooner."""
        do = self._store.connection
        records = any(
            function.idempotency is not None and function.idempotency.table == table
            for function in self._plan.functions
        )
        rows = do.execute("select key, sort, row from items where name = ?", (table,)).fetchall()
        for key, sort, text in rows:
            row = json.loads(text)
            for name in (ttl, "until") if records else (ttl,):
                value = row.get(name)
                if isinstance(value, (int, float)) and not isinstance(value, bool):
                    aged = value - seconds
                    row[name] = round(aged) if isinstance(value, int) else aged
            do.execute(
                "update items set row = ? where name = ? and key = ? and sort = ?",
                (json.dumps(row, ensure_ascii=False), table, key, sort),
            )


class FrozenBroker(Broker):
    """The local broker, by a clock that stands still."""

    clock: FrozenClock

    def __init__(
        self, folder: Path, plan: BuildPlan, rules: Mapping[str, DeliveryRules] | None = None
    ) -> None:
        super().__init__(folder, plan, rules)
        #: Seconds, given to the next message of a box.
        self.slow: dict[str, list[float]] = {}

    def _made_clock(self) -> FrozenClock:
        return FrozenClock(self.store, self.plan)

    def advance(self, seconds: float) -> None:
        """Move the clock, and have what that makes an end of end."""
        self.clock.advance(seconds)
        self.sweep()

    def take_in(self) -> int:
        """Share out what was sent, as sent just now, whatever the machine's clock did meanwhile."""
        do, now = self.store.connection, time()
        do.execute("update messages set sent = ? where number > ?", (now, self.intake.cursor()))
        do.execute("update changes set time = ?", (now,))
        before = do.execute("select max(number) from deliveries").fetchone()[0] or 0
        count = super().take_in()
        if count and self.slow:
            self._hold(before)
        return count

    def _hold(self, before: int) -> None:
        new = self.store.connection.execute(
            "select number, box from deliveries where number > ? and state = 'waiting' "
            "and attempts = 0 and letter is null order by number",
            (before,),
        ).fetchall()
        for number, box in new:
            delays = self.slow.get(box)
            if delays:
                self.store.connection.execute(
                    "update deliveries set due = due + ? where number = ?", (delays.pop(0), number)
                )

    def fire_at(self, function: FunctionPlan, instant: str) -> None:
        """Have a schedule's function run for *instant*, also when it did already."""
        with self.store.transaction() as do:
            do.execute("delete from broker where name = ?", (f"fired/{function.name}",))
        self.fire(function, instant)

    def rows(self, query: str, values: Sequence[object] = ()) -> list[tuple[object, ...]]:
        """Return what *query* finds in the store."""
        return self.store.connection.execute(query, tuple(values)).fetchall()


class Clock:
    """The test's clock: ``app.clock``. It stands still, and begins at the time of the test.

    *until* moves it to an instant, and on the way does all that becomes due.
    """

    def __init__(self, broker: FrozenBroker, until: Callable[[float], None]) -> None:
        self._broker = broker
        self._until = until
        self._moved = False

    @property
    def now(self) -> datetime:
        """What it shows, in UTC."""
        return datetime.fromtimestamp(self._broker.clock.virtual, UTC)

    def advance(self, duration: Duration) -> None:
        """Let time pass: ``advance("1h 30m")``, a timedelta, or seconds.

        On the way, in the order of time: schedules fire, delays and retries come due and are
        delivered, timers of workflows end, leases and rows expire.
        """
        self._moved = True
        self._until(self._broker.clock.virtual + seconds_of(duration))

    def advance_to(self, instant: str | float | datetime) -> None:
        """Let time pass until *instant*: RFC 3339, an aware datetime or seconds since 1970."""
        moment = instant_of(instant)
        if moment < self._broker.clock.virtual:
            raise ValueError(
                f"time does not go back: the clock shows {self.now.isoformat()}; "
                "'freeze' sets it, before anything happens"
            )
        self.advance(moment - self._broker.clock.virtual)

    def freeze(self, instant: str | float | datetime) -> None:
        """Set the clock, forth or back, before the test has done anything with it.

        Nothing becomes due by that. Raises ValueError when something waits already.
        """
        waits = self._broker.rows("select 1 from deliveries union all select 1 from runs limit 1")
        if self._moved or waits:
            raise ValueError("freeze the clock first of all: what waits would be confused")
        self._broker.clock.virtual = instant_of(instant)
        self._broker.clock.sync()

    def __repr__(self) -> str:
        return f"<Clock {self.now.isoformat()}>"
