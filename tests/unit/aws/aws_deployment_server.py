"""A moto server with the CloudFormation of ``aws_deployment_formation``; run as a script.

Prints its address; then takes one JSON command a line and answers each with a line:

| command | effect |
|---|---|
| ``{"fail": {"JobsQueue": "reason"}}`` | that resource fails; ``rollback`` fails the rollback, ``delete X`` the removal |
| ``{"hold": "JobsQueue"}`` | that resource waits; answers when it does with ``{"wait": true}`` |
| ``{"go": true}`` | it goes on |
| ``{"fault": {"GetCallerIdentity": ["ExpiredToken", "…", 403]}}`` | the call is answered so |
| ``{"state": ["shop-dev", "UPDATE_ROLLBACK_FAILED", "reason"]}`` | the stack is in that state |
| ``{"keys": {"x": 1}}`` | how far things are: reads counters |

Beyond CloudFormation, ours: S3 refuses a bucket whose owner is not the expected one.
"""

# ruff: noqa: I001 (first what has moto spared)
from __future__ import annotations

import io
import json
import sys
import threading
from functools import cache
from typing import Any
from urllib.parse import parse_qs

import moto_aws  # type: ignore[import-not-found]
import aws_deployment_changes as changes  # type: ignore[import-not-found]
import aws_deployment_formation as formation  # type: ignore[import-not-found]
from moto.awslambda.models import LambdaBackend, LambdaFunction
from moto.cloudformation.models import cloudformation_backends
from moto.core import responses
from moto.iam.access_control import PermissionResult
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.s3 import notifications
from moto.s3.models import FakeBucket, s3_backends
from werkzeug.serving import make_server

FAULTS: dict[str, list[Any]] = {}
REGION, ACCOUNT = "eu-central-1", "123456789012"


class Gate:
    """What stands before moto: faults that tests ask for, and whose bucket it is."""

    def __init__(self, app: Any) -> None:
        self.app = app

    def __call__(self, environ: dict[str, Any], start: Any) -> Any:
        owner = environ.get("HTTP_X_AMZ_EXPECTED_BUCKET_OWNER")
        if owner:
            bucket = environ["PATH_INFO"].strip("/").partition("/")[0]
            for account, partitions in s3_backends.items():
                if bucket in partitions["aws"].buckets and account != owner:
                    return self.refuse(start, "AccessDenied", "Access Denied", 403, "xml")
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        action = target.rpartition(".")[2]
        if environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            environ["wsgi.input"] = io.BytesIO(body)
            action = parse_qs(body.decode()).get("Action", [""])[0]
        if action in FAULTS:
            fault = FAULTS[action]
            if len(fault) > 3:
                # So often.
                fault[3] -= 1
                if fault[3] == 0:
                    del FAULTS[action]
                    # What is held was held for these.
                    formation.CONTROL.go.set()
            return self.refuse(start, fault[0], fault[1], fault[2], "json" if target else "query")
        return self.app(environ, start)

    @staticmethod
    def refuse(start: Any, code: str, message: str, status: int, kind: str) -> Any:
        if kind == "json":
            text = json.dumps({"__type": code, "message": message})
        else:
            text = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
            if kind == "query":
                text = f"<ErrorResponse>{text}<RequestId>1</RequestId></ErrorResponse>"
        start(f"{status} Refused", [("Content-Type", "application/json" if kind == "json" else "text/xml")])
        return [text.encode()]


def spare() -> None:
    """Let requests pass for such as come by TLS; moto leaves conditions of policies aside.

    And run no function, which moto would do in a docker: all of them are done at once.
    """
    function: Any = LambdaFunction
    function.invoke = lambda *_, **__: b'{"batchItemFailures": []}'
    backend: Any = LambdaBackend
    # Nor is what a stream has told a function gone from the stream.
    backend.send_dynamodb_items = lambda *_, **__: False
    notifications.send_event = lambda *_, **__: None
    bucket: Any = FakeBucket
    judge = bucket.get_permission

    def permission(self: Any, action: Any, resource: Any) -> Any:
        if self.policy and b"SecureTransport" in (self.policy if isinstance(self.policy, bytes) else str(self.policy).encode()):
            return PermissionResult.NEUTRAL
        return judge(self, action, resource)

    bucket.get_permission = permission


def obey(command: dict[str, Any]) -> Any:
    control = formation.CONTROL
    if "fail" in command:
        control.fail = command["fail"]
    if "fault" in command:
        FAULTS.clear()
        FAULTS.update(command["fault"])
    if "hold" in command:
        control.hold = command["hold"]
        control.held.clear()
        control.go.clear()
    if "wait" in command:
        return control.held.wait(20)
    if "go" in command:
        control.hold = ""
        control.go.set()
    if "state" in command:
        name, value, why = command["state"]
        for stack in cloudformation_backends[ACCOUNT][REGION].stacks.values():
            if stack.name == name:
                stack.status = value
                vars(stack)["status_reason"] = why
    if "protect" in command:
        for stack in cloudformation_backends[ACCOUNT][REGION].stacks.values():
            stack.enable_termination_protection = command["protect"]
    return True


if __name__ == "__main__":
    # moto prints where it lacks a docker.
    answers, sys.stdout = sys.stdout, sys.stderr
    # moto looks at its methods anew for each request.
    core: Any = responses
    core.method_names_from_class = cache(core.method_names_from_class)
    moto_aws.patch()
    formation.patch()
    changes.patch()
    spare()
    app = Gate(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    moto_aws.ENDPOINT[0] = f"http://127.0.0.1:{server.server_port}"
    print(moto_aws.ENDPOINT[0], file=answers, flush=True)
    # Until the test closes the pipe.
    for line in sys.stdin:
        print(json.dumps(obey(json.loads(line))), file=answers, flush=True)
    server.shutdown()
