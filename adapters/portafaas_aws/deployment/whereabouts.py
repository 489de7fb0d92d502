"""Where the declared resources of a deployed service are, for the driver in a script."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from portafaas_aws.deployment import data
from portafaas_aws.deployment.cloud import Cloud
from portafaas_aws.deployment.faults import code_of
from portafaas_aws.deployment.stack import HUSKS, current, nothing
from portafaas_aws.names import (
    SECRET_NAME,
    bucket_name,
    machine_name,
    physical_name,
    queue_name,
    table_name,
    topic_name,
)


def whereabouts(cloud: Cloud) -> Mapping[str, str]:
    """Return the address of each declared resource, by the variable that functions have.

    A queue or secret that is not there is left out. Raises DeploymentError (PF8010) when nothing
    is deployed, PF8008 for another's stack.
    """
    stack = current(cloud)
    if stack is None or stack["StackStatus"] in HUSKS:
        raise nothing(cloud)
    return {
        f"PORTAFAAS_{kind}_{name}".upper().replace("-", "_"): address
        for kind, name, address in _places(cloud)
        if address
    }


def _places(cloud: Cloud) -> Iterator[tuple[str, str, str]]:
    """Yield kind, name and address of each declared resource; "" where it is not there."""
    plan = cloud.plan
    for queue in plan.queues:
        yield "queue", queue.name, _url(cloud, queue_name(plan, queue.name, queue.ordered))
    for topic in plan.topics:
        name = topic_name(plan, topic.name, topic.ordered)
        arn = f"arn:{cloud.partition}:sns:{cloud.region}:{cloud.account}:{name}"
        yield "topic", topic.name, arn
    for table in plan.tables:
        yield "table", table.name, table_name(plan, table.name)
    for bucket in plan.buckets:
        name = bucket_name(plan, bucket.name)
        name = name.replace("${AWS::AccountId}", cloud.account)
        yield "bucket", bucket.name, name.replace("${AWS::Region}", cloud.region)
    for secret in plan.secrets:
        yield "secret", secret.name, _arn(cloud, physical_name(plan, secret.name, SECRET_NAME))
    for workflow in plan.workflows:
        name = f"stateMachine:{machine_name(plan, workflow.name)}"
        arn = f"arn:{cloud.partition}:states:{cloud.region}:{cloud.account}:{name}"
        yield "workflow", workflow.name, arn


def _url(cloud: Cloud, queue: str) -> str:
    """Return the URL of a queue as SQS says it: not all endpoints are AWS's own."""
    try:
        return str(cloud.client("sqs").get_queue_url(QueueName=queue)["QueueUrl"])
    except Exception as exc:
        if "NonExistentQueue" in code_of(exc) or code_of(exc) == "QueueDoesNotExist":
            return ""
        raise


def _arn(cloud: Cloud, secret: str) -> str:
    """Return the ARN of a secret, which ends in letters that AWS has drawn."""
    held = data.find(cloud, data.SECRET, secret)
    return "" if held is None or held.doomed else held.physical
