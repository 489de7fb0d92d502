"""Alerts, channels and logs of the manifest -> the plan's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from portafaas.errors import guess
from portafaas.plan.model import AlertPlan, ChannelPlan, FunctionPlan, Logs, QueuePlan
from portafaas.plan.triggers import Findings
from portafaas.plan.values import seconds

#: metric -> what it can be of. The dead letters of a function are those of its trigger.
_OF: Mapping[str, tuple[str, ...]] = {
    "errors": ("function",),
    "latency-p95": ("function",),
    "dead-letters": ("queue", "function"),
    "oldest-message": ("queue",),
}
#: Metrics that count; the others are durations.
_COUNTS = ("errors", "dead-letters")


def logs(spec: Mapping[str, Any]) -> Logs:
    """Return what is kept of logs."""
    days = int(seconds(spec.get("retention", "30d")) // 86_400)
    return Logs(days, spec.get("level", "info"))


def channels(block: Mapping[str, Any]) -> tuple[ChannelPlan, ...]:
    """Return the channels in the manifest's order."""
    return tuple(
        ChannelPlan(name, spec.get("email", ""), spec.get("webhook", ""))
        for name, spec in block.items()
    )


def alerts(
    found: Findings,
    block: Mapping[str, Any],
    known: Mapping[str, Any],
    functions: tuple[FunctionPlan, ...],
    queues: tuple[QueuePlan, ...],
) -> tuple[AlertPlan, ...]:
    """Return the alerts; *known* are the channels. PF2002 and PF2018 go to *found*."""
    things: dict[str, dict[str, Any]] = {
        "function": {function.name: function for function in functions},
        "queue": {queue.name: queue for queue in queues},
    }
    return tuple(_alert(found, name, spec, known, things) for name, spec in block.items())


def _alert(
    found: Findings,
    name: str,
    spec: Mapping[str, Any],
    known: Mapping[str, Any],
    things: Mapping[str, Mapping[str, Any]],
) -> AlertPlan:
    path = ("alerts", name)
    metric = spec["metric"]
    for index, channel in enumerate(spec["notify"]):
        if channel not in known:
            found.add(
                "PF2002",
                (*path, "notify", index),
                f"no channel is called {channel!r}",
                guess(channel, known) or "declare it under channels:",
            )
    named = [kind for kind in ("function", "queue") if kind in spec]
    allowed = _OF[metric]
    if len(named) != 1 or named[0] not in allowed:
        found.add(
            "PF2018", path, f"metric {metric!r} is of a {' or a '.join(allowed)}",
            f"name it: {allowed[0]}: NAME",
        )  # fmt: skip
    for kind in named:
        if spec[kind] not in things[kind]:
            found.add(
                "PF2002",
                (*path, kind),
                f"no {kind} is called {spec[kind]!r}",
                guess(spec[kind], things[kind]),
            )
    if metric == "dead-letters":
        _dead_letters(found, path, spec, things)
    return AlertPlan(
        name=name,
        metric=metric,
        function=spec.get("function", ""),
        queue=spec.get("queue", ""),
        threshold=_threshold(found, path, metric, spec),
        window=int(seconds(spec.get("window", "5m"))),
        notify=tuple(spec["notify"]),
        description=spec.get("description", ""),
    )


def _dead_letters(
    found: Findings,
    path: tuple[str, ...],
    spec: Mapping[str, Any],
    things: Mapping[str, Mapping[str, Any]],
) -> None:
    """Refuse what has no dead letters, or has them elsewhere."""
    queue: QueuePlan | None = things["queue"].get(spec.get("queue", ""))
    if queue is not None and not queue.dead_letter:
        found.add(
            "PF2018", (*path, "queue"), f"queue {queue.name!r} has no dead letters",
            "give it 'dead-letter: true'",
        )  # fmt: skip
    function: FunctionPlan | None = things["function"].get(spec.get("function", ""))
    if function is not None and function.trigger.kind == "http":
        found.add(
            "PF2018", (*path, "function"), f"{function.name!r} is called by HTTP: no dead letters",
        )  # fmt: skip
    elif function is not None and function.trigger.kind == "queue":
        found.add(
            "PF2018", (*path, "function"), f"the dead letters of {function.name!r} are its queue's",
            f"write queue: {function.trigger.queue}",
        )  # fmt: skip


def _threshold(
    found: Findings, path: tuple[str, ...], metric: str, spec: Mapping[str, Any]
) -> float:
    value = spec.get("threshold")
    if value is None:
        if metric not in _COUNTS:
            found.add("PF2018", path, f"metric {metric!r} needs a threshold", "threshold: 2s")
        return 0.0
    if metric in _COUNTS and isinstance(value, str):
        found.add(
            "PF2018", (*path, "threshold"), f"metric {metric!r} counts: {value!r} is a duration",
            "write a number",
        )  # fmt: skip
    return seconds(value)
