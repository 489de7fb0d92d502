"""Workflows and their runs, drawn step by step."""

from __future__ import annotations

import sqlite3
from typing import Any

from portafaas.dev.api_http import Call, Refused
from portafaas.dev.api_picture import tree
from portafaas.dev.api_samples import workflow as sample_of
from portafaas.dev.api_store import opened
from portafaas.local.operations import LocalWorkflows
from portafaas.plan import BuildPlan, WorkflowPlan

_STATES = ("running", "succeeded", "failed", "canceled")




def known_workflow(plan: BuildPlan, name: str) -> WorkflowPlan:
    """Return a workflow of the plan; raises Refused when there is none."""
    found = next((flow for flow in plan.workflows if flow.name == name), None)
    if found is None:
        raise Refused(404, "PF8040", f"there is no workflow {name!r}")
    return found


def operations(dev: Any) -> LocalWorkflows:
    """Return what works on the runs of the application's store."""
    return LocalWorkflows(dev.root, dev.plan)


def workflows(call: Call) -> list[dict[str, Any]]:
    """Return the workflows, how many runs each has by state, and a sample of their input."""
    with opened(call.dev) as connection:
        rows = connection.execute("select workflow, state, count(*) from runs group by 1, 2")
        counts = {(name, state): count for name, state, count in rows.fetchall()}
    plan = call.dev.plan
    return [
        {
            "name": flow.name,
            "runs": {state: counts.get((flow.name, state), 0) for state in _STATES},
            "sample": sample_of(plan, flow.name),
        }
        for flow in plan.workflows
    ]


def workflow(call: Call) -> dict[str, Any]:
    """Return the picture of a workflow's definition."""
    from portafaas.graph.machine_svg import description, machine_svg

    flow = known_workflow(call.dev.plan, call.params["workflow"])
    return {
        "name": flow.name,
        "about": description(flow),
        "picture": tree(machine_svg(flow, embedded=True)),
        "sample": sample_of(call.dev.plan, flow.name),
    }


def runs(call: Call) -> dict[str, Any]:
    """Return runs of all workflows, or one, the newest first, without input and output.

    Query: ``workflow``, ``state``, ``before`` (a number), ``limit``.
    """
    limit = call.number("limit", 50, 500)
    where, values = ["1"], []
    for name in ("workflow", "state"):
        if call.query.get(name):
            where.append(f"{name} = ?")
            values.append(call.query[name])
    if call.query.get("before"):
        where.append("number < ?")
        values.append(str(call.number("before", 1, 1 << 62)))
    with opened(call.dev) as connection:
        found = connection.execute(
            "select number, id, workflow, state, started, ended, parent, "
            "json_extract(outcome, '$.error'), (select group_concat(distinct name) from steps "
            "where run = runs.id and kind = 'signal' and ended is null), "
            "(select step from steps where run = runs.id order by number desc limit 1) "
            f"from runs where {' and '.join(where)} order by number desc limit ?",
            (*values, limit + 1),
        ).fetchall()
    out = []
    for number, id_, flow, state, started, ended, parent, error, signals, step in found[:limit]:
        names = signals.split(",") if signals and state == "running" else []
        out.append(
            {
                "number": number, "run": id_, "workflow": flow, "state": state,
                "started": started, "ended": ended, "parent": parent, "error": error,
                "waiting": names, "step": step,
            }
        )  # fmt: skip
    return {"runs": out, "before": out[-1]["number"] if len(found) > limit else None}


def run(call: Call) -> dict[str, Any]:
    """Return a run: how it is, what happened in it, and its picture as it is now."""
    from portafaas.graph.machine_svg import machine_svg
    from portafaas.graph.machine_text import machine_document
    from portafaas.local.resources import store
    from portafaas.local.runs import Runs

    dev, name, id_ = call.dev, call.params["workflow"], call.params["run"]
    made = operations(dev)
    state = made.status(name, id_)
    events = made.history(name, id_)
    kept = Runs(store(dev.root, dev.plan.stage))
    try:
        found = kept.run(id_)
    finally:
        kept.close()
    # A run keeps the definition that it was begun with.
    machine = found.machine if found is not None else None
    flow = next((one for one in dev.plan.workflows if one.name == name), None)
    picture = document = None
    if machine is not None or flow is not None:
        drawn: Any = flow if machine is None else WorkflowPlan(name, machine)
        picture = tree(machine_svg(drawn, state, events, embedded=True))
        document = machine_document(drawn, state, events)
    return {
        "workflow": name,
        "run": id_,
        "state": state.state,
        "started": state.started,
        "ended": state.ended or None,
        "input": state.input,
        "output": state.output,
        "error": state.error,
        "cause": state.cause,
        "waiting": list(state.waiting),
        "parent": found.parent if found is not None else None,
        "known": flow is not None,
        "history": [
            {
                "time": event.time, "step": event.step, "what": event.what, "place": event.place,
                "attempt": event.attempt, "detail": event.detail, "error": event.error,
                "cause": event.cause,
            }
            for event in events
        ],
        "steps": [step for one in document["machines"] for step in one["steps"]]
        if document
        else [],
        "picture": picture,
        "calls": _calls(dev, id_),
    }  # fmt: skip


def _calls(dev: Any, run: str) -> dict[str, dict[str, Any]]:
    """Return the invocations of a run's steps that are still known, by place and attempt."""
    if not dev.activity.file.exists():
        return {}
    connection = sqlite3.connect(f"{dev.activity.file.as_uri()}?mode=ro", uri=True, timeout=10)
    try:
        rows = connection.execute(
            "select json_extract(document, '$.request.task.key'), "
            "json_extract(document, '$.request.task.attempt'), id, status, seconds "
            "from invocations where kind = 'task' "
            "and json_extract(document, '$.request.task.run') = ? order by number",
            (run,),
        ).fetchall()
    except sqlite3.OperationalError:
        # Nothing was recorded yet.
        return {}
    finally:
        connection.close()
    return {
        f"{key.removeprefix(run)[1:]} {attempt}": {"id": id_, "status": status, "seconds": seconds}
        for key, attempt, id_, status, seconds in rows
        if key
    }
