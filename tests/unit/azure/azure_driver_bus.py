"""A peer for azure-servicebus: AMQP 1.0 with claims-based security, which keeps what it gets.

https://learn.microsoft.com/azure/service-bus-messaging/service-bus-amqp-protocol-guide
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import proton._handlers
from proton import Condition, Delivery, Message, int32, ulong
from proton.handlers import MessagingHandler
from proton.reactor import ApplicationEvent, Container, EventInjector

#: Format of a delivery whose data sections are messages of their own.
BATCH = 0x80013700
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

    def __init__(self, address: str) -> None:
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
        self.arrived += [Arrived(name, raw, self.transfers) for raw in raws]
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


@contextmanager
def bus() -> Iterator[Bus]:
    """Run a namespace for the time of the block; ``address`` is host and port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    before = proton._handlers.recv_msg
    proton._handlers.recv_msg = _received
    made = Bus(f"127.0.0.1:{port}")
    container = Container(made)
    injector = EventInjector()
    container.selectable(injector)
    thread = threading.Thread(target=container.run)
    thread.start()
    try:
        assert made.ready.wait(10)
        yield made
    finally:
        def end(event: Any) -> None:
            made.acceptor.close()
            container.stop()

        made.on_end = end  # type: ignore[attr-defined]
        injector.trigger(ApplicationEvent("end"))
        thread.join(10)
        injector.close()
        proton._handlers.recv_msg = before
        assert not thread.is_alive()
