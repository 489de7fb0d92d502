"""Handlers of events and messages.

A body of ``{"do": ...}`` tells what to do: ``raise``, ``exit``, ``hang``, ``return`` (a value
that is no BatchResult).
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from portafaas.runtime import (
    Batch,
    BatchHandler,
    BatchResult,
    ChangeEvent,
    ChangeHandler,
    Context,
    Event,
    EventHandler,
    Message,
    ObjectEvent,
    ObjectHandler,
    QueueHandler,
    ScheduleEvent,
    ScheduleHandler,
    Task,
    TaskHandler,
)

from kit.views import event_view, message_view, record, task_view


def act(body: Any) -> Any:
    """Do what *body* asks for."""
    try:
        value = json.loads(body) if isinstance(body, bytes) else body
    except ValueError:
        return None
    do = value.get("do") if isinstance(value, dict) else None
    if do == "raise":
        raise RuntimeError("handler failed")
    if do == "exit":
        sys.exit(3)
    if do == "hang":
        time.sleep(30)
    return value.get("value") if do == "return" else None


class Work(QueueHandler):
    def handle(self, message: Message, context: Context) -> Any:
        record(message_view(message, context))
        return act(message.body)


class AsyncWork(QueueHandler):
    async def handle(self, message: Message, context: Context) -> None:
        record(message_view(message, context))
        act(message.body)


def work_function(message: Message, context: Context) -> None:
    record(message_view(message, context))
    act(message.body)


class WorkBatch(BatchHandler):
    def handle(self, batch: Batch, context: Context) -> Any:
        result = BatchResult()
        value = None
        for message in batch:
            record(message_view(message, context))
            try:
                value = act(message.body) or value
            except RuntimeError:
                result.retry(message)
        return value or result


class OnEvent(EventHandler):
    def handle(self, event: Event, context: Context) -> None:
        record(event_view(event, context))
        act(event.data)


class OnEventAsync(EventHandler):
    async def handle(self, event: Event, context: Context) -> None:
        record(event_view(event, context))
        act(event.data)


class BrokenWork(QueueHandler):
    def init(self) -> None:
        raise RuntimeError("cannot start")

    def handle(self, message: Message, context: Context) -> None:
        record("handled")


class BrokenEvent(EventHandler):
    def __init__(self) -> None:
        raise RuntimeError("cannot be constructed")

    def handle(self, event: Event, context: Context) -> None:
        record("handled")


class OnObject(ObjectHandler):
    def handle(self, event: ObjectEvent, context: Context) -> None:
        record(event_view(event, context))
        if event.key.endswith("raise.csv"):
            raise RuntimeError("handler failed")


class OnChange(ChangeHandler):
    def handle(self, event: ChangeEvent, context: Context) -> None:
        record(event_view(event, context))
        act(event.new)


class OnSchedule(ScheduleHandler):
    def handle(self, event: ScheduleEvent, context: Context) -> None:
        record(event_view(event, context))


class OnScheduleRaise(ScheduleHandler):
    def handle(self, event: ScheduleEvent, context: Context) -> None:
        record(event_view(event, context))
        raise RuntimeError("handler failed")


class PaymentDeclined(Exception):
    pass


def do_task(task: Task) -> Any:
    """Do what the input asks for."""
    do = task.input.get("do") if isinstance(task.input, dict) else None
    if do == "raise":
        raise RuntimeError("handler failed")
    if do == "decline":
        raise PaymentDeclined('no "money"\nfür heute')
    if do == "exit":
        sys.exit(3)
    if do == "hang":
        time.sleep(30)
    if do == "no-json":
        return {1, 2}
    if do == "nan":
        return float("nan")
    if do == "tuple":
        return (1, {2: None})
    return {"echo": task.input}


class OnTask(TaskHandler):
    def handle(self, task: Task, context: Context) -> Any:
        record(task_view(task, context))
        return do_task(task)


class OnTaskAsync(TaskHandler):
    async def handle(self, task: Task, context: Context) -> Any:
        record(task_view(task, context))
        return do_task(task)
