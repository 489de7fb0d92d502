"""What becomes of a failure on Service Bus: a copy for later, a dead letter. Ships.

A copy is what was delivered with ``pf-attempt`` and ``pf-sent``, and its own message id, so that no
detection of duplicates drops it; the handler's id goes with it as ``pf-id``. Nothing here is called
on the worker's loop: ``run`` does it in a thread.
"""

from __future__ import annotations

from portafaas.runtime import control as ours

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from typing import Any

    from portafaas.runtime.context import Context
    from portafaas.runtime.function import Function
    from portafaas.runtime.recovery import Letter

#: Seconds of an invocation that are not spent waiting.
_MARGIN = 1.0
#: Bytes of a row beside which a letter fits into a message of the tier Standard, 256 KB in all:
#: https://learn.microsoft.com/azure/service-bus-messaging/service-bus-quotas
_LARGEST = 250_000
#: Of a dead letter that has only the keys of its row.
CUT = "pf-cut"
#: Properties that a copy has like the original: of the host's message, of the client's.
_SAME = (
    ("content_type", "content_type"), ("correlation_id", "correlation_id"), ("label", "subject"),
    ("to", "to"), ("reply_to", "reply_to"), ("reply_to_session_id", "reply_to_session_id"),
    ("session_id", "session_id"),
)  # fmt: skip


class Settlement:
    """Settles what one invocation was delivered; see ``recovery.Settlement``.

    *copies* is False where nothing may overtake what failed (sessions, the change feed): there the
    time until the next delivery is waited for. With *hosted* the host waits as ``retry`` says, and
    here only what is asked for beyond that.
    """

    __slots__ = ("context", "copies", "function", "hosted")

    def __init__(
        self, function: Function, context: Context, copies: bool = True, hosted: bool = False
    ) -> None:
        self.function = function
        self.context = context
        self.copies = copies
        self.hosted = hosted

    def again(self, items: Sequence[tuple[Any, float]]) -> Collection[str]:
        """Send a copy of each for later; without copies wait, and leave it to the platform."""
        from portafaas.runtime.recovery import address, delay_of

        function = self.function
        target = address("SOURCE", function)
        if not self.copies or not target:
            policy = {**function.retry, "jitter": False}
            self._wait(
                max(
                    seconds - (delay_of(policy, item.attempt) if self.hosted else 0.0)
                    for item, seconds in items
                )
            )
            return ()
        to = {ours.TO: function.name} if function.kind == "topic" else {}
        try:
            made = [
                copied(item, {ours.ATTEMPT: str(item.attempt), **to}, after)
                for item, after in items
            ]
            return self._sent(target, [item for item, _ in items], made)
        except Exception:
            # What is abandoned comes again at once, and is soon given up by Service Bus.
            self._wait(min(after for _, after in items))
            raise

    def bury(self, items: Sequence[tuple[Any, Letter]]) -> Collection[str]:
        """Send each to the dead letters."""
        from portafaas.runtime.recovery import address

        made = [
            copied(item, {ours.ATTEMPT: str(item.attempt), ours.DEAD: letter.text()})
            for item, letter in items
        ]
        return self._sent(address("DEAD", self.function), [item for item, _ in items], made)

    def _sent(self, target: str, items: list[Any], made: list[Any]) -> Collection[str]:
        from portafaas_azure.runtime.sender import send_made

        lost = {index for index, _ in send_made(target, made)}
        return [item.id for index, item in enumerate(items) if index not in lost]

    def _wait(self, seconds: float) -> None:
        """Sleep, in slices that an interrupt gets through, as long as the deadline allows."""
        from time import monotonic, sleep

        ends = monotonic() + min(seconds, self.context.remaining() - _MARGIN)
        while (left := ends - monotonic()) > 0:
            sleep(min(left, 0.5))


def settles(function: Function) -> bool:
    """Tell whether anything says where to; where not, as in tests, failures are just told."""
    from os import environ

    name = function.name.upper().replace("-", "_")
    return f"PORTAFAAS_DEAD_{name}" in environ or f"PORTAFAAS_SOURCE_{name}" in environ


def copied(item: Any, facts: dict[str, str], after: float = 0.0) -> Any:
    """Return a ServiceBusMessage like what *item* was delivered in, with *facts* of its own.

    Of what did not come through Service Bus the body is the JSON document that its bridge reads.
    """
    from azure.servicebus import ServiceBusMessage

    from portafaas.runtime.resources import new_id

    native = item.raw
    before = item.control or {}
    sent = before.get(ours.SENT) or item.time
    own: dict[Any, Any] = {**facts, ours.ID: item.id}
    if sent:
        own[ours.SENT] = sent
    if not hasattr(native, "get_body"):
        document, whole = _document(item)
        if not whole:
            own[CUT] = "1"
        made = ServiceBusMessage(
            document,
            application_properties=own,
            message_id=new_id(),
            content_type="application/json",
        )
    else:
        properties = native.application_properties or native.user_properties or {}
        kept = {
            name: value for name, value in properties.items()
            if value is not None and name not in (ours.DEAD, ours.TO, *_PLATFORM)
        }  # fmt: skip
        made = ServiceBusMessage(
            native.get_body(),
            application_properties={**kept, **own},
            message_id=new_id(),
        )
        for theirs, name in _SAME:
            value = getattr(native, theirs, None)
            if value:
                setattr(made, name, value)
        key = getattr(native, "partition_key", None)
        if key and not made.session_id:
            made.partition_key = key
    if after > 0:
        from datetime import datetime, timedelta, timezone

        # timezone.utc: there is no datetime.UTC in Python 3.10.
        now = datetime.now(timezone.utc)  # noqa: UP017
        made.scheduled_enqueue_time_utc = now + timedelta(seconds=after)
    return made


#: Of a message that the platform gave up: https://learn.microsoft.com/azure/service-bus-messaging/service-bus-dead-letter-queues
_PLATFORM = ("DeadLetterReason", "DeadLetterErrorDescription")


def _document(item: Any) -> tuple[bytes, bool]:
    """Return what the bridge reads an event of, and whether that is all of it.

    Of a row that is longer than a message there are the keys: it would hold up its partition for
    ever, as what cannot be buried is repeated.
    """
    import json

    if not hasattr(item, "keys"):
        return json.dumps({"time": item.time}).encode(), True
    # The row of the change feed, as the host delivers it.
    [row] = item.raw
    text = json.dumps(dict(row), separators=(",", ":")).encode()
    if len(text) <= _LARGEST:
        return text, True
    from portafaas_azure.runtime.shapes import SYSTEM, property_of

    kept = {"id", *SYSTEM, *item.keys, *map(property_of, item.keys)}
    keys = {name: value for name, value in dict(row).items() if name in kept}
    return json.dumps(keys, separators=(",", ":")).encode(), False
