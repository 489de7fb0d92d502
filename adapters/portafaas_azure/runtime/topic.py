"""The topic bridge: one message of a Service Bus subscription an invocation. Ships."""

from __future__ import annotations

from portafaas.runtime.cloudevent import event_from_message
from portafaas.runtime.context import Context
from portafaas.runtime.control import SENT
from portafaas_azure.runtime.bus import Received, trace_parent
from portafaas_azure.runtime.run import Runner
from portafaas_azure.runtime.settlement import Settlement, settles

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

    from portafaas.runtime.function import Function

#: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/amqp-protocol-binding.md
PREFIXES = ("cloudEvents:", "cloudEvents_")


def bind(function: Function) -> Callable[[Any, Any], Awaitable[None]]:
    """Return the coroutine function that the worker calls; it raises to have the message again."""
    runner = Runner(function)
    settled = settles(function)

    async def entry(native: Any, raw: Any) -> None:
        async with runner.slot():
            received = Received(native)
            event = event_from_message(
                received.body,
                received.attributes,
                id=received.id,
                source=function.source,
                prefixes=PREFIXES,
                content_type=received.content_type,
                time=received.time,
                key=received.session or received.partition,
                attempt=received.attempt,
                raw=native,
                control=received.control,
            )
            if received.time is not None and event.time != received.time:
                # Its age counts from when it was sent, not from when it says that it happened.
                event.control = {SENT: received.time, **(received.control or {})}
            context = Context(
                function,
                raw.invocation_id,
                target="azure",
                attempt=event.attempt,
                trace_parent=trace_parent(received),
                raw=raw,
            )
            settlement = None
            if settled:
                settlement = Settlement(function, context, copies=not received.session)
            await runner.run_event(event, context, settlement)

    return entry
