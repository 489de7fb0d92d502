"""What AWS does not take, as PF3002 diagnostics; every number with the page that states it."""

from __future__ import annotations

from collections.abc import Iterator

from portafaas.errors import Diagnostic
from portafaas.plan import (
    BuildPlan,
    FunctionPlan,
    HttpTrigger,
    QueuePlan,
    QueueTrigger,
)
from portafaas_aws.names import HTTP_API_TIMEOUT, MAX_TIMEOUT, front
from portafaas_aws.runtime.settlement import LONGEST

_LAMBDA = "https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"
_VARIABLES = "https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html"
_HTTP_API = "https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html"
_MAPPING = "https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-parameters.html"
_ATTRIBUTES = (
    "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/"
    "API_SetQueueAttributes.html"
)

_INVISIBLE = (
    "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/"
    "API_ChangeMessageVisibility.html"
)
_STREAM = "https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html"
_CONCURRENCY = "https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html"
#: Instances at a time that an account has, and how many of them no function may have for itself.
_QUOTA, _UNRESERVED = 1000, 100

#: Kinds of functions that a queue feeds.
_QUEUED = ("object", "queue", "schedule", "topic")

_RESERVED = frozenset(
    (
        "AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_DEFAULT_REGION", "AWS_EXECUTION_ENV",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_NAME",
        "AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_INITIALIZATION_TYPE",
        "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME", "AWS_LAMBDA_RUNTIME_API",
        "AWS_REGION", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "LAMBDA_RUNTIME_DIR",
        "LAMBDA_TASK_ROOT",
    )
)  # fmt: skip


def check(plan: BuildPlan) -> list[Diagnostic]:
    """Return everything in *plan* that exceeds a limit of AWS."""
    found = [d for function in plan.functions for d in _function(plan, function)]
    for queue in plan.queues:
        found += _queue(queue)
    found += _instances(plan)
    if plan.workflows:
        from portafaas_aws.machines.limits import check as machines

        found += machines(plan)
    if plan.queues or plan.topics or plan.buckets or plan.tables or plan.secrets or plan.alerts:
        from portafaas_aws.infrastructure.limits import check as around

        # The size of the template is a matter of the template: see ``infrastructure.emit``.
        found += around(plan, whole=False)
    return found


def _over(path: str, message: str, source: str, hint: str = "") -> Diagnostic:
    return Diagnostic(
        "PF3002", f"{message} ({source})", path=path, hint=hint or "change the manifest"
    )


def _function(plan: BuildPlan, function: FunctionPlan) -> Iterator[Diagnostic]:
    path = f"$.functions.{function.name}"
    trigger = function.trigger
    if not 128 <= function.memory <= 10_240:
        yield _over(
            f"{path}.memory",
            f"memory {function.memory} MiB is not between 128 and 10240",
            _LAMBDA,
        )
    behind_api = isinstance(trigger, HttpTrigger) and front(function) == "http-api"
    if function.timeout > MAX_TIMEOUT:
        yield _over(
            f"{path}.timeout",
            f"timeout {function.timeout} s is more than Lambda's {MAX_TIMEOUT} s",
            _LAMBDA,
        )
    elif behind_api and function.timeout > HTTP_API_TIMEOUT:
        yield _over(
            f"{path}.timeout",
            f"timeout {function.timeout} s is more than the {HTTP_API_TIMEOUT} s that an HTTP API "
            "waits",
            _HTTP_API,
            "use 30s or less, or targets: {aws: {front: function-url}}",
        )
    if function.options.get("front") and not isinstance(trigger, HttpTrigger):
        yield _over(
            f"{path}.targets.aws.front",
            f"front is for http triggers; {function.name!r} has a {function.kind} trigger",
            _LAMBDA,
            "remove it",
        )
    if function.kind in _QUEUED and function.retry.maximum > LONGEST:
        yield _over(
            f"{path}.retry.max",
            f"a delay of {function.retry.maximum:g} s is more than the {LONGEST} s that a message "
            "can be invisible after an invocation (12 h with it)",
            _INVISIBLE,
            f"max: {LONGEST}s or less",
        )
    if function.kind == "table" and function.retry.declared:
        yield from _rounds(function, path)
    if isinstance(trigger, QueueTrigger):
        yield from _batch(plan.queue(trigger.queue), trigger, f"{path}.trigger.queue")
    yield from _environment(function, path)


def _rounds(function: FunctionPlan, path: str) -> Iterator[Diagnostic]:
    """Warn of attempts that an invocation has no time for: they begin anew with each delivery."""
    retry = function.retry
    delays = [
        min(retry.initial * (2.0**n if retry.backoff == "exponential" else 1.0), retry.maximum)
        for n in range(retry.attempts - 1)
    ]
    if sum(delays) >= function.timeout:
        yield Diagnostic(
            "PF3002",
            f"the delays of {retry.attempts} attempts are {sum(delays):g} s, and changes of a "
            f"table are tried within one invocation of {function.timeout} s: those that have no "
            "time begin anew with the next delivery, and what is given up then is kept for 24 "
            f"hours ({_STREAM})",
            path=f"{path}.retry",
            hint="a longer timeout, shorter delays or fewer attempts",
            severity="warning",
        )


def _instances(plan: BuildPlan) -> Iterator[Diagnostic]:
    for function in plan.functions:
        if function.max_instances == 1 and function.kind in _QUEUED:
            yield _over(
                f"$.functions.{function.name}.max-instances",
                "Lambda works at 2 batches of a queue at least; it would hand back what a single "
                "instance cannot take, until messages are dead letters that nobody has tried",
                _MAPPING,
                "max-instances: 2, or no bound",
            )
    reserved = sum(function.max_instances for function in plan.functions)
    if reserved > _QUOTA - _UNRESERVED:
        yield Diagnostic(
            "PF3002",
            f"max-instances of all functions reserve {reserved} instances; of the {_QUOTA} that an "
            f"account has unless its quota was raised, {_UNRESERVED} cannot be reserved "
            f"({_CONCURRENCY})",
            path="$.functions",
            hint="ask for a higher quota before you deploy, or bound fewer functions",
            severity="warning",
        )


def _environment(function: FunctionPlan, path: str) -> Iterator[Diagnostic]:
    for name in function.environment:
        if name in _RESERVED:
            yield _over(
                f"{path}.environment.{name}",
                f"Lambda sets {name} itself",
                _VARIABLES,
                "use another name",
            )
    size = sum(len(k.encode()) + len(v.encode()) for k, v in function.environment.items())
    if size > 4096:
        yield _over(
            f"{path}.environment",
            f"the environment, with the settings of the service, has {size} bytes; at most 4096",
            _LAMBDA,
        )


def _batch(queue: QueuePlan, trigger: QueueTrigger, path: str) -> Iterator[Diagnostic]:
    most = 10 if queue.ordered else 10_000
    if trigger.batch > most:
        kind = "an ordered" if queue.ordered else "a"
        yield _over(
            f"{path}.batch",
            f"batch {trigger.batch} is more than the {most} messages of {kind} queue",
            _MAPPING,
        )
    if trigger.window > 300:
        yield _over(f"{path}.window", f"window {trigger.window} s is more than 300 s", _MAPPING)
    if queue.ordered and trigger.window:
        yield _over(
            f"{path}.window", "Lambda waits for no batch of an ordered queue", _MAPPING,
            "remove window",
        )  # fmt: skip


def _queue(queue: QueuePlan) -> Iterator[Diagnostic]:
    path = f"$.queues.{queue.name}"
    if not 60 <= queue.retention <= 1_209_600:
        yield _over(
            f"{path}.retention",
            f"retention {queue.retention} s is not between 60 s and 14 days",
            _ATTRIBUTES,
        )
    if queue.delay > 900:
        yield _over(f"{path}.delay", f"delay {queue.delay} s is more than 900 s", _ATTRIBUTES)
    if queue.max_concurrency and not 2 <= queue.max_concurrency <= 1000:
        yield _over(
            f"{path}.max-concurrency",
            f"max-concurrency {queue.max_concurrency} is not between 2 and 1000",
            _MAPPING,
        )
