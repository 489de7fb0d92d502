"""One-deploy: the package to each Flex Consumption app, through its own deployment site.

``POST https://<scm>/api/publish?RemoteBuild=false`` with the zip and a Resource Manager token; the
answer names a deployment, ``GET https://<scm>/api/deployments/<id>`` tells its status:
https://github.com/Azure/azure-cli/blob/dev/src/azure-cli/azure/cli/command_modules/appservice/custom.py
(``enable_zip_deploy_flex``), https://github.com/Azure/azure-dev/issues/3658,
https://github.com/projectkudu/kudu/wiki/REST-API#deployment.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from portafaas.deployment.contract import Progress, Report
from portafaas.errors import DeploymentError, Diagnostic
from portafaas_azure.deployment.account import Account
from portafaas_azure.deployment.clouds import is_local, load
from portafaas_azure.deployment.ids import label, shown
from portafaas_azure.deployment.refusals import azure

#: Answers that end when new roles are honoured, or the new app's site is up.
_NOT_YET = frozenset((401, 403, 404, 500, 502, 503, 504))
#: In the reason of an app that may not write to its container yet.
_NOT_ALLOWED = ("BlobUploadFailed", "StorageAccess", "AuthorizationPermissionMismatch", "(403)")
_STATES = {0: "pending", 1: "building", 2: "deploying", 3: "failed", 4: "success"}
_SUCCESS = 4
_FAILED = frozenset((-1, 3, 5, 6))


class Publisher:
    """Brings one package to apps. ``patience`` is how long roles may take, in seconds."""

    def __init__(self, account: Account, patience: float, limit: float) -> None:
        self.account = account
        self.patience = patience
        #: Seconds that an app may take for its deployment.
        self.limit = limit

    def bring(
        self, sites: Sequence[str], ran: Mapping[str, str], content: bytes, digest: str,
        report: Report,
    ) -> None:  # fmt: skip
        """Publish to those of *sites* where another package runs; *ran* is what did by app.

        Where apps had different ones the stack has taken the note from all of them.
        """
        from portafaas_azure.deployment.parameters import running

        late = []
        for site, noted in running(self.account, sites).items():
            if ran.get(site) != digest:
                late.append(site)
            elif noted != digest:
                with azure(f"noting the package at {label(site)}"):
                    note(self.account, site, digest)
        self.publish(late, content, digest, report)

    def publish(self, sites: Sequence[str], content: bytes, digest: str, report: Report) -> None:
        """Deploy *content* to *sites* at the same time, and note *digest* at each.

        Raises PF8007 with each app's own reason; the others have the package then.
        """
        waiting = [_Job(self, site, content, digest, report) for site in sites]
        failed: list[Diagnostic] = []
        while waiting:
            for job in list(waiting):
                try:
                    if job.step():
                        waiting.remove(job)
                except DeploymentError as error:
                    waiting.remove(job)
                    failed += error.diagnostics
            if waiting:
                time.sleep(self.account.poll)
        if failed:
            raise DeploymentError(
                f"the package did not reach {len(failed)} of {len(sites)} apps, whose old one goes "
                "on; the infrastructure is up to date: run 'portafaas deploy' again:", failed,
            )  # fmt: skip


class _Job:
    """The deployment to one app: sent, waited for, noted."""

    def __init__(
        self, publisher: Publisher, site: str, content: bytes, digest: str, report: Report
    ) -> None:
        self.account, self.site, self.content = publisher.account, site, content
        self.digest, self.report = digest, report
        now = time.monotonic()
        self.patience, self.limit = now + publisher.patience, now + publisher.limit
        self.root = ""
        self.deployment = ""
        self.last = ""

    def tell(self, state: str, reason: str = "") -> None:
        """Report a state once."""
        if self.last != state + reason:
            self.last = state + reason
            self.report(Progress(label(self.site), shown(self.site), state, reason))

    def fail(self, reason: str) -> DeploymentError:
        """Return the error of this app."""
        self.tell("failed", reason)
        one = Diagnostic("PF8007", f"{label(self.site)}: one-deploy: {reason}")
        return DeploymentError("one-deploy failed:", [one])

    def step(self) -> bool:
        """Do the next thing; return True when all is done."""
        with azure(f"deploying the package to {label(self.site)}"):
            if not self.root:
                self.root = scm(self.account.read(self.site) or {})
                if not self.root:
                    raise self.fail("the app has no deployment site")
            if not self.deployment:
                return self._send()
            return self._watch()

    def _ask(self, method: str, path: str, **more: Any) -> tuple[int, Any]:
        """Return status and answer; (503, reason) while a new site's name is not known yet."""
        core = load("azure.core.exceptions")
        try:
            answer = self.account.ask(
                method, f"{self.root}/api/{path}", self.account.cloud.scope, **more
            )
        except (core.ServiceRequestError, core.ServiceResponseError) as error:
            return 503, str(error)
        try:
            return answer.status_code, answer.json()
        except ValueError:
            return answer.status_code, answer.text()

    def _send(self) -> bool:
        status, answer = self._ask(
            "POST", "publish", params={"RemoteBuild": "false", "Deployer": "portafaas"},
            content=self.content, headers={"Content-Type": "application/zip"},
        )  # fmt: skip
        if status in (200, 202):
            self.deployment = _identifier(answer) or "latest"
            self.tell("deploying")
        else:
            self._later(status, str(answer))
        return False

    def _later(self, status: int, text: str) -> None:
        """Wait for new roles to be honoured, or raise."""
        reason = " ".join(f"HTTP {status} {text}".split())[:500]
        may = status in _NOT_YET or any(word in text for word in _NOT_ALLOWED)
        if not may or time.monotonic() >= self.patience:
            raise self.fail(reason)
        self.root = ""  # a new app may get another address
        self.tell("waiting", f"HTTP {status}: new permissions take a minute or two to be honoured")

    def _watch(self) -> bool:
        code, answer = self._ask("GET", f"deployments/{self.deployment}")
        found = answer if isinstance(answer, dict) and code in (200, 202) else {}
        status = found.get("status")
        if status == _SUCCESS:
            note(self.account, self.site, self.digest)
            self.tell("deployed")
            return True
        if status in _FAILED:
            reason = self._reason(found)
            if any(word in reason for word in _NOT_ALLOWED):
                self.deployment = ""
                self._later(403, reason)
                return False
            raise self.fail(reason)
        if time.monotonic() >= self.limit:
            raise self.fail(f"no end after a long time (HTTP {code}, {status})")
        if isinstance(status, int):
            self.tell(_STATES.get(status, str(status)))
        return False

    def _reason(self, found: Mapping[str, Any]) -> str:
        words = [str(found.get("status_text") or ""), str(found.get("message") or "")]
        _, entries = self._ask("GET", f"deployments/{self.deployment}/log")
        if isinstance(entries, list):
            words += [str(one.get("message") or "") for one in entries[-5:]]
        text = "; ".join(dict.fromkeys(" ".join(word.split()) for word in words if word))
        return (text or f"status {found.get('status')}, without a reason")[:1000]


def note(account: Account, site: str, digest: str) -> None:
    """Write down at an app what runs there, without a change of anything else.

    https://learn.microsoft.com/rest/api/resources/tags/update-at-scope
    """
    account.resources.tags.begin_update_at_scope(
        site,
        {"operation": "Merge", "properties": {"tags": {"package": digest}}},
        polling_interval=account.poll,
    ).result()


def scm(site: Mapping[str, Any]) -> str:
    """Return the address of an app's deployment site, "" when it has none.

    Newer apps have a region and a hash in it, so that it cannot be told from the name.
    """
    properties = site.get("properties") or {}
    for one in properties.get("hostNameSslStates") or ():
        if one.get("hostType") == "Repository" and one.get("name"):
            local = f"http://{one['name']}"
            return local if is_local(local) else f"https://{one['name']}"
    return ""


def _identifier(answer: Any) -> str:
    """Return the deployment's id, which is the whole answer."""
    text = answer if isinstance(answer, str) else ""
    return text if text.replace("-", "").isalnum() else ""
