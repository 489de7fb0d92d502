"""Records, and if the role does not allow it refuses, each API call that a principal makes.

A WSGI layer around moto. Calls are told apart by their access key: each function, and each
schedule, has its own. In the server's process only.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs, parse_qsl, unquote

from moto.awslambda.models import lambda_backends
from moto.iam.models import iam_backends
from moto.scheduler.models import scheduler_backends
from moto.stepfunctions import models as stepfunctions

from tests.aws_cloud.permissions import Call, Policy
from tests.aws_cloud.world import ACCOUNT, World

#: Members of an input that say what a call is made to.
_NAMES = (
    "QueueUrl", "TopicArn", "TableName", "IndexName", "RequestItems", "TransactItems", "StreamArn",
    "ShardIterator", "SecretId", "logGroupName", "logStreamName", "stateMachineArn", "executionArn",
)  # fmt: skip
_S3 = {
    ("PUT", True): "PutObject", ("GET", True): "GetObject", ("HEAD", True): "HeadObject",
    ("DELETE", True): "DeleteObject", ("GET", False): "ListObjects", ("HEAD", False): "HeadBucket",
}  # fmt: skip


class Recorder:
    """The WSGI application *app* (moto's) behind a record of what goes in."""

    def __init__(self, world: World, app: Callable[..., Iterable[bytes]]) -> None:
        self._world = world
        self._app = app
        # moto changes tables without locks of its own.
        self._one_at_a_time = threading.RLock()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Pass a request on to moto."""
        key, region, service = _scope(environ.get("HTTP_AUTHORIZATION", ""))
        principal = self._world.principals.get(key)
        if principal is None:
            return self._pass(service, environ, start_response)
        operation, facts = _read(service, environ)
        if environ.get("HTTP_X_AMZ_TARGET", "").startswith("DynamoDBStreams"):
            service = "dynamodbstreams"
        record: dict[str, Any] = {
            "principal": principal, "service": service, "operation": operation,
            "region": region, "input": facts, "status": 0,
        }  # fmt: skip
        missing = self._missing(Call(**record))
        if missing:
            record["status"] = 403
            self._world.calls.append(record)
            return _refuse(service, principal, missing, start_response)

        def start(status: str, *more: Any) -> Any:
            record["status"] = int(status[:3])
            return start_response(status, *more)

        self._world.calls.append(record)
        return self._pass(service, environ, start)

    def _pass(self, service: str, environ: Any, start_response: Any) -> Iterable[bytes]:
        if service in ("dynamodb", "dynamodbstreams"):
            with self._one_at_a_time:
                return list(self._app(environ, start_response))
        return self._app(environ, start_response)

    def _missing(self, call: Call) -> str:
        """Return which permission the principal's role lacks for *call*, or nothing."""
        try:
            needed = call.permissions
        except KeyError:
            # Left to the test, which fails for operations that the table does not know.
            return ""
        policy = policy_of(call.principal)
        return ", ".join(f"{a} on {r}" for a, r in needed if not policy.allows((a, r)))


def _scope(authorization: str) -> tuple[str, str, str]:
    """Return access key, region and service of a signed request."""
    _, found, rest = authorization.partition("Credential=")
    parts = rest.split(",")[0].split("/")
    return (parts[0], parts[2], parts[3]) if found and len(parts) == 5 else ("", "", "")


def _read(service: str, environ: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the operation's name, and what its input says of resources."""
    target = environ.get("HTTP_X_AMZ_TARGET", "")
    if target:
        facts = json.loads(_body(environ) or b"{}")
        return target.rpartition(".")[2], _named(facts)
    path, method = unquote(environ.get("PATH_INFO", "")), environ["REQUEST_METHOD"]
    query = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
    if service == "s3":
        bucket, _, key = path.lstrip("/").partition("/")
        return _s3(method, bool(key), query), {"Bucket": bucket, "Key": key}
    if service == "lambda":
        parts = path.split("/")
        invoke = method == "POST" and parts[2:3] == ["functions"] and parts[-1] == "invocations"
        return ("Invoke", {"FunctionName": parts[3]}) if invoke else (f"{method} {path}", {})
    form = dict(parse_qsl(_body(environ).decode()))
    return form.get("Action", f"{method} {path}"), _named(form)


def _s3(method: str, has_key: bool, query: dict[str, Any]) -> str:
    if "uploads" in query and method == "POST":
        return "CreateMultipartUpload"
    if "uploadId" in query:
        steps = {"PUT": "UploadPart", "POST": "CompleteMultipartUpload",
                 "DELETE": "AbortMultipartUpload"}  # fmt: skip
        return steps.get(method, "ListParts")
    if "list-type" in query and not has_key:
        return "ListObjectsV2"
    plain = not set(query) & {"tagging", "acl", "versioning", "policy", "notification", "location"}
    return _S3.get((method, has_key), method) if plain else f"{method}?{'&'.join(query)}"


def _named(facts: dict[str, Any]) -> dict[str, Any]:
    found = {name: facts[name] for name in _NAMES if name in facts}
    if "Entries" in facts:
        # What functions ask of messages they failed at.
        found["delays"] = [e["VisibilityTimeout"] for e in facts["Entries"] if "VisibilityTimeout" in e]
    if isinstance(found.get("RequestItems"), dict):
        found["RequestItems"] = list(found["RequestItems"])
    if isinstance(found.get("TransactItems"), list):
        found["TransactItems"] = [
            [kind, asked["TableName"]]
            for item in found["TransactItems"]
            for kind, asked in item.items()
        ]
    return found


def _body(environ: dict[str, Any]) -> bytes:
    body: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = BytesIO(body)
    return body


def policy_of(principal: str) -> Policy:
    """Return what the role of *principal* allows, as moto's IAM has it."""
    return Policy(_documents(_role_of(principal)))


def _role_of(principal: str) -> str:
    if principal.startswith("schedule:"):
        for scheduler in scheduler_backends[ACCOUNT].values():
            for group in scheduler.schedule_groups.values():
                schedule = group.schedules.get(principal.partition(":")[2])
                if schedule is not None:
                    return str(schedule.target["RoleArn"])
    if principal.startswith("workflow:"):
        for states in stepfunctions.stepfunctions_backends[ACCOUNT].values():
            for machine in states.state_machines:
                if machine.name == principal.partition(":")[2]:
                    return str(machine.roleArn)
    for backend in lambda_backends[ACCOUNT].values():
        for function in backend.list_functions():
            if function.function_name == principal:
                return str(function.role)
    raise KeyError(f"nobody is called {principal!r}")


def _documents(role: str) -> list[dict[str, Any]]:
    iam = iam_backends[ACCOUNT]["aws"]
    found = iam.get_role(role.rpartition("/")[2])
    if found.managed_policies:
        raise NotImplementedError(f"{role} has managed policies")
    return [
        json.loads(text) if isinstance(text, str) else text for text in found.policies.values()
    ]


def _refuse(service: str, principal: str, missing: str, start_response: Any) -> Iterable[bytes]:
    text = f"User: {principal} is not authorized to perform: {missing}"
    if service in ("s3", "sns"):
        inner = f"<Code>AccessDenied</Code><Message>{text}</Message>"
        if service == "sns":
            inner = f"<Error><Type>Sender</Type>{inner.replace('AccessDenied', 'AuthorizationError')}</Error>"
        name = "Error" if service == "s3" else "ErrorResponse"
        start_response("403 Forbidden", [("Content-Type", "text/xml")])
        return [f"<{name}>{inner}</{name}>".encode()]
    code = "AccessDeniedException"
    headers = [("Content-Type", "application/x-amz-json-1.0"), ("X-Amzn-ErrorType", code)]
    start_response("403 Forbidden" if service in ("sqs", "lambda") else "400 Bad Request", headers)
    return [json.dumps({"__type": code, "message": text, "Message": text}).encode()]
