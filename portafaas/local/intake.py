"""What comes into the boxes: what was sent and changed, schedules, and what is handed in.

Senders know nothing of who listens: they append to ``messages`` (and the store's triggers to
``changes``), which is shared out here.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING

from portafaas.local.boxes import Boxes
from portafaas.local.clock import StoreClock
from portafaas.local.deliveries import put
from portafaas.local.store import Store
from portafaas.local.subscriptions import Subscription, change_of, subscriptions
from portafaas.plan import FunctionPlan

if TYPE_CHECKING:
    from portafaas.adapter.stimulus import MessageStimulus, Stimulus

#: Rows that are taken in in one transaction.
_PART = 1000


class Intake:
    """Puts deliveries into boxes."""

    def __init__(self, store: Store, clock: StoreClock, boxes: Boxes) -> None:
        self._store = store
        self._clock = clock
        self._boxes = boxes
        self.subscriptions: Sequence[Subscription] = subscriptions(boxes.plan)

    def limit(self) -> None:
        """Have senders to this store keep to what the platform takes, or to nothing without one."""
        rows = [
            (f"{'text' if text else 'limit'}/{name}", most)
            for name, (most, text) in self._boxes.sizes().items()
        ]
        with self._store.transaction() as do:
            do.execute("delete from broker where name like 'limit/%' or name like 'text/%'")
            do.executemany("insert into broker (name, value) values (?, ?)", rows)

    def cursor(self) -> int:
        """Return the number of the last message that was shared out."""
        row = self._store.connection.execute(
            "select value from broker where name = 'taken'"
        ).fetchone()
        return int(row[0]) if row else 0

    def take_in(self) -> int:
        """Share out what was sent and changed; return how many deliveries that makes."""
        count = 0
        while True:
            found = self._store.connection.execute(
                "select 1 from messages where number > coalesce((select value from broker "
                "where name = 'taken'), 0) union all select 1 from changes limit 1"
            ).fetchone()
            if found is None:
                return count
            with self._store.transaction():
                count += self._take_messages() + self._take_changes()

    def _take_messages(self) -> int:
        do, ahead, count = self._store.connection, self._clock.ahead(), 0
        last = self.cursor()
        found = do.execute(
            "select number, kind, name, id, body, content_type, attributes, key, delay, sent "
            "from messages where number > ? order by number limit ?",
            (last, _PART),
        ).fetchall()
        queues = {queue.name: queue for queue in self._boxes.plan.queues}
        for number, kind, name, id_, body, content_type, text, key, delay, sent in found:
            last = number
            attributes: dict[str, str] = json.loads(text)
            sent += ahead
            ends = attributes.get("pf-expires")
            expires = float(ends) + ahead if ends else None
            if kind == "queue":
                queue = queues.get(name)
                boxes = [f"queue/{name}"] if queue else []
                delay = delay or (queue.delay if queue else 0)
            else:
                boxes = [
                    f"function/{each.function}"
                    for each in self.subscriptions
                    if each.wants_message(name, id_, bytes(body), content_type, attributes, key)
                ]
            for box in boxes:
                put(do, box, kind, id_, key, body, content_type, text, sent, sent + delay, expires)
                count += 1
        if found:
            do.execute("insert or replace into broker (name, value) values ('taken', ?)", (last,))
        return count

    def _take_changes(self) -> int:
        do, ahead, count = self._store.connection, self._clock.ahead(), 0
        found = do.execute(
            "select number, kind, name, verb, key, old, new, size, time from changes "
            "order by number limit ?",
            (_PART,),
        ).fetchall()
        for number, *facts in found:
            sent = facts[-1] + ahead
            for each in self.subscriptions:
                change = change_of(each, number, *facts)
                if change is not None:
                    id_, key, body = change
                    box = f"function/{each.function}"
                    put(do, box, each.kind, id_, key, body, None, "{}", sent, sent, None)
                    count += 1
        if found:
            do.execute("delete from changes where number <= ?", (found[-1][0],))
        return count

    def fire(self, function: FunctionPlan, instant: str) -> bool:
        """Have a schedule's function run for *instant* (RFC 3339); False when it was said before.

        Instants of one function are to come in order.
        """
        from datetime import datetime

        from portafaas.adapter.neutral import stimulus_to_json
        from portafaas.adapter.stimulus import ScheduleStimulus
        from portafaas.runtime.text import utc_time

        at = utc_time(instant) or instant
        with self._store.transaction() as do:
            name = f"fired/{function.name}"
            moment = datetime.fromisoformat(at).timestamp()
            last = do.execute("select value from broker where name = ?", (name,)).fetchone()
            if last and last[0] >= moment:
                return False
            do.execute("insert or replace into broker (name, value) values (?, ?)", (name, moment))
            body = json.dumps(stimulus_to_json(ScheduleStimulus(at))).encode()
            now = self._clock.now()
            box, id_ = self._boxes.inboxes[function.name], f"{function.name}@{at}"
            put(do, box, "schedule", id_, None, body, None, "{}", now, now, None)
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
        box, kind = self._boxes.inboxes[function.name], function.kind
        ids = []
        with self._store.transaction() as do:
            now = self._clock.now()
            for message in messages:
                put(
                    do, box, kind, message.id, message.key, message.body, message.content_type,
                    json.dumps(dict(message.attributes)), now, now, None,
                )  # fmt: skip
                ids.append(message.id)
            if not messages:
                body = json.dumps(stimulus_to_json(stimulus)).encode()
                ids = [f"{function.name}@{uuid.uuid4().hex[:12]}"]
                put(do, box, kind, ids[0], None, body, None, "{}", now, now, None)
        return ids
