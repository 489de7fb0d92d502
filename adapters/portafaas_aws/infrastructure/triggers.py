"""What invokes each function, as ``bindings`` says, and what becomes of events that fail.

Each trigger adds its resources in two steps: what the function's role must name comes before the
function, what names the function comes after it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from portafaas.adapter import Permission
from portafaas.plan import (
    BuildPlan,
    FunctionPlan,
    ObjectTrigger,
    QueueTrigger,
    ScheduleTrigger,
    TableTrigger,
    TopicTrigger,
)
from portafaas_aws.infrastructure.document import (
    Template,
    arn,
    att,
    logical_id,
    ref,
    sub,
    tags,
)
from portafaas_aws.infrastructure.http import Route, add_routes, add_url
from portafaas_aws.infrastructure.iam import CONSUME, FOLLOW, Grant, add_role
from portafaas_aws.infrastructure.resources import (
    add_dead_letters,
    add_queue,
    dead_letters_of,
)
from portafaas_aws.names import bucket_name, queue_name, table_name

Binding = Mapping[str, Any]

#: https://docs.aws.amazon.com/scheduler/latest/APIReference/API_RetryPolicy.html
_OLDEST = 86_400


def before(template: Template, function: FunctionPlan, binding: Binding) -> list[Grant]:
    """Add what the trigger of *function* brings along, and return what its role needs for it."""
    plan = template.plan
    why = f"$.functions.{function.name}.trigger"
    grants = []
    match function.trigger:
        case QueueTrigger() as trigger:
            name = queue_name(plan, trigger.queue, plan.queue(trigger.queue).ordered)
            source = att(logical_id(trigger.queue, "Queue"))
            grants = [Grant("Consume", CONSUME, source, arn("sqs", name), why)]
        case TopicTrigger() | ObjectTrigger() | ScheduleTrigger():
            inbox = _inbox(template, function, binding)
            scope = arn("sqs", binding["queue"]["QueueName"])
            grants = [Grant("Consume", CONSUME, att(inbox), scope, why)]
        case TableTrigger() as trigger:
            scope = arn("dynamodb", f"table/{table_name(plan, trigger.table)}/stream/*")
            stream = att(logical_id(trigger.table, "Table"), "StreamArn")
            grants = [Grant("Follow", FOLLOW, stream, scope, why)]
            failed, queue = _dead_letters(plan, function)
            add_dead_letters(template, failed, queue, ordered=False)
    if kept := dead_letters_of(plan, function):
        failed, queue, line = kept
        # The bridge, and of a stream Lambda in the function's name.
        scope = arn("sqs", queue)
        grants.append(Grant("KeepFailed", ("sqs:SendMessage",), att(failed), scope, line))
    return grants


def _dead_letters(plan: BuildPlan, function: FunctionPlan) -> tuple[str, str]:
    found = dead_letters_of(plan, function)
    assert found is not None
    return found[:2]


def after(
    template: Template, function: FunctionPlan, binding: Binding, routes: tuple[Route, ...]
) -> list[Permission]:
    """Add what invokes *function*; return what that permits beside the function's own role."""
    match binding["type"]:
        case "http-api":
            add_routes(template, function, binding, routes)
        case "function-url":
            add_url(template, function, binding)
        case "sqs":
            assert isinstance(function.trigger, QueueTrigger)
            queue = logical_id(function.trigger.queue, "Queue")
            facts = dict(binding["eventSourceMapping"])
            if template.plan.queue(function.trigger.queue).ordered:
                # Lambda knows no window for ordered queues; the limits refuse any but 0.
                del facts["MaximumBatchingWindowInSeconds"]
            _mapping(template, function, att(queue), facts)
        case "sns-sqs" | "s3-sqs" | "scheduler-sqs":
            inbox = att(logical_id(function.name, "Inbox"))
            _mapping(template, function, inbox, binding["eventSourceMapping"])
            if binding["type"] == "scheduler-sqs":
                return _schedule(template, function, binding)
        case "dynamodb-stream":
            _stream(template, function, binding)
        case "states":
            # The roles of state machines permit it: see ``workflows``.
            pass
        case other:
            raise AssertionError(f"nothing is known of the binding {other!r}")
    return []


def _mapping(
    template: Template, function: FunctionPlan, source: Any, facts: Mapping[str, Any]
) -> None:
    template.add(
        logical_id(function.name, "Mapping"),
        "AWS::Lambda::EventSourceMapping",
        {
            "EventSourceArn": source,
            "FunctionName": ref(logical_id(function.name, "Function")),
            **facts,
            "Tags": tags(template.plan),
        },
    )


def _stream(template: Template, function: FunctionPlan, binding: Binding) -> None:
    assert isinstance(function.trigger, TableTrigger)
    facts = dict(binding["eventSourceMapping"])
    wanted = facts.pop("FilterCriteria", None)
    if wanted:
        # One line, no spaces: text that stays the same is a diff that stays empty.
        pattern = json.dumps(wanted, separators=(",", ":"), sort_keys=True)
        facts["FilterCriteria"] = {"Filters": [{"Pattern": pattern}]}
    failed, _ = _dead_letters(template.plan, function)
    facts["DestinationConfig"] = {"OnFailure": {"Destination": att(failed)}}
    stream = att(logical_id(function.trigger.table, "Table"), "StreamArn")
    _mapping(template, function, stream, facts)


def _inbox(template: Template, function: FunctionPlan, binding: Binding) -> str:
    """Add the queue between the source and *function*; return its logical id."""
    facts = dict(binding["queue"])
    redrive = facts.pop("RedrivePolicy")
    ordered = bool(facts.get("FifoQueue"))
    failed, _ = _dead_letters(template.plan, function)
    add_dead_letters(
        template, failed, redrive["deadLetterQueueName"], ordered, facts["QueueName"]
    )
    facts["RedrivePolicy"] = {
        "deadLetterTargetArn": att(failed),
        "maxReceiveCount": redrive["maxReceiveCount"],
    }
    inbox = logical_id(function.name, "Inbox")
    add_queue(template, inbox, facts)
    match function.trigger:
        case TopicTrigger() as trigger:
            _subscription(template, function, binding, trigger)
        case ObjectTrigger() as trigger:
            bucket = bucket_name(template.plan, trigger.bucket)
            # A bucket's ARN names no account, and anyone may take the name of a deleted bucket.
            condition = {
                "ArnEquals": {"aws:SourceArn": sub(arn("s3", bucket, account=False))},
                "StringEquals": {"aws:SourceAccount": ref("AWS::AccountId")},
            }
            _policy(template, function, "s3.amazonaws.com", condition)
    return inbox


def _policy(
    template: Template, function: FunctionPlan, service: str, condition: Mapping[str, Any]
) -> str:
    """Open the inbox of *function* to *service* on *condition*; return the policy's logical id.

    Scheduler needs none: it sends under a role.
    """
    inbox = logical_id(function.name, "Inbox")
    return template.add(
        logical_id(function.name, "InboxPolicy"),
        "AWS::SQS::QueuePolicy",
        {
            "Queues": [ref(inbox)],
            "PolicyDocument": {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Effect": "Allow",
                        "Principal": {"Service": service},
                        "Action": "sqs:SendMessage",
                        "Resource": att(inbox),
                        "Condition": dict(condition),
                    }
                ],
            },
        },
    )


def _subscription(
    template: Template, function: FunctionPlan, binding: Binding, trigger: TopicTrigger
) -> None:
    topic = ref(logical_id(trigger.topic, "Topic"))
    condition = {"ArnEquals": {"aws:SourceArn": topic}}
    policy = _policy(template, function, "sns.amazonaws.com", condition)
    subscription = binding["subscription"]
    facts = {
        "TopicArn": topic,
        "Protocol": subscription["Protocol"],
        "Endpoint": att(logical_id(function.name, "Inbox")),
        "RawMessageDelivery": subscription["RawMessageDelivery"],
    }
    for name in ("FilterPolicyScope", "FilterPolicy"):
        if name in subscription:
            facts[name] = subscription[name]
    template.add(
        logical_id(function.name, "Subscription"),
        "AWS::SNS::Subscription",
        facts,
        DependsOn=[policy],
    )


def _schedule(
    template: Template, function: FunctionPlan, binding: Binding
) -> list[Permission]:
    """Add the schedule, and the role under which it sends to the queue of *function*."""
    inbox = logical_id(function.name, "Inbox")
    failed, queue = _dead_letters(template.plan, function)
    name = binding["functionName"]
    why = f"$.functions.{function.name}.trigger"
    # The group, not the schedule, is what Scheduler names.
    # https://docs.aws.amazon.com/scheduler/latest/UserGuide/cross-service-confused-deputy-prevention.html
    condition = {
        "StringEquals": {
            "aws:SourceAccount": ref("AWS::AccountId"),
            "aws:SourceArn": sub(arn("scheduler", "schedule-group/default")),
        }
    }
    permissions = add_role(
        template,
        function,
        "ScheduleAccess",
        "scheduler.amazonaws.com",
        [
            Grant("Fire", ("sqs:SendMessage",), att(inbox),
                  arn("sqs", binding["queue"]["QueueName"]), why),
            Grant("KeepFailed", ("sqs:SendMessage",), att(failed), arn("sqs", queue), why),
        ],
        condition,
    )  # fmt: skip
    template.add(
        logical_id(function.name, "Schedule"),
        "AWS::Scheduler::Schedule",
        {
            "Name": name,
            "ScheduleExpression": binding["ScheduleExpression"],
            "ScheduleExpressionTimezone": binding["ScheduleExpressionTimezone"],
            "FlexibleTimeWindow": binding["FlexibleTimeWindow"],
            "Target": {
                "Arn": att(inbox),
                "RoleArn": att(logical_id(function.name, "ScheduleAccess")),
                "Input": json.dumps(binding["Input"], separators=(",", ":")),
                # How long Scheduler tries to reach the queue; what the function fails at is
                # repeated by that.
                "RetryPolicy": {
                    "MaximumEventAgeInSeconds": int(min(_OLDEST, max(60, function.retry.max_age)))
                },
                "DeadLetterConfig": {"Arn": att(failed)},
            },
        },
    )
    return permissions
