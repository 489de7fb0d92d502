"""What Service Bus does with messages: queues, topics, sessions, locks, dead letters. No network.

Written from the documentation, not from a client:
https://learn.microsoft.com/azure/service-bus-messaging/message-transfers-locks-settlement
https://learn.microsoft.com/azure/service-bus-messaging/service-bus-dead-letter-queues
https://learn.microsoft.com/azure/service-bus-messaging/message-sessions
https://learn.microsoft.com/azure/service-bus-messaging/duplicate-detection

Time is the broker's own (:attr:`Broker.now`), so that tests need not wait: :meth:`Broker.advance`.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from proton import Message

DEAD = "$DeadLetterQueue"


@dataclass(slots=True)
class Stored:
    """A message in an entity; times are seconds since 1970."""

    message: Any
    sequence: int = 0
    enqueued: float = 0.0
    #: Not to be delivered before.
    due: float = 0.0
    expires: float | None = None
    deliveries: int = 0
    token: uuid.UUID | None = None
    locked_until: float = 0.0
    #: Where it was dead-lettered, once it has been forwarded.
    source: str = ""

    @property
    def session(self) -> str:
        """The session id, or ""."""
        return str(self.message.group_id or "")

    @property
    def properties(self) -> dict[str, Any]:
        """The application properties."""
        return dict(self.message.properties or {})

    @property
    def body(self) -> bytes:
        """The data."""
        return bytes(self.message.body or b"")


@dataclass(slots=True)
class Entity:
    """A queue or a subscription, with the properties of its ARM resource that matter here."""

    name: str
    requiresSession: bool = False
    maxDeliveryCount: int = 10
    lockDuration: float = 60.0
    defaultMessageTimeToLive: float | None = None
    deadLetteringOnMessageExpiration: bool = False
    forwardDeadLetteredMessagesTo: str = ""
    requiresDuplicateDetection: bool = False
    duplicateWindow: float = 600.0
    messages: list[Stored] = field(default_factory=list)
    dead: Entity | None = None
    #: Message id -> when it came, for duplicate detection.
    seen: dict[str, float] = field(default_factory=dict)
    #: Session -> until when a receiver holds it.
    sessions: dict[str, float] = field(default_factory=dict)

    @property
    def length(self) -> int:
        """How many messages there are, locked and scheduled ones too."""
        return len(self.messages)


def clone(message: Any) -> Any:
    """Return a copy of a ``proton.Message``."""
    made: Any = Message()
    made.decode(message.encode())
    return made


class Refused(Exception):
    """A message that the entity does not take."""


class Broker:
    """A namespace."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.entities: dict[str, Entity] = {}
        #: Topic -> subscription -> whether it takes a message with those application properties.
        self.topics: dict[str, dict[str, Callable[[Stored], bool]]] = {}
        self.sequence = 0
        self.tokens = 0
        self.skew = 0.0
        #: Called when something may have become available.
        self.on_change: Callable[[], None] = lambda: None

    @property
    def now(self) -> float:
        """The broker's time."""
        return time.time() + self.skew

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        with self.lock:
            self.skew += seconds
        self.on_change()

    def queue(self, name: str, **settings: Any) -> Entity:
        """Make a queue."""
        made = Entity(name, **settings)
        made.dead = Entity(f"{name}/{DEAD}", requiresSession=False, maxDeliveryCount=1 << 30)
        self.entities[name] = made
        self.entities[made.dead.name] = made.dead
        return made

    def subscription(
        self, topic: str, name: str, takes: Callable[[Stored], bool] | None = None, **settings: Any
    ) -> Entity:
        """Make a subscription, and its topic; *takes* is its rule."""
        self.topics.setdefault(topic, {})[name] = takes or (lambda stored: True)
        return self.queue(f"{topic}/Subscriptions/{name}", **settings)

    def topic(self, name: str) -> None:
        """Make a topic without subscriptions."""
        self.topics.setdefault(name, {})

    def find(self, path: str) -> Entity | None:
        """Return an entity by its path, whatever the case of its fixed parts."""
        lowered = path.lower().strip("/")
        return next((one for name, one in self.entities.items() if name.lower() == lowered), None)

    def knows(self, path: str) -> bool:
        """Tell whether messages can be sent to *path*."""
        return path in self.topics or self.find(path) is not None

    def send(self, path: str, message: Any, due: float = 0.0) -> None:
        """Take a message, a ``proton.Message``; raises Refused."""
        with self.lock:
            if path in self.topics:
                for name, takes in self.topics[path].items():
                    stored = Stored(clone(message), due=due)
                    if takes(stored):
                        self._put(self.entities[f"{path}/Subscriptions/{name}"], stored)
            else:
                entity = self.find(path)
                if entity is None:
                    raise Refused("amqp:not-found")
                self._put(entity, Stored(message, due=due))
        self.on_change()

    def _put(self, entity: Entity, stored: Stored) -> None:
        if entity.requiresSession and not stored.session:
            raise Refused("amqp:not-allowed")
        identity = str(stored.message.id or "")
        if entity.requiresDuplicateDetection and identity:
            if self.now - entity.seen.get(identity, -1e9) < entity.duplicateWindow:
                return
            entity.seen[identity] = self.now
        self.sequence += 1
        stored.sequence, stored.enqueued = self.sequence, max(self.now, stored.due)
        ttl = stored.message.ttl or entity.defaultMessageTimeToLive
        stored.expires = stored.enqueued + ttl if ttl else None
        stored.deliveries, stored.token, stored.locked_until = 0, None, 0.0
        entity.messages.append(stored)

    def bury(self, entity: Entity, stored: Stored, reason: str, description: str = "") -> None:
        """Dead-letter a message; forward it where the entity says so."""
        with self.lock:
            entity.messages.remove(stored)
            properties = stored.properties
            properties["DeadLetterReason"] = reason
            properties["DeadLetterErrorDescription"] = description
            stored.message.properties = properties
            target = self.find(entity.forwardDeadLetteredMessagesTo or "-") or entity.dead
            if target is None:
                target = entity
            if target is not entity.dead:
                stored.source = entity.name
            stored.due = 0.0
            self._put(target, stored)
        self.on_change()

    def tidy(self) -> None:
        """Drop or dead-letter what has expired, give back what was locked for too long."""
        with self.lock:
            now = self.now
            for entity in list(self.entities.values()):
                for stored in list(entity.messages):
                    if stored.token is not None and stored.locked_until <= now:
                        stored.token = None
                        self._failed(entity, stored)
                    elif stored.token is None and stored.expires and stored.expires <= now:
                        if entity.deadLetteringOnMessageExpiration and entity.dead is not None:
                            self.bury(entity, stored, "TTLExpiredException")
                        else:
                            entity.messages.remove(stored)

    def _failed(self, entity: Entity, stored: Stored) -> None:
        stored.deliveries += 1
        if stored.deliveries >= entity.maxDeliveryCount:
            self.bury(entity, stored, "MaxDeliveryCountExceeded", "could not be consumed")

    def receive(self, entity: Entity, session: str | None = None) -> Stored | None:
        """Lock the next message, of *session* if it is given, and return it; None if none is due.

        In an entity with sessions the first message of a session blocks the others while it is
        locked. Without *session* every session with no locked message can give one.
        """
        with self.lock:
            self.tidy()
            now, held = self.now, set()
            for stored in entity.messages:
                if entity.requiresSession and stored.token is not None:
                    held.add(stored.session)
            for stored in entity.messages:
                if stored.token is not None or stored.due > now:
                    continue
                if entity.requiresSession and (
                    stored.session in held or (session is not None and stored.session != session)
                ):
                    continue
                # A tag of the wire, which the binding of the tests takes for text.
                self.tokens += 1
                stored.token = uuid.UUID(bytes_le=b"%016d" % self.tokens)
                stored.locked_until = now + entity.lockDuration
                return stored
            return None

    def locked(self, token: uuid.UUID) -> tuple[Entity, Stored] | None:
        """Return the message that is locked with *token*."""
        for entity in self.entities.values():
            for stored in entity.messages:
                if stored.token == token:
                    return entity, stored
        return None

    def complete(self, token: uuid.UUID) -> bool:
        """Be done with a locked message; False when the lock is lost."""
        with self.lock:
            self.tidy()
            found = self.locked(token)
            if found is not None:
                found[0].messages.remove(found[1])
        self.on_change()
        return found is not None

    def abandon(self, token: uuid.UUID) -> bool:
        """Give a locked message back: one delivery more; False when the lock is lost."""
        with self.lock:
            found = self.locked(token)
            if found is not None:
                found[1].token = None
                self._failed(*found)
        self.on_change()
        return found is not None

    def release(self, token: uuid.UUID) -> None:
        """Give back what was never seen by anybody."""
        with self.lock:
            found = self.locked(token)
            if found is not None:
                found[1].token = None
        self.on_change()

    def dead_letter(self, token: uuid.UUID, reason: str = "", description: str = "") -> bool:
        """Dead-letter a locked message; False when the lock is lost."""
        with self.lock:
            found = self.locked(token)
            if found is not None:
                found[1].token = None
                self.bury(*found, reason, description)
        return found is not None

    def peek(self, entity: Entity, start: int, most: int) -> list[Stored]:
        """Return messages from a sequence number on, locked and scheduled ones too."""
        with self.lock:
            self.tidy()
            found = sorted(entity.messages, key=lambda one: one.sequence)
            return [one for one in found if one.sequence >= start][:most]
