"""A delivery: a row of ``deliveries``, as it is kept, leased and settled.

======= ========================================================================================
waiting until it is due, and nothing before it holds its key
leased  by a dispatcher, for as long as that lives and at most until the lease ends
dead    a dead letter
======= ========================================================================================

Times in the table are those of the store's own clock; an :class:`Item` has them by this machine's.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from portafaas.record import dataclass, field
from portafaas.runtime.control import carried

if TYPE_CHECKING:
    from portafaas.adapter.delivery import DeliveryRules

#: Indexes are such that what a step costs does not depend on how much waits.
TABLE = """
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

#: What :func:`item_of` takes, in this order.
COLUMNS = (
    "number", "box", "kind", "id", "key", "body", "content_type", "attributes", "sent", "expires",
    "attempts", "letter", "origin",
)  # fmt: skip


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


def settled_of(answer: Mapping[str, Any]) -> Settled:
    """Return what a function's process says of its deliveries (``portafaas.local.worker``)."""
    return Settled(
        dict(answer["again"]),
        dict(answer["dead"]),
        answer["untried"],
        answer.get("alone", False),
        dict(answer.get("copies", ())),
        answer.get("lost", ()),
    )


def unanswered(
    items: Sequence[Item], policy: Mapping[str, Any] | None, rules: DeliveryRules | None
) -> Settled:
    """Return what becomes of deliveries whose process ended without an answer.

    By the platform's *rules*; else all come again, one by one, after the delays of *policy*, the
    function's ``retry``. The runtime buries what has had all its attempts, at the next one.
    """
    if rules is not None:
        again = dict.fromkeys((item.number for item in items), rules.gone)
        return Settled(again, alone=rules.parts, anew=rules.forgets)
    from portafaas.runtime.recovery import delay_of

    again = {}
    for item in items:
        spent = policy is None or item.attempts >= policy["attempts"]
        again[item.number] = 0.0 if spent or policy is None else delay_of(policy, item.attempts)
    return Settled(again, alone=True)


def item_of(row: Sequence[Any], ahead: float, more: int = 0) -> Item:
    """Return the delivery of a row of :data:`COLUMNS`, further ones ignored.

    *ahead* is how far the store's clock is, *more* is added to its attempts.
    """
    (number, box, kind, id_, key, body, content_type, attributes, sent, expires, attempts,
     letter, origin) = row[: len(COLUMNS)]  # fmt: skip
    return Item(
        number, box, kind, id_, key, bytes(body), content_type, json.loads(attributes),
        sent - ahead, None if expires is None else expires - ahead, attempts + more, letter,
        origin,
    )  # fmt: skip


def put(
    connection: sqlite3.Connection,
    box: str,
    kind: str,
    id: str,
    key: str | None,
    body: bytes,
    content_type: str | None,
    attributes: str,
    sent: float,
    due: float,
    expires: float | None,
) -> None:
    """Have it wait in *box*. *attributes* are JSON; times are of the store's clock."""
    connection.execute(
        "insert into deliveries (box, state, kind, id, key, body, content_type, attributes, "
        "sent, due, expires) values (?, 'waiting', ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (box, kind, id, key, body, content_type, attributes, sent, due, expires),
    )
