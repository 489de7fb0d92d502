"""Runs of workflows, by the HTTP API of Durable Functions in the workflows' app.

Who operates reads the app's system key from Resource Manager; no other key opens the API.
https://learn.microsoft.com/azure/azure-functions/durable/durable-functions-http-api
https://learn.microsoft.com/rest/api/appservice/web-apps/list-host-keys
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from portafaas.deployment.workflows import RunState, State, StepEvent, Workflows
from portafaas.errors import DeploymentError, Diagnostic
from portafaas.plan import BuildPlan
from portafaas_azure.deployment.account import Account
from portafaas_azure.deployment.clouds import load
from portafaas_azure.deployment.histories import events_of, seconds
from portafaas_azure.deployment.refusals import azure, refused
from portafaas_azure.runtime.control import (
    DEEPEST,
    LOOKS,
    carrying,
    ended,
    is_id,
    state_of,
    was_taken,
)
from portafaas_azure.runtime.orchestrator import entry_of, unwrapped

_KEY = "durabletask_extension"
_API = "2024-04-01"
#: Instances of one answer.
_PAGE = 100
_TOKEN = "x-ms-continuation-token"


class AzureWorkflows(Workflows):
    """The workflows of one service and stage; *site* is the id of their app, *url* where it is."""

    def __init__(self, account: Account, plan: BuildPlan, site: str, url: str) -> None:
        self.account = account
        self.plan = plan
        self.site = site
        self.url = f"{url}/runtime/webhooks/durabletask"
        self._key = ""

    def start(self, workflow: str, input: Any) -> str:
        """Start a run; return its id."""
        run = uuid.uuid4().hex
        text = json.dumps({"input": input})
        self._ask("POST", f"orchestrators/{entry_of(workflow)}/{run}", body=text)
        return run

    def runs(self, workflow: str, limit: int) -> Sequence[RunState]:
        """Return at most *limit* runs, the latest first."""
        name = entry_of(workflow).lower()
        found = [
            _state(workflow, one) for one in self._all({})
            if str(one.get("name", "")).lower() == name
        ]  # fmt: skip
        return sorted(found, key=lambda one: one.started, reverse=True)[:limit]

    def status(self, workflow: str, run: str) -> RunState:
        """Return one run."""
        found = self._found(workflow, run)
        waits = {name for name, _, _ in self._waits(found, DEEPEST)}
        return _state(workflow, found, tuple(sorted(waits)))

    def history(self, workflow: str, run: str) -> Sequence[StepEvent]:
        """Return what happened in a run; its sub-workflows are runs of their own.

        Of calls that go on, as much as the platform keeps.
        """
        self._found(workflow, run)
        query = {"showHistory": "true", "showHistoryOutput": "true", "showInput": "true"}
        found = self._one(run, query)
        return events_of(found) if found is not None else []

    def signal(self, workflow: str, run: str, name: str, payload: Any) -> None:
        """Hand a JSON value to a run that waits for the signal *name*."""
        found = self._found(workflow, run)
        state = state_of(found.get("runtimeStatus"))
        if state != "running":
            text = f"run {run} does not wait for {name!r}: it is {state}"
            raise _refused("cannot signal:", Diagnostic("PF8041", text))
        for waited, instance, token in self._waits(found, DEEPEST):
            if waited == name:
                path = f"instances/{instance}/raiseEvent/{name}.{token}"
                by, body = carrying(payload)
                gone = self._ask("POST", path, body=body, gone=True)
                if gone is not None and self._taken(instance, name, token, by):
                    return
                break
        text = f"run {run} does not wait for {name!r}"
        raise _refused("cannot signal:", Diagnostic("PF8041", text))

    def _taken(self, instance: str, name: str, token: str, by: str) -> bool:
        """Tell whether the wait has ended by the signal *by*, and by no other."""
        for pause in LOOKS:
            status = self._one(instance, {"showInput": "false"}) or {}
            state, custom = status.get("runtimeStatus"), status.get("customStatus")
            found = was_taken(state, custom, name, token, by)
            if found is not None:
                return found
            time.sleep(pause)
        return True

    def cancel(self, workflow: str, run: str) -> None:
        """Stop a run, and its sub-workflows, which the platform would let go on."""
        if state_of(self._found(workflow, run).get("runtimeStatus")) != "running":
            raise _refused("cannot cancel:", Diagnostic("PF8042", f"run {run} has ended"))
        query = {"reason": "canceled"}
        self._ask("POST", f"instances/{run}/terminate", query, gone=True)
        for child in self._all({"instanceIdPrefix": f"{run}~"}):
            if state_of(child.get("runtimeStatus")) == "running":
                self._ask("POST", f"instances/{child['instanceId']}/terminate", query, gone=True)

    def _found(self, workflow: str, run: str) -> dict[str, Any]:
        found = self._one(run, {"showInput": "true"}) if is_id(run) else None
        if found is None or str(found.get("name", "")).lower() != entry_of(workflow).lower():
            problem = Diagnostic("PF8040", f"there is no run {run!r} of {workflow!r}")
            raise _refused("no such run:", problem)
        return found

    def _one(self, instance: str, query: Mapping[str, str]) -> dict[str, Any] | None:
        found = self._ask("GET", f"instances/{instance}", query, gone=True)
        return found if isinstance(found, dict) else None

    def _all(self, query: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        token = ""
        while True:
            headers = {_TOKEN: token} if token else {}
            response = self._send("GET", "instances", {**query, "top": str(_PAGE)}, headers)
            yield from response.json()
            token = response.headers.get(_TOKEN) or ""
            if not token:
                return

    def _waits(self, found: Mapping[str, Any], deep: int) -> Iterator[tuple[str, str, str]]:
        """Yield what a run and its sub-workflows wait for: signal, instance, token."""
        if state_of(found.get("runtimeStatus")) != "running":
            return
        custom = found.get("customStatus")
        custom = custom if isinstance(custom, Mapping) else {}
        for name, tokens in custom.get("waiting", {}).items():
            for token in tokens:
                yield name, found["instanceId"], token
        for child in custom.get("children", ()) if deep else ():
            inner = self._one(child, {"showInput": "false"})
            if inner is not None:
                yield from self._waits(inner, deep - 1)

    def _ask(
        self, method: str, path: str, query: Mapping[str, str] | None = None,
        body: str | None = None, gone: bool = False,
    ) -> Any:  # fmt: skip
        """Send a request; return the JSON answer; with *gone*, None for what is not there."""
        response = self._send(method, path, dict(query or {}), {}, body, gone)
        if response is None:
            return None
        try:
            return response.json() if response.content else {}
        except ValueError:
            return {}

    def _send(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str],
        body: str | None = None, gone: bool = False,
    ) -> Any:  # fmt: skip
        policies = load("azure.core.pipeline.policies")
        with load("azure.core").PipelineClient(
            self.url,
            # The key goes to the app; the token of Resource Manager does not.
            policies=[
                policies.UserAgentPolicy("portafaas"),
                policies.ProxyPolicy(),
                policies.RetryPolicy(retry_total=self.account.retries),
            ],
        ) as client:
            # A text, so that nothing is read as a time or a number on the way.
            given = {"json": body} if body is not None else {}
            request = load("azure.core.rest").HttpRequest(
                method, f"{self.url}/{path}", params=dict(query),
                headers={"x-functions-key": self.key, **headers}, **given,
            )  # fmt: skip
            with azure("asking the workflows' app"):
                response = client.send_request(request)
                if gone and response.status_code in (404, 410):
                    return None
                response.raise_for_status()
            return response

    @property
    def key(self) -> str:
        """The system key of the extension. Raises PF8010 while the app has not started with it."""
        if not self._key:
            url = f"{self.account.cloud.arm}{self.site}/host/default/listkeys"
            with azure("reading the key of the workflows' app"):
                found = self.account.send("POST", url, _API) or {}
            self._key = str((found.get("systemKeys") or {}).get(_KEY) or "")
            if not self._key:
                raise refused(
                    "PF8010", "the workflows' app has no key of Durable Functions yet",
                    hint="it makes one when it first starts; ask again in a minute",
                )  # fmt: skip
        return self._key


def _state(workflow: str, found: Mapping[str, Any], waiting: tuple[str, ...] = ()) -> RunState:
    state: State
    state, result = ended(  # type: ignore[assignment]
        found.get("runtimeStatus"), found.get("output"), found.get("customStatus")
    )
    return RunState(
        workflow,
        str(found["instanceId"]),
        state,
        seconds(found.get("createdTime")),
        0.0 if state == "running" else seconds(found.get("lastUpdatedTime")),
        unwrapped(found.get("input"), "input").get("input"),
        result.get("output"),
        result.get("error", ""),
        result.get("cause", ""),
        waiting,
    )


def _refused(what: str, problem: Diagnostic) -> DeploymentError:
    return DeploymentError(what, [problem])
