"""The adapter object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from portafaas.adapter import (
    Adapter,
    Capability,
    Infrastructure,
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

if TYPE_CHECKING:
    from portafaas.deployment import Engine

_MOST_MEMORY = 2048


class ExampleAdapter(Adapter):
    """Lowers to a package of Example Functions."""

    target = "example"
    title = "Example Functions"
    capabilities: ClassVar[Mapping[Capability, Support]] = {
        Capability.TRIGGER_HTTP: Support.FULL,
        Capability.TRIGGER_SCHEDULE: Support.FULL,
        Capability.TRIGGER_QUEUE: Support.FULL,
        Capability.TRIGGER_TOPIC: Support.FULL,
        Capability.TRIGGER_OBJECT: Support.FULL,
        Capability.TRIGGER_TABLE: Support.FULL,
        Capability.TRIGGER_TASK: Support.FULL,
        Capability.HTTP_WILDCARD_PATH: Support.FULL,
        Capability.HTTP_CORS: Support.FULL,
        Capability.HTTP_AUTH_KEY: Support.FULL,
        Capability.HTTP_AUTH_JWT: Support.FULL,
        # The platform knows no callers.
        Capability.HTTP_AUTH_IAM: Support.UNSUPPORTED,
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
        # It keeps no old rows.
        Capability.TABLE_OLD_IMAGE: Support.UNSUPPORTED,
        Capability.CONCURRENCY: Support.FULL,
        Capability.MIN_INSTANCES: Support.NOT_IMPLEMENTED,
        Capability.MAX_INSTANCES: Support.FULL,
        Capability.ALERT_ERRORS: Support.NOT_IMPLEMENTED,
        Capability.ALERT_LATENCY: Support.NOT_IMPLEMENTED,
        Capability.ALERT_DEAD_LETTERS: Support.NOT_IMPLEMENTED,
        Capability.ALERT_OLDEST_MESSAGE: Support.NOT_IMPLEMENTED,
        # It has one kind of processor.
        Capability.ARCHITECTURE_ARM: Support.UNSUPPORTED,
        Capability.WORKFLOW: Support.NOT_IMPLEMENTED,
    }
    layout = Layout(
        dependencies="",
        runtime_package="portafaas_example.runtime",
        limits=Limits(0, 0, "https://functions.example/limits"),
        pythons=("3.11", "3.12", "3.13"),
        glibc={"3.11": "2.28", "3.12": "2.28", "3.13": "2.28"},
    )

    def options_schema(self) -> Mapping[str, Any]:
        """Return the schemas: a function may name the pool of machines it runs on."""
        nothing = {"type": "object", "additionalProperties": False, "properties": {}}
        return {"service": nothing, "function": {**nothing, "properties": {"pool": {"type": "string"}}}}

    def check(self, plan: BuildPlan) -> Sequence[Diagnostic]:
        """Return PF3002 for functions with more memory than the platform's machines have."""
        return [
            Diagnostic(
                "PF3002",
                f"memory {function.memory} MiB is over {_MOST_MEMORY} MiB",
                path=f"$.functions.{function.name}.memory",
            )
            for function in plan.functions
            if function.memory > _MOST_MEMORY
        ]

    def lower(self, plan: BuildPlan) -> Lowered:
        """Return the entry module and a deployment for each function."""
        from portafaas_example.lowering import lower

        return lower(plan)

    def infrastructure(self, plan: BuildPlan) -> Infrastructure:
        """Return the platform's document."""
        from portafaas_example.deployment import emit

        return emit(plan)

    def engine(self, plan: BuildPlan) -> Engine:
        """Return what deploys."""
        from portafaas_example.deployment import engine

        return engine(plan)

    def encode(
        self, plan: BuildPlan, function: FunctionPlan, stimulus: Stimulus
    ) -> Sequence[NativeRequest]:
        """Return the platform's events for *stimulus*."""
        from portafaas_example.events import encode

        return encode(plan, function, stimulus)

    def decode(
        self,
        plan: BuildPlan,
        function: FunctionPlan,
        stimulus: Stimulus,
        results: Sequence[tuple[NativeRequest, Mapping[str, Any]]],
    ) -> Outcome:
        """Return what the client or the broker concludes."""
        from portafaas_example.events import decode

        return decode(stimulus, results)

    def vendor_runtime(self) -> Any:
        """Return what runs packages in the platform's host process."""
        from portafaas_example.vendor import ExampleRuntime

        return ExampleRuntime()


ADAPTER = ExampleAdapter()
