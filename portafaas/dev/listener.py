"""Who is told of events as they come: streams of the server, tests."""

from __future__ import annotations

import asyncio
import contextlib
import queue
from collections.abc import AsyncIterator, Callable
from typing import Any

#: Events that wait for one listener; the oldest are dropped.
_WAITING = 2000


class Listener:
    """Gets events as they come; one that is slow loses the oldest. Close it."""

    def __init__(self, leave: Callable[[Listener], None]) -> None:
        self._leave = leave
        self._queue: queue.Queue[dict[str, Any] | None] = queue.Queue(_WAITING)
        self._wakers: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    def put(self, event: dict[str, Any] | None) -> None:
        """Hand it an event; from any thread."""
        while True:
            try:
                self._queue.put_nowait(event)
                break
            except queue.Full:
                with contextlib.suppress(queue.Empty):
                    self._queue.get_nowait()
        for loop, waker in self._wakers:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(waker.set)

    def get(self, timeout: float | None = None) -> dict[str, Any] | None:
        """Return the next event; None when there was none for *timeout* seconds, or no more."""
        with contextlib.suppress(queue.Empty):
            return self._queue.get(timeout=timeout)
        return None

    async def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        waker = asyncio.Event()
        entry = (asyncio.get_running_loop(), waker)
        self._wakers.append(entry)
        try:
            while True:
                waker.clear()
                try:
                    event = self._queue.get_nowait()
                except queue.Empty:
                    await waker.wait()
                    continue
                if event is None:
                    return
                yield event
        finally:
            self._wakers.remove(entry)

    def close(self) -> None:
        """Get no more; who iterates ends."""
        self._leave(self)
        self.put(None)

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
