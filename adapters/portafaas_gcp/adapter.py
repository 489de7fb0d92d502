"""The adapter object: what the target offers, and where its parts are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from portafaas.adapter import Capability, Layout, Limits, ModularAdapter, Support

#: Folder of the dependencies in a package; ``docs/adr/0004-gcp-dependencies.md`` says why it is
#: neither the root nor ``requirements.txt``.
DEPENDENCIES = "site-packages"


class GcpAdapter(ModularAdapter):
    """Lowers to one source package of Cloud Run functions, one service a function."""

    target = "gcp"
    title = "Google Cloud Run functions"
    capabilities: ClassVar[Mapping[Capability, Support]] = {
        Capability.TRIGGER_HTTP: Support.FULL,
        Capability.TRIGGER_SCHEDULE: Support.FULL,
        Capability.TRIGGER_QUEUE: Support.FULL,
        Capability.TRIGGER_TOPIC: Support.FULL,
        Capability.TRIGGER_OBJECT: Support.FULL,
        Capability.TRIGGER_TABLE: Support.FULL,
        Capability.TRIGGER_TASK: Support.FULL,
        Capability.WORKFLOW: Support.FULL,
        Capability.HTTP_WILDCARD_PATH: Support.FULL,
        Capability.HTTP_CORS: Support.FULL,
        Capability.HTTP_AUTH_KEY: Support.FULL,
        Capability.HTTP_AUTH_JWT: Support.FULL,
        Capability.HTTP_AUTH_IAM: Support.FULL,
        Capability.HTTP_RATE: Support.FULL,
        Capability.HTTP_ASGI: Support.FULL,
        Capability.HTTP_WSGI: Support.FULL,
        Capability.SCHEDULE_TIMEZONE: Support.FULL,
        # A batch is a maximum: push delivers one message.
        Capability.QUEUE_BATCH: Support.FULL,
        Capability.QUEUE_ORDERED: Support.FULL,
        Capability.TOPIC_FILTER: Support.FULL,
        Capability.TOPIC_ORDERED: Support.FULL,
        Capability.OBJECT_DELETED: Support.FULL,
        Capability.OBJECT_SUFFIX: Support.FULL,
        Capability.TABLE_INSERT: Support.FULL,
        Capability.TABLE_DELETE: Support.FULL,
        Capability.TABLE_OLD_IMAGE: Support.FULL,
        Capability.CONCURRENCY: Support.FULL,
        Capability.MIN_INSTANCES: Support.FULL,
        Capability.MAX_INSTANCES: Support.FULL,
        Capability.ALERT_ERRORS: Support.FULL,
        Capability.ALERT_LATENCY: Support.FULL,
        Capability.ALERT_DEAD_LETTERS: Support.FULL,
        Capability.ALERT_OLDEST_MESSAGE: Support.FULL,
        # x86-64 containers only: https://cloud.google.com/run/docs/container-contract
        Capability.ARCHITECTURE_ARM: Support.UNSUPPORTED,
    }
    # failures.py: what fits into PATIENCE, by the mean of its waits.
    client_attempts = 11
    layout = Layout(
        dependencies=DEPENDENCIES,
        runtime_package="portafaas_gcp.runtime",
        # 2nd gen states no size of a deployment.
        limits=Limits(0, 0, "https://cloud.google.com/functions/quotas"),
        # https://cloud.google.com/functions/docs/runtime-support#python
        pythons=("3.10", "3.11", "3.12", "3.13"),
        # All on Ubuntu 22.04: https://cloud.google.com/docs/buildpacks/base-images
        glibc={"3.10": "2.35", "3.11": "2.35", "3.12": "2.35", "3.13": "2.35"},
    )


ADAPTER = GcpAdapter()
