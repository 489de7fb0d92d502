"""``claim-check`` of queues and topics: a bucket for long bodies, and what it adds to ``uses``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from portafaas.errors import guess
from portafaas.plan.model import QueueTrigger, TopicTrigger, Trigger, Use

if TYPE_CHECKING:
    from portafaas.plan.model import BuildPlan, QueuePlan
    from portafaas.plan.triggers import Findings

#: Days that dead letters are kept (SQS: at most 14), and undelivered events of a topic.
_DEAD = 14
_TOPIC = 7
_DAY = 86_400


def check_claims(found: Findings, document: Mapping[str, Any]) -> None:
    """Refuse buckets that are not declared (PF2002)."""
    buckets = document.get("buckets") or {}
    for kind in ("queues", "topics"):
        for name, spec in (document.get(kind) or {}).items():
            bucket = (spec or {}).get("claim-check")
            if bucket and bucket not in buckets:
                found.add(
                    "PF2002",
                    (kind, name, "claim-check"),
                    f"no bucket is called {bucket!r}",
                    guess(bucket, buckets) or "declare it under buckets:",
                )


def with_claims(
    document: Mapping[str, Any], trigger: Trigger, uses: tuple[Use, ...]
) -> tuple[Use, ...]:
    """Return *uses* and what of the buckets of long bodies they do not grant yet."""
    granted = {(use.verb, use.kind, use.name) for use in uses}
    derived = []
    for use in (*_read(document, trigger), *_written(document, uses)):
        if (use.verb, use.kind, use.name) not in granted:
            granted.add((use.verb, use.kind, use.name))
            derived.append(use)
    return (*uses, *derived)


def _claim(document: Mapping[str, Any], kind: str, name: str) -> tuple[str, str]:
    """Return the bucket of a queue or topic, "" for none, and the line that says so."""
    spec = (document.get(kind) or {}).get(name) or {}
    return spec.get("claim-check", ""), f"$.{kind}.{name}.claim-check"


def _read(document: Mapping[str, Any], trigger: Trigger) -> Iterator[Use]:
    for kind, name in _sources(document, trigger):
        bucket, why = _claim(document, kind, name)
        if bucket:
            yield Use("read", "bucket", bucket, why)


def _sources(document: Mapping[str, Any], trigger: Trigger) -> Iterator[tuple[str, str]]:
    """Yield what the trigger's messages were sent to; dead letters were sent to another queue."""
    if isinstance(trigger, TopicTrigger):
        yield "topics", trigger.topic
    elif isinstance(trigger, QueueTrigger):
        waiting, seen = [trigger.queue], set()
        while waiting:
            name = waiting.pop(0)
            if name not in seen:
                seen.add(name)
                yield "queues", name
                waiting += [
                    other
                    for other, spec in (document.get("queues") or {}).items()
                    if (spec or {}).get("dead-letter") == name
                ]


def _written(document: Mapping[str, Any], uses: tuple[Use, ...]) -> Iterator[Use]:
    for use in uses:
        if use.verb in ("send", "publish"):
            bucket, why = _claim(document, f"{use.kind}s", use.name)
            if bucket:
                yield Use("write", "bucket", bucket, why)


def is_claim(use: Use) -> bool:
    """Tell whether *use* is for long bodies only, not for the handler."""
    return use.kind == "bucket" and use.why.endswith(".claim-check")


def days_of_claims(plan: BuildPlan, bucket: str) -> int:
    """Return after how many days long bodies in *bucket* are deleted; 0 when it holds none.

    That is when neither the message nor its dead letter can be there any more.
    """
    days = [_stay(plan, queue) for queue in plan.queues if queue.claim_check == bucket]
    days += [_TOPIC + _DEAD for topic in plan.topics if topic.claim_check == bucket]
    return max(days) + 1 if days else 0


def _stay(plan: BuildPlan, queue: QueuePlan) -> int:
    """Return for how many days a message of *queue* may be in it, or a dead letter."""
    own = -(-queue.retention // _DAY)
    if isinstance(queue.dead_letter, str):
        return own + _stay(plan, plan.queue(queue.dead_letter))
    return own + (_DEAD if queue.dead_letter else 0)


def reads_claims(plan: BuildPlan, trigger: Trigger) -> bool:
    """Tell whether messages of *trigger* may have their bodies elsewhere."""
    document = {
        "queues": {
            queue.name: {"claim-check": queue.claim_check, "dead-letter": queue.dead_letter}
            for queue in plan.queues
        },
        "topics": {topic.name: {"claim-check": topic.claim_check} for topic in plan.topics},
    }
    return any(True for _ in _read(document, trigger))
