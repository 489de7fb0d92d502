"""Nodes and edges of a service, in the order of the manifest; edges point where data goes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from portafaas.plan import (
    BuildPlan,
    FunctionPlan,
    HttpTrigger,
    ObjectTrigger,
    QueueTrigger,
    ScheduleTrigger,
    TableTrigger,
    TaskTrigger,
    TopicTrigger,
)
from portafaas.plan.machines import called
from portafaas.record import dataclass

NodeKind = Literal[
    "http", "schedule", "function", "queue", "topic", "bucket", "table", "secret", "workflow",
    "dead-letters",
]  # fmt: skip
EdgeKind = Literal[
    "call", "consume", "subscribe", "object", "change", "send", "publish", "write", "read", "start",
    "dead-letter", "run",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Node:
    """One thing. ``id`` is ``<kind>:<name>``; ``notes`` are facts of it for people, one each."""

    id: str
    kind: NodeKind
    name: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Edge:
    """Data goes, or a start comes, from the node ``source`` to the node ``target``.

    ``label`` has what goes this way: the types of events, a filter. Empty when nothing is said.
    """

    source: str
    target: str
    kind: EdgeKind
    label: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Name of the edge, one of a kind in its graph."""
        return f"{self.source} {self.kind} {self.target}"


@dataclass(frozen=True, slots=True)
class Graph:
    """The graph of one service and stage."""

    service: str
    stage: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


def graph_of(plan: BuildPlan, everything: bool = False) -> Graph:
    """Return the graph of *plan*; secrets are part of it only with *everything*."""
    nodes = [*_entries(plan), *_functions(plan), *_resources(plan, everything)]
    edges: dict[str, Edge] = {}
    known = {node.id for node in nodes}
    for function in plan.functions:
        trigger = _trigger(function)
        for edge in (*((trigger,) if trigger else ()), *_uses(function)):
            if edge.source in known and edge.target in known:
                edges.setdefault(edge.id, edge)
    for queue in plan.queues:
        if queue.dead_letter:
            target = (
                f"queue:{queue.dead_letter}"
                if isinstance(queue.dead_letter, str)
                else f"dead-letters:{queue.name}"
            )
            edge = Edge(f"queue:{queue.name}", target, "dead-letter")
            edges.setdefault(edge.id, edge)
    for workflow in plan.workflows:
        for name in called(workflow.machine):
            if f"function:{name}" in known:
                edge = Edge(f"workflow:{workflow.name}", f"function:{name}", "run")
                edges.setdefault(edge.id, edge)
    return Graph(plan.service, plan.stage, tuple(nodes), tuple(edges.values()))


def _entries(plan: BuildPlan) -> Iterator[Node]:
    for function in plan.functions:
        trigger = function.trigger
        if isinstance(trigger, HttpTrigger):
            methods = ", ".join(trigger.methods) or "ANY"
            notes = [f"auth {trigger.auth.scheme}" if trigger.auth else "anybody may call it"]
            if trigger.rate is not None:
                notes.append(f"{trigger.rate.per_second:g} requests a second")
            yield Node(f"http:{function.name}", "http", f"{methods} {trigger.path}", tuple(notes))
        elif isinstance(trigger, ScheduleTrigger):
            name, notes = trigger.cron, [trigger.timezone]
            yield Node(f"schedule:{function.name}", "schedule", name, tuple(notes))


def _functions(plan: BuildPlan) -> Iterator[Node]:
    for function in plan.functions:
        notes = [f"{function.module}:{function.attribute}"]
        if function.interface != "handler":
            notes.append(function.interface.upper())
        notes.append(f"{function.memory} MiB, {function.timeout} s")
        if function.idempotency is not None:
            notes.append("idempotent")
        if function.origin:
            notes.append("outbox")
        if function.guard:
            notes.append(f"guard: {function.guard}")
        yield Node(f"function:{function.name}", "function", function.name, tuple(notes))


def _resources(plan: BuildPlan, everything: bool) -> Iterator[Node]:
    for queue in plan.queues:
        notes = [*_ordered(queue.ordered), *(f"external {who}" for who in queue.external)]
        yield Node(f"queue:{queue.name}", "queue", queue.name, tuple(notes))
    for topic in plan.topics:
        notes = [*_ordered(topic.ordered), *(f"external {who}" for who in topic.external)]
        yield Node(f"topic:{topic.name}", "topic", topic.name, tuple(notes))
    for bucket in plan.buckets:
        versioned = ("versioned",) if bucket.versioned else ()
        yield Node(f"bucket:{bucket.name}", "bucket", bucket.name, versioned)
    for table in plan.tables:
        keys = f"key {table.key}" + (f", sort {table.sort}" if table.sort else "")
        yield Node(f"table:{table.name}", "table", table.name, (keys,))
    for workflow in plan.workflows:
        yield Node(f"workflow:{workflow.name}", "workflow", workflow.name)
    if everything:
        for secret in plan.secrets:
            yield Node(f"secret:{secret.name}", "secret", secret.name)
    for queue in plan.queues:
        if queue.dead_letter is True:
            yield Node(f"dead-letters:{queue.name}", "dead-letters", queue.name)


def _ordered(ordered: bool) -> tuple[str, ...]:
    return ("ordered",) if ordered else ()


def _trigger(function: FunctionPlan) -> Edge | None:
    trigger, target = function.trigger, f"function:{function.name}"
    match trigger:
        case HttpTrigger():
            return Edge(f"http:{function.name}", target, "call")
        case ScheduleTrigger():
            return Edge(f"schedule:{function.name}", target, "call")
        case QueueTrigger():
            batch = (f"batches of {trigger.batch}",) if trigger.batch > 1 else ()
            return Edge(f"queue:{trigger.queue}", target, "consume", batch)
        case TopicTrigger():
            return Edge(f"topic:{trigger.topic}", target, "subscribe", tuple(_filter(trigger)))
        case ObjectTrigger():
            pattern = f"{trigger.prefix}*{trigger.suffix}"
            label = " or ".join(trigger.on) + (f" {pattern}" if pattern != "*" else "")
            return Edge(f"bucket:{trigger.bucket}", target, "object", (label,))
        case TableTrigger():
            return Edge(f"table:{trigger.table}", target, "change", (" or ".join(trigger.on),))
        case TaskTrigger():
            # Its workflows say who calls it.
            return None


def _filter(trigger: TopicTrigger) -> Iterator[str]:
    for name, values in trigger.filter:
        if name == "type":
            yield from values
        else:
            yield f"{name} = {' or '.join(values)}"


_PLACES: Mapping[str, EdgeKind] = {
    "send": "send",
    "publish": "publish",
    "write": "write",
    "start": "start",
}


def _uses(function: FunctionPlan) -> Iterator[Edge]:
    name = f"function:{function.name}"
    for use in function.uses:
        other = f"{use.kind}:{use.name}"
        if use.verb == "read":
            yield Edge(other, name, "read")
        else:
            label = function.emitted(use.name) or () if use.verb == "publish" else ()
            yield Edge(name, other, _PLACES[use.verb], label)
