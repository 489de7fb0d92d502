"""What deploys a service on Google Cloud: Infrastructure Manager, or a local Terraform.

| module | what it holds |
|---|---|
| ``base`` | what both engines share: who deploys, the store, secrets, logs |
| ``manager`` | Infrastructure Manager: Terraform that Google runs, with its state and its lock |
| ``terraform`` | ``terraform`` or ``tofu`` of this machine, its state in our bucket |
| ``documents`` | what is handed to either: the emitted documents, and what is said beside them |
| ``changes`` | what Terraform's plan says, in the words of the contract |
| ``letters``, ``reading`` | dead letters: looked at, sent again, removed |
| ``cloud`` | credentials, settings, and calls of Google's REST APIs |
| ``failures`` | Google's and Terraform's reasons as diagnostics |

``docs/deployment-gcp.md`` says what happens when.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from portafaas.plan import BuildPlan

if TYPE_CHECKING:
    from portafaas.deployment.contract import Engine

__all__ = ["engine"]


def engine(plan: BuildPlan) -> Engine:
    """Return what deploys *plan*: ``targets.gcp.engine``, by default Infrastructure Manager."""
    if plan.options.get("engine", "infrastructure-manager") == "terraform":
        from portafaas_gcp.deployment.terraform import TerraformEngine

        return TerraformEngine(plan)
    from portafaas_gcp.deployment.manager import ManagerEngine

    return ManagerEngine(plan)
