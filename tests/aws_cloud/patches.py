"""What moto does otherwise than AWS and functions would notice. In the server's process only.

moto calls functions from within the request that sends, stores or writes. Here those requests only
leave something behind, which ``sources`` and ``asynchronous`` pick up, as on AWS.
"""

from __future__ import annotations

import itertools
import json
import sys
import threading
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote_plus

from moto.awslambda.models import LambdaFunction, lambda_backends
from moto.core.utils import unix_time_millis
from moto.dynamodb.models.table import StreamRecord, StreamShard
from moto.iam.access_control import PermissionResult
from moto.logs.models import LogGroup
from moto.s3 import notifications
from moto.s3.models import FakeBucket, S3Backend
from moto.sns.models import Subscription
from moto.sqs import models as sqs
from moto.sqs.exceptions import InvalidParameterValue, ReceiptHandleIsInvalid

from tests.aws_cloud.asynchronous import Asynchronous, stamp
from tests.aws_cloud.functions import Functions
from tests.aws_cloud.permissions import like
from tests.aws_cloud.world import World

_numbers = itertools.count(1)
#: How much faster the visibility timeouts that functions and Lambda set are over than on AWS.
HASTE = 100


def patch(world: World, functions: Functions, asynchronous: Asynchronous) -> None:
    """Have moto's services hand over to ours."""
    _queues(world)
    _topics()
    _streams(world)
    _buckets()
    _logs()
    _lambda(world, functions, asynchronous)


def _queues(world: World) -> None:
    guard = threading.RLock()
    queue: Any = sqs.Queue
    add = queue.add_message

    def add_message(self: Any, message: Any) -> None:
        # moto hands messages to functions at once, one by one, if there are mappings.
        mappings, self.lambda_event_source_mappings = self.lambda_event_source_mappings, {}
        try:
            add(self, message)
        finally:
            self.lambda_event_source_mappings = mappings
        world.touch()

    def locked(name: str, owner: Any) -> None:
        original = getattr(owner, name)

        def call(self: Any, *arguments: Any, **more: Any) -> Any:
            # Who waits for messages must not keep others from sending them.
            if name == "receive_message" and (more.get("wait_seconds_timeout") or arguments[2:3] > (0,)):
                return original(self, *arguments, **more)
            with guard:
                return original(self, *arguments, **more)

        setattr(owner, name, call)

    queue.add_message = add_message
    # moto replaces the list of messages while others append to it.
    for name in ("add_message", "delete_message"):
        locked(name, sqs.Queue)
    locked("receive_message", sqs.SQSBackend)

    emptied = queue.delete_message

    def delete_message(self: Any, receipt_handle: str) -> None:
        emptied(self, receipt_handle)
        world.touch()

    queue.delete_message = delete_message

    def change(self: Any, queue_name: str, receipt_handle: str, visibility_timeout: int) -> None:
        # moto counts the twelve hours from when a message was sent; SQS from its receipt.
        with guard:
            found = self.get_queue(queue_name)
            for message in found._messages:
                if message.had_receipt_handle(receipt_handle):
                    if not 0 <= int(visibility_timeout) <= 43_200:
                        raise InvalidParameterValue(f"VisibilityTimeout {visibility_timeout}")
                    message.visible_at = unix_time_millis() + int(visibility_timeout) * 1000 / HASTE
                    message.put_off = receipt_handle
                    if not visibility_timeout:
                        found.pending_messages.discard(message)
                    world.touch()
                    return
            raise ReceiptHandleIsInvalid

    def leave(self: Any, queue_name: str, receipt_handle: str) -> None:
        # A function runs in real time, and what it failed at comes again in a hundredth of it.
        queue = self.get_queue(queue_name)
        for message in list(queue._messages):
            if message.receipt_handle == receipt_handle:
                if getattr(message, "put_off", None) != receipt_handle:
                    change(self, queue_name, receipt_handle, queue.visibility_timeout)
                return

    backend: Any = sqs.SQSBackend
    backend.change_message_visibility = change
    backend.leave = leave


def _streams(world: World) -> None:
    def add(self: Any, old: Any, new: Any) -> None:
        name = "INSERT" if old is None else "REMOVE" if new is None else "MODIFY"
        # DynamoDB's streams do not tell of writes that change nothing.
        if old is not None and new is not None and old.to_json() == new.to_json():
            return
        kind = self.table.stream_specification["StreamViewType"]
        number = len(self.items) + self.starting_sequence_number
        self.items.append(StreamRecord(self.table, kind, name, old, new, number))
        world.touch()

    shard: Any = StreamShard
    shard.add = add


def _buckets() -> None:
    def send_event(account_id: str, event_name: Any, bucket: Any, key: Any) -> None:
        configured = bucket.notification_configuration
        if configured is None or key is None:
            return
        if configured.cloud_function or configured.topic or configured.event_bridge is not None:
            raise NotImplementedError("notifications to others than queues")
        for each in configured.queue:
            if not each.matches(event_name, key.name):
                continue
            region, name = each.arn.split(":")[3], each.arn.split(":")[5]
            queue = sqs.sqs_backends[account_id][region].queues.get(name)
            statements = json.loads(queue.policy)["Statement"] if queue and queue.policy else ()
            if not _admit(statements, "s3.amazonaws.com", bucket.arn):
                raise PermissionError(f"{bucket.name} may not send to {name}")
            event = _object_event(str(event_name.value), bucket, key, each.id)
            sqs.sqs_backends[account_id][region].send_message(name, json.dumps(event))

    notifications.send_event = send_event
    backend: Any = S3Backend
    delete = backend.delete_object

    def delete_object(self: Any, bucket_name: str, key_name: str, version_id: Any = None, **more: Any) -> Any:
        bucket = self.get_bucket(bucket_name)
        before = bucket.keys.get(key_name)
        answer = delete(self, bucket_name, key_name, version_id, **more)
        if bucket.is_versioned and version_id is None and hasattr(before, "etag"):
            kind = notifications.S3NotificationEvent.OBJECT_REMOVED_DELETE_MARKER_CREATED_EVENT
            send_event(self.account_id, kind, bucket, before)
        return answer

    backend.delete_object = delete_object

    bucket: Any = FakeBucket
    judge = bucket.get_permission

    def get_permission(self: Any, action: str, resource: str) -> Any:
        # moto leaves conditions aside, and nobody comes by TLS here.
        if "aws:SecureTransport" in str(self.policy):
            return PermissionResult.NEUTRAL
        return judge(self, action, resource)

    bucket.get_permission = get_permission


def _logs() -> None:
    def arn(self: Any, attribute_name: str) -> str:
        # That of a template stands for the group's streams.
        # https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-logs-loggroup.html
        assert attribute_name == "Arn"
        return f"{self.arn}:*"

    group: Any = LogGroup
    group.get_cfn_attribute = arn


def _object_event(name: str, bucket: Any, key: Any, id: str) -> dict[str, Any]:
    """Return the notification.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
    """
    item: dict[str, Any] = {"key": quote_plus(key.name, safe="/*")}
    if name.startswith("s3:ObjectCreated:"):
        item["size"] = key.size
    if not name.endswith("ObjectRemoved:Delete"):
        item["eTag"] = key.etag.replace('"', "")
    if bucket.is_versioned and key.version_id:
        item["versionId"] = str(key.version_id)
    item["sequencer"] = f"{next(_numbers):018X}"
    record = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": bucket.region_name,
        "eventTime": stamp(),
        "eventName": name.removeprefix("s3:"),
        "userIdentity": {"principalId": "AWS:LOCAL"},
        "requestParameters": {"sourceIPAddress": "127.0.0.1"},
        "responseElements": {"x-amz-request-id": "LOCAL", "x-amz-id-2": "LOCAL"},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": id,
            "bucket": {
                "name": bucket.name,
                "ownerIdentity": {"principalId": "LOCAL"},
                "arn": bucket.arn,
            },
            "object": item,
        },
    }
    return {"Records": [record]}


def admits(function: Any, principal: str, source: str) -> bool:
    """Tell whether the function's own policy lets the service *principal* invoke it for *source*."""
    return _admit(function.policy.statements if function.policy else (), principal, source)


def _admit(statements: Iterable[dict[str, Any]], principal: str, source: str) -> bool:
    for statement in statements:
        who = statement.get("Principal")
        who = who.get("Service") if isinstance(who, dict) else who
        arns = [
            str(value)
            for test in statement.get("Condition", {}).values()
            for name, value in test.items()
            if name.lower() == "aws:sourcearn"
        ]
        if who == principal and all(like(arn, source) for arn in arns):
            return True
    return False


def _topics() -> None:
    subscription: Any = Subscription
    publish = subscription.publish

    def allowed(self: Any, *arguments: Any, **more: Any) -> None:
        if self.protocol == "sqs":
            _, _, _, region, account, name = self.endpoint.split(":")
            queue = sqs.sqs_backends[account][region].queues.get(name)
            statements = json.loads(queue.policy)["Statement"] if queue and queue.policy else ()
            if not _admit(statements, "sns.amazonaws.com", self.topic_arn):
                # As on AWS the publisher learns nothing of it.
                print(f"{self.topic_arn} may not send to {name}", file=sys.stderr, flush=True)
                return
        publish(self, *arguments, **more)

    subscription.publish = allowed


def _lambda(world: World, functions: Functions, asynchronous: Asynchronous) -> None:
    def invoke(self: Any, body: Any, request_headers: Any, response_headers: Any) -> bytes:
        event = json.loads(body or b"{}")
        kind = request_headers.get("x-amz-invocation-type", "RequestResponse")
        if kind == "Event":
            asynchronous.submit(self, event, "invoked")
            return b""
        if kind == "DryRun":
            return b""
        ok, value = functions.invoke(self, event, "invoked")
        if not ok:
            response_headers["x-amz-function-error"] = "Unhandled"
        return json.dumps(value).encode()

    function: Any = LambdaFunction
    function.invoke = invoke
    # A mapping that comes or goes is noticed at once.
    backend: Any = type(lambda_backends["123456789012"]["us-east-1"])
    for name in ("create_event_source_mapping", "delete_event_source_mapping", "update_event_source_mapping"):
        original = getattr(backend, name)

        def call(self: Any, *arguments: Any, original: Any = original, **more: Any) -> Any:
            answer = original(self, *arguments, **more)
            world.touch()
            return answer

        setattr(backend, name, call)
