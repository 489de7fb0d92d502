"""Changes of rows and scheduled events that come again: by a queue of the function's own. Ships.

Neither trigger can be fed by hand, so that what is to be delivered again, now or later, goes
through the queue ``<function>-again``, which the same function consumes.
"""

from __future__ import annotations

from portafaas.runtime.context import Context
from portafaas_azure.runtime.bus import Received, trace_parent
from portafaas_azure.runtime.settlement import Settlement, settles

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from portafaas_azure.runtime.run import Runner


async def deliver_again(
    runner: Runner, native: Any, raw: Any, made: Callable[[Any, int], Any]
) -> None:
    """Hand one message to the function, as the event that *made* makes of its document."""
    import json

    received = Received(native)
    event = made(json.loads(received.body), received.attempt)
    if event is None:
        return
    event.raw = native
    event.control = received.control
    if received.control is not None:
        from portafaas.runtime.control import carried

        event.attempt += carried(received.control)
    function = runner.function
    context = Context(
        function,
        raw.invocation_id,
        target="azure",
        attempt=event.attempt,
        trace_parent=trace_parent(received),
        raw=raw,
    )
    settlement = Settlement(function, context) if settles(function) else None
    await runner.run_event(event, context, settlement)
