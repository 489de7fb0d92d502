"""What a dispatcher tells of its work, and what became of each delivery."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from portafaas.local.deliveries import Lease, Settled
from portafaas.local.letters import Ended
from portafaas.local.making import Note
from portafaas.local.orders import Order
from portafaas.record import dataclass, field

What = Literal["delivered", "again", "dead", "held", "lost"]
How = Literal["crash", "timeout", "memory"]


@dataclass(frozen=True, slots=True)
class Report:
    """What became of one delivery.

    ``delivered``; ``again``, in ``seconds``; ``dead``, with the letter; ``held``: not tried, since
    an earlier message of its key failed; ``lost``, as on some platforms. ``error`` is why, as far
    as is known.
    """

    function: str
    #: ``queue/<name>`` or ``function/<name>``.
    box: str
    id: str
    attempt: int
    what: What
    seconds: float = 0.0
    error: str = ""
    letter: Mapping[str, Any] = field(default_factory=dict)


class Hooks:
    """What a dispatcher tells of its work; nothing is done here."""

    def leased(self, lease: Lease, pid: int) -> None:
        """Deliveries go to a function's process; nothing is recorded but the lease."""

    def answered(self, lease: Lease, settled: Settled) -> Settled:
        """A function has answered; return what is to be recorded."""
        return settled

    def settled(self, reports: Sequence[Report]) -> None:
        """It is recorded."""

    def fired(self, function: str, instant: str) -> None:
        """A schedule's function is due."""

    def called(self, order: Order, pid: int) -> None:
        """A workflow calls a function; that it asks for it is recorded."""

    def replied(self, order: Order, answer: Mapping[str, Any]) -> Mapping[str, Any]:
        """A function has answered a workflow; return what is to be recorded."""
        return answer

    def ended(self, subject: Lease | Order, how: How, why: str) -> None:
        """A function's process ended, or was ended, while it was at *subject*."""

    def observed(self, facts: Mapping[str, Any]) -> None:
        """A process tells of what it is at (``portafaas.local.observed``), if it is to."""

    def noted(self, note: Note) -> None:
        """Something of a run is recorded."""


def reports(lease: Lease, settled: Settled, why: str) -> list[Report]:
    """Return what became of each of a lease; *why* it was not delivered."""
    found = []
    for item in lease.items:
        facts = (lease.function, item.box, item.id, item.deliveries)
        if item.number in settled.lost:
            found.append(Report(*facts, "lost", 0.0, why))
        elif item.number in settled.dead:
            letter = json.loads(settled.dead[item.number])
            found.append(Report(*facts, "dead", 0.0, letter.get("error", ""), letter))
        elif item.number in settled.again:
            found.append(Report(*facts, "again", settled.again[item.number], why))
        elif item.number in settled.untried:
            found.append(Report(*facts, "held"))
        else:
            found.append(Report(*facts, "delivered"))
    return found


def report_of_ended(ended: Ended) -> Report:
    """Return what is told of what the platform itself has made an end of."""
    item = ended.item
    what: What = "dead" if ended.letter else "lost"
    letter = json.loads(ended.letter) if ended.letter else {}
    error = "the platform gave it up"
    return Report(ended.function, item.box, item.id, item.deliveries, what, 0.0, error, letter)
