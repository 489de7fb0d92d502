"""The broker on this machine: what was sent and changed waits here until a function has done it.

It lives in the store of ``portafaas.local.resources``. Senders know nothing of who listens: they
append to ``messages`` (and the store's triggers to ``changes``). :meth:`Broker.take_in` shares that
out to *boxes*, the inboxes of a queue (``queue/<name>``) or of a function with another trigger
(``function/<name>``). A delivery is a row of ``deliveries``, in one of three states:

======= ========================================================================================
waiting until it is due, and nothing before it holds its key
leased  by a dispatcher, for as long as that lives and at most until the lease ends
dead    a dead letter
======= ========================================================================================

Every step is one transaction: killed at any time, it has happened or not. Times in ``deliveries``
are those of the store's own clock, which :meth:`Broker.advance` sets forward; handlers see what is
as old by their clock.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any, Self

from portafaas.adapter.delivery import addresses, has_dead_letters, order_of
from portafaas.errors import DeploymentError, Diagnostic
from portafaas.local.driver.portafaas_local_resources import DEDUP, back, database
from portafaas.local.driver.portafaas_local_resources import now as clock
from portafaas.local.intake import Subscription, change_of, subscriptions
from portafaas.plan import BuildPlan, FunctionPlan, QueueTrigger, TopicTrigger
from portafaas.plan.claims import days_of_claims
from portafaas.record import dataclass, field
from portafaas.runtime.control import carried

if TYPE_CHECKING:
    from portafaas.adapter.delivery import DeliveryRules
    from portafaas.adapter.stimulus import MessageStimulus, Stimulus

#: Seconds that topics, buckets, tables and schedules keep what is not done (SNS, SQS: 4 days).
RETENTION = 345_600
#: Seconds that dead letters are kept (SQS: 14 days).
DEAD_RETENTION = 1_209_600
#: What was sent and shared out, and what invocations did, stays to be looked at: so many of the
#: newest.
TAIL = 10_000
#: Seconds for which what another broker has made may not be locked yet.
_YOUNG = 3600.0
#: Rows that are taken in in one transaction.
_PART = 1000

_SCHEMA = """
create table if not exists deliveries (
    number integer primary key autoincrement, box text not null, state text not null,
    kind text not null, id text not null, key text, body blob not null, content_type text,
    attributes text not null, sent real not null, due real not null, expires real,
    attempts integer not null default 0, alone integer not null default 0,
    lease text, owner text, until real, letter text, origin text
);
create index if not exists deliveries_due on deliveries (box, state, due);
create index if not exists deliveries_order on deliveries (box, state, number);
create index if not exists deliveries_key on deliveries (box, key, number) where key is not null;
create index if not exists deliveries_lease on deliveries (lease) where lease is not null;
create index if not exists deliveries_expires on deliveries (expires) where expires is not null;
"""

_COLUMNS = (
    "number", "box", "kind", "id", "key", "body", "content_type", "attributes", "sent", "expires",
    "attempts", "letter", "origin",
)  # fmt: skip


_ATTEMPTS = _COLUMNS.index("attempts")


@contextmanager
def explained(
    folder: Path, kinds: tuple[type[Exception], ...] = (sqlite3.Error,)
) -> Iterator[None]:
    """Raise PF8018 instead of what says that the store in *folder* cannot be read or written."""
    try:
        yield
    except kinds as exc:
        raise DeploymentError(
            "the store on this machine cannot be used:",
            [
                Diagnostic(
                    "PF8018",
                    f"{folder / 'resources.db'}: {exc}",
                    hint="mend it, or remove the folder: it holds what functions have sent and "
                    "written here, and nothing else",
                )
            ],
        ) from exc


@dataclass(frozen=True, slots=True)
class Item:
    """One delivery; times are seconds since 1970 by this machine's clock."""

    number: int
    box: str
    #: Of the stimulus: ``queue``, ``topic``, ``object``, ``table``, ``schedule``.
    kind: str
    #: The handler's.
    id: str
    key: str | None
    #: Of a message; else the neutral event as JSON.
    body: bytes
    content_type: str | None
    #: As sent, portafaas' own among them.
    attributes: Mapping[str, str]
    sent: float
    expires: float | None
    #: Deliveries so far, this one included.
    attempts: int
    #: Of a dead letter, ``Letter.text()``, and the box that it was given up in.
    letter: str | None
    origin: str | None

    @property
    def deliveries(self) -> int:
        """How often it was delivered, those of what it is a copy of included."""
        return self.attempts + carried(self.attributes)


@dataclass(frozen=True, slots=True)
class Lease:
    """Deliveries that one invocation of a function has for itself."""

    id: str
    function: str
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a lease's items; those it does not name are done.

    ``again``: number -> seconds. ``dead``: number -> letter. ``untried``: numbers of items that
    were held back; it was no attempt. ``alone``: what comes again comes one by one.

    Of other platforms: ``copies`` are portafaas' own attributes of what comes again as a copy,
    behind what waits. ``lost``: numbers of items that are gone. ``anew``: the count of deliveries
    begins anew.
    """

    again: Mapping[int, float] = field(default_factory=dict)
    dead: Mapping[int, str] = field(default_factory=dict)
    untried: Sequence[int] = ()
    alone: bool = False
    copies: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    lost: Sequence[int] = ()
    anew: bool = False


class Broker:
    """The deliveries of one service and stage; a context manager. Not for several threads.

    *folder* is that of ``portafaas.local.resources.store``. Leases are its own: they end with the
    process that took them, and with all that inherited :meth:`lock`. *rules* are those of another
    platform, by function.
    """

    def __init__(
        self, folder: Path, plan: BuildPlan, rules: Mapping[str, DeliveryRules] | None = None
    ) -> None:
        self._folder = folder
        self._plan = plan
        self._rules = dict(rules or {})
        #: What the platform has made an end of since somebody took it from here: function, letter
        #: ("": it is lost), what it was.
        self.ended: list[tuple[str, str, Item]] = []
        with explained(folder, (sqlite3.Error, OSError)):
            self._connection = database(str(folder))
            self._connection.execute("pragma busy_timeout = 30000")
            self._connection.executescript(_SCHEMA)
        self._subscriptions: Sequence[Subscription] = subscriptions(plan)
        self._boxes = {function.name: inbox(function) for function in plan.functions}
        self.owner = uuid.uuid4().hex
        self._lock: int | None = None
        self._keeping: int | None = None

    def close(self) -> None:
        """Close the store; what is leased waits again, as if it had not been tried."""
        if self._lock is not None:
            self._forget("owner = ?", self.owner)
            self._owner_file(self.owner).unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None
        if self._keeping is not None:
            os.close(self._keeping)
            self._keeping = None
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Time

    def _offset(self) -> float:
        return self.now() - time()

    def now(self) -> float:
        """Return the time by the store's clock."""
        return clock(self._connection)

    def hold(self, at: float | None = None, *, anew: bool = False) -> None:
        """Have the store's clock stand still, at *at* (default: now), until it is set forward.

        *anew*: schedules fire again at instants that come again.
        """
        with self._transaction() as do:
            value = self.now() if at is None else at
            if anew:
                do.execute("delete from broker where name like 'fired/%' and value > ?", (value,))
            do.execute("insert or replace into broker (name, value) values ('held', ?)", (value,))

    def keep_held(self) -> None:
        """Have nobody but this broker :meth:`release` the clock, for as long as this process lives.

        Or others that keep it, too.
        """
        if self._keeping is None:
            self._keeping = self._keeper()
            fcntl.flock(self._keeping, fcntl.LOCK_SH)

    def _keeper(self) -> int:
        with explained(self._folder, (OSError,)):
            file = self._folder / "virtual.lock"
            return os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def held(self) -> bool:
        """Tell whether the store's clock stands still."""
        found = self._connection.execute("select 1 from broker where name = 'held'").fetchone()
        return found is not None

    def release(self) -> None:
        """Have the store's clock go on, from where it is, or from this machine's time if later.

        Not while somebody wants it to stand still (:meth:`keep_held`).
        """
        keeper = self._keeper()
        try:
            fcntl.flock(keeper, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return
        finally:
            os.close(keeper)
        with self._transaction() as do:
            ahead = max(0.0, self._offset())
            if do.execute("delete from broker where name = 'held'").rowcount:
                do.execute(
                    "insert or replace into broker (name, value) values ('clock', ?)", (ahead,)
                )
                # Schedules go by this machine's time again, whose instants are yet to come.
                do.execute("delete from broker where name like 'fired/%' and value > ?", (time(),))

    def advance(self, seconds: float) -> None:
        """Set the store's clock forward: what waits is older, and sooner due."""
        if self.held():
            self.hold(self.now() + max(0.0, seconds))
            return
        with self._transaction() as do:
            do.execute(
                "insert into broker (name, value) values ('clock', ?) "
                "on conflict (name) do update set value = value + excluded.value",
                (max(0.0, seconds),),
            )

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._connection.execute("begin immediate")
        try:
            yield self._connection
            self._connection.execute("commit")
        except BaseException:
            back(self._connection)
            raise

    def limit(self) -> None:
        """Have senders to this store keep to what the platform takes, or to nothing without one."""
        limits: dict[str, tuple[int, bool]] = {}
        for function in self._plan.functions:
            rules, trigger = self._rules.get(function.name), function.trigger
            if rules is None or not rules.message:
                continue
            name = f"topic/{trigger.topic}" if isinstance(trigger, TopicTrigger) else ""
            if isinstance(trigger, QueueTrigger):
                name = f"queue/{trigger.queue}"
            if name:
                limits[name] = min((rules.message, rules.text), limits.get(name, (1 << 62, False)))
        rows = [
            (f"{'text' if text else 'limit'}/{name}", most)
            for name, (most, text) in limits.items()
        ]
        with self._transaction() as do:
            do.execute("delete from broker where name like 'limit/%' or name like 'text/%'")
            do.executemany("insert into broker (name, value) values (?, ?)", rows)

    # In

    def take_in(self) -> int:
        """Share out what was sent and changed; return how many deliveries that makes."""
        do = self._connection
        count = 0
        while True:
            found = do.execute(
                "select 1 from messages where number > coalesce((select value from broker "
                "where name = 'taken'), 0) union all select 1 from changes limit 1"
            ).fetchone()
            if found is None:
                return count
            with self._transaction():
                count += self._take_messages() + self._take_changes()

    def _cursor(self) -> int:
        row = self._connection.execute("select value from broker where name = 'taken'").fetchone()
        return int(row[0]) if row else 0

    def _take_messages(self) -> int:
        do, offset, count = self._connection, self._offset(), 0
        last = self._cursor()
        found = do.execute(
            "select number, kind, name, id, body, content_type, attributes, key, delay, sent "
            "from messages where number > ? order by number limit ?",
            (last, _PART),
        ).fetchall()
        queues = {queue.name: queue for queue in self._plan.queues}
        for number, kind, name, id_, body, content_type, text, key, delay, sent in found:
            last = number
            attributes: dict[str, str] = json.loads(text)
            sent += offset
            ends = attributes.get("pf-expires")
            expires = float(ends) + offset if ends else None
            if kind == "queue":
                queue = queues.get(name)
                boxes = [f"queue/{name}"] if queue else []
                delay = delay or (queue.delay if queue else 0)
            else:
                boxes = [
                    f"function/{each.function}"
                    for each in self._subscriptions
                    if each.wants_message(name, id_, bytes(body), content_type, attributes, key)
                ]
            for box in boxes:
                self._insert(
                    box, kind, id_, key, body, content_type, text, sent, sent + delay, expires
                )
                count += 1
        if found:
            do.execute("insert or replace into broker (name, value) values ('taken', ?)", (last,))
        return count

    def _take_changes(self) -> int:
        do, offset, count = self._connection, self._offset(), 0
        found = do.execute(
            "select number, kind, name, verb, key, old, new, size, time from changes "
            "order by number limit ?",
            (_PART,),
        ).fetchall()
        for number, *facts in found:
            sent = facts[-1] + offset
            for each in self._subscriptions:
                change = change_of(each, number, *facts)
                if change is not None:
                    id_, key, body = change
                    kind, box = each.kind, f"function/{each.function}"
                    self._insert(box, kind, id_, key, body, None, "{}", sent, sent, None)
                    count += 1
        if found:
            do.execute("delete from changes where number <= ?", (found[-1][0],))
        return count

    def _insert(
        self,
        box: str,
        kind: str,
        id_: str,
        key: str | None,
        body: bytes,
        content_type: str | None,
        attributes: str,
        sent: float,
        due: float,
        expires: float | None,
    ) -> None:
        self._connection.execute(
            "insert into deliveries (box, state, kind, id, key, body, content_type, attributes, "
            "sent, due, expires) values (?, 'waiting', ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (box, kind, id_, key, body, content_type, attributes, sent, due, expires),
        )

    def fire(self, function: FunctionPlan, instant: str) -> bool:
        """Have a schedule's function run for *instant* (RFC 3339); False when it was said before.

        Instants of one function are to come in order.
        """
        from portafaas.adapter.neutral import stimulus_to_json
        from portafaas.adapter.stimulus import ScheduleStimulus
        from portafaas.runtime.text import utc_time

        at = utc_time(instant) or instant
        with self._transaction() as do:
            name = f"fired/{function.name}"
            moment = _seconds(at)
            last = do.execute("select value from broker where name = ?", (name,)).fetchone()
            if last and last[0] >= moment:
                return False
            do.execute("insert or replace into broker (name, value) values (?, ?)", (name, moment))
            body = json.dumps(stimulus_to_json(ScheduleStimulus(at))).encode()
            now = self.now()
            box, id_ = self._boxes[function.name], f"{function.name}@{at}"
            self._insert(box, "schedule", id_, None, body, None, "{}", now, now, None)
        return True

    def hand(self, function: FunctionPlan, stimulus: Stimulus) -> list[str]:
        """Put what the platform would deliver into the box of *function*; return the ids.

        Of a queue and a topic nobody else gets it. Objects and rows need not be there.
        """
        from portafaas.adapter.neutral import stimulus_to_json
        from portafaas.adapter.stimulus import QueueStimulus, TopicStimulus

        messages: tuple[MessageStimulus, ...] = ()
        if isinstance(stimulus, QueueStimulus):
            messages = stimulus.messages
        elif isinstance(stimulus, TopicStimulus):
            messages = (stimulus.message,)
        box = self._boxes[function.name]
        ids = []
        with self._transaction():
            now = self.now()
            for message in messages:
                self._insert(
                    box, function.kind, message.id, message.key, message.body,
                    message.content_type, json.dumps(dict(message.attributes)), now, now, None,
                )  # fmt: skip
                ids.append(message.id)
            if not messages:
                body = json.dumps(stimulus_to_json(stimulus)).encode()
                ids = [f"{function.name}@{uuid.uuid4().hex[:12]}"]
                self._insert(
                    box, function.kind, ids[0], None, body, None, "{}", now, now, None
                )
        return ids

    # Out

    def lock(self) -> int:
        """Return the file descriptor whose lock keeps this broker's leases alive.

        Processes that work on them inherit it: else one that outlives this process might still be
        at a message when another gets it.
        """
        if self._lock is None:
            file = self._owner_file(self.owner)
            with explained(self._folder, (OSError,)):
                file.parent.mkdir(parents=True, exist_ok=True)
                self._lock = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                fcntl.flock(self._lock, fcntl.LOCK_EX)
                self._forget_the_killed(file.parent)
        return self._lock

    def _forget_the_killed(self, folder: Path) -> None:
        """Remove the files of brokers that were killed; not one that is locked the next moment."""
        before = time() - _YOUNG
        for file in list(folder.iterdir()):
            with suppress(FileNotFoundError):
                if file.stat().st_mtime < before and not self.alive(file.name):
                    file.unlink()

    def gone(self, owner: str) -> None:
        """Remove what a broker leaves that is not :meth:`alive`."""
        self._owner_file(owner).unlink(missing_ok=True)

    def _owner_file(self, owner: str) -> Path:
        return self._folder / "dispatchers" / owner

    def ready(self) -> frozenset[str]:
        """Return the functions whose inboxes have something due; each may yet have to wait."""
        found = self._connection.execute(
            "select key from json_each(?) where exists (select 1 from deliveries "
            "where box = json_each.value and state = 'waiting' and due <= ?)",
            (json.dumps(self._boxes), self.now()),
        )
        return frozenset(name for (name,) in found)

    def lease(self, function: FunctionPlan, seconds: float) -> Lease | None:
        """Return what *function* is to do next, for *seconds* at most; None when nothing is due."""
        self.lock()
        box, do = self._boxes[function.name], self._connection
        now = self.now()
        offset = now - time()
        due = "select 1 from deliveries where box = ? and state = 'waiting' and due <= ? limit 1"
        if do.execute(due, (box, now)).fetchone() is None:
            return None
        trigger, rules = function.trigger, self._rules.get(function.name)
        size, most = 1, 0
        if isinstance(trigger, QueueTrigger):
            size, most = trigger.batch, self._plan.queue(trigger.queue).max_concurrency
        if rules is not None and rules.batch:
            size = min(size, rules.batch)
        with self._transaction():
            if most:
                busy = "select count(distinct lease) from deliveries where box = ? and state = ?"
                if do.execute(busy, (box, "leased")).fetchone()[0] >= most:
                    return None
            unblocked = _UNBLOCKED[self._order(function)]
            # In the order of an index, so that it ends with the first few.
            by, index = "due, number", "deliveries_due"
            if unblocked or (rules is not None and not rules.requeues):
                by, index = "number", "deliveries_order"
            while True:
                rows = do.execute(
                    f"select {', '.join(_COLUMNS)}, alone from deliveries as d indexed by {index} "
                    f"where box = ? and state = 'waiting' and due <= ?{unblocked} "
                    f"order by {by} limit ?",
                    (box, now, *((now,) if unblocked else ()), size),
                ).fetchall()
                most = 0 if rules is None else rules.receives
                over = [row for row in rows if 0 < most <= row[_ATTEMPTS]]
                if rules is None or not over:
                    break
                self._give_up(function, rules.buries, over, now)
            # What was in a batch that crashed comes alone, so that only the culprit comes again.
            cut = next((n for n, row in enumerate(rows) if row[-1]), None)
            rows = rows[:1] if cut == 0 else rows[:cut]
            if not rows:
                return None
            lease = uuid.uuid4().hex
            do.executemany(
                "update deliveries set state = 'leased', lease = ?, owner = ?, until = ?, "
                "attempts = attempts + 1 where number = ?",
                [(lease, self.owner, time() + seconds, row[0]) for row in rows],
            )
        return Lease(lease, function.name, tuple(_item(row, offset, 1) for row in rows))

    def _order(self, function: FunctionPlan) -> str:
        rules = self._rules.get(function.name)
        return order_of(self._plan, function) if rules is None else rules.order

    def _give_up(
        self, function: FunctionPlan, buries: bool, rows: Sequence[Sequence[Any]], now: float
    ) -> None:
        """Make an end of what the platform makes an end of, and keep it in ``ended``."""
        do, offset = self._connection, self._offset()
        for row in rows:
            item, text = _item(row[: len(_COLUMNS)], offset), ""
            if buries:
                text = _platform_letter(function, item)
                self._bury(do, item, text, "number = ?", (item.number,), now)
            else:
                do.execute("delete from deliveries where number = ?", (item.number,))
            self.ended.append((function.name, text, item))

    def settle(self, lease: Lease, settled: Settled) -> None:
        """Record what became of a lease. What another has by now, since it ended, is his."""
        # What is done needs no time.
        now = self.now() if settled.again or settled.dead or settled.untried else 0.0
        held = "number = ? and state = 'leased' and lease = ?"
        free = "state = 'waiting', lease = null, owner = null, until = null"
        with self._transaction() as do:
            for item in lease.items:
                mine = (item.number, lease.id)
                if item.number in settled.dead:
                    self._bury(do, item, settled.dead[item.number], held, mine, now)
                elif item.number in settled.copies:
                    own = settled.copies[item.number]
                    self._copy(do, item, own, held, mine, now + settled.again[item.number])
                elif item.number in settled.again:
                    count = ", attempts = 0" if settled.anew else ""
                    do.execute(
                        f"update deliveries set {free}, due = ?, alone = ?{count} where {held}",
                        (now + settled.again[item.number], settled.alone, *mine),
                    )
                elif item.number in settled.untried:
                    do.execute(
                        f"update deliveries set {free}, due = ?, attempts = attempts - 1 "
                        f"where {held}",
                        (now, *mine),
                    )
                else:
                    do.execute(f"delete from deliveries where {held}", mine)

    def _copy(
        self,
        do: sqlite3.Connection,
        item: Item,
        own: Mapping[str, str],
        held: str,
        mine: tuple[int, str],
        due: float,
    ) -> None:
        """Put a copy of it behind what waits, with attributes of its *own*, and remove it."""
        done = do.execute(
            "insert into deliveries (box, state, kind, id, key, body, content_type, attributes, "
            "due, sent, expires) select box, 'waiting', kind, id, key, body, content_type, ?, ?, "
            f"sent, expires from deliveries where {held}",
            (json.dumps({**item.attributes, **own}), due, *mine),
        )
        if done.rowcount:
            do.execute("delete from deliveries where number = ?", mine[:1])

    def _bury(
        self,
        do: sqlite3.Connection,
        item: Item,
        letter: str,
        held: str,
        mine: tuple[int] | tuple[int, str],
        now: float,
    ) -> None:
        """Make it a dead letter, or a message of the queue that its queue names for them."""
        other = _elsewhere(self._plan, item.box)
        if other is None:
            state, box, own = "dead", item.box, "sent, expires, attempts"
        else:
            state, box, own = "waiting", f"queue/{other}", f"{now!r}, null, 0"
        done = do.execute(
            "insert into deliveries (box, state, kind, id, key, body, content_type, attributes, "
            "due, letter, origin, sent, expires, attempts) select ?, ?, kind, id, key, body, "
            f"content_type, {_UNCOUNTED}, ?, ?, box, {own} from deliveries where {held}",
            (box, state, now, letter, *mine),
        )
        if done.rowcount:
            do.execute("delete from deliveries where number = ?", mine[:1])

    # Upkeep

    def sweep(self) -> None:
        """Take back leases that ended or whose dispatcher is gone; drop what nobody wants."""
        do = self._connection
        # "lease is not null": its index has what is under way, and nothing of what waits.
        owners = do.execute("select distinct owner from deliveries where lease is not null")
        for (owner,) in owners.fetchall():
            if owner != self.owner and not self.alive(owner):
                # It was not the function's fault.
                self._forget("owner = ?", owner)
                self.gone(owner)
        with self._transaction():
            do.execute(
                "update deliveries set state = 'waiting', lease = null, owner = null, "
                "until = null, due = ?, alone = 1 "
                "where lease is not null and state = 'leased' and until < ?",
                (self.now(), time()),
            )
            self._drop()

    def _drop(self) -> None:
        """Remove what is over. Looks at the ends of indexes only, however much waits."""
        do, now = self._connection, self.now()
        do.execute("delete from deliveries where expires <= ? and state = 'waiting'", (now,))
        kept = {f"queue/{queue.name}": queue.retention for queue in self._plan.queues}
        for name, rules in self._rules.items():
            if rules.retention:
                kept[self._boxes[name]] = rules.retention
        for function in self._plan.functions:
            own = self._rules.get(function.name)
            if own is not None and own.keeps:
                box = self._boxes[function.name]
                self._give_up(function, True, self._old(box, now - kept.get(box, RETENTION)), now)
        for box in self._filled():
            self._drop_old(box, now - kept.get(box, RETENTION))
            do.execute(
                "delete from deliveries where box = ? and state = 'dead' and due < ?",
                (box, now - DEAD_RETENTION),
            )
        for bucket in self._plan.buckets:
            if days := days_of_claims(self._plan, bucket.name):
                do.execute(
                    "delete from objects where name = ? and key like 'pf-claims/%' "
                    "and modified < ?",
                    (bucket.name, time() - days * 86_400),
                )
        self._drop_messages()
        do.execute(
            "delete from effects where number <= (select max(number) from effects) - ?", (TAIL,)
        )

    def _filled(self) -> Iterator[str]:
        """Yield the boxes that have anything, also those of functions that are no more."""
        box = ""
        while True:
            (found,) = self._connection.execute(
                "select min(box) from deliveries where box > ?", (box,)
            ).fetchone()
            if found is None:
                return
            yield (box := found)

    def _old(self, box: str, before: float) -> list[Any]:
        """Return what waits and was sent *before*, if the first of it was."""
        part = f"select {', '.join(_COLUMNS)} from deliveries where box = ? and state = 'waiting'"
        first = self._connection.execute(f"{part} order by number limit 1", (box,)).fetchone()
        if first is None or _item(first, 0.0).sent >= before:
            return []
        return self._connection.execute(f"{part} and sent < ?", (box, before)).fetchall()

    def _drop_old(self, box: str, before: float) -> None:
        """Remove what waits and was sent *before*: numbers are in the order of that."""
        first = (
            "select sent from deliveries where box = ? and state = 'waiting' "
            "order by number limit 1"
        )
        while (found := self._connection.execute(first, (box,)).fetchone()) and found[0] < before:
            done = self._connection.execute(
                "delete from deliveries where sent < ? and number in (select number "
                "from deliveries where box = ? and state = 'waiting' order by number limit ?)",
                (before, box, _PART),
            )
            if done.rowcount < _PART:
                return

    def _drop_messages(self) -> None:
        """Remove what was shared out, but the last, which people look at.

        What says how it is known again stays for as long as that is asked.
        """
        # Never the newest: its number is how far this broker has come.
        cursor, old = self._cursor(), time() - DEDUP
        # Not for long at once: others wait for the store.
        for _ in range(20):
            first = self._connection.execute(
                "select number, sent from messages order by number limit 1"
            ).fetchone()
            if first is None or (first[0] > cursor - TAIL and first[1] >= old):
                return
            done = self._connection.execute(
                "delete from messages where (sent < ? or (dedup is null and number <= ?)) "
                "and number in (select number from messages where number < ? "
                "order by number limit ?)",
                (old, cursor - TAIL, cursor, _PART),
            )
            if done.rowcount < _PART:
                return

    def alive(self, owner: str) -> bool:
        """Tell whether another broker is there, or processes that work for it."""
        try:
            descriptor = os.open(self._owner_file(owner), os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(descriptor)
        return False

    def _forget(self, which: str, *values: object) -> None:
        with self._transaction() as do:
            do.execute(
                "update deliveries set state = 'waiting', lease = null, owner = null, "
                "until = null, attempts = attempts - 1 "
                f"where lease is not null and state = 'leased' and {which}",
                values,
            )

    def next_due(self) -> float | None:
        """Return in how many seconds something is due that is not yet; None when nothing is."""
        now = self.now()
        (found,) = self._connection.execute(
            "select min((select due from deliveries where box = json_each.value "
            "and state = 'waiting' and due > ? order by due limit 1)) from json_each(?)",
            (now, json.dumps(self._boxes)),
        ).fetchone()
        return None if found is None else max(0.0, found - now)

    def waiting(self, function: FunctionPlan) -> int:
        """Return how many deliveries wait for *function*, now or later, or are under way."""
        (count,) = self._connection.execute(
            "select count(*) from deliveries where box = ? and state != 'dead'",
            (self._boxes[function.name],),
        ).fetchone()
        return int(count)

    # Dead letters

    def count_dead(self, origin: str) -> int:
        """Return how many letters of a box there are."""
        (count,) = self._connection.execute(
            "select count(*) from deliveries where origin = ? and letter is not null "
            "and state != 'leased'",
            (origin,),
        ).fetchone()
        return int(count)

    def dead(self, origin: str, limit: int = -1, *, bodies: bool = True) -> list[Item]:
        """Return letters of a box, the oldest first; -1: all. Without *bodies* those are empty."""
        columns = ", ".join(_COLUMNS)
        if not bodies:
            columns = columns.replace("body", "x''")
        rows = self._connection.execute(
            f"select {columns} from deliveries where origin = ? "
            "and letter is not null and state != 'leased' order by number limit ?",
            (origin, limit),
        ).fetchall()
        offset = self._offset()
        return [_item(row, offset) for row in rows]

    def redrive(self, items: Sequence[Item]) -> int:
        """Put letters back where they came from, behind what waits there; return how many."""
        now, count = self.now(), 0
        with self._transaction() as do:
            for item in items:
                done = do.execute(
                    # What has expired meanwhile is wanted by who redrives it.
                    "insert into deliveries (box, state, kind, id, key, body, content_type, "
                    "attributes, sent, due) select origin, 'waiting', kind, id, key, "
                    "body, content_type, attributes, ?, ? from deliveries "
                    "where number = ? and letter is not null and state != 'leased'",
                    (now, now, item.number),
                )
                if done.rowcount:
                    do.execute("delete from deliveries where number = ?", (item.number,))
                    count += 1
        return count

    def purge(self, items: Sequence[Item]) -> int:
        """Remove letters; return how many."""
        with self._transaction() as do:
            return sum(
                do.execute(
                    "delete from deliveries where number = ? and letter is not null "
                    "and state != 'leased'",
                    (item.number,),
                ).rowcount
                for item in items
            )


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
#: The attributes without what says that it is a copy: a letter that is redriven is as new.
_UNCOUNTED = """json_remove(attributes, '$."pf-attempt"', '$."pf-sent"', '$."pf-to"')"""


def _platform_letter(function: FunctionPlan, item: Item) -> str:
    """Return the letter of what nobody but the platform has given up."""
    from portafaas.runtime.text import epoch_time

    facts = {
        "reason": "platform", "error": "", "attempts": item.deliveries, "function": function.name,
        "id": item.id, "time": epoch_time(time()), "trace": "", "correlation": "",
    }  # fmt: skip
    return json.dumps(facts, separators=(",", ":"))


def inbox(function: FunctionPlan) -> str:
    """Return the box that *function* gets its deliveries from."""
    trigger = function.trigger
    return (
        f"queue/{trigger.queue}"
        if isinstance(trigger, QueueTrigger)
        else f"function/{function.name}"
    )


def letters_to(plan: BuildPlan, function: FunctionPlan) -> dict[str, str]:
    """Return the variable that says where the function's dead letters go; none without any."""
    return addresses(function, dead=inbox(function)) if has_dead_letters(plan, function) else {}


def _elsewhere(plan: BuildPlan, box: str) -> str | None:
    """Return the queue that a box' dead letters go to, None for its own."""
    kind, _, name = box.partition("/")
    target = plan.queue(name).dead_letter if kind == "queue" else True
    return target if isinstance(target, str) else None


def _item(row: Sequence[Any], offset: float, more: int = 0) -> Item:
    (number, box, kind, id_, key, body, content_type, attributes, sent, expires, attempts,
     letter, origin) = row[: len(_COLUMNS)]  # fmt: skip
    return Item(
        number, box, kind, id_, key, bytes(body), content_type, json.loads(attributes),
        sent - offset, None if expires is None else expires - offset, attempts + more, letter,
        origin,
    )  # fmt: skip


def _seconds(instant: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(instant).timestamp()
