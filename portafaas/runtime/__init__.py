"""What a handler imports: base classes, requests, events. Ships in every package; stdlib only.

Names load on first use, so that a queue function never pays for the HTTP types:
``from portafaas.runtime import HttpHandler, Request, Response, Context``.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from portafaas.runtime.calls import CircuitBreaker as CircuitBreaker
    from portafaas.runtime.calls import CircuitOpen as CircuitOpen
    from portafaas.runtime.calls import retrying as retrying
    from portafaas.runtime.calls import retrying_async as retrying_async
    from portafaas.runtime.calls import timeout_for as timeout_for
    from portafaas.runtime.context import Context as Context
    from portafaas.runtime.context import HandlerTimeout as HandlerTimeout
    from portafaas.runtime.event import ChangeEvent as ChangeEvent
    from portafaas.runtime.event import Event as Event
    from portafaas.runtime.event import ObjectEvent as ObjectEvent
    from portafaas.runtime.event import ScheduleEvent as ScheduleEvent
    from portafaas.runtime.handler import BatchHandler as BatchHandler
    from portafaas.runtime.handler import ChangeHandler as ChangeHandler
    from portafaas.runtime.handler import EventHandler as EventHandler
    from portafaas.runtime.handler import Handler as Handler
    from portafaas.runtime.handler import HttpHandler as HttpHandler
    from portafaas.runtime.handler import ObjectHandler as ObjectHandler
    from portafaas.runtime.handler import QueueHandler as QueueHandler
    from portafaas.runtime.handler import ScheduleHandler as ScheduleHandler
    from portafaas.runtime.handler import TaskHandler as TaskHandler
    from portafaas.runtime.handler import batch_handler as batch_handler
    from portafaas.runtime.http import Headers as Headers
    from portafaas.runtime.http import HttpError as HttpError
    from portafaas.runtime.http import Query as Query
    from portafaas.runtime.http import Request as Request
    from portafaas.runtime.http import Response as Response
    from portafaas.runtime.message import Batch as Batch
    from portafaas.runtime.message import BatchResult as BatchResult
    from portafaas.runtime.message import Message as Message
    from portafaas.runtime.objects import ObjectInfo as ObjectInfo
    from portafaas.runtime.resources import Conflict as Conflict
    from portafaas.runtime.resources import NotFound as NotFound
    from portafaas.runtime.resources import NotGranted as NotGranted
    from portafaas.runtime.resources import NotWaiting as NotWaiting
    from portafaas.runtime.resources import Outgoing as Outgoing
    from portafaas.runtime.resources import ResourceError as ResourceError
    from portafaas.runtime.rows import ABSENT as ABSENT
    from portafaas.runtime.rows import Delete as Delete
    from portafaas.runtime.rows import Page as Page
    from portafaas.runtime.rows import Put as Put
    from portafaas.runtime.rows import Row as Row
    from portafaas.runtime.rows import Update as Update
    from portafaas.runtime.signals import BadToken as BadToken
    from portafaas.runtime.signals import SignalToken as SignalToken
    from portafaas.runtime.task import Task as Task
    from portafaas.runtime.taxonomy import Permanent as Permanent
    from portafaas.runtime.taxonomy import Poison as Poison
    from portafaas.runtime.taxonomy import Retryable as Retryable
    from portafaas.runtime.taxonomy import Throttled as Throttled
    from portafaas.runtime.workflows import InvalidInput as InvalidInput
    from portafaas.runtime.workflows import RunStatus as RunStatus

_HOME = {
    "ABSENT": "rows",
    "BadToken": "signals",
    "Batch": "message",
    "BatchHandler": "handler",
    "BatchResult": "message",
    "ChangeEvent": "event",
    "ChangeHandler": "handler",
    "CircuitBreaker": "calls",
    "CircuitOpen": "calls",
    "Conflict": "resources",
    "Context": "context",
    "Delete": "rows",
    "Event": "event",
    "EventHandler": "handler",
    "Handler": "handler",
    "HandlerTimeout": "context",
    "Headers": "http",
    "HttpError": "http",
    "HttpHandler": "handler",
    "InvalidInput": "workflows",
    "Message": "message",
    "NotFound": "resources",
    "NotGranted": "resources",
    "NotWaiting": "resources",
    "ObjectEvent": "event",
    "ObjectHandler": "handler",
    "ObjectInfo": "objects",
    "Outgoing": "resources",
    "Page": "rows",
    "Permanent": "taxonomy",
    "Poison": "taxonomy",
    "Put": "rows",
    "Query": "http",
    "QueueHandler": "handler",
    "Request": "http",
    "ResourceError": "resources",
    "Response": "http",
    "Retryable": "taxonomy",
    "Row": "rows",
    "RunStatus": "workflows",
    "ScheduleEvent": "event",
    "ScheduleHandler": "handler",
    "SignalToken": "signals",
    "Task": "task",
    "TaskHandler": "handler",
    "Throttled": "taxonomy",
    "Update": "rows",
    "batch_handler": "handler",
    "retrying": "calls",
    "retrying_async": "calls",
    "timeout_for": "calls",
}

__all__ = sorted(_HOME)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> object:
    """Import the module that holds *name* and remember the value."""
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted(_HOME)
