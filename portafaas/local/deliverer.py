"""The process of a function that gets deliveries, as a dispatcher has it."""

from __future__ import annotations

import selectors
from collections.abc import Callable, Mapping
from time import monotonic
from typing import TYPE_CHECKING, Any

from portafaas.local.broker import Broker
from portafaas.local.deliveries import Lease, Settled, settled_of, unanswered
from portafaas.local.hooks import Hooks, report_of_ended, reports
from portafaas.local.process import Child
from portafaas.local.worker import order_of
from portafaas.local.workers import GRACE, SLACK, START, Worker
from portafaas.plan import FunctionPlan

if TYPE_CHECKING:
    from portafaas.local.vendor import Vendor


class Deliverer(Worker):
    """One process of one function that gets deliveries."""

    def __init__(
        self,
        function: FunctionPlan,
        start: Callable[[FunctionPlan], Child],
        selector: selectors.BaseSelector,
        broker: Broker,
        hooks: Hooks,
        vendor: Vendor | None,
    ) -> None:
        super().__init__(broker.plan, function, start, selector)
        self._broker = broker
        self._hooks = hooks
        self._rules = None if vendor is None else vendor.rules()[function.name]
        #: Seconds that the handler may take, with what its bridge does after it.
        self._seconds = function.timeout if vendor is None else vendor.seconds(function)
        self.lease: Lease | None = None

    @property
    def busy(self) -> bool:
        """Tell whether it is at a lease."""
        return self.lease is not None

    def take(self) -> None:
        """Give the process what is due, if anything is."""
        # A vendor's runtime may have ended, and is started again.
        cold = self._rules is not None or not self.running
        seconds = self._seconds + GRACE + (START if cold else 0)
        lease = self._broker.lease(self.function, seconds + SLACK)
        if ended := self._broker.letters.ended():
            self._hooks.settled([report_of_ended(each) for each in ended])
        if lease is None:
            return
        self.lease = lease
        child = self.child()
        self.ends = monotonic() + seconds
        self._hooks.leased(lease, child.pid)
        child.send({"spec": self.spec, "items": order_of(lease.items), "run": lease.id})

    def answered(self, answer: Mapping[str, Any]) -> None:
        """Record what the function says."""
        if how := answer.get("how"):
            assert self.lease is not None
            self._hooks.ended(self.lease, how, answer["why"])
        self._settle(settled_of(answer), answer.get("why", ""))

    def ended(self, why: str, late: bool) -> None:
        """Have it come again; core buries what has had all its attempts."""
        lease = self.lease
        assert lease is not None
        self._hooks.ended(lease, self.how(late), why)
        self._settle(unanswered(lease.items, self.spec.get("retry"), self._rules), why)

    def given_up(self) -> None:
        """Forget the lease: the broker takes it back."""
        self.lease = None

    def _settle(self, settled: Settled, why: str) -> None:
        lease, self.lease = self.lease, None
        assert lease is not None
        settled = self._hooks.answered(lease, settled)
        self._broker.settle(lease, settled)
        self._hooks.settled(reports(lease, settled, why))
