"""Rules of ``verify`` about event sources: mappings, buckets, tables."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from portafaas_aws.infrastructure.view import View

_CONSUME = ("sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage")
_FOLLOW = (
    "dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator",
    "dynamodb:ListStreams",
)  # fmt: skip
_VIEWS = ("KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES")
_EVENTS = ("s3:ObjectCreated:*", "s3:ObjectRemoved:*", "s3:LifecycleExpiration:*")


def _mappings(view: View) -> Iterator[str]:
    for logical, facts in view.of("AWS::Lambda::EventSourceMapping"):
        function = view.target(facts.get("FunctionName"))
        runs = view.facts(function, "AWS::Lambda::Function")
        if runs is None:
            yield f"{logical} invokes no function"
            continue
        if facts.get("FunctionResponseTypes") != ["ReportBatchItemFailures"]:
            yield f"{logical}: one failed message would bring back its whole batch"
        if facts.get("Enabled") is False:
            yield f"{logical} is switched off"
        source = view.target(facts.get("EventSourceArn"))
        queue = view.facts(source, "AWS::SQS::Queue")
        table = view.facts(source, "AWS::DynamoDB::Table")
        role = view.role_of(function)
        if queue is not None:
            yield from _queue(logical, facts, queue, runs["Timeout"])
            yield from _bound(logical, facts, runs)
            if not view.may(role, _CONSUME, facts["EventSourceArn"]):
                yield f"{function} may not consume {source}"
        elif table is not None:
            yield from _stream(view, logical, facts, table)
            if not view.may(role, _FOLLOW, facts["EventSourceArn"]):
                yield f"{function} may not read the stream of {source}"
            yield from _destination(view, logical, facts, role)
        else:
            yield f"{logical} reads no queue and no stream"


def _queue(
    logical: str, facts: Mapping[str, Any], queue: Mapping[str, Any], timeout: int
) -> Iterator[str]:
    """https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html."""
    batch, wait = facts.get("BatchSize", 10), facts.get("MaximumBatchingWindowInSeconds", 0)
    if queue.get("FifoQueue") and (wait or batch != 1):
        # Of more, those behind a failed one would count a receive without an attempt.
        yield f"{logical}: an ordered queue has batches of 1 and no window"
    if not 1 <= batch <= 10_000 or not 0 <= wait <= 300:
        yield f"{logical}: batch {batch}, window {wait} s; at most 10000 and 300 s"
    if batch > 10 and not wait:
        yield f"{logical}: batches of more than 10 need a window"
    least = min(43_200, 6 * timeout + wait)
    if queue.get("VisibilityTimeout", 30) < least:
        yield f"{logical}: messages come back before the function is done; {least} s are needed"
    concurrency = facts.get("ScalingConfig", {}).get("MaximumConcurrency", 2)
    if not 2 <= concurrency <= 1000:
        yield f"{logical}: MaximumConcurrency {concurrency} is not between 2 and 1000"
    for key in ("StartingPosition", "MaximumRetryAttempts", "DestinationConfig"):
        if key in facts:
            yield f"{logical}: {key} is for streams"


def _bound(logical: str, facts: Mapping[str, Any], runs: Mapping[str, Any]) -> Iterator[str]:
    """https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html."""
    reserved = runs.get("ReservedConcurrentExecutions")
    if reserved is not None:
        most = facts.get("ScalingConfig", {}).get("MaximumConcurrency")
        if most is None or most > reserved:
            yield f"{logical} takes more from the queue than {reserved} instances may work at"


def _stream(
    view: View, logical: str, facts: Mapping[str, Any], table: Mapping[str, Any]
) -> Iterator[str]:
    if facts.get("StartingPosition") != "TRIM_HORIZON":
        yield f"{logical} would miss what happens before it is up"
    if facts["EventSourceArn"].get("Fn::GetAtt", ("", ""))[1] != "StreamArn":
        yield f"{logical} names the table and not its stream"
    if "StreamViewType" not in table.get("StreamSpecification", {}):
        yield f"{logical}: the table has no stream"
    if not -1 <= facts.get("MaximumRetryAttempts", -1) <= 10_000:
        yield f"{logical}: MaximumRetryAttempts is not between -1 and 10000"
    age = facts.get("MaximumRecordAgeInSeconds", -1)
    if age != -1 and not 60 <= age <= 604_800:
        yield f"{logical}: MaximumRecordAgeInSeconds {age} is not between 60 and 604800"
    for entry in facts.get("FilterCriteria", {"Filters": []})["Filters"]:
        try:
            pattern = json.loads(entry["Pattern"])
        except ValueError:
            pattern = {}
        names = pattern.get("eventName")
        if set(pattern) != {"eventName"} or not names or set(names) - {
            "INSERT", "MODIFY", "REMOVE"
        }:  # fmt: skip
            yield f"{logical}: {entry['Pattern']!r} lets nothing through"


def _destination(
    view: View, logical: str, facts: Mapping[str, Any], role: str | None
) -> Iterator[str]:
    """What is given up is kept, in a standard queue that the function may send to."""
    to = facts.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination")
    queue = view.facts(view.target(to), "AWS::SQS::Queue")
    if queue is None or queue.get("FifoQueue"):
        yield f"{logical}: what fails is lost"
    elif not view.may(role, ("sqs:SendMessage",), to):
        yield f"{logical}: what fails may not be sent to {view.target(to)}"


def _buckets(view: View) -> Iterator[str]:
    for logical, facts in view.of("AWS::S3::Bucket"):
        closed = facts.get("PublicAccessBlockConfiguration", {})
        if len(closed) != 4 or not all(value is True for value in closed.values()):
            yield f"{logical} may become public"
        if "${AWS::AccountId}" not in view.text(facts.get("BucketName")):
            yield f"{logical}: its name is the same in every account of the world"
        entries = facts.get("NotificationConfiguration", {}).get("QueueConfigurations", ())
        if set(facts.get("NotificationConfiguration", {})) - {"QueueConfigurations"}:
            yield f"{logical} tells others than queues"
        first = {
            view.target(queue)
            for name in view.resources[logical].get("DependsOn", ())
            for queue in view.resources[name]["Properties"].get("Queues", ())
        }
        arn = f"arn:${{AWS::Partition}}:s3:::{view.text(facts.get('BucketName'))}"
        for entry in entries:
            inbox = view.target(entry["Queue"])
            queue = view.facts(inbox, "AWS::SQS::Queue")
            if queue is None or queue.get("FifoQueue"):
                yield f"{logical} tells no queue that S3 can send to"
            if entry.get("Event") not in _EVENTS:
                yield f"{logical}: S3 has no event {entry.get('Event')!r}"
            if arn not in view.once(_open_to_buckets).get(inbox, ()):
                yield f"{logical} may not send to {inbox}"
            elif inbox not in first:
                yield f"{logical} does not wait for the permission to send to {inbox}"
        owners = facts.get("OwnershipControls", {}).get("Rules")
        if owners != [{"ObjectOwnership": "BucketOwnerEnforced"}]:
            yield f"{logical}: access lists of single objects count"
        for index, entry in enumerate(entries):
            rules = entry.get("Filter", {}).get("S3Key", {}).get("Rules", [{"Name": "prefix"}])
            if not {rule["Name"] for rule in rules} <= {"prefix", "suffix"} or not rules:
                yield f"{logical}: a filter is by prefix and suffix"
            if any(_overlap(entry, other) for other in entries[:index]):
                yield f"{logical}: two notifications are about the same objects"


def _open_to_buckets(view: View) -> Mapping[str | None, set[str]]:
    """Return which buckets (by ARN) may send to which queue."""
    found: dict[str | None, set[str]] = {}
    for _, facts in view.of("AWS::SQS::QueuePolicy"):
        for statement in facts["PolicyDocument"]["Statement"]:
            condition = statement.get("Condition", {})
            account = condition.get("StringEquals", {}).get("aws:SourceAccount")
            if (
                facts["PolicyDocument"].get("Version") == "2012-10-17"
                and statement["Effect"] == "Allow"
                and statement["Principal"] == {"Service": "s3.amazonaws.com"}
                and statement["Action"] == "sqs:SendMessage"
                # A bucket's ARN names no account.
                and view.target(account) == "AWS::AccountId"
            ):
                source = view.text(condition.get("ArnEquals", {}).get("aws:SourceArn"))
                inbox = view.target(statement["Resource"])
                if inbox in {view.target(queue) for queue in facts["Queues"]}:
                    found.setdefault(inbox, set()).add(source)
    return found


def _named(view: View) -> Iterator[str]:
    """Buckets that statements name are there."""
    buckets = {view.text(facts.get("BucketName")) for _, facts in view.of("AWS::S3::Bucket")}
    for role, _ in view.of("AWS::IAM::Role"):
        for statement in view.statements(role):
            _, found, name = view.text(statement["Resource"]).partition(":s3:::")
            if found and name.removesuffix("/*") not in buckets:
                yield f"{role} is about {name}, which is no bucket of the template"


def _overlap(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    if one["Event"] != other["Event"]:
        return False
    mine, theirs = _rules(one), _rules(other)
    return overlapping(mine, theirs)


def _rules(entry: Mapping[str, Any]) -> tuple[str, str]:
    rules = {
        rule["Name"]: rule["Value"]
        for rule in entry.get("Filter", {}).get("S3Key", {}).get("Rules", ())
    }
    return rules.get("prefix", ""), rules.get("suffix", "")


def overlapping(one: tuple[str, str], other: tuple[str, str]) -> bool:
    """Return whether a key may fit both (prefix, suffix), which S3 refuses for one event type.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-filtering.html
    """
    return (one[0].startswith(other[0]) or other[0].startswith(one[0])) and (
        one[1].endswith(other[1]) or other[1].endswith(one[1])
    )


def _tables(view: View) -> Iterator[str]:
    for logical, facts in view.of("AWS::DynamoDB::Table"):
        keys = [entry["AttributeName"] for entry in facts["KeySchema"]]
        if keys != [entry["AttributeName"] for entry in facts["AttributeDefinitions"]]:
            yield f"{logical}: the attributes that are defined are not those of the key"
        if [entry["KeyType"] for entry in facts["KeySchema"]] not in (["HASH"], ["HASH", "RANGE"]):
            yield f"{logical}: a key is a hash, and perhaps a range"
        carried = facts.get("StreamSpecification", {"StreamViewType": "KEYS_ONLY"})
        if carried.get("StreamViewType") not in _VIEWS:
            yield f"{logical}: a stream carries no {carried.get('StreamViewType')!r}"
        if {entry.get("AttributeType") for entry in facts["AttributeDefinitions"]} != {"S"}:
            yield f"{logical}: a key that is no text"
        if facts.get("BillingMode") != "PAY_PER_REQUEST":
            yield f"{logical} has a capacity that nothing here sets"


RULES = (_mappings, _buckets, _named, _tables)
