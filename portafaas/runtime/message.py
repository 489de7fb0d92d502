"""Messages of queues as handlers see them. Ships; imports nothing at module level."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any


class Message:
    """One message of a queue.

    Attributes:
        id: unique and the same on every redelivery.
        body: bytes, exactly as sent.
        attributes: dict of str.
        key: ordering key (ordered queues), or None.
        queue: name in the manifest.
        attempt: 1 on the first delivery, as far as the platform counts.
        time: when it was sent, RFC 3339 UTC with three fractional digits, or None.
        raw: the platform's payload.
    """

    __slots__ = ("attempt", "attributes", "body", "id", "key", "queue", "raw", "time")

    def __init__(
        self,
        id: str,
        body: bytes,
        *,
        attributes: Mapping[str, str] | None = None,
        key: str | None = None,
        queue: str = "",
        attempt: int = 1,
        time: str | None = None,
        raw: Any = None,
    ) -> None:
        self.id = id
        self.body = body
        self.attributes = attributes if attributes is not None else {}
        self.key = key
        self.queue = queue
        self.attempt = attempt
        self.time = time
        self.raw = raw

    def __repr__(self) -> str:
        return f"<Message id={self.id!r} queue={self.queue!r} attempt={self.attempt}>"

    @property
    def text(self) -> str:
        """The body as UTF-8 text; raises UnicodeDecodeError when it is not."""
        return self.body.decode("utf-8")

    def json(self) -> Any:
        """Return the body parsed as JSON; raises ValueError when it is not."""
        import json

        return json.loads(self.body)


class Batch:
    """Up to ``batch`` messages of one queue, in order; iterates over its messages."""

    __slots__ = ("messages", "queue")

    def __init__(self, queue: str, messages: Iterable[Message]) -> None:
        self.queue = queue
        self.messages = tuple(messages)

    def __iter__(self) -> Iterator[Message]:
        return iter(self.messages)

    def __len__(self) -> int:
        return len(self.messages)

    def __repr__(self) -> str:
        return f"<Batch of {len(self.messages)} from {self.queue!r}>"


class BatchResult:
    """Which messages of a batch failed; the others are done and will not come again."""

    __slots__ = ("_failed",)

    def __init__(self, failed: Iterable[Message | str] = ()) -> None:
        self._failed: dict[str, None] = {}
        for message in failed:
            self.retry(message)

    def retry(self, message: Message | str) -> None:
        """Have *message* (or the message with that id) delivered again."""
        self._failed[message if isinstance(message, str) else message.id] = None

    @property
    def failed(self) -> tuple[str, ...]:
        """Ids of the failed messages, in the order they were given."""
        return tuple(self._failed)
