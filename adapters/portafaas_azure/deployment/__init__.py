"""Deploying to Azure with deployment stacks; see ``docs/deployment-azure.md``.

| module | what it holds |
|---|---|
| ``azureengine`` | the engine itself: the order of things |
| ``account``, ``clouds`` | credentials, subscription, group, region; Microsoft's clients |
| ``refusals`` | Azure's errors as diagnostics |
| ``ids`` | resource ids: names for people, what is data, what decides who may do what |
| ``parameters`` | the values of the template's parameters |
| ``stack`` | the deployment stack: put, wait, delete, why it failed |
| ``foresight``, ``drifting`` | what-if as changes, and as drift |
| ``publish`` | one-deploy of the package to each app |
| ``removal`` | what has left the manifest; destroy |
| ``store``, ``vault``, ``logs``, ``whereabouts`` | blobs, secrets, log lines, addresses |
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from portafaas.plan import BuildPlan

if TYPE_CHECKING:
    from portafaas.deployment.contract import Engine


def engine(plan: BuildPlan) -> Engine:
    """Return what deploys *plan*'s service and stage; no I/O yet."""
    from portafaas_azure.deployment.azureengine import AzureEngine

    return AzureEngine(plan)
