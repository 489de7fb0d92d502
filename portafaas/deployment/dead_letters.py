"""What an adapter offers so that people can look after dead letters: ``portafaas dlq``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from portafaas.record import dataclass, field

if TYPE_CHECKING:
    from portafaas.plan import BuildPlan


@dataclass(frozen=True, slots=True)
class Box:
    """Where dead letters of one queue, or of one function without a queue of its own, are kept.

    ``name`` is the queue's or the function's in the manifest; ``physical`` the platform's.
    ``count`` is what the platform says, which may lag; None when it does not say.
    """

    name: str
    kind: Literal["queue", "function"]
    physical: str
    count: int | None = None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One dead letter, as it was delivered, and why it was given up.

    ``reason`` and what follows are those of ``portafaas.runtime.recovery.Letter``; ``platform``
    when the platform itself gave it up, without a word of the function: then ``error``, ``trace``
    and ``correlation`` are what is known, "" at worst. ``attributes`` are those a handler sees.
    ``id`` is the handler's.
    """

    id: str
    box: str
    reason: str
    error: str
    attempts: int
    function: str
    #: RFC 3339, when it was given up; "" when nobody said.
    time: str
    #: RFC 3339, when it was sent; "" when nobody said.
    sent: str
    trace: str
    correlation: str
    body: bytes
    attributes: Mapping[str, str] = field(default_factory=dict)
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Redriven:
    """How many dead letters went back, and why others did not: ``(id, reason)``."""

    moved: int
    failed: tuple[tuple[str, str], ...] = ()


class DeadLetters(ABC):
    """The dead letters of a service and stage. Errors are those of :class:`Engine` (PF80xx).

    What is looked at stays where it is. A letter is removed only after its copy is where it should
    be, so that a crash in between leaves it twice and never nowhere.
    """

    @abstractmethod
    def boxes(self) -> Sequence[Box]:
        """Return the boxes in the order of :func:`dead_letter_boxes`."""

    @abstractmethod
    def list(self, box: str, limit: int) -> Sequence[DeadLetter]:
        """Return at most *limit* letters of a box, the oldest first where the platform can."""

    @abstractmethod
    def redrive(self, box: str, ids: Collection[str] | None) -> Redriven:
        """Send letters (None: all that are there now) to the function again.

        They have their ids, bodies, attributes and keys, and begin with attempt 1. Of a topic only
        the function that failed gets them. Those of a box that come in meanwhile are left alone.
        """

    @abstractmethod
    def purge(self, box: str, ids: Collection[str] | None) -> int:
        """Remove letters (None: all that are there now); return how many."""


def dead_letter_boxes(plan: BuildPlan) -> Sequence[tuple[str, Literal["queue", "function"]]]:
    """Return name and kind of each box of *plan*.

    A consumed queue has one if its ``dead-letter`` is set; a function with a topic, object, table
    or schedule trigger always has one.
    """
    found: list[tuple[str, Literal["queue", "function"]]] = [
        (queue.name, "queue") for queue in plan.queues if queue.dead_letter
    ]
    found += [
        (function.name, "function")
        for function in plan.functions
        if function.kind in ("topic", "object", "table", "schedule")
    ]
    return found
