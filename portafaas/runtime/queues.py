"""Sends messages to a queue: ``context.queues["payments"]``. Ships; loaded at first use."""

from __future__ import annotations

from portafaas.runtime import control, outbound
from portafaas.runtime.resources import Client, Outgoing, new_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

_FIELDS = frozenset(("body", "key", "attributes", "delay", "dedup", "ttl"))


class Queue(Client):
    """One queue that the function may send to."""

    __slots__ = ()

    kind = "queue"

    def send(
        self,
        body: Any,
        *,
        key: str | None = None,
        attributes: Mapping[str, str] | None = None,
        delay: int = 0,
        dedup: str | None = None,
        ttl: int | None = None,
    ) -> str:
        """Send one message and return its id, by which its handler sees it.

        *body* is bytes, str (sent as UTF-8) or a JSON value. *key* is the ordering key, needed by
        ordered queues and refused by others. *delay* is in whole seconds, at most 900. Messages
        with one *dedup* are delivered once where the platform can tell. *ttl* is in whole seconds:
        no handler gets the message later than that after its delay.

        Raises TypeError or ValueError for what no target takes, ResourceError when it was not sent.
        """
        self._check("send")
        message = self._message(body, key, attributes, delay, dedup, ttl)
        return self._send([message])[0]

    def prepared(
        self,
        body: Any,
        *,
        key: str | None = None,
        attributes: Mapping[str, str] | None = None,
        delay: int = 0,
        dedup: str | None = None,
        ttl: int | None = None,
    ) -> Outgoing:
        """Return what :meth:`send` would send, checked and complete."""
        self._check("send")
        message = self._message(body, key, attributes, delay, dedup, ttl)
        outbound.deposited(self, [message])
        return message

    def send_batch(self, messages: Iterable[Mapping[str, Any] | Outgoing]) -> list[str]:
        """Send several messages and return their ids, in order.

        Each is a mapping with the arguments of :meth:`send` by name, or an Outgoing. All are
        checked before the first is sent. Raises ResourceError when some were not sent: ``failed``
        names them by index, the others are sent.
        """
        self._check("send")
        ready = [self._one(number, item) for number, item in enumerate(messages)]
        return self._send(ready) if ready else []

    def _one(self, number: int, item: Mapping[str, Any] | Outgoing) -> Outgoing:
        try:
            if isinstance(item, Outgoing):
                if not isinstance(item.id, str):
                    raise TypeError(f"id must be text, not {item.id!r}")
                outbound.check_value("id", item.id)
                message = self._message(
                    item.body, item.key, item.attributes, item.delay, item.dedup
                )
                message.id, message.content_type = item.id, item.content_type
                message.attributes[control.ID] = item.id
                return message
            unknown = set(item) - _FIELDS
            if unknown or "body" not in item:
                raise ValueError(f"it may have {', '.join(sorted(_FIELDS))}, and must have body")
            return self._message(
                item["body"],
                item.get("key"),
                item.get("attributes"),
                item.get("delay", 0),
                item.get("dedup"),
                item.get("ttl"),
            )
        except (TypeError, ValueError) as exc:
            kind = TypeError if isinstance(exc, TypeError) else ValueError
            raise kind(f"message {number}: {exc}") from exc

    def _message(
        self,
        body: Any,
        key: str | None,
        attributes: Mapping[str, str] | None,
        delay: int,
        dedup: str | None,
        ttl: int | None = None,
    ) -> Outgoing:
        ordered = self._grant.get("ordered", False)
        data, content_type = outbound.encode(body)
        message = Outgoing(
            new_id(),
            data,
            content_type=content_type,
            attributes=outbound.checked_attributes(attributes),
            key=outbound.checked_key(self, ordered, key),
            delay=outbound.checked_delay(self, ordered, delay),
            dedup=outbound.checked_dedup(dedup),
        )
        outbound.carry(self._context, message.attributes, most=outbound.MAX_ATTRIBUTES)
        if len(message.attributes) > outbound.MAX_ATTRIBUTES:
            own = {"traceparent", "tracestate", "correlationid"}
            raise ValueError(
                f"a message to a queue may have {outbound.MAX_ATTRIBUTES - 2} attributes of its "
                f"own, not {len(set(message.attributes) - own)}"
            )
        message.attributes[control.ID] = message.id
        if dedup is not None:
            message.attributes[control.DEDUP] = dedup
        if ttl is not None:
            message.attributes[control.EXPIRES] = outbound.expiry(ttl, message.delay)
        outbound.check_size(message, self)
        return message

    def _send(self, messages: list[Outgoing]) -> list[str]:
        ordered = self._grant.get("ordered", False)
        outbound.deposited(self, messages)
        failed = self._driver().send(self._address(), messages, ordered)
        return outbound.outcome(self._context, self, messages, failed)
