"""What the parts of a service cannot be to one another: PF3002, with the page that says so."""

from __future__ import annotations

from collections.abc import Iterator

from portafaas.errors import Diagnostic
from portafaas.plan import (
    BuildPlan,
    FunctionPlan,
    ObjectTrigger,
    TopicTrigger,
)
from portafaas_aws.bindings import filter_policy
from portafaas_aws.infrastructure.functions import keys_variable
from portafaas_aws.infrastructure.iam import target
from portafaas_aws.infrastructure.rules_queues import complexity
from portafaas_aws.infrastructure.rules_sources import overlapping
from portafaas_aws.names import channel_topic, queue_name, topic_name

_NOTIFY = "https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-filtering.html"
_FILTER = "https://docs.aws.amazon.com/sns/latest/dg/subscription-filter-policy-constraints.html"
_DEAD = (
    "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/"
    "sqs-dead-letter-queues.html"
)
_CREATE = (
    "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_CreateQueue.html"
)
_TOPIC = "https://docs.aws.amazon.com/sns/latest/api/API_CreateTopic.html"
_ALARM = (
    "https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html"
)
_KEYS = "https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.CoreComponents.html"
_SECRETS = (
    "https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/dynamic-references.html"
)
_LAMBDA = "https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"

#: Longest region and an account, in place of the variables of an ARN.
_PLACES = {"Partition": "aws-us-gov", "Region": "r" * 15, "AccountId": "1" * 12}


def check(plan: BuildPlan, *, whole: bool = True) -> Iterator[Diagnostic]:
    """Yield what CloudFormation, SQS, SNS or S3 would refuse about *plan* as a whole.

    With *whole* the template is made and counted, which takes a plan that is otherwise sound.
    """
    found = [
        *_dead_letters(plan),
        *_names(plan),
        *_notifications(plan),
        *_tables(plan),
        *_alerts(plan),
        *(d for function in plan.functions for d in _function(plan, function)),
    ]
    yield from found
    if whole and all(finding.severity != "error" for finding in found):
        from portafaas_aws.infrastructure.limits_size import check as size

        yield from size(plan)


def _over(path: str, message: str, source: str, hint: str) -> Diagnostic:
    return Diagnostic("PF3002", f"{message} ({source})", path=path, hint=hint)


def _dead_letters(plan: BuildPlan) -> Iterator[Diagnostic]:
    for queue in plan.queues:
        if not isinstance(queue.dead_letter, str):
            continue
        dead = plan.queue(queue.dead_letter)
        if dead.ordered is not queue.ordered:
            kind = "an ordered queue" if queue.ordered else "a queue that is not ordered"
            yield _over(
                f"$.queues.{queue.name}.dead-letter",
                f"dead letters of {kind} cannot go to {dead.name!r}, which is of the other kind",
                _DEAD,
                "make both ordered or neither, or write dead-letter: true",
            )
        elif dead.retention < queue.retention:
            # Of queues that are not ordered: the age of a message counts from its first sending.
            yield Diagnostic(
                "PF3002",
                f"{dead.name!r} keeps messages for less time than {queue.name!r} does: a dead "
                f"letter may be gone before anyone sees it ({_DEAD})",
                path=f"$.queues.{dead.name}.retention",
                hint="make it longer",
                severity="warning",
            )


def _names(plan: BuildPlan) -> Iterator[Diagnostic]:
    """Refuse what would be two queues of one name, of which AWS would make one."""
    wanted: list[tuple[str, str, bool]] = []
    for queue in plan.queues:
        wanted.append((f"$.queues.{queue.name}", queue.name, queue.ordered))
        if queue.dead_letter is True:
            path = f"$.queues.{queue.name}.dead-letter"
            wanted.append((path, f"{queue.name}-dead", queue.ordered))
    ordered = {topic.name: topic.ordered for topic in plan.topics}
    for function in plan.functions:
        path = f"$.functions.{function.name}"
        if isinstance(function.trigger, TopicTrigger):
            inbox, kind = f"{function.trigger.topic}-{function.name}", function.trigger.topic
            wanted.append((path, inbox, ordered[kind]))
            wanted.append((path, f"{inbox}-dead", ordered[kind]))
        elif function.kind in ("object", "schedule", "table"):
            wanted.append((path, f"{function.name}-failed", False))
            if function.kind != "table":
                inbox = "objects" if function.kind == "object" else "schedule"
                wanted.append((path, f"{function.name}-{inbox}", False))
    taken: dict[str, str] = {}
    for path, name, fifo in wanted:
        physical = queue_name(plan, name, fifo)
        other = taken.setdefault(physical, path)
        if other != path:
            yield _over(
                path,
                f"needs a queue {physical!r}, which is the name of the one of {other}",
                _CREATE,
                "rename one",
            )


def _notifications(plan: BuildPlan) -> Iterator[Diagnostic]:
    seen: list[tuple[str, ObjectTrigger]] = []
    for function in plan.functions:
        trigger = function.trigger
        if not isinstance(trigger, ObjectTrigger):
            continue
        for name, other in seen:
            if (
                other.bucket == trigger.bucket
                and set(other.on) & set(trigger.on)
                and overlapping(
                    (other.prefix, other.suffix), (trigger.prefix, trigger.suffix)
                )
            ):
                yield _over(
                    f"$.functions.{function.name}.trigger.object",
                    f"S3 tells one function of an object, and {name!r} is told of some that "
                    f"{function.name!r} would be told of",
                    _NOTIFY,
                    "use prefixes or suffixes that exclude one another, or one function",
                )
        seen.append((function.name, trigger))


def _alerts(plan: BuildPlan) -> Iterator[Diagnostic]:
    topics = {topic_name(plan, topic.name, topic.ordered): topic.name for topic in plan.topics}
    used = {name for alert in plan.alerts for name in alert.notify}
    for channel in plan.channels:
        path = f"$.channels.{channel.name}"
        physical = channel_topic(plan, channel.name)
        if channel.name in used and physical in topics:
            yield _over(
                path,
                f"needs a topic {physical!r}, which is the name of that of "
                f"$.topics.{topics[physical]}",
                _TOPIC,
                "rename one",
            )
        for kind, text in (("email", channel.email), ("webhook", channel.webhook)):
            if "{{resolve:" in text:
                yield _resolved(f"{path}.{kind}", "write the address")
    for alert in plan.alerts:
        path = f"$.alerts.{alert.name}"
        if len(alert.notify) > 5:
            yield _over(
                f"{path}.notify",
                f"an alarm tells 5 topics at most, not {len(alert.notify)}",
                _ALARM,
                "notify fewer channels",
            )
        if "{{resolve:" in alert.description:
            yield _resolved(f"{path}.description", "write it out")


def _resolved(path: str, hint: str) -> Diagnostic:
    return _over(
        path,
        "CloudFormation would put what {{resolve:…}} stands for into the stack, where all who may "
        "look at it can read it",
        _SECRETS,
        hint,
    )


def _tables(plan: BuildPlan) -> Iterator[Diagnostic]:
    for table in plan.tables:
        if table.sort == table.key:
            yield _over(
                f"$.tables.{table.name}.sort",
                f"{table.key!r} cannot be both the key and what is sorted by",
                _KEYS,
                "name another attribute, or leave out sort",
            )


def _function(plan: BuildPlan, function: FunctionPlan) -> Iterator[Diagnostic]:
    trigger = function.trigger
    if isinstance(trigger, TopicTrigger) and trigger.filter:
        keys, combinations = complexity(filter_policy(trigger))
        if keys > 5 or combinations > 150:
            yield _over(
                f"$.functions.{function.name}.trigger.topic.filter",
                f"the filter becomes one of {keys} keys and {combinations} combinations of "
                "values; SNS takes 5 and 150",
                _FILTER,
                "filter by fewer attributes or values, and check the rest in the handler",
            )
    for name, value in function.environment.items():
        if "{{resolve:" in value:
            yield _over(
                f"$.functions.{function.name}.environment.{name}",
                "CloudFormation would put what {{resolve:…}} stands for into the variable, where "
                "all who may read the function's configuration can read it",
                _SECRETS,
                "declare a secret, use it, and read it in the handler",
            )
    own = sum(len(k.encode()) + len(v.encode()) for k, v in function.environment.items())
    size = own
    # The URLs of the queue and of the dead letters: with the longest name and region.
    places = 0 if function.kind in ("http", "task") else 1 if function.kind == "table" else 2
    size += places * (len(f"PORTAFAAS_SOURCE_{function.name}") + 130)
    for use in function.uses:
        _, scope = target(plan, use)
        # A URL is longer than an ARN by no more than this.
        size += len(f"PORTAFAAS_{use.kind}_{use.name}") + len(_filled(scope)) + 16
    variable = keys_variable(function)
    if variable:
        # One key at least: its name, "=", and a digest.
        size += len(variable) + 66
    # What is too large by itself is told of already.
    if size > 4096 and (own <= 4096 or function.uses or variable):
        part = "trigger.http.auth.keys" if variable else "environment"
        yield _over(
            f"$.functions.{function.name}.{'uses' if function.uses else part}",
            "the environment (with the settings of the service), and the names and keys that are "
            f"added, have about {size} bytes; at most 4096",
            _LAMBDA,
            "use less in one function, or set fewer variables",
        )


def _filled(scope: str) -> str:
    for name, value in _PLACES.items():
        scope = scope.replace(f"${{AWS::{name}}}", value)
    return scope
