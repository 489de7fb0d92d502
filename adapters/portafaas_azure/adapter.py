"""The Azure Functions adapter, as the registry loads it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from portafaas.adapter import (
    Adapter,
    Capability,
    Layout,
    Limits,
    Lowered,
    NativeRequest,
    Outcome,
    Stimulus,
    Support,
)
from portafaas.errors import Diagnostic
from portafaas.plan import BuildPlan, FunctionPlan


class AzureAdapter(Adapter):
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
        Capability.ARCHITECTURE_ARM: Support.UNSUPPORTED,
        Capability.WORKFLOW: Support.NOT_IMPLEMENTED,
    }
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

    def options_schema(self) -> Mapping[str, Any]:
        """Return the schemas of ``targets.azure`` blocks."""
        text = Path(__file__).with_name("options.schema.json").read_text(encoding="utf-8")
        schema: dict[str, Any] = json.loads(text)
        return schema

    def check(self, plan: BuildPlan) -> Sequence[Diagnostic]:
        """Return what exceeds the limits of Azure Functions."""
        from portafaas_azure.limits import check

        return check(plan)

    def lower(self, plan: BuildPlan) -> Lowered:
        """Return ``function_app.py``, ``host.json`` and the deployments."""
        from portafaas_azure.lowering import lower

        return lower(plan)

    def encode(
        self, plan: BuildPlan, function: FunctionPlan, stimulus: Stimulus
    ) -> Sequence[NativeRequest]:
        """Return what the Functions host sends the worker."""
        from portafaas_azure.events import encode

        return encode(plan, function, stimulus)

    def decode(
        self,
        plan: BuildPlan,
        function: FunctionPlan,
        stimulus: Stimulus,
        results: Sequence[tuple[NativeRequest, Mapping[str, Any]]],
    ) -> Outcome:
        """Return what the client or broker concludes from the worker's answers."""
        from portafaas_azure.events import decode

        return decode(plan, function, stimulus, results)

    def vendor_runtime(self) -> Any:
        """Return the runtime that runs packages in Microsoft's own worker library."""
        from portafaas_azure.vendor import AzureVendorRuntime

        return AzureVendorRuntime()


ADAPTER = AzureAdapter()
