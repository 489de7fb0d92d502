"""What the engines of Google Cloud share: who deploys, the store, secrets, logs, addresses."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from portafaas.deployment.contract import Blobs, Caller, Engine, Kept, LogLine, Secrets
from portafaas.deployment.dead_letters import DeadLetters
from portafaas.deployment.release import Release
from portafaas.deployment.workflows import Workflows
from portafaas.errors import DeploymentError
from portafaas.plan import BuildPlan
from portafaas_gcp import names
from portafaas_gcp.deployment import documents as docs
from portafaas_gcp.deployment.cloud import Cloud
from portafaas_gcp.deployment.failures import failure
from portafaas_gcp.deployment.letters import Letters
from portafaas_gcp.deployment.store import Store
from portafaas_gcp.deployment.vault import Vault

#: Of a deployment: https://cloud.google.com/infrastructure-manager/docs/deployments-revisions
_ID = (1, 63)


class GcpEngine(Engine):
    """One service and stage in one project and region."""

    def __init__(self, plan: BuildPlan) -> None:
        self.plan = plan
        self.cloud = Cloud(plan.options)
        self.store = Store(self.cloud)

    @property
    def id(self) -> str:
        """Name of the deployment, ``<service>[-<stage>]``."""
        return names.physical(self.plan, limit=_ID)

    @property
    def poll(self) -> float:
        """Seconds between two looks at something that takes its time."""
        return self.cloud.poll

    @poll.setter
    def poll(self, seconds: float) -> None:
        self.cloud.poll = seconds

    def command(self, verb: str) -> str:
        """Return a command for people, such as the one that goes on."""
        stage = f" --stage {self.plan.stage}" if self.plan.stage else ""
        return f"portafaas {verb} --target gcp{stage}"

    def caller(self) -> Caller:
        """Return the account's e-mail address, and the project and region."""
        name = self.cloud.who()
        return Caller(name, f"{self.cloud.project} {self.cloud.region}")

    def blobs(self, create: bool = False) -> Blobs:
        """Return the bucket of the project and region."""
        if create:
            self.store.create()
        return self.store

    def secrets(self) -> Secrets:
        """Return the manifest's secrets."""
        return Vault(self.cloud, self.plan, self.is_deployed)

    def dead_letters(self) -> DeadLetters:
        """Return the dead letters, whichever engine has made where they are."""
        return Letters(self.cloud, self.plan)

    def workflows(self) -> Workflows:
        """Return the workflows, over the Workflow Executions API."""
        from portafaas_gcp.deployment.workflows import GcpWorkflows

        return GcpWorkflows(self.cloud, self.plan)

    def whereabouts(self) -> Mapping[str, str]:
        """Return paths of topics, secrets and collections of documents, and names of buckets."""
        from portafaas_gcp.deployment.whereabouts import whereabouts

        return whereabouts(self)

    @abstractmethod
    def is_deployed(self) -> bool:
        """Return whether the engine has anything of the service and stage, data included."""

    def logs(self, functions: Sequence[str], since: float, follow: bool) -> Iterator[LogLine]:
        """Yield lines of the functions' Cloud Run services."""
        from portafaas_gcp.deployment.logs import lines

        services = {
            names.service_name(self.plan, function): function.name
            for function in self.plan.functions
            if function.name in functions
        }
        return lines(self.cloud, services, since, follow)

    def inputs(self, release: Release, deployed: Mapping[str, str]) -> dict[str, str]:
        """Return the values of the documents' variables."""
        cloud = self.cloud
        return docs.inputs(release, cloud.project, cloud.region, self.store.bucket, deployed)

    def gathered(self, release: Release) -> dict[str, Any]:
        """Return the release's documents with ours beside them."""
        imports = {}
        vault = Vault(self.cloud, release.plan, self.is_deployed)
        for kind, name, body in docs.resources(release.documents):
            # "secrets set" may have come first: then the secret is there, and ours.
            if kind == docs.SECRET and vault.exists(body["secret_id"]):
                place = f"projects/{self.cloud.project}/secrets/{body['secret_id']}"
                imports[f"{kind}.{name}"] = place
        own = docs.companion(release, imports)
        return {**docs.terraform(release.documents), docs.OURS: own}

    def addresses(self, outputs: Mapping[str, Any]) -> dict[str, str]:
        """Return the functions' addresses from Terraform's outputs, in the manifest's order."""
        found = {}
        for function in self.plan.functions:
            output = outputs.get(f"{function.name.replace('-', '_')}_url")
            if output and output.get("value"):
                found[function.name] = str(output["value"])
        return found

    def kept(self, documents: docs.Documents) -> tuple[Kept, ...]:
        """Return what has data, by the names on the platform."""
        given = {"project": self.cloud.project, "region": self.cloud.region}
        return tuple(
            Kept(docs.physical_name(body, given) or address, kind)
            for address, (kind, body) in docs.protected(documents).items()
        )

    def nothing(self, text: str = "") -> DeploymentError:
        """Return the error for a service that is not deployed."""
        return failure(
            "PF8010",
            "nothing is deployed:",
            text or f"{self.id} is not there in {self.cloud.project} {self.cloud.region}",
            self.command("deploy"),
        )
