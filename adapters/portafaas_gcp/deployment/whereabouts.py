"""Where the declared resources of a deployed service are, for the driver in a script."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from portafaas_gcp import names

if TYPE_CHECKING:
    from portafaas_gcp.deployment.base import GcpEngine


def whereabouts(engine: GcpEngine) -> Mapping[str, str]:
    """Return the address of each declared resource, by the variable that functions have.

    They are those of ``infrastructure.resources.location_of``. Raises DeploymentError (PF8010) when
    nothing is deployed, or data only.
    """
    if engine.status().health == "absent":
        raise engine.nothing()
    plan = engine.plan
    place = f"projects/{engine.cloud.project}"
    tables = f"{place}/databases/{names.database(plan)}/documents/"
    found = {}
    for topics in (plan.queues, plan.topics):
        kind = "queue" if topics is plan.queues else "topic"
        for one in topics:
            found[kind, one.name] = f"{place}/topics/{names.physical(plan, one.name)}"
    for table in plan.tables:
        found["table", table.name] = tables + table.name
    for bucket in plan.buckets:
        name = names.physical(plan, bucket.name, names.BUCKET)
        found["bucket", bucket.name] = f"{engine.cloud.project}-{name}"
    for secret in plan.secrets:
        name = names.physical(plan, secret.name, names.SECRET)
        found["secret", secret.name] = f"{place}/secrets/{name}"
    return {names.variable(kind, name): address for (kind, name), address in found.items()}
