"""The Azure engine: a deployment stack, then one-deploy to each app, then what has left."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

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
from portafaas_azure.deployment import stack as stacks
from portafaas_azure.deployment.account import Account
from portafaas_azure.deployment.ids import LOCKS, SITES, kind, label, shown
from portafaas_azure.deployment.refusals import refused

_NOTHING = "nothing of {} is deployed in the resource group {}"


class AzureEngine(Engine):
    """One service and stage in one resource group."""

    #: Seconds between two questions to Azure.
    poll = 3.0
    #: Seconds that new roles may take until they are honoured: "up to 10 minutes".
    #: https://learn.microsoft.com/azure/role-based-access-control/troubleshooting
    patience = 600.0
    #: Seconds that one app may take to take its package.
    limit = 900.0
    #: How often a request that did not get through is repeated.
    retries = 4

    def __init__(self, plan: BuildPlan, environ: Mapping[str, str] | None = None) -> None:
        self.plan = plan
        self._account = Account(plan, environ)

    @property
    def account(self) -> Account:
        """Where the service is."""
        self._account.poll, self._account.retries = self.poll, self.retries
        return self._account

    @property
    def stack(self) -> stacks.Stack:
        """The deployment stack."""
        return stacks.Stack(self.account)

    def caller(self) -> Caller:
        """Return who deploys, by the token: a user's name, or an application's id."""
        account = self.account
        claims = account.claims()
        known = ("upn", "preferred_username", "unique_name", "email", "appid", "azp", "oid")
        name = next((str(claims[word]) for word in known if claims.get(word)), "unknown")
        return Caller(name, f"subscription {account.subscription}, group {account.group}")

    def blobs(self, create: bool = False) -> Blobs:
        """Return the store of the subscription and region. Raises PF8003 without a region."""
        from portafaas_azure.deployment.store import AzureBlobs

        found = AzureBlobs(self.account, self.patience)
        if create:
            found.make()
        return found

    def _pending(self) -> Any:
        from portafaas_azure.deployment.store import Pending

        return Pending(self.blobs(), self.account)

    def _values(self, document: Mapping[str, Any], release: Release, now: Any) -> dict[str, Any]:
        from portafaas_azure.deployment.parameters import values

        options = {**release.plan.options, **self.plan.options}
        return values(
            self.account, document, stacks.managed(now), stacks.given(now), release.keys, options
        )

    def preview(self, release: Release) -> Preview:
        """Return what Azure's what-if says, what would leave, and which apps get the package."""
        from portafaas_azure.deployment import foresight
        from portafaas_azure.deployment.parameters import template

        document = template(release)
        group = self.account.found_group()
        now = self.stack.idle() if group is not None else None
        values = self._values(document, release, now)
        if group is None:
            made = foresight.first(document, values.get("location", ""))
            return Preview(tuple(made), True)
        found = foresight.what_if(self.account, document, values, _secret(document, values))
        made = foresight.changes(found)
        stay = {one["resourceId"].lower() for one in found}
        before = [one["id"] for one in stacks.managed(now)]
        every = dict.fromkeys([*before, *self._pending().read()])
        left = [one for one in every if one.lower() not in stay]
        made += foresight.leaving(self.plan, left, document)
        made += self._packages(found, release)
        return Preview(tuple(made), now is None)

    def _packages(self, found: Sequence[Mapping[str, Any]], release: Release) -> list[Any]:
        from portafaas.deployment.contract import Change
        from portafaas_azure.deployment.parameters import running

        there = [one["resourceId"] for one in found if kind(one["resourceId"]) == SITES
                 and str(one.get("changeType", "")).lower() != "create"]  # fmt: skip
        digests = running(self.account, there)
        return [Change("change", label(site), shown(site), "package") for site in there
                if digests[site] != release.package_digest]  # fmt: skip

    def apply(self, release: Release, preview: Preview, report: Report) -> Status:
        """Put the stack, deploy the package where another one runs, delete what has left."""
        from portafaas_azure.deployment.parameters import running, sites, template
        from portafaas_azure.deployment.publish import Publisher
        from portafaas_azure.deployment.removal import remove

        document, account = template(release), self.account
        account.make_group()
        now = self.stack.idle()
        values = self._values(document, release, now)
        content = self._package(release)
        ran = running(account, sites(stacks.managed(now)))
        pending = self._pending()
        before = {one["id"]: str(one.get("apiVersion") or "") for one in stacks.managed(now)}
        old = dict.fromkeys([*pending.read(), *before])
        if old:
            pending.write(list(old))
        done = self.stack.put(document, values, report, _secret(document, values))
        after = [one["id"] for one in stacks.managed(done)]
        publisher = Publisher(account, self.patience, self.limit)
        publisher.bring(sites(stacks.managed(done)), ran, content, release.package_digest, report)
        stay = {one.lower() for one in after}
        left = [one for one in old if one.lower() not in stay]
        locks = [one for one in [*after, *left] if kind(one) == LOCKS]
        remove(account, left, locks, before, report, "deploy")
        if old:
            pending.clear()
        return self.status()

    def _package(self, release: Release) -> bytes:
        content = self.blobs().read(release.package_key)
        if content is None:
            raise refused("PF8007", f"the package {release.package_key} is not in the store")
        return content

    def status(self) -> Status:
        """Return the stack's state, and ``failed`` too where an app lacks the package."""
        from portafaas_azure.deployment.parameters import common, running, sites

        found = self.stack.get()
        if found is None:
            return Status("absent")
        word, managed = stacks.state(found), stacks.managed(found)
        listed = tuple(
            (label(one["id"]), shown(one["id"]), str(one.get("status") or "")) for one in managed
        )
        digests = running(self.account, sites(managed))
        reason, resume = "", ""
        health: Any = "busy" if stacks.is_busy(found) else "ready"
        if health == "ready" and word != "succeeded":
            health, resume = "failed", "portafaas deploy"
            error = self.stack.failure(found, (), "deploy")
            reason = "; ".join(one.message for one in error.diagnostics)
        elif health == "ready" and (not common(digests) and digests):
            health, resume = "failed", "portafaas deploy"
            reason = "apps have no package, or not all the same one"
        return Status(
            health, word, reason, resume, common(digests), stacks.urls(found), listed
        )

    def _deployed(self) -> dict[str, Any]:
        found = self.stack.idle()
        if found is None:
            raise refused("PF8010", _NOTHING.format(self.account.stack, self.account.group))
        return found

    def drift(self) -> Sequence[Drift]:
        """Return what what-if of the deployed template would set right."""
        from portafaas_azure.deployment import foresight
        from portafaas_azure.deployment.drifting import recorded

        found = self._deployed()
        document = self.stack.template()
        values = recorded(self.account, document, found)
        changes = foresight.what_if(self.account, document, values, _secret(document, values))
        return foresight.drifts(changes)

    def destroy(self, data: bool, report: Report) -> Sequence[Kept]:
        """Delete the service; with *data* its data too, and its group if it was made for it."""
        from portafaas_azure.deployment import removal

        account = self.account
        found = self.stack.idle()
        tagged = removal.leftovers(account) if data else []
        if found is None and not tagged:
            raise refused("PF8010", _NOTHING.format(account.stack, account.group))
        pending = self._pending()
        versions = {one["id"]: str(one.get("apiVersion") or "") for one in stacks.managed(found)}
        every = list(dict.fromkeys([*versions, *pending.read()]))
        if data:
            vaults = removal.vaults(account, every)
            removal.erase(account, every, report)
            if not account.owns_group():
                removal.remove_all(account, every, versions, report)
            self.stack.delete(report)
            removal.empty(account, report)
            pending.clear()
            return removal.purge(account, vaults, report)
        locks = [one for one in every if kind(one) == LOCKS]
        removal.remove(account, every, locks, versions, report, "destroy")
        self.stack.delete(report)
        pending.clear()
        kept = removal.kept(account, every)
        if not kept and account.owns_group():
            removal.empty(account, report)
        return kept

    def logs(self, functions: Sequence[str], since: float, follow: bool) -> Iterator[LogLine]:
        """Yield log lines; they arrive at the workspace a few minutes after they are written."""
        from portafaas_azure.deployment.logs import Logs
        from portafaas_azure.deployment.parameters import sites
        from portafaas_azure.grouping import WORKFLOWS

        found = self.stack.get()
        workspaces = stacks.is_managed(found or {}, "microsoft.operationalinsights/workspaces")
        if not workspaces:
            raise refused("PF8010", _NOTHING.format(self.account.stack, self.account.group))
        names = {}
        tasks = {function.name for function in self.plan.functions if function.kind == "task"}
        for site in sites(stacks.managed(found)):
            tags = (self.account.read(site) or {}).get("tags") or {}
            flows = tags.get("app") == WORKFLOWS
            wanted = tasks.intersection(functions) if flows else tags.get("function") in functions
            if not functions or wanted:
                # The lines of tasks are one app's, and say themselves whose they are.
                own = WORKFLOWS if flows else str(tags.get("function", ""))
                names[site.rpartition("/")[2]] = own
        yield from Logs(self.account, workspaces[0], names).lines(since, follow)

    def secrets(self) -> Secrets:
        """Return the secrets in the service's vault."""
        from portafaas_azure.deployment.vault import AzureSecrets, vault_of

        return AzureSecrets(
            self.account, vault_of(self.account, stacks.managed(self.stack.get()))
        )

    def whereabouts(self) -> Mapping[str, str]:
        """Return the URLs of declared resources, which the template puts into one output."""
        from portafaas_azure.deployment.whereabouts import whereabouts

        found = self.stack.get()
        if found is None:
            raise refused("PF8010", _NOTHING.format(self.account.stack, self.account.group))
        return whereabouts(self.account, self.plan, found)

    def workflows(self) -> Workflows:
        """Return the workflows, by the API of Durable Functions in their app."""
        from portafaas_azure.deployment.parameters import sites
        from portafaas_azure.deployment.workflows import AzureWorkflows
        from portafaas_azure.grouping import WORKFLOWS

        for site in sites(stacks.managed(self.stack.get())):
            found = self.account.read(site) or {}
            if (found.get("tags") or {}).get("app") == WORKFLOWS:
                host = str((found.get("properties") or {}).get("defaultHostName") or "")
                return AzureWorkflows(self.account, self.plan, site, f"https://{host}")
        raise refused("PF8010", _NOTHING.format(self.account.stack, self.account.group))

    def dead_letters(self) -> DeadLetters:
        """Return the dead letters in the service's Service Bus."""
        from portafaas_azure.deployment.dead_letters import AzureDeadLetters, namespace_of

        found = namespace_of(self.account, stacks.managed(self.stack.get()))
        if found is None:
            raise refused("PF8010", _NOTHING.format(self.account.stack, self.account.group))
        return AzureDeadLetters(self.account, self.plan, found)


def _secret(document: Mapping[str, Any], values: Mapping[str, Any]) -> list[str]:
    """Return the values of the secret parameters, which no message may have."""
    secure = {n for n, one in document["parameters"].items() if one["type"].startswith("secure")}
    return [str(value) for name, value in values.items() if name in secure and value]
