"""Publishes CloudEvents to a topic: ``context.topics["order-events"]``. Ships.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md
"""

from __future__ import annotations

from portafaas.runtime import outbound
from portafaas.runtime.event import Event, is_json
from portafaas.runtime.resources import Client, Outgoing, new_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

_FIELDS = frozenset(("data", "type", "subject", "attributes", "key"))
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")


class Topic(Client):
    """One topic that the function may publish to."""

    __slots__ = ()

    kind = "topic"

    def publish(
        self,
        event_or_data: Any,
        *,
        type: str | None = None,
        subject: str | None = None,
        attributes: Mapping[str, str] | None = None,
        key: str | None = None,
    ) -> str:
        """Publish one event and return its id.

        Give an :class:`Event`, or its data (bytes, str or a JSON value) and its *type*. Missing
        attributes are filled: ``id`` (random), ``source`` (``/<service>/functions/<function>``),
        ``time`` (now), ``datacontenttype`` (of the data). *attributes* are the message's own,
        which filters see too. *key* is the ordering key, needed by ordered topics and refused by
        others.

        Raises TypeError or ValueError for what no target takes and for a type that is not among
        those of ``emits``, ResourceError when it was not published.
        """
        self._check("publish")
        message = self._message(event_or_data, type, subject, attributes, key)
        return self._publish([message])[0]

    def prepared(
        self,
        event_or_data: Any,
        *,
        type: str | None = None,
        subject: str | None = None,
        attributes: Mapping[str, str] | None = None,
        key: str | None = None,
    ) -> Outgoing:
        """Return what :meth:`publish` would publish, checked and complete."""
        self._check("publish")
        message = self._message(event_or_data, type, subject, attributes, key)
        outbound.deposited(self, [message])
        return message

    def publish_batch(self, events: Iterable[Mapping[str, Any] | Event]) -> list[str]:
        """Publish several events and return their ids, in order.

        Each is an Event, or a mapping with ``data``, ``type``, ``subject``, ``attributes`` and
        ``key``. Errors are those of ``Queue.send_batch``.
        """
        self._check("publish")
        ready = [self._one(number, item) for number, item in enumerate(events)]
        return self._publish(ready) if ready else []

    def _one(self, number: int, item: Mapping[str, Any] | Event) -> Outgoing:
        try:
            if isinstance(item, Event):
                return self._message(item, None, None, None, item.key)
            unknown = set(item) - _FIELDS
            if unknown:
                raise ValueError(f"it may have {', '.join(sorted(_FIELDS))}")
            return self._message(
                item.get("data"),
                item.get("type"),
                item.get("subject"),
                item.get("attributes"),
                item.get("key"),
            )
        except (TypeError, ValueError) as exc:
            kind = TypeError if isinstance(exc, TypeError) else ValueError
            raise kind(f"event {number}: {exc}") from exc

    def _message(
        self,
        given: Any,
        type: str | None,
        subject: str | None,
        attributes: Mapping[str, str] | None,
        key: str | None,
    ) -> Outgoing:
        context = self._context
        plain = outbound.checked_attributes(attributes)
        if isinstance(given, Event):
            event = given
            plain = {**outbound.checked_attributes(event.attributes), **plain}
            type, subject = type or event.type, event.subject if subject is None else subject
            key = event.key if key is None and self._grant.get("ordered") else key
            data, kind = _encode(event.data, event.datacontenttype)
            facts: dict[str, str | None] = {
                "id": event.id,
                "source": event.source,
                "type": type,
                "subject": subject,
                "time": event.time or _now(),
                "datacontenttype": kind,
                "dataschema": event.dataschema,
                **{_extension(name): value for name, value in event.extensions.items()},
            }
        else:
            if not type:
                raise TypeError("an event needs a type: publish(data, type='order.placed')")
            data, kind = _encode(given, None)
            facts = {
                "id": new_id(),
                "source": f"/{context.service}/functions/{context.function}",
                "type": type,
                "subject": subject,
                "time": _now(),
                "datacontenttype": kind,
            }
        allowed = self._grant.get("emits")
        if allowed is not None and type not in allowed:
            raise ValueError(
                f"function {context.function!r} does not declare events of type {type!r}: add "
                f"'{type}' to its 'emits' for topic {self.name!r} in portafaas.yaml"
            )
        carried = {"ce-specversion": "1.0"}
        for name, value in facts.items():
            if value is not None:
                if not isinstance(value, str):
                    raise TypeError(f"{name} must be text, not {value!r}")
                outbound.check_value(name, value)
                carried[f"ce-{name}"] = value
        outbound.carry(context, carried, "ce-")
        ordered = self._grant.get("ordered", False)
        message = Outgoing(
            carried["ce-id"],
            data,
            content_type=kind,
            attributes={**plain, **carried},
            key=outbound.checked_key(self, ordered, key),
        )
        outbound.check_size(message, self)
        return message

    def _publish(self, messages: list[Outgoing]) -> list[str]:
        ordered = self._grant.get("ordered", False)
        outbound.deposited(self, messages)
        failed = self._driver().publish(self._address(), messages, ordered)
        return outbound.outcome(self._context, self, messages, failed)


def _encode(data: Any, content_type: str | None) -> tuple[bytes, str | None]:
    """Return body and content type such that a subscriber decodes the same data from them."""
    if data is None:
        return b"", content_type
    if content_type is None:
        return outbound.encode(data)
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data), content_type
    if is_json(content_type):
        return outbound.to_json(data), content_type
    if not isinstance(data, str):
        raise TypeError(f"data of type {content_type} must be text or bytes")
    return data.encode("utf-8"), content_type


def _extension(name: Any) -> str:
    """Return the name of an extension attribute; raises ValueError when it is none.

    https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md#naming-conventions
    """
    if not isinstance(name, str) or not name or not _LETTERS.issuperset(name):
        raise ValueError(f"extension {name!r} is not lower-case letters and digits")
    return name


def _now() -> str:
    from time import time

    from portafaas.runtime.text import epoch_time

    return epoch_time(time())
