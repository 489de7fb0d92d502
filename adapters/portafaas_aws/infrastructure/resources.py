"""What the manifest declares: queues, topics, buckets, tables, secrets.

All that holds data outlives the stack; a topic holds none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from portafaas.plan import (
    BucketPlan,
    BuildPlan,
    FunctionPlan,
    ObjectTrigger,
    QueuePlan,
    QueueTrigger,
    SecretPlan,
    TablePlan,
    TableTrigger,
    TopicPlan,
    TopicTrigger,
)
from portafaas.plan.claims import days_of_claims
from portafaas.runtime.control import CLAIMS
from portafaas_aws.bindings import Sharing, queue_facts
from portafaas_aws.infrastructure.document import (
    KEPT,
    Template,
    arn,
    att,
    logical_id,
    ref,
    sub,
    tags,
)
from portafaas_aws.names import (
    SECRET_NAME,
    bucket_name,
    machine_name,
    physical_name,
    queue_name,
    table_name,
    topic_name,
)

#: The longest SQS keeps a message: dead letters wait for people.
#: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html
LONGEST = 1_209_600


def add_resources(template: Template, bindings: Mapping[str, Mapping[str, Any]]) -> None:
    """Add everything the manifest declares; *bindings* are the triggers by function."""
    plan = template.plan
    sharing = Sharing(plan)
    for queue in plan.queues:
        template.asked = (f"$.queues.{queue.name}",)
        _queue(template, queue, sharing)
    for topic in plan.topics:
        template.asked = (f"$.topics.{topic.name}",)
        _topic(template, topic)
    for bucket in plan.buckets:
        template.asked = (f"$.buckets.{bucket.name}",)
        _bucket(template, bucket, bindings)
    for table in plan.tables:
        template.asked = (f"$.tables.{table.name}",)
        _table(template, table, bindings)
    for secret in plan.secrets:
        template.asked = (f"$.secrets.{secret.name}",)
        _secret(template, secret)


def _queue(template: Template, queue: QueuePlan, sharing: Sharing) -> None:
    plan = template.plan
    facts = queue_facts(plan, queue, sharing)
    redrive = facts.pop("RedrivePolicy", None)
    if redrive is not None:
        if queue.dead_letter is True:
            dead = logical_id(queue.name, "DeadLetters")
            template.asked = (f"$.queues.{queue.name}.dead-letter",)
            add_dead_letters(
                template, dead, redrive["deadLetterQueueName"], queue.ordered, facts["QueueName"]
            )
            template.asked = (f"$.queues.{queue.name}",)
        else:
            dead = logical_id(str(queue.dead_letter), "Queue")
        facts["RedrivePolicy"] = {
            "deadLetterTargetArn": att(dead),
            "maxReceiveCount": redrive["maxReceiveCount"],
        }
    add_queue(template, logical_id(queue.name, "Queue"), facts)


def add_queue(template: Template, logical: str, facts: Mapping[str, Any]) -> None:
    """Add an SQS queue with the attributes *facts*."""
    template.add(
        logical, "AWS::SQS::Queue", {**facts, "Tags": tags(template.plan)}, **KEPT
    )


def add_dead_letters(
    template: Template, logical: str, name: str, ordered: bool, source: str = ""
) -> None:
    """Add the dead-letter queue *name*, open to the queue called *source* alone.

    Without *source* it takes what Lambda gives up, and no queue's messages.
    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-dead-letter-queues.html
    """
    allow: dict[str, Any] = {"redrivePermission": "denyAll"}
    if source:
        # By its name: the source refers to this queue already.
        allow = {"redrivePermission": "byQueue", "sourceQueueArns": [sub(arn("sqs", source))]}
    facts: dict[str, Any] = {
        "QueueName": name,
        "MessageRetentionPeriod": LONGEST,
        "RedriveAllowPolicy": allow,
    }
    if ordered:
        facts["FifoQueue"] = True
    add_queue(template, logical, facts)


def _topic(template: Template, topic: TopicPlan) -> None:
    facts: dict[str, Any] = {"TopicName": topic_name(template.plan, topic.name, topic.ordered)}
    if topic.ordered:
        facts["FifoTopic"] = True
    template.add(
        logical_id(topic.name, "Topic"),
        "AWS::SNS::Topic",
        {**facts, "Tags": tags(template.plan)},
    )


def _bucket(
    template: Template, bucket: BucketPlan, bindings: Mapping[str, Mapping[str, Any]]
) -> None:
    plan = template.plan
    facts: dict[str, Any] = {
        "BucketName": sub(bucket_name(plan, bucket.name)),
        "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
        "PublicAccessBlockConfiguration": {
            "BlockPublicAcls": True,
            "BlockPublicPolicy": True,
            "IgnorePublicAcls": True,
            "RestrictPublicBuckets": True,
        },
    }
    if bucket.versioned:
        facts["VersioningConfiguration"] = {"Status": "Enabled"}
    if days := days_of_claims(plan, bucket.name):
        facts["LifecycleConfiguration"] = {"Rules": [_claims(days, bucket.versioned)]}
    watching = [
        function.name
        for function in plan.functions
        if isinstance(function.trigger, ObjectTrigger) and function.trigger.bucket == bucket.name
    ]
    order: dict[str, Any] = {}
    if watching:
        facts["NotificationConfiguration"] = {
            "QueueConfigurations": [
                notification
                for name in watching
                for notification in _notifications(name, bindings[name])
            ]
        }
        # S3 tries whether it may send when it is told of the queue.
        order["DependsOn"] = [logical_id(name, "InboxPolicy") for name in watching]
    template.add(
        logical_id(bucket.name, "Bucket"),
        "AWS::S3::Bucket",
        {**facts, "Tags": tags(plan)},
        **order,
        **KEPT,
    )


def _claims(days: int, versioned: bool) -> dict[str, Any]:
    """Return the rule that deletes the bodies of a claim check when nothing leads to them.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-s3-bucket-rule.html
    """
    rule = {
        "Id": "claims",
        "Status": "Enabled",
        "Prefix": CLAIMS,
        "ExpirationInDays": days,
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
    }
    return {**rule, "NoncurrentVersionExpiration": {"NoncurrentDays": 1}} if versioned else rule


def _notifications(function: str, binding: Mapping[str, Any]) -> list[dict[str, Any]]:
    rules = binding["filter"]["Key"]["FilterRules"]
    narrowed = {"Filter": {"S3Key": {"Rules": rules}}} if rules else {}
    return [
        {"Event": event, "Queue": att(logical_id(function, "Inbox")), **narrowed}
        for event in binding["events"]
    ]


def _table(
    template: Template, table: TablePlan, bindings: Mapping[str, Mapping[str, Any]]
) -> None:
    plan = template.plan
    keys = [(table.key, "HASH"), *([(table.sort, "RANGE")] if table.sort else [])]
    facts: dict[str, Any] = {
        "TableName": table_name(plan, table.name),
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": n, "AttributeType": "S"} for n, _ in keys],
        "KeySchema": [{"AttributeName": n, "KeyType": kind} for n, kind in keys],
    }
    if table.ttl:
        facts["TimeToLiveSpecification"] = {"AttributeName": table.ttl, "Enabled": True}
    views = {
        bindings[function.name]["streamViewType"]
        for function in plan.functions
        if isinstance(function.trigger, TableTrigger) and function.trigger.table == table.name
    }
    for view in views:
        facts["StreamSpecification"] = {"StreamViewType": view}
    template.add(
        logical_id(table.name, "Table"),
        "AWS::DynamoDB::Table",
        {**facts, "Tags": tags(plan)},
        **KEPT,
    )


def _secret(template: Template, secret: SecretPlan) -> None:
    """Add a secret without a value: that is written by people, past template and repository."""
    plan = template.plan
    template.add(
        logical_id(secret.name, "Secret"),
        "AWS::SecretsManager::Secret",
        {"Name": physical_name(plan, secret.name, SECRET_NAME), "Tags": tags(plan)},
        **KEPT,
    )


def environment(plan: BuildPlan, function: FunctionPlan) -> dict[str, Any]:
    """Return the variables that tell *function* what the things it uses are called in AWS.

    A queue's URL, a topic's, secret's or machine's ARN, a bucket's or table's name: what the calls
    of each service ask for. And the URLs of the queue it reads, and of its dead letters.
    """
    found: dict[str, Any] = {}
    for use in function.uses:
        name = f"PORTAFAAS_{use.kind}_{use.name}".upper().replace("-", "_")
        if use.kind == "bucket":
            found[name] = sub(bucket_name(plan, use.name))
        elif use.kind == "workflow":
            # By its name: the machine refers to the functions of its tasks, which may use it.
            found[name] = sub(arn("states", f"stateMachine:{machine_name(plan, use.name)}"))
        else:
            found[name] = ref(logical_id(use.name, use.kind.capitalize()))
    own = function.name.upper().replace("-", "_")
    if source := source_of(function):
        found[f"PORTAFAAS_SOURCE_{own}"] = ref(source)
    if dead := dead_letters_of(plan, function):
        found[f"PORTAFAAS_DEAD_{own}"] = ref(dead[0])
    return found


def source_of(function: FunctionPlan) -> str:
    """Return the logical id of the queue that *function* reads, "" when it reads none."""
    if isinstance(function.trigger, QueueTrigger):
        return logical_id(function.trigger.queue, "Queue")
    if function.kind in ("topic", "object", "schedule"):
        return logical_id(function.name, "Inbox")
    return ""


def dead_letters_of(plan: BuildPlan, function: FunctionPlan) -> tuple[str, str, str] | None:
    """Return logical id and name of the queue of its dead letters, and the line that asks for it.

    None for a function that has none.
    """
    trigger = function.trigger
    if isinstance(trigger, QueueTrigger):
        queue = plan.queue(trigger.queue)
        if not queue.dead_letter:
            return None
        why = f"$.queues.{queue.name}.dead-letter"
        if queue.dead_letter is True:
            name = queue_name(plan, f"{queue.name}-dead", queue.ordered)
            return logical_id(queue.name, "DeadLetters"), name, why
        other = queue.dead_letter
        return logical_id(other, "Queue"), queue_name(plan, other, queue.ordered), why
    why = f"$.functions.{function.name}.trigger"
    failed = logical_id(function.name, "FailedEvents")
    if isinstance(trigger, TopicTrigger):
        ordered = plan.topic(trigger.topic).ordered
        return failed, queue_name(plan, f"{trigger.topic}-{function.name}-dead", ordered), why
    if function.kind in ("object", "schedule", "table"):
        return failed, queue_name(plan, f"{function.name}-failed", False), why
    return None
