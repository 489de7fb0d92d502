"""What the dashboard shows of the application: its map and numbers, schedules, findings."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from portafaas.dev.api_calls import FINE, listed
from portafaas.dev.api_http import Call, Refused
from portafaas.dev.api_picture import tree
from portafaas.dev.api_store import boxes, clock, opened
from portafaas.plan import (
    BuildPlan,
    FunctionPlan,
    HttpTrigger,
    ObjectTrigger,
    QueueTrigger,
    ScheduleTrigger,
    TableTrigger,
    TopicTrigger,
)


def service(call: Call) -> dict[str, Any]:
    """Return what is running, and what it has."""
    import portafaas

    dev, plan = call.dev, call.dev.plan
    return {
        "service": plan.service,
        "stage": plan.stage,
        "target": dev.target,
        "url": dev.url,
        "version": portafaas.__version__,
        "clock": dev.clock.mode,
        "problems": [problem.as_dict() for problem in dev.problems],
        "functions": [_function(function) for function in plan.functions],
        "queues": [
            {"name": q.name, "ordered": q.ordered, "delay": q.delay, "retention": q.retention}
            for q in plan.queues
        ],
        "topics": [_topic(plan, topic.name, topic.ordered) for topic in plan.topics],
        "tables": [table.name for table in plan.tables],
        "buckets": [bucket.name for bucket in plan.buckets],
        "workflows": [flow.name for flow in plan.workflows],
        "secrets": [secret.name for secret in plan.secrets],
    }


def _function(function: FunctionPlan) -> dict[str, Any]:
    trigger = function.trigger
    out: dict[str, Any] = {
        "name": function.name,
        "kind": function.kind,
        "handler": f"{function.module}:{function.attribute}",
        "timeout": function.timeout,
        "memory": function.memory,
        "trigger": words(trigger),
    }
    match trigger:
        case HttpTrigger():
            out |= {"methods": list(trigger.methods), "path": trigger.path}
            out["auth"] = trigger.auth.scheme if trigger.auth else None
        case TopicTrigger():
            out["source"] = f"topic/{trigger.topic}"
        case QueueTrigger():
            out["source"] = f"queue/{trigger.queue}"
    return out


def words(trigger: Any) -> str:
    """Return a trigger for people: ``POST /orders``, ``queue payments``."""
    match trigger:
        case HttpTrigger():
            return f"{', '.join(trigger.methods) or 'ANY'} {trigger.path}"
        case ScheduleTrigger():
            return f"{trigger.cron} ({trigger.timezone})"
        case QueueTrigger():
            return f"queue {trigger.queue}"
        case TopicTrigger():
            return f"topic {trigger.topic}"
        case ObjectTrigger():
            return f"bucket {trigger.bucket}: {trigger.prefix}*{trigger.suffix}"
        case TableTrigger():
            return f"table {trigger.table}: {' or '.join(trigger.on)}"
        case _:
            return "workflows"


def _topic(plan: BuildPlan, name: str, ordered: bool) -> dict[str, Any]:
    types = dict.fromkeys(t for f in plan.functions for t in f.emitted(name) or ())
    for function in plan.functions:
        trigger = function.trigger
        if isinstance(trigger, TopicTrigger) and trigger.topic == name:
            types |= dict.fromkeys(v for k, vs in trigger.filter if k == "type" for v in vs)
    return {"name": name, "ordered": ordered, "types": list(types)}


def map_(call: Call) -> dict[str, Any]:
    """Return the graph, its picture, and the element of each node in it."""
    from portafaas.graph import graph_of
    from portafaas.graph.document import document
    from portafaas.graph.svg import KINDS, description, identifier, svg

    graph = graph_of(call.dev.plan)
    return {
        "graph": document(graph),
        "about": description(graph),
        "kinds": {kind: name for kind, (name, _, _) in KINDS.items()},
        "elements": {node.id: identifier(node.id) for node in graph.nodes},
        "picture": tree(svg(graph, embedded=True)),
    }


_LAST = ("id", "status", "started", "seconds")


def numbers(call: Call) -> dict[str, Any]:
    """Return the live numbers: of each node of the map, and what is to be looked at."""
    dev, plan = call.dev, call.dev.plan
    nodes: dict[str, dict[str, Any]] = {}
    counts = dev.activity.counts()
    for function in plan.functions:
        by = counts.get(function.name, {})
        last = dev.activity.list(function=function.name, limit=1) if by else []
        nodes[f"function:{function.name}"] = {
            "calls": sum(by.values()),
            "failed": sum(count for status, count in by.items() if status not in FINE),
            "last": {name: last[0][name] for name in _LAST} if last else None,
        }
    dead = 0
    for box in boxes(call):
        dead += box["dead"] or 0
        facts = {name: box[name] for name in ("ready", "later", "leased", "dead", "oldest", "due")}
        if box["kind"] == "queue":
            nodes[f"queue:{box['name']}"] = facts
            nodes[f"dead-letters:{box['name']}"] = {"dead": box["dead"] or 0}
        else:
            nodes.setdefault(f"function:{box['name']}", {}).update(facts)
    runs = _stored(dev, nodes)
    problems = [finding["severity"] for finding in findings(call)["findings"]]
    return {
        "nodes": nodes,
        "dead": dead,
        "runs": runs,
        "errors": problems.count("error"),
        "warnings": problems.count("warning"),
        "clock": clock(call),
    }


def _stored(dev: Any, nodes: dict[str, dict[str, Any]]) -> dict[str, int]:
    """Add what lies in tables and buckets and the runs of workflows; return the runs by state."""
    total: dict[str, int] = {}
    with opened(dev) as connection:
        counts = "select name, count(*) from {} group by name"
        rows = dict(connection.execute(counts.format("items")))
        objects = dict(connection.execute(counts.format("objects")))
        runs = connection.execute("select workflow, state, count(*) from runs group by 1, 2")
        for workflow, state, count in runs.fetchall():
            nodes.setdefault(f"workflow:{workflow}", {})[state] = count
            total[state] = total.get(state, 0) + count
    for table in dev.plan.tables:
        nodes[f"table:{table.name}"] = {"rows": rows.get(table.name, 0)}
    for bucket in dev.plan.buckets:
        nodes[f"bucket:{bucket.name}"] = {"objects": objects.get(bucket.name, 0)}
    return total


def schedules(call: Call) -> list[dict[str, Any]]:
    """Return the functions with a schedule, and when each fires next, by the store's clock."""
    from portafaas.schedule import parse_cron

    now = datetime.fromtimestamp(clock(call)["now"], UTC)
    out = []
    waiting = {box["box"]: box for box in boxes(call)}
    for function in call.dev.plan.functions:
        trigger = function.trigger
        if isinstance(trigger, ScheduleTrigger):
            times = parse_cron(trigger.cron, trigger.timezone).fire_times(now, 5)
            last = call.dev.activity.list(function=function.name, limit=1)
            box = waiting[f"function/{function.name}"]
            missed = call.dev.missed.get(function.name)
            out.append(
                {
                    "function": function.name,
                    "cron": trigger.cron,
                    "timezone": trigger.timezone,
                    "next": [moment.timestamp() for moment in times],
                    "last": listed(call.dev.activity, last[0]) if last else None,
                    "waiting": box["ready"] + box["later"] + box["leased"],
                    "dead": box["dead"],
                    "missed": missed and {"count": missed.count, "last": missed.last},
                }
            )
    return out


def secrets(call: Call) -> list[dict[str, Any]]:
    """Return the declared secrets and since when each has a value; never the value."""
    from portafaas.local.secrets import LocalSecrets

    users: dict[str, list[str]] = {}
    for function in call.dev.plan.functions:
        for use in function.uses:
            if use.kind == "secret":
                users.setdefault(use.name, []).append(function.name)
    facts = LocalSecrets(call.dev.root, call.dev.plan).list()
    return [
        {"name": one.name, "changed": one.changed or None, "functions": users.get(one.name, [])}
        for one in facts
    ]


def findings(call: Call) -> dict[str, Any]:
    """Return what ``check`` says: code, message, path, file, line, hint, and for which ``targets``.

    First what keeps the files as they are now from running here, of no target. ``checked`` are the
    targets that were asked; none before the first time.
    """
    found: dict[Any, list[str]] = {problem: [] for problem in call.dev.problems}
    for target, problems in call.dev.findings_of.items():
        for problem in problems:
            found.setdefault(problem, []).append(target)
    return {
        "checked": list(call.dev.findings_of),
        "findings": [{**one.as_dict(), "targets": targets} for one, targets in found.items()],
    }


def known_function(plan: BuildPlan, name: str) -> FunctionPlan:
    """Return a function of the plan; raises Refused when there is none."""
    found = next((function for function in plan.functions if function.name == name), None)
    if found is None:
        raise Refused(404, "PF7002", f"there is no function {name!r}")
    return found
