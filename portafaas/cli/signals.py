"""SIGTERM ends a command as Ctrl-C does, with what it has begun put away: 143 instead of 130."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Terminated(KeyboardInterrupt):
    """SIGTERM; not for whoever catches exceptions on its way."""


def _terminated(number: int, frame: object) -> None:
    # Once: what is put away now is not to be interrupted. SIG_IGN would be the children's, too.
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    raise Terminated


@contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM raise :class:`Terminated`, unless it is ignored or somebody else's already."""
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _terminated)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def exit_status(interrupt: KeyboardInterrupt) -> int:
    """Return what a command exits with that was interrupted so."""
    number = signal.SIGTERM if isinstance(interrupt, Terminated) else signal.SIGINT
    return 128 + number
