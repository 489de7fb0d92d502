"""Runs coroutines of async handlers from synchronous entry points. Ships; asyncio loads lazily.

One event loop lives as long as the instance, so that clients opened in ``init`` stay usable. It
runs in a thread of its own: several request threads may share it, and the main thread stays
interruptible by the deadline's signal.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable
    from typing import Any

_loop: asyncio.AbstractEventLoop | None = None
_starting: Any = None


def loop() -> asyncio.AbstractEventLoop:
    """Return the instance's event loop, started on first use."""
    global _loop, _starting
    if _loop is not None:
        return _loop
    import asyncio
    import threading

    if _starting is None:
        _starting = threading.Lock()
    with _starting:
        if _loop is None:
            fresh = asyncio.new_event_loop()
            threading.Thread(target=fresh.run_forever, name="portafaas-loop", daemon=True).start()
            _loop = fresh
    return _loop


def run(awaitable: Awaitable[Any]) -> Any:
    """Run *awaitable* on the instance's loop and return its result.

    When the waiting thread is interrupted (deadline, exit) the coroutine is cancelled.
    """
    import asyncio

    async def complete() -> Any:
        return await awaitable

    future = asyncio.run_coroutine_threadsafe(complete(), loop())
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise
