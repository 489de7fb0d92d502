"""What the store of a test has: all that was sent, how it is by now, and dead letters."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from portafaas.local.store import claimed
from portafaas.runtime.control import CLAIM, carried, split
from portafaas.testing.clock import FrozenBroker
from portafaas.testing.names import Names
from portafaas.testing.records import Dead, Event, Found, Message

#: What was sent is kept for the test, though brokers forget it.
_SENT = """
create table if not exists kit_sent (
    number integer primary key, kind text, name text, id text, body blob, content_type text,
    attributes text, key text, delay integer, dedup text, sent real
);
create trigger if not exists kit_sends after insert on messages begin
    insert into kit_sent values (new.number, new.kind, new.name, new.id, new.body,
        new.content_type, new.attributes, new.key, new.delay, new.dedup,
        coalesce((select value from broker where name = 'held'), new.sent));
end;
"""


class Kept:
    """What is kept in the store of *broker*; each is read when it is asked for."""

    def __init__(self, broker: FrozenBroker, names: Names) -> None:
        self._broker = broker
        self._names = names
        broker.store.connection.executescript(_SENT)

    def messages(self, queue: str) -> Found[Message]:
        """Return all messages that a queue was sent, in order, and how each is (``state``)."""
        self._names.resource("queue", queue)
        self._broker.take_in()
        states = self._states(f"queue/{queue}")
        found = []
        for id, body, kind, text, key, delay, dedup, sent in self._sent("queue", queue):
            attributes, control = split(json.loads(text))
            state, attempts = states.get(id, ("done", 0))
            if control and CLAIM in control:
                body = claimed(self._broker.store.connection, control[CLAIM])
            found.append(
                Message(id, body, kind, attributes, key, sent, delay, dedup, state, attempts)
            )
        return Found(found, f"messages of queue {queue!r}")

    def events(self, topic: str) -> Found[Event]:
        """Return all events that were published to a topic, in order."""
        from portafaas.runtime.cloudevent import event_from_message

        self._names.resource("topic", topic)
        found = []
        for id, body, kind, text, key, _, _, sent in self._sent("topic", topic):
            attributes, control = split(json.loads(text))
            if control and CLAIM in control:
                body = claimed(self._broker.store.connection, control[CLAIM])
            event = event_from_message(
                body, attributes, id=id, source="", content_type=kind, key=key
            )
            plain = {name: v for name, v in attributes.items() if not name.startswith("ce-")}
            found.append(
                Event(event.id, event.type, event.source, event.subject, event.data, plain, key,
                      sent)
            )  # fmt: skip
        return Found(found, f"events of topic {topic!r}")

    def dead_letters(self, box: str) -> Found[Dead]:
        """Return what was given up: of a queue, or of a function with another trigger."""
        found = []
        for item in self._broker.letters.list(self._names.letters(box)):
            facts = json.loads(item.letter or "{}")
            body = self._broker.letters.body(item)
            found.append(
                Dead(
                    item.id, box, facts.get("reason", ""), facts.get("error", ""),
                    facts.get("attempts", 0), facts.get("function", ""), body,
                    split(item.attributes)[0], item.key,
                )
            )  # fmt: skip
        return Found(found, f"dead letters of {box!r}")

    def redrive(self, box: str, ids: Iterable[str] | None = None) -> int:
        """Deliver dead letters again, all of a box or those with *ids*; return how many."""
        wanted = None if ids is None else set(ids)
        items = self._broker.letters.list(self._names.letters(box))
        return self._broker.letters.redrive([i for i in items if wanted is None or i.id in wanted])

    def _sent(self, kind: str, name: str) -> list[tuple[Any, ...]]:
        return self._broker.rows(
            "select id, body, content_type, attributes, key, delay, dedup, sent from kit_sent "
            "where kind = ? and name = ? order by number",
            (kind, name),
        )

    def _states(self, box: str) -> dict[str, tuple[str, int]]:
        rows: list[tuple[Any, ...]] = self._broker.rows(
            "select id, state, attempts, attributes from deliveries "
            "where box = ? or origin = ? order by number",
            (box, box),
        )
        return {
            id: (state, attempts + carried(json.loads(attributes)))
            for id, state, attempts, attributes in rows
        }
