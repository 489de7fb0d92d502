"""The broker on this machine: what was sent and changed waits here until a function has done it.

It lives in the store of ``portafaas.local.resources``. Each part has a module:

========================================== =====================================================
``intake``, ``subscriptions``              what comes into which box
``boxes``                                  what the manifest, or a platform, says of a box
``leases``                                 who has which deliveries, and what becomes of them
``letters``                                dead letters
``retention``                              what is kept for how long
``clock``, ``owners``, ``store``           the time, who works on it, the database
========================================== =====================================================

Every step is one transaction: killed at any time, it has happened or not.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Self

from portafaas.local.boxes import Boxes
from portafaas.local.clock import StoreClock
from portafaas.local.deliveries import TABLE, Lease, Settled
from portafaas.local.intake import Intake
from portafaas.local.leases import Leases
from portafaas.local.letters import Letters
from portafaas.local.owners import Owner
from portafaas.local.retention import Retention
from portafaas.local.store import Store
from portafaas.plan import BuildPlan, FunctionPlan

if TYPE_CHECKING:
    from portafaas.adapter.delivery import DeliveryRules
    from portafaas.adapter.stimulus import Stimulus


class Broker:
    """The deliveries of one service and stage; a context manager. Not for several threads.

    *folder* is that of ``portafaas.local.resources.store``. Leases are its own: they end with the
    process that took them, and with all that inherited ``owner.lock()``. *rules* are those of
    another platform, by function.
    """

    def __init__(
        self, folder: Path, plan: BuildPlan, rules: Mapping[str, DeliveryRules] | None = None
    ) -> None:
        self.plan = plan
        self.store = Store(folder, TABLE)
        self.owner = Owner(folder)
        self.boxes = Boxes(plan, rules)
        self.clock = self._made_clock()
        self.letters = Letters(self.store, self.clock, self.boxes)
        self.intake = Intake(self.store, self.clock, self.boxes)
        self._leases = Leases(self.store, self.clock, self.boxes, self.letters, self.owner)
        self._retention = Retention(self.store, self.clock, self.boxes, self.letters, self.intake)

    def _made_clock(self) -> StoreClock:
        return StoreClock(self.store)

    def close(self) -> None:
        """Close the store; what is leased waits again, as if it had not been tried."""
        self._leases.give_back()
        self.owner.close()
        self.clock.close()
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def take_in(self) -> int:
        """Share out what was sent and changed; return how many deliveries that makes."""
        return self.intake.take_in()

    def fire(self, function: FunctionPlan, instant: str) -> bool:
        """Have a schedule's function run; see ``Intake.fire``."""
        return self.intake.fire(function, instant)

    def hand(self, function: FunctionPlan, stimulus: Stimulus) -> list[str]:
        """Put what the platform would deliver into a function's box; see ``Intake.hand``."""
        return self.intake.hand(function, stimulus)

    def ready(self) -> frozenset[str]:
        """Return the functions whose inboxes have something due; each may yet have to wait."""
        return self._leases.ready()

    def lease(self, function: FunctionPlan, seconds: float) -> Lease | None:
        """Return what *function* is to do next, for *seconds* at most; None when nothing is due."""
        return self._leases.lease(function, seconds)

    def settle(self, lease: Lease, settled: Settled) -> None:
        """Record what became of a lease. What another has by now, since it ended, is his."""
        self._leases.settle(lease, settled)

    def sweep(self) -> None:
        """Take back leases that ended or whose dispatcher is gone; drop what nobody wants."""
        self._leases.take_back()
        with self.store.transaction():
            self._leases.expire()
            self._retention.drop()

    def next_due(self) -> float | None:
        """Return in how many seconds something is due that is not yet; None when nothing is."""
        now = self.clock.now()
        found = self._leases.due_after(now)
        return None if found is None else max(0.0, found - now)

    def due_at(self) -> float | None:
        """Return when, by the store's clock, something is due that is not yet; None for never."""
        return self._leases.due_after(self.clock.now())

    def waiting(self, function: FunctionPlan) -> int:
        """Return how many deliveries wait for *function*, now or later, or are under way."""
        return self._leases.waiting(function)
