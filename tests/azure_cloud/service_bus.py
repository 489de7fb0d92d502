"""A peer for azure-servicebus: AMQP 1.0 with claims-based security, in front of a ``Broker``.

What is sent is in ``Bus.arrived``, whatever the entity; where the broker has the entity it is there,
too, and can be received under a lock, settled, and peeked at.
https://learn.microsoft.com/azure/service-bus-messaging/service-bus-amqp-protocol-guide
https://learn.microsoft.com/azure/service-bus-messaging/service-bus-amqp-request-response
"""

from __future__ import annotations

import importlib
import socket
import threading
import time
import types
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import proton._handlers
from proton import (
    Condition,
    Delivery,
    Endpoint,
    Message,
    int32,
    symbol,
    timestamp,
    ulong,
)
from proton.handlers import MessagingHandler
from proton.reactor import ApplicationEvent, Container, EventInjector

from tests.azure_cloud.broker import Broker, Refused, Stored, clone

#: Format of a delivery whose data sections are messages of their own.
BATCH = 0x80013700
SESSION = "com.microsoft:session-filter"
LARGEST = 256 * 1024


def split(raw: bytes) -> list[bytes]:
    """Return the messages of a batch: the content of each section of type data (0x75)."""
    found, at = [], 0
    while at < len(raw):
        assert raw[at] == 0 and raw[at + 1] == 0x53, raw[at : at + 3]
        section, kind = raw[at + 2], raw[at + 3]
        at += 4
        if kind in (0xA0, 0xA1, 0xC0, 0xC1):
            size, at = raw[at], at + 1
        elif kind in (0xB0, 0xB1, 0xD0, 0xD1):
            size, at = int.from_bytes(raw[at : at + 4], "big"), at + 4
        else:
            assert kind == 0x45  # an empty list
            size = 0
        if section == 0x75:
            found.append(raw[at : at + size])
        at += size
    return found


class Arrived:
    """One message as it was on the wire; *batch* numbers the transfer that brought it."""

    def __init__(self, entity: str, raw: bytes, batch: int) -> None:
        self.entity, self.batch = entity, batch
        self.message: Any = Message()
        self.message.decode(raw)

    @property
    def content_type(self) -> str | None:
        found = self.message.content_type
        return None if found is None or str(found) == "None" else str(found)  # proton's symbol

    @property
    def body(self) -> bytes:
        return bytes(self.message.body or b"")

    @property
    def annotations(self) -> dict[str, Any]:
        return {str(k): v for k, v in (self.message.annotations or {}).items()}


class Bus(MessagingHandler):  # type: ignore[misc]
    """The namespace. *refuse* says with which condition a link or a message of an entity ends."""

    def __init__(self, address: str, broker: Broker | None = None) -> None:
        self.broker = broker or Broker()
        #: Links that receive, with the session of each; None without sessions.
        self._receivers: dict[Any, str | None] = {}
        #: Deliveries that are not settled: by link and tag.
        self._tokens: dict[tuple[str, str], uuid.UUID] = {}
        #: Receivers' transfers until the connection is cut; -1: never.
        self.cut_after = -1
        super().__init__(prefetch=0, auto_accept=False, auto_settle=False)
        self.address = address
        self.ready = threading.Event()
        self.arrived: list[Arrived] = []
        self.claims: list[tuple[str, str, Any]] = []
        self.connections = 0
        self.transfers = 0
        #: Transfers that are answered by the end of the connection.
        self.dropped = 0
        #: Transfers that are not answered at all.
        self.ignored = 0
        self.refused_links: dict[str, str] = {}
        self.refused_claims: tuple[int, str] | None = None
        #: By entity: conditions of the next messages, None for one that is taken.
        self.outcomes: dict[str, list[str | None]] = {}
        self._replies: dict[tuple[Any, str], Any] = {}

    def on_start(self, event: Any) -> None:
        self.acceptor = event.container.listen(self.address)
        self.ready.set()

    def on_connection_opening(self, event: Any) -> None:
        event.connection.container = "bus"
        self.connections += 1

    def on_link_opening(self, event: Any) -> None:
        link = event.link
        link.source.address = link.remote_source.address
        if entity(link.remote_target.address) in self.refused_links:
            return  # an answer without a target announces that the link will be closed
        link.target.address = link.remote_target.address
        if link.is_sender:
            name = entity(link.remote_source.address)
            if name.endswith("$management"):
                self._replies[link.connection, name] = link
            elif self.broker.find(name) is not None:
                self._receiver(link)
            else:
                self._replies[link.connection, link.remote_target.address] = link
                self._replies[link.connection, "$cbs"] = link
            return
        link.max_message_size = ulong(LARGEST)
        link.flow(100)

    def on_link_opened(self, event: Any) -> None:
        link = event.link
        condition = self.refused_links.get(entity(link.remote_target.address))
        if condition and link.is_receiver:
            link.condition = Condition(condition, "refused", {"n": 1})
            link.close()

    def on_message(self, event: Any) -> None:
        where, message = event.link.remote_target.address, event.message
        event.link.flow(1)
        if where == "$cbs":
            self._claim(event, message)
            return
        name = entity(where)
        if name.endswith("$management"):
            self._manage(event, name, message)
            return
        if self.dropped:
            self.dropped -= 1
            event.connection.condition = Condition("amqp:connection:forced", "idle", {"n": 1})
            event.connection.close()
            return
        if name in self.refused_links:
            return  # sent before the client saw the link's end
        if self.ignored:
            self.ignored -= 1
            return
        outcomes = self.outcomes.get(name)
        condition = outcomes.pop(0) if outcomes else None
        if condition:
            delivery = event.delivery  # a new object each time
            # The client needs all three fields of an error.
            delivery.local.condition = Condition(condition, "refused", {"why": "on purpose"})
            delivery.update(Delivery.REJECTED)
            delivery.settle()
            return
        self.transfers += 1
        raws = split(message.raw) if message.format == BATCH else [message.raw]
        came = [Arrived(name, raw, self.transfers) for raw in raws]
        self.arrived += came
        if self.broker.knows(name):
            try:
                for one in came:
                    due = one.annotations.get("x-opt-scheduled-enqueue-time", 0) / 1000
                    # Who sends has this machine's clock.
                    self.broker.send(name, one.message, due and due + self.broker.skew)
            except Refused as refused:
                delivery = event.delivery
                delivery.local.condition = Condition(str(refused), "refused", {"n": 1})
                delivery.update(Delivery.REJECTED)
                delivery.settle()
                return
        event.delivery.update(Delivery.ACCEPTED)
        event.delivery.settle()
        self.pump()

    def _receiver(self, link: Any) -> None:
        """Take a link that receives; one with a session filter gets one session."""
        found = self.broker.find(entity(link.remote_source.address))
        assert found is not None
        session = None
        if found.requiresSession:
            link.remote_source.filter.rewind()
            link.remote_source.filter.next()
            wanted = link.remote_source.filter.get_object()
            session = next((v for k, v in wanted.items() if str(k) == SESSION), None)
            if session is None:
                with self.broker.lock:
                    free = [one.session for one in found.messages if one.token is None]
                session = free[0] if free else ""
            link.source.filter.put_object({symbol(SESSION): session})
            link.properties = {symbol("com.microsoft:locked-until-utc"): 0}
        self._receivers[link] = session

    def on_link_flow(self, event: Any) -> None:
        self.pump()

    def pump(self, event: Any = None) -> None:
        """Deliver what is due to the receivers with credit."""
        for link, session in list(self._receivers.items()):
            if not link.state & Endpoint.REMOTE_ACTIVE or not link.state & Endpoint.LOCAL_ACTIVE:
                continue
            where = self.broker.find(entity(link.remote_source.address))
            while where is not None and link.credit > 0:
                if self.cut_after == 0:
                    self.cut_after = -1
                    condition = Condition("amqp:connection:forced", "cut", {"n": 1})
                    link.connection.condition = condition
                    link.connection.close()
                    return
                stored = self.broker.receive(where, session)
                if stored is None:
                    break
                self.cut_after -= self.cut_after > 0
                assert stored.token is not None
                tag = stored.token.bytes_le.decode()
                delivery = link.delivery(tag)
                self._tokens[link.name, tag] = stored.token
                link.send(wire(stored).encode())
                link.advance()
                if link.remote_snd_settle_mode == link.SND_SETTLED:
                    delivery.settle()
                    self.broker.complete(stored.token)
            if link.drain_mode:
                link.drained()

    def _settled(self, event: Any, settle: Any) -> None:
        delivery = event.delivery
        token = self._tokens.pop((delivery.link.name, delivery.tag), None)
        if token is not None:
            settle(token)
        if not delivery.settled:
            # The client waits for its own outcome.
            delivery.update(delivery.remote_state)
        delivery.settle()

    def on_accepted(self, event: Any) -> None:
        self._settled(event, self.broker.complete)

    def on_released(self, event: Any) -> None:
        failed = event.delivery.remote_state == Delivery.MODIFIED
        self._settled(event, self.broker.abandon if failed else self.broker.release)

    def on_rejected(self, event: Any) -> None:
        info = getattr(event.delivery.remote.condition, "info", None) or {}
        words = {str(name): str(value) for name, value in info.items()}
        self._settled(
            event,
            lambda token: self.broker.dead_letter(
                token,
                words.get("DeadLetterReason", ""),
                words.get("DeadLetterErrorDescription", ""),
            ),
        )

    def on_link_closing(self, event: Any) -> None:
        self._receivers.pop(event.link, None)

    def on_connection_closing(self, event: Any) -> None:
        self._lost(event.connection)

    def on_disconnected(self, event: Any) -> None:
        self._lost(event.connection)

    def _lost(self, connection: Any) -> None:
        for link in [one for one in self._receivers if one.connection == connection]:
            del self._receivers[link]

    def _manage(self, event: Any, name: str, message: Any) -> None:
        """Answer a request: peek, or renew the lock."""
        operation = str(message.properties["operation"]).rpartition(":")[2]
        where = self.broker.find(name.rpartition("/")[0])
        body: Any = {}
        status = 200
        if operation == "peek-message" and where is not None:
            asked = message.body
            found = self.broker.peek(
                where, int(asked["from-sequence-number"]), int(asked["message-count"])
            )
            body = {"messages": [{"message": wire(one).encode()} for one in found]}
            status = 200 if found else 204
        elif operation == "renew-lock" and where is not None:
            until = self.broker.now + where.lockDuration
            body = {"expirations": [timestamp(int(until * 1000))]}
            for token in message.body["lock-tokens"]:
                locked = self.broker.locked(uuid.UUID(bytes=token.bytes))
                status = 410 if locked is None else 200
                if locked is not None:
                    locked[1].locked_until = until
        else:
            status = 404
        answer: Any = Message(body, correlation_id=message.id, inferred=False)
        answer.properties = {"statusCode": int32(status), "statusDescription": "answered"}
        self._replies[event.connection, name].send(answer)
        event.delivery.update(Delivery.ACCEPTED)
        event.delivery.settle()

    def _claim(self, event: Any, message: Any) -> None:
        properties = message.properties
        assert properties["operation"] == "put-token"
        self.claims.append((properties["type"], properties["name"], message.body))
        status, words = self.refused_claims or (202, "Accepted")
        answer: Any = Message(correlation_id=message.id)
        answer.properties = {"status-code": int32(status), "status-description": words}
        link = self._replies[event.connection, message.reply_to or "$cbs"]
        answer.address = message.reply_to
        link.send(answer)
        event.delivery.update(Delivery.ACCEPTED)
        event.delivery.settle()


def wire(stored: Stored) -> Any:
    """Return a stored message as it is delivered: with the broker's annotations."""
    message = clone(stored.message)
    message.delivery_count = stored.deliveries
    annotations = {symbol(str(k)): v for k, v in (message.annotations or {}).items()}
    annotations[symbol("x-opt-sequence-number")] = stored.sequence
    annotations[symbol("x-opt-enqueued-time")] = timestamp(int(stored.enqueued * 1000))
    if stored.token is not None:
        annotations[symbol("x-opt-locked-until")] = timestamp(int(stored.locked_until * 1000))
    if stored.source:
        annotations[symbol("x-opt-deadletter-source")] = stored.source
    message.annotations = annotations
    return message


def entity(address: str) -> str:
    """Return the path of ``amqps://host/path``."""
    return address.split("/", 3)[3] if "://" in address else address


def _received(delivery: Any) -> Any:
    """Stand in for proton's own, which takes a batch for one message."""
    link = delivery.link
    raw = link.recv(delivery.pending)
    link.advance()
    message: Any = Message()
    message.raw = raw
    # The format is not in the Python binding: a batch begins with a data section that is a message.
    message.format = BATCH if _is_batch(raw) else 0
    if message.format != BATCH:
        message.decode(raw)
    return message


def _is_batch(raw: bytes) -> bool:
    parts = split(raw) if raw[:2] == b"\0S" else []
    return bool(parts) and all(
        part[:2] == b"\0S" and len(part) > 3 and 0x70 <= part[2] <= 0x78 for part in parts
    )


#: Modules of the client that look 20 times a second whether a link is there yet.
_LOOKING = ("_servicebus_receiver", "_servicebus_sender", "_pyamqp.client", "_pyamqp.session",
            "_pyamqp._connection")  # fmt: skip


@contextmanager
def hurried() -> Iterator[None]:
    """Have the client look for its answers more often: a link takes it a second otherwise."""

    def sleep(seconds: float) -> None:
        time.sleep(seconds if seconds > 0.1 else min(seconds, 0.001))

    quick = types.SimpleNamespace(**{**vars(time), "sleep": sleep})
    modules: list[Any] = [importlib.import_module(f"azure.servicebus.{one}") for one in _LOOKING]
    before = [module.time for module in modules]
    for module in modules:
        module.time = quick
    try:
        yield
    finally:
        for module, was in zip(modules, before, strict=True):
            module.time = was


@contextmanager
def bus(broker: Broker | None = None) -> Iterator[Bus]:
    """Run a namespace for the time of the block; ``address`` is host and port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    before = proton._handlers.recv_msg
    proton._handlers.recv_msg = _received
    made = Bus(f"127.0.0.1:{port}", broker)
    container = Container(made)
    injector = EventInjector()
    container.selectable(injector)
    thread = threading.Thread(target=container.run)
    thread.start()
    try:
        assert made.ready.wait(10)
        made.on_pump = made.pump  # type: ignore[attr-defined]
        made.broker.on_change = lambda: injector.trigger(ApplicationEvent("pump"))
        with hurried():
            yield made
    finally:
        made.broker.on_change = lambda: None

        def end(event: Any) -> None:
            made.acceptor.close()
            container.stop()

        made.on_end = end  # type: ignore[attr-defined]
        injector.trigger(ApplicationEvent("end"))
        thread.join(10)
        injector.close()
        proton._handlers.recv_msg = before
        assert not thread.is_alive()
