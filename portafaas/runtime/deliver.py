"""What happens around an event or queue handler, the same on every target. Ships.

Rules E-1 to E-12 of ``docs/spec/events.md``: a handler that returns has done its work; one that
raises, times out or exits has failed and the event is delivered again as the platform does.
"""

from __future__ import annotations

from portafaas.runtime.context import HandlerTimeout, ended, endings, log_failure, renew

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any, Protocol

    from portafaas.runtime.context import Context
    from portafaas.runtime.event import Event
    from portafaas.runtime.function import Function
    from portafaas.runtime.message import Message

    class Keyed(Protocol):
        """A message, or the stimulus of one."""

        @property
        def id(self) -> str:
            """The message's id."""

        @property
        def key(self) -> str | None:
            """Its ordering key."""


class DeliveryFailed(Exception):
    """Tells the platform to deliver again when the handler's own error must not be raised.

    ``SystemExit`` or :class:`HandlerTimeout` would end a worker process that other functions use.
    """


def report(function: Function, context: Context, error: BaseException) -> Exception:
    """Log *error* and return the exception to raise to the platform."""
    if isinstance(error, HandlerTimeout):
        log_failure(context, "handler exceeded its timeout of %s s", function.timeout)
        return DeliveryFailed(f"{function.name} exceeded its timeout of {function.timeout} s")
    log_failure(context, "handler failed: %r", error)
    if isinstance(error, Exception):
        return error
    return DeliveryFailed(f"{function.name} raised {error!r}")


def wanted(function: Function, event: Event) -> bool:
    """Tell whether the trigger's filter lets *event* pass; brokers filter where they can."""
    trigger = function.trigger
    if function.kind == "topic":
        accepted = trigger.get("filter")
        if accepted:
            from portafaas.runtime.cloudevent import matches_filter

            return matches_filter(event, accepted)
    elif function.kind == "object":
        key = event.key or ""
        kind: str = event.kind  # type: ignore[attr-defined]
        return (
            kind in trigger["on"]
            and key.startswith(trigger.get("prefix", ""))
            and key.endswith(trigger.get("suffix", ""))
        )
    return True


def run_event(function: Function, event: Event, context: Context) -> None:
    """Hand one event to its handler from a synchronous entry point; raise when it fails."""
    if not wanted(function, event):
        return
    from portafaas.runtime.deadline import call

    begin(context, event)
    try:
        call(function.handle, event, context, function.timeout)
    except BaseException as exc:
        raised = report(function, context, exc)
        if endings:
            ended(context, event, None, exc)
        if raised is exc:
            raise
        raise raised from exc
    if endings:
        ended(context, event)


def begin(context: Context, event: Event) -> None:
    """Tell *context* what it is about; the sender's trace may be an extension of the event."""
    context.payload = event
    if event.extensions and context.trace_parent is None:
        # https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/extensions/distributed-tracing.md
        context.trace_parent = event.extensions.get("traceparent")


def failures(result: Any, messages: Sequence[Message]) -> list[str]:
    """Return the ids that a batch handler's result names as failed.

    Raises TypeError when the result is neither None nor a BatchResult, ValueError when it names
    a message that is not in the batch.
    """
    if result is None:
        return []
    from portafaas.runtime.message import BatchResult

    if not isinstance(result, BatchResult):
        raise TypeError(
            f"a batch handler must return BatchResult or None, not {type(result).__name__!r}"
        )
    unknown = set(result.failed) - {message.id for message in messages}
    if unknown:
        raise ValueError(f"the result names messages that are not in the batch: {sorted(unknown)}")
    return list(result.failed)


def run_messages(function: Function, messages: Sequence[Message], context: Context) -> list[str]:
    """Hand messages to their handler from a synchronous entry point; return the failed ids.

    One by one, or all at once for a batch handler. In an ordered queue a failed message holds
    back the later ones with its key, so that they are not processed before it.
    """
    from time import time

    from portafaas.runtime.deadline import call

    handle = function.handle
    if function.takes_batch:
        from portafaas.runtime.message import Batch

        context.attempt = max(message.attempt for message in messages)
        context.payload = batch = Batch(messages[0].queue, messages)
        try:
            result = call(handle, batch, context, function.timeout)
            failed = failures(result, messages)
        except BaseException as exc:
            report(function, context, exc)
            everything = [message.id for message in messages]
            if endings:
                ended(context, batch, everything, exc)
            return everything
        if failed:
            context.logger.warning("%d of %d messages failed", len(failed), len(messages))
        if endings:
            ended(context, batch, failed)
        return failed if not _ordered(function) else held_back(messages, failed)
    failed = []
    ordered = _ordered(function)
    blocked: set[str | None] = set()
    deadline = context.deadline
    for message in messages:
        if ordered and message.key in blocked:
            failed.append(message.id)
            continue
        context.attempt = message.attempt
        if len(messages) == 1:
            context.payload = message
        else:
            renew(context, message)
        try:
            left = deadline - time()
            if left <= 0:
                raise HandlerTimeout
            call(handle, message, context, left)
        except BaseException as exc:
            report(function, context, exc)
            if endings:
                ended(context, message, [message.id], exc)
            failed.append(message.id)
            blocked.add(message.key)
        else:
            if endings:
                ended(context, message)
    return failed


def _ordered(function: Function) -> bool:
    return bool(function.trigger.get("ordered"))


def held_back(messages: Iterable[Keyed], failed: Iterable[str]) -> list[str]:
    """Return *failed* and, in order, every later message with the key of a failed one."""
    names = set(failed)
    blocked: set[str | None] = set()
    out = []
    for message in messages:
        if message.id in names or message.key in blocked:
            blocked.add(message.key)
            out.append(message.id)
    return out
