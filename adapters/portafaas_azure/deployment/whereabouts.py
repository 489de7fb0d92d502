"""Where the declared resources of a deployed service are, for the driver in a script.

Their names have a part that only Resource Manager knows, so the deployed template tells.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from portafaas.plan import BuildPlan
from portafaas_azure.deployment.account import Account
from portafaas_azure.deployment.refusals import refused
from portafaas_azure.infrastructure.addresses import OUTPUT


def whereabouts(account: Account, plan: BuildPlan, stack: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the address of each resource that *stack* has deployed, by variable.

    Raises PF8010 for what was deployed before there was such an output.
    """
    outputs = (stack.get("properties") or {}).get("outputs") or {}
    found = (outputs.get(OUTPUT) or {}).get("value")
    declared = plan.queues or plan.topics or plan.tables or plan.buckets or plan.secrets
    if declared and not isinstance(found, Mapping):
        raise refused(
            "PF8010", f"{account.stack} was deployed without the addresses of its resources",
            hint="deploy once more: portafaas deploy",
        )  # fmt: skip
    return {name: str(value) for name, value in (found or {}).items()}
