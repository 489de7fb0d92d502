"""Which IAM permission an API call needs, and what policies allow. Used by server and tests.

https://docs.aws.amazon.com/service-authorization/latest/reference/
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

#: An action and the ARN of what it is done to.
Permission = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Call:
    """One API call that a principal made.

    ``operation`` is botocore's name; ``input`` has the members that name resources; ``status`` is
    the HTTP status of the answer (0 before there is one), ``error`` the code of a refusal.
    """

    principal: str
    service: str
    operation: str
    region: str
    input: Mapping[str, Any]
    status: int = 0
    account: str = "123456789012"

    @property
    def permissions(self) -> tuple[Permission, ...]:
        """Return what the call needs; raises KeyError for a call that the table does not know."""
        if self.operation == "TransactWriteItems":
            # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html
            return tuple(
                (f"dynamodb:{kind}Item", resource)
                for kind, name in self.input["TransactItems"]
                for resource in _TABLE(Call("", "", "", self.region, {"TableName": name}))
            )
        action, resources = OPERATIONS[self.service, self.operation]
        found = [(action, resource) for resource in resources(self)]
        if self.operation in ("GetObject", "HeadObject") and self.status == 404:
            # Who may not list the bucket is not told that an object is missing.
            found.append(("s3:ListBucket", f"arn:aws:s3:::{self.input['Bucket']}"))
        return tuple(found)


def _arn(service: str, name: Callable[[Mapping[str, Any]], str]) -> Callable[[Call], list[str]]:
    def resources(call: Call) -> list[str]:
        text = name(call.input)
        if text.startswith("arn:"):
            return [text]
        return [f"arn:aws:{service}:{call.region}:{call.account}:{text}"]

    return resources


_QUEUE = _arn("sqs", lambda facts: str(facts["QueueUrl"]).rpartition("/")[2])
_TOPIC = _arn("sns", lambda facts: str(facts["TopicArn"]))
_SECRET = _arn("secretsmanager", lambda facts: str(facts["SecretId"]))
_FUNCTION = _arn("lambda", lambda facts: str(facts["FunctionName"]))
_STREAM = _arn("dynamodb", lambda facts: str(facts["StreamArn"]))
_ITERATOR = _arn("dynamodb", lambda facts: str(facts["ShardIterator"]).split("|")[0])
_MACHINE = _arn("states", lambda facts: str(facts["stateMachineArn"]))
_RUN = _arn("states", lambda facts: str(facts["executionArn"]))
_LOG = _arn(
    "logs", lambda facts: f"log-group:{facts['logGroupName']}:log-stream:{facts['logStreamName']}"
)


def _table_name(facts: Mapping[str, Any]) -> str:
    name = str(facts["TableName"])
    if not name.startswith("arn:"):
        name = f"table/{name}"
    return f"{name}/index/{facts['IndexName']}" if facts.get("IndexName") else name


_TABLE = _arn("dynamodb", _table_name)


def _tables(call: Call) -> list[str]:
    return [
        resource
        for name in call.input["RequestItems"]
        for resource in _TABLE(Call("", "", "", call.region, {"TableName": name}))
    ]


def _object(call: Call) -> list[str]:
    return [f"arn:aws:s3:::{call.input['Bucket']}/{call.input['Key']}"]


def _bucket(call: Call) -> list[str]:
    return [f"arn:aws:s3:::{call.input['Bucket']}"]


#: Operations by service (as botocore names both): the action, and how to name the resources.
OPERATIONS: dict[tuple[str, str], tuple[str, Callable[[Call], list[str]]]] = {
    ("sqs", "SendMessage"): ("sqs:SendMessage", _QUEUE),
    ("sqs", "SendMessageBatch"): ("sqs:SendMessage", _QUEUE),
    ("sqs", "ReceiveMessage"): ("sqs:ReceiveMessage", _QUEUE),
    ("sqs", "DeleteMessage"): ("sqs:DeleteMessage", _QUEUE),
    ("sqs", "DeleteMessageBatch"): ("sqs:DeleteMessage", _QUEUE),
    ("sqs", "ChangeMessageVisibility"): ("sqs:ChangeMessageVisibility", _QUEUE),
    ("sqs", "ChangeMessageVisibilityBatch"): ("sqs:ChangeMessageVisibility", _QUEUE),
    ("sqs", "GetQueueAttributes"): ("sqs:GetQueueAttributes", _QUEUE),
    ("sns", "Publish"): ("sns:Publish", _TOPIC),
    ("sns", "PublishBatch"): ("sns:Publish", _TOPIC),
    ("dynamodb", "GetItem"): ("dynamodb:GetItem", _TABLE),
    ("dynamodb", "PutItem"): ("dynamodb:PutItem", _TABLE),
    ("dynamodb", "UpdateItem"): ("dynamodb:UpdateItem", _TABLE),
    ("dynamodb", "DeleteItem"): ("dynamodb:DeleteItem", _TABLE),
    ("dynamodb", "Query"): ("dynamodb:Query", _TABLE),
    ("dynamodb", "Scan"): ("dynamodb:Scan", _TABLE),
    ("dynamodb", "DescribeTable"): ("dynamodb:DescribeTable", _TABLE),
    ("dynamodb", "BatchGetItem"): ("dynamodb:BatchGetItem", _tables),
    ("dynamodb", "BatchWriteItem"): ("dynamodb:BatchWriteItem", _tables),
    ("dynamodbstreams", "DescribeStream"): ("dynamodb:DescribeStream", _STREAM),
    ("dynamodbstreams", "GetShardIterator"): ("dynamodb:GetShardIterator", _STREAM),
    ("dynamodbstreams", "GetRecords"): ("dynamodb:GetRecords", _ITERATOR),
    ("s3", "GetObject"): ("s3:GetObject", _object),
    ("s3", "HeadObject"): ("s3:GetObject", _object),
    ("s3", "PutObject"): ("s3:PutObject", _object),
    ("s3", "DeleteObject"): ("s3:DeleteObject", _object),
    ("s3", "CreateMultipartUpload"): ("s3:PutObject", _object),
    ("s3", "UploadPart"): ("s3:PutObject", _object),
    ("s3", "CompleteMultipartUpload"): ("s3:PutObject", _object),
    ("s3", "AbortMultipartUpload"): ("s3:AbortMultipartUpload", _object),
    ("s3", "ListObjects"): ("s3:ListBucket", _bucket),
    ("s3", "ListObjectsV2"): ("s3:ListBucket", _bucket),
    ("secretsmanager", "GetSecretValue"): ("secretsmanager:GetSecretValue", _SECRET),
    ("secretsmanager", "DescribeSecret"): ("secretsmanager:DescribeSecret", _SECRET),
    ("lambda", "Invoke"): ("lambda:InvokeFunction", _FUNCTION),
    ("states", "StartExecution"): ("states:StartExecution", _MACHINE),
    ("states", "DescribeExecution"): ("states:DescribeExecution", _RUN),
    ("states", "GetExecutionHistory"): ("states:GetExecutionHistory", _RUN),
    # Which machine the token is of it does not say.
    ("states", "SendTaskSuccess"): ("states:SendTaskSuccess", lambda call: []),
    ("states", "StopExecution"): ("states:StopExecution", _RUN),
    ("logs", "CreateLogStream"): ("logs:CreateLogStream", _LOG),
    ("logs", "PutLogEvents"): ("logs:PutLogEvents", _LOG),
}


@dataclass(frozen=True, slots=True)
class Grant:
    """One action on one resource pattern, as a statement of a role has them."""

    action: str
    resource: str

    def covers(self, permission: Permission) -> bool:
        """Tell whether the grant is for *permission*."""
        action, resource = permission
        return like(self.action.lower(), action.lower()) and like(self.resource, resource)


def like(pattern: str, text: str) -> bool:
    """Tell whether *text* is what *pattern* with ``*`` and ``?`` stands for."""
    parts = (".*" if c == "*" else "." if c == "?" else re.escape(c) for c in pattern)
    return re.fullmatch("".join(parts), text, re.DOTALL) is not None


class Policy:
    """What the policies of a role allow. Conditions, NotAction and NotResource are refused."""

    def __init__(self, documents: Iterable[Mapping[str, Any]]) -> None:
        self.grants: list[Grant] = []
        self.denials: list[Grant] = []
        for document in documents:
            for statement in _listed(document["Statement"]):
                unknown = set(statement) - {"Sid", "Effect", "Action", "Resource"}
                if unknown:
                    raise NotImplementedError(f"{sorted(unknown)} of a statement")
                into = {"Allow": self.grants, "Deny": self.denials}[statement["Effect"]]
                into += [
                    Grant(action, resource)
                    for action in _listed(statement["Action"])
                    for resource in _listed(statement["Resource"])
                ]

    def allows(self, permission: Permission) -> bool:
        """Tell whether *permission* is granted, and not denied."""
        denied = any(grant.covers(permission) for grant in self.denials)
        return not denied and any(grant.covers(permission) for grant in self.grants)

    def unused(self, used: Iterable[Permission]) -> list[Grant]:
        """Return the grants that nothing of *used* needs."""
        needed = list(used)
        return [g for g in self.grants if not any(g.covers(permission) for permission in needed)]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def used_permissions(calls: Mapping[str, Iterable[Call]]) -> dict[str, set[Permission]]:
    """Return what each principal's calls needed; raises KeyError for an unknown operation."""
    return {
        principal: {permission for call in made for permission in call.permissions}
        for principal, made in calls.items()
    }
