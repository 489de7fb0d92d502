"""How retries multiply on one target: the client's, the trigger's, and those before it in a chain.

A function that is delivered up to five times sends up to five messages, each of which is delivered
up to five times. Every call that it makes is tried several times by the target's client. What an
idempotent function does for one event it does once, so that a chain begins anew behind it. What is
delivered without bound cannot be multiplied; ``explain`` says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from portafaas.adapter import Redelivery
from portafaas.capabilities import parts
from portafaas.choreography.flow import Cause, causes
from portafaas.errors import Diagnostic
from portafaas.manifest import Manifest
from portafaas.plan import BuildPlan, FunctionPlan, QueueTrigger
from portafaas.record import dataclass

#: Calls that one event may come to, by all repetitions, before ``check`` warns. Three layers of
#: five deliveries are usual, and stay below with the most patient client; four do not with any.
MOST_CALLS = 1500
#: Of functions; what is before them changes nothing any more.
_LONGEST_CHAIN = 100


@dataclass(frozen=True, slots=True)
class Stack:
    """What one event comes to in a function at the worst.

    ``deliveries`` of one message, ``attempts`` of the client for each call; ``chain``: the
    functions before it and itself, the way with the most ``runs`` for one event at its head, each
    of which makes ``calls``. 0 is no bound. ``seconds``: until the last delivery has ended, 0 when
    that cannot be told.
    """

    function: str
    deliveries: int
    attempts: int
    chain: tuple[str, ...]
    runs: int
    calls: int
    seconds: float


def stacks(
    plan: BuildPlan, redeliveries: Sequence[Redelivery], attempts: int
) -> dict[str, Stack]:
    """Return the stack of each function; *attempts* are those of the target's client."""
    told = {record.function: record for record in redeliveries}
    deliveries = {f.name: _deliveries(f, told.get(f.name)) for f in plan.functions}
    before: dict[str, list[Cause]] = {}
    for cause in causes(plan):
        if cause.use >= 0:
            before.setdefault(cause.target, []).append(cause)
    idempotent = {f.name for f in plan.functions if f.idempotency is not None}
    known: dict[str, tuple[int, tuple[str, ...]]] = {}
    found = {}
    for function in plan.functions:
        name = function.name
        runs, chain = _worst(name, before, deliveries, idempotent, known, {})
        if name in idempotent:
            # Whatever comes again, it does it once.
            runs, chain = 1, (name,)
        found[name] = Stack(
            name, deliveries[name], attempts, chain, runs, runs * attempts,
            _seconds(function, deliveries[name]),
        )  # fmt: skip
    return found


def _deliveries(function: FunctionPlan, told: Redelivery | None) -> int:
    if told is not None:
        return told.attempts if told.by else 1
    return function.retry.attempts if function.kind != "http" else 1


def _worst(
    name: str,
    before: Mapping[str, list[Cause]],
    deliveries: Mapping[str, int],
    idempotent: set[str],
    known: dict[str, tuple[int, tuple[str, ...]]],
    after: dict[str, None],
) -> tuple[int, tuple[str, ...]]:
    """Return the most runs of *name* for one event, and by which chain; 0 for no bound.

    *after* is the rest of the chain: what goes round counts once.
    """
    if name in known:
        return known[name]
    own = best = deliveries[name]
    chain: tuple[str, ...] = (name,)
    if own and len(after) < _LONGEST_CHAIN:
        after[name] = None
        for cause in before.get(name, ()):
            if cause.source in after or cause.source in idempotent:
                continue
            runs, way = _worst(cause.source, before, deliveries, idempotent, known, after)
            if not runs:
                best, chain = 0, (*way, name)
                break
            if (runs * own, len(way)) >= (best, len(chain)):
                best, chain = runs * own, (*way, name)
        del after[name]
    known[name] = best, chain
    return best, chain


def _seconds(function: FunctionPlan, deliveries: int) -> float:
    """Return how long all deliveries take, with the delays that ``retry`` asks for."""
    if not deliveries:
        return 0.0
    return deliveries * function.timeout + sum(
        delay(function, number) for number in range(1, deliveries)
    )


def delay(function: FunctionPlan, number: int) -> float:
    """Return the longest delay after failure *number*, from 1; jitter only makes it shorter."""
    retry = function.retry
    if retry.backoff == "fixed":
        return retry.initial
    return float(min(retry.maximum, retry.initial * 2 ** min(number - 1, 64)))


def findings(
    manifest: Manifest, plan: BuildPlan, target: str, found: Mapping[str, Stack]
) -> list[Diagnostic]:
    """Return a warning for every chain above MOST_CALLS, and for times that do not fit."""
    out: list[Diagnostic] = []
    heavy = [stack for stack in found.values() if stack.calls > MOST_CALLS]
    for stack in heavy:
        # The longest chain says it all.
        if any(other is not stack and _begins(other.chain, stack.chain) for other in heavy):
            continue
        function = plan.function(stack.function)
        factors = " x ".join(str(found[name].deliveries) for name in stack.chain)
        out.append(
            manifest.diagnostic(
                "PF2120",
                _said(manifest, function),
                f"on {target!r} one event may come to {stack.runs} runs of {function.name!r} "
                f"({' -> '.join(stack.chain)}: {factors}), and with {stack.attempts} attempts of "
                f"the client to {stack.calls} calls; at most {MOST_CALLS} are reasonable",
                "fewer 'retry: {attempts}' in the chain, or make one of its functions idempotent",
                severity="warning",
            )
        )
    for function in plan.functions:
        out.extend(_times(manifest, plan, target, function, found[function.name]))
    return out


def _begins(chain: tuple[str, ...], head: tuple[str, ...]) -> bool:
    return len(chain) > len(head) and chain[: len(head)] == head


def _said(manifest: Manifest, function: FunctionPlan) -> tuple[str | int, ...]:
    name = function.name
    if function.origin:
        return parts(function.origin)
    for path in (("functions", name, "retry"), ("defaults", "retry")):
        if path in manifest.positions:
            return path
    return ("functions", name)


def _times(
    manifest: Manifest, plan: BuildPlan, target: str, function: FunctionPlan, stack: Stack
) -> list[Diagnostic]:
    """Return warnings about deliveries that would come after what holds the event has ended."""
    limits: list[tuple[float, str, str]] = []
    if isinstance(function.trigger, QueueTrigger):
        queue = plan.queue(function.trigger.queue)
        limits.append(
            (queue.retention, f"queue {queue.name!r} keeps a message for", "longer 'retention'")
        )
    if function.retry.declared:
        limits.append((function.retry.max_age, "'max-age' of 'retry' is", "longer 'max-age'"))
    if function.idempotency is not None:
        limits.append(
            (function.idempotency.expires, "'idempotency' remembers for", "longer 'expires'")
        )
    return [
        manifest.diagnostic(
            "PF2121",
            _said(manifest, function),
            f"on {target!r} the {stack.deliveries} deliveries to {function.name!r} may take "
            f"{span(stack.seconds)}, but {what} {span(limit)}",
            f"fewer 'attempts', shorter delays, or {fix}",
            severity="warning",
        )
        for limit, what, fix in limits
        if stack.deliveries > 1 and stack.seconds > limit
    ]


def span(seconds: float) -> str:
    """Return a time for people: ``7 days``, ``2 min 10 s``."""
    whole = round(seconds)
    parts = []
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        count, whole = divmod(whole, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"
