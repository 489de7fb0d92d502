"""What only the whole manifest can tell: names that clash, circles, shared queues."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from portafaas.errors import guess
from portafaas.plan.model import FunctionPlan, QueueTrigger
from portafaas.plan.triggers import Findings


def names(found: Findings, functions: tuple[FunctionPlan, ...]) -> None:
    """Refuse names that become one on a platform that spells hyphens otherwise."""
    seen: dict[str, str] = {}
    for function in functions:
        name = function.name
        other = seen.setdefault(name.replace("-", ""), name)
        if other != name:
            found.add(
                "PF2007",
                _asked(function),
                f"{name!r} and {other!r} differ only in hyphens",
                "rename one of them",
            )


def boxes(
    found: Findings, document: Mapping[str, Any], functions: tuple[FunctionPlan, ...]
) -> None:
    """Refuse dead letters of a queue and of a function under one name: ``dlq`` goes by it."""
    queues = document.get("queues") or {}
    for function in functions:
        own = function.kind in ("topic", "object", "table", "schedule")
        if own and (queues.get(function.name) or {}).get("dead-letter"):
            found.add(
                "PF2027",
                _asked(function),
                f"the dead letters of function {function.name!r} would be in one box with those "
                "of the queue of that name",
                "rename one of them",
            )


def _asked(function: FunctionPlan) -> tuple[str, ...]:
    """Return the place in the manifest that asks for *function*."""
    # "$.tables.orders.outbox"
    return tuple(function.origin.split(".")[1:]) or ("functions", function.name)


def dead_letters(found: Findings, document: Mapping[str, Any]) -> None:
    """Refuse dead-letter queues that do not exist or lead back to themselves."""
    queues = document.get("queues") or {}
    follow = {
        name: spec["dead-letter"]
        for name, spec in queues.items()
        if spec and isinstance(spec.get("dead-letter"), str)
    }
    for name, other in follow.items():
        where = ("queues", name, "dead-letter")
        if other not in queues:
            found.add(
                "PF2002",
                where,
                f"no queue is called {other!r}",
                guess(other, queues) or "declare it under queues:, or write true",
            )
            continue
        chain = [name]
        while chain[-1] in follow and follow[chain[-1]] not in chain:
            chain.append(follow[chain[-1]])
        if follow.get(chain[-1]) == name:
            found.add(
                "PF2008",
                where,
                f"dead letters go in a circle: {' -> '.join([*chain, name])}",
                "write true for a queue of its own",
            )


def consumers(found: Findings, functions: tuple[FunctionPlan, ...]) -> None:
    """Refuse two functions on one queue: the clouds would share the messages out at random."""
    owner: dict[str, str] = {}
    for function in functions:
        if isinstance(function.trigger, QueueTrigger):
            other = owner.setdefault(function.trigger.queue, function.name)
            if other != function.name:
                found.add(
                    "PF2015",
                    ("functions", function.name, "trigger", "queue"),
                    f"queue {function.trigger.queue!r} is consumed by {other!r} already",
                    "use a topic to reach several functions",
                )
