"""Events for every trigger, made from the plan: what a function gets, in neutral terms.

One generator a kind of trigger - :func:`http`, :func:`schedule`, :func:`queue`, :func:`topic`,
:func:`object`, :func:`table`, :func:`task` - and :func:`sample`, which finds the right one. They
return the stimuli of ``portafaas.adapter.stimulus``; ``app.invoke(function, event)`` delivers one.
What is not said is the same each time and fits what the manifest declares: routes, filters,
prefixes, cron expressions, and the schemas of queues, events and workflows.
"""

from __future__ import annotations

import json as _json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from portafaas.adapter import neutral
from portafaas.adapter.stimulus import (
    ChangeStimulus,
    HttpStimulus,
    MessageStimulus,
    ObjectStimulus,
    QueueStimulus,
    ScheduleStimulus,
    Stimulus,
    TaskStimulus,
    TopicStimulus,
)
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
from portafaas.plan.examples import example

#: For arguments that may be None and mean it.
_UNSAID: Any = type("Unsaid", (), {"__repr__": lambda self: "..."})()


def _found(plan: BuildPlan, function: FunctionPlan | str, kind: str) -> FunctionPlan:
    if isinstance(function, str):
        known = {each.name: each for each in plan.functions}
        if function not in known:
            raise LookupError(f"no function {function!r}; there are: {', '.join(known)}")
        function = known[function]
    if function.kind != kind:
        raise TypeError(f"{function.name!r} has a {function.kind} trigger, not {kind}")
    return function


def sample(plan: BuildPlan, function: FunctionPlan | str) -> Stimulus:
    """Return a typical event for *function*; the same one every time."""
    if isinstance(function, str):
        name = function
        kind = next((f.kind for f in plan.functions if f.name == name), "http")
        function = _found(plan, name, kind)
    made: Stimulus = {
        "http": http, "schedule": schedule, "queue": queue, "topic": topic, "object": object,
        "table": table, "task": task,
    }[function.kind](plan, function)  # type: ignore[operator]  # fmt: skip
    return made


def http(
    plan: BuildPlan,
    function: FunctionPlan | str,
    *,
    json: Any = _UNSAID,
    body: bytes = b"",
    method: str = "",
    query: str = "",
    headers: Mapping[str, str] | None = None,
    caller: str | None = None,
    **params: str,
) -> HttpStimulus:
    """Return a request to the function's route; *params* are those of its path."""
    from portafaas.runtime.text import percent_encode

    found = _found(plan, function, "http")
    trigger = found.trigger
    assert isinstance(trigger, HttpTrigger)
    made = neutral.sample(plan, found)
    assert isinstance(made, HttpStimulus)
    parts = []
    for segment in trigger.path.split("/"):
        name = segment[1:-1].rstrip("*")
        if segment[:1] != "{":
            parts.append(segment)
        elif segment.endswith("*}"):
            rest = params.pop(name, "")
            parts.append("/".join(percent_encode(each) for each in rest.split("/")))
        else:
            parts.append(percent_encode(params.pop(name, "sample")))
    if params:
        raise TypeError(f"{trigger.path!r} has no parameter {', '.join(params)}")
    all_headers = dict(made.headers) | {k.lower(): v for k, v in (headers or {}).items()}
    content = made.body
    if json is not _UNSAID:
        content = _json.dumps(json, ensure_ascii=False).encode("utf-8")
        all_headers["content-type"] = "application/json"
    elif body:
        content = body
        all_headers.pop("content-type", None)
        all_headers |= {k.lower(): v for k, v in (headers or {}).items()}
    return HttpStimulus(
        (method or made.method).upper(), "/".join(parts), query, tuple(all_headers.items()),
        content, caller,
    )  # fmt: skip


def schedule(
    plan: BuildPlan, function: FunctionPlan | str, *, after: str = "2026-11-23T00:00:00Z"
) -> ScheduleStimulus:
    """Return the first instant of the schedule at or after *after*, RFC 3339."""
    from datetime import UTC, datetime

    from portafaas.schedule import parse_cron

    trigger = _found(plan, function, "schedule").trigger
    assert isinstance(trigger, ScheduleTrigger)
    start = datetime.fromisoformat(after).astimezone(UTC)
    moments = parse_cron(trigger.cron, trigger.timezone).fire_times(start, 1)
    if not moments:
        raise ValueError(f"{trigger.cron!r} never fires")
    return ScheduleStimulus(f"{moments[0]:%Y-%m-%dT%H:%M:%S}.000Z")


def queue(
    plan: BuildPlan,
    function: FunctionPlan | str,
    *bodies: Any,
    key: str | None = None,
    attributes: Mapping[str, str] | None = None,
    attempt: int = 1,
) -> QueueStimulus:
    """Return messages with *bodies* (bytes, text or JSON values); by default one, as its schema.

    In an ordered queue all have *key*.
    """
    found = _found(plan, function, "queue")
    trigger = found.trigger
    assert isinstance(trigger, QueueTrigger)
    facts = plan.queue(trigger.queue)
    given: Sequence[Any] = bodies or [data_of(facts.schema.document)]
    group = key or ("key-1" if facts.ordered else None)
    return QueueStimulus(
        tuple(
            MessageStimulus(
                f"message-{number}", *_encoded(body, dict(attributes or {}), group, attempt)
            )
            for number, body in enumerate(given, 1)
        )
    )


def _encoded(body: Any, attributes: dict[str, str], key: str | None, attempt: int) -> Any:
    from portafaas.runtime.outbound import encode

    data, kind = encode(body)
    return data, attributes, key, attempt, "2026-11-23T10:00:00.000Z", kind


def topic(
    plan: BuildPlan,
    function: FunctionPlan | str,
    data: Any = _UNSAID,
    *,
    type: str = "",
    subject: str = "",
    attributes: Mapping[str, str] | None = None,
    key: str | None = None,
) -> TopicStimulus:
    """Return an event that passes the function's filter.

    Its type is the first of the filter's, or of those that are published to the topic; its data
    fit the schema of that type.
    """
    from portafaas.runtime.outbound import encode

    found = _found(plan, function, "topic")
    trigger = found.trigger
    assert isinstance(trigger, TopicTrigger)
    plain = neutral.sample(plan, found)
    assert isinstance(plain, TopicStimulus)
    made = dict(plain.message.attributes)
    if type:
        made["ce-type"] = type
    elif made["ce-type"] == "sample.event" and (types := types_of(plan, trigger.topic)):
        made["ce-type"] = types[0]
    made["ce-source"] = f"/{plan.service}/sample"
    if subject:
        made["ce-subject"] = subject
    if data is _UNSAID:
        data = data_of(schema_of(plan, made["ce-type"]))
    body, kind = encode(data)
    ordered = plan.topic(trigger.topic).ordered
    return TopicStimulus(
        MessageStimulus(
            "event-1", body, {**made, **(attributes or {})},
            key or ("key-1" if ordered else None), content_type=kind,
        )
    )  # fmt: skip


def types_of(plan: BuildPlan, topic: str) -> list[str]:
    """Return the types of events that functions declare to publish to *topic*."""
    found = [t for function in plan.functions for t in function.emitted(topic) or ()]
    return list(dict.fromkeys(found))


def schema_of(plan: BuildPlan, type: str) -> Mapping[str, Any]:
    """Return the schema of a type of events; empty when it has none."""
    return next((event.schema.document for event in plan.events if event.name == type), {})


def data_of(schema: Mapping[str, Any]) -> Any:
    """Return data that fit *schema*; without one, any."""
    return example(schema) if schema else {"sample": True}


def object(
    plan: BuildPlan,
    function: FunctionPlan | str,
    key: str = "",
    *,
    kind: str = "",
    size: int | None = None,
) -> ObjectStimulus:
    """Return that an object was ``created`` or ``deleted``; *key* is the whole of it."""
    found = _found(plan, function, "object")
    trigger = found.trigger
    assert isinstance(trigger, ObjectTrigger)
    kind = kind or trigger.on[0]
    if key and not (key.startswith(trigger.prefix) and key.endswith(trigger.suffix)):
        raise ValueError(
            f"{found.name!r} does not hear of {key!r}: its trigger has prefix {trigger.prefix!r} "
            f"and suffix {trigger.suffix!r}"
        )
    if size is None:
        size = 0 if kind == "deleted" else 5
    return ObjectStimulus(kind, key or f"{trigger.prefix}sample{trigger.suffix}", size)


def table(
    plan: BuildPlan,
    function: FunctionPlan | str,
    new: Mapping[str, Any] | None = None,
    *,
    old: Mapping[str, Any] | None = None,
) -> ChangeStimulus:
    """Return that a row changed: inserted without *old*, deleted without *new*, else updated.

    Attributes of the key that neither has are filled in.
    """
    found = _found(plan, function, "table")
    trigger = found.trigger
    assert isinstance(trigger, TableTrigger)
    made = neutral.sample(plan, found)
    assert isinstance(made, ChangeStimulus)
    if new is None and old is None:
        return made
    facts = plan.table(trigger.table)
    row = new if new is not None else old
    assert row is not None
    names = [name for name in (facts.key, facts.sort) if name]
    keys = {name: row.get(name, made.keys[name]) for name in names}
    kind = "delete" if new is None else "insert" if old is None else "update"
    return replace(
        made, kind=kind, keys=keys, new=None if new is None else {**keys, **new},
        old=None if old is None else {**keys, **old},
    )  # fmt: skip


def task(
    plan: BuildPlan,
    function: FunctionPlan | str,
    input: Any = _UNSAID,
    *,
    step: str = "step",
    attempt: int = 1,
) -> TaskStimulus:
    """Return a call by a workflow; the input is that of a workflow which begins with it."""
    found = _found(plan, function, "task")
    if input is _UNSAID:
        input = {"sample": True}
        for flow in plan.workflows:
            first = flow.machine.get("steps", {}).get(flow.machine.get("start", ""), {})
            if first.get("function") == found.name and flow.input.document:
                input = example(flow.input.document)
    return TaskStimulus(input, step=step, attempt=attempt, key=f"run-1/{step}")
