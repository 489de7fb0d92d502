"""What the generated entry module tells the shipped runtime about a function, as plain literals."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, assert_never

from portafaas.plan.claims import is_claim, reads_claims
from portafaas.plan.model import (
    BuildPlan,
    FunctionPlan,
    HttpTrigger,
    ObjectTrigger,
    QueueTrigger,
    ScheduleTrigger,
    TableTrigger,
    TaskTrigger,
    TopicTrigger,
    Trigger,
    Use,
)

_BOTH: tuple[Literal["read", "write"], ...] = ("read", "write")

_PLURAL = {
    "queue": "queues",
    "topic": "topics",
    "object": "buckets",
    "table": "tables",
    "http": "functions",
    "schedule": "schedules",
    "task": "functions",
}


def source_of(plan: BuildPlan, function: FunctionPlan) -> str:
    """Return the CloudEvents ``source`` of the function's events: ``/service/queues/name``."""
    trigger = function.trigger
    match trigger:
        case QueueTrigger():
            name = trigger.queue
        case TopicTrigger():
            name = trigger.topic
        case ObjectTrigger():
            name = trigger.bucket
        case TableTrigger():
            name = trigger.table
        case HttpTrigger() | ScheduleTrigger() | TaskTrigger():
            name = function.name
        case _:
            assert_never(trigger)
    return f"/{plan.service}/{_PLURAL[trigger.kind]}/{name}"


def trigger_spec(plan: BuildPlan, function: FunctionPlan) -> dict[str, Any]:
    """Return the trigger's settings that the runtime needs: str, int, bool, list and dict only."""
    trigger = function.trigger
    match trigger:
        case HttpTrigger():
            spec: dict[str, Any] = {"methods": list(trigger.methods), "path": trigger.path}
            if trigger.max_body != 4_500_000:
                spec["max_body"] = trigger.max_body
            if (rate := trigger.rate) is not None:
                # Instances do not talk to one another: each has its share, and all together never
                # let through more than was declared.
                share = max(1, function.max_instances)
                spec["rate"] = {
                    "per_second": rate.per_second / share,
                    "burst": rate.burst // share,
                }
            if (auth := trigger.auth) is not None:
                spec["auth"] = {"scheme": auth.scheme}
                if auth.scheme == "key":
                    spec["auth"]["keys"] = auth.keys
                elif auth.scheme == "jwt":
                    spec["auth"] |= {
                        "issuer": auth.issuer,
                        "audience": list(auth.audience),
                        "scopes": list(auth.scopes),
                        "algorithms": list(auth.algorithms),
                    }
                    if auth.jwks:
                        spec["auth"]["jwks"] = auth.jwks
            if (cors := trigger.cors) is not None:
                spec["cors"] = {
                    "origins": list(cors.origins),
                    "methods": list(cors.methods),
                    "headers": list(cors.headers),
                    "expose": list(cors.expose),
                    "credentials": cors.credentials,
                    "max_age": cors.max_age,
                }
            return spec
        case ScheduleTrigger():
            return {"cron": trigger.cron, "timezone": trigger.timezone}
        case QueueTrigger():
            return {
                "queue": trigger.queue,
                "batch": trigger.batch,
                "ordered": plan.queue(trigger.queue).ordered,
                **_claims(plan, trigger),
            }
        case TopicTrigger():
            return {
                "topic": trigger.topic,
                "filter": {name: list(values) for name, values in trigger.filter},
                **_claims(plan, trigger),
            }
        case ObjectTrigger():
            return {
                "bucket": trigger.bucket,
                "on": list(trigger.on),
                "prefix": trigger.prefix,
                "suffix": trigger.suffix,
            }
        case TableTrigger():
            table = plan.table(trigger.table)
            spec = {
                "table": trigger.table,
                "key": table.key,
                "sort": table.sort,
                "on": list(trigger.on),
                "images": list(trigger.images),
            }
            if table.outbox:
                # True for the function that is to see its rows, which are kept from all others.
                spec["outbox"] = bool(function.origin)
            return spec
        case TaskTrigger():
            return {}
        case _:
            assert_never(trigger)


def _claims(plan: BuildPlan, trigger: Trigger) -> dict[str, bool]:
    return {"claims": True} if reads_claims(plan, trigger) else {}


def uses_spec(plan: BuildPlan, function: FunctionPlan) -> dict[str, dict[str, dict[str, Any]]]:
    """Return what the function's clients need to know: kind -> name -> facts.

    ``verbs`` of every resource, ``ordered`` of queues and topics, ``key`` and ``sort`` of tables,
    and their ``ttl`` and ``outbox`` where there is one; ``claims`` of queues and topics, the bucket
    of long bodies; ``emits`` of topics, when the function says
    which types of events it publishes; ``input`` of workflows, the schema of what one is started
    with.
    """
    spec = _grants(plan, function.uses)
    for name, facts in spec.get("topic", {}).items():
        if (types := function.emitted(name)) is not None:
            facts["emits"] = list(types)
    return spec


def resources_spec(plan: BuildPlan) -> dict[str, dict[str, dict[str, Any]]]:
    """Return :func:`uses_spec` of one who may do everything with every resource of *plan*."""
    every = [Use("send", "queue", queue.name) for queue in plan.queues]
    every += [Use("publish", "topic", topic.name) for topic in plan.topics]
    for verb in _BOTH:
        every += [Use(verb, "table", table.name) for table in plan.tables]
        every += [Use(verb, "bucket", bucket.name) for bucket in plan.buckets]
    every += [Use("read", "secret", secret.name) for secret in plan.secrets]
    every += [Use("start", "workflow", workflow.name) for workflow in plan.workflows]
    return _grants(plan, every)


def _grants(plan: BuildPlan, uses: Iterable[Use]) -> dict[str, dict[str, dict[str, Any]]]:
    spec: dict[str, dict[str, dict[str, Any]]] = {}
    for use in uses:
        facts = spec.setdefault(use.kind, {}).get(use.name)
        if facts is None:
            facts = spec[use.kind][use.name] = {"verbs": []}
            if use.kind == "queue":
                facts["ordered"] = plan.queue(use.name).ordered
                if claims := plan.queue(use.name).claim_check:
                    facts["claims"] = claims
            elif use.kind == "topic":
                facts["ordered"] = plan.topic(use.name).ordered
                if claims := plan.topic(use.name).claim_check:
                    facts["claims"] = claims
            elif use.kind == "table":
                table = plan.table(use.name)
                facts |= {"key": table.key, "sort": table.sort}
                if table.ttl:
                    facts["ttl"] = table.ttl
                if table.outbox:
                    facts["outbox"] = True
            elif use.kind == "workflow":
                if schema := plan.workflow(use.name).input.document:
                    facts["input"] = dict(schema)
        # The handler itself may not use the bucket of long bodies.
        if not is_claim(use):
            facts["verbs"].append(use.verb)
    return spec


def function_spec(plan: BuildPlan, function: FunctionPlan) -> dict[str, Any]:
    """Return the dict that ``portafaas.runtime.function.Function`` is built from."""
    spec = {
        "name": function.name,
        "service": plan.service,
        "kind": function.kind,
        "handler": f"{function.module}:{function.attribute}",
        "interface": function.interface,
        "timeout": function.timeout,
        "memory": function.memory,
        "concurrency": function.concurrency,
        "source": source_of(plan, function),
        "trigger": trigger_spec(plan, function),
    }
    if function.kind != "http":
        retry = function.retry
        spec["retry"] = {
            "attempts": retry.attempts,
            "backoff": retry.backoff,
            "initial": retry.initial,
            "max": retry.maximum,
            "jitter": retry.jitter,
            "max_age": retry.max_age,
        }
    if function.uses:
        spec["uses"] = uses_spec(plan, function)
    if (once := function.idempotency) is not None:
        found: dict[str, Any] = {"table": once.table, "expires": once.expires}
        if once.key:
            found["key"] = list(once.key)
        if once.required:
            found["required"] = True
        spec["idempotency"] = found
    if plan.stage:
        spec["stage"] = plan.stage
    return spec
