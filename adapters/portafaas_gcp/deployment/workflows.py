"""Operating workflows: ``portafaas workflow`` over the Workflow Executions API.

https://cloud.google.com/workflows/docs/reference/executions/rest
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from portafaas.deployment.workflows import RunState, State, StepEvent, What, Workflows
from portafaas.errors import DeploymentError, Diagnostic, guess
from portafaas.plan import BuildPlan
from portafaas.plan.machines import every_step
from portafaas_gcp import names
from portafaas_gcp.deployment.cloud import Cloud
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
            raise _refused("PF8043", str(exc)) from None
        path = f"{self._path(workflow)}/executions"
        found = self._cloud.call(_API, "POST", path, body={"argument": argument}, absent=True)
        if found is None:
            raise _refused("PF8010", f"the workflow {workflow!r} is not deployed")
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
        loops = {
            name: loop
            for item in self._plan.workflows
            for loop, step in every_step(item.machine)
            if step["kind"] == "loop"
            for name in step["machine"]["steps"]
        }
        return events(self._cloud.pages(_API, path, "stepEntries", {"pageSize": 1000}), loops)

    def signal(self, workflow: str, run: str, name: str, payload: Any) -> None:
        """Hand a JSON value to a run; as the handlers' client does."""
        state = self.status(workflow, run)
        if state.state != "running":
            raise _refused("PF8041", f"run {run} does not wait for {name!r}: it is {state.state}")
        taken = False
        if name in state.waiting:
            body = {"signal": name, "payload": payload}
            for callback in runs.open_callbacks(self._reader(workflow, run)):
                path = f"{self._path(workflow)}/executions/{run}/callbacks/{callback}"
                found = self._cloud.call(_API, "POST", path, body=body, absent=True)
                taken = taken or found is not None
        if not taken:
            raise _refused(
                "PF8041", f"run {run} does not wait for {name!r}",
                f"it waits for: {', '.join(state.waiting) or 'no signal'}",
            )  # fmt: skip

    def cancel(self, workflow: str, run: str) -> None:
        """Stop a run."""
        state = self.status(workflow, run).state
        if state != "running":
            raise _refused("PF8042", f"run {run} has ended: {state}")
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
            raise _refused("PF2002", f"no workflow is called {workflow!r}", hint)
        name = names.physical(self._plan, workflow, names.WORKFLOW)
        parent = f"projects/{self._cloud.project}/locations/{self._cloud.region}"
        return f"v1/{parent}/workflows/{name}"

    def _found(self, workflow: str, run: str) -> Mapping[str, Any]:
        get = self._reader(workflow, run)
        found = get("")
        if found is None:
            raise _refused("PF8040", f"there is no run {run} of {workflow}")
        return found

    def _reader(self, workflow: str, run: str) -> Callable[[str], Mapping[str, Any] | None]:
        path = f"{self._path(workflow)}/executions/{run}"

        def get(below: str) -> Mapping[str, Any] | None:
            place = f"{path}/{below}".rstrip("/")
            found: Mapping[str, Any] | None = self._cloud.call(_API, "GET", place, absent=True)
            return found

        return get


def _refused(code: str, message: str, hint: str | None = None) -> DeploymentError:
    return DeploymentError("workflows:", [Diagnostic(code, message, hint=hint)])


def _time(text: Any) -> float:
    try:
        return datetime.fromisoformat(str(text).replace("Z", "+00:00")).timestamp()
    except ValueError:
        return 0.0


def _run(workflow: str, found: Mapping[str, Any], waiting: tuple[str, ...] = ()) -> RunState:
    import json

    state, output, error, cause = runs.outcome(found)
    word: State = state  # type: ignore[assignment]
    argument = json.loads(found.get("argument") or "null")
    return RunState(
        workflow,
        str(found["name"]).rpartition("/")[2],
        word,
        _time(found.get("startTime") or found.get("createTime")),
        _time(found.get("endTime")) if "endTime" in found else 0.0,
        argument.get("input") if isinstance(argument, dict) else None,
        output,
        error,
        cause,
        waiting,
    )


def events(entries: Iterable[Mapping[str, Any]], loops: Mapping[str, str]) -> list[StepEvent]:
    """Return what step entries tell of the manifest's steps, in the order of time.

    *loops* gives the loop by the name of a step right inside it.

    An entry has a name, a routine, times and the entry around it; what was computed is not kept. So
    what came of a step is read off the steps that came after it (``workflows/machine.py``).
    """
    known: dict[str, Mapping[str, Any]] = {}
    out: list[StepEvent] = []
    counts: dict[str, int] = {}
    #: Per routine that runs (the entry around its steps): the step that it is at.
    present: dict[str, tuple[str, str]] = {}
    undoing: dict[str, str] = {}
    failed: set[tuple[str, str]] = set()
    repeated: dict[tuple[str, str], str] = {}
    for entry in sorted(entries, key=lambda item: int(item["entryId"])):
        known[str(entry["entryId"])] = entry
        around = str((entry.get("navigationInfo") or {}).get("parent", ""))
        routine, step = str(entry.get("routine", "")), str(entry.get("step", ""))
        # What a step tries may be an entry of the same name.
        inner = str(known.get(around, {}).get("step", ""))
        began = _time(entry.get("createTime"))

        def tell(what: What, name: str, place: str, when: float, attempt: int = 0) -> None:
            out.append(StepEvent(when, name, what, place, attempt))

        if routine.startswith("run_") and step.startswith("u_") and "__" not in step:
            undoing[around] = runs.decoded(step[2:])
        elif routine.startswith("run_") and around in undoing and step in ("undo_more", "undo_bad"):
            name = undoing.pop(around)
            tell("undone" if step == "undo_more" else "undo-failed", name, name, began)
        elif routine == "portafaas_call" and step == "send" and inner != "send":
            of = _step_around(known, around)
            if of is not None:
                name = of[1]
                place = present.get(of[0], (name, name))[1]
                key = f"{of[2]} {place}"
                counts[key] = counts.get(key, 0) + 1
                tell("started", name, place, began, counts[key])
        elif routine.startswith("steps_") and step.startswith(runs.AWAIT):
            name, place = present.get(around, ("", ""))
            tell("waiting", name, place, began)
        elif routine.startswith("steps_") and step.startswith("s_") and "__" not in step:
            name = runs.decoded(step[2:])
            path = "/".join((*_path(known, around), name))
            counts[path] = counts.get(path, -1) + 1
            place = f"{path}#{counts[path]}" if counts[path] else path
            before = present.get(around)
            if before is not None and loops.get(name) != before[0]:
                tell("succeeded", *before, began)
            repeated[around, name] = place
            present[around] = (name, place)
            tell("started", name, place, began)
        elif routine.startswith("steps_") and around in present:
            name, place = present[around]
            again = runs.decoded(step[2:].partition("__")[0])
            if step.endswith("__while") and again != name:
                tell("succeeded", name, place, began)
                present[around] = (again, repeated.get((around, again), again))
            elif step == "finished":
                tell("succeeded", name, place, began)
                del present[around]
            elif step == "failed" or step.endswith("__failed"):
                if (around, place) not in failed:
                    tell("failed", name, place, began)
                failed.add((around, place))
                if step == "failed":
                    del present[around]
            elif "__catch_" in step and not step.endswith("_put"):
                tell("caught", name, place, began)
                del present[around]
    return out


def _step_around(
    known: Mapping[str, Mapping[str, Any]], number: str
) -> tuple[str, str, str] | None:
    """Return the routine's entry, the step, and the entry of the call that an entry is within."""
    while number in known:
        entry = known[number]
        around = str((entry.get("navigationInfo") or {}).get("parent", ""))
        step = str(entry.get("step", ""))
        if str(entry.get("routine", "")).startswith("run_") and step.startswith("u_"):
            return None
        if str(entry.get("routine", "")).startswith("steps_") and step.endswith("__call"):
            return around, runs.decoded(step[2:].partition("__")[0]), number
        number = around
    return None


def _path(known: Mapping[str, Mapping[str, Any]], number: str) -> list[str]:
    """Return the names of the steps that an entry is within, the outermost first."""
    out: list[str] = []
    while number in known:
        entry = known[number]
        step = str(entry.get("step", ""))
        if str(entry.get("routine", "")).startswith("steps_") and step.startswith("s_"):
            name, _, part = step[2:].partition("__")
            if part.startswith("call") or part == "run":
                place = runs.decoded(name)
                out.append(f"{place}/{_item(known, number)}".rstrip("/"))
        number = str((entry.get("navigationInfo") or {}).get("parent", ""))
    return out[::-1]


def _item(known: Mapping[str, Mapping[str, Any]], number: str) -> str:
    """Return the index of the iteration that the entry *number* is in, if any."""
    entry = known[number]
    while True:
        progress = (entry.get("stepEntryMetadata") or {}).get("progressNumber")
        if progress:
            return str(int(progress) - 1)
        around = str((entry.get("navigationInfo") or {}).get("parent", ""))
        if around not in known or known[around].get("routine") != entry.get("routine"):
            return ""
        entry = known[around]
