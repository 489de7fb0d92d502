"""What invokes each function, as ``bindings`` says, and what becomes of events that fail.

Each trigger adds its resources in two steps: what the function's role must name comes before the
function, what names the function comes after it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from portafaas.adapter import Permission
from portafaas.plan import FunctionPlan, ObjectTrigger, QueueTrigger, TableTrigger, TopicTrigger
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
    function_dead_letters,
)
from portafaas_aws.names import bucket_name, queue_name, table_name

Binding = Mapping[str, Any]

#: https://docs.aws.amazon.com/scheduler/latest/APIReference/API_RetryPolicy.html
_OLDEST = 86_400


def before(template: Template, function: FunctionPlan, binding: Binding) -> list[Grant]:
    """Add what the trigger of *function* brings along, and return what its role needs for it."""
    plan = template.plan
    why = f"$.functions.{function.name}.trigger"
    match function.trigger:
        case QueueTrigger() as trigger:
            name = queue_name(plan, trigger.queue, plan.queue(trigger.queue).ordered)
            source = att(logical_id(trigger.queue, "Queue"))
            return [Grant("Consume", CONSUME, source, arn("sqs", name), why)]
        case TopicTrigger():
            inbox = _inbox(template, function, binding)
            scope = arn("sqs", binding["queue"]["QueueName"])
            return [Grant("Consume", CONSUME, att(inbox), scope, why)]
        case TableTrigger() as trigger:
            scope = arn("dynamodb", f"table/{table_name(plan, trigger.table)}/stream/*")
            stream = att(logical_id(trigger.table, "Table"), "StreamArn")
            return [
                Grant("Follow", FOLLOW, stream, scope, why),
                _failed_events(template, function),
            ]
    if "eventInvokeConfig" in binding:
        return [_failed_events(template, function)]
    return []


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
        case "sns-sqs":
            inbox = att(logical_id(function.name, "Inbox"))
            _mapping(template, function, inbox, binding["eventSourceMapping"])
        case "dynamodb-stream":
            _stream(template, function, binding)
        case "s3":
            _bucket_permission(template, function)
            _asynchronous(template, function, binding["eventInvokeConfig"])
        case "scheduler":
            _asynchronous(template, function, binding["eventInvokeConfig"])
            return _schedule(template, function, binding)
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
    failed, _ = function_dead_letters(template.plan, function.name)
    facts["DestinationConfig"] = {"OnFailure": {"Destination": att(failed)}}
    stream = att(logical_id(function.trigger.table, "Table"), "StreamArn")
    _mapping(template, function, stream, facts)


def _inbox(template: Template, function: FunctionPlan, binding: Binding) -> str:
    """Add the queue between the topic and *function*; return its logical id."""
    assert isinstance(function.trigger, TopicTrigger)
    facts = dict(binding["queue"])
    redrive = facts.pop("RedrivePolicy")
    ordered = bool(facts.get("FifoQueue"))
    failed = logical_id(function.name, "FailedEvents")
    add_dead_letters(
        template, failed, redrive["deadLetterQueueName"], ordered, facts["QueueName"]
    )
    facts["RedrivePolicy"] = {
        "deadLetterTargetArn": att(failed),
        "maxReceiveCount": redrive["maxReceiveCount"],
    }
    inbox = logical_id(function.name, "Inbox")
    add_queue(template, inbox, facts)
    topic = ref(logical_id(function.trigger.topic, "Topic"))
    policy = template.add(
        logical_id(function.name, "InboxPolicy"),
        "AWS::SQS::QueuePolicy",
        {
            "Queues": [ref(inbox)],
            "PolicyDocument": {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Effect": "Allow",
                        "Principal": {"Service": "sns.amazonaws.com"},
                        "Action": "sqs:SendMessage",
                        "Resource": att(inbox),
                        "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
                    }
                ],
            },
        },
    )
    subscription = binding["subscription"]
    facts = {
        "TopicArn": topic,
        "Protocol": subscription["Protocol"],
        "Endpoint": att(inbox),
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
    return inbox


def _failed_events(template: Template, function: FunctionPlan) -> Grant:
    """Add the queue for what *function* failed at, and return the right to send to it.

    Lambda sends in the function's name.
    https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
    """
    failed, name = function_dead_letters(template.plan, function.name)
    add_dead_letters(template, failed, name, ordered=False)
    return Grant(
        "KeepFailedEvents",
        ("sqs:SendMessage",),
        att(failed),
        arn("sqs", name),
        f"$.functions.{function.name}.trigger",
    )


def _asynchronous(
    template: Template, function: FunctionPlan, facts: Mapping[str, Any]
) -> None:
    failed, _ = function_dead_letters(template.plan, function.name)
    template.add(
        logical_id(function.name, "Asynchronous"),
        "AWS::Lambda::EventInvokeConfig",
        {
            "FunctionName": ref(logical_id(function.name, "Function")),
            "Qualifier": "$LATEST",
            **facts,
            "DestinationConfig": {"OnFailure": {"Destination": att(failed)}},
        },
    )


def _bucket_permission(template: Template, function: FunctionPlan) -> None:
    assert isinstance(function.trigger, ObjectTrigger)
    bucket = bucket_name(template.plan, function.trigger.bucket)
    template.add(
        logical_id(function.name, "BucketPermission"),
        "AWS::Lambda::Permission",
        {
            "Action": "lambda:InvokeFunction",
            "FunctionName": ref(logical_id(function.name, "Function")),
            "Principal": "s3.amazonaws.com",
            # A bucket's ARN names no account, and anyone may take the name of a deleted bucket.
            "SourceAccount": ref("AWS::AccountId"),
            "SourceArn": sub(arn("s3", bucket, account=False)),
        },
    )


def _schedule(
    template: Template, function: FunctionPlan, binding: Binding
) -> list[Permission]:
    logical = logical_id(function.name, "Function")
    failed, queue = function_dead_letters(template.plan, function.name)
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
            Grant("Invoke", ("lambda:InvokeFunction",), att(logical),
                  arn("lambda", f"function:{name}"), why),
            Grant("KeepFailedEvents", ("sqs:SendMessage",), att(failed),
                  arn("sqs", queue), f"$.functions.{function.name}.trigger"),
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
                "Arn": att(logical),
                "RoleArn": att(logical_id(function.name, "ScheduleAccess")),
                "Input": json.dumps(binding["Input"], separators=(",", ":")),
                # How long Scheduler tries to reach Lambda; what the function itself fails at is
                # repeated by Lambda.
                "RetryPolicy": {
                    "MaximumEventAgeInSeconds": int(min(_OLDEST, max(60, function.retry.max_age)))
                },
                "DeadLetterConfig": {"Arn": att(failed)},
            },
        },
    )
    return permissions
