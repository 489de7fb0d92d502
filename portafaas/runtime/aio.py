"""Runs coroutines of async handlers from synchronous entry points. Ships; asyncio loads lazily.

One event loop lives as long as the instance, so that clients opened in ``init`` stay usable. It
runs in a thread of its own: several request threads may share it, and the main thread stays
interruptible by the deadline's signal.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    import threading
    from collections.abc import Awaitable
    from typing import Any

_loop: asyncio.AbstractEventLoop | None = None
_thread: threading.Thread | None = None
_starting: Any = None


def loop() -> asyncio.AbstractEventLoop:
    """Return the instance's event loop, started on first use."""
    global _loop, _thread, _starting
    if _loop is not None and not _over(_loop):
        return _loop
    import asyncio
    import threading

    if _starting is None:
        _starting = threading.Lock()
    with _starting:
        if _loop is None or _over(_loop):
            fresh = asyncio.new_event_loop()
            _thread = threading.Thread(target=fresh.run_forever, name="portafaas-loop", daemon=True)
            _thread.start()
            _loop = fresh
    return _loop


def _over(loop: asyncio.AbstractEventLoop) -> bool:
    """Tell whether *loop* is none any more: a handler has stopped ours, or the platform's ended."""
    return loop.is_closed() or (_thread is not None and not _thread.is_alive())


def adopt(running: asyncio.AbstractEventLoop | None) -> None:
    """Make the platform's own event loop the instance's; None lets go of it."""
    global _loop, _thread
    _loop, _thread = running, None


async def guarded(awaitable: Awaitable[Any]) -> tuple[Any, BaseException | None]:
    """Return ``(result, None)`` or ``(None, what was raised)``.

    SystemExit or KeyboardInterrupt leaving a task would end the loop, and with it every other
    handler of the instance.
    """
    from asyncio import CancelledError

    try:
        return await awaitable, None
    except CancelledError:
        raise
    except GeneratorExit as exc:
        # By this name Python closes coroutines: raised on, it would end the caller's instead.
        return None, RuntimeError(f"the handler raised {exc!r}")
    except BaseException as exc:
        return None, exc


def run(awaitable: Awaitable[Any], seconds: float | None = None) -> Any:
    """Run *awaitable* on the instance's loop and return its result.

    When the waiting thread is interrupted (deadline, exit), or *seconds* are over, the coroutine is
    cancelled. Raises :class:`~portafaas.runtime.context.HandlerTimeout` in the latter case.
    """
    import asyncio
    from concurrent.futures import TimeoutError as Expired

    future = asyncio.run_coroutine_threadsafe(guarded(awaitable), loop())
    try:
        result, error = future.result(seconds)
    except Expired:
        from portafaas.runtime.context import HandlerTimeout

        future.cancel()
        raise HandlerTimeout from None
    except BaseException:
        future.cancel()
        raise
    if error is not None:
        raise error
    return result
