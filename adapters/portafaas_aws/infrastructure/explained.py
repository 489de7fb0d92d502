"""What ``portafaas explain`` tells of the template: why each resource is there, and who repeats.

The numbers are read from the template; what it does not say is the platform's, with the page that
states it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from portafaas.adapter import Emitted, Redelivery
from portafaas.plan import FunctionPlan, QueueTrigger, Retry
from portafaas_aws.infrastructure.document import STACK, Template, logical_id
from portafaas_aws.infrastructure.resources import dead_letters_of

_SQS = "https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html"
_STREAM = "https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html"
_HTTP = "https://docs.aws.amazon.com/lambda/latest/dg/invocation-retries.html"
_STATES = "https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html"
#: Seconds; of a queue that does not say (SetQueueAttributes), and of a stream's records.
_RETENTION = 345_600
_STREAM_AGE = 86_400


def resources(template: Template, documents: Mapping[str, Any]) -> tuple[Emitted, ...]:
    """Return every resource of *documents*, which *template* has been divided into."""
    found = [
        Emitted(name, body["Type"], why, template.owners[name])
        for name, body in template.resources.items()
        for why in template.whys[name]
    ]
    root = next(iter(documents.values()))
    found += [
        Emitted(name, body["Type"], "$.targets.aws.stacks")
        for name, body in root["Resources"].items()
        if name.startswith(STACK) and name not in template.resources
    ]
    return tuple(found)


def redeliveries(template: Template) -> tuple[Redelivery, ...]:
    """Return who repeats what each function of *template* failed at."""
    return tuple(_redelivery(template, function) for function in template.plan.functions)


def _redelivery(template: Template, function: FunctionPlan) -> Redelivery:
    def properties(name: str, kind: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = template.resources[logical_id(name, kind)]["Properties"]
        return found

    trigger, name = function.trigger, function.name
    match trigger.kind:
        case "http":
            return Redelivery(name, "", source=_HTTP)
        case "task":
            return Redelivery(name, "the state machine, as its step says", source=_STATES)
        case "queue":
            assert isinstance(trigger, QueueTrigger)
            return _queue(template, function, properties(trigger.queue, "Queue"))
        case "table":
            return _table(template, function, properties(name, "Mapping"))
        case _:
            return _queue(template, function, properties(name, "Inbox"))


def _table(
    template: Template, function: FunctionPlan, mapping: Mapping[str, Any]
) -> Redelivery:
    return Redelivery(
        function.name,
        "the bridge, within the invocation, as far as its timeout allows; then Lambda, which holds "
        "up the shard of the table's stream",
        mapping["MaximumRetryAttempts"] + 1,
        f"{delays(function.retry)}; after a crash with a growing delay that Lambda chooses",
        min(mapping["MaximumRecordAgeInSeconds"], _STREAM_AGE),
        f"queue {_failed(template, function)}; after a crash where in the stream the change is",
        _STREAM,
    )


def delays(retry: Retry) -> str:
    """Return what comes between two attempts, for people."""
    first, most = f"{retry.initial:g} s", f"{retry.maximum:g} s"
    jitter = " (half of that at least)" if retry.jitter else ""
    if retry.backoff == "fixed" or retry.initial >= retry.maximum:
        return f"{first} after a failure{jitter}"
    return f"{first} after the first failure, then twice as much each time, up to {most}{jitter}"


def _failed(template: Template, function: FunctionPlan) -> str:
    found = dead_letters_of(template.plan, function)
    assert found is not None
    return found[1]


def _queue(
    template: Template, function: FunctionPlan, queue: Mapping[str, Any]
) -> Redelivery:
    redrive = queue.get("RedrivePolicy")
    dead = ""
    until = queue.get("MessageRetentionPeriod", _RETENTION)
    if redrive is not None:
        until = min(until, int(function.retry.max_age))
        target = redrive["deadLetterTargetArn"]["Fn::GetAtt"][0]
        name = template.resources[target]["Properties"]["QueueName"]
        dead = f"queue {name}"
    return Redelivery(
        function.name,
        f"SQS, from the queue {queue['QueueName']}, when the bridge says",
        redrive["maxReceiveCount"] if redrive is not None else 0,
        f"{delays(function.retry)}; after a crash {queue['VisibilityTimeout']} s after it was "
        "received",
        until,
        dead,
        _SQS,
    )
