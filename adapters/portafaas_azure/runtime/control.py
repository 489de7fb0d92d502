"""Starts, tells of and signals runs for functions of other apps: who calls, by identity. Ships.

App Service Authentication checks the caller's token and names its identity in a header that no
client can set; ``PORTAFAAS_STARTERS`` says which identity may do what: ``<principal>=<workflow>,
<workflow>;...``. Without an answer to that nothing is done.
https://learn.microsoft.com/azure/app-service/configure-authentication-user-identities

* ``POST .../<workflow>`` with ``{"run", "input"}`` starts a run of that id, unless there is one.
* ``GET .../<workflow>/<run>`` tells of it.
* ``POST .../<workflow>/<run>/<signal>`` with ``{"payload"}`` signals it; 409 when nobody waits.

An event is raised without an answer: whether the run took it is read from the run's status, so that
of two senders for one wait the second is refused.
https://learn.microsoft.com/azure/azure-functions/durable/durable-functions-external-events
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
#: Seconds between two looks at whether a signal was taken, in turn: 20 in all. The host looks into
#: its queues every 10 at least. After that it counts as taken, as it is the first for its wait.
LOOKS = (0.05, 0.1, 0.2, 0.4, 0.75, 1.0, 1.5, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0)


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

    from portafaas_azure.runtime.gate import vouched

    caller = headers.get("x-ms-client-principal-id", "")
    if not vouched():
        return False  # Anybody could have set the header.
    for rule in environ.get("PORTAFAAS_STARTERS", "").split(";"):
        principal, _, workflows = rule.partition("=")
        if caller and principal == caller and workflow in workflows.split(","):
            return True
    return False


def state_of(status: Any) -> str:
    """Return the state of a run by what Durable Functions says of it, a text or an enumeration."""
    return STATES.get(str(getattr(status, "value", status)), "running")


def ended(status: Any, output: Any, custom: Any) -> tuple[str, dict[str, Any]]:
    """Return the state of a run, and what came of it.

    ``{"output"}`` of one that has succeeded, ``{"error", "cause"}`` of a failed one. A sub-workflow
    completes however it ends, and its output says how.
    """
    state = state_of(status)
    if state == "succeeded":
        answer = unwrapped(output, "ok")
        if answer.get("stopped"):
            return "canceled", {}
        if "error" in answer:
            return "failed", {"error": answer["error"], "cause": answer.get("cause", "")}
        return state, {"output": answer.get("ok")}
    return state, _failed(output, custom) if state == "failed" else {}


def carrying(payload: Any) -> tuple[str, str]:
    """Return a name for a signal, and the text of the event that carries it."""
    from json import dumps
    from uuid import uuid4

    by = uuid4().hex[:12]
    return by, dumps({"payload": payload, "by": by})


def was_taken(status: Any, custom: Any, name: str, token: str, by: str) -> bool | None:
    """Tell by a run's status whether it took the signal *by*; None: it has not looked yet."""
    custom = custom if isinstance(custom, dict) else {}
    if by in custom.get("taken", ()):
        return True
    if state_of(status) != "running":
        return False
    if token in custom.get("waiting", {}).get(name, ()):
        return None
    # Without "taken" an older version runs there, which does not tell.
    return None if "taken" not in custom else False


def _failed(output: Any, custom: Any) -> dict[str, Any]:
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
        state, result = ended(found.runtime_status, found.output, found.custom_status)
        answer: dict[str, Any] = {"run": run, "state": state, **result}
        waits = await self.waits(found, DEEPEST)
        answer["waiting"] = sorted({name for name, _, _ in waits})
        return 200, answer

    async def signal(self, run: str, name: str, payload: Any) -> tuple[int, dict[str, Any]]:
        """Raise the event that a run, or one of its sub-workflows, waits for."""
        found = await self.found(run)
        if found is None:
            return 404, {"error": f"no run {run!r} of {self.workflow!r}"}
        for waited, instance, token in await self.waits(found, DEEPEST):
            if waited == name:
                by, text = carrying(payload)
                # An exception: it has ended meanwhile.
                try:
                    await self.client.raise_event(instance, f"{name}.{token}", text)
                except Exception as exc:
                    return 409, {"error": str(exc)}
                if await self.taken(instance, name, token, by):
                    return 200, {}
                break
        return 409, {"error": f"run {run!r} does not wait for {name!r}"}

    async def taken(self, instance: str, name: str, token: str, by: str) -> bool:
        """Tell whether the wait has ended by the signal *by*, and by no other."""
        from asyncio import sleep

        for seconds in LOOKS:
            status = await self.client.get_status(instance)
            found = was_taken(status.runtime_status, status.custom_status, name, token, by)
            if found is not None:
                return found
            await sleep(seconds)
        return True

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
