"""Bridge of queue functions: one Pub/Sub push, one message. Ships."""

from __future__ import annotations

from portafaas.runtime.deliver import report, run_messages
from portafaas.runtime.message import Message
from portafaas_gcp.runtime.delivery import bind_delivery, open_delivery, traced
from portafaas_gcp.runtime.pubsub import Received
from portafaas_gcp.runtime.settlement import Settlement

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from portafaas.runtime.context import Context
    from portafaas.runtime.function import Function


def bind(function: Function) -> Callable[[Any], Any]:
    """Return the framework's entry function for a queue function."""

    def deliver(environ: dict[str, Any], body: bytes, context: Context) -> bool:
        outer, data = open_delivery(environ, body)
        received = Received(outer, data)
        traced(context, received.attributes)
        visible, control = received.split()
        message = Message(
            received.id,
            received.body,
            attributes=visible,
            key=received.key if function.trigger.get("ordered") else None,
            queue=function.trigger["queue"],
            attempt=received.attempt,
            time=received.time,
            raw=data,
            control=control,
        )
        settlement = Settlement(function, context, received.message, received.attempt)
        try:
            return not run_messages(function, (message,), context, settlement)
        except BaseException as exc:  # the handler could not be loaded
            report(function, context, exc)
            return False

    return bind_delivery(function, deliver)
