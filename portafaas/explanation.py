"""What a function becomes on one target, by the lines of the manifest that ask for it.

JSON values, which ``portafaas explain`` prints as they are or lays out for people. Every ``line``
is that of the manifest, or of the nearest thing around it that stands there; ``None`` for what
there is in any case.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from portafaas.adapter import Redelivery
from portafaas.capabilities import parts
from portafaas.choreography.retries import stacks
from portafaas.manifest import Manifest
from portafaas.pipeline import Checked
from portafaas.plan import BuildPlan, FunctionPlan

#: What there is in any case.
PLATFORM = "platform"


def explain(item: Checked, name: str) -> dict[str, Any]:
    """Return what the function *name* becomes.

    ``lines``: each with ``why`` (a ``$.path``), ``file``, ``line``, ``column``, ``title`` and what
    it produces: ``binding`` (facts), ``resources``, ``permissions``; the function's own first, then
    those of what it shares with others, then the platform's. ``redelivery``: who gives it again
    what failed. ``stack``: what all repetitions come to (``choreography.retries.Stack``).
    ``portability``: the settings that only this target knows.
    """
    plan, function = item.plan, item.plan.function(name)
    infrastructure = item.adapter.infrastructure(plan).placed(plan)
    (deployment,) = [d for d in item.adapter.lower(plan).deployments if d.function == name]
    own = function.origin or f"$.functions.{name}"
    lines = _Lines(item.manifest, function)
    lines.at(f"$.functions.{name}")["binding"]["entry"] = deployment.entry
    for setting, facts in _settings(function, deployment).items():
        lines.at(_said(item.manifest, name, setting))["binding"].update(facts)
    lines.at(f"$.functions.{name}.trigger")["binding"].update(_flat(deployment.binding))
    related = tuple(_related(plan, function))
    for found in infrastructure.resources:
        if found.function == name or (not found.function and _within(found.why, related)):
            made = {"name": found.name, "type": found.type, "shared": not found.function}
            lines.at(found.why)["resources"].append(made)
    for permission in infrastructure.permissions:
        if permission.function == name:
            allowed = {"grant": permission.grant, "scope": permission.scope}
            lines.at(permission.why)["permissions"].append(allowed)
    told = [r for r in infrastructure.redeliveries if r.function == name]
    stack = stacks(plan, infrastructure.redeliveries, item.adapter.client_attempts)[name]
    return {
        "trigger": function.kind,
        "lines": lines.sorted(),
        "redelivery": _redelivery(item.manifest, function, told[0] if told else None),
        "stack": {
            "deliveries": stack.deliveries,
            "client_attempts": stack.attempts,
            "chain": list(stack.chain),
            "runs": stack.runs,
            "calls": stack.calls,
            "seconds": stack.seconds,
        },
        "portability": _portability(item, function),
        "notes": [
            note.as_dict()
            for note in (*item.notes, *infrastructure.notes)
            if note.severity == "error" or _within(note.path or "", (own,))
        ],
        "documents": sorted(infrastructure.documents),
    }


class _Lines:
    """What lines of the manifest produce, by their paths."""

    def __init__(self, manifest: Manifest, function: FunctionPlan) -> None:
        self.manifest = manifest
        self.function = function
        self.found: dict[str, dict[str, Any]] = {}

    def at(self, why: str) -> dict[str, Any]:
        """Return the record of the line *why*; whose parts are one with it."""
        own = f"$.functions.{self.function.name}"
        if self.function.origin and _within(why, (own,)):
            why = self.function.origin
        uses = f"{own}.uses["
        if why.startswith(uses):
            why = why[: why.index("]", len(uses)) + 1]
        elif why == f"{own}.trigger":
            why = f"{own}.trigger.{self.function.kind}"
        if why not in self.found:
            self.found[why] = {
                "why": why,
                **position(self.manifest, why),
                "title": self.title(why),
                "binding": {},
                "resources": [],
                "permissions": [],
            }
        return self.found[why]

    def title(self, why: str) -> str:
        """Return what people call the line *why*."""
        own = f"$.functions.{self.function.name}."
        if why == PLATFORM:
            return "in any case"
        if not why.startswith(own):
            return why.removeprefix("$.")
        title = why.removeprefix(own)
        if title.startswith("uses["):
            use = self.function.uses[int(title[5:-1])]
            title += f" {use.verb} {use.name}"
        return title

    def sorted(self) -> list[dict[str, Any]]:
        """Return the records: the function's own, those of shared things, the platform's."""
        own = self.function.origin or f"$.functions.{self.function.name}"

        def key(entry: tuple[int, dict[str, Any]]) -> tuple[Any, ...]:
            order, record = entry
            why = record["why"]
            rank = 0 if _within(why, (own,)) else 2 if why == PLATFORM else 1
            return (rank, record["line"] or 0, record["column"] or 0, order)

        return [record for _, record in sorted(enumerate(self.found.values()), key=key)]


def position(manifest: Manifest, why: str) -> dict[str, Any]:
    """Return where *why* stands: ``file``, ``line``, ``column``."""
    if why == PLATFORM:
        return {"file": None, "line": None, "column": None}
    placed = manifest.diagnostic("", parts(why), "")
    return {"file": placed.file, "line": placed.line, "column": placed.column}


def _settings(function: FunctionPlan, deployment: Any) -> dict[str, dict[str, Any]]:
    """Return what settings of the function come to, by their names in the manifest."""
    found: dict[str, dict[str, Any]] = {
        "memory": {"memory": f"{deployment.memory} MiB"},
        "timeout": {
            "timeout": f"{deployment.timeout} s of the platform, "
            f"{function.timeout} s of the handler"
        },
    }
    if function.concurrency > 1:
        found["concurrency"] = {"concurrency": function.concurrency}
    if function.min_instances:
        found["min-instances"] = {"min-instances": function.min_instances}
    if function.max_instances:
        found["max-instances"] = {"max-instances": function.max_instances}
    if deployment.environment:
        # Values may be anybody's business; names tell enough.
        found["environment"] = {"variables": ", ".join(sorted(deployment.environment))}
    return found


def _said(manifest: Manifest, name: str, setting: str) -> str:
    """Return where the manifest says *setting* of the function; its defaults count."""
    if ("functions", name, setting) in manifest.positions:
        return f"$.functions.{name}.{setting}"
    if ("defaults", setting) in manifest.positions:
        return f"$.defaults.{setting}"
    return f"$.functions.{name}"


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the facts in *value*, a JSON value, by dotted names; lists of plain values are one."""
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, (list, tuple)) and any(isinstance(v, (dict, list)) for v in value):
        for index, inner in enumerate(value):
            yield from _flat(inner, f"{name}[{index}]")
    else:
        yield name, list(value) if isinstance(value, tuple) else value


def _related(plan: BuildPlan, function: FunctionPlan) -> Iterator[str]:
    """Yield the paths of what the function shares with others."""
    own = f"$.functions.{function.name}"
    yield from (own, PLATFORM, "$.logs", "$.targets")
    trigger: Any = function.trigger
    queue = ""
    match function.kind:
        case "queue":
            queue = trigger.queue
            yield f"$.queues.{queue}"
            dead = plan.queue(queue).dead_letter
            if isinstance(dead, str):
                yield f"$.queues.{dead}"
        case "topic" | "table" | "object":
            kind = "bucket" if function.kind == "object" else function.kind
            yield f"$.{kind}s.{getattr(trigger, kind)}"
    for use in function.uses:
        yield f"$.{use.kind}s.{use.name}"
    for alert in plan.alerts:
        if alert.function == function.name or (queue and alert.queue == queue):
            yield f"$.alerts.{alert.name}"
            yield from (f"$.channels.{name}" for name in alert.notify)


def _within(path: str, places: tuple[str, ...]) -> bool:
    return any(path == place or path.startswith((f"{place}.", f"{place}[")) for place in places)


def _redelivery(
    manifest: Manifest, function: FunctionPlan, told: Redelivery | None
) -> dict[str, Any]:
    """Return what the manifest asks for and where, and what the target does."""
    retry = function.retry
    said = _said(manifest, function.name, "retry")
    asked = None
    if retry.declared and function.kind != "http":
        asked = {
            "attempts": retry.attempts,
            "backoff": retry.backoff,
            "initial": retry.initial,
            "max": retry.maximum,
            "max_age": retry.max_age,
            "why": said,
            **position(manifest, said),
        }
    if told is None:
        return {"asked": asked, "by": None}
    return {
        "asked": asked,
        "by": told.by,
        "attempts": told.attempts,
        "delay": told.delay,
        "until": told.until,
        "dead_letters": told.dead_letters,
        "source": told.source,
    }


def _portability(item: Checked, function: FunctionPlan) -> list[dict[str, Any]]:
    """Return the target's own settings that are in effect, and what they mean elsewhere."""
    adapter, plan, manifest = item.adapter, item.plan, item.manifest
    place = f"targets.{adapter.target}"
    found = []
    for level, path, options in (
        ("service", f"$.{place}", plan.options),
        ("function", f"$.functions.{function.name}.{place}", function.options),
    ):
        known = adapter.options_schema()[level].get("properties", {}) if options else {}
        for name, value in options.items():
            schema = known.get(name, {})
            found.append(
                {
                    "setting": f"{path}.{name}".removeprefix("$."),
                    "value": value,
                    **position(manifest, f"{path}.{name}"),
                    "meaning": schema.get("description", ""),
                    "elsewhere": schema.get("$comment", "").removeprefix("Elsewhere: ")
                    or "What it does must be done by hand on other targets.",
                }
            )
    return found
