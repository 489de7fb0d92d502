"""Base classes of handlers, one per trigger kind. Ships; imports nothing.

A plain callable ``f(payload, context)`` serves any trigger as well; the classes add a constructor
that runs once per instance, ``init`` and ``shutdown``, and a typed ``handle``. ``handle`` and the
hooks may be ``async def``.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    from portafaas.runtime.context import Context
    from portafaas.runtime.event import ChangeEvent, Event, ObjectEvent, ScheduleEvent
    from portafaas.runtime.http import Request, Response
    from portafaas.runtime.message import Batch, BatchResult, Message
    from portafaas.runtime.task import Task

    F = TypeVar("F", bound=Callable[..., Any])


class Handler:
    """Root of the handler classes; constructed without arguments, once per instance."""

    #: Trigger kinds that may start this handler; empty means any.
    kinds: tuple[str, ...] = ()
    #: True when ``handle`` takes a whole :class:`Batch`.
    takes_batch = False

    def init(self) -> Any:
        """Open what all invocations share; runs once, before the first one. May be async."""

    def shutdown(self) -> Any:
        """Release it; best effort, when the platform ends the instance politely."""


class HttpHandler(Handler):
    """Answers one HTTP route."""

    kinds = ("http",)

    def handle(self, request: Request, context: Context) -> Response | Any:
        """Return a Response, or dict/list (JSON), str (text), bytes, or None (204)."""
        raise NotImplementedError(f"{type(self).__name__} must define handle(request, context)")


class QueueHandler(Handler):
    """Takes one message at a time; raise to have it delivered again."""

    kinds = ("queue",)

    def handle(self, message: Message, context: Context) -> Any:
        """Process one message; the return value is ignored."""
        raise NotImplementedError(f"{type(self).__name__} must define handle(message, context)")


class BatchHandler(Handler):
    """Takes up to ``batch`` messages at once; a cloud may always deliver one."""

    kinds = ("queue",)
    takes_batch = True

    def handle(self, batch: Batch, context: Context) -> BatchResult | Any:
        """Process the batch; return None (all done) or a BatchResult naming what failed."""
        raise NotImplementedError(f"{type(self).__name__} must define handle(batch, context)")


class EventHandler(Handler):
    """Takes one event of a topic."""

    kinds = ("topic",)

    def handle(self, event: Event, context: Context) -> Any:
        """Process one event; the return value is ignored."""
        raise NotImplementedError(f"{type(self).__name__} must define handle(event, context)")


class ObjectHandler(Handler):
    """Takes one created or deleted object of a bucket."""

    kinds = ("object",)

    def handle(self, event: ObjectEvent, context: Context) -> Any:
        """Process one object event; the return value is ignored."""
        raise NotImplementedError(f"{type(self).__name__} must define handle(event, context)")


class ChangeHandler(Handler):
    """Takes one change of a table."""

    kinds = ("table",)

    def handle(self, event: ChangeEvent, context: Context) -> Any:
        """Process one change; the return value is ignored."""
        raise NotImplementedError(f"{type(self).__name__} must define handle(event, context)")


class ScheduleHandler(Handler):
    """Runs at the times of a schedule."""

    kinds = ("schedule",)

    def handle(self, event: ScheduleEvent, context: Context) -> Any:
        """Run once; the return value is ignored."""
        raise NotImplementedError(f"{type(self).__name__} must define handle(event, context)")


class TaskHandler(Handler):
    """Does one step of a workflow."""

    kinds = ("task",)

    def handle(self, task: Task, context: Context) -> Any:
        """Do it and return a JSON value, the step's result; raise for an error of that name."""
        raise NotImplementedError(f"{type(self).__name__} must define handle(task, context)")


def batch_handler(function: F) -> F:
    """Mark a plain callable as taking a whole :class:`Batch` instead of one message."""
    function.__portafaas_batch__ = True  # type: ignore[attr-defined]
    return function
