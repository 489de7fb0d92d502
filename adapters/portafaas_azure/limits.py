"""What Azure Functions cannot take, found in the plan (PF3002). Read-only."""

from __future__ import annotations

import re
from collections.abc import Iterator

from portafaas.errors import Diagnostic
from portafaas.plan import BuildPlan, FunctionPlan, HttpTrigger, ObjectTrigger, TopicTrigger

SCALE = "https://learn.microsoft.com/azure/azure-functions/functions-scale"
_MEMORY = "https://learn.microsoft.com/azure/azure-functions/flex-consumption-plan#instance-sizes"
_HTTP = "https://learn.microsoft.com/azure/azure-functions/functions-bindings-http-webhook-trigger"
_BUS = "https://learn.microsoft.com/azure/service-bus-messaging/service-bus-quotas"
_BLOB = (
    "https://learn.microsoft.com/rest/api/storageservices/"
    "naming-and-referencing-containers--blobs--and-metadata"
)
_HOST = "https://github.com/Azure/azure-functions-host/blob/dev/src/WebJobs.Script/Utility.cs"

MAX_MEMORY = 4096
#: Seconds; the idle timeout of the load balancer in front of every plan.
MAX_HTTP_TIMEOUT = 230
#: Bytes of a request body.
MAX_REQUEST = 100_000_000
MAX_CONCURRENCY = 1000

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,127}")
_CONTAINER = re.compile(r"(?=.{3,63}$)[a-z0-9]+(-[a-z0-9]+)*")


def check(plan: BuildPlan) -> list[Diagnostic]:
    """Return one PF3002 for each limit that *plan* exceeds."""
    found = [problem for function in plan.functions for problem in _function(function)]
    used = {
        function.trigger.bucket
        for function in plan.functions
        if isinstance(function.trigger, ObjectTrigger)
    }
    for bucket in sorted(used):
        if not _CONTAINER.fullmatch(bucket):
            found.append(
                Diagnostic(
                    "PF3002",
                    f"the bucket's name {bucket!r} is not the name of a blob container: 3 to 63 "
                    f"lower-case letters, digits and single hyphens",
                    path=f"$.buckets.{bucket}",
                    hint=_BLOB,
                )
            )
    seen: dict[str, str] = {}
    for function in plan.functions:
        other = seen.setdefault(function.entry.lower(), function.name)
        if other != function.name:
            found.append(
                _limit(
                    function, "", f"{function.name!r} and {other!r} are one name on Azure", _HOST
                )
            )
    for queue in plan.queues:
        if len(queue.name) > 260:
            found.append(
                Diagnostic(
                    "PF3002",
                    f"the queue's name has {len(queue.name)} characters; Service Bus takes 260",
                    path=f"$.queues.{queue.name}",
                    hint=_BUS,
                )
            )
    return found


def _limit(function: FunctionPlan, where: str, message: str, url: str) -> Diagnostic:
    return Diagnostic("PF3002", message, path=f"$.functions.{function.name}{where}", hint=url)


def _function(function: FunctionPlan) -> Iterator[Diagnostic]:
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
    elif isinstance(trigger, ObjectTrigger) and len(function.name) > 252:
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
    first = trigger.path.split("/")[1].lower() if trigger.path.startswith("/") else ""
    if first in ("admin", "runtime"):
        yield _limit(
            function,
            ".trigger.http.path",
            f"paths below /{first} belong to the Functions host",
            _HTTP,
        )
