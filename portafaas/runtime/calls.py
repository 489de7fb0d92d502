"""Calls of what is outside: time limits, repeats, and a breaker for what is down. Ships.

::

    BANK = CircuitBreaker("bank")

    def handle(message, context):
        with BANK.guard(context):
            bank.charge(message.json(), timeout=timeout_for(context, 5))

A breaker belongs to the instance: instances do not talk to one another.
https://learn.microsoft.com/azure/architecture/patterns/circuit-breaker
"""

from __future__ import annotations

from portafaas.runtime.context import HandlerTimeout
from portafaas.runtime.taxonomy import Permanent, Retryable, Throttled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any, TypeVar

    from portafaas.runtime.context import Context

    T = TypeVar("T")

#: Seconds of the invocation that no call gets: what follows it needs some.
MARGIN = 0.5


class CircuitOpen(Throttled):
    """The breaker lets nothing through; again after ``retry_after`` seconds.

    What raises it waits as long as the breaker is open, so that an outage costs one attempt each
    time it opens, and not one for each delivery.
    """


class CircuitBreaker:
    """Stops calling what has failed, for a while; thread-safe, for sync and async handlers.

    It opens at *failures* failures within *window* seconds. For *open_for* seconds it lets nothing
    through; then it lets one call through (half open), whose success closes it and whose failure
    opens it again. A failure is any exception, the deadline included, but not Permanent, nor those
    of *answers*: errors by which the other side shows that it is there.
    """

    __slots__ = (
        "_answers", "_failed", "_lock", "_most", "_open_for", "_trial", "_until", "_window", "name",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        *,
        failures: int = 5,
        window: float = 30.0,
        open_for: float = 30.0,
        answers: tuple[type[BaseException], ...] = (),
    ) -> None:
        if failures < 1 or window <= 0 or open_for <= 0:
            raise ValueError("failures, window and open_for are above 0")
        from _thread import allocate_lock

        self.name = name
        self._most = failures
        self._window = window
        self._open_for = open_for
        self._answers = (Permanent, CircuitOpen, *answers)
        self._lock = allocate_lock()
        #: When the failures that count were.
        self._failed: list[float] = []
        #: Until when nothing is let through; 0 while it is closed.
        self._until = 0.0
        #: When the call was let through that is to show whether it works again; 0 for none.
        self._trial = 0.0

    @property
    def state(self) -> str:
        """``closed``, ``open`` or ``half-open``."""
        from time import monotonic

        if not self._until:
            return "closed"
        return "open" if monotonic() < self._until else "half-open"

    def guard(self, context: Context) -> Guard:
        """Return a context manager for one call: ``with`` or ``async with``.

        Entering it raises :class:`CircuitOpen` while nothing is let through.
        """
        return Guard(self, context)

    def _enter(self) -> bool:
        """Let a call through, and tell whether it is the one that is to show; or raise."""
        from time import monotonic

        with self._lock:
            if not self._until:
                return False
            now = monotonic()
            wait = self._until - now
            if wait <= 0 and self._trial:
                # One whose end was never told must not keep it open for ever.
                wait = self._trial + self._open_for - now
            if wait > 0:
                raise CircuitOpen(f"{self.name} is given a rest", retry_after=wait)
            self._trial = now
            return True

    def _leave(self, context: Context, trial: bool, error: BaseException | None) -> None:
        from time import monotonic

        event = ""
        with self._lock:
            if error is None or isinstance(error, self._answers):
                if trial:
                    self._until = self._trial = 0.0
                    self._failed = []
                    event = "closed"
            elif isinstance(error, (Exception, HandlerTimeout)):
                now = monotonic()
                since = now - self._window
                self._failed = [*(when for when in self._failed if when > since), now]
                if trial or (not self._until and len(self._failed) >= self._most):
                    self._until, self._trial = now + self._open_for, 0.0
                    event = "opened"
            elif trial:
                self._trial = 0.0  # cancelled: it shows nothing
        if event:
            context.metrics.count(f"circuit_{event}", 1, circuit=self.name)
            context.logger.warning("circuit breaker %s has %s", self.name, event)

    def __repr__(self) -> str:
        return f"<CircuitBreaker {self.name!r} {self.state}>"


class Guard:
    """One call through a breaker; see :meth:`CircuitBreaker.guard`."""

    __slots__ = ("_breaker", "_context", "_trial")

    def __init__(self, breaker: CircuitBreaker, context: Context) -> None:
        self._breaker = breaker
        self._context = context
        self._trial = False

    def __enter__(self) -> Guard:
        self._trial = self._breaker._enter()
        return self

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        self._breaker._leave(self._context, self._trial, error)

    async def __aenter__(self) -> Guard:
        return self.__enter__()

    async def __aexit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        self.__exit__(kind, error, traceback)


def timeout_for(context: Context, most: float, *, margin: float = MARGIN) -> float:
    """Return the seconds that a call may take: *most*, or what the invocation has left.

    *margin* of it is kept for what follows. Raises Retryable when nothing is left.
    """
    left = context.remaining() - margin
    if left <= 0:
        raise Retryable("the invocation has no time left for a call")
    return min(most, left)


def retrying(
    call: Callable[[], T],
    context: Context,
    *,
    attempts: int = 3,
    initial: float = 0.2,
    longest: float = 5.0,
) -> T:
    """Return what ``call()`` returns, calling again what fails, as far as the time allows.

    The delays are those of ``retry`` (exponential, with jitter, at most *longest*). Permanent and
    :class:`CircuitOpen` are raised at once, other exceptions when *attempts* or the time are used
    up. These attempts multiply with those of the SDK and of the trigger.
    """
    from time import sleep

    attempt = 1
    while True:
        try:
            return call()
        except Exception as exc:
            delay = _delay(exc, context, attempt, attempts, initial, longest)
            if delay is None:
                raise
        sleep(delay)
        attempt += 1


async def retrying_async(
    call: Callable[[], Awaitable[T]],
    context: Context,
    *,
    attempts: int = 3,
    initial: float = 0.2,
    longest: float = 5.0,
) -> T:
    """:func:`retrying` for what is awaited: ``await retrying_async(lambda: get(url), context)``."""
    from asyncio import sleep

    attempt = 1
    while True:
        try:
            return await call()
        except Exception as exc:
            delay = _delay(exc, context, attempt, attempts, initial, longest)
            if delay is None:
                raise
        await sleep(delay)
        attempt += 1


def _delay(
    error: Exception,
    context: Context,
    attempt: int,
    attempts: int,
    initial: float,
    longest: float,
) -> float | None:
    """Return the seconds until the next attempt, or None when there is none."""
    if attempt >= attempts or isinstance(error, (Permanent, CircuitOpen)):
        return None
    from portafaas.runtime.recovery import delay_of

    policy = {"initial": initial, "backoff": "exponential", "max": longest, "jitter": True}
    delay = delay_of(policy, attempt, error)
    return delay if delay + MARGIN < context.remaining() else None
