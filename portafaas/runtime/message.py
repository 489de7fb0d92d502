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
        control: portafaas' own attributes of the message, or None; see ``control.py``.
    """

    __slots__ = ("attempt", "attributes", "body", "control", "id", "key", "queue", "raw", "time")

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
        control: Mapping[str, str] | None = None,
    ) -> None:
        self.id = id
        self.body = body
        self.attributes = attributes if attributes is not None else {}
        self.key = key
        self.queue = queue
        self.attempt = attempt
        self.time = time
        self.raw = raw
        self.control = control
        if control is not None:
            self.id = control.get("pf-id", id)
            if "pf-attempt" in control:
                from portafaas.runtime.control import carried

                self.attempt += carried(control)

    def __repr__(self) -> str:
        return f"<Message id={self.id!r} queue={self.queue!r} attempt={self.attempt}>"

    @property
    def text(self) -> str:
        """The body as UTF-8 text; raises UnicodeDecodeError when it is not."""
        return self.body.decode("utf-8")

    def json(self) -> Any:
        """Return the body parsed as JSON.

        Raises :class:`~portafaas.runtime.taxonomy.Unreadable`, a ValueError that a handler need
        not catch: the message becomes a dead letter at once.
        """
        import json

        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as exc:
            from portafaas.runtime.taxonomy import Unreadable

            raise Unreadable(f"message {self.id} is not JSON: {exc}") from exc


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
    """What became of each message of a batch; those it does not name are done.

    The last word on a message counts.
    """

    __slots__ = ("outcomes",)

    def __init__(self, failed: Iterable[Message | str] = ()) -> None:
        #: Id -> (``again``, seconds or None for the policy's own, None), or
        #: (``dead``, None, reason).
        self.outcomes: dict[str, tuple[str, float | None, str | None]] = {}
        for message in failed:
            self.retry(message)

    def retry(self, message: Message | str, after: float | None = None) -> None:
        """Have *message* (or the message with that id) delivered again.

        After what the function's ``retry`` says, or at the earliest in *after* seconds (0 to
        43 200). It counts as an attempt.
        """
        if after is not None and not 0 <= after <= 43_200:
            raise ValueError(f"after {after!r} s is not between 0 and 43200 s")
        self.outcomes[_id(message)] = ("again", after, None)

    def dead_letter(self, message: Message | str, reason: str = "") -> None:
        """Give *message* up: it goes to the queue's dead letters, with *reason*.

        Where the queue has none it comes again.
        """
        self.outcomes[_id(message)] = ("dead", None, reason)

    def drop(self, message: Message | str) -> None:
        """Be done with *message*, though nothing was done: it does not come again."""
        self.outcomes.pop(_id(message), None)

    def ack(self, message: Message | str) -> None:
        """Be done with *message*, as with all that are not named; takes back what was said."""
        self.outcomes.pop(_id(message), None)

    @property
    def failed(self) -> tuple[str, ...]:
        """Ids of the messages that are not done, in the order they were given."""
        return tuple(self.outcomes)


def _id(message: Message | str) -> str:
    return message if isinstance(message, str) else message.id
