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

    From any thread but the dispatcher's.
    """

    def __init__(self, dev: Dev, mode: Literal["real", "virtual"]) -> None:
        self._dev = dev
        self.mode = mode

    def now(self) -> float:
        """Return the time, in seconds since 1970."""
        with Broker(store(self._dev.root, self._dev.stage), self._dev.plan) as broker:
            return broker.now()

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
            try:
                moment = datetime.fromisoformat(until)
            except ValueError as exc:
                raise InvocationError(f"{until!r} is no time of RFC 3339: {exc}") from exc
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=UTC)
            until = moment.timestamp()
        if until < self.now():
            raise InvocationError("the clock goes forward only")
        done = self._dev.deliveries.advance(until, timeout)
        self._dev.activity.tell({"type": "clock", "now": self.now()})
        return done
