"""Dead letters as Azure's clients give them, as their handlers would have seen them; and back."""

from __future__ import annotations

import json
from typing import Any

from portafaas.deployment.dead_letters import DeadLetter
from portafaas.plan import BuildPlan, FunctionPlan
from portafaas.plan.entry import function_spec
from portafaas.runtime import control as ours
from portafaas.runtime.function import Function
from portafaas_azure.runtime.bus import Received

#: What Service Bus adds to what it gives up.
_PLATFORM = ("DeadLetterReason", "DeadLetterErrorDescription")
#: What is new about a message that is delivered again.
_FORGOTTEN = (ours.DEAD, ours.ATTEMPT, ours.SENT, ours.TO, ours.EXPIRES, *_PLATFORM)


class _Native:
    """A message of azure-servicebus with the names of the Functions SDK, for :class:`Received`."""

    def __init__(self, message: Any) -> None:
        self.message_id = text(message.message_id)
        self.sequence_number = message.sequence_number
        self.application_properties = properties(message)
        self.user_properties = None
        self.delivery_count = message.delivery_count
        self.enqueued_time_utc = message.enqueued_time_utc
        self.session_id = text(message.session_id)
        self.partition_key = text(message.partition_key)
        self.content_type = text(message.content_type)
        self._body = body(message)

    def get_body(self) -> bytes:
        """Return the data."""
        return self._body


def text(value: Any) -> Any:
    """Return AMQP text, which the client gives as bytes, as str."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def properties(message: Any) -> dict[str, Any]:
    """Return the application properties by name."""
    found = message.application_properties or {}
    return {str(text(name)): text(value) for name, value in found.items()}


def body(message: Any) -> bytes:
    """Return the data of a message, or its value as text."""
    found = message.body
    if isinstance(found, (bytes, str)):
        return found if isinstance(found, bytes) else found.encode()
    return b"".join(
        part if isinstance(part, bytes) else str(part).encode() for part in found or ()
    )


def is_letter(message: Any) -> bool:
    """Tell whether a message is a dead letter, and not one that was just sent to the queue."""
    found = properties(message)
    return ours.DEAD in found or _PLATFORM[0] in found


def facts(message: Any) -> dict[str, Any]:
    """Return what the function said when it gave the message up; nothing if it did not."""
    try:
        found = json.loads(properties(message).get(ours.DEAD, ""))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def letter(plan: BuildPlan, box: str, function: FunctionPlan | None, message: Any) -> DeadLetter:
    """Return *message* as a dead letter of *box*, which *function* failed at."""
    native = _Native(message)
    for name in _PLATFORM:
        native.application_properties.pop(name, None)
    received = Received(native)
    said, control = facts(message), received.control or {}
    try:
        identity, attributes, key = _seen(plan, function, received, native)
    except ValueError:  # nobody can read it: as it came
        identity, attributes, key = received.id, received.attributes, received.session
    found = properties(message)
    why = ": ".join(str(found[name]) for name in _PLATFORM if found.get(name))
    attempts = ours.carried(control)
    if found.get(_PLATFORM[0]) == "MaxDeliveryCountExceeded" and function is not None:
        attempts += function.retry.attempts
    # Who may send to the queue may have written anything there.
    if isinstance(said.get("attempts"), int):
        attempts = said["attempts"]
    return DeadLetter(
        id=str(said.get("id") or identity),
        box=box,
        reason=str(said.get("reason") or "platform"),
        error=str(said.get("error", why)),
        attempts=attempts,
        function=str(said.get("function") or (function.name if function is not None else "")),
        time=str(said.get("time") or received.time or ""),
        sent=str(control.get(ours.SENT, "")),
        trace=str(said.get("trace") or received.attributes.get("traceparent", "")),
        correlation=str(said.get("correlation") or received.attributes.get("correlationid", "")),
        body=received.body,
        attributes=attributes,
        key=key,
    )


def _seen(
    plan: BuildPlan, function: FunctionPlan | None, received: Received, native: Any
) -> tuple[str, dict[str, str], str | None]:
    """Return id, attributes and key as the function's bridge reads them."""
    identity = (received.control or {}).get(ours.ID, received.id)
    if function is None or function.kind == "queue":
        return identity, received.attributes, received.session
    if function.kind == "topic":
        from portafaas.runtime.cloudevent import event_from_message
        from portafaas_azure.runtime.topic import PREFIXES

        event = event_from_message(
            received.body, received.attributes, id=received.id, source="", prefixes=PREFIXES,
            content_type=received.content_type, key=received.session or received.partition,
            control=received.control,
        )  # fmt: skip
        return event.id, dict(event.attributes), event.key
    if function.kind == "object":
        from portafaas_azure.runtime.object import object_event

        try:
            documents = json.loads(received.body)
            document = documents[0] if isinstance(documents, list) else documents
            made = object_event(Function(function_spec(plan, function)), document)
        except (ValueError, LookupError, TypeError, AttributeError):
            made = None
        identity = made.id if made is not None else identity
    return identity, {}, None


def fresh(message: Any, identity: str, to: str) -> Any:
    """Return a message like *message* that begins with attempt 1; *to* names the one function."""
    from azure.servicebus import ServiceBusMessage

    from portafaas.runtime.resources import new_id

    kept: dict[Any, Any] = {
        name: value for name, value in properties(message).items() if name not in _FORGOTTEN
    }
    kept[ours.ID] = identity
    if to:
        kept[ours.TO] = to
    made = ServiceBusMessage(body(message), application_properties=kept, message_id=new_id())
    for name in ("content_type", "correlation_id", "subject", "to", "reply_to",
                 "reply_to_session_id", "session_id"):  # fmt: skip
        value = text(getattr(message, name))
        if value:
            setattr(made, name, value)
    key = text(message.partition_key)
    if key and not made.session_id:
        made.partition_key = key
    return made
