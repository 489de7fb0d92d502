"""Faults of what delivers, that a test asks for."""

from __future__ import annotations

from portafaas.testing.clock import Duration, FrozenBroker, seconds_of
from portafaas.testing.loop import Loop
from portafaas.testing.names import Names


class BrokerFaults:
    """Faults of what delivers: ``app.broker``. *box* is a queue, or a function of its own box."""

    def __init__(self, names: Names, loop: Loop, broker: FrozenBroker) -> None:
        self._names = names
        self._loop = loop
        self._broker = broker

    def duplicate(self, box: str, *, times: int = 1) -> None:
        """Have the next *times* messages delivered again though they were done."""
        name = self._names.inbox(box)
        self._loop.repeated[name] = self._loop.repeated.get(name, 0) + times

    def delay(self, box: str, duration: Duration, *, times: int = 1) -> None:
        """Have the next *times* messages come *duration* late, and others overtake them."""
        waits = self._broker.slow.setdefault(self._names.inbox(box), [])
        waits.extend([seconds_of(duration)] * times)

    def drop_answer(self, function: str, *, times: int = 1) -> None:
        """Lose a function's next *times* answers: what it did is done, and comes again."""
        self._names.function(function, "queue", "topic", "object", "table", "schedule")
        self._loop.dropped[function] = self._loop.dropped.get(function, 0) + times
