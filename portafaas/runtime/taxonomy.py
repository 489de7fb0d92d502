"""What kind of failure an exception is: the errors handlers raise on purpose. Ships.

========== ============================================== =====================================
kind       raised as                                      what becomes of it
========== ============================================== =====================================
retryable  anything else, :class:`Retryable`              comes again as ``retry`` says
throttled  :class:`Throttled`                             comes again after ``retry_after``
permanent  :class:`Permanent`, ``NotGranted``             a dead letter at once
poison     :class:`Poison`, such as ``message.json()``    a dead letter at once: nobody can read it
timeout    the deadline                                   as retryable
========== ============================================== =====================================

Where there are no dead letters every failure comes again: nothing is dropped on the word of an
exception. ``docs/spec/recovery.md`` has the rules.
"""

from __future__ import annotations


class Retryable(Exception):
    """The same may succeed later. What any exception is that is none of the others."""


class Throttled(Retryable):
    """Something asks for patience: again after *retry_after* seconds, not before.

    At most 14 days. Counts as an attempt. Over HTTP it is answered with 503 and ``retry-after``.
    """

    def __init__(self, message: str = "", *, retry_after: float = 0.0) -> None:
        super().__init__(message)
        # No queue keeps anything for longer; what is no number is none.
        self.retry_after = min(1_209_600.0, max(0.0, float(retry_after)))


class Permanent(Exception):
    """It will never succeed, however often it is tried."""


class Poison(Permanent):
    """What was delivered cannot be read; no version of this handler could."""


class Unreadable(Poison, ValueError):
    """A body that is not the JSON it should be."""


def kind_of(error: BaseException | None) -> str:
    """Return ``retryable``, ``throttled``, ``permanent``, ``poison`` or ``timeout``."""
    if isinstance(error, Permanent):
        return "poison" if isinstance(error, Poison) else "permanent"
    if isinstance(error, Throttled):
        return "throttled"
    from portafaas.runtime.context import HandlerTimeout
    from portafaas.runtime.resources import NotGranted

    if isinstance(error, NotGranted):
        return "permanent"
    return "timeout" if isinstance(error, HandlerTimeout) else "retryable"
