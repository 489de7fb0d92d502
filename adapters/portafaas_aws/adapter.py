"""The adapter object: what Lambda can do, how its package is laid out, and where the work is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from portafaas.adapter import Capability, Layout, Limits, ModularAdapter, Support


class AwsAdapter(ModularAdapter):
    """AWS Lambda: one zip per service, one Lambda function per function of the manifest."""

    target = "aws"
    title = "AWS Lambda"
    capabilities: ClassVar[Mapping[Capability, Support]] = {
        Capability.TRIGGER_HTTP: Support.FULL,
        Capability.TRIGGER_SCHEDULE: Support.FULL,
        Capability.TRIGGER_QUEUE: Support.FULL,
        Capability.TRIGGER_TOPIC: Support.FULL,
        Capability.TRIGGER_OBJECT: Support.FULL,
        Capability.TRIGGER_TABLE: Support.FULL,
        Capability.HTTP_WILDCARD_PATH: Support.FULL,
        Capability.HTTP_CORS: Support.FULL,
        Capability.HTTP_AUTH_KEY: Support.FULL,
        Capability.HTTP_AUTH_JWT: Support.FULL,
        Capability.HTTP_AUTH_IAM: Support.FULL,
        Capability.HTTP_RATE: Support.FULL,
        Capability.HTTP_ASGI: Support.FULL,
        Capability.HTTP_WSGI: Support.FULL,
        Capability.SCHEDULE_TIMEZONE: Support.FULL,
        Capability.QUEUE_BATCH: Support.FULL,
        Capability.QUEUE_ORDERED: Support.FULL,
        Capability.TOPIC_FILTER: Support.FULL,
        Capability.TOPIC_ORDERED: Support.FULL,
        Capability.OBJECT_DELETED: Support.FULL,
        Capability.OBJECT_SUFFIX: Support.FULL,
        Capability.TABLE_INSERT: Support.FULL,
        Capability.TABLE_DELETE: Support.FULL,
        Capability.TABLE_OLD_IMAGE: Support.FULL,
        # An environment of Lambda serves one invocation at a time, which keeps to any bound.
        Capability.CONCURRENCY: Support.FULL,
        # Provisioned concurrency is a version's or an alias's, which no trigger points at yet.
        # https://docs.aws.amazon.com/lambda/latest/dg/provisioned-concurrency.html
        Capability.MIN_INSTANCES: Support.NOT_IMPLEMENTED,
        Capability.MAX_INSTANCES: Support.FULL,
        Capability.ALERT_ERRORS: Support.FULL,
        Capability.ALERT_LATENCY: Support.FULL,
        Capability.ALERT_DEAD_LETTERS: Support.FULL,
        Capability.ALERT_OLDEST_MESSAGE: Support.FULL,
        Capability.ARCHITECTURE_ARM: Support.FULL,
        Capability.TRIGGER_TASK: Support.FULL,
        Capability.WORKFLOW: Support.FULL,
    }
    # calls.py: total_max_attempts.
    client_attempts = 3
    layout = Layout(
        dependencies="",
        runtime_package="portafaas_aws.runtime",
        limits=Limits(
            zipped=50 * 1024 * 1024,
            unzipped=250 * 1024 * 1024,
            source="https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html",
        ),
        pythons=("3.10", "3.11", "3.12", "3.13"),
        # Amazon Linux 2 and Amazon Linux 2023.
        # https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html
        glibc={"3.10": "2.26", "3.11": "2.26", "3.12": "2.34", "3.13": "2.34"},
        # Clients of boto3 that are made at module level ask for a region at once.
        # https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
        environment={"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1"},
    )


ADAPTER = AwsAdapter()
