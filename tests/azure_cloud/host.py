"""The Functions host's side of the Service Bus trigger: receive, invoke, complete or abandon.

``autoCompleteMessages``: a function that returns completes its message, one that fails abandons it.
https://learn.microsoft.com/azure/azure-functions/functions-bindings-service-bus-trigger
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from tests.azure_cloud.broker import Broker, Stored


class Crashed(Exception):
    """The worker is gone: nobody settles the message, its lock runs out."""


def payload(stored: Stored) -> dict[str, Any]:
    """Return what the host sends the worker for a message.

    The names are those of ``ServiceBusReceivedMessage``, whose converter reads these places:
    https://github.com/Azure/azure-sdk-for-net/blob/main/sdk/servicebus/Azure.Messaging.ServiceBus/src/Amqp/AmqpMessageConverter.cs
    """

    def text(value: Any) -> Any:
        # proton has "" for what is not there.
        return {"type": "string", "value": str(value)} if value else None

    def document(value: Any) -> Any:
        return {"type": "json", "value": value}

    message = stored.message
    kind = message.content_type
    annotations = {str(name): value for name, value in (message.annotations or {}).items()}
    when = datetime.fromtimestamp(stored.enqueued, UTC).isoformat()
    metadata = {
        "MessageId": text(message.id),
        "LockToken": text(stored.token),
        "DeliveryCount": document(stored.deliveries + 1),
        "SequenceNumber": document(stored.sequence),
        "EnqueuedTimeUtc": document(when),
        "EnqueuedTime": document(when),
        "ContentType": text(None if str(kind) == "None" else kind),
        "ApplicationProperties": document(stored.properties),
        "UserProperties": document(stored.properties),
        "SessionId": text(message.group_id),
        "PartitionKey": text(annotations.get("x-opt-partition-key")),
    }
    return {
        "trigger": {"type": "bytes", "value": base64.b64encode(stored.body).decode()},
        "metadata": {name: data for name, data in metadata.items() if data is not None},
    }


class Host:
    """Consumes entities: *routes* says for each what to call with a payload; True is success."""

    def __init__(
        self, broker: Broker, routes: dict[str, Callable[[dict[str, Any]], bool]]
    ) -> None:
        self.broker = broker
        self.routes = routes
        #: (seconds since the first delivery, entity, message id) of every delivery.
        self.deliveries: list[tuple[float, str, str]] = []
        self._start: float | None = None

    def step(self) -> bool:
        """Deliver one message of each entity; tell whether there was any."""
        any_done = False
        for name, invoke in self.routes.items():
            entity = self.broker.find(name)
            assert entity is not None, name
            stored = self.broker.receive(entity)
            if stored is None:
                continue
            any_done = True
            now = self.broker.now
            self._start = now if self._start is None else self._start
            self.deliveries.append((now - self._start, name, str(stored.message.id)))
            token = stored.token
            assert token is not None
            # The host renews the lock for as long as the invocation takes.
            stored.locked_until = now + 86_400
            try:
                done = invoke(payload(stored))
            except Crashed:
                stored.locked_until = self.broker.now + entity.lockDuration
                continue
            (self.broker.complete if done else self.broker.abandon)(token)
        return any_done

    def run(self, most: int = 10_000) -> None:
        """Deliver until nothing is left, letting time pass where something is due later."""
        for _ in range(most):
            if self.step():
                continue
            later = self.next_due()
            if later is None:
                return
            self.broker.advance(max(later - self.broker.now, 0.0) + 0.001)
        raise AssertionError(f"not done after {most} rounds")

    def next_due(self) -> float | None:
        """Return when the next message of the consumed entities becomes available."""
        times = []
        for name in self.routes:
            entity = self.broker.find(name)
            for stored in entity.messages if entity is not None else ():
                times.append(stored.locked_until if stored.token is not None else stored.due)
        return min(times) if times else None
