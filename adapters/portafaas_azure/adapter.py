"""The Azure Functions adapter, as the registry loads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from portafaas.adapter import Capability, Layout, Limits, ModularAdapter, Support


class AzureAdapter(ModularAdapter):
    """Azure Functions on the Flex Consumption plan, Python v2 programming model."""

    target: ClassVar[str] = "azure"
    title: ClassVar[str] = "Azure Functions"
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
        # A batch is a maximum: here it always has one message.
        Capability.QUEUE_BATCH: Support.FULL,
        Capability.QUEUE_ORDERED: Support.FULL,
        Capability.TOPIC_FILTER: Support.FULL,
        Capability.TOPIC_ORDERED: Support.FULL,
        Capability.OBJECT_DELETED: Support.FULL,
        Capability.OBJECT_SUFFIX: Support.FULL,
        # The trigger reads the change feed's latest versions: no old images, no deletions, and
        # nothing that tells a new item from a changed one.
        Capability.TABLE_INSERT: Support.UNSUPPORTED,
        Capability.TABLE_DELETE: Support.UNSUPPORTED,
        Capability.TABLE_OLD_IMAGE: Support.UNSUPPORTED,
        # An upper bound for each function in each instance; the bridge keeps it.
        Capability.CONCURRENCY: Support.FULL,
        Capability.MIN_INSTANCES: Support.FULL,
        Capability.MAX_INSTANCES: Support.FULL,
        Capability.ALERT_ERRORS: Support.FULL,
        Capability.ALERT_LATENCY: Support.FULL,
        Capability.ALERT_DEAD_LETTERS: Support.FULL,
        # Service Bus has no metric of how long messages wait.
        Capability.ALERT_OLDEST_MESSAGE: Support.UNSUPPORTED,
        Capability.ARCHITECTURE_ARM: Support.UNSUPPORTED,
        Capability.TRIGGER_TASK: Support.FULL,
        Capability.WORKFLOW: Support.FULL,
    }
    # blobs.py, the most patient of its clients: one attempt and four repetitions.
    client_attempts = 5
    layout: ClassVar[Layout] = Layout(
        dependencies=".python_packages/lib/site-packages",
        runtime_package="portafaas_azure.runtime",
        # No size of a package is documented for the plan; 0 is "not stated".
        limits=Limits(0, 0, "https://learn.microsoft.com/azure/azure-functions/functions-scale"),
        pythons=("3.10", "3.11", "3.12", "3.13"),
        # The oldest base image in use is Debian 11.
        # https://github.com/Azure/azure-functions-docker/tree/dev/host/4
        glibc={"3.10": "2.31", "3.11": "2.31", "3.12": "2.31", "3.13": "2.31"},
        # The worker brings the SDK; an app may bring another version of it.
        provided=("azure.functions",),
    )


ADAPTER = AzureAdapter()
