"""Bridge of topic functions. Ships."""

from __future__ import annotations

from portafaas.runtime.cloudevent import event_from_message
from portafaas_example.runtime.common import bind_event, visible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from portafaas.runtime.event import Event
    from portafaas.runtime.function import Function
    from portafaas_example.runtime.common import Entry


def bind(function: Function) -> Entry:
    """Return the entry of a topic function."""
    from binascii import a2b_base64

    def read(event: Mapping[str, Any]) -> Event:
        notice = event["notice"]
        return event_from_message(
            a2b_base64(notice["payload"]),
            visible(notice["labels"]),
            id=notice["ticket"],
            source=function.source,
            content_type=notice["type"],
            time=notice["sent"],
            key=notice["lane"],
            attempt=notice["tries"],
            raw=event,
        )

    return bind_event(function, read)
