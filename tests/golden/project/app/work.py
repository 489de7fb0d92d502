"""Handlers of events and messages; what they do does not matter."""

from __future__ import annotations

from portafaas.runtime import (
    ChangeEvent,
    Context,
    Event,
    Message,
    ObjectEvent,
    QueueHandler,
    ScheduleEvent,
)


class Work(QueueHandler):
    def handle(self, message: Message, context: Context) -> None:
        context.logger.info("message %s", message.id)


def on_news(event: Event, context: Context) -> None:
    context.logger.info("event %s", event.id)


def on_upload(event: ObjectEvent, context: Context) -> None:
    context.logger.info("object %s", event.key)


def on_change(event: ChangeEvent, context: Context) -> None:
    context.logger.info("row %s", event.subject)


def every_morning(event: ScheduleEvent, context: Context) -> None:
    context.logger.info("at %s", event.time)
