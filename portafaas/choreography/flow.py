"""Who hears what: orphans, circles without a guard, queues without dead letters. Warnings.

A function *causes* another when what it sends, publishes, writes or starts may start the other, or
when the dead letters of its queue do. A filter on the type of events counts where the publisher
declares the types; all other filters, and prefixes of objects, are taken to let everything through,
since the plan does not say what is sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from portafaas.capabilities import parts
from portafaas.errors import Diagnostic, guess
from portafaas.manifest import Manifest
from portafaas.plan import BuildPlan, FunctionPlan, QueueTrigger, TopicTrigger
from portafaas.record import dataclass

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Cause:
    """One function may start another: by its use number ``use`` of ``via`` (-1: dead letters)."""

    source: str
    target: str
    via: str
    use: int


def findings(manifest: Manifest, plan: BuildPlan) -> list[Diagnostic]:
    """Return the warnings of *plan*, in the order of the manifest's parts."""
    found: list[Diagnostic] = []

    ours = {function.name: function.origin for function in plan.functions if function.origin}

    def warn(code: str, path: Path, message: str, hint: str) -> None:
        if path[0] == "functions" and path[1] in ours:
            path = parts(ours[str(path[1])])
        found.append(manifest.diagnostic(code, path, message, hint, severity="warning"))

    for told in (*_topics(plan), *_queues(plan), *_tasks(plan), *_unguarded(plan)):
        warn(*told)
    return found


def lets_through(trigger: TopicTrigger, kind: str) -> bool:
    """Tell whether an event of the type *kind* may pass the filter of *trigger*."""
    return all(name != "type" or kind in values for name, values in trigger.filter)


def _publishers(plan: BuildPlan, topic: str) -> list[FunctionPlan]:
    # The relay of an outbox publishes what others said they would.
    return [f for f in plan.functions if not f.origin and _use(f, "publish", topic) >= 0]


def _subscribers(plan: BuildPlan, topic: str) -> list[tuple[FunctionPlan, TopicTrigger]]:
    return [
        (function, function.trigger)
        for function in plan.functions
        if isinstance(function.trigger, TopicTrigger) and function.trigger.topic == topic
    ]


def _use(function: FunctionPlan, verb: str, name: str) -> int:
    """Return the number of the use, or -1."""
    for number, use in enumerate(function.uses):
        if use.verb == verb and use.name == name:
            return number
    return -1


_Told = tuple[str, Path, str, str]


def _topics(plan: BuildPlan) -> Iterator[_Told]:
    everywhere: set[str] = set()
    unknown = False
    for topic in plan.topics:
        path = ("topics", topic.name)
        publishers = _publishers(plan, topic.name)
        subscribers = _subscribers(plan, topic.name)
        declared = [function.emitted(topic.name) for function in publishers]
        # Nobody knows what a function without 'emits' publishes, or who is outside.
        known = None not in declared and "producers" not in topic.external
        unknown = unknown or not known
        types = {kind for kinds in declared for kind in kinds or ()}
        everywhere |= types
        heard = subscribers or "consumers" in topic.external
        fed = publishers or "producers" in topic.external
        if not heard or not fed:
            yield (
                "PF2112",
                path,
                f"nobody {_nobody(bool(fed), bool(heard), 'publishes to', 'subscribes to')} topic "
                f"{topic.name!r}",
                _outside(bool(fed), bool(heard)),
            )
        if subscribers and "consumers" not in topic.external:
            yield from _unheard(topic.name, publishers, subscribers)
        if publishers and known:
            yield from _filters(topic.name, types, subscribers)
    if not unknown:
        for event in plan.events:
            if event.name not in everywhere:
                yield (
                    "PF2111",
                    ("events", event.name),
                    f"no function emits events of type {event.name!r}",
                    "remove it, or add it to the 'emits' of who publishes it",
                )


def _nobody(fed: bool, heard: bool, feed: str, hear: str) -> str:
    return " or ".join(word for word, there in ((feed, fed), (hear, heard)) if not there)


def _outside(fed: bool, heard: bool) -> str:
    who = ", ".join(w for w, there in (("producers", fed), ("consumers", heard)) if not there)
    return f"remove it, or say 'external: [{who}]' if others do"


def _unheard(
    topic: str, publishers: list[FunctionPlan], subscribers: list[tuple[FunctionPlan, TopicTrigger]]
) -> Iterator[_Told]:
    wanted = sorted({v for _, t in subscribers for n, vs in t.filter if n == "type" for v in vs})
    for function in publishers:
        # Of a relay it is told where the writers declare it.
        for kind in () if function.origin else function.emitted(topic) or ():
            if not any(lets_through(trigger, kind) for _, trigger in subscribers):
                near = guess(kind, wanted)
                yield (
                    "PF2110",
                    ("functions", function.name, "emits"),
                    f"nobody receives events of type {kind!r}: no filter of a subscriber of "
                    f"{topic!r} lets them through",
                    near or "add the type to a filter, or remove it",
                )


def _filters(
    topic: str, types: set[str], subscribers: list[tuple[FunctionPlan, TopicTrigger]]
) -> Iterator[_Told]:
    for function, trigger in subscribers:
        for name, values in trigger.filter:
            for value in values if name == "type" else ():
                if value not in types:
                    yield (
                        "PF2114",
                        ("functions", function.name, "trigger", "topic", "filter", "type"),
                        f"no function that publishes to {topic!r} emits {value!r}",
                        guess(value, sorted(types)) or f"emitted: {', '.join(sorted(types))}",
                    )


def _tasks(plan: BuildPlan) -> Iterator[_Told]:
    from portafaas.plan.machines import called

    found = {name for workflow in plan.workflows for name in called(workflow.machine)}
    for function in plan.functions:
        if function.kind == "task" and function.name not in found:
            yield (
                "PF2230",
                ("functions", function.name, "trigger"),
                f"no workflow calls {function.name!r}",
                "remove it, or add a step with 'task'",
            )


def _queues(plan: BuildPlan) -> Iterator[_Told]:
    dead = {queue.dead_letter for queue in plan.queues if isinstance(queue.dead_letter, str)}
    consumed = {
        function.trigger.queue: function
        for function in plan.functions
        if isinstance(function.trigger, QueueTrigger)
    }
    for queue in plan.queues:
        sent = any(_use(function, "send", queue.name) >= 0 for function in plan.functions)
        fed = sent or queue.name in dead or "producers" in queue.external
        # Dead letters wait for people.
        waits = queue.name in dead and not sent
        heard = queue.name in consumed or "consumers" in queue.external or waits
        if not fed or not heard:
            yield (
                "PF2113",
                ("queues", queue.name),
                f"nobody {_nobody(fed, heard, 'sends to', 'consumes')} queue {queue.name!r}",
                _outside(fed, heard),
            )
        if queue.name in consumed and not queue.dead_letter:
            yield (
                "PF2116",
                ("queues", queue.name),
                f"queue {queue.name!r} has no dead letters: a message that "
                f"{consumed[queue.name].name!r} cannot process is repeated until it is too old, "
                "then lost",
                "dead-letter: true",
            )


def causes(plan: BuildPlan) -> list[Cause]:
    """Return which function may start which, in the order of the manifest."""
    found: dict[tuple[str, str, str], Cause] = {}

    def add(source: FunctionPlan, target: str, via: str, use: int) -> None:
        found.setdefault((source.name, target, via), Cause(source.name, target, via, use))

    started: dict[tuple[str, str], list[FunctionPlan]] = {}
    for function in plan.functions:
        trigger = function.trigger
        kind = "bucket" if trigger.kind == "object" else trigger.kind
        name = getattr(trigger, kind, "")
        if name:
            started.setdefault((kind, name), []).append(function)
    workflows = {workflow.name: workflow for workflow in plan.workflows}
    for function in plan.functions:
        for number, use in enumerate(function.uses):
            via = f"{use.kind} {use.name!r}"
            if use.verb == "start":
                from portafaas.plan.machines import called

                known = {other.name for other in plan.functions}
                for name in called(workflows[use.name].machine):
                    if name in known:
                        add(function, name, via, number)
            elif use.kind == "table" and function.origin:
                # Removes from an outbox what it has sent; to put it there started what there is.
                continue
            elif use.verb != "read":
                for other in started.get((use.kind, use.name), ()):
                    if other.origin and not _sends(function):
                        continue  # puts nothing into the outbox
                    types = function.emitted(use.name) if use.verb == "publish" else None
                    trigger = other.trigger
                    if types is not None and isinstance(trigger, TopicTrigger):
                        passing = [kind for kind in types if lets_through(trigger, kind)]
                        if not passing:
                            continue
                        add(function, other.name, f"{via} ({', '.join(passing)})", number)
                    else:
                        add(function, other.name, via, number)
        if isinstance(function.trigger, QueueTrigger):
            letters = plan.queue(function.trigger.queue).dead_letter
            if isinstance(letters, str):
                for other in started.get(("queue", letters), ()):
                    add(function, other.name, f"dead letters in queue {letters!r}", -1)
    return list(found.values())


def _sends(function: FunctionPlan) -> bool:
    return any(use.verb in ("send", "publish") for use in function.uses)


def _unguarded(plan: BuildPlan) -> Iterator[_Told]:
    """Yield one circle of every knot of functions that leads past all guards."""
    guarded = {function.name for function in plan.functions if function.guard}
    after: dict[str, list[Cause]] = {f.name: [] for f in plan.functions if f.name not in guarded}
    for cause in causes(plan):
        if cause.source in after and cause.target in after:
            after[cause.source].append(cause)
    told: set[str] = set()
    for function in plan.functions:
        if function.name in told or function.name not in after:
            continue
        circle = _shortest_circle(after, function.name)
        if not circle or told & {cause.source for cause in circle}:
            continue
        told |= {cause.source for cause in circle}
        first = circle[0]
        path: Path = ("functions", first.source)
        path = (*path, "uses", first.use) if first.use >= 0 else (*path, "trigger")
        way = " -> ".join([circle[0].source, *(f"{c.via} -> {c.target}" for c in circle)])
        yield (
            "PF2115",
            path,
            f"nothing says that this circle ends: {way}",
            "say why in a function of it: 'guard: ...', or break it by a filter on event types",
        )


def _shortest_circle(after: Mapping[str, list[Cause]], start: str) -> list[Cause]:
    """Return the shortest way from *start* back to it; empty when there is none."""
    came: dict[str, Cause] = {}
    waiting = [start]
    for name in waiting:
        for cause in after[name]:
            if cause.target == start:
                way = [cause]
                while way[0].source != start:
                    way.insert(0, came[way[0].source])
                return way
            if cause.target not in came:
                came[cause.target] = cause
                waiting.append(cause.target)
    return []
