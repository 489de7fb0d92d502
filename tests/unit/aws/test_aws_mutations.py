"""Mistakes a generator of templates may make, and whether the checks see them.

Each mutation is made to the emitted template alone, and must be found by ``verify``, which runs at
every build. The first table follows studies of such mistakes, the second has our own, and then
every single value is taken away and changed.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from portafaas.adapter import Permission
from portafaas.plan import BuildPlan
from portafaas_aws.infrastructure import build
from portafaas_aws.infrastructure.verify import verify

Template = dict[str, Any]
Mutation = Callable[[dict[str, Any]], Any]


def _set(logical: str, path: str, value: Any) -> Mutation:
    """Put *value* at the dotted *path* into the properties of *logical*."""

    def mutate(resources: dict[str, Any]) -> None:
        at = resources[logical]["Properties"]
        *way, last = path.split(".")
        for key in way:
            at = at[int(key)] if isinstance(at, list) else at[key]
        if isinstance(at, list):
            at[int(last)] = value
        else:
            at[last] = value

    return mutate


def _drop(logical: str, path: str = "") -> Mutation:
    """Remove the property at *path* of *logical*, or *logical*."""

    def mutate(resources: dict[str, Any]) -> None:
        if not path:
            del resources[logical]
            return
        at = resources[logical]["Properties"]
        *way, last = path.split(".")
        for key in way:
            at = at[int(key)] if isinstance(at, list) else at[key]
        del at[int(last) if isinstance(at, list) else last]

    return mutate


def _attribute(logical: str, name: str, value: Any = None) -> Mutation:
    def mutate(resources: dict[str, Any]) -> None:
        if value is None:
            del resources[logical][name]
        else:
            resources[logical][name] = value

    return mutate


def _rename(logical: str, old: str, new: str) -> Mutation:
    def mutate(resources: dict[str, Any]) -> None:
        facts = resources[logical]["Properties"]
        facts[new] = facts.pop(old)

    return mutate


def _rename_in(logical: str, name: str, old: str, new: str) -> Mutation:
    def mutate(resources: dict[str, Any]) -> None:
        facts = resources[logical]["Properties"][name]
        facts[new] = facts.pop(old)

    return mutate


def _statement(role: str, sid: str, key: str, value: Any) -> Mutation:
    def mutate(resources: dict[str, Any]) -> None:
        for statement in resources[role]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]:
            if statement["Sid"] == sid:
                statement[key] = value
                return
        raise AssertionError(f"{role} has no statement {sid}")

    return mutate


def _without_statement(role: str, sid: str) -> Mutation:
    def mutate(resources: dict[str, Any]) -> None:
        document = resources[role]["Properties"]["Policies"][0]["PolicyDocument"]
        kept = [s for s in document["Statement"] if s["Sid"] != sid]
        assert len(kept) == len(document["Statement"]) - 1
        document["Statement"] = kept

    return mutate


_ARN = {"Fn::GetAtt": ["JobsQueue", "Arn"]}
_SOURCE = "SourceArn"
_TRUST = "AssumeRolePolicyDocument.Statement.0"

#: The study of the reference: shapes, ranges, references, and nine that cfn-lint does not see.
STUDY: dict[str, Mutation] = {
    "misspelt property": _rename("WorkFunction", "MemorySize", "Memory"),
    "property missing": _drop("WorkFunction", "Role"),
    "text for a number": _set("WorkFunction", "Timeout", "half a minute"),
    "timeout over 900 s": _set("WorkFunction", "Timeout", 901),
    "memory under 128": _set("WorkFunction", "MemorySize", 64),
    "unknown runtime": _set("WorkFunction", "Runtime", "python3.99"),
    "retired runtime": _set("WorkFunction", "Runtime", "python3.7"),
    "dangling Ref": _set("WorkMapping", "FunctionName", {"Ref": "Worker"}),
    "dangling GetAtt": _set("WorkMapping", "EventSourceArn", {"Fn::GetAtt": ["Job", "Arn"]}),
    "attribute that does not exist": _set(
        "HttpApiStage", "ApiId", {"Fn::GetAtt": ["HttpApi", "Identity"]}
    ),
    "cron with five fields": _set("TickSchedule", "ScheduleExpression", "cron(30 2 ? * MON-FRI)"),
    "ordered queue without .fifo": _set("StepsQueue", "QueueName", "shop-dev-steps"),
    "ordered queue, other dead letters": _set(
        "StepsQueue", "RedrivePolicy.deadLetterTargetArn", {"Fn::GetAtt": ["LostQueue", "Arn"]}
    ),
    "invisible for less than the timeout": _set("JobsQueue", "VisibilityTimeout", 10),
    "ordered queue with batch 11": _set("WorkOrderedMapping", "BatchSize", 11),
    "MaximumConcurrency 1": _set("WorkMapping", "ScalingConfig.MaximumConcurrency", 1),
    "circle": _attribute("CreateRole", "DependsOn", ["CreateFunction"]),
    "retention of 29 days": _set("WorkLogs", "RetentionInDays", 29),
    "effect Permit": _statement("WorkRole", "Log", "Effect", "Permit"),
    "action that does not exist": _statement("WorkRole", "Consume", "Action", ["sqs:Consume"]),
    "environment over 4 KB": _set("WorkFunction", "Environment.Variables.BIG", "x" * 5000),
    "variable Lambda sets": _set("WorkFunction", "Environment.Variables.AWS_REGION", "here"),
    "bucket name with capitals": _set("UploadsBucket", "BucketName", "Shop_Uploads"),
    "type that does not exist": _attribute("WorkFunction", "Type", "AWS::Lambda::Functions"),
    "function name over 64": _set("WorkFunction", "FunctionName", "n" * 65),
    "stream view that does not exist": _set(
        "OrdersTable", "StreamSpecification.StreamViewType", "NEW_IMAGES"
    ),
    "number as text in an enumeration": _set("HttpApi", "ProtocolType", "http"),
    "cron with hour 24": _set("TickSchedule", "ScheduleExpression", "cron(30 24 ? * MON-FRI *)"),
    "cron of Unix": _set("TickSchedule", "ScheduleExpression", "30 2 * * 1-5"),
    "invisible for less than six timeouts": _set("JobsQueue", "VisibilityTimeout", 60),
    "large batch without a window": _set("WorkMapping", "MaximumBatchingWindowInSeconds", 0),
    "stream without StartingPosition": _drop("RowsMapping", "StartingPosition"),
    "mapping without its grant": _without_statement("WorkRole", "Consume"),
    "route key without a method": _set("FilesAnyRoute", "RouteKey", "/files/{path+}"),
    "secret as plain text": _set(
        "WorkFunction", "Environment.Variables.KEY",
        "{{resolve:secretsmanager:shop-dev-payment-key}}",
    ),
    "wildcard within a route": _set("FilesAnyRoute", "RouteKey", "GET /files/{path+}/end"),
}  # fmt: skip

OWN: dict[str, Mutation] = {
    # Who may do what.
    "every action": _statement("WorkRole", "Consume", "Action", ["sqs:*"]),
    "every resource": _statement("WorkRole", "Consume", "Resource", "*"),
    "one action too many": _statement(
        "CreateRole", "SendJobsQueue", "Action", ["sqs:SendMessage", "sqs:PurgeQueue"]
    ),
    "use without its grant": _without_statement("CreateRole", "WriteOrdersTable"),
    "grant on another resource": _statement(
        "CreateRole", "SendJobsQueue", "Resource", {"Fn::GetAtt": ["LostQueue", "Arn"]}
    ),
    "write instead of read": _statement(
        "CreateRole", "ReadUploadsBucket", "Action", ["s3:PutObject"]
    ),
    "a role for two": _set("RootFunction", "Role", {"Fn::GetAtt": ["FilesRole", "Arn"]}),
    "managed policy": _set(
        "WorkRole", "ManagedPolicyArns", ["arn:aws:iam::aws:policy/AdministratorAccess"]
    ),
    "trusts another service": _set("WorkRole", f"{_TRUST}.Principal.Service", "ec2.amazonaws.com"),
    "trusts Scheduler of any account": _drop("TickScheduleAccess", f"{_TRUST}.Condition"),
    "log without its grant": _without_statement("WorkRole", "Log"),
    "function without its name of a table": _drop(
        "CreateFunction", "Environment.Variables.PORTAFAAS_TABLE_ORDERS"
    ),
    "name of another table": _set(
        "CreateFunction", "Environment.Variables.PORTAFAAS_TABLE_ORDERS", {"Ref": "JobsQueue"}
    ),
    # Functions.
    "entry of another function": _set("WorkFunction", "Handler", "kit.work"),
    "package of another place": _set("WorkFunction", "Code", {"S3Bucket": "b", "S3Key": "k"}),
    "function that nothing invokes": _drop("WorkMapping"),
    "log of another function": _set("WorkFunction", "LoggingConfig.LogGroup", {"Ref": "RootLogs"}),
    "function without a log": _drop("WorkFunction", "LoggingConfig"),
    "two functions of one name": _set("WorkFunction", "FunctionName", "shop-dev-root"),
    "untagged": _drop("JobsQueue", "Tags"),
    # HTTP.
    "route without a permission": _drop("FilesAnyPermission"),
    "permission for another route": _set(
        "FilesAnyPermission", _SOURCE,
        {"Fn::Sub": "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${HttpApi}/*/GET/x"},
    ),
    "permission for all accounts": _drop("FilesAnyPermission", _SOURCE),
    "everyone may invoke": _set("FilesAnyPermission", "Principal", "*"),
    "signed route open": _set("SignedAnyRoute", "AuthorizationType", "JWT"),
    "payload 1.0": _set("FilesIntegration", "PayloadFormatVersion", "1.0"),
    "API gives up first": _set("FilesIntegration", "TimeoutInMillis", 3000),
    "route twice": _set("FilesAnyRoute", "RouteKey", "ANY /files"),
    "route of nothing": _set("FilesAnyRoute", "Target", {"Fn::Sub": "${FilesIntegration}"}),
    "no automatic deployment": _set("HttpApiStage", "AutoDeploy", False),
    "stage with a path": _set("HttpApiStage", "StageName", "dev"),
    "cross-origin rules of the API": _set("HttpApi", "CorsConfiguration", {"AllowOrigins": ["*"]}),
    "URL without the second permission": _drop("UrlUrlInvokePermission"),
    "signed URL open": _set("InnerUrl", "AuthType", "NONE"),
    # Queues, topics.
    "no report of failed messages": _drop("WorkMapping", "FunctionResponseTypes"),
    "window for an ordered queue": _set("WorkOrderedMapping", "MaximumBatchingWindowInSeconds", 5),
    "mapping switched off": _set("WorkMapping", "Enabled", False),
    "queue that loses its messages": _attribute("JobsQueue", "DeletionPolicy"),
    "queue replaced with its messages": _attribute("JobsQueue", "UpdateReplacePolicy", "Delete"),
    "dead letters that go first": _set("JobsDeadLetters", "MessageRetentionPeriod", 3600),
    "dead letters of themselves": _set("JobsQueue", "RedrivePolicy.deadLetterTargetArn", _ARN),
    "dead letters refused": _set(
        "JobsDeadLetters", "RedriveAllowPolicy", {"redrivePermission": "denyAll"}
    ),
    "dead letters of another queue": _set(
        "JobsDeadLetters", "RedriveAllowPolicy.sourceQueueArns", ["arn:aws:sqs:r:1:other"]
    ),
    "inbox closed to the topic": _drop("ListenInboxPolicy"),
    "inbox open to all topics": _drop(
        "ListenInboxPolicy", "PolicyDocument.Statement.0.Condition"
    ),
    "inbox of another topic": _set("ListenSubscription", "TopicArn", {"Ref": "JournalTopic"}),
    "raw delivery": _set("ListenSubscription", "RawMessageDelivery", True),
    "filter of the body": _set("ListenSubscription", "FilterPolicyScope", "MessageBody"),
    "filter of too many values": _set(
        "ListenSubscription", "FilterPolicy", {"a": ["1"] * 13, "b": ["1"] * 12}
    ),
    "ordered topic without .fifo": _set("JournalTopic", "TopicName", "shop-dev-journal"),
    # Buckets, tables.
    "bucket without a permission": _drop("StoreInboxPolicy"),
    "buckets of any account": _drop(
        "StoreInboxPolicy", "PolicyDocument.Statement.0.Condition.StringEquals"
    ),
    "inbox open to another bucket": _set(
        "StoreInboxPolicy", "PolicyDocument.Statement.0.Condition.ArnEquals",
        {"aws:SourceArn": "arn:aws:s3:::other"},
    ),
    "inbox open to all services": _set(
        "StoreInboxPolicy", "PolicyDocument.Statement.0.Principal", "*"
    ),
    "bucket that tells a function": _rename_in(
        "UploadsBucket", "NotificationConfiguration", "QueueConfigurations", "LambdaConfigurations"
    ),
    "bucket that tells its dead letters": _set(
        "UploadsBucket", "NotificationConfiguration.QueueConfigurations.0.Queue",
        {"Fn::GetAtt": ["StoreFailedEvents", "Arn"]},
    ),
    "bucket before the permission": _attribute("UploadsBucket", "DependsOn", ["TickSchedule"]),
    "event that S3 does not have": _set(
        "UploadsBucket", "NotificationConfiguration.QueueConfigurations.0.Event", "s3:Created"
    ),
    "notifications that overlap": _set(
        "UploadsBucket", "NotificationConfiguration.QueueConfigurations.0.Event",
        "s3:ObjectRemoved:*",
    ),
    "public bucket": _set("UploadsBucket", "PublicAccessBlockConfiguration.BlockPublicPolicy", False),
    "bucket name for the world": _set("UploadsBucket", "BucketName", "shop-dev-uploads"),
    "table that loses its rows": _attribute("OrdersTable", "DeletionPolicy", "Delete"),
    "table without its stream": _drop("OrdersTable", "StreamSpecification"),
    "stream from now on": _set("RowsMapping", "StartingPosition", "LATEST"),
    "stream grant on the table": _statement(
        "RowsRole", "Follow", "Resource", {"Fn::GetAtt": ["OrdersTable", "Arn"]}
    ),
    "filter that lets nothing through": _set(
        "UpsertsMapping", "FilterCriteria.Filters.0.Pattern", '{"eventName":["UPDATE"]}'
    ),
    "filter that is no JSON": _set("UpsertsMapping", "FilterCriteria.Filters.0.Pattern", "{"),
    "changes that are lost": _drop("RowsMapping", "DestinationConfig"),
    "changes that may not be kept": _without_statement("RowsRole", "KeepFailed"),
    "key that is not defined": _set("OrdersTable", "KeySchema.0.AttributeName", "key"),
    # What failed.
    "not told of its source": _drop(
        "WorkFunction", "Environment.Variables.PORTAFAAS_SOURCE_WORK"
    ),
    "another source": _set(
        "WorkFunction", "Environment.Variables.PORTAFAAS_SOURCE_WORK", {"Ref": "StepsQueue"}
    ),
    "not told of its dead letters": _drop(
        "ListenFunction", "Environment.Variables.PORTAFAAS_DEAD_LISTEN"
    ),
    "dead letters of another": _set(
        "ListenFunction", "Environment.Variables.PORTAFAAS_DEAD_LISTEN", {"Ref": "LogFailedEvents"}
    ),
    "dead letters by their ARN": _set(
        "RowsFunction", "Environment.Variables.PORTAFAAS_DEAD_ROWS",
        {"Fn::GetAtt": ["RowsFailedEvents", "Arn"]},
    ),
    "dead letters of a function that has none": _set(
        "RootFunction", "Environment", {"Variables": {"PORTAFAAS_DEAD_ROOT": {"Ref": "LostQueue"}}}
    ),
    "may not put off": _statement(
        "WorkRole", "Consume", "Action",
        ["sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"],
    ),
    "may not bury": _without_statement("WorkRole", "KeepFailed"),
    "may bury elsewhere": _statement(
        "WorkRole", "KeepFailed", "Resource", {"Fn::GetAtt": ["LostQueue", "Arn"]}
    ),
    "attempts that are not those asked for": _set("TickInbox", "RedrivePolicy.maxReceiveCount", 4),
    "objects that are lost": _drop("StoreInbox", "RedrivePolicy"),
    "instants that are lost": _drop("TickInbox", "RedrivePolicy"),
    "events that are lost": _drop("ListenInbox", "RedrivePolicy"),
    "changes repeated without end": _drop("UpsertsMapping", "MaximumRetryAttempts"),
    "two ordered messages at a time": _set("WorkOrderedMapping", "BatchSize", 2),
    # Schedules.
    "schedule that may not fire": _without_statement("TickScheduleAccess", "Fire"),
    "schedule as the function": _set(
        "TickSchedule", "Target.RoleArn", {"Fn::GetAtt": ["TickRole", "Arn"]}
    ),
    "schedule of another function": _set(
        "TickSchedule", "Target.Arn", {"Fn::GetAtt": ["StoreInbox", "Arn"]}
    ),
    "zone that does not exist": _set(
        "TickSchedule", "ScheduleExpressionTimezone", "Europe/Atlantis"
    ),
    "flexible schedule": _set(
        "TickSchedule", "FlexibleTimeWindow", {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 5}
    ),
    "schedule without its instant": _drop("TickSchedule", "Target.Input"),
    "schedule switched off": _set("TickSchedule", "State", "DISABLED"),
    # Alerts: every one of these would deploy.
    "metric that does not exist": _set("SlowAlert", "MetricName", "Latency"),
    "another metric": _set("SlowAlert", "MetricName", "Errors"),
    "metric of another service": _set("SlowAlert", "Namespace", "AWS/ApiGateway"),
    "dimension that does not exist": _set("SlowAlert", "Dimensions.0.Name", "Function"),
    "alarm for all functions": _drop("SlowAlert", "Dimensions"),
    "alarm on another function": _set(
        "SlowAlert", "Dimensions.0.Value", {"Ref": "CreateFunction"}
    ),
    "average instead of p95": _rename("SlowAlert", "ExtendedStatistic", "Statistic"),
    "p99 instead of p95": _set("SlowAlert", "ExtendedStatistic", "p99"),
    "average of errors": _set("ReportsFailAlert", "Metrics.0.MetricStat.Stat", "Average"),
    "seconds for milliseconds": _set("SlowAlert", "Threshold", 1.25),
    "another threshold": _set("MailsLostAlert", "Threshold", 6),
    "another window": _set("SlowAlert", "Period", 300),
    "window that CloudWatch lacks": _set("SlowAlert", "Period", 45),
    "two windows in a sum": _set("OrdersFailAlert", "Metrics.1.MetricStat.Period", 60),
    "three windows in a row": _set("SlowAlert", "EvaluationPeriods", 3),
    "at the threshold": _set(
        "SlowAlert", "ComparisonOperator", "GreaterThanOrEqualToThreshold"
    ),
    "fires without data": _set("SlowAlert", "TreatMissingData", "breaching"),
    "alarm that tells nobody": _drop("SlowAlert", "AlarmActions"),
    "alarm switched off": _set("SlowAlert", "ActionsEnabled", False),
    "another channel": _set("SlowAlert", "AlarmActions", [{"Ref": "MailChannel"}]),
    "one channel of two": _drop("OrdersFailAlert", "AlarmActions.1"),
    "topic of the service as a channel": _set("SlowAlert", "AlarmActions", [{"Ref": "NewsTopic"}]),
    "channel without its mail": _drop("OpsChannelEmail"),
    "channel without its webhook": _drop("OpsChannelWebhook"),
    "mail to another": _set("MailChannelEmail", "Endpoint", "other@shop.example"),
    "mail by another way": _set("MailChannelEmail", "Protocol", "email-json"),
    "mails of two channels swapped": _set("MailChannelEmail", "TopicArn", {"Ref": "OpsChannel"}),
    "alarm lost": _drop("SlowAlert"),
    "dead letters of the queue itself": _set(
        "JobsLostAlert", "Dimensions.0.Value", {"Fn::GetAtt": ["JobsQueue", "QueueName"]}
    ),
    "dead letters of a queue with another's": _set(
        "JobsLostAlert", "Dimensions.0.Value", {"Fn::GetAtt": ["LostQueue", "QueueName"]}
    ),
    "dead letters of another function": _set(
        "RowsLostAlert", "Dimensions.0.Value", {"Fn::GetAtt": ["TickFailedEvents", "QueueName"]}
    ),
    "inbox for its dead letters": _set(
        "NewsLostAlert", "Dimensions.0.Value", {"Fn::GetAtt": ["ListenInbox", "QueueName"]}
    ),
    "ARN for a queue's name": _set(
        "JobsLostAlert", "Dimensions.0.Value", {"Fn::GetAtt": ["JobsDeadLetters", "Arn"]}
    ),
    "count for an age": _set(
        "StepsLateAlert", "MetricName", "ApproximateNumberOfMessagesVisible"
    ),
    "least age": _set("StepsLateAlert", "Statistic", "Minimum"),
    "answers not counted": _drop("CreateFailures"),
    "answers of another function": _set("CreateFailures", "LogGroupName", {"Ref": "RootLogs"}),
    "answers under another name": _set(
        "CreateFailures", "MetricTransformations.0.MetricName", "other"
    ),
    "pattern that finds nothing": _set("CreateFailures", "FilterPattern", "ERROR"),
    "batch counted as one": _set("TickFailures", "MetricTransformations.0.MetricValue", "1"),
    "texts of requests for attempts": _set(
        "TickFailures", "FilterPattern", '{ $.severity = "ERROR" && $.message = "handler failed*" }'
    ),
    "attempts for texts of requests": _set(
        "CreateFailures", "FilterPattern", '{ $.severity = "ERROR" && $.pf_failed_attempts > 0 }'
    ),
    "what Lambda counts alone": _set("OrdersFailAlert", "Metrics.2.Expression", "SUM([raised])"),
    "late values taken for zero": _set(
        "OrdersFailAlert", "Metrics.2.Expression", "FILL(raised, 0) + FILL(answered, 0)"
    ),
    "nobody knows what it is about": _set("SlowAlert", "AlarmDescription", "slow"),
    # Bounds, logs.
    "instances not bounded": _drop("WorkFunction", "ReservedConcurrentExecutions"),
    "another bound": _set("WorkFunction", "ReservedConcurrentExecutions", 5),
    "bound nobody asked for": _set("RootFunction", "ReservedConcurrentExecutions", 5),
    "more batches than instances": _set("LogMapping", "ScalingConfig.MaximumConcurrency", 3),
    "batches without a bound": _drop("LogMapping", "ScalingConfig"),
    "another retention than asked": _set("WorkLogs", "RetentionInDays", 30),
    # What the bridge does, done by the platform too.
    "rate of the stage": _set("HttpApiStage", "DefaultRouteSettings", {"ThrottlingRateLimit": 1}),
    "rate of a route": _set("HttpApiStage", "RouteSettings", {"ANY /files": {}}),
    "cross-origin rules of a URL": _set("UrlUrl", "Cors", {"AllowOrigins": ["*"]}),
    "authorizer of the API": _set("FilesAnyRoute", "AuthorizerId", "x"),
    # Legal, in keeping with all else, and not what was asked for.
    "another delay than asked": _set("MailsQueue", "DelaySeconds", 6),
    "another prefix than asked": _set(
        "UploadsBucket", "NotificationConfiguration.QueueConfigurations.0.Filter.S3Key.Rules.0.Value",
        "other/",
    ),
    "another memory than asked": _set("WorkFunction", "MemorySize", 512),
    "all events instead of some": _drop("ListenSubscription", "FilterPolicy"),
}  # fmt: skip

#: Single changes that make no difference: what things are called that nobody calls by name, and
#: a dead-letter queue that would take those of others too.
HARMLESS = (
    "drop OrdersFailAlert.Properties.Metrics.2.Label",
    "change OrdersFailAlert.Properties.Metrics.2.Label",
    "change OrdersFailAlert.Properties.Metrics.2.Id",
    "drop OrdersFailAlert.Properties.Metrics.2.ReturnData",
    "change OrdersFailAlert.Properties.AlarmDescription",
    "drop JobsDeadLetters.Properties.RedriveAllowPolicy",
    "drop HttpApi.Properties.Name",
    "change HttpApi.Properties.Name",
    "drop CreateRole.Properties.Policies.0.PolicyName",
    "change CreateRole.Properties.Policies.0.PolicyName",
    *(
        f"change CreateRole.Properties.Policies.0.PolicyDocument.Statement.{n}.Sid"
        for n in range(8)
    ),
)


@pytest.fixture(scope="module")
def built(watched: BuildPlan) -> tuple[Template, list[Permission]]:
    template, permissions = build(watched)
    document = template.document()
    assert verify(document, permissions, watched) == []
    return json.loads(json.dumps(document)), permissions


def _mutated(document: Template, mutation: Mutation) -> Template:
    changed = copy.deepcopy(document)
    mutation(changed["Resources"])
    assert changed != document, "the mutation changes nothing"
    return changed


@pytest.mark.parametrize("name", [*STUDY, *OWN])
def test_found(built: tuple[Template, list[Permission]], watched: BuildPlan, name: str) -> None:
    document, permissions = built
    changed = _mutated(document, (STUDY | OWN)[name])
    assert verify(changed, permissions, watched) != []


def test_without_the_plan(built: tuple[Template, list[Permission]]) -> None:
    """To see what the study has, the rules need neither the plan nor the permissions."""
    document, _ = built
    missed = {name for name in STUDY if not verify(_mutated(document, STUDY[name]))}
    assert len(STUDY) == 36 and missed == set()


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    entries = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in entries:
        yield (*path, key), inner
        if isinstance(inner, dict | list):
            yield from _places(inner, (*path, key))


def _changed(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int) else f"{value}X"


def test_any_single_change_is_seen(
    built: tuple[Template, list[Permission]], watched: BuildPlan
) -> None:
    """Remove every value, and change every number, truth and text: the first of its type."""
    document, permissions = built
    done: set[Any] = set()
    unseen: list[str] = []
    text = json.dumps(document["Resources"])
    for path, value in list(_places(document["Resources"])):
        kinds = ["drop"] if isinstance(value, dict | list) else ["drop", "change"]
        type = document["Resources"][path[0]]["Type"]
        if (type, *path[1:]) in done or "Tags" in path:
            continue
        done.add((type, *path[1:]))
        for kind in kinds:
            # Several times as fast as a deep copy.
            at = json.loads(text)
            changed = {**document, "Resources": at}
            for key in path[:-1]:
                at = at[key]
            if kind == "drop":
                del at[path[-1]]
            else:
                at[path[-1]] = _changed(value)
            if not verify(changed, permissions, watched):
                unseen.append(f"{kind} {'.'.join(map(str, path))}")
    assert len(done) > 400
    assert set(unseen) == set(HARMLESS)
