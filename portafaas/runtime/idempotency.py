"""Runs a handler once for each key, however often it is asked. Ships; for ``idempotency`` only.

A record of the function's table says that somebody is at it, until when, or that it is done. All
writes of records are conditional, so that of two instances one goes on. ``docs/spec/recovery.md``
has the rules (I-1 to I-12), which follow
https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-idempotency-key-header and
https://docs.stripe.com/api/idempotent_requests.

``Function`` puts :func:`once` around the handler, within its deadline: bridges know nothing of it.

One module, since all of it is needed at the first call: a second file would cost each cold start.
"""

from __future__ import annotations

from portafaas.runtime.context import HandlerTimeout
from portafaas.runtime.deadline import whole
from portafaas.runtime.repeats import (
    delivery_digest,
    delivery_key,
    request_digest,
    request_key,
    sha256,
    task_digest,
    task_key,
)
from portafaas.runtime.resources import Conflict, ResourceError
from portafaas.runtime.taxonomy import Permanent, Throttled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from portafaas.runtime.context import Context
    from portafaas.runtime.function import Function

#: Seconds after the deadline during which a record is still somebody's: clocks differ, and a
#: handler that is stopped takes a moment to end.
GRACE = 5.0
#: How often a record that others change meanwhile is looked at before it counts as theirs.
_TRIES = 5
#: Seconds between attempts to write down that something is done.
_PAUSES = (0.05, 0.25, 0.0)

#: Seconds between two looks at a record whose task somebody else does.
_LOOK = 0.25
#: Seconds that must be left of an invocation to wait for that.
_SPARE = 1.0

OURS, DONE, BUSY, OTHER = "ours", "done", "busy", "other"


class Claim:
    """What the record of a key says to one who wants to work on it.

    Attributes:
        state: ``ours`` (go on), ``done``, ``busy`` (somebody is at it) or ``other`` (the key was
            used with something else).
        left: seconds until one that is busy has to be done.
        answer: what a done request was answered, as it is kept, or None.
    """

    __slots__ = ("_context", "_row", "_spec", "_version", "answer", "left", "state")

    def __init__(self, spec: Mapping[str, Any], context: Context, key: str, digest: str) -> None:
        self._spec = spec
        self._context = context
        self.left = 0.0
        self.answer: Mapping[str, Any] | None = None
        self._version = ""
        self.state = self._try(f"{context.function}/{sha256(key)}", digest)

    def _try(self, name: str, digest: str) -> str:
        from time import time

        from portafaas.runtime.resources import new_id

        table = self._table()
        key, ttl = self._names()
        owner = new_id()
        for _ in range(_TRIES):
            now = time()
            self._row = {
                key: name,
                "state": "in-progress",
                "owner": owner,
                "until": round(max(now, self._context.deadline) + GRACE, 3),
                "payload": digest,
                ttl: int(now + self._spec["expires"]) + 1,
            }
            try:
                self._version = table.put(self._row, if_absent=True).version
                return OURS
            except Conflict:
                found = table.get(name)
            if found is None:
                continue  # let go of, or expired, just now
            if found.get("owner") == owner:
                # Written by a request of ours whose answer was lost.
                self._version = found.version
                return OURS
            if found.get("payload") != digest:
                return OTHER
            if found.get("state") == "completed":
                self.answer = found.get("answer")
                return DONE
            self.left = found["until"] - time()
            if self.left > 0:
                return BUSY
            try:
                # Whoever had it did not end: it crashed, or was killed.
                self._version = table.put(self._row, if_version=found.version).version
                return OURS
            except Conflict:
                continue
        self.left = 1.0
        return BUSY

    def _table(self) -> Any:
        return self._context.tables[self._spec["table"]]

    def _names(self) -> tuple[str, str]:
        grant = self._context._function.uses["table"][self._spec["table"]]
        return grant["key"], grant["ttl"]

    def complete(self, answer: Mapping[str, Any] | None = None) -> None:
        """Write down that it is done. Never raises: what is done is not undone by this."""
        from time import sleep, time

        key, ttl = self._names()
        row: dict[str, Any] = {
            **self._row,
            "state": "completed",
            ttl: int(time() + self._spec["expires"]) + 1,
        }
        if answer is not None:
            row["answer"] = answer
        logger = self._context.logger
        for pause in _PAUSES:
            try:
                self._table().put(row, if_version=self._version)
                return
            except Conflict:
                if self._kept(row[key]):
                    return
                logger.error("the handler outlived its lease: somebody else may have done the same")
                return
            except ResourceError as exc:
                problem = exc
                if not exc.retryable:
                    break
                sleep(pause)
        logger.error("what is done is not recorded, and may be done again: %s", problem)

    def _kept(self, name: str) -> bool:
        """Tell whether the record says what we wrote, though its answer did not arrive."""
        try:
            found = self._table().get(name)
        except ResourceError:
            return False
        return (
            found is not None
            and found.get("owner") == self._row["owner"]
            and found.get("state") == "completed"
        )

    def release(self) -> None:
        """Let somebody else begin anew. Never raises: the lease ends anyway."""
        try:
            self._table().delete(self._row[self._names()[0]], if_version=self._version)
        except Conflict:
            return
        except ResourceError as exc:
            self._context.logger.warning("a record of idempotency stays until its lease: %s", exc)


class Single:
    """One request, event, message or task on its way through the handler."""

    __slots__ = ("_claim", "_context", "_function", "_kind", "answer", "over", "payload")

    @whole
    def __init__(self, function: Function, payload: Any, context: Context) -> None:
        self._function = function
        self._context = context
        self.payload = payload
        self.over = False
        self.answer: Any = None
        self._claim: Claim | None = None
        self._kind = function.kind
        spec: Mapping[str, Any] = function.idempotency  # type: ignore[assignment]
        key: str | None
        if self._kind == "http":
            key, digest = request_key(spec, payload), ""
            if key is not None:
                digest = request_digest(payload)
        elif self._kind == "task":
            key, digest = task_key(spec, payload), task_digest(payload)
        else:
            key, digest = delivery_key(spec, payload), delivery_digest(payload)
        if key is None:
            return
        claim = Claim(spec, context, key, digest)
        if claim.state == OURS:
            self._claim = claim
            in_time(self, context)
        elif self._kind == "http":
            from portafaas.runtime.answers import refusal, replayed

            if claim.state != DONE:
                raise refusal(claim.state, claim.left)
            self.answer = replayed(claim.answer)
            self.over = True
        elif claim.state == DONE:
            context.logger.info("%s is done already", payload.id)
            if self._kind == "task":
                self.answer = _result(payload, claim.answer)
            self.over = True
        elif claim.state == BUSY:
            raise Throttled(f"{payload.id} is being processed elsewhere", retry_after=claim.left)
        else:
            raise Permanent(f"{payload.id}: its idempotency key was used with other content")

    @whole
    def done(self, result: Any) -> Any:
        """Record that the handler has done its work, and return what it returned."""
        claim = self._claim
        if claim is None:
            return result
        if self._kind == "http":
            return self._answered(claim, result)
        if self._kind != "task":
            claim.complete()
            return result
        from portafaas.runtime.answers import kept_result

        try:
            answer = kept_result(result)
        except (TypeError, ValueError, RecursionError):
            # No JSON: the task fails with that.
            claim.release()
            return result
        except BaseException:
            claim.release()
            raise
        if answer is None:
            self._context.logger.warning("the result is too long to be kept for repeats")
        claim.complete(answer)
        return result

    def _answered(self, claim: Claim, result: Any) -> Any:
        from portafaas.runtime.answers import checked, kept, refused

        try:
            response = checked(self._function, self.payload, result)
            later = refused(response)
            answer = None if later else kept(response)
        except BaseException:
            claim.release()
            raise
        if later:
            claim.release()
            return response
        if answer is None:
            self._context.logger.warning("the answer is too long to be kept for repeats")
        claim.complete(answer)
        return response

    def failed(self, error: BaseException) -> None:
        """Let it be tried again."""
        self.release()

    @whole
    def release(self) -> None:
        """Forget that it was begun."""
        if self._claim is not None:
            self._claim.release()


def in_time(run: Any, context: Context) -> None:
    """Let go of what *run* has claimed, and raise HandlerTimeout, when there is no time left.

    For somewhere within a ``whole``: the deadline waits for what has begun, and a handler that
    began behind it would be done before its record has time to be written.
    """
    if not context.remaining():
        run.release()
        raise HandlerTimeout


def _result(task: Any, answer: Mapping[str, Any] | None) -> Any:
    """Return the result that was kept of a task; raises Permanent where none was."""
    if answer is None:
        raise Permanent(f"{task.id} was done; its result was too long to be kept")
    import json

    return json.loads(answer["result"])


def _patient(function: Function, payload: Any, context: Context) -> Single:
    """Begin a task, and wait for one that is at it, as far as the time allows.

    The workflow waits anyway; an error would be one of its step.
    """
    from time import sleep

    while True:
        try:
            return Single(function, payload, context)
        except Throttled as busy:
            left = busy.retry_after
            if left > context.remaining() - _SPARE:
                raise
        sleep(min(left, _LOOK))


def once(handle: Callable[..., Any], function: Function) -> Callable[..., Any]:
    """Return *handle* such that it runs once a key; sync or async as it was."""
    begin: Callable[..., Any] = _patient if function.kind == "task" else Single
    if function.takes_batch:
        from portafaas.runtime.several import Several

        begin = Several

    async def wait(run: Any, awaitable: Any) -> Any:
        try:
            result = await awaitable
        except GeneratorExit:
            raise
        except BaseException as exc:
            answer = await _aside(run.failed, exc)
            if answer is None:
                raise
            return answer
        return await _aside(run.done, result)

    if function.is_async:

        async def call_async(payload: Any, context: Context) -> Any:
            import asyncio

            # In a thread, since clients block and other requests share the loop.
            starting = asyncio.ensure_future(asyncio.to_thread(begin, function, payload, context))
            try:
                run = await asyncio.shield(starting)
            except asyncio.CancelledError:
                starting.add_done_callback(_let_go)
                raise
            if run.over:
                return run.answer
            return await wait(run, handle(run.payload, context))

        return call_async

    def call(payload: Any, context: Context) -> Any:
        run = begin(function, payload, context)
        if run.over:
            return run.answer
        try:
            result = handle(run.payload, context)
        except BaseException as exc:
            answer = run.failed(exc)
            if answer is None:
                raise
            return answer
        if type(result) is not dict and hasattr(result, "__await__"):
            return wait(run, result)
        return run.done(result)

    return call


def _let_go(started: Any) -> None:
    """Release what was begun for somebody who did not wait for it."""
    if not started.cancelled() and started.exception() is None:
        started.get_loop().run_in_executor(None, started.result().release)


async def _aside(call: Callable[..., Any], *arguments: Any) -> Any:
    """Call in a thread, to the end even when the one who waits is cancelled."""
    import asyncio

    return await asyncio.shield(asyncio.ensure_future(asyncio.to_thread(call, *arguments)))
