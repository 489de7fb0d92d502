"""The engine: CloudFormation, and the services around it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from portafaas.deployment.contract import (
    Blobs,
    Caller,
    Drift,
    Engine,
    Kept,
    LogLine,
    Preview,
    Report,
    Secrets,
    Status,
)
from portafaas.deployment.dead_letters import DeadLetters
from portafaas.deployment.release import Release
from portafaas.deployment.workflows import Workflows
from portafaas.plan import BuildPlan
from portafaas_aws.deployment.cloud import Cloud, speaking


class AwsEngine(Engine):
    """One service and stage in one account and region.

    Account and region are those of boto3's default chain, ``AWS_REGION`` first;
    ``AWS_ENDPOINT_URL`` and the like are boto3's own.
    """

    #: CloudFormation compares a release with the last one, and not with what is there.
    reverts = False

    def __init__(self, plan: BuildPlan) -> None:
        self.cloud = Cloud(plan)

    @property
    def poll(self) -> float:
        """Seconds between two looks at CloudFormation at work; grows to five times that."""
        return self.cloud.poll

    @poll.setter
    def poll(self, seconds: float) -> None:
        self.cloud.poll = seconds

    @speaking("AWS does not know you:")
    def caller(self) -> Caller:
        """Return the ARN of who deploys, and account and region."""
        return self.cloud.caller()

    @speaking("the store of packages does not answer:")
    def blobs(self, create: bool = False) -> Blobs:
        """Return the bucket ``portafaas-<account>-<region>``."""
        from portafaas_aws.deployment.store import Store

        store = Store(self.cloud)
        if create:
            store.make()
        return store

    @speaking("nothing was changed:")
    def preview(self, release: Release) -> Preview:
        """Return what a change set says; a first deployment is read from the templates."""
        from portafaas_aws.deployment import apply

        return apply.preview(self.cloud, release)

    @speaking("the deployment was broken off; portafaas status tells what is left:")
    def apply(self, release: Release, preview: Preview, report: Report) -> Status:
        """Execute the change set of *preview*, or make one, and wait until the stack rests."""
        from portafaas_aws.deployment import apply, status

        apply.apply(self.cloud, release, preview, report)
        return status.status(self.cloud)

    @speaking("AWS does not say what is there:")
    def status(self) -> Status:
        """Return what CloudFormation says of the stack."""
        from portafaas_aws.deployment import status

        return status.status(self.cloud)

    @speaking("AWS cannot compare:")
    def drift(self) -> Sequence[Drift]:
        """Return what CloudFormation finds drifted, and functions that run other code."""
        from portafaas_aws.deployment import drift

        return drift.drift(self.cloud)

    @speaking("not everything was removed; portafaas destroy goes on:")
    def destroy(self, data: bool, report: Report) -> Sequence[Kept]:
        """Delete the stack; data only with *data*."""
        from portafaas_aws.deployment import destroy

        return destroy.destroy(self.cloud, data, report)

    def logs(self, functions: Sequence[str], since: float, follow: bool) -> Iterator[LogLine]:
        """Yield lines of ``/aws/lambda/<function>``."""
        from portafaas_aws.deployment import logs

        return logs.logs(self.cloud, functions, since, follow)

    def secrets(self) -> Secrets:
        """Return the secrets, in Secrets Manager."""
        from portafaas_aws.deployment.secrets import AwsSecrets

        return AwsSecrets(self.cloud)

    @speaking("AWS does not say where things are:")
    def whereabouts(self) -> Mapping[str, str]:
        """Return URLs of queues, ARNs of topics and secrets, names of tables and buckets."""
        from portafaas_aws.deployment import whereabouts

        return whereabouts.whereabouts(self.cloud)

    def dead_letters(self) -> DeadLetters:
        """Return the dead letters, in queues of SQS."""
        from portafaas_aws.deployment.deadletters import AwsDeadLetters

        return AwsDeadLetters(self.cloud)

    def workflows(self) -> Workflows:
        """Return the workflows, in Step Functions."""
        from portafaas_aws.deployment.workflows import AwsWorkflows

        return AwsWorkflows(self.cloud)
