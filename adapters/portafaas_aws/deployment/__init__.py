"""Deployment to AWS: one CloudFormation stack per service and stage, by change sets.

| module | what it does |
|---|---|
| ``awsengine`` | :class:`AwsEngine`, the contract |
| ``cloud`` | session, clients, who calls; ``faults``: what AWS says, as diagnostics |
| ``store`` | the bucket of packages, records and templates |
| ``stack`` | what CloudFormation knows of a stack, and in which states it can be touched |
| ``documents`` | templates of a release: parameters, what they keep, where they lie |
| ``changes`` | change sets, and what they would do |
| ``apply``, ``adopt`` | make it so; take back data that an earlier stack left |
| ``events`` | follow a stack at work, and why it failed |
| ``destroy``, ``data`` | remove the stack, and the data if asked |
| ``deadletters``, ``letters`` | dead letters: list, redrive, purge; what is in one |
| ``workflows``, ``histories`` | runs of workflows; what happened in one |
| ``drift``, ``logs``, ``secrets``, ``status`` | look |

``docs/deployment-aws.md`` says what happens and which permissions it takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from portafaas.plan import BuildPlan
    from portafaas_aws.deployment.awsengine import AwsEngine


def engine(plan: BuildPlan) -> AwsEngine:
    """Return what deploys *plan*'s service and stage; no I/O, and boto3 is not imported yet."""
    from portafaas_aws.deployment.awsengine import AwsEngine

    return AwsEngine(plan)
