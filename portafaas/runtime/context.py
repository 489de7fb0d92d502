"""Per-invocation facts. Ships; imports nothing at module level but ``time``."""

from __future__ import annotations

from time import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import logging
    from collections.abc import Callable
    from typing import Any

    from portafaas.runtime.config import Config
    from portafaas.runtime.function import Function
    from portafaas.runtime.message import Message
    from portafaas.runtime.metrics import Metrics
    from portafaas.runtime.outbox import Outbox
    from portafaas.runtime.resources import Clients
    from portafaas.runtime.trace import Span

    #: Gets context, payload, result and error.
    Ending = Callable[["Context", Any, Any, "BaseException | None"], None]

#: What is to be done at the end of every invocation of this process; empty for most, so that the
#: end costs no more than a look here.
endings: list[Ending] = []

#: Field of a log record that says how many attempts have failed; alerts count them (O-18).
FAILED = "pf_failed_attempts"
#: Slots that are filled when they are first read, and the module and function that do it.
_LAZY = {
    "span": ("trace", "span_of"),
    "correlation_id": ("trace", "correlation_of"),
    "logger": ("log", "logger_for"),
    "metrics": ("metrics", "Metrics"),
}

#: Kinds of resources by the name under which a context has them.
_KINDS = {
    "queues": "queue",
    "topics": "topic",
    "tables": "table",
    "buckets": "bucket",
    "secrets": "secret",
    "workflows": "workflow",
}


class HandlerTimeout(BaseException):
    """Raised inside a handler at its deadline.

    Not an ``Exception``, so that a broad ``except Exception`` cannot swallow it.
    """


class Context:
    """Facts about one invocation, the same on every target.

    Attributes:
        invocation_id: the platform's id of this invocation (str).
        function: name of the function in the manifest.
        service: name of the service in the manifest.
        target: name of the target the package was built for (``aws``, ``azure``, ``gcp``, ...).
        deadline: seconds since 1970 at which the handler is stopped.
        attempt: 1 on the first delivery, 2 on the first redelivery, ... as far as known.
        trace_parent: W3C ``traceparent`` of the caller, or None.
        logger: a :class:`logging.Logger` that writes one JSON object a line.
        correlation_id: what this invocation shares with all that led to it (str).
        queues, topics, tables, buckets, secrets, workflows: what the function ``uses``, by name.
        config: the manifest's settings (read-only mapping).
        metrics: counts and records values, written when the invocation ends.
        payload: what the handler gets: request, event, message or batch.
        raw: the platform's own context object.

    The lines from ``logger`` to ``metrics`` are made when they are first read.
    """

    __slots__ = (
        "_function",
        "_made",
        "attempt",
        "buckets",
        "config",
        "correlation_id",
        "deadline",
        "invocation_id",
        "logger",
        "metrics",
        "payload",
        "queues",
        "raw",
        "secrets",
        "span",
        "tables",
        "target",
        "topics",
        "trace_parent",
        "workflows",
    )

    _made: bool
    attempt: int
    buckets: Clients
    config: Config
    correlation_id: str
    deadline: float
    invocation_id: str
    logger: logging.Logger | logging.LoggerAdapter[logging.Logger]
    metrics: Metrics
    payload: Any
    queues: Clients
    raw: Any
    secrets: Clients
    span: Span
    tables: Clients
    target: str
    topics: Clients
    trace_parent: str | None
    workflows: Clients

    def __init__(
        self,
        function: Function,
        invocation_id: str,
        *,
        target: str = "local",
        attempt: int = 1,
        trace_parent: str | None = None,
        raw: Any = None,
    ) -> None:
        self._function = function
        #: Whether anything has been asked for that :func:`renew` has to take back.
        self._made = False
        self.invocation_id = invocation_id
        self.deadline = time() + function.timeout
        self.attempt = attempt
        self.target = target
        self.trace_parent = trace_parent
        self.raw = raw

    def __getattr__(self, name: str) -> Any:
        # Reached only while the slot is empty: most handlers never log.
        value: Any
        if name in _LAZY:
            module, maker = _LAZY[name]
            # Not importlib, which would have to be imported itself.
            made = __import__(f"portafaas.runtime.{module}", fromlist=(maker,))
            value = getattr(made, maker)(self)
            self._made = True
        elif name in _KINDS:
            from portafaas.runtime.resources import Clients

            value = Clients(self, _KINDS[name])
        elif name == "config":
            from portafaas.runtime.config import settings

            value = settings()
        elif name == "payload":
            return None
        elif name == "trace_parent":
            # Of one of several messages: see :func:`renew`.
            value = (getattr(self.payload, "attributes", None) or {}).get("traceparent")
            self._made = True
        else:
            raise AttributeError(f"'Context' object has no attribute {name!r}")
        setattr(self, name, value)
        return value

    @property
    def function(self) -> str:
        """Name of the function in the manifest."""
        return self._function.name

    @property
    def service(self) -> str:
        """Name of the service in the manifest."""
        return self._function.service

    @property
    def trace_id(self) -> str:
        """Id of the trace that this invocation is part of: 32 hexadecimal digits."""
        return self.span.trace_id

    @property
    def span_id(self) -> str:
        """Id of this invocation's span: 16 hexadecimal digits."""
        return self.span.span_id

    @property
    def memory(self) -> int:
        """Memory the function declares, in MiB."""
        return self._function.memory

    def following(self, message: Message) -> Following:
        """Return a context manager in which this context is about one *message* of a batch.

        What is sent and logged inside belongs to that message's trace, and has its correlation id;
        a span of its own is recorded. ``with context.following(message): ...``
        """
        return Following(self, message)

    def outbox(self, table: str) -> Outbox:
        """Return a context manager that writes rows of *table* and sends, both or neither.

        ``with context.outbox("orders") as box: box.put(row); box.send("payments", {...})``
        """
        from portafaas.runtime.outbox import Outbox

        return Outbox(self, table)

    def remaining(self) -> float:
        """Return the seconds left until the deadline, never below 0."""
        left = self.deadline - time()
        return left if left > 0 else 0.0


class Following:
    """Lends a batch handler's context to one message; see :meth:`Context.following`."""

    __slots__ = ("_context", "_kept", "_message")

    def __init__(self, context: Context, message: Message) -> None:
        self._context = context
        self._message = message
        self._kept: dict[str, Any] = {}

    def __enter__(self) -> Context:
        context = self._context
        if not hasattr(self._message, "attributes"):
            raise TypeError(f"following() takes a message, not {type(self._message).__name__!r}")
        for name in ("payload", "trace_parent", "span", "correlation_id", "logger"):
            # What has not been asked for yet is worked out afresh.
            try:
                self._kept[name] = object.__getattribute__(context, name)
            except AttributeError:
                continue
        renew(context, self._message)
        return context

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        context, message = self._context, self._message
        if not self._kept:
            raise RuntimeError("following() is left without having been entered")
        if endings:
            ended(context, message, None if error is None else [message.id], error)
        for name in ("payload", "trace_parent", "span", "correlation_id", "logger"):
            if name in self._kept:
                setattr(context, name, self._kept[name])
            else:
                try:
                    delattr(context, name)
                except AttributeError:
                    continue


def ended(
    context: Context, payload: Any, result: Any = None, error: BaseException | None = None
) -> None:
    """Do what :data:`endings` hold; none of it can fail the invocation.

    *result* is the Response of a request, the failed ids of messages, else None; *error* is what
    the handler raised.
    """
    for ending in tuple(endings):
        try:
            ending(context, payload, result, error)
        except Exception as exc:
            log_failure(context, "the end of the invocation failed: %r", exc)


def renew(context: Context, message: Any) -> None:
    """Give *context* to the next of several messages: a span and a correlation id of its own."""
    context.payload = message
    context._made = False
    for name in ("trace_parent", "span", "correlation_id", "logger"):
        try:
            delattr(context, name)
        except AttributeError:
            continue
    if endings:
        # It begins now, and not with the invocation.
        context.span.start = time()


def log_failure(context: Context, message: str, value: object, failed: int = 0) -> None:
    """Log what became of a handler, whatever it did to its logger or to stderr.

    *failed* is how many attempts at events or messages the record is about, for alerts to count.
    """
    error = value if isinstance(value, BaseException) else None
    extra = None
    if failed:
        extra = {FAILED: failed}
        if context.target == "azure":
            # Its handler writes messages only; at the end there may be a traceback.
            message = f"{FAILED}={failed} {message}"
    try:
        repr(value)
    except BaseException:
        # An exception whose text cannot be made must not be lost for that.
        value = type(value)
    try:
        context.logger.error(message, value, exc_info=error, extra=extra)
    except Exception:
        try:
            from portafaas.runtime.log import logger_for

            logger_for(context).error(message, value, exc_info=error, extra=extra)
        except Exception:
            # The answer matters more than the record of it.
            return
