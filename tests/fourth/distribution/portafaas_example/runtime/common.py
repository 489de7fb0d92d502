"""What the bridges share. Ships; imports nothing."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from portafaas.runtime.context import Context
    from portafaas.runtime.event import Event
    from portafaas.runtime.function import Function

    Entry = Callable[[Mapping[str, Any], Mapping[str, Any]], Any]


def context_of(
    function: Function,
    event: Mapping[str, Any],
    facts: Mapping[str, Any],
    trace_parent: str | None = None,
) -> Context:
    """Return the neutral context of one event."""
    from portafaas.runtime.context import Context

    return Context(
        function,
        event["event"],
        target="example",
        attempt=event["attempt"],
        trace_parent=trace_parent,
        raw=facts,
    )


def visible(labels: Mapping[str, str]) -> dict[str, str]:
    """Return the labels that a handler sees."""
    return {name: text for name, text in labels.items() if not name.startswith("pf-")}


def bind_event(
    function: Function, read: Callable[[Mapping[str, Any]], Event | None]
) -> Entry:
    """Return the entry around *read*, which gives None for events nobody asked for.

    What the handler raises, the platform sees: it sends the event again.
    """
    from portafaas.runtime.deliver import run_event

    def entry(event: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        found = read(event)
        if found is not None:
            trace = found.attributes.get("traceparent")
            run_event(function, found, context_of(function, event, facts, trace))

    return entry
