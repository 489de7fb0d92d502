"""Where the things of a service are: the names of its resources on Azure. Pure.

A namespace, an account or a vault belongs to one service and stage and has both in its name, and a
name that no other in Azure has; what is inside keeps its name of the manifest, which the package
has been built with.
"""

from __future__ import annotations

from portafaas.plan import BuildPlan, FunctionPlan, TableTrigger
from portafaas.record import dataclass
from portafaas_azure.grouping import App
from portafaas_azure.infrastructure.arm import Ref, formatted, quote, variable
from portafaas_azure.infrastructure.names import (
    UNIQUE_VARIABLE,
    account,
    base,
    buckets,
    digest,
    fit,
    shared,
)


@dataclass(frozen=True, slots=True)
class Places:
    """The references of one service and stage."""

    plan: BuildPlan

    def variables(self) -> dict[str, str]:
        """Return the template's variables: the names that several resources repeat."""
        plan = self.plan
        found = {UNIQUE_VARIABLE: "uniqueString(resourceGroup().id)"}
        if self.has_bus:
            found["namespace"] = shared(plan, 50)
        for versioned in self.bucket_accounts:
            found[_bucket_account(versioned)] = account(plan, buckets(versioned))
        if self.has_tables:
            found["cosmos"] = shared(plan, 44)
        if plan.secrets:
            # Of 24 characters 13 make it unique in Azure.
            code = formatted(f"kv{digest(base(plan))[:8]}-{{0}}", variable(UNIQUE_VARIABLE))
            found["vault"] = code
        return {name: f"[{code}]" for name, code in found.items()}

    @property
    def has_objects(self) -> bool:
        """True when a function waits for objects."""
        return any(function.kind == "object" for function in self.plan.functions)

    @property
    def has_bus(self) -> bool:
        """True when anything goes through Service Bus: events, or what failed."""
        waiting = any(f.kind not in ("http", "task") for f in self.plan.functions)
        return bool(self.plan.queues or self.plan.topics or waiting)

    @property
    def has_data(self) -> bool:
        """True when there is anything that a deletion would lose."""
        return bool(self.has_bus or self.plan.buckets or self.has_tables or self.plan.secrets)

    @property
    def has_tables(self) -> bool:
        """True when there are tables."""
        return bool(self.plan.tables)

    @property
    def bucket_accounts(self) -> tuple[bool, ...]:
        """Whether blobs keep versions is a setting of the account: up to two of them."""
        return tuple(sorted({bucket.versioned for bucket in self.plan.buckets}))

    @property
    def workspace(self) -> Ref:
        """The Log Analytics workspace."""
        return Ref("Microsoft.OperationalInsights/workspaces", (self._own(63, "logs"),))

    @property
    def insights(self) -> Ref:
        """The Application Insights component."""
        return Ref("Microsoft.Insights/components", (self._own(255),))

    def channel(self, name: str) -> Ref:
        """Return the action group of the channel *name*."""
        return Ref("Microsoft.Insights/actionGroups", (self._own(128, name),))

    def metric_alert(self, name: str) -> Ref:
        """Return the alert *name* as one on a metric."""
        return Ref("Microsoft.Insights/metricAlerts", (self._own(128, name),))

    def query_alert(self, name: str) -> Ref:
        """Return the alert *name* as one on the log."""
        return Ref("Microsoft.Insights/scheduledQueryRules", (self._own(128, name),))

    @property
    def namespace(self) -> Ref:
        """The Service Bus namespace."""
        return Ref("Microsoft.ServiceBus/namespaces", (variable("namespace"),))

    def queue(self, name: str) -> Ref:
        """Return the queue *name*."""
        return self.namespace.child("queues", quote(name))

    def events_queue(self, function: FunctionPlan) -> Ref:
        """Return the queue that holds *function*'s object notifications."""
        return self.queue(f"{function.name}-objects")

    def topic(self, name: str) -> Ref:
        """Return the topic *name*."""
        return self.namespace.child("topics", quote(name))

    def buckets(self, versioned: bool) -> Ref:
        """Return the storage account of the buckets that keep versions, or of the others."""
        return Ref("Microsoft.Storage/storageAccounts", (variable(_bucket_account(versioned)),))

    def bucket(self, plan: BuildPlan, name: str) -> Ref:
        """Return the blob container of the bucket *name*."""
        versioned = next(bucket.versioned for bucket in plan.buckets if bucket.name == name)
        return container(self.buckets(versioned), name)

    def system_topic(self, versioned: bool) -> Ref:
        """Return the Event Grid topic of a buckets' account."""
        name = "objects" + "-versioned" * versioned
        return Ref("Microsoft.EventGrid/systemTopics", (self._own(50, name),))

    def event_subscription(self, function: FunctionPlan, versioned: bool) -> Ref:
        """Return the Event Grid subscription that fills *function*'s queue."""
        name = quote(fit(f"fn-{function.name}", 64))
        return self.system_topic(versioned).child("eventSubscriptions", name)

    @property
    def deliverer(self) -> Ref:
        """The identity that Event Grid delivers as."""
        return self._identity("objects")

    @property
    def cosmos(self) -> Ref:
        """The Cosmos DB account."""
        return Ref("Microsoft.DocumentDB/databaseAccounts", (variable("cosmos"),))

    @property
    def database(self) -> Ref:
        """The database that holds the tables."""
        name = self.plan.options.get("cosmosDatabase", self.plan.service)
        return self.cosmos.child("sqlDatabases", quote(name))

    def table(self, name: str) -> Ref:
        """Return the container of the table *name*, or any other container."""
        return self.database.child("containers", quote(name))

    def leases(self, function: FunctionPlan) -> Ref:
        """Return the container with the leases of *function*'s change feed."""
        return self.table(lease_container(function))

    @property
    def vault(self) -> Ref:
        """The vault of the secrets."""
        return Ref("Microsoft.KeyVault/vaults", (variable("vault"),))

    def secret(self, name: str) -> Ref:
        """Return the secret *name*."""
        return self.vault.child("secrets", quote(name))

    def identity(self, app: App) -> Ref:
        """Return the identity that *app* runs as."""
        return self._identity(f"{'fn' if app.own else 'app'}-{app.name}")

    def host(self, app: App) -> Ref:
        """Return the storage account of *app*'s host, with its package.

        One for each app: the host's role is on the whole account, and what lies there are the
        app's code, its keys and its locks.
        """
        name = account(self.plan, f"{app.name}/host")
        return Ref("Microsoft.Storage/storageAccounts", (name,))

    def farm(self, app: App) -> Ref:
        """Return *app*'s plan; a Flex Consumption plan takes one app."""
        return Ref("Microsoft.Web/serverfarms", (self._own(40, app.name),))

    def site(self, app: App) -> Ref:
        """Return *app* itself."""
        return Ref("Microsoft.Web/sites", (shared(self.plan, 60, app.name),))

    def _own(self, limit: int, name: str = "") -> str:
        return quote(fit(base(self.plan, name), limit))

    def _identity(self, name: str) -> Ref:
        return Ref("Microsoft.ManagedIdentity/userAssignedIdentities", (self._own(128, name),))


def container(account: Ref, name: str) -> Ref:
    """Return the blob container *name* of a storage account."""
    return account.child("blobServices", "'default'").child("containers", quote(name))


def lease_container(function: FunctionPlan) -> str:
    """Return the name of the container with *function*'s leases."""
    return str(function.options.get("leaseContainer", "leases"))


def lease_containers(plan: BuildPlan) -> tuple[str, ...]:
    """Return the names of all lease containers, in order."""
    found = {lease_container(f) for f in plan.functions if isinstance(f.trigger, TableTrigger)}
    return tuple(sorted(found))


def _bucket_account(versioned: bool) -> str:
    return "versionedBuckets" if versioned else "buckets"

