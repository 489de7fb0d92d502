"""Starts, tells of and signals runs for functions of other apps: who calls, by identity. Ships.

App Service Authentication checks the caller's token and names its identity in a header that no
client can set; ``PORTAFAAS_STARTERS`` says which identity may do what: ``<principal>=<workflow>,
<workflow>;...``. Without an answer to that nothing is done.
https://learn.microsoft.com/azure/app-service/configure-authentication-user-identities

* ``POST .../<workflow>`` with ``{"run", "input"}`` starts a run of that id, unless there is one.
* ``GET .../<workflow>/<run>`` tells of it.
* ``POST .../<workflow>/<run>/<signal>`` with ``{"payload"}`` signals it; 409 when nobody waits.
"""

from __future__ import annotations

from portafaas_azure.runtime.orchestrator import entry_of, unwrapped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

#: What Durable Functions calls a state; whatever is not here is running.
STATES = {"Completed": "succeeded", "Failed": "failed", "Terminated": "canceled",
          "Canceled": "canceled"}  # fmt: skip
#: Sub-workflows of sub-workflows that are asked what they wait for.
DEEPEST = 8


async def serve(request: Any, client: str) -> Any:
    """Answer one request; *client* is what the host binds: how its local API is reached."""
    from json import dumps, loads

    from portafaas_azure.runtime.reply import Reply, ReplyHeaders

    params = request.route_params
    workflow, run = params.get("workflow", ""), params.get("run", "")
    signal = params.get("signal", "")
    if not allowed(request.headers, workflow):
        status, answer = 403, {"error": f"nobody who calls may use the workflow {workflow!r}"}
    else:
        try:
            document = loads(request.get_body() or b"null")
        except ValueError:
            document = None
        from azure.durable_functions import DurableOrchestrationClient

        control = Control(DurableOrchestrationClient(client), workflow)
        body = document if isinstance(document, dict) else {}
        if request.method == "GET" and run and not signal:
            status, answer = await control.status(run)
        elif request.method == "POST" and not run and body.get("run"):
            status, answer = await control.start(str(body["run"]), body.get("input"))
        elif request.method == "POST" and signal and "payload" in body:
            status, answer = await control.signal(run, signal, body["payload"])
        else:
            status, answer = 400, {"error": "no such request"}
    headers = ReplyHeaders({"content-type": "application/json"}, [])
    return Reply(dumps(answer).encode(), status, headers)


def allowed(headers: Mapping[str, str], workflow: str) -> bool:
    """Tell whether the caller's identity may use *workflow*."""
    from os import environ

    caller = headers.get("x-ms-client-principal-id", "")
    hosted = environ.get("WEBSITE_INSTANCE_ID", "local") != "local"
    if hosted and environ.get("WEBSITE_AUTH_ENABLED", "").lower() not in ("true", "1"):
        return False  # Anybody could have set the header.
    for rule in environ.get("PORTAFAAS_STARTERS", "").split(";"):
        principal, _, workflows = rule.partition("=")
        if caller and principal == caller and workflow in workflows.split(","):
            return True
    return False


def state_of(status: Any) -> str:
    """Return the state of a run by what Durable Functions says of it, a text or an enumeration."""
    return STATES.get(str(getattr(status, "value", status)), "running")


def result_of(state: str, output: Any, custom: Any) -> dict[str, Any]:
    """Return ``{"output"}`` of a run that has succeeded, ``{"error", "cause"}`` of a failed one."""
    if state == "succeeded":
        return {"output": unwrapped(output, "ok").get("ok")}
    if state != "failed":
        return {}
    if isinstance(custom, dict) and "error" in custom:
        return {"error": str(custom["error"]), "cause": str(custom.get("cause", ""))}
    text = str(output)
    if isinstance(custom, dict) and custom.get("failed"):
        from json import JSONDecoder

        try:
            found, _ = JSONDecoder().raw_decode(text, max(text.find("{"), 0))
            return {"error": str(found["error"]), "cause": str(found["cause"])}
        except (ValueError, TypeError, KeyError):
            pass
    # The orchestrator itself broke.
    return {"error": "States.Runtime", "cause": text[:4096]}


class Control:
    """What may be done with the runs of one workflow."""

    __slots__ = ("client", "workflow")

    def __init__(self, client: Any, workflow: str) -> None:
        self.client = client
        self.workflow = workflow

    async def found(self, run: str) -> Any:
        """Return the run's status, None when there is none of this workflow."""
        if not is_id(run):
            return None
        status = await self.client.get_status(run)
        name = entry_of(self.workflow).lower()
        return status if status and str(status.name).lower() == name else None

    async def start(self, run: str, input: Any) -> tuple[int, dict[str, Any]]:
        """Start a run of that id, unless there is one; return status and answer."""
        from json import dumps

        if not is_id(run) or "~" in run:
            return 400, {"error": "no id of a run"}
        # Whoever got no answer asks again.
        if await self.found(run) is None:
            text = dumps({"input": input})
            await self.client.start_new(entry_of(self.workflow), run, text)
        return 200, {"run": run}

    async def status(self, run: str) -> tuple[int, dict[str, Any]]:
        """Tell of a run; return status and answer."""
        found = await self.found(run)
        if found is None:
            return 404, {"error": f"no run {run!r} of {self.workflow!r}"}
        state = state_of(found.runtime_status)
        answer: dict[str, Any] = {"run": run, "state": state}
        answer |= result_of(state, found.output, found.custom_status)
        waits = await self.waits(found, DEEPEST)
        answer["waiting"] = sorted({name for name, _, _ in waits})
        return 200, answer

    async def signal(self, run: str, name: str, payload: Any) -> tuple[int, dict[str, Any]]:
        """Raise the event that a run, or one of its sub-workflows, waits for."""
        from json import dumps

        found = await self.found(run)
        if found is None:
            return 404, {"error": f"no run {run!r} of {self.workflow!r}"}
        for waited, instance, token in await self.waits(found, DEEPEST):
            if waited == name:
                # An exception: it has ended meanwhile.
                try:
                    await self.client.raise_event(
                        instance, f"{name}.{token}", dumps({"payload": payload})
                    )
                except Exception as exc:
                    return 409, {"error": str(exc)}
                return 200, {}
        return 409, {"error": f"run {run!r} does not wait for {name!r}"}

    async def waits(self, status: Any, deep: int) -> list[tuple[str, str, str]]:
        """Return what a run and its sub-workflows wait for: signal, instance, token."""
        if state_of(status.runtime_status) != "running":
            return []
        custom = status.custom_status if isinstance(status.custom_status, dict) else {}
        found = [
            (name, status.instance_id, token)
            for name, tokens in custom.get("waiting", {}).items()
            for token in tokens
        ]
        if deep:
            for child in custom.get("children", ()):
                inner = await self.client.get_status(child)
                if inner:
                    found += await self.waits(inner, deep - 1)
        return found


def is_id(run: str) -> bool:
    """Tell whether *run* can be an id: it becomes part of a URL and the key of a row."""
    return 0 < len(run) <= 100 and all(
        c.isascii() and (c.isalnum() or c in "-_~") for c in run
    )
