"""Clients, one per process: the handlers talk to AWS directly."""

import json
import os
from functools import cache


@cache
def client(service):
    # Of Lambda's runtime, not of the package.
    import boto3

    return boto3.client(service)


def address(kind, name):
    return os.environ[f"PORTAFAAS_{kind}_{name}".upper()]


def put(table, **row):
    item = {name: {"S": str(value)} for name, value in row.items()}
    client("dynamodb").put_item(TableName=address("table", table), Item=item)


def get(table, id):
    found = client("dynamodb").get_item(TableName=address("table", table), Key={"id": {"S": id}})
    return {name: value["S"] for name, value in found.get("Item", {}).items()}


def publish(topic, type, data):
    client("sns").publish(
        TopicArn=address("topic", topic),
        Message=json.dumps(data),
        MessageAttributes={
            name: {"DataType": "String", "StringValue": value}
            for name, value in {
                "ce-id": data["id"], "ce-source": "/notes", "ce-type": type, "ce-specversion": "1.0",
                "content-type": "application/json",
            }.items()
        },
    )
