"""Where to and as whom: cloud, credentials, subscription, group, region; Microsoft's clients.

Nothing is asked or imported before it is needed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from portafaas.plan import BuildPlan
from portafaas_azure.deployment.clouds import CLOUDS, HOSTS, Cloud, is_local, load
from portafaas_azure.deployment.ids import is_ours, stack_name, tags, version
from portafaas_azure.deployment.refusals import azure, refused


class Account:
    """One service and stage's place in Azure."""

    def __init__(self, plan: BuildPlan, environ: Mapping[str, str] | None = None) -> None:
        self.plan = plan
        self.environ: Mapping[str, str] = os.environ if environ is None else environ
        self.stack = stack_name(plan)
        #: Seconds between two questions.
        self.poll = 3.0
        #: How often a client repeats a request that did not get through.
        self.retries = 4
        self._known: dict[str, Any] = {}

    def _once(self, name: str, make: Any) -> Any:
        if name not in self._known:
            self._known[name] = make()
        return self._known[name]

    def option(self, name: str) -> str:
        """Return an option of the manifest's ``targets.azure``, "" when it is not there."""
        return str(self.plan.options.get(name, ""))

    @property
    def cloud(self) -> Cloud:
        """The cloud: of ``ARM_ENDPOINT``, else of the option ``cloud``."""
        found: Cloud = self._once("cloud", self._cloud)
        return found

    def _cloud(self) -> Cloud:
        own = self.environ.get("ARM_ENDPOINT", "").rstrip("/")
        if own:
            return self._private(own)
        setting, logs = CLOUDS[self.option("cloud") or "AzureCloud"]
        clouds = load("azure.core").AzureClouds
        ends = load("azure.mgmt.core.tools").get_arm_endpoints(getattr(clouds, setting))
        return Cloud(ends["resource_manager"].rstrip("/"), ends["credential_scopes"][0], logs)

    def _private(self, own: str) -> Cloud:
        """Ask a private cloud's Resource Manager for its endpoints, as ``az cloud register`` does.

        https://learn.microsoft.com/cli/azure/manage-clouds-azure-cli
        """
        if not own.startswith("https://") and not is_local(own):
            raise refused("PF8003", f"ARM_ENDPOINT {own!r} is not https")
        client = load("azure.core").PipelineClient(own, retry_total=self.retries)
        request = load("azure.core.rest").HttpRequest(
            "GET", f"{own}/metadata/endpoints", params={"api-version": "2022-09-01"}
        )
        with azure("asking ARM_ENDPOINT for its endpoints"):
            response = client.send_request(request)
            response.raise_for_status()
            found = response.json()
        if isinstance(found, list):
            found = found[0]
        audience = str(found["authentication"]["audiences"][0]).rstrip("/")
        logs = str(found.get("logAnalyticsResourceId") or CLOUDS["AzureCloud"][1])
        return Cloud(own, f"{audience}/.default", logs.rstrip("/"))

    @property
    def credential(self) -> Any:
        """Azure's default chain of credentials."""
        return self._once("credential", self._credential)

    def _credential(self) -> Any:
        identity = load("azure.identity")
        host = HOSTS.get(self.option("cloud"))
        given = {"authority": getattr(identity.AzureAuthorityHosts, host)} if host else {}
        if self.environ.get("AZURE_AUTHORITY_HOST"):
            given = {}
        return identity.DefaultAzureCredential(retry_total=self.retries, **given)

    def token(self, scope: str = "") -> str:
        """Return an access token, of Resource Manager unless *scope* says otherwise."""
        with azure("signing in to Azure"):
            return str(self.credential.get_token(scope or self.cloud.scope).token)

    def claims(self) -> dict[str, Any]:
        """Return what the token says of the caller; unchecked, for people and as object id."""
        import base64
        import json

        words = self.token().split(".")
        try:
            padded = words[1] + "=" * (-len(words[1]) % 4)
            found = json.loads(base64.urlsafe_b64decode(padded))
        except (IndexError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def policy(self, url: str, scope: str) -> Any:
        """Return what signs requests to *url*."""
        base = load("azure.core.pipeline.policies").BearerTokenCredentialPolicy
        if not is_local(url):
            return base(self.credential, scope)

        class Local(base):  # type: ignore[misc, valid-type]
            """Sends tokens to this machine without TLS."""

            def on_request(self, request: Any) -> None:
                request.context["enforce_https"] = False
                super().on_request(request)

        return Local(self.credential, scope)

    def _client(self, module: str, name: str, *arguments: str) -> Any:
        def make() -> Any:
            cloud = self.cloud
            # Requests with keys are not written to anybody's log.
            return getattr(load(module), name)(
                self.credential, *arguments, base_url=cloud.arm, retry_total=self.retries,
                credential_scopes=[cloud.scope], polling_interval=self.poll,
                authentication_policy=self.policy(cloud.arm, cloud.scope),
            )  # fmt: skip

        return self._once(module, make)

    @property
    def stacks(self) -> Any:
        """Operations on deployment stacks."""
        module = "azure.mgmt.resource.deploymentstacks"
        client = self._client(module, "DeploymentStacksClient", self.subscription)
        return client.deployment_stacks

    @property
    def deployments(self) -> Any:
        """The client of deployments: what-if, and the operations of one."""
        module = "azure.mgmt.resource.deployments"
        return self._client(module, "DeploymentsMgmtClient", self.subscription)

    @property
    def resources(self) -> Any:
        """The client of resource groups, resources by id, and tags."""
        module = "azure.mgmt.resource.resources"
        return self._client(module, "ResourceManagementClient", self.subscription)

    @property
    def subscription(self) -> str:
        """The subscription's id. Raises PF8003 when it is not said and not the only one."""
        found: str = self._once("subscription", self._subscription)
        return found

    def _subscription(self) -> str:
        own = self.environ.get("AZURE_SUBSCRIPTION_ID", "") or self.option("subscription")
        if own:
            return own
        client = self._client("azure.mgmt.resource.subscriptions", "SubscriptionClient")
        with azure("listing the subscriptions"):
            found = [
                one.subscription_id for one in client.subscriptions.list()
                if str(one.state).rpartition(".")[2].lower() in ("enabled", "")
            ]  # fmt: skip
        if len(found) != 1:
            raise refused(
                "PF8003", f"no subscription chosen, and {len(found)} are enabled",
                hint="set AZURE_SUBSCRIPTION_ID, or targets: {azure: {subscription: …}}",
            )  # fmt: skip
        return str(found[0])

    @property
    def group(self) -> str:
        """The resource group's name."""
        return self.option("resource-group") or self.stack

    @property
    def group_id(self) -> str:
        """The resource group's id."""
        return f"/subscriptions/{self.subscription}/resourceGroups/{self.group}"

    def found_group(self) -> Any:
        """Return the resource group, None when there is none.

        Raises PF8008 when it is another's and the manifest does not name it.
        """
        groups = self.resources.resource_groups
        with azure(f"reading the resource group {self.group}"):
            found = self.missing_is_none(groups.get, self.group)
        if found is None or self.option("resource-group") or is_ours(self.plan, found.tags):
            return found
        raise refused(
            "PF8008", f"the resource group {self.group} is there, and not of this service",
            hint=f"to use it all the same: targets: {{azure: {{resource-group: {self.group}}}}}",
        )  # fmt: skip

    def owns_group(self) -> bool:
        """Return whether the resource group is there and was made for the service and stage."""
        found = self.found_group()
        return found is not None and is_ours(self.plan, found.tags)

    def location(self) -> str:
        """Return the region. Raises PF8003 when nothing says it."""
        own = self.option("location") or self.environ.get("AZURE_LOCATION", "")
        if own:
            return own
        group = self.found_group()
        if group is not None:
            return str(group.location)
        raise refused(
            "PF8003", f"no location, and the resource group {self.group} is not there yet",
            hint="set AZURE_LOCATION, or targets: {azure: {location: westeurope}}",
        )  # fmt: skip

    def make_group(self) -> None:
        """Make the resource group if it is missing."""
        if self.found_group() is None:
            body = {"location": self.location(), "tags": tags(self.plan)}
            with azure(f"making the resource group {self.group}"):
                self.resources.resource_groups.create_or_update(self.group, body)

    @staticmethod
    def missing_is_none(ask: Any, *arguments: Any, **more: Any) -> Any:
        """Return what *ask* answers, None for "not found"."""
        try:
            return ask(*arguments, **more)
        except load("azure.core.exceptions").ResourceNotFoundError:
            return None

    def read(self, identifier: str, api: str = "") -> dict[str, Any] | None:
        """Return a resource as JSON values, None when it is not there."""
        found = self.send("GET", f"{self.cloud.arm}{identifier}", version(identifier, api))
        return found if isinstance(found, dict) else None

    def send(self, method: str, url: str, api: str, body: Any = None) -> Any:
        """Send a request to Resource Manager; return the JSON answer, None for "not found"."""
        found = self.ask(method, url, self.cloud.scope, {"api-version": api}, body)
        if found.status_code in (204, 404):
            return None
        found.raise_for_status()
        return found.json() if found.content else {}

    def ask(
        self, method: str, url: str, scope: str, params: Mapping[str, str] | None = None,
        body: Any = None, **more: Any,
    ) -> Any:  # fmt: skip
        """Send a signed request anywhere in Azure; return the response, whatever its status.

        https://learn.microsoft.com/python/api/azure-core/azure.core.pipelineclient
        """
        from urllib.parse import urlsplit

        parts = urlsplit(url)
        root = f"{parts.scheme}://{parts.netloc}"

        def make() -> Any:
            policies = load("azure.core.pipeline.policies")
            return load("azure.core").PipelineClient(
                root,
                policies=[
                    policies.RequestIdPolicy(),
                    policies.HeadersPolicy(),
                    policies.UserAgentPolicy("portafaas"),
                    policies.ProxyPolicy(),
                    policies.RetryPolicy(retry_total=self.retries),
                    self.policy(url, scope),
                ],
            )

        client = self._once(f"{root} {scope}", make)
        given = {"json": body} if body is not None else {}
        request = load("azure.core.rest").HttpRequest(
            method, url, params=dict(params or {}), **given, **more
        )
        return client.send_request(request)
