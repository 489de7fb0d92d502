"""The infrastructure of a service on Google Cloud: one Terraform document; pure.

``docs/infrastructure-gcp.md`` says what each line of a manifest becomes.
"""

from __future__ import annotations

from portafaas.adapter import Infrastructure
from portafaas.plan import BuildPlan
from portafaas_gcp.infrastructure.alerts import alerts
from portafaas_gcp.infrastructure.document import Document
from portafaas_gcp.infrastructure.functions import function, service_wide
from portafaas_gcp.infrastructure.grants import uses
from portafaas_gcp.infrastructure.logs import logs
from portafaas_gcp.infrastructure.orchestrating import workflows
from portafaas_gcp.infrastructure.recovering import tasks
from portafaas_gcp.infrastructure.resources import declared
from portafaas_gcp.infrastructure.triggers import trigger

__all__ = ["emit"]


def emit(plan: BuildPlan) -> Infrastructure:
    """Return ``<service>.tf.json`` for *plan*, and what it grants to each function.

    Deterministic; adds and removes nothing but a function's own blocks when a function comes or
    goes, and those of what the function is the first or last to need. A document that breaks the
    rules of ``verify`` is a bug, and raises AssertionError.
    """
    from portafaas_gcp.infrastructure.verify import verify
    from portafaas_gcp.lowering import lower

    document = Document(plan)
    service_wide(document)
    declared(document)
    tasks(document)
    for item, deployment in zip(plan.functions, lower(plan).deployments, strict=True):
        function(document, item, deployment)
        trigger(document, item, deployment)
        uses(document, item)
    workflows(document)
    logs(document)
    alerts(document)
    value = document.value()
    if problems := verify(value, plan):
        raise AssertionError("\n".join(problems))
    from portafaas_gcp.infrastructure.explained import redeliveries

    return Infrastructure(
        {f"{plan.service}.tf.json": value},
        tuple(document.permissions),
        tuple(document.notes),
        tuple(document.emitted),
        redeliveries(document),
    )
