"""The message inside a Pub/Sub delivery. Ships; imports nothing at module level.

``{"message": {"data", "attributes", "messageId", "publishTime", "orderingKey"}, "subscription",
"deliveryAttempt"}``: https://cloud.google.com/pubsub/docs/push#receive_push. Eventarc delivers the
same object as the data of a CloudEvent, 1st gen the inner one.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Received:
    """A message as Pub/Sub delivered it.

    ``attributes`` holds all of them; ``key`` is None without an ordering key; ``attempt`` is 1
    when the subscription does not count (it does with a dead-letter policy only). ``message`` is
    the PubsubMessage as it came.
    """

    __slots__ = ("attempt", "attributes", "body", "id", "key", "message", "time")

    def __init__(self, context: dict[str, Any], data: Any) -> None:
        """Read *data*; raises ValueError when it is no Pub/Sub delivery."""
        from portafaas.runtime.text import utc_time
        from portafaas_gcp.runtime.delivery import decode_base64

        if not isinstance(data, dict):
            raise ValueError(f"a Pub/Sub delivery is a JSON object, not {type(data).__name__}")
        message = data.get("message", data if context else None)
        if not isinstance(message, dict):
            raise ValueError('a Pub/Sub delivery must have an object "message"')
        attributes = message.get("attributes") or {}
        if not isinstance(attributes, dict):
            raise ValueError("message.attributes must be an object")
        found = message.get("messageId") or message.get("message_id") or context.get("id")
        if not found:
            raise ValueError("message.messageId is missing")
        content = message.get("data")
        sent = message.get("publishTime") or message.get("publish_time") or context.get("time")
        attempt = data.get("deliveryAttempt")
        self.message: dict[str, Any] = message
        self.id = str(found)
        self.body = b"" if content is None else decode_base64(content, "message.data")
        self.attributes = {str(name): str(value) for name, value in attributes.items()}
        self.key = message.get("orderingKey") or None
        self.time = utc_time(sent if isinstance(sent, str) else None)
        self.attempt = attempt if isinstance(attempt, int) and attempt > 0 else 1

    def split(self) -> tuple[dict[str, str], dict[str, str] | None]:
        """Return the attributes a handler sees, and portafaas' own, if there are any."""
        from portafaas.runtime.control import split

        return split(self.attributes)
