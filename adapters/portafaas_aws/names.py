"""Names and durations that lowering, limits, events and infrastructure have in common."""

from __future__ import annotations

from portafaas.plan import BuildPlan, FunctionPlan

#: Longest a Lambda function may run, in seconds.
MAX_TIMEOUT = 900
#: Longest an HTTP API waits, in seconds.
#: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html
HTTP_API_TIMEOUT = 30

#: Longest names. https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html
FUNCTION_NAME = 64
#: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-queues.html
QUEUE_NAME = 80
#: https://docs.aws.amazon.com/sns/latest/api/API_CreateTopic.html
TOPIC_NAME = 256
#: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html
TABLE_NAME = 255
#: https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_CreateSecret.html
SECRET_NAME = 512
#: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
ALARM_NAME = 255
#: https://docs.aws.amazon.com/step-functions/latest/apireference/API_CreateStateMachine.html
MACHINE_NAME = 80
#: Characters left of a log group's 512. https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_CreateLogGroup.html
LOG_NAME = 480
#: The topic that runs send to when they wait; no topic of a manifest has a name with ``_``.
SINK = "workflow_signals"
#: What is left of the 63 characters of a bucket's name after an account and a region (at most 15).
#: https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
_BUCKET_BASE = 63 - 13 - 16


def physical_name(plan: BuildPlan, name: str, limit: int = FUNCTION_NAME, suffix: str = "") -> str:
    """Return the name a resource gets in the account: ``service-stage-name`` and *suffix*.

    A name over *limit* characters is cut and ends in a hash of the whole, so that it stays the
    same from build to build and differs from its neighbours.
    """
    full = "-".join(part for part in (plan.service, plan.stage, name) if part)
    room = limit - len(suffix)
    if len(full) > room:
        from hashlib import sha256

        full = f"{full[: room - 9].rstrip('-')}-{sha256(full.encode()).hexdigest()[:8]}"
    return full + suffix


def queue_name(plan: BuildPlan, name: str, ordered: bool) -> str:
    """Return the name of the queue *name* in the account; an ordered one ends in ``.fifo``."""
    return physical_name(plan, name, QUEUE_NAME, ".fifo" if ordered else "")


def topic_name(plan: BuildPlan, name: str, ordered: bool) -> str:
    """Return the name of the topic *name* in the account; an ordered one ends in ``.fifo``."""
    return physical_name(plan, name, TOPIC_NAME, ".fifo" if ordered else "")


def machine_name(plan: BuildPlan, workflow: str) -> str:
    """Return the name of the state machine of *workflow* in the account."""
    return physical_name(plan, workflow, MACHINE_NAME)


def channel_topic(plan: BuildPlan, channel: str) -> str:
    """Return the name of the topic that tells *channel* of alerts."""
    return topic_name(plan, f"alerts-{channel}", False)


def table_name(plan: BuildPlan, name: str) -> str:
    """Return the name of the table *name* in the account."""
    return physical_name(plan, name, TABLE_NAME)


def bucket_name(plan: BuildPlan, name: str) -> str:
    """Return the name of the bucket *name*, for ``Fn::Sub``.

    Buckets share one namespace with all accounts of all customers.
    """
    return f"{physical_name(plan, name, _BUCKET_BASE)}-${{AWS::AccountId}}-${{AWS::Region}}"


def front(function: FunctionPlan) -> str:
    """Return what an http function stands behind: ``http-api`` or ``function-url``."""
    return str(function.options.get("front", "http-api"))


def handler_timeout(function: FunctionPlan) -> int:
    """Return the seconds after which the handler is stopped.

    Less than what would stop the whole function, so that the caller gets an answer and the log
    says why.
    """
    limit = MAX_TIMEOUT
    if function.kind == "http" and front(function) == "http-api":
        limit = HTTP_API_TIMEOUT
    return min(function.timeout, limit - _rest(function))


def _rest(function: FunctionPlan) -> int:
    """Return the seconds that are left when a handler is stopped.

    What has failed is put off or buried in that time, for which boto3 is loaded: with the processor
    of a small function that alone may take two seconds.
    """
    return 1 if function.kind in ("http", "task") else 5


def lambda_timeout(function: FunctionPlan) -> int:
    """Return the seconds after which Lambda stops the whole function."""
    return handler_timeout(function) + _rest(function)


def route_path(path: str) -> str:
    """Return the path of an HTTP API route: ``/files/{path*}`` is ``/files/{path+}``."""
    return path.replace("*}", "+}")
