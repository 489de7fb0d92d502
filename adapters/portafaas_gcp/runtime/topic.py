"""Bridge of topic functions: one Pub/Sub push, one event. Ships."""

from __future__ import annotations

from portafaas.runtime.cloudevent import event_from_message
from portafaas.runtime.control import SENT
from portafaas_gcp.runtime.delivery import bind_event, open_delivery, traced
from portafaas_gcp.runtime.pubsub import Received
from portafaas_gcp.runtime.settlement import Settlement

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from portafaas.runtime.context import Context
    from portafaas.runtime.function import Function
    from portafaas_gcp.runtime.delivery import Delivered


def bind(function: Function) -> Callable[[Any], Any]:
    """Return the framework's entry function for a topic function."""

    def read(environ: dict[str, Any], body: bytes, context: Context) -> Delivered:
        outer, data = open_delivery(environ, body)
        received = Received(outer, data)
        traced(context, received.attributes)
        visible, control = received.split()
        event = event_from_message(
            received.body,
            visible,
            id=received.id,
            source=function.source,
            time=received.time,
            key=received.key,
            attempt=received.attempt,
            raw=data,
            control=control,
        )
        if received.time is not None and event.time != received.time:
            # Its age counts from when it was sent, not from when it says that it happened.
            event.control = {SENT: received.time, **(control or {})}
        return event, Settlement(function, context, received.message, received.attempt)

    return bind_event(function, read)
