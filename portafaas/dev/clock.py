"""The store's clock: what is due when, and when schedules fire."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from portafaas.errors import InvocationError
from portafaas.local.broker import Broker
from portafaas.local.resources import store

if TYPE_CHECKING:
    from portafaas.dev.service import Dev


class Clock:
    """``real``: this machine's, plus what it was set forward. ``virtual``: stands still.

    A number of seconds since 1970 is a virtual one that begins there. From any thread but the
    dispatcher's.
    """

    def __init__(self, dev: Dev, clock: Literal["real", "virtual"] | float) -> None:
        self._dev = dev
        self.mode: Literal["real", "virtual"] = "real" if clock == "real" else "virtual"
        self._start = None if isinstance(clock, str) else clock

    def begin(self) -> None:
        """Set it to where it begins, before there is a dispatcher."""
        if self._start is not None:
            with Broker(store(self._dev.root, self._dev.stage), self._dev.plan) as broker:
                broker.clock.hold(self._start, anew=True)

    def now(self) -> float:
        """Return the time, in seconds since 1970."""
        with Broker(store(self._dev.root, self._dev.stage), self._dev.plan) as broker:
            return broker.clock.now()

    def advance(self, seconds: float, timeout: float | None = None) -> bool:
        """Set a virtual clock forward, doing what is due on the way; see :meth:`set`."""
        return self.set(self.now() + seconds, timeout)

    def set(self, until: float | str, timeout: float | None = None) -> bool:
        """Set a virtual clock forward to *until*: seconds since 1970, or RFC 3339.

        Schedules fire at each of their instants, and each delivery comes when it is due. Returns
        when all that is done; False when it takes more than *timeout* seconds, and goes on then.
        Raises InvocationError for a clock that is real, or when *until* is in the past.
        """
        if self.mode != "virtual":
            raise InvocationError(
                "the clock is this machine's: it cannot be set", hint="start with --clock virtual"
            )
        if isinstance(until, str):
            until = seconds_of(until)
        if until < self.now():
            raise InvocationError("the clock goes forward only")
        done = self._dev.deliveries.advance(until, timeout)
        self._dev.activity.tell({"type": "clock", "now": self.now()})
        return done


def seconds_of(text: str) -> float:
    """Return a time of RFC 3339 in seconds since 1970; without an offset it is UTC.

    Raises InvocationError.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as exc:
        raise InvocationError(f"{text!r} is no time of RFC 3339: {exc}") from exc
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
