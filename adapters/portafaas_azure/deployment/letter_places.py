"""Queues of Service Bus as places of letters: received under a lock, moved on, given back.

What is moved or removed is received under a lock, and completed when its copy is where it should
be. https://learn.microsoft.com/azure/service-bus-messaging/message-transfers-locks-settlement
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from portafaas.record import dataclass
from portafaas_azure.deployment.clouds import load

#: Messages that are asked for at once.
PAGE = 250
#: Seconds that are waited for messages that should be there.
_WAIT = 5.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where letters lie: a queue or, with *topic*, a subscription; *sub*: its own dead letters."""

    name: str
    topic: str = ""
    sub: bool = False


def receiver_of(client: Any, place: Place) -> Any:
    """Return a receiver of the letters there; close it."""
    more = {"sub_queue": "deadletter"} if place.sub else {}
    if place.topic:
        return client.get_subscription_receiver(place.topic, place.name, **more)
    return client.get_queue_receiver(place.name, **more)


def take(
    receiver: Any,
    wanted: dict[int, str],
    move: Callable[[Sequence[tuple[str, Any]]], str],
    failed: list[tuple[str, str]],
) -> int:
    """Receive the *wanted* letters, in order; have each group moved, and remove it.

    *move* returns why it could not. Others are held until the end, so that they are not received
    twice, and given back.
    """
    left = dict(wanted)
    done, held = 0, []
    why = ""
    while left and not why:
        page = receiver.receive_messages(PAGE, max_wait_time=_WAIT)
        group = []
        for message in page:
            if message.sequence_number in left:
                group.append((left.pop(message.sequence_number), message))
            else:
                held.append(message)
        if group:
            why = move(group)
        for identity, message in group:
            if why:
                failed.append((identity, why))
                held.append(message)
            else:
                receiver.complete_message(message)
                done += 1
        if not page:
            why = "somebody else holds it, or has taken it"
    failed += [(identity, why) for identity in left.values()]
    for message in held:
        receiver.abandon_message(message)
    return done


def send(sender: Any, made: Sequence[Any]) -> str:
    """Send messages, all at once where they fit; return why it failed."""
    exceptions = load("azure.servicebus.exceptions")
    try:
        try:
            sender.send_messages(list(made), timeout=30)
        except exceptions.MessageSizeExceededError:
            for one in made:
                sender.send_messages(one, timeout=30)
    except exceptions.ServiceBusError as error:
        return " ".join(str(getattr(error, "message", "") or error).split())
    return ""
