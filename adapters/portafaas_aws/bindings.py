"""What invokes a function, as plain facts in the names of the AWS APIs, for infrastructure code.

Why a topic reaches its function through a queue, without raw delivery:

* SQS gives topics the retries and the dead-letter queue that queues have; SNS alone would hand
  them to Lambda's asynchronous invocation, which repeats twice at most.
* The envelope keeps the id SNS gave the message, which stays the same when SNS delivers twice.
* Raw delivery discards messages with more than ten attributes, which CloudEvents reach easily.
  https://docs.aws.amazon.com/sns/latest/dg/sns-message-attributes.html

Why objects and schedules do: Lambda repeats an asynchronous invocation after one and two minutes,
and no more; a queue has the delays and the attempts of ``retry``.

Long, since all triggers stand side by side.
"""

from __future__ import annotations

from typing import Any, assert_never

from portafaas.plan import (
    BuildPlan,
    FunctionPlan,
    HttpTrigger,
    ObjectTrigger,
    QueuePlan,
    QueueTrigger,
    Retry,
    ScheduleTrigger,
    TableTrigger,
    TaskTrigger,
    TopicTrigger,
)
from portafaas_aws.names import (
    HTTP_API_TIMEOUT,
    bucket_name,
    front,
    lambda_timeout,
    queue_name,
    route_path,
    table_name,
    topic_name,
)

_REPORT = ["ReportBatchItemFailures"]
_CORE = ("id", "source", "type", "subject", "time", "datacontenttype", "dataschema")
_VIEWS = {("new",): "NEW_IMAGE", ("old",): "OLD_IMAGE", (): "KEYS_ONLY"}


class Sharing:
    """What functions of *plan* have together: paths, queues, and the images of a table."""

    __slots__ = ("images", "paths", "queues")

    def __init__(self, plan: BuildPlan) -> None:
        self.paths: dict[str, list[HttpTrigger]] = {}
        self.queues: dict[str, list[tuple[FunctionPlan, QueueTrigger]]] = {}
        self.images: dict[str, set[str]] = {}
        for function in plan.functions:
            trigger = function.trigger
            if isinstance(trigger, HttpTrigger):
                self.paths.setdefault(trigger.path, []).append(trigger)
            elif isinstance(trigger, QueueTrigger):
                self.queues.setdefault(trigger.queue, []).append((function, trigger))
            elif isinstance(trigger, TableTrigger):
                self.images.setdefault(trigger.table, set()).update(trigger.images)


def binding(
    plan: BuildPlan, function: FunctionPlan, sharing: Sharing | None = None
) -> dict[str, Any]:
    """Return what invokes *function*, in the words of the AWS APIs.

    Who asks for many functions gives the plan's *sharing*.
    """
    if sharing is None:
        sharing = Sharing(plan)
    trigger = function.trigger
    match trigger:
        case HttpTrigger():
            return _http(function, trigger, sharing)
        case QueueTrigger():
            queue = plan.queue(trigger.queue)
            mapping: dict[str, Any] = {
                # What is held back in a batch would count a receive, though nobody has tried it.
                "BatchSize": 1 if queue.ordered else trigger.batch,
                "MaximumBatchingWindowInSeconds": window(trigger, queue),
                "FunctionResponseTypes": _REPORT,
            }
            mapping |= _scaling(function, queue.max_concurrency)
            return {
                "type": "sqs",
                "queue": queue_facts(plan, queue, sharing),
                "eventSourceMapping": mapping,
            }
        case TopicTrigger():
            return _topic(plan, function, trigger)
        case ObjectTrigger():
            return _object(plan, function, trigger)
        case TableTrigger():
            return _table(plan, function, trigger, sharing)
        case ScheduleTrigger():
            return _schedule(plan, function, trigger)
        case TaskTrigger():
            return {"type": "states"}
        case _:
            assert_never(trigger)


def _http(function: FunctionPlan, trigger: HttpTrigger, sharing: Sharing) -> dict[str, Any]:
    signed = trigger.auth is not None and trigger.auth.scheme == "iam"
    authorization = "AWS_IAM" if signed else "NONE"
    if front(function) == "function-url":
        return {"type": "function-url", "authType": authorization, "invokeMode": "BUFFERED"}
    methods = list(trigger.methods) or ["ANY"]
    same = sharing.paths[trigger.path]
    # Any other method must reach a function too, which answers 405 as on all targets.
    if same[0] is trigger and all(other.methods for other in same):
        methods.append("ANY")
    # Greedy parameters take one segment at least; our wildcard may be empty.
    places = [route_path(trigger.path)]
    if places[0].endswith("+}"):
        places.append(places[0].rpartition("/")[0] or "/")
    routes = [
        {"routeKey": f"{method} {path}", "authorizationType": authorization}
        for method in methods
        for path in places
    ]
    if trigger.cors is not None and trigger.cors.answers_preflight and "OPTIONS" not in methods:
        # A browser signs no preflight request.
        routes += [{"routeKey": f"OPTIONS {p}", "authorizationType": "NONE"} for p in places]
    return {
        "type": "http-api",
        "payloadFormatVersion": "2.0",
        "timeoutInMillis": HTTP_API_TIMEOUT * 1000,
        "routes": routes,
    }


def _scaling(function: FunctionPlan, most: int = 0) -> dict[str, Any]:
    """Return how many batches of a queue may be in the works: *most*, and the function's bound.

    Without it Lambda takes more from the queue than the function may work at, hands it back, and
    what was handed back often enough is a dead letter that nobody has tried.
    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html
    """
    bounds = [bound for bound in (most, function.max_instances) if bound]
    # SQS mappings take 2 to 1000; the limits refuse less.
    return {"ScalingConfig": {"MaximumConcurrency": max(2, min(bounds))}} if bounds else {}


def window(trigger: QueueTrigger, queue: QueuePlan) -> int:
    """Return how long Lambda may wait for a batch: a second at least for more than ten messages.

    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
    """
    return max(trigger.window, 1) if trigger.batch > 10 and not queue.ordered else trigger.window


def queue_facts(
    plan: BuildPlan, queue: QueuePlan, sharing: Sharing | None = None
) -> dict[str, Any]:
    """Return the attributes of a declared queue, as its consumer needs them.

    A queue that no function consumes keeps the defaults of SQS and of ``retry``.
    """
    consumers = (sharing or Sharing(plan)).queues.get(queue.name, [])
    facts: dict[str, Any] = {
        "QueueName": queue_name(plan, queue.name, queue.ordered),
        "VisibilityTimeout": max(
            (_invisible(function, window(trigger, queue)) for function, trigger in consumers),
            default=30,
        ),
        "MessageRetentionPeriod": queue.retention,
        "DelaySeconds": queue.delay,
    }
    if queue.ordered:
        facts["FifoQueue"] = True
    if queue.dead_letter:
        name = f"{queue.name}-dead" if queue.dead_letter is True else queue.dead_letter
        attempts = [function.retry.attempts for function, _ in consumers]
        facts["RedrivePolicy"] = {
            "maxReceiveCount": max(attempts, default=Retry().attempts),
            "deadLetterQueueName": queue_name(plan, name, queue.ordered),
        }
    return facts


def _invisible(function: FunctionPlan, wait: int = 0) -> int:
    # Six times the function's timeout, and the window, is what AWS asks for; 12 h is the most.
    return min(43_200, 6 * lambda_timeout(function) + wait)


def _topic(plan: BuildPlan, function: FunctionPlan, trigger: TopicTrigger) -> dict[str, Any]:
    topic = plan.topic(trigger.topic)
    name = f"{trigger.topic}-{function.name}"
    subscription: dict[str, Any] = {
        "TopicName": topic_name(plan, trigger.topic, topic.ordered),
        "Protocol": "sqs",
        "RawMessageDelivery": False,
    }
    if trigger.filter:
        subscription |= {
            "FilterPolicyScope": "MessageAttributes",
            "FilterPolicy": filter_policy(trigger),
        }
    return {
        "type": "sns-sqs",
        "subscription": subscription,
        **_inbox(plan, function, name, f"{name}-dead", topic.ordered),
    }


def _inbox(
    plan: BuildPlan, function: FunctionPlan, name: str, dead: str, ordered: bool = False
) -> dict[str, Any]:
    """Return the queue *name* between a source and *function*, and the mapping that reads it."""
    queue: dict[str, Any] = {
        "QueueName": queue_name(plan, name, ordered),
        "VisibilityTimeout": _invisible(function),
        # 14 days, the most: nothing is lost before somebody looks.
        "MessageRetentionPeriod": 1_209_600,
        "RedrivePolicy": {
            "maxReceiveCount": function.retry.attempts,
            "deadLetterQueueName": queue_name(plan, dead, ordered),
        },
    }
    if ordered:
        queue["FifoQueue"] = True
    return {
        "queue": queue,
        # One event an invocation: a handler's timeout is for one event.
        "eventSourceMapping": {
            "BatchSize": 1,
            "FunctionResponseTypes": _REPORT,
            **_scaling(function),
        },
    }


def filter_policy(trigger: TopicTrigger) -> dict[str, Any]:
    """Return an SNS policy that lets through all that the filter wants, and little else.

    The bridge checks again. SNS sees attributes, not the bodies of structured CloudEvents, and
    allows one ``$or``: further names are left to the bridge.
    https://docs.aws.amazon.com/sns/latest/dg/and-or-logic.html
    """
    policy: dict[str, Any] = {}
    for name, values in trigger.filter:
        wanted = list(values)
        if name in _CORE:
            policy[f"ce-{name}"] = [*wanted, {"exists": False}]
        elif "$or" not in policy:
            structured = [{"prefix": "application/cloudevents+json"}]
            policy["$or"] = [
                {name: wanted},
                {f"ce-{name}": wanted},
                {"content-type": structured},
                {"Content-Type": structured},
            ]
    return policy


def _object(plan: BuildPlan, function: FunctionPlan, trigger: ObjectTrigger) -> dict[str, Any]:
    from portafaas.runtime.text import percent_encode

    events = []
    if "created" in trigger.on:
        events.append("s3:ObjectCreated:*")
    if "deleted" in trigger.on:
        events += ["s3:ObjectRemoved:*", "s3:LifecycleExpiration:*"]
    rules = [
        # A space is written "+", other special characters percent-encoded:
        # https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-filtering.html
        {"Name": name, "Value": percent_encode(text, "/").replace("%20", "+")}
        for name, text in (("prefix", trigger.prefix), ("suffix", trigger.suffix))
        if text
    ]
    return {
        "type": "s3-sqs",
        "bucket": bucket_name(plan, trigger.bucket),
        "events": events,
        "filter": {"Key": {"FilterRules": rules}},
        **_inbox(plan, function, f"{function.name}-objects", f"{function.name}-failed"),
    }


def _table(
    plan: BuildPlan, function: FunctionPlan, trigger: TableTrigger, sharing: Sharing
) -> dict[str, Any]:
    # The stream belongs to the table: it must carry what any of the table's functions asks for.
    images = sharing.images[trigger.table]
    mapping: dict[str, Any] = {
        "StartingPosition": "TRIM_HORIZON",
        # One change an invocation: a handler's timeout is for one change.
        "BatchSize": 1,
        "FunctionResponseTypes": _REPORT,
        # Of crashes, and of attempts that do not fit into an invocation: what the bridge gives up
        # is a dead letter, and has succeeded.
        "MaximumRetryAttempts": function.retry.attempts - 1,
        "MaximumRecordAgeInSeconds": int(min(604_800, max(60, function.retry.max_age))),
    }
    names = {
        "insert": ["INSERT"],
        "update": ["MODIFY"],
        "upsert": ["INSERT", "MODIFY"],
        "delete": ["REMOVE"],
    }
    wanted = [name for kind in trigger.on for name in names[kind]]
    if len(wanted) < 3:
        mapping["FilterCriteria"] = {"eventName": wanted}
    return {
        "type": "dynamodb-stream",
        "table": table_name(plan, trigger.table),
        "streamViewType": _VIEWS.get(tuple(sorted(images)), "NEW_AND_OLD_IMAGES"),
        "eventSourceMapping": mapping,
    }


def _schedule(
    plan: BuildPlan, function: FunctionPlan, trigger: ScheduleTrigger
) -> dict[str, Any]:
    from portafaas.schedule import parse_cron, to_eventbridge

    expression, timezone = to_eventbridge(parse_cron(trigger.cron, trigger.timezone))
    return {
        "type": "scheduler-sqs",
        "ScheduleExpression": expression,
        "ScheduleExpressionTimezone": timezone,
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Input": {
            "time": "<aws.scheduler.scheduled-time>",
            "id": "<aws.scheduler.execution-id>",
            "attempt": "<aws.scheduler.attempt-number>",
            "schedule": "<aws.scheduler.schedule-arn>",
        },
        **_inbox(plan, function, f"{function.name}-schedule", f"{function.name}-failed"),
    }
