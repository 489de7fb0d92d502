"""The dead letters on this machine, for ``portafaas dlq``."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from portafaas.deployment.dead_letters import (
    Box,
    DeadLetter,
    DeadLetters,
    Redriven,
    dead_letter_boxes,
)
from portafaas.local.broker import Broker
from portafaas.local.deliveries import Item
from portafaas.local.resources import store
from portafaas.local.store import explained
from portafaas.plan import BuildPlan
from portafaas.runtime.control import split
from portafaas.runtime.text import epoch_time


class LocalDeadLetters(DeadLetters):
    """What the functions of a project's stage have given up on this machine.

    *root* is the project's folder. What is redriven waits until ``portafaas deliver``.
    """

    def __init__(self, root: Path, plan: BuildPlan) -> None:
        self._folder = store(root, plan.stage)
        self._plan = plan

    @contextmanager
    def _broker(self) -> Iterator[Broker]:
        with explained(self._folder), Broker(self._folder, self._plan) as broker:
            yield broker

    def _origin(self, box: str) -> str:
        kind = next(kind for name, kind in dead_letter_boxes(self._plan) if name == box)
        return f"{kind}/{box}"

    def boxes(self) -> Sequence[Box]:
        """Return the boxes; ``physical`` is the queue with the letters, or the store."""
        found = []
        with self._broker() as broker:
            for name, kind in dead_letter_boxes(self._plan):
                target = self._plan.queue(name).dead_letter if kind == "queue" else True
                place = target if isinstance(target, str) else str(self._folder / "resources.db")
                found.append(Box(name, kind, place, broker.letters.count(f"{kind}/{name}")))
        return found

    def list(self, box: str, limit: int) -> Sequence[DeadLetter]:
        """Return letters, the oldest first."""
        with self._broker() as broker:
            found = broker.letters.list(self._origin(box), limit)
            return [_letter(box, item, broker.letters.body(item)) for item in found]

    def _chosen(self, broker: Broker, box: str, ids: Collection[str] | None) -> Sequence[Item]:
        # Bodies of all letters may be more than there is memory.
        found = broker.letters.list(self._origin(box), bodies=False)
        return found if ids is None else [item for item in found if item.id in ids]

    def redrive(self, box: str, ids: Collection[str] | None) -> Redriven:
        """Put letters back, in order: all in one transaction."""
        with self._broker() as broker:
            items = self._chosen(broker, box, ids)
            moved = broker.letters.redrive(items)
        known = {item.id for item in items}
        return Redriven(moved, tuple((id_, "not there") for id_ in ids or () if id_ not in known))

    def purge(self, box: str, ids: Collection[str] | None) -> int:
        """Remove letters: all in one transaction."""
        with self._broker() as broker:
            return broker.letters.purge(self._chosen(broker, box, ids))


def _letter(box: str, item: Item, body: bytes) -> DeadLetter:
    facts = json.loads(item.letter or "{}")
    attributes, _ = split(item.attributes)
    return DeadLetter(
        id=item.id,
        box=box,
        reason=facts.get("reason", ""),
        error=facts.get("error", ""),
        attempts=facts.get("attempts", 0),
        function=facts.get("function", ""),
        time=facts.get("time", ""),
        sent=epoch_time(item.sent),
        trace=facts.get("trace", ""),
        correlation=facts.get("correlation", ""),
        body=body,
        attributes=attributes,
        key=item.key,
    )
