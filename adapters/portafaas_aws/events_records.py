"""Stimuli to the events of SQS, SNS, S3, DynamoDB streams and EventBridge Scheduler."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from portafaas.adapter import (
    ChangeStimulus,
    MessageStimulus,
    NativeRequest,
    ObjectStimulus,
    QueueStimulus,
    ScheduleStimulus,
)
from portafaas.plan import (
    BuildPlan,
    FunctionPlan,
    ObjectTrigger,
    QueueTrigger,
    TableTrigger,
    TopicTrigger,
)
from portafaas_aws.names import physical_name

REGION = "us-east-1"
ACCOUNT = "123456789012"


def queue_events(
    plan: BuildPlan, function: FunctionPlan, stimulus: QueueStimulus
) -> tuple[NativeRequest, ...]:
    """Return one event per batch of the function's size."""
    trigger = function.trigger
    assert isinstance(trigger, QueueTrigger)
    ordered = plan.queue(trigger.queue).ordered
    name = physical_name(plan, trigger.queue) + (".fifo" if ordered else "")
    requests = []
    for start in range(0, len(stimulus.messages), trigger.batch):
        chunk = stimulus.messages[start : start + trigger.batch]
        records = []
        for number, message in enumerate(chunk, start):
            body, attributes = _text(message)
            system = {"MessageGroupId": message.key} if message.key is not None else {}
            if ordered:
                system["SequenceNumber"] = str(18_849_496_460_467_696_128 + number)
                system["MessageDeduplicationId"] = message.id
            records.append(_sqs_record(message, name, body, _sqs_attributes(attributes), system))
        requests.append(NativeRequest({"Records": records}, tuple(m.id for m in chunk)))
    return tuple(requests)


def _text(message: MessageStimulus) -> tuple[str, dict[str, str]]:
    """Return body and attributes as SQS and SNS carry them: a body of XML characters only.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
    """
    attributes = dict(message.attributes)
    try:
        text = message.body.decode("utf-8")
    except UnicodeDecodeError:
        text = ""
    if text and all(c in "\t\n\r" or (c >= " " and c not in "\ufffe\uffff") for c in text):
        return text, attributes
    # A line feed is no base64 and ignored as such: the queue takes no empty body.
    body = base64.b64encode(message.body).decode("ascii") or "\n"
    return body, attributes | {"pf-encoding": "base64"}


def _sqs_attributes(attributes: Mapping[str, str]) -> dict[str, Any]:
    return {
        name: {
            "stringValue": value,
            "stringListValues": [],
            "binaryListValues": [],
            "dataType": "String",
        }
        for name, value in attributes.items()
    }


def _sqs_record(
    message: MessageStimulus,
    queue: str,
    body: str,
    attributes: Mapping[str, Any],
    system: Mapping[str, str],
) -> dict[str, Any]:
    """Return one record. https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html"""
    import hashlib

    sent = str(round(_epoch(message.time) * 1000))
    return {
        "messageId": message.id,
        "receiptHandle": f"receipt-{message.id}",
        "body": body,
        "attributes": {
            "ApproximateReceiveCount": str(message.attempt),
            "SentTimestamp": sent,
            "SenderId": "AIDAIENQZJOLO23YVJ4VO",
            "ApproximateFirstReceiveTimestamp": str(int(sent) + 1),
            **system,
        },
        "messageAttributes": dict(attributes),
        "md5OfBody": hashlib.md5(body.encode(), usedforsecurity=False).hexdigest(),
        "eventSource": "aws:sqs",
        "eventSourceARN": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}",
        "awsRegion": REGION,
    }


def _epoch(text: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(text).timestamp()


def topic_event(
    plan: BuildPlan, function: FunctionPlan, message: MessageStimulus
) -> dict[str, Any]:
    """Return an SQS event with an SNS envelope, as ``bindings`` wires it.

    https://docs.aws.amazon.com/sns/latest/dg/sns-sqs-as-subscriber.html
    """
    trigger = function.trigger
    assert isinstance(trigger, TopicTrigger)
    body, attributes = _text(message)
    if message.content_type is not None:
        attributes.setdefault("content-type", message.content_type)
    topic = f"arn:aws:sns:{REGION}:{ACCOUNT}:{physical_name(plan, trigger.topic)}"
    envelope = {
        "Type": "Notification",
        "MessageId": message.id,
        "TopicArn": topic,
        "Message": body,
        "Timestamp": message.time,
        "SignatureVersion": "1",
        "Signature": "EXAMPLE",
        "SigningCertURL": f"https://sns.{REGION}.amazonaws.com/SimpleNotificationService.pem",
        "UnsubscribeURL": f"https://sns.{REGION}.amazonaws.com/?Action=Unsubscribe",
    }
    if attributes:
        envelope["MessageAttributes"] = {  # type: ignore[assignment]
            name: {"Type": "String", "Value": value} for name, value in attributes.items()
        }
    queue = physical_name(plan, f"{trigger.topic}-{function.name}")
    system = {"MessageGroupId": message.key} if message.key is not None else {}
    return {"Records": [_sqs_record(message, queue, json.dumps(envelope), {}, system)]}


def object_event(
    plan: BuildPlan, function: FunctionPlan, stimulus: ObjectStimulus
) -> dict[str, Any]:
    """Return an S3 notification in an SQS event, as ``bindings`` wires it.

    A deletion with an etag is that of a versioned bucket, which only marks the object as deleted.
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
    """
    from portafaas.runtime.text import percent_encode

    trigger = function.trigger
    assert isinstance(trigger, ObjectTrigger)
    bucket = physical_name(plan, trigger.bucket)
    item: dict[str, Any] = {"key": percent_encode(stimulus.key, "/*").replace("%20", "+")}
    name = "ObjectCreated:Put"
    if stimulus.kind == "deleted":
        name = "ObjectRemoved:DeleteMarkerCreated" if stimulus.etag else "ObjectRemoved:Delete"
    else:
        item["size"] = stimulus.size
    if stimulus.etag:
        item["eTag"] = stimulus.etag
    item["sequencer"] = stimulus.sequencer
    record = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": REGION,
        "eventTime": stimulus.time,
        "eventName": name,
        "userIdentity": {"principalId": "EXAMPLE"},
        "requestParameters": {"sourceIPAddress": "127.0.0.1"},
        "responseElements": {"x-amz-request-id": "EXAMPLE123456789", "x-amz-id-2": "EXAMPLE"},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": function.name,
            "bucket": {
                "name": bucket,
                "ownerIdentity": {"principalId": "EXAMPLE"},
                "arn": f"arn:aws:s3:::{bucket}",
            },
            "object": item,
        },
    }
    message = MessageStimulus(f"{stimulus.key}@{stimulus.sequencer}", b"", time=stimulus.time)
    return _queued(plan, message, f"{function.name}-objects", {"Records": [record]})


def _queued(
    plan: BuildPlan, message: MessageStimulus, queue: str, payload: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the SQS event of a *payload* that a service has sent to a function's queue."""
    import uuid

    name = physical_name(plan, queue)
    body = json.dumps(payload, separators=(",", ":"))
    record = _sqs_record(message, name, body, {}, {})
    record["messageId"] = str(uuid.uuid5(uuid.NAMESPACE_URL, message.id))
    return {"Records": [record]}


def change_event(
    plan: BuildPlan, function: FunctionPlan, stimulus: ChangeStimulus
) -> dict[str, Any]:
    """Return a DynamoDB stream event of one record, both images where there are two."""
    trigger = function.trigger
    assert isinstance(trigger, TableTrigger)
    name = physical_name(plan, trigger.table)
    facts: dict[str, Any] = {
        "ApproximateCreationDateTime": _epoch(stimulus.time),
        "Keys": _typed_row(stimulus.keys),
        "SequenceNumber": "4421584500000000017450439091",
        "SizeBytes": 26,
        "StreamViewType": "NEW_AND_OLD_IMAGES",
    }
    if stimulus.new is not None:
        facts["NewImage"] = _typed_row(stimulus.new)
    if stimulus.old is not None:
        facts["OldImage"] = _typed_row(stimulus.old)
    record = {
        "eventID": stimulus.id,
        "eventName": {"insert": "INSERT", "update": "MODIFY", "delete": "REMOVE"}[stimulus.kind],
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": REGION,
        "dynamodb": facts,
        "eventSourceARN": (
            f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{name}/stream/2026-11-23T00:00:00.000"
        ),
    }
    return {"Records": [record]}


def _typed_row(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: typed(value) for name, value in row.items()}


def typed(value: Any) -> dict[str, Any]:
    """Return the DynamoDB attribute value of a JSON value."""
    match value:
        case None:
            return {"NULL": True}
        case bool():
            return {"BOOL": value}
        case int() | float():
            return {"N": repr(value)}
        case str():
            return {"S": value}
        case Mapping():
            return {"M": _typed_row(value)}
        case _:
            return {"L": [typed(item) for item in value]}


def schedule_event(
    plan: BuildPlan, function: FunctionPlan, stimulus: ScheduleStimulus
) -> dict[str, Any]:
    """Return the Input of ``bindings`` as EventBridge Scheduler fills it in, in an SQS event."""
    name = physical_name(plan, function.name)
    payload = {
        "time": f"{stimulus.time[:19]}Z",
        "id": "d32c5kddcf5bb8c3",
        "attempt": "1",
        "schedule": f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule/default/{name}",
    }
    message = MessageStimulus(f"{function.name}@{stimulus.time}", b"", time=stimulus.time)
    return _queued(plan, message, f"{function.name}-schedule", payload)
