"""The end of a process whose parent was killed: nothing that ``dev`` has started outlives it."""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable

#: Seconds that a parent waits for a process that it has told to end, and then kills.
PATIENCE = 5.0


def end_alone(
    descriptor: int, finish: Callable[[], object] = lambda: None, patience: float = PATIENCE
) -> None:
    """End this process, whatever it is at, when nobody can write to the pipe *descriptor* any more.

    *patience* seconds later, that is: a parent that lives closes it to end this process in good
    order, and who reads it ends by himself when nothing is under way. *finish* is called before.
    """

    def wait() -> None:
        hung = select.poll()
        # No event: a pipe that is hung up is always told of.
        # https://man7.org/linux/man-pages/man2/poll.2.html
        hung.register(descriptor, 0)
        try:
            hung.poll()
            time.sleep(patience)
            finish()
        finally:
            os._exit(1)

    threading.Thread(target=wait, name="orphan", daemon=True).start()
