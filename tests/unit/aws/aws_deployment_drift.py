"""Drift as the test server finds it: properties of the template against the services' answers.

Ours, for the types and properties of :func:`live`; everything else is in sync.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import moto.cloudformation.parsing as parsing
import moto_aws  # type: ignore[import-not-found]


def live(type: str, physical: str, region: str) -> dict[str, Any] | None:
    """Return what a service says of a resource, in the template's words; None for no answer."""
    client = moto_aws.client
    if type == "AWS::Lambda::Function":
        found = client("lambda", region).get_function_configuration(FunctionName=physical)
        variables = found.get("Environment", {}).get("Variables", {})
        facts = {key: found[key] for key in ("MemorySize", "Timeout", "Handler", "Runtime")}
        return {**facts, "Environment": {"Variables": variables}}
    if type == "AWS::SQS::Queue":
        attributes = client("sqs", region).get_queue_attributes(QueueUrl=physical, AttributeNames=["All"])["Attributes"]
        return {key: int(attributes[key]) for key in ("VisibilityTimeout", "MessageRetentionPeriod")}
    if type == "AWS::DynamoDB::Table":
        client("dynamodb", region).describe_table(TableName=physical)
        return {}
    if type == "AWS::S3::Bucket":
        found = client("s3", region).get_public_access_block(Bucket=physical)
        return {"PublicAccessBlockConfiguration": found["PublicAccessBlockConfiguration"]}
    return None


def drifts(stack: Any) -> Iterator[dict[str, Any]]:
    region = stack.region_name
    for logical, (type, physical, _) in list(stack.states.items()):
        entry: dict[str, Any] = {
            "StackId": stack.stack_id, "LogicalResourceId": logical, "PhysicalResourceId": physical,
            "ResourceType": type, "Timestamp": datetime.now(UTC),
        }  # fmt: skip
        try:
            found = live(type, physical, region)
        except Exception:
            yield {**entry, "StackResourceDriftStatus": "DELETED"}
            continue
        facts = parsing.clean_json(stack.template_dict["Resources"][logical], stack.resource_map)
        expected = facts.get("Properties", {})
        differences = [d for key, value in (found or {}).items() if key in expected
                       for d in compare(f"/{key}", expected[key], value)]  # fmt: skip
        status = "MODIFIED" if differences else "IN_SYNC"
        yield {**entry, "StackResourceDriftStatus": status, "PropertyDifferences": differences}


def compare(path: str, expected: Any, actual: Any) -> Iterator[dict[str, str]]:
    if isinstance(expected, dict) and isinstance(actual, dict):
        for key in sorted({*expected, *actual}):
            yield from compare(f"{path}/{key}", expected.get(key), actual.get(key))
    elif str(expected) != str(actual):
        kind = "ADD" if expected is None else "REMOVE" if actual is None else "NOT_EQUAL"
        yield {
            "PropertyPath": path, "DifferenceType": kind,
            "ExpectedValue": "" if expected is None else json.dumps(expected),
            "ActualValue": "" if actual is None else json.dumps(actual),
        }  # fmt: skip
