"""Deliver a neutral stimulus to a function in this process, without any platform in between."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, assert_never

from portafaas.adapter.stimulus import (
    ChangeStimulus,
    DeliveryOutcome,
    HttpOutcome,
    HttpStimulus,
    MessageStimulus,
    ObjectStimulus,
    Outcome,
    QueueStimulus,
    ScheduleStimulus,
    Stimulus,
    TaskOutcome,
    TaskStimulus,
    TopicStimulus,
)
from portafaas.runtime import deliver as delivery
from portafaas.runtime import serve
from portafaas.runtime.cloudevent import event_from_message
from portafaas.runtime.context import Context
from portafaas.runtime.control import split
from portafaas.runtime.event import ChangeEvent, Event, ObjectEvent, ScheduleEvent
from portafaas.runtime.function import Function
from portafaas.runtime.http import Request
from portafaas.runtime.message import Message
from portafaas.runtime.task import Task, run_task
from portafaas.runtime.text import percent_decode


def deliver(function: Function, stimulus: Stimulus) -> Outcome:
    """Return the outcome of *stimulus*, as a platform would see it."""
    match stimulus:
        case HttpStimulus():
            return _http(function, stimulus)
        case QueueStimulus():
            return _queue(function, stimulus)
        case TopicStimulus():
            return _topic(function, stimulus.message)
        case ObjectStimulus():
            return _event(function, object_event(function, stimulus))
        case ChangeStimulus():
            change = change_event(function, stimulus)
            return DeliveryOutcome() if change is None else _event(function, change)
        case ScheduleStimulus():
            fired = schedule_event(function, stimulus)
            return DeliveryOutcome() if fired is None else _event(function, fired)
        case TaskStimulus():
            return _task(function, stimulus)
        case _:
            assert_never(stimulus)


def context_of(function: Function, attempt: int = 1, trace: str | None = None) -> Context:
    """Return the context of an invocation on this machine."""
    import uuid

    return Context(function, str(uuid.uuid4()), target="local", attempt=attempt, trace_parent=trace)


def _task(function: Function, stimulus: TaskStimulus) -> TaskOutcome:
    task = Task(
        stimulus.input, workflow=stimulus.workflow, run=stimulus.run, step=stimulus.step,
        attempt=stimulus.attempt, key=stimulus.key, raw=stimulus,
    )  # fmt: skip
    answer = run_task(function, task, context_of(function, stimulus.attempt))
    if "error" in answer:
        return TaskOutcome(error=answer["error"], cause=answer["cause"])
    return TaskOutcome(answer["ok"])


def _http(function: Function, stimulus: HttpStimulus) -> HttpOutcome:
    headers = [(name, value) for name, value in stimulus.headers if "_" not in name]
    request = Request(
        stimulus.method,
        percent_decode(stimulus.path),
        query=stimulus.query,
        headers=headers,
        body=stimulus.body,
        raw=stimulus,
    )
    if stimulus.caller is not None:
        from portafaas.runtime.auth import Identity

        request.identity = Identity(stimulus.caller, {}, (), "iam")
    context = context_of(function, trace=request.headers.get("traceparent"))
    response = serve.run(function, request, context)
    body = response.body or b""
    if isinstance(body, str):
        body = body.encode("utf-8")
    kept = (
        response.headers
        if body
        else {name: value for name, value in response.headers.items() if name != "content-type"}
    )
    return HttpOutcome(response.status, tuple(sorted(kept.items())), tuple(response.cookies), body)


def _queue(function: Function, stimulus: QueueStimulus) -> DeliveryOutcome:
    failed: set[str] = set()
    size = function.trigger["batch"]
    ordered = function.trigger.get("ordered")
    waiting = list(stimulus.messages)
    while waiting:
        part, waiting = waiting[:size], waiting[size:]
        messages = [
            Message(
                item.id,
                item.body,
                attributes=attributes,
                key=item.key if ordered else None,
                queue=function.trigger["queue"],
                attempt=item.attempt,
                time=item.time,
                raw=item,
                control=control,
            )
            for item in part
            for attributes, control in (split(item.attributes),)
        ]
        # The sender's ids, where the stimulus has them, are those of the handler only.
        again = set(_messages(function, messages))
        failed.update(message.raw.id for message in messages if message.id in again)
        if ordered:
            # An ordered queue delivers nothing behind a failed message of the same key.
            blocked = {item.key for item in stimulus.messages if item.id in failed}
            failed.update(item.id for item in waiting if item.key in blocked)
            waiting = [item for item in waiting if item.key not in blocked]
    return DeliveryOutcome(tuple(item.id for item in stimulus.messages if item.id in failed))


def _messages(function: Function, messages: list[Message]) -> list[str]:
    trace = messages[0].attributes.get("traceparent") if len(messages) == 1 else None
    context = context_of(function, trace=trace)
    try:
        return delivery.run_messages(function, messages, context)
    except Exception as exc:
        delivery.report(function, context, exc, len(messages))
        return [message.id for message in messages]


def _topic(function: Function, item: MessageStimulus) -> DeliveryOutcome:
    try:
        event = _topic_event(function, item)
    except (ValueError, RecursionError) as exc:
        # No event at all: a failed delivery, as the bridges make of it.
        delivery.report(function, context_of(function), exc)
        return DeliveryOutcome(("event",))
    return _event(function, event, item.attributes.get("traceparent"))


def _topic_event(function: Function, item: MessageStimulus) -> Event:
    return event_from_message(
        item.body,
        {k: v for k, v in item.attributes.items() if not k.startswith("pf-")},
        id=item.id,
        source=function.source,
        content_type=item.content_type,
        time=item.time,
        key=item.key,
        attempt=item.attempt,
        raw=item,
    )


def object_event(function: Function, stimulus: ObjectStimulus) -> ObjectEvent:
    """Return the event that the handler gets."""
    return ObjectEvent(
        f"{stimulus.key}@{stimulus.sequencer}",
        function.source,
        bucket=function.trigger["bucket"],
        key=stimulus.key,
        kind=stimulus.kind,
        size=None if stimulus.kind == "deleted" else stimulus.size,
        etag=stimulus.etag,
        time=stimulus.time,
    )


def change_event(function: Function, stimulus: ChangeStimulus) -> ChangeEvent | None:
    """Return the event that the handler gets, None when the trigger does not ask for it."""
    on, images = function.trigger["on"], function.trigger["images"]
    kind = stimulus.kind
    if "upsert" in on and kind in ("insert", "update"):
        kind = "upsert"
    if kind not in on:
        return None
    return ChangeEvent(
        stimulus.id,
        function.source,
        table=function.trigger["table"],
        kind=kind,
        keys=_whole(stimulus.keys),
        new=_whole(stimulus.new) if "new" in images and stimulus.kind != "delete" else None,
        old=_whole(stimulus.old) if "old" in images and stimulus.kind != "insert" else None,
        time=stimulus.time,
        raw=stimulus,
    )


def _whole(value: Any) -> Any:
    """Return *value* with its whole numbers as int, as every store's are (E-12)."""
    if isinstance(value, Mapping):
        return {name: _whole(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def schedule_event(function: Function, stimulus: ScheduleStimulus) -> ScheduleEvent | None:
    """Return the event that the handler gets, None when it is not an instant of the schedule."""
    from datetime import datetime

    from portafaas.runtime.cron import should_fire

    instant = datetime.fromisoformat(stimulus.time).timestamp()
    trigger = function.trigger
    if not should_fire(trigger["cron"], trigger["timezone"], instant):
        return None
    return ScheduleEvent(
        f"{function.name}@{stimulus.time}", function.source, time=stimulus.time, raw=stimulus
    )


def _event(function: Function, event: Event, trace: str | None = None) -> DeliveryOutcome:
    context = context_of(function, event.attempt, trace)
    try:
        delivery.run_event(function, event, context)
    except Exception:
        return DeliveryOutcome(("event",))
    return DeliveryOutcome()
