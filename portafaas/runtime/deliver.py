"""What happens around an event or queue handler, the same on every target. Ships.

Rules E-1 to E-12 of ``docs/spec/events.md``: a handler that returns has done its work; one that
raises, times out or exits has failed. What becomes of the failure is decided by ``recovery``, where
the bridge has a way to carry it out (a settlement); else the platform delivers again.

One module, since all of it is needed at the first delivery: a second file would cost each cold
start.
"""

from __future__ import annotations

from portafaas.runtime import deadline
from portafaas.runtime.context import HandlerTimeout, ended, endings, log_failure, renew

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any, Protocol

    from portafaas.runtime.context import Context
    from portafaas.runtime.event import Event
    from portafaas.runtime.function import Function
    from portafaas.runtime.message import Message
    from portafaas.runtime.recovery import Failure, Settlement

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


def report(
    function: Function, context: Context, error: BaseException, failed: int = 1
) -> Exception:
    """Log *error* and return the exception to raise to the platform.

    *failed* attempts have ended with it: one for each message that the handler was given.
    """
    if isinstance(error, HandlerTimeout):
        log_failure(context, "handler exceeded its timeout of %s s", function.timeout, failed)
        return DeliveryFailed(f"{function.name} exceeded its timeout of {function.timeout} s")
    log_failure(context, "handler failed: %r", error, failed)
    if isinstance(error, Exception):
        return error
    from portafaas.runtime.recovery import described

    return DeliveryFailed(f"{function.name} raised {described(error)}")


def report_some(context: Context, failed: Sequence[Failure], messages: Sequence[Message]) -> None:
    """Log how many of a batch's *messages* the handler's result says have *failed*."""
    count = len(failed)
    log_failure(context, f"%d of {len(messages)} messages failed", count, count)


def wanted(function: Function, event: Event) -> bool:
    """Tell whether *event* is for the function's handler; brokers filter where they can.

    Not what the trigger's filter stops, what is a copy for another function of the topic, what
    has expired, and what a table's outbox keeps.
    """
    if event.control is not None:
        from portafaas.runtime import control

        if event.control.get(control.TO, function.name) != function.name:
            return False
        if control.expired(event.control):
            return False
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
            and not key.startswith("pf-claims/")
            and key.startswith(trigger.get("prefix", ""))
            and key.endswith(trigger.get("suffix", ""))
        )
    elif function.kind == "table":
        outbox = trigger.get("outbox")
        if outbox is not None:
            from portafaas.runtime.rows import OUTBOX

            # The outbox's rows are for its relay, and nothing else is.
            keys: dict[str, Any] = event.keys  # type: ignore[attr-defined]
            return str(keys.get(trigger["sort"])).startswith(OUTBOX) is outbox
    return True


def run_event(
    function: Function,
    event: Event,
    context: Context,
    settlement: Settlement | None = None,
    counted: bool = True,
) -> None:
    """Hand one event to its handler from a synchronous entry point; raise when it fails.

    With a *settlement* a failure may end here, as a dead letter or a copy for later. *counted* is
    False where the platform does not count deliveries, or repeats them too seldom: there ``retry``
    is kept within the invocation.
    """
    if not wanted(function, event):
        return
    if settlement is not None and given_up(function, context, event, settlement):
        return
    begin(context, event)
    seconds = function.timeout
    while True:
        try:
            deadline.call(function.handle, event, context, seconds)
        except BaseException as exc:
            raised = report(function, context, exc)
            if endings:
                ended(context, event, None, exc)
            pause = after(function, context, event, exc, settlement, counted)
            if pause is None:
                if raised is exc:
                    raise
                raise raised from exc
            if pause < 0:
                return
        else:
            if endings:
                ended(context, event)
            return
        from time import sleep

        sleep(pause)
        seconds = context.remaining()
        once_more(context, event)


def given_up(
    function: Function, context: Context, item: Any, settlement: Settlement
) -> bool:
    """Tell whether *item* has had all its attempts, without an answer, and is a dead letter now."""
    if item.attempt <= function.retry["attempts"]:
        return False
    from portafaas.runtime.recovery import exhausted

    return exhausted(function, context, item, settlement)


def after(
    function: Function,
    context: Context,
    event: Event,
    error: BaseException,
    settlement: Settlement | None,
    counted: bool,
) -> float | None:
    """Return what is next after *error*: see ``recovery.next_step``."""
    if settlement is None:
        return None
    from portafaas.runtime.recovery import next_step

    return next_step(function, context, event, error, settlement, counted)


def once_more(context: Context, event: Event) -> None:
    """Give *context* to another attempt at *event* in the same invocation: a span of its own."""
    event.attempt += 1
    context.attempt = event.attempt
    for name in ("span", "logger"):
        try:
            delattr(context, name)
        except AttributeError:
            continue
    if endings:
        from time import time

        context.span.start = time()


def begin(context: Context, event: Event) -> None:
    """Tell *context* what it is about; the sender's trace may be an extension of the event."""
    context.payload = event
    if event.extensions and context.trace_parent is None:
        # https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/extensions/distributed-tracing.md
        context.trace_parent = event.extensions.get("traceparent")


def failures(
    result: Any, messages: Sequence[Message], context: Context
) -> list[Failure]:
    """Return what a batch handler's result says has failed, in the order of *messages*.

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
    outcomes = result.outcomes
    if not outcomes:
        return []
    unknown = set(outcomes) - {message.id for message in messages}
    if unknown:
        raise ValueError(f"the result names messages that are not in the batch: {sorted(unknown)}")
    from portafaas.runtime.recovery import Failure

    return [
        Failure(context, message, outcomes[message.id][2], *outcomes[message.id][:2])
        for message in messages
        if message.id in outcomes
    ]


def broken(messages: Sequence[Message], error: BaseException, context: Context) -> list[Failure]:
    """Return the failures of a batch whose handler raised *error*.

    Of several messages nobody knows which one is Permanent: all come again.
    """
    from portafaas.runtime.recovery import Failure, described

    # A text has no kind.
    why: Any = error if len(messages) == 1 else described(error)
    return [Failure(context, message, why) for message in messages]


def live(
    function: Function,
    messages: Sequence[Message],
    context: Context,
    settlement: Settlement | None,
) -> Sequence[Message]:
    """Return the messages that a handler is to see: none that expired, or had all its attempts."""
    attempts = function.retry["attempts"] if settlement is not None else 0
    for message in messages:
        control = message.control
        if (attempts and message.attempt > attempts) or (
            control is not None and "pf-expires" in control
        ):
            break
    else:
        return messages
    from portafaas.runtime.control import expired

    return [
        message
        for message in messages
        if not expired(message.control)
        and not (settlement and given_up(function, context, message, settlement))
    ]


def finish(
    function: Function,
    context: Context,
    messages: Sequence[Message],
    failed: Sequence[Failure],
    settlement: Settlement | None,
) -> list[str]:
    """Return the ids of *messages* to report as failed, once *failed* are settled."""
    if not failed:
        return []
    names = {failure.item.id for failure in failed}
    if settlement is not None:
        from portafaas.runtime.recovery import settle

        names = settle(function, context, failed, settlement)
    return [message.id for message in messages if message.id in names]


def run_messages(
    function: Function,
    messages: Sequence[Message],
    context: Context,
    settlement: Settlement | None = None,
) -> list[str]:
    """Hand messages to their handler from a synchronous entry point; return the failed ids.

    One by one, or all at once for a batch handler. In an ordered queue a failed message holds
    back the later ones with its key, so that they are not processed before it. What *settlement*
    has buried or put off by a copy has not failed.
    """
    handle = function.handle
    ordered = _ordered(function)
    messages = live(function, messages, context, settlement)
    if not messages:
        return []
    if function.takes_batch:
        from portafaas.runtime.message import Batch

        context.attempt = max(message.attempt for message in messages)
        context.payload = batch = Batch(messages[0].queue, messages)
        problem = None
        try:
            result = deadline.call(handle, batch, context, function.timeout)
            found = failures(result, messages, context)
        except BaseException as exc:
            problem = exc
            report(function, context, exc, len(messages))
            found = broken(messages, exc, context)
        if found and problem is None:
            report_some(context, found, messages)
        if endings:
            ended(context, batch, [failure.item.id for failure in found], problem)
        failed = finish(function, context, messages, found, settlement)
        return held_back(messages, failed) if ordered else failed
    failed = []
    found = []
    blocked: set[str | None] = set()
    alone = len(messages) == 1
    if alone:
        context.payload = messages[0]
    else:
        # Each has a trace of its own, looked up when it is asked for.
        try:
            del context.trace_parent
        except AttributeError:
            pass
    # Set once: a timer for each message would cost as much as the rest of this.
    ends = deadline.arm(context.remaining())
    for message in messages:
        if blocked and message.key in blocked:
            failed.append(message.id)
            continue
        context.attempt = message.attempt
        if not alone:
            context.payload = message
            if context._made or endings:
                renew(context, message)
        try:
            if ends and deadline._fires:
                deadline._ends = ends
                try:
                    result = handle(message, context)
                    if result is not None and hasattr(result, "__await__"):
                        from portafaas.runtime.aio import run

                        run(result)
                finally:
                    deadline._ends = 0.0
            else:
                left = context.remaining()
                if left <= 0:
                    raise HandlerTimeout
                deadline.call(handle, message, context, left)
        except BaseException as exc:
            from portafaas.runtime.recovery import Failure

            report(function, context, exc)
            if endings:
                ended(context, message, [message.id], exc)
            failure = Failure(context, message, exc)
            if not ordered:
                found.append(failure)
            elif finish(function, context, (message,), (failure,), settlement):
                # Now, since what follows depends on it.
                failed.append(message.id)
                blocked.add(message.key)
        else:
            if endings:
                ended(context, message)
    return failed if ordered else finish(function, context, messages, found, settlement)


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
