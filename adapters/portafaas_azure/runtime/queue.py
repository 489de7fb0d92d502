"""The queue bridge: one Service Bus message an invocation. Ships."""

from __future__ import annotations

from portafaas.runtime.context import Context
from portafaas.runtime.message import Message
from portafaas_azure.runtime.bus import Received, trace_parent
from portafaas_azure.runtime.run import Runner
from portafaas_azure.runtime.settlement import Settlement, settles

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

    from portafaas.runtime.function import Function


def bind(function: Function) -> Callable[[Any, Any], Awaitable[None]]:
    """Return the coroutine function that the worker calls; it raises to have the message again."""
    runner = Runner(function)
    settled = settles(function)
    queue = function.trigger["queue"]
    ordered = function.trigger.get("ordered")

    async def entry(native: Any, raw: Any) -> None:
        async with runner.slot():
            received = Received(native)
            message = Message(
                received.id,
                received.body,
                attributes=received.attributes,
                key=received.session if ordered else None,
                queue=queue,
                attempt=received.attempt,
                time=received.time,
                raw=native,
                control=received.control,
            )
            context = Context(
                function,
                raw.invocation_id,
                target="azure",
                attempt=message.attempt,
                trace_parent=trace_parent(received),
                raw=raw,
            )
            settlement = Settlement(function, context, copies=not ordered) if settled else None
            if await runner.run_messages([message], context, settlement):
                from portafaas.runtime.deliver import DeliveryFailed

                # The host abandons the message, and Service Bus delivers it again.
                raise DeliveryFailed(f"{function.name}: message {message.id} failed")

    return entry
