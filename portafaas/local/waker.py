"""What ends a dispatcher's wait."""

from __future__ import annotations

import contextlib
import os


class Waker:
    """Ends the selector's wait; from any thread."""

    def __init__(self) -> None:
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._reading, False)
        os.set_blocking(self._writing, False)
        self._open = True

    def fileno(self) -> int:
        """Return what a selector waits for."""
        return self._reading

    def hear(self) -> None:
        """Have been woken."""
        with contextlib.suppress(BlockingIOError):
            while os.read(self._reading, 4096):
                continue

    def wake(self) -> None:
        """End the wait."""
        # Full: it is awake.
        if self._open:
            with contextlib.suppress(BlockingIOError, OSError):
                os.write(self._writing, b"!")

    def close(self) -> None:
        """Wake nobody any more."""
        self._open = False
        os.close(self._reading)
        os.close(self._writing)
