"""What Azure Functions cannot take, found in the plan (PF3002). Read-only."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from portafaas.errors import Diagnostic
from portafaas.plan import (
    BuildPlan,
    FunctionPlan,
    HttpTrigger,
    QueueTrigger,
    TopicTrigger,
)
from portafaas_azure.broker import again_of
from portafaas_azure.flows import CONTROL, DEFINITION, entry_of
from portafaas_azure.runtime.shapes import TAKEN

SCALE = "https://learn.microsoft.com/azure/azure-functions/functions-scale"
_MEMORY = "https://learn.microsoft.com/azure/azure-functions/flex-consumption-plan#instance-sizes"
_HTTP = "https://learn.microsoft.com/azure/azure-functions/functions-bindings-http-webhook-trigger"
_BUS = "https://learn.microsoft.com/azure/service-bus-messaging/service-bus-quotas"
_BLOB = (
    "https://learn.microsoft.com/rest/api/storageservices/"
    "naming-and-referencing-containers--blobs--and-metadata"
)
_SEQUENCE = "https://learn.microsoft.com/azure/service-bus-messaging/message-sequencing"
_SESSIONS = "https://learn.microsoft.com/azure/service-bus-messaging/message-sessions"
_LEASES = "https://learn.microsoft.com/azure/cosmos-db/nosql/change-feed-processor"
_ITEM = "https://learn.microsoft.com/azure/cosmos-db/resource-model#properties-of-an-item"
_ACTIONS = "https://learn.microsoft.com/azure/azure-monitor/alerts/action-groups"
_ALERTS = "https://learn.microsoft.com/azure/azure-monitor/alerts/alerts-create-log-alert-rule"
_VARIABLE = "https://man7.org/linux/man-pages/man2/execve.2.html"
_TEMPLATE = (
    "https://learn.microsoft.com/azure/azure-resource-manager/templates/"
    "best-practices#template-limits"
)
_HOST = "https://github.com/Azure/azure-functions-host/blob/dev/src/WebJobs.Script/Utility.cs"

MAX_MEMORY = 4096
#: Seconds; the idle timeout of the load balancer in front of every plan.
MAX_HTTP_TIMEOUT = 230
#: Bytes of a request body.
MAX_REQUEST = 100_000_000
MAX_CONCURRENCY = 1000
MAX_INSTANCES = 1000
#: Action groups of an alert.
MAX_CHANNELS = 5
#: Bytes of a variable with its name, ``=`` and the end; Linux starts no process with a longer one.
MAX_VARIABLE = 131_072
#: Of one deployment.
MAX_PARTS = {"resources": 800, "parameters": 256, "variables": 256, "outputs": 64}
#: Bytes.
MAX_TEMPLATE = 4 * 1024 * 1024
#: Parameters of the template beside those of the keys, in lower case.
_PARAMETERS = frozenset(
    ("location", "packageuri", "packagedigest", "logretentiondays", "protectdata", "secretshells",
     "authclientid")
)  # fmt: skip

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,127}")
_CONTAINER = re.compile(r"(?=.{3,63}$)[a-z0-9]+(-[a-z0-9]+)*")


def check(plan: BuildPlan) -> list[Diagnostic]:
    """Return one PF3002 for each limit that *plan* exceeds."""
    found = [problem for function in plan.functions for problem in _function(plan, function)]
    from portafaas_azure.infrastructure.scaling import beyond

    found += beyond(plan)
    found += _resources(plan)
    found += _alerts(plan)
    from portafaas_azure.limits_flows import check_workflows

    found += check_workflows(plan)
    seen: dict[str, str] = {}
    entries = [
        (function, entry.lower())
        for function in plan.functions
        for entry in (function.entry, f"{function.entry}__again" if again_of(function) else "")
        if entry
    ]
    for workflow in plan.workflows:
        seen[entry_of(workflow.name).lower()] = f"workflow {workflow.name}"
    if plan.workflows:
        seen |= {CONTROL: "what starts workflows", DEFINITION: "what defines workflows"}
    for function, entry in entries:
        other = seen.setdefault(entry, function.name)
        if other != function.name:
            found.append(
                _limit(
                    function, "", f"{function.name!r} and {other!r} are one name on Azure", _HOST
                )
            )
    return found


def _resources(plan: BuildPlan) -> Iterator[Diagnostic]:
    """Yield what the declared resources cannot be, or be called."""
    for bucket in plan.buckets:
        if not _CONTAINER.fullmatch(bucket.name):
            yield _refused(
                f"$.buckets.{bucket.name}",
                f"the bucket's name {bucket.name!r} is not the name of a blob container: 3 to 63 "
                f"lower-case letters, digits and single hyphens",
                _BLOB,
            )
    bus: dict[str, str] = {}
    for where, name in _own_queues(plan):
        other = bus.setdefault(name, where)
        if other != where:
            yield _refused(where, f"{name!r} is also the name of a queue of {other}", _BUS)
    for kind, names in (
        ("queue", [queue.name for queue in plan.queues]),
        ("topic", [topic.name for topic in plan.topics]),
    ):
        for name in names:
            where = f"$.{kind}s.{name}"
            other = bus.setdefault(name, where)
            if other != where:
                yield _refused(where, f"{name!r} also names {other} in Service Bus", _BUS)
            if len(name) > 260:
                text = f"the {kind}'s name has {len(name)} characters; Service Bus takes 260"
                yield _refused(where, text, _BUS)
    for queue in plan.queues:
        where = f"$.queues.{queue.name}"
        if queue.delay:
            text = "Service Bus delays single messages, not queues; schedule them when sending"
            yield _refused(f"{where}.delay", text, _SEQUENCE)
        target = next((o for o in plan.queues if o.name == queue.dead_letter), None)
        if target is not None and target.ordered and not queue.ordered:
            text = f"{target.name!r} is ordered and takes only messages with a key"
            yield _refused(f"{where}.dead-letter", text, _SESSIONS)
        if queue.retention < 1:
            yield _refused(f"{where}.retention", "messages must be kept for a second or more", _BUS)
    triggered = [function for function in plan.functions if function.kind == "table"]
    leases = {function.options.get("leaseContainer", "leases") for function in triggered}
    for table in plan.tables:
        where = f"$.tables.{table.name}"
        if table.name in leases:
            yield _refused(where, f"{table.name!r} is also the container of the leases", _LEASES)
        for name in (table.key, table.sort):
            if name in TAKEN and (name != "id" or (table.sort and name == table.key)):
                text = "every item's own" if name != "id" else "unique in a partition already"
                yield _refused(where, f"the key {name!r}: on Azure it is {text}", _ITEM)


def _own_queues(plan: BuildPlan) -> Iterator[tuple[str, str]]:
    """Yield who needs it, and the name, of each queue that the manifest does not declare."""
    for queue in plan.queues:
        if queue.dead_letter is True:
            yield f"$.queues.{queue.name}.dead-letter", f"{queue.name}-dead"
    for function in plan.functions:
        where = f"$.functions.{function.name}"
        if function.kind not in ("http", "queue", "task"):
            yield where, f"{function.name}-dead"
        if function.kind == "object":
            yield where, f"{function.name}-objects"
        if again := again_of(function):
            yield where, again


def _alerts(plan: BuildPlan) -> Iterator[Diagnostic]:
    """Yield the alerts that Azure has no true metric for, and what is too much for one."""
    for alert in plan.alerts:
        where = f"$.alerts.{alert.name}"
        if len(alert.notify) > MAX_CHANNELS:
            text = f"{len(alert.notify)} channels; an alert on Azure takes {MAX_CHANNELS}"
            yield _refused(f"{where}.notify", text, _ACTIONS)
        milliseconds = alert.threshold * 1000
        if alert.metric == "latency-p95" and abs(milliseconds - round(milliseconds)) > 1e-6:
            text = "the threshold is not in whole milliseconds"
            yield _refused(f"{where}.threshold", text, _ALERTS)


def too_many(plan: BuildPlan, document: Mapping[str, Any]) -> list[Diagnostic]:
    """Return the refusals of *document*, the template of *plan*, as a whole: it has too much."""
    hint = "give the service targets: {azure: {apps: grouped}}, or divide it"
    if plan.options.get("apps") == "grouped":
        hint = "divide the service"
    found = [
        Diagnostic(
            "PF3002",
            f"{len(document[part])} {part} of Azure; one deployment takes {most}",
            path="$.functions",
            hint=f"{hint}; {_TEMPLATE}",
        )
        for part, most in MAX_PARTS.items()
        if len(document[part]) > most
    ]
    import json

    size = len(json.dumps(document).encode())
    if size > MAX_TEMPLATE:
        text = f"a template of {size} bytes; one deployment takes {MAX_TEMPLATE}"
        found.append(_refused("$.functions", text, f"{hint}; {_TEMPLATE}"))
    return found


def _refused(path: str, message: str, url: str) -> Diagnostic:
    return Diagnostic("PF3002", message, path=path, hint=url)


def _limit(function: FunctionPlan, where: str, message: str, url: str) -> Diagnostic:
    return Diagnostic("PF3002", message, path=f"$.functions.{function.name}{where}", hint=url)


def _function(plan: BuildPlan, function: FunctionPlan) -> Iterator[Diagnostic]:
    if not _NAME.fullmatch(function.entry) or function.entry.lower() == "host":
        yield _limit(
            function,
            "",
            f"{function.entry!r} is not a function name: a letter, then up to 127 letters, "
            f"digits, '_' and '-', and not 'host'",
            _HOST,
        )
    if function.memory > MAX_MEMORY:
        yield _limit(
            function, ".memory", f"{function.memory} MiB of memory; at most {MAX_MEMORY}", _MEMORY
        )
    if function.concurrency > MAX_CONCURRENCY:
        yield _limit(
            function,
            ".concurrency",
            f"concurrency {function.concurrency}; at most {MAX_CONCURRENCY}",
            _MEMORY,
        )
    if function.max_instances > MAX_INSTANCES:
        yield _limit(
            function,
            ".max-instances",
            f"{function.max_instances} instances; at most {MAX_INSTANCES}",
            _MEMORY,
        )
    for name, value in function.environment.items():
        size = len(name.encode()) + len(value.encode()) + 2
        if size > MAX_VARIABLE:
            text = f"the variable {name} has {size} bytes; at most {MAX_VARIABLE}"
            yield _limit(function, ".environment", text, _VARIABLE)
    trigger = function.trigger
    if isinstance(trigger, HttpTrigger):
        yield from _http(function, trigger)
    elif isinstance(trigger, TopicTrigger):
        if len(function.name) > 50:
            yield _limit(
                function,
                "",
                f"the function's name names its subscription and has {len(function.name)} "
                f"characters; Service Bus takes 50",
                _BUS,
            )
    elif isinstance(trigger, QueueTrigger):
        bound = plan.queue(trigger.queue).max_concurrency
        if bound and function.concurrency > bound:
            yield _limit(
                function,
                ".concurrency",
                f"one instance may run {function.concurrency} invocations, and all together "
                f"{bound} (queues.{trigger.queue}.max-concurrency)",
                _MEMORY,
            )
    if function.kind in ("object", "table", "schedule") and len(function.name) > 252:
        yield _limit(function, "", "the name is too long for a Service Bus queue", _BUS)


def _http(function: FunctionPlan, trigger: HttpTrigger) -> Iterator[Diagnostic]:
    if function.timeout > MAX_HTTP_TIMEOUT:
        yield _limit(
            function,
            ".timeout",
            f"a timeout of {function.timeout} s; an http function must answer within "
            f"{MAX_HTTP_TIMEOUT} s",
            SCALE,
        )
    if trigger.max_body > MAX_REQUEST:
        yield _limit(
            function,
            ".trigger.http.max-body",
            f"bodies of {trigger.max_body} bytes; at most {MAX_REQUEST}",
            SCALE,
        )
    if trigger.auth is not None and trigger.auth.keys.lower() in _PARAMETERS:
        yield _limit(
            function,
            ".trigger.http.auth",
            f"{trigger.auth.keys!r} is also a parameter of the template, whatever the case",
            _TEMPLATE,
        )
    first = trigger.path.split("/")[1].lower() if trigger.path.startswith("/") else ""
    if first in ("admin", "runtime"):
        yield _limit(
            function,
            ".trigger.http.path",
            f"paths below /{first} belong to the Functions host",
            _HTTP,
        )
