"""What a function may do: its role, from ``uses``, its trigger and its log, and nothing else.

Actions are those of https://docs.aws.amazon.com/service-authorization/latest/reference/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from portafaas.adapter import Permission
from portafaas.plan import BuildPlan, FunctionPlan, Use, WorkflowPlan
from portafaas.record import dataclass
from portafaas_aws.infrastructure.document import Template, arn, att, logical_id, ref, sub, tags
from portafaas_aws.names import (
    SECRET_NAME,
    bucket_name,
    machine_name,
    physical_name,
    queue_name,
    table_name,
    topic_name,
)

#: https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
#: The first is the bridge's own: to have a message come again later.
CONSUME = (
    "sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:GetQueueAttributes",
    "sqs:ReceiveMessage",
)  # fmt: skip
#: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/iam-policy-example-lamda-process-dynamodb-streams.html
FOLLOW = (
    "dynamodb:DescribeStream",
    "dynamodb:GetRecords",
    "dynamodb:GetShardIterator",
    "dynamodb:ListStreams",
)
LOG = ("logs:CreateLogStream", "logs:PutLogEvents")

_USES: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("read", "table"): (
        "dynamodb:BatchGetItem", "dynamodb:ConditionCheckItem", "dynamodb:GetItem",
        "dynamodb:Query", "dynamodb:Scan",
    ),
    ("write", "table"): (
        "dynamodb:BatchWriteItem", "dynamodb:DeleteItem", "dynamodb:PutItem",
        "dynamodb:UpdateItem",
    ),
    ("read", "bucket"): ("s3:GetObject",),
    ("write", "bucket"): ("s3:AbortMultipartUpload", "s3:DeleteObject", "s3:PutObject"),
    ("read", "secret"): ("secretsmanager:GetSecretValue",),
    ("send", "queue"): ("sqs:SendMessage",),
    ("publish", "topic"): ("sns:Publish",),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Grant:
    """A statement: *resource* as CloudFormation resolves it, *scope* as people read it."""

    sid: str
    actions: tuple[str, ...]
    resource: Any
    scope: str
    why: str


def use_grants(plan: BuildPlan, function: FunctionPlan) -> list[Grant]:
    """Return the statements of the function's ``uses``."""
    grants: list[Grant] = []
    for index, use in enumerate(function.uses):
        why = function.why(index)
        if use.kind == "workflow":
            from portafaas_aws.infrastructure.workflows import start_grants

            grants += start_grants(plan, use.name, why)
            continue
        sid = f"{use.verb.capitalize()}{logical_id(use.name, use.kind.capitalize())}"
        resource, scope = target(plan, use)
        if use.kind == "bucket":
            objects = f"{scope}/*"
            if use.verb == "read":
                # Without it a missing object is "access denied" and not "not found".
                grants.append(Grant(f"{sid}Keys", ("s3:ListBucket",), resource, scope, why))
            resource, scope = sub(objects), objects
        grants.append(Grant(sid, _USES[use.verb, use.kind], resource, scope, why))
    return grants


def target(plan: BuildPlan, use: Use) -> tuple[Any, str]:
    """Return the ARN of what *use* names, for CloudFormation and for people.

    A bucket goes by its name: it waits for the permission of the functions it invokes, which wait
    for their roles, so that a reference would close a circle.
    """
    match use.kind:
        case "queue":
            name = queue_name(plan, use.name, plan.queue(use.name).ordered)
            return att(logical_id(use.name, "Queue")), arn("sqs", name)
        case "topic":
            topic = plan.topic(use.name)
            scope = arn("sns", topic_name(plan, use.name, topic.ordered))
            return ref(logical_id(use.name, "Topic")), scope
        case "table":
            scope = arn("dynamodb", f"table/{table_name(plan, use.name)}")
            return att(logical_id(use.name, "Table")), scope
        case "bucket":
            scope = arn("s3", bucket_name(plan, use.name), account=False)
            return sub(scope), scope
        case "secret":
            # Six random characters end the ARN.
            name = physical_name(plan, use.name, SECRET_NAME)
            scope = arn("secretsmanager", f"secret:{name}-??????")
            return ref(logical_id(use.name, "Secret")), scope
        case "workflow":
            scope = arn("states", f"stateMachine:{machine_name(plan, use.name)}")
            return sub(scope), scope
        case _:
            raise AssertionError(f"nothing is known of {use.kind!r}")


def add_role(
    template: Template,
    function: FunctionPlan | WorkflowPlan,
    kind: str,
    principal: str,
    grants: Iterable[Grant],
    condition: Mapping[str, Any] | None = None,
) -> list[Permission]:
    """Add a role of a function or workflow that *principal* may take; return what it permits.

    It has no name of its own: roles share one namespace over all regions, and a stack with named
    ones asks for more rights to deploy.
    """
    granted = list(grants)
    trust: dict[str, Any] = {
        "Effect": "Allow",
        "Principal": {"Service": principal},
        "Action": "sts:AssumeRole",
    }
    if condition:
        trust["Condition"] = condition
    statements = [
        {
            "Sid": grant.sid,
            "Effect": "Allow",
            "Action": list(grant.actions),
            "Resource": grant.resource,
        }
        for grant in granted
    ]
    template.add(
        logical_id(function.name, kind),
        "AWS::IAM::Role",
        {
            "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [trust]},
            "Policies": [
                {
                    "PolicyName": "portafaas",
                    "PolicyDocument": {"Version": "2012-10-17", "Statement": statements},
                }
            ],
            "Tags": tags(template.plan),
        },
    )
    holder = f"workflow:{function.name}" if isinstance(function, WorkflowPlan) else function.name
    return [
        Permission(holder, action, grant.scope, grant.why)
        for grant in granted
        for action in grant.actions
    ]
