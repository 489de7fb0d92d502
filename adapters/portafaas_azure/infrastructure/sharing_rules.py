"""Which functions an app runs, how many instances of it there are, and where it is reached. Pure.

Nobody shares an app with a function that is set otherwise; that nobody shares a permission either
is what ``grants_rules`` checks, function by function.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from portafaas.plan import BuildPlan, FunctionPlan
from portafaas_azure.infrastructure.apps_rules import settings_of
from portafaas_azure.infrastructure.graph import Node


def running(
    plan: BuildPlan, sites: list[Node], found: list[str]
) -> Iterator[tuple[str, Node]]:
    """Yield the entry of each function and its app; what shares one wrongly goes to *found*."""
    functions = {function.entry: function for function in plan.functions}
    taken: set[str] = set()
    for site in sites:
        entries = str(settings_of(site).get("PORTAFAAS_FUNCTIONS", "")).split(",")
        for entry in entries:
            if entry not in functions:
                found.append(f"an app runs {entry!r}, which is no function")
            elif entry in taken:
                found.append(f"{functions[entry].name}: two apps run it")
            else:
                taken.add(entry)
                yield entry, site
        tasks = {functions[entry].kind for entry in entries if entry in functions} == {"task"}
        if len(entries) > 1 and plan.options.get("apps") != "grouped" and not tasks:
            found.append(f"{site.label}: runs several functions")
        members = [functions[entry] for entry in entries if entry in functions]
        scale = site.properties.get("functionAppConfig", {}).get("scaleAndConcurrency", {})
        for one in scale.get("alwaysReady", ()):
            if one.get("name") not in {scaled(member) for member in members}:
                found.append(f"{site.label}: keeps {one.get('name')} ready, which it does not run")
        if tasks:
            # The one app whose functions differ: it has what any of them needs.
            continue
        alike = [
            (
                *(f.kind, f.timeout, f.concurrency, f.min_instances, f.max_instances),
                *(dict(f.environment), _auth(f)),
            )
            for f in members
        ]
        if any(one != alike[0] for one in alike):
            found.append(f"{site.label}: its functions differ in what they share")


def _auth(function: FunctionPlan) -> tuple[bool, str]:
    """Return whether callers sign in at the platform, and the variable of their keys."""
    auth = getattr(function.trigger, "auth", None)
    return (auth is not None and auth.scheme == "iam", auth.keys if auth is not None else "")


def owned(plan: BuildPlan, function: FunctionPlan, tags: list[Mapping[str, Any]]) -> bool:
    """Return whether *tags*, of what *function* runs on, all name the function or one group."""
    names = {(one.get("function", ""), one.get("app", "")) for one in tags}
    if names == {(function.name, "")}:
        return True
    if function.kind == "task":
        return names == {("", "workflows")}
    several = function.kind in ("http", "schedule", "table")
    shared = several and plan.options.get("apps") == "grouped"
    return shared and len(names) == 1 and next(iter(names))[1].startswith(f"{function.kind}-")


def scaled(function: FunctionPlan) -> str:
    """Return what Azure calls the instances that *function* runs in."""
    groups = {"http": "http", "task": "durable"}
    return groups.get(function.trigger.kind, "function:" + function.entry)


def most(plan: BuildPlan, function: FunctionPlan) -> int:
    """Return on how many instances *function* may run."""
    if function.kind == "task":
        every = [f.max_instances for f in plan.functions if f.kind == "task" and f.max_instances]
        return min(every) if every else 100
    own = function.max_instances or 100
    if function.trigger.kind == "queue":
        bound = plan.queue(function.trigger.queue).max_concurrency
        if bound:
            own = min(bound // function.concurrency, function.max_instances or 1000, 1000)
    return own


def check_urls(
    plan: BuildPlan, apps: Mapping[str, Node], outputs: Mapping[str, Any]
) -> Iterator[str]:
    """Yield what the outputs do not say, or say wrongly: *apps* by entry, *outputs* evaluated."""
    urls = {
        function.name: f"https://{apps[function.entry].name}.azurewebsites.net"
        for function in plan.functions
        if function.kind == "http" and function.entry in apps
    }
    wanted: dict[str, tuple[str, Any]] = {"urls": ("object", urls)} if urls else {}
    if plan.secrets:
        wanted["vault"] = ("string", None)
    if plan.queues or plan.topics or plan.tables or plan.buckets or plan.secrets:
        wanted["addresses"] = ("object", None)
    if set(outputs) != set(wanted):
        yield f"outputs are {', '.join(outputs)}"
    for name, (kind, value) in wanted.items():
        found = outputs.get(name, {})
        if found.get("type") != kind or (value is not None and found.get("value") != value):
            yield f"output {name!r} is {found.get('value')!r}"
