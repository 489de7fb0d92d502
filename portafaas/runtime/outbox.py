"""Writes rows and sends messages, both or neither: ``context.outbox("orders")``. Ships.

The messages are rows of the same table, in the same commit as what was written; a relay sends them
and deletes their rows: at once, in the same invocation, and a function of the table's changes
(``portafaas.runtime.relay``) what a crash or a broker that was down has left. A message may so be
sent twice, with the same id. ``docs/spec/recovery.md`` has the rules (O-1 to O-9).
https://microservices.io/patterns/data/transactional-outbox.html
"""

from __future__ import annotations

from portafaas.runtime.resources import NotGranted, Outgoing, ResourceError, new_id
from portafaas.runtime.rows import OUTBOX, Delete, Put, Update, Write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from portafaas.runtime.context import Context
    from portafaas.runtime.tables import Table

#: The attribute of an outbox row that has the message.
MESSAGE = "outbox"


class Outbox:
    """One commit in the making; leaving ``with`` does it, an exception forgets it.

    All rows share one value of the table's key. Raises on leaving what the first write that cannot
    be done raises (Conflict, NotFound, ResourceError); then nothing is written and nothing sent.
    """

    __slots__ = ("_context", "_messages", "_table", "_writes")

    def __init__(self, context: Context, table: str) -> None:
        self._context = context
        self._table: Table = context.tables[table]
        self._table._check("write")
        if not self._table._grant.get("outbox"):
            raise TypeError(
                f"{self._table!r} has no outbox: write 'outbox: true' at it in portafaas.yaml"
            )
        self._writes: list[Write] = []
        self._messages: list[tuple[str, str, Outgoing]] = []

    def put(
        self,
        row: Mapping[str, Any],
        if_absent: bool = False,
        *,
        if_version: str | None = None,
        when: Mapping[str, Any] | None = None,
    ) -> None:
        """Store *row*; as ``Table.put``."""
        self._write(Put(row, if_absent, if_version=if_version, when=when))

    def update(
        self,
        key: str,
        sort: str | None = None,
        *,
        set: Mapping[str, Any] | None = None,
        add: Mapping[str, int] | None = None,
        remove: Sequence[str] = (),
        if_version: str | None = None,
        when: Mapping[str, Any] | None = None,
        create: bool = False,
    ) -> None:
        """Change attributes of a row; as ``Table.update``."""
        self._write(
            Update(
                key, sort, set=set, add=add, remove=remove, if_version=if_version, when=when,
                create=create,
            )
        )  # fmt: skip

    def delete(
        self,
        key: str,
        sort: str | None = None,
        *,
        if_version: str | None = None,
        when: Mapping[str, Any] | None = None,
    ) -> None:
        """Delete a row; as ``Table.delete``."""
        self._write(Delete(key, sort, if_version=if_version, when=when))

    def send(self, queue: str, body: Any, **given: Any) -> str:
        """Send to *queue* once the rows are written; return the id. As ``Queue.send``."""
        message: Outgoing = self._context.queues[queue].prepared(body, **given)
        self._messages.append(("queue", queue, message))
        return message.id

    def publish(self, topic: str, event_or_data: Any, **given: Any) -> str:
        """Publish to *topic* once the rows are written; return the id. As ``Topic.publish``."""
        message: Outgoing = self._context.topics[topic].prepared(event_or_data, **given)
        self._messages.append(("topic", topic, message))
        return message.id

    def _write(self, asked: Put | Update | Delete) -> None:
        write = self._table._write(asked)
        key = next(iter(write.key.values()))
        if self._writes and key != self._key():
            # One commit is one partition on Cosmos DB.
            raise ValueError(f"rows of two keys, {self._key()!r} and {key!r}, in one outbox")
        self._writes.append(write)

    def _key(self) -> str:
        return next(iter(self._writes[0].key.values()))

    def __enter__(self) -> Outbox:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        if error is not None or not (self._writes or self._messages):
            return
        if not self._writes:
            raise ValueError("an outbox that writes no row: send the messages without one")
        from portafaas.runtime import outbound

        for kind, name, message in self._messages:
            # Long bodies go to their bucket first, as a message's own would.
            client = (self._context.queues if kind == "queue" else self._context.topics)[name]
            outbound.deposited(client, [message])
        key, rows = self._key(), self._rows()
        self._table._commit([*self._writes, *(Write("put", r.key, row=dict(r)) for r in rows)])
        self._writes = []
        try:
            relay(self._context, self._table, key, rows)
        except Exception as exc:
            self._context.logger.warning(
                "messages of %r wait for its relay: %s", self._table.name, exc
            )

    def _rows(self) -> list[Pending]:
        from time import time

        names = self._table._names()
        now = time()
        # In the order of the commits, as far as clocks agree, and in order within each.
        place = f"{OUTBOX}{int(now * 1e6):017d}-{new_id()[:8]}"
        return [
            Pending(
                {names[0]: self._key(), names[1]: f"{place}-{number:03d}"},
                kind, name, message, now,
            )
            for number, (kind, name, message) in enumerate(self._messages)
        ]  # fmt: skip


class Pending(dict):  # type: ignore[type-arg]
    """A row of the outbox.

    Attributes:
        key: the row's key.
        kind, name: ``queue`` or ``topic``, and which.
        message: what to send.
        at: when it was committed, seconds since 1970.
    """

    __slots__ = ("at", "key", "kind", "message", "name")

    def __init__(
        self, key: dict[str, str], kind: str, name: str, message: Outgoing, at: float
    ) -> None:
        self.key = key
        self.kind = kind
        self.name = name
        self.message = message
        self.at = at
        content: dict[str, Any] = {
            "at": round(at, 3),
            "kind": kind,
            "name": name,
            "id": message.id,
            "attributes": message.attributes,
        }
        try:
            content["body"] = message.body.decode("utf-8")
        except UnicodeDecodeError:
            from binascii import b2a_base64

            content["base64"] = b2a_base64(message.body, newline=False).decode("ascii")
        for fact in ("content_type", "key", "delay", "dedup"):
            value = getattr(message, fact)
            if value:
                content[fact] = value
        super().__init__({**key, MESSAGE: content})

    @classmethod
    def read(cls, row: Mapping[str, Any], names: Sequence[str], now: float) -> Pending:
        """Return a row of the table as what waits; its delay is what is left of it."""
        content = row[MESSAGE]
        if "base64" in content:
            from binascii import a2b_base64

            body = a2b_base64(content["base64"])
        else:
            body = content["body"].encode("utf-8")
        at = float(content["at"])
        left = content.get("delay", 0) - (now - at)
        message = Outgoing(
            content["id"],
            body,
            content_type=content.get("content_type"),
            attributes=content["attributes"],
            key=content.get("key"),
            delay=max(0, -int(-left // 1)),
            dedup=content.get("dedup"),
        )
        key = {name: row[name] for name in names}
        return cls(key, content["kind"], content["name"], message, at)


def relay(context: Context, table: Table, key: str, rows: Iterable[Pending]) -> None:
    """Send what *rows*, of one key, have, in order, and delete them.

    Stops at the first that is not sent and raises its error; what was sent is deleted. What is for
    a queue or topic that is no longer there can never be sent: it holds up nothing, and NotGranted
    is raised at the end. Raises ResourceError, too, when they are sent and cannot be deleted: then
    they are sent again.
    """
    sent: list[Pending] = []
    nowhere: NotGranted | None = None
    try:
        for group in _groups(context, rows):
            messages = [row.message for row in group]
            try:
                client = _client(context, group[0])
                if group[0].kind == "queue":
                    client._send(messages)
                else:
                    client._publish(messages)
            except NotGranted as exc:
                nowhere = exc
                continue
            except ResourceError as exc:
                unsent = {index for index, _ in exc.failed} or range(len(group))
                sent += [row for index, row in enumerate(group) if index not in unsent]
                raise
            sent += group
    finally:
        if sent:
            table._commit([Write("delete", row.key) for row in sent])
    if nowhere is not None:
        raise nowhere


def _client(context: Context, row: Pending) -> Any:
    """Return what the message is for; raises NotGranted."""
    return (context.queues if row.kind == "queue" else context.topics)[row.name]


def _groups(context: Context, rows: Iterable[Pending]) -> Iterator[list[Pending]]:
    """Yield what one call may send: where there is an order, one by one."""
    group: list[Pending] = []
    for row in rows:
        if group:
            first = group[0]
            granted = context._function.uses.get(first.kind, {}).get(first.name, {})
            if granted.get("ordered") or (row.kind, row.name) != (first.kind, first.name):
                yield group
                group = []
        group.append(row)
    if group:
        yield group
