"""Batches of which some messages are done, or being done. Ships; for ``idempotency`` only."""

from __future__ import annotations

from portafaas.runtime.deadline import whole
from portafaas.runtime.idempotency import BUSY, DONE, OURS, Claim, in_time
from portafaas.runtime.repeats import delivery_digest, delivery_key
from portafaas.runtime.resources import ResourceError
from portafaas.runtime.taxonomy import Permanent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from portafaas.runtime.context import Context
    from portafaas.runtime.function import Function
    from portafaas.runtime.message import Message

_OTHER = "its idempotency key was used with other content"


class Several:
    """A batch on its way through the handler, without what is done or busy."""

    __slots__ = (
        "_all", "_claims", "_context", "_function", "_result", "_same", "answer", "over", "payload",
    )  # fmt: skip

    @whole
    def __init__(self, function: Function, batch: Any, context: Context) -> None:
        from portafaas.runtime.message import Batch, BatchResult

        self._function = function
        self._context = context
        self._all = len(batch)
        self._result = BatchResult()
        #: Each message that the handler gets, and its claim.
        self._claims: list[tuple[Message, Claim]] = []
        #: Each message with the key of an earlier one, and that one.
        self._same: list[tuple[Message, Message]] = []
        self.answer: Any = self._result
        try:
            self._sort(batch)
            if self._claims:
                in_time(self, context)
        except BaseException:
            self.release()
            raise
        rest = tuple(message for message, _ in self._claims)
        self.over = not rest
        if len(rest) == self._all:
            self.payload = batch
        else:
            self.payload = context.payload = Batch(batch.queue, rest)

    def _sort(self, batch: Any) -> None:
        spec: Mapping[str, Any] = self._function.idempotency  # type: ignore[assignment]
        ordered = bool(self._function.trigger.get("ordered"))
        result = self._result
        first: dict[str, tuple[Message, str]] = {}
        blocked = set()
        for message in batch:
            if ordered and message.key in blocked:
                result.retry(message)
                continue
            try:
                key, digest = delivery_key(spec, message), delivery_digest(message)
                earlier = first.get(key)
                if earlier is not None:
                    if earlier[1] != digest:
                        raise Permanent(_OTHER)
                    self._same.append((message, earlier[0]))
                    continue
                claim = Claim(spec, self._context, key, digest)
            except Permanent as exc:
                self._fail(message, exc)
                continue
            except ResourceError as exc:
                from portafaas.runtime.recovery import described

                self._fail(message, described(exc))
                blocked.add(message.key)
                continue
            if claim.state == OURS:
                first[key] = message, digest
                self._claims.append((message, claim))
            elif claim.state == DONE:
                self._context.logger.info("%s is done already", message.id)
            elif claim.state == BUSY:
                result.retry(message, min(claim.left, 43_200))
                blocked.add(message.key)
            else:
                self._fail(message, Permanent(_OTHER))

    def _fail(self, message: Message, error: Any) -> None:
        """Have the message judged by *error*, as if it had come alone."""
        self._result.outcomes[message.id] = ("fail", None, error)

    @whole
    def done(self, result: Any) -> Any:
        """Record what the handler says is done, and return that with what it did not see."""
        from portafaas.runtime.deliver import failures

        own = [message for message, _ in self._claims]
        try:
            # Raises for what is no result of these messages.
            failures(result, own, self._context)
        except (TypeError, ValueError) as exc:
            answer = self.failed(exc)
            if answer is None:
                raise
            return answer
        said = {} if result is None else result.outcomes
        for message, claim in self._claims:
            if message.id in said:
                claim.release()
            else:
                claim.complete()
        for message, earlier in self._same:
            if earlier.id in said and message.id not in said:
                self._result.retry(message)
        self._result.outcomes.update(said)
        return self._result

    def failed(self, error: BaseException) -> Any:
        """Let what the handler got be tried again; what it did not get keeps its own outcome.

        Returns the outcome of all, or None when the handler got all and *error* says enough.
        """
        self.release()
        if len(self._claims) == self._all:
            return None
        from portafaas.runtime.deliver import report
        from portafaas.runtime.recovery import described

        # None counts here: the result names all that failed, and they count there.
        report(self._function, self._context, error, 0)
        # Of several messages nobody knows which one is Permanent.
        why: Any = error if len(self._claims) == 1 else described(error)
        for message, _ in self._claims:
            self._result.outcomes[message.id] = ("fail", None, why)
        for message, _ in self._same:
            self._result.outcomes.setdefault(message.id, ("again", None, None))
        return self._result

    @whole
    def release(self) -> None:
        """Forget that they were begun."""
        for _, claim in self._claims:
            claim.release()
