"""Rules of ``verify`` about queues, topics and subscriptions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from typing import Any

from portafaas_aws.infrastructure.view import View


def _queues(view: View) -> Iterator[str]:
    for logical, facts in view.of("AWS::SQS::Queue"):
        ordered = facts.get("FifoQueue") is True
        if str(facts.get("QueueName")).endswith(".fifo") is not ordered:
            yield f"{logical}: a queue is called .fifo if and only if it is ordered"
        for key, low, high in (
            ("VisibilityTimeout", 0, 43_200),
            ("MessageRetentionPeriod", 60, 1_209_600),
            ("DelaySeconds", 0, 900),
        ):
            if not low <= facts.get(key, low) <= high:
                yield f"{logical}: {key} {facts[key]!r} is not between {low} and {high}"
        if "RedrivePolicy" in facts:
            yield from _redrive(view, logical, facts)


def _redrive(view: View, logical: str, facts: Mapping[str, Any]) -> Iterator[str]:
    redrive = facts["RedrivePolicy"]
    dead = view.target(redrive.get("deadLetterTargetArn"))
    letters = view.facts(dead, "AWS::SQS::Queue")
    if letters is None or dead == logical:
        yield f"{logical}: its dead letters go to no queue"
        return
    if not 1 <= redrive.get("maxReceiveCount", 0) <= 1000:
        yield f"{logical}: maxReceiveCount is not between 1 and 1000"
    if letters.get("FifoQueue") is not facts.get("FifoQueue"):
        yield f"{logical}: one of the queue and {dead} is ordered and the other is not"
    allow = letters.get("RedriveAllowPolicy", {"redrivePermission": "allowAll"})
    if allow["redrivePermission"] == "denyAll" or (
        allow["redrivePermission"] == "byQueue"
        and not any(
            view.text(arn).endswith(f":{facts['QueueName']}") for arn in allow["sourceQueueArns"]
        )
    ):
        yield f"{dead} takes no dead letters of {logical}"


def _dead_letters(view: View) -> Iterator[str]:
    """A queue that is open to one other gets its dead letters, and keeps them for people."""
    senders = {
        (view.target(facts["RedrivePolicy"]["deadLetterTargetArn"]), str(facts["QueueName"]))
        for _, facts in view.of("AWS::SQS::Queue")
        if "RedrivePolicy" in facts
    }
    for logical, facts in view.of("AWS::SQS::Queue"):
        allow = facts.get("RedriveAllowPolicy")
        if allow is None:
            continue
        if facts.get("MessageRetentionPeriod") != 1_209_600:
            yield f"{logical} does not keep what failed for 14 days"
        sources = allow.get("sourceQueueArns", ())
        if (allow["redrivePermission"] == "byQueue") is not bool(sources):
            yield f"{logical}: {allow['redrivePermission']} with {len(sources)} sources"
        for source in sources:
            if (logical, view.text(source).rpartition(":")[2]) not in senders:
                yield f"{logical} waits for dead letters of {view.text(source)}"


def _topics(view: View) -> Iterator[str]:
    for logical, facts in view.of("AWS::SNS::Topic"):
        if str(facts.get("TopicName")).endswith(".fifo") is not (facts.get("FifoTopic") is True):
            yield f"{logical}: a topic is called .fifo if and only if it is ordered"


def _subscriptions(view: View) -> Iterator[str]:
    for logical, facts in view.of("AWS::SNS::Subscription"):
        if facts.get("Protocol") in ("email", "https"):
            # Those who are told of alarms: ``rules_alerts``.
            continue
        source = view.target(facts.get("TopicArn"))
        topic = view.facts(source, "AWS::SNS::Topic")
        inbox = view.target(facts.get("Endpoint"))
        queue = view.facts(inbox, "AWS::SQS::Queue")
        if topic is None or queue is None or facts.get("Protocol") != "sqs":
            yield f"{logical} does not lead from a topic to a queue"
            continue
        if topic.get("FifoTopic") is not queue.get("FifoQueue"):
            yield f"{logical}: one of {source} and {inbox} is ordered and the other is not"
        if facts.get("RawMessageDelivery") is not False:
            yield f"{logical}: raw delivery loses the id and messages with many attributes"
        policies = list(_admitting(view, inbox, facts["TopicArn"]))
        if not policies:
            yield f"{inbox} does not take messages of {source}"
        if not set(policies) & set(view.resources[logical].get("DependsOn", ())):
            yield f"{logical} may deliver before {inbox} takes messages"
        if inbox not in view.once(_read):
            yield f"nothing reads {inbox}"
        yield from _filter(logical, facts)


def _read(view: View) -> set[str | None]:
    mappings = view.of("AWS::Lambda::EventSourceMapping")
    return {view.target(facts["EventSourceArn"]) for _, facts in mappings}


def _opened(view: View) -> Mapping[str | None, list[tuple[str, Mapping[str, Any]]]]:
    """Return the policies by the queues they are about."""
    found: dict[str | None, list[tuple[str, Mapping[str, Any]]]] = {}
    for logical, facts in view.of("AWS::SQS::QueuePolicy"):
        for queue in {view.target(entry) for entry in facts["Queues"]}:
            found.setdefault(queue, []).append((logical, facts))
    return found


def _admitting(view: View, queue: str | None, topic: Any) -> Iterator[str]:
    for logical, facts in view.once(_opened).get(queue, ()):
        for statement in facts["PolicyDocument"]["Statement"]:
            if (
                facts["PolicyDocument"].get("Version") == "2012-10-17"
                and statement["Effect"] == "Allow"
                and statement["Principal"] == {"Service": "sns.amazonaws.com"}
                and statement["Action"] == "sqs:SendMessage"
                and view.target(statement["Resource"]) == queue
                and statement.get("Condition") == {"ArnEquals": {"aws:SourceArn": topic}}
            ):
                yield logical


def _policies(view: View) -> Iterator[str]:
    """A queue that is open to a service is told something by it."""
    told = {view.target(f.get("Endpoint")) for _, f in view.of("AWS::SNS::Subscription")}
    for _, facts in view.of("AWS::S3::Bucket"):
        entries = facts.get("NotificationConfiguration", {}).get("QueueConfigurations", ())
        told |= {view.target(entry["Queue"]) for entry in entries}
    for logical, facts in view.of("AWS::SQS::QueuePolicy"):
        for queue in facts["Queues"]:
            if view.target(queue) not in told:
                yield f"{logical} opens {view.target(queue)}, which nobody sends to"
        if len(facts["PolicyDocument"]["Statement"]) != 1:
            yield f"{logical} opens its queue to several"


def _filter(logical: str, facts: Mapping[str, Any]) -> Iterator[str]:
    policy = facts.get("FilterPolicy")
    if policy is None:
        return
    if facts.get("FilterPolicyScope") != "MessageAttributes":
        yield f"{logical}: the filter does not look at attributes"
    keys, combinations = complexity(policy)
    if keys > 5 or combinations > 150:
        yield (
            f"{logical}: the filter has {keys} keys and {combinations} combinations of values; "
            "SNS takes 5 and 150"
        )


def complexity(policy: Mapping[str, Any]) -> tuple[int, int]:
    """Return the names and the combinations of values of a filter policy.

    Values of several names multiply; the ways of an ``$or`` are policies of their own, so that
    their combinations add up and the way with most names counts.
    https://docs.aws.amazon.com/sns/latest/dg/subscription-filter-policy-constraints.html
    """
    names, factors = 0, []
    for name, values in policy.items():
        if name == "$or":
            ways = [complexity(way) for way in values]
            names += max(keys for keys, _ in ways)
            factors.append(sum(combinations for _, combinations in ways))
        else:
            names += 1
            factors.append(len(values))
    return names, prod(factors)


RULES = (_queues, _dead_letters, _topics, _subscriptions, _policies)
