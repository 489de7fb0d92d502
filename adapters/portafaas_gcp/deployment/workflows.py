"""Operating workflows: ``portafaas workflow`` over the Workflow Executions API.

https://cloud.google.com/workflows/docs/reference/executions/rest
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from portafaas.deployment.workflows import RunState, State, StepEvent, Workflows, refused
from portafaas.errors import DeploymentError, guess
from portafaas.plan import BuildPlan
from portafaas_gcp import names
from portafaas_gcp.deployment.cloud import Cloud
from portafaas_gcp.deployment.histories import events_of, time_of
from portafaas_gcp.runtime import workflow as runs
from portafaas_gcp.workflows.calling import RUN
from portafaas_gcp.workflows.source import written

_API = "workflowexecutions"


class GcpWorkflows(Workflows):
    """The workflows of one service and stage."""

    def __init__(self, cloud: Cloud, plan: BuildPlan) -> None:
        self._cloud = cloud
        self._plan = plan

    def start(self, workflow: str, input: Any) -> str:
        """Start a run; PF8043 for an input of more than 32 KB."""
        try:
            argument = runs.argument_of(input)
        except ValueError as exc:
            raise refused("PF8043", str(exc)) from None
        path = f"{self._path(workflow)}/executions"
        found = self._cloud.call(_API, "POST", path, body={"argument": argument}, absent=True)
        if found is None:
            raise refused("PF8010", f"the workflow {workflow!r} is not deployed")
        return str(found["name"]).rpartition("/")[2]

    def runs(self, workflow: str, limit: int) -> Sequence[RunState]:
        """Return the latest runs without their inputs and outputs."""
        out: list[RunState] = []
        query = {"pageSize": min(limit, 1000), "view": "FULL"}
        path = f"{self._path(workflow)}/executions"
        for found in self._cloud.pages(_API, path, "executions", query):
            if len(out) == limit:
                break
            if RUN not in (found.get("labels") or {}):
                out.append(_run(workflow, found))
        return out

    def status(self, workflow: str, run: str) -> RunState:
        """Return one run."""
        found = self._found(workflow, run)
        state = _run(workflow, found)
        if state.state != "running":
            return state
        waiting = tuple(runs.waiting(self._reader(workflow, run)))
        return _run(workflow, found, waiting)

    def history(self, workflow: str, run: str) -> Sequence[StepEvent]:
        """Return what happened in a run, without inputs and outputs, which are not kept."""
        self._found(workflow, run)
        path = f"{self._path(workflow)}/executions/{run}/stepEntries"
        machine = self._plan.workflow(workflow).machine
        entries = self._cloud.pages(_API, path, "stepEntries", {"pageSize": 1000})
        return events_of(machine, entries)

    def signal(self, workflow: str, run: str, name: str, payload: Any) -> None:
        """Hand a JSON value to a run; as the handlers' client does."""
        state = self.status(workflow, run)
        if state.state != "running":
            raise refused("PF8041", f"run {run} does not wait for {name!r}: it is {state.state}")
        path = f"{self._path(workflow)}/executions/{run}/callbacks"

        def post(callback: str, body: Mapping[str, Any]) -> bool:
            try:
                place = f"{path}/{callback}"
                return self._cloud.call(_API, "POST", place, body=body, absent=True) is not None
            except DeploymentError as exc:
                # A callback that is about to go on takes no more (429).
                if exc.diagnostics[0].code != "PF8009":
                    raise
                return False

        taken = name in state.waiting and runs.give(
            self._reader(workflow, run), post, name, payload
        )
        if not taken:
            raise refused(
                "PF8041", f"run {run} does not wait for {name!r}",
                "another one came first" if name in state.waiting
                else f"it waits for: {', '.join(state.waiting) or 'no signal'}",
            )  # fmt: skip

    def cancel(self, workflow: str, run: str) -> None:
        """Stop a run."""
        state = self.status(workflow, run).state
        if state != "running":
            raise refused("PF8042", f"run {run} has ended: {state}")
        path = f"{self._path(workflow)}/executions"
        self._cloud.call(_API, "POST", f"{path}/{run}:cancel", body={})
        if not written(self._plan, self._plan.workflow(workflow), str).apart:
            return
        # Parts of it that have executions of their own.
        for found in self._cloud.pages(
            _API, path, "executions", {"pageSize": 1000, "view": "FULL"}
        ):
            of = (found.get("labels") or {}).get(RUN)
            if of == run and found.get("state") in ("ACTIVE", "QUEUED"):
                self._cloud.call(_API, "POST", f"v1/{found['name']}:cancel", body={})

    def _path(self, workflow: str) -> str:
        known = [item.name for item in self._plan.workflows]
        if workflow not in known:
            hint = guess(workflow, known) or f"one of: {', '.join(known) or 'none'}"
            raise refused("PF2002", f"no workflow is called {workflow!r}", hint)
        name = names.physical(self._plan, workflow, names.WORKFLOW)
        parent = f"projects/{self._cloud.project}/locations/{self._cloud.region}"
        return f"v1/{parent}/workflows/{name}"

    def _found(self, workflow: str, run: str) -> Mapping[str, Any]:
        get = self._reader(workflow, run)
        found = get("")
        if found is None:
            raise refused("PF8040", f"there is no run {run} of {workflow}")
        return found

    def _reader(self, workflow: str, run: str) -> Callable[[str], Mapping[str, Any] | None]:
        path = f"{self._path(workflow)}/executions/{run}"

        def get(below: str) -> Mapping[str, Any] | None:
            place = f"{path}/{below}".rstrip("/")
            found: Mapping[str, Any] | None = self._cloud.call(_API, "GET", place, absent=True)
            return found

        return get


def _run(workflow: str, found: Mapping[str, Any], waiting: tuple[str, ...] = ()) -> RunState:
    import json

    state, output, error, cause = runs.outcome(found)
    word: State = state  # type: ignore[assignment]
    argument = json.loads(found.get("argument") or "null")
    return RunState(
        workflow,
        str(found["name"]).rpartition("/")[2],
        word,
        time_of(found.get("startTime") or found.get("createTime")),
        time_of(found.get("endTime")) if "endTime" in found else 0.0,
        argument.get("input") if isinstance(argument, dict) else None,
        output,
        error,
        cause,
        waiting,
    )
