"""What the pollers of queues and streams share. In the server's process only."""

from __future__ import annotations

import json
import sys
import threading
import traceback
from typing import Any

from moto.awslambda.models import lambda_backends

from tests.aws_cloud.functions import Functions
from tests.aws_cloud.world import ACCOUNT, World


class Poller(threading.Thread):
    """A thread that reads the source of *mapping*, moto's object, and invokes its function."""

    def __init__(self, world: World, functions: Functions, region: str, mapping: Any) -> None:
        super().__init__(daemon=True, name=mapping.function_arn.rpartition(":")[2])
        self.world = world
        self.functions = functions
        self.region = region
        self.mapping = mapping

    def run(self) -> None:
        self.begun = False
        while not self.world.stopping and self._exists():
            version = self.world.version
            try:
                if not self.mapping.enabled or not self.poll():
                    self.world.wait(version, self.patience())
            except Exception:
                # As on AWS, where a mapping that may not read its source tries on.
                traceback.print_exc(file=sys.stderr)
                self.world.wait(self.world.version, 0.2)

    def _exists(self) -> bool:
        backend = lambda_backends[ACCOUNT][self.region]
        return backend._event_source_mappings.get(self.mapping.uuid) is self.mapping

    def patience(self) -> float:
        """Return how long to wait when there is nothing to do and nothing happens."""
        return 5.0

    def poll(self) -> bool:
        """Deliver what there is; tell whether there was something."""
        raise NotImplementedError

    def function(self) -> Any:
        return lambda_backends[ACCOUNT][self.region].get_function(self.mapping.function_arn)

    def wants(self, facts: Any) -> bool:
        """Tell whether the mapping's filters let a record through.

        https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html
        """
        filters = (self.mapping.filter_criteria or {}).get("Filters")
        return not filters or any(matches(json.loads(f["Pattern"]), facts) for f in filters)

    def invoke(self, records: list[dict[str, Any]]) -> set[str] | None:
        """Return the ids of the records that failed, or None when all did."""
        ok, value = self.functions.invoke(
            self.function(), {"Records": records}, f"{len(records)} of {self.source}"
        )
        if not ok:
            return None
        if "ReportBatchItemFailures" not in (self.mapping.function_response_types or ()):
            return set()
        return failures(value)

    @property
    def source(self) -> str:
        return str(self.mapping.event_source_arn.split(":", 5)[5])


def failures(value: Any) -> set[str] | None:
    """Return the ids that an answer reports, or None when it has to count as a failure of all."""
    if value is None:
        return set()
    if not isinstance(value, dict) or (value and "batchItemFailures" not in value):
        return None
    found = value.get("batchItemFailures") or []
    ids = [item.get("itemIdentifier") if isinstance(item, dict) else None for item in found]
    known = {id for id in ids if isinstance(id, str) and id}
    return known if len(known) == len(set(ids)) else None


def matches(pattern: Any, facts: Any) -> bool:
    """Tell whether *facts* have what an event pattern of literal values asks for."""
    if isinstance(pattern, dict):
        return isinstance(facts, dict) and all(
            matches(inner, facts.get(name)) for name, inner in pattern.items()
        )
    if any(isinstance(value, dict) for value in pattern):
        raise NotImplementedError(f"pattern {pattern}")
    return facts in pattern
