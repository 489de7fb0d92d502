"""Plan to package files and native trigger descriptions; pure.

Every function is an HTTP service (``http`` signature). Queues and topics are Pub/Sub push
subscriptions rather than event triggers, whose subscriptions take no dead-letter policy, filter
or ordering; buckets notify a topic of the function's own, since Eventarc knows no prefixes and does
not tell a deletion from an overwriting; tables are Eventarc triggers; schedules are Cloud Scheduler
jobs; tasks are called by workflows. All of them call the service with an ID token.

Long, since all triggers stand side by side.
"""

from __future__ import annotations

from typing import Any, assert_never

from portafaas.adapter import Deployment, Lowered
from portafaas.plan import (
    BuildPlan,
    FunctionPlan,
    HttpTrigger,
    ObjectTrigger,
    QueuePlan,
    QueueTrigger,
    ScheduleTrigger,
    TableTrigger,
    TaskTrigger,
    TopicTrigger,
)
from portafaas.plan.entry import function_spec
from portafaas.runtime.control import TO
from portafaas_gcp.names import database, service_name
from portafaas_gcp.recovery import dead_letters, deliveries
from portafaas_gcp.runtime.settlement import LONGEST

#: Pinned so that the build installs what the package was tested with; the vendor runtime's pin.
FRAMEWORK = "functions-framework==3.10.2"
#: Seconds the platform waits longer than the handler may take, so that the bridge can answer.
MARGIN = 5
#: Seconds at which the platform's own maximum stops the margin, by kind.
_MOST = {
    "http": 3600, "queue": 600, "topic": 600, "object": 600, "table": 600, "schedule": 1800,
    "task": 1800,
}  # fmt: skip
#: Bytes: https://cloud.google.com/pubsub/docs/subscription-message-filter
LONGEST_FILTER = 256
_CORE = ("id", "source", "type", "subject", "time", "datacontenttype", "dataschema")

_MAIN = '''"""Entry points of {service}, made by portafaas for Google Cloud; edits are lost."""

import sys as _sys

_root = __file__.rpartition("/")[0] or "."
# Handlers and their locked dependencies before what the framework brings.
_sys.path[:0] = [_root, _root + "/{dependencies}"]

_SPECS = {{
{specs}}}


def __getattr__(name):
    """Build the entry function on first use: the framework asks for one of them only."""
    spec = _SPECS.get(name)
    if spec is None:
        raise AttributeError(f"module {{__name__!r}} has no attribute {{name!r}}")
    from importlib import import_module

    from portafaas.runtime.function import Function

    bind = import_module("portafaas_gcp.runtime." + spec["kind"]).bind
    globals()[name] = entry = bind(Function(spec))
    return entry
'''


def lower(plan: BuildPlan) -> Lowered:
    """Return the generated files and one Deployment a function."""
    from portafaas_gcp.adapter import DEPENDENCIES

    specs = "".join(
        f"    {function.entry!r}: {function_spec(plan, function)!r},\n"
        for function in plan.functions
    )
    main = _MAIN.format(service=plan.service, dependencies=DEPENDENCIES, specs=specs)
    files = {"main.py": main.encode("utf-8"), "requirements.txt": f"{FRAMEWORK}\n".encode()}
    return Lowered(files, tuple(_deployment(plan, function) for function in plan.functions))


def _deployment(plan: BuildPlan, function: FunctionPlan) -> Deployment:
    timeout = min(function.timeout + MARGIN, _MOST[function.kind])
    # With one thread gunicorn takes its sync worker, which runs the handler on the main thread,
    # where a signal can end it; with more it takes gthread (functions_framework/_http/gunicorn.py).
    environment = {
        **function.environment,
        "THREADS": str(function.concurrency),
        "WORKERS": "1",
    }
    return Deployment(
        function=function.name,
        entry=function.entry,
        memory=function.memory,
        timeout=timeout,
        environment=environment,
        binding={
            "name": service_name(plan, function),
            **({"region": plan.options["region"]} if "region" in plan.options else {}),
            "build": {
                "runtime": f"python{plan.python.replace('.', '')}",
                "entryPoint": function.entry,
                # The buildpack compiles all sources anew; this makes the bytecode depend on their
                # content, not on times that the image build resets (docs/adr/0004).
                "environmentVariables": {
                    "GOOGLE_FUNCTION_SIGNATURE_TYPE": "http",
                    "SOURCE_DATE_EPOCH": "315532800",
                },
            },
            "service": _service(plan, function, timeout),
            "invoker": "allUsers" if _is_public(function) else "iam",
            "trigger": _trigger(plan, function, timeout),
        },
    )


def binding_of(plan: BuildPlan, function: FunctionPlan) -> dict[str, Any]:
    """Return what calls *function*: its subscription, trigger or job."""
    return _trigger(plan, function, min(function.timeout + MARGIN, _MOST[function.kind]))


def _is_public(function: FunctionPlan) -> bool:
    trigger = function.trigger
    return isinstance(trigger, HttpTrigger) and (
        trigger.auth is None or trigger.auth.scheme != "iam"
    )


def _service(plan: BuildPlan, function: FunctionPlan, timeout: int) -> dict[str, Any]:
    options = function.options
    out: dict[str, Any] = {
        "availableMemory": f"{function.memory}Mi",
        "timeoutSeconds": timeout,
        "maxInstanceRequestConcurrency": function.concurrency,
    }
    cpu = options.get("cpu")
    if cpu is None and function.concurrency > 1:
        # More than one request needs a whole processor, more memory more of them:
        # https://cloud.google.com/run/docs/configuring/services/memory-limits#cpu-minimum
        steps = ((4096, 1), (8192, 2), (16_384, 4), (24_576, 6), (32_768, 8))
        cpu = next((count for most, count in steps if function.memory <= most), 8)
    if cpu is not None:
        out["availableCpu"] = str(cpu)
    if function.min_instances:
        out["minInstanceCount"] = function.min_instances
    most = most_instances(plan, function)
    if most is not None:
        out["maxInstanceCount"] = most
    return out


def most_instances(plan: BuildPlan, function: FunctionPlan) -> int | None:
    """Return how many instances there may be: as the function and its queue say; None: no limit."""
    most = function.max_instances or None
    trigger = function.trigger
    if isinstance(trigger, QueueTrigger):
        wanted = plan.queue(trigger.queue).max_concurrency
        if wanted:
            share = max(1, min(wanted // function.concurrency, 1000))
            most = share if most is None else min(most, share)
    return most


def _trigger(plan: BuildPlan, function: FunctionPlan, timeout: int) -> dict[str, Any]:
    trigger = function.trigger
    match trigger:
        case HttpTrigger():
            return {"type": "http", "path": trigger.path, "methods": list(trigger.methods)}
        case QueueTrigger():
            queue = plan.queue(trigger.queue)
            return {
                "type": "pubsub",
                "topic": queue.name,
                "subscription": _subscription(plan, function, timeout, queue),
            }
        case TopicTrigger():
            subscription = _subscription(plan, function, timeout, None)
            if plan.topic(trigger.topic).ordered:
                subscription["enableMessageOrdering"] = True
            if wanted := broker_filter(trigger, function.name):
                subscription["filter"] = wanted
            return {"type": "pubsub", "topic": trigger.topic, "subscription": subscription}
        case ObjectTrigger():
            # In a bucket with versions a deletion archives the live version.
            versioned = any(b.name == trigger.bucket and b.versioned for b in plan.buckets)
            words = {"created": "FINALIZE", "deleted": "ARCHIVE" if versioned else "DELETE"}
            return {
                "type": "storage",
                "bucket": trigger.bucket,
                "eventTypes": [f"OBJECT_{words[kind]}" for kind in trigger.on],
                # The bridge looks at the suffix.
                **({"objectNamePrefix": trigger.prefix} if trigger.prefix else {}),
                "payloadFormat": "JSON_API_V1",
                "subscription": _subscription(plan, function, timeout, None),
            }
        case TableTrigger():
            kinds = ("insert", "update") if "upsert" in trigger.on else ()
            wanted_kinds = dict.fromkeys((*kinds, *(k for k in trigger.on if k != "upsert")))
            words = {"insert": "created", "update": "updated", "delete": "deleted"}
            return {
                "type": "eventarc",
                "eventDataContentType": "application/protobuf",
                "eventFilters": [
                    [
                        _equals("type", f"google.cloud.firestore.document.v1.{words[kind]}"),
                        _equals("database", database(plan)),
                        {
                            **_equals("document", f"{trigger.table}/{{id}}"),
                            "operator": "match-path-pattern",
                        },
                    ]
                    for kind in wanted_kinds
                ],
            }
        case ScheduleTrigger():
            from portafaas.schedule import parse_cron, to_cloud_scheduler

            fields, zone = to_cloud_scheduler(parse_cron(trigger.cron, trigger.timezone))
            return {
                "type": "scheduler",
                "schedule": fields,
                "timeZone": zone,
                "httpMethod": "POST",
                "attemptDeadline": f"{max(15, timeout)}s",
                **_scheduler_retry(function),
            }
        case TaskTrigger():
            return {"type": "task"}
        case _:
            assert_never(trigger)


def _equals(attribute: str, value: str) -> dict[str, str]:
    return {"attribute": attribute, "value": value}


def _subscription(
    plan: BuildPlan, function: FunctionPlan, timeout: int, queue: QueuePlan | None
) -> dict[str, Any]:
    """Return a Pub/Sub subscription as its REST resource has it, less names of projects.

    Its retry policy is that of the manifest, as far as there is such a one: the bridge takes it for
    granted (``runtime/settlement.py``).
    """
    out: dict[str, Any] = {
        "ackDeadlineSeconds": max(10, timeout),
        "expirationPolicy": {},
        "pushConfig": {"oidcToken": {}, "pubsubWrapper": {}},
    }
    first, last = _delays(function, LONGEST)
    out["retryPolicy"] = {"minimumBackoff": first, "maximumBackoff": last}
    if queue is not None:
        out["messageRetentionDuration"] = f"{queue.retention}s"
        if queue.ordered:
            out["enableMessageOrdering"] = True
    if topic := dead_letters(plan, function):
        out["deadLetterPolicy"] = {
            "deadLetterTopic": topic,
            "maxDeliveryAttempts": deliveries(function),
        }
    return out


def _delays(function: FunctionPlan, most: float) -> tuple[str, str]:
    """Return the first and the longest delay, at most *most* seconds, as JSON has durations."""
    retry = function.retry
    longest = retry.initial if retry.backoff == "fixed" else max(retry.maximum, retry.initial)
    first, last = (
        f"{min(seconds, most):.3f}".rstrip("0").rstrip(".") + "s"
        for seconds in (retry.initial, longest)
    )
    return first, last


def _scheduler_retry(function: FunctionPlan) -> dict[str, Any]:
    if not function.retry.declared:
        return {}
    first, last = _delays(function, float("inf"))
    # retryCount is 0 to 5: https://cloud.google.com/scheduler/docs/reference/rest/v1/RetryConfig
    return {
        "retryConfig": {
            "retryCount": min(function.retry.attempts - 1, 5),
            "minBackoffDuration": first,
            "maxBackoffDuration": last,
        }
    }


def broker_filter(trigger: TopicTrigger, function: str) -> str:
    """Return a Pub/Sub filter that lets pass at least what is for *function*, or ``""``.

    That is what the trigger's filter lets pass, less the copies that are for another function. It
    sees attributes only: an event in structured form, or one without the attribute, is left to the
    bridge, which always checks. What would be longer than Pub/Sub takes is left out: of the two the
    copies first, since there are few.
    https://cloud.google.com/pubsub/docs/subscription-message-filter
    """
    own = f'(NOT attributes:"{TO}" OR attributes."{TO}" = {_quoted(function)})'
    terms = []
    for name, values in trigger.filter:
        ce = _quoted(f"ce-{name}")
        choices = [f"attributes.{ce} = {_quoted(value)}" for value in values]
        if name in _CORE:
            choices.append(f"NOT attributes:{ce}")
        else:
            choices += [f"attributes.{_quoted(name)} = {_quoted(value)}" for value in values]
            choices.append('hasPrefix(attributes."content-type", "application/cloudevents")')
        terms.append(f"({' OR '.join(choices)})")
    text = " AND ".join(terms)
    choices = [" AND ".join(filter(None, (text, own))), text, own]
    return next((one for one in choices if 0 < len(one.encode("utf-8")) <= LONGEST_FILTER), "")


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
