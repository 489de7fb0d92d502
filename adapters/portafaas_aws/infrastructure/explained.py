"""What ``portafaas explain`` tells of the template: why each resource is there, and who repeats.

The numbers are read from the template; what it does not say is the platform's, with the page that
states it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from portafaas.adapter import Emitted, Redelivery
from portafaas.plan import FunctionPlan, QueueTrigger
from portafaas_aws.infrastructure.document import STACK, Template, logical_id
from portafaas_aws.infrastructure.resources import function_dead_letters

_SQS = "https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html"
_ASYNCHRONOUS = "https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html"
_STREAM = "https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html"
_HTTP = "https://docs.aws.amazon.com/lambda/latest/dg/invocation-retries.html"
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
        case "queue":
            assert isinstance(trigger, QueueTrigger)
            return _queue(template, name, properties(trigger.queue, "Queue"))
        case "topic":
            return _queue(template, name, properties(name, "Inbox"))
        case "table":
            mapping = properties(name, "Mapping")
            attempts = mapping.get("MaximumRetryAttempts", -1) + 1
            age = mapping.get("MaximumRecordAgeInSeconds", _STREAM_AGE)
            return Redelivery(
                name,
                "Lambda, which holds up the shard of the table's stream",
                attempts,
                "with a growing delay that Lambda chooses",
                min(age, _STREAM_AGE),
                f"{_failed(template, name)}: where in the stream the change is, not the change",
                _STREAM,
            )
    repeated = properties(name, "Asynchronous")
    attempts = repeated["MaximumRetryAttempts"] + 1
    delays = {1: "", 2: "60 s after a failure"}
    return Redelivery(
        name,
        "Lambda",
        attempts,
        delays.get(attempts, "60 s after the first failure, 120 s after the second"),
        repeated["MaximumEventAgeInSeconds"],
        _failed(template, name),
        _ASYNCHRONOUS,
    )


def _failed(template: Template, function: str) -> str:
    return f"queue {function_dead_letters(template.plan, function)[1]}"


def _queue(template: Template, function: str, queue: Mapping[str, Any]) -> Redelivery:
    redrive = queue.get("RedrivePolicy")
    dead = ""
    if redrive is not None:
        target = redrive["deadLetterTargetArn"]["Fn::GetAtt"][0]
        name = template.resources[target]["Properties"]["QueueName"]
        dead = f"queue {name}; not what became too old"
    return Redelivery(
        function,
        f"SQS, from the queue {queue['QueueName']}",
        redrive["maxReceiveCount"] if redrive is not None else 0,
        f"{queue['VisibilityTimeout']} s after it was received",
        queue.get("MessageRetentionPeriod", _RETENTION),
        dead,
        _SQS,
    )
