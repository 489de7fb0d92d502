"""What a plan needs, and whether a target offers it: silence is an error, a gap a refusal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, assert_never

from portafaas.adapter import Adapter, Capability, Support
from portafaas.errors import AdapterError, Diagnostic, UnsupportedCapabilityError
from portafaas.manifest import Manifest
from portafaas.manifest.validate import Validator, knows
from portafaas.plan import (
    BuildPlan,
    FunctionPlan,
    HttpTrigger,
    ObjectTrigger,
    QueueTrigger,
    ScheduleTrigger,
    TableTrigger,
    TaskTrigger,
    TopicTrigger,
)

Need = tuple[Capability, tuple[str | int, ...], str]

_WHY = {
    Support.NOT_IMPLEMENTED: "does not support {what} yet",
    Support.UNSUPPORTED: "cannot support {what}: the platform has no such thing",
}


def needs(plan: BuildPlan) -> Iterator[Need]:
    """Yield every capability the plan uses, with the place in the manifest that asks for it."""
    if plan.architecture == "aarch64":
        yield Capability.ARCHITECTURE_ARM, ("architecture",), "architecture aarch64"
    for workflow in plan.workflows:
        yield Capability.WORKFLOW, ("workflows", workflow.name), "workflows"
    for alert in plan.alerts:
        yield Capability(f"alert.{alert.metric}"), ("alerts", alert.name), f"alerts {alert.metric}"
    for function in plan.functions:
        yield from _function_needs(plan, function)


def _function_needs(plan: BuildPlan, function: FunctionPlan) -> Iterator[Need]:
    trigger = function.trigger
    path = ("functions", function.name, "trigger", trigger.kind)
    if function.concurrency > 1:
        yield (
            Capability.CONCURRENCY,
            ("functions", function.name, "concurrency"),
            f"concurrency {function.concurrency}",
        )
    if function.min_instances:
        yield (
            Capability.MIN_INSTANCES,
            ("functions", function.name, "min-instances"),
            "min-instances",
        )
    if function.max_instances:
        yield (
            Capability.MAX_INSTANCES,
            ("functions", function.name, "max-instances"),
            "max-instances",
        )
    yield Capability(f"trigger.{trigger.kind}"), path, f"{trigger.kind} triggers"
    match trigger:
        case HttpTrigger():
            if trigger.path.endswith("*}"):
                yield Capability.HTTP_WILDCARD_PATH, (*path, "path"), "wildcard paths"
            if trigger.cors is not None:
                yield Capability.HTTP_CORS, (*path, "cors"), "CORS"
            if trigger.auth is not None:
                scheme = trigger.auth.scheme
                yield Capability(f"http.auth.{scheme}"), (*path, "auth"), f"auth {scheme}"
            if trigger.rate is not None:
                yield Capability.HTTP_RATE, (*path, "rate"), "rate limits"
            if function.interface != "handler":
                yield (
                    Capability(f"http.{function.interface}"),
                    ("functions", function.name, "interface"),
                    f"{function.interface.upper()} applications",
                )
        case ScheduleTrigger():
            if trigger.timezone != "UTC":
                yield Capability.SCHEDULE_TIMEZONE, (*path, "timezone"), "time zones"
        case QueueTrigger():
            if trigger.batch > 1:
                yield Capability.QUEUE_BATCH, (*path, "batch"), "batches"
            if plan.queue(trigger.queue).ordered:
                yield (
                    Capability.QUEUE_ORDERED,
                    ("queues", trigger.queue, "ordered"),
                    "ordered queues",
                )
        case TopicTrigger():
            if trigger.filter:
                yield Capability.TOPIC_FILTER, (*path, "filter"), "topic filters"
            if plan.topic(trigger.topic).ordered:
                yield (
                    Capability.TOPIC_ORDERED,
                    ("topics", trigger.topic, "ordered"),
                    "ordered topics",
                )
        case ObjectTrigger():
            if "deleted" in trigger.on:
                yield Capability.OBJECT_DELETED, (*path, "on"), "deleted objects"
            if trigger.suffix:
                yield Capability.OBJECT_SUFFIX, (*path, "suffix"), "object name suffixes"
        case TableTrigger():
            if "insert" in trigger.on or "update" in trigger.on:
                yield (
                    Capability.TABLE_INSERT,
                    (*path, "on"),
                    "inserts told apart from updates (use upsert)",
                )
            if "delete" in trigger.on:
                yield Capability.TABLE_DELETE, (*path, "on"), "deleted rows"
            if "old" in trigger.images:
                yield Capability.TABLE_OLD_IMAGE, (*path, "images"), "old row images"
        case TaskTrigger():
            pass
        case _:
            assert_never(trigger)


def check_target(manifest: Manifest, plan: BuildPlan, adapter: Adapter) -> list[Diagnostic]:
    """Check options, capabilities and limits of one target; return its warnings and notes.

    Raises AdapterError (PF4001) for option blocks that do not fit the adapter's schema, and
    UnsupportedCapabilityError for every PF3001 (missing capability), PF3002 (over a limit) and
    PF3004 (Python version the platform does not run) at once.
    """
    wrong = _options(manifest, plan, adapter)
    if wrong:
        raise AdapterError(f"options of target {adapter.target!r} are not valid:", wrong)
    found: list[Diagnostic] = []
    for capability, path, what in needs(plan):
        support = adapter.capabilities[capability]
        if support is not Support.FULL:
            found.append(
                manifest.diagnostic(
                    "PF3001",
                    _line(plan, path),
                    f"target {adapter.target!r} {_WHY[support].format(what=what)} ({capability})",
                    "leave the target out, or change the manifest",
                )
            )
    if plan.python not in adapter.layout.pythons:
        found.append(
            manifest.diagnostic(
                "PF3004",
                ("python",),
                f"target {adapter.target!r} does not run Python {plan.python}; "
                f"it runs {', '.join(adapter.layout.pythons)}",
            )
        )
    noted = [
        manifest.diagnostic(
            "PF4010",
            path,
            f"only target {adapter.target!r} knows this setting: {', '.join(options)}",
            "what it does must be done by hand on other targets",
            severity="note",
        )
        for _, path, options in _blocks(plan, adapter)
    ]
    for diagnostic in adapter.check(plan):
        placed = place(manifest, diagnostic, plan)
        (found if placed.severity == "error" else noted).append(placed)
    if found:
        raise UnsupportedCapabilityError(f"cannot build for target {adapter.target!r}:", found)
    return noted


def _blocks(
    plan: BuildPlan, adapter: Adapter
) -> list[tuple[str, tuple[str | int, ...], Mapping[str, Any]]]:
    """Return (level, path, options) of each ``targets.<name>`` block that holds anything."""
    blocks: list[tuple[str, tuple[str | int, ...], Mapping[str, Any]]] = [
        ("service", ("targets", adapter.target), plan.options)
    ]
    blocks += [
        ("function", ("functions", f.name, "targets", adapter.target), f.options)
        for f in plan.functions
    ]
    for kind in ("queue", "topic", "bucket", "table", "secret", "workflow"):
        blocks += [
            (kind, (f"{kind}s", item.name, "targets", adapter.target), item.options)
            for item in getattr(plan, f"{kind}s")
        ]
    return [block for block in blocks if block[2]]


def _options(manifest: Manifest, plan: BuildPlan, adapter: Adapter) -> list[Diagnostic]:
    found = []
    blocks = _blocks(plan, adapter)
    schemas = adapter.options_schema() if blocks else {}
    for level, path, options in blocks:
        if level not in schemas:
            # Silence would be taken for consent.
            message = f"target {adapter.target!r} has no settings of a {level}"
            found.append(manifest.diagnostic("PF4001", path, message, "remove them"))
            continue
        for place, message, hint in _problems(schemas[level], options):
            found.append(manifest.diagnostic("PF4001", (*path, *place), message, hint))
    return found


def _problems(
    schema: Mapping[str, Any], options: Mapping[str, Any]
) -> list[tuple[tuple[str | int, ...], str, str | None]]:
    """Return (path, message, hint) of each violation; any schema of JSON Schema 2020-12 will do."""
    if knows(schema):
        return [problem[1:] for problem in Validator(schema).problems(options)]
    from jsonschema import Draft202012Validator

    errors = Draft202012Validator(schema).iter_errors(options)
    return [(tuple(error.absolute_path), error.message, None) for error in errors]


def _line(plan: BuildPlan, path: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """Return *path*, or the line that asks for the function of portafaas' own that it is in."""
    for function in plan.functions:
        if function.origin and path[:2] == ("functions", function.name):
            return parts(function.origin)
    return path


def place(manifest: Manifest, diagnostic: Diagnostic, plan: BuildPlan | None = None) -> Diagnostic:
    """Give an adapter's diagnostic, which knows only a ``$.path``, its line in the manifest."""
    if diagnostic.line is not None or not diagnostic.path:
        return diagnostic
    return manifest.diagnostic(
        diagnostic.code,
        parts(plan.line(diagnostic.path) if plan else diagnostic.path),
        diagnostic.message,
        diagnostic.hint,
        severity=diagnostic.severity,
    )


def parts(path: str) -> tuple[str | int, ...]:
    """Return the steps of a plain ``$.path``: ``$.functions.a.uses[0]``."""
    steps = path.removeprefix("$").replace("[", ".").replace("]", "").split(".")
    return tuple(int(step) if step.isdigit() else step for step in steps if step)
