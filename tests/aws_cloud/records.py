"""Messages and changes as the APIs give them, to the records of Lambda's events.

https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html
"""

from __future__ import annotations

import base64
import json
from datetime import datetime
from typing import Any


def queue_record(message: dict[str, Any], arn: str, region: str) -> dict[str, Any]:
    """Return the record of a *message* that botocore received from the queue *arn*."""
    attributes: dict[str, Any] = {}
    for name, value in message.get("MessageAttributes", {}).items():
        facts: dict[str, Any] = {"stringListValues": [], "binaryListValues": []}
        if "StringValue" in value:
            facts["stringValue"] = value["StringValue"]
        if "BinaryValue" in value:
            facts["binaryValue"] = base64.b64encode(value["BinaryValue"]).decode()
        attributes[name] = {**facts, "dataType": value["DataType"]}
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": dict(message.get("Attributes", {})),
        "messageAttributes": attributes,
        "md5OfBody": message["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": arn,
        "awsRegion": region,
    }


def stream_record(record: dict[str, Any], arn: str, region: str) -> dict[str, Any]:
    """Return the record of what botocore read from the stream *arn*."""
    found: dict[str, Any] = json.loads(json.dumps(record, default=_plain))
    return {**found, "awsRegion": region, "eventSourceARN": arn}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.timestamp()
    return base64.b64encode(value).decode()
