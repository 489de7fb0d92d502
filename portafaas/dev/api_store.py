"""What waits in the store on this machine: boxes with messages and dead letters; and its clock.

Every call opens the store for itself: connections are of one thread.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from time import time
from typing import Any

from portafaas.deployment.dead_letters import dead_letter_boxes
from portafaas.dev.api_http import SHOWN, Call, Refused, shown
from portafaas.local.boxes import inbox
from portafaas.local.broker import Broker
from portafaas.local.deliveries import Item
from portafaas.local.driver.portafaas_local_resources import database
from portafaas.local.resources import store
from portafaas.local.store import claimed, explained
from portafaas.plan import BuildPlan, FunctionPlan
from portafaas.runtime.control import CLAIM, split


@contextmanager
def opened(dev: Any) -> Iterator[sqlite3.Connection]:
    """Give a connection to the application's store."""
    folder = store(dev.root, dev.plan.stage)
    with explained(folder):
        connection = database(str(folder))
        try:
            yield connection
        finally:
            connection.close()


@contextmanager
def broker_of(dev: Any) -> Iterator[Broker]:
    """Give a broker of the application's store, of this thread."""
    folder = store(dev.root, dev.plan.stage)
    with explained(folder), Broker(folder, dev.plan) as broker:
        yield broker


def box_names(plan: BuildPlan) -> dict[str, list[FunctionPlan]]:
    """Return the boxes, queues first, and the functions that each is for."""
    found: dict[str, list[FunctionPlan]] = {f"queue/{queue.name}": [] for queue in plan.queues}
    for function in plan.functions:
        if function.kind not in ("http", "task"):
            found.setdefault(inbox(function), []).append(function)
    return found


def boxes(call: Call) -> list[dict[str, Any]]:
    """Return each box: how much waits (``ready`` now, ``later``), is ``leased``, is ``dead``.

    ``oldest``: seconds since the oldest that waits was sent. ``due``: seconds until the next of
    what is due later.
    """
    plan = call.dev.plan
    with broker_of(call.dev) as broker, opened(call.dev) as connection:
        now = broker.clock.now()
        rows = {
            box: facts
            for box, *facts in connection.execute(
                "select box, sum(state = 'waiting' and due <= ?1), "
                "sum(state = 'waiting' and due > ?1), sum(state = 'leased'), "
                "min(case when state = 'waiting' then sent end), "
                "min(case when state = 'waiting' and due > ?1 then due end) "
                "from deliveries where state != 'dead' group by box",
                (now,),
            )
        }
        letters = {
            f"{kind}/{name}": broker.letters.count(f"{kind}/{name}")
            for name, kind in dead_letter_boxes(plan)
        }
    out = []
    for box, functions in box_names(plan).items():
        kind, _, name = box.partition("/")
        ready, later, leased, oldest, due = rows.get(box, (0, 0, 0, None, None))
        queue = plan.queue(name) if kind == "queue" else None
        target = queue.dead_letter if queue else None
        out.append(
            {
                "box": box,
                "kind": kind,
                "name": name,
                "trigger": functions[0].kind if functions else "queue",
                "functions": [function.name for function in functions],
                "ordered": queue.ordered if queue else False,
                "ready": ready,
                "later": later,
                "leased": leased,
                "dead": letters.get(box),
                "letters_go_to": target if isinstance(target, str) else None,
                "oldest": None if oldest is None else max(0.0, now - oldest),
                "due": None if due is None else max(0.0, due - now),
            }
        )
    return out


def known_box(plan: BuildPlan, box: str) -> str:
    """Return *box*; raises Refused when there is none."""
    if box not in box_names(plan):
        raise Refused(404, "PF8017", f"there is no box {box!r}")
    return box


def letters(call: Call) -> dict[str, Any]:
    """Return dead letters of a box, the oldest first, with their bodies, and how many there are."""
    dev, box = call.dev, known_box(call.dev.plan, call.params["box"])
    limit = call.number("limit", 50, 500)
    after = call.number("after", 0, 1 << 62) if "after" in call.query else 0
    with broker_of(dev) as broker:
        total = broker.letters.count(box)
        # All of them without their bodies, then the bodies of those that are wanted.
        found = [item for item in broker.letters.list(box, bodies=False) if item.number > after]
    part = found[:limit]
    with opened(dev) as connection:
        out = [_letter(connection, item) for item in part]
    more = part[-1].number if len(found) > limit else None
    return {"box": box, "total": total, "letters": out, "after": more}


def _letter(connection: sqlite3.Connection, item: Item) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(item.letter or "{}")
    names = ("reason", "error", "attempts", "function", "time", "trace", "correlation")
    found = connection.execute(
        "select body from deliveries where number = ?", (item.number,)
    ).fetchone()
    body = bytes(found[0]) if found else b""
    place = item.attributes.get(CLAIM)
    if place is not None:
        body = claimed(connection, place)
    return {
        "number": item.number,
        "id": item.id,
        "kind": item.kind,
        "key": item.key,
        "sent": item.sent,
        **{name: facts.get(name, "") for name in names},
        "attributes": split(item.attributes)[0],
        "content_type": item.content_type,
        "body": shown(body),
    }


def waiting(call: Call) -> dict[str, Any]:
    """Return what waits in a box or is leased, in its order, with the beginning of each body."""
    dev, box = call.dev, known_box(call.dev.plan, call.params["box"])
    limit = call.number("limit", 50, 500)
    with broker_of(dev) as broker, opened(dev) as connection:
        now = broker.clock.now()
        ahead = now - time()
        rows = connection.execute(
            "select number, state, kind, id, key, substr(body, 1, ?), length(body), attributes, "
            "content_type, sent, due, expires, attempts from deliveries "
            "where box = ? and state != 'dead' order by number limit ?",
            (SHOWN, box, limit + 1),
        ).fetchall()
    out = []
    for row in rows[:limit]:
        number, state, kind, id_, key, body, size, text, content_type, sent, due, expires, n = row
        whole = shown(bytes(body))
        if size > len(body):
            whole |= {"size": size, "cut": True}
        out.append(
            {
                "number": number,
                "state": "leased" if state == "leased" else "later" if due > now else "ready",
                "kind": kind,
                "id": id_,
                "key": key,
                "sent": sent - ahead,
                "due": max(0.0, due - now),
                "expires": None if expires is None else expires - ahead,
                "attempts": n,
                "attributes": split(json.loads(text))[0],
                "content_type": content_type,
                "body": whole,
            }
        )
    return {"box": box, "messages": out, "more": len(rows) > limit}


def clock(call: Call) -> dict[str, Any]:
    """Return the store's clock: ``now`` (seconds since 1970), how far it is ``ahead``, its mode."""
    with broker_of(call.dev) as broker:
        now = broker.clock.now()
    return {"now": now, "ahead": now - time(), "mode": call.dev.clock.mode}
