"""Runs handlers from the Functions worker's event loop: the async counterpart of the core. Ships.

The worker calls every function on one loop on its main thread. Async handlers run there as tasks;
synchronous ones in a thread each, which the deadline can interrupt (the worker's own pool could
not be, and would be used up by handlers that hang). Results equal ``portafaas.runtime.serve.run``,
``deliver.run_event`` and ``deliver.run_messages``; ``docs/spec/invocation.md`` has the rules.

An async handler that blocks the loop instead of awaiting cannot be stopped: it holds up the whole
worker until the host's ``functionTimeout`` ends the process.

Long, since a file more would be an import more at a cold start.
"""

from __future__ import annotations

from portafaas.runtime.context import HandlerTimeout, ended, endings, renew

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    import threading
    from collections.abc import Callable, Sequence
    from typing import Any

    from portafaas.runtime.context import Context
    from portafaas.runtime.event import Event
    from portafaas.runtime.function import Function
    from portafaas.runtime.http import Request, Response
    from portafaas.runtime.message import Message
    from portafaas.runtime.recovery import Failure, Settlement
    from portafaas.runtime.task import Task

# The loop keeps only weak references to tasks; these outlived their deadline.
_abandoned: set[Any] = set()


class Runner:
    """Runs one function, at most ``concurrency`` invocations of it at a time."""

    __slots__ = ("_lock", "_loop", "_slots", "function")

    def __init__(self, function: Function) -> None:
        self.function = function
        self._loop: Any = None

    def slot(self) -> asyncio.Semaphore:
        """Return the async context manager to hold during an invocation.

        The host knows limits per app and trigger kind only, so the function's own limit is kept
        here: what comes in beyond it waits, and its timeout starts when it runs.
        """
        import asyncio

        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            from portafaas.runtime import aio

            self._loop = loop
            self._slots = asyncio.Semaphore(max(1, self.function.concurrency))
            self._lock = asyncio.Lock()
            # What an async init opens must belong to the loop that runs the handler.
            aio.adopt(loop)
        return self._slots

    async def run(self, request: Request, context: Context) -> Response:
        """Serve one request; never raises for the handler's sake."""
        from portafaas.runtime import serve

        function = self.function
        try:
            auth = function.trigger.get("auth")
            if auth is not None and auth["scheme"] == "jwt":
                # May fetch keys over the network, which would stop the loop.
                early = await _in_thread(serve.before, (function, request, context), context, None)
            else:
                early = serve.before(function, request, context)
            if early is None:
                early = await self._call(request, context, function.timeout)
            response = serve.after(function, request, early)
        except GeneratorExit:
            raise
        except BaseException as exc:
            if _cancelled(exc):
                raise
            response = serve.failed(function, request, context, exc)
            if endings:
                ended(context, request, response, exc)
            return response
        if endings:
            ended(context, request, response)
        return response

    async def run_event(
        self, event: Event, context: Context, settlement: Settlement | None = None
    ) -> None:
        """Hand one event to its handler; raise when it fails and is not settled."""
        from portafaas.runtime import deliver

        function = self.function
        if not deliver.wanted(function, event):
            return
        if settlement is not None and event.attempt > function.retry["attempts"]:
            gone = (function, context, event, settlement)
            if await _in_thread(deliver.given_up, gone, context, None):
                return
        deliver.begin(context, event)
        try:
            await self._call(event, context, function.timeout)
        except GeneratorExit:
            raise
        except BaseException as exc:
            if _cancelled(exc):
                raise
            raised = deliver.report(function, context, exc)
            if endings:
                ended(context, event, None, exc)
            if settlement is not None:
                # Every trigger here counts, or copies do.
                failed = (function, context, event, exc, settlement, True)
                if await _in_thread(deliver.after, failed, context, None) is not None:
                    return
            if raised is exc:
                raise
            raise raised from exc
        if endings:
            ended(context, event)

    async def run_task(self, task: Task, context: Context) -> dict[str, Any]:
        """Do one step of a workflow, as ``portafaas.runtime.task.run_task``."""
        from portafaas.runtime.task import failure, success

        function = self.function
        context.payload = task
        try:
            result = await self._call(task, context, function.timeout)
        except GeneratorExit:
            raise
        except BaseException as exc:
            if _cancelled(exc):
                raise
            return failure(function, task, context, exc)
        return success(function, task, context, result)

    async def run_messages(
        self,
        messages: Sequence[Message],
        context: Context,
        settlement: Settlement | None = None,
    ) -> list[str]:
        """Hand messages to their handler; return the failed ids, and those held back by them."""
        from time import time

        from portafaas.runtime import deliver

        function = self.function
        ordered = bool(function.trigger.get("ordered"))
        messages = await self._live(messages, context, settlement)
        if not messages:
            return []
        try:
            await self._load(context)
        except GeneratorExit:
            raise
        except BaseException as exc:
            # A module may call sys.exit() when imported.
            if _cancelled(exc):
                raise
            deliver.report(function, context, exc, len(messages))
            found = deliver.broken(messages, exc, context)
            failed = await self._finish(messages, found, context, settlement)
            return deliver.held_back(messages, failed) if ordered else failed
        if function.takes_batch:
            from portafaas.runtime.message import Batch

            context.attempt = max(message.attempt for message in messages)
            context.payload = batch = Batch(messages[0].queue, messages)
            problem = None
            try:
                result = await self._call(batch, context, function.timeout)
                found = deliver.failures(result, messages, context)
            except GeneratorExit:
                raise
            except BaseException as exc:
                if _cancelled(exc):
                    raise
                problem = exc
                deliver.report(function, context, exc, len(messages))
                found = deliver.broken(messages, exc, context)
            if found and problem is None:
                deliver.report_some(context, found, messages)
            if endings:
                ended(context, batch, [failure.item.id for failure in found], problem)
            failed = await self._finish(messages, found, context, settlement)
            return deliver.held_back(messages, failed) if ordered else failed
        failed = []
        found = []
        blocked: set[str | None] = set()
        for message in messages:
            if ordered and message.key in blocked:
                failed.append(message.id)
                continue
            context.attempt = message.attempt
            if len(messages) == 1:
                context.payload = message
            else:
                renew(context, message)
            try:
                left = context.deadline - time()
                if left <= 0:
                    raise HandlerTimeout
                await self._call(message, context, left)
            except GeneratorExit:
                raise
            except BaseException as exc:
                if _cancelled(exc):
                    raise
                from portafaas.runtime.recovery import Failure

                deliver.report(function, context, exc)
                if endings:
                    ended(context, message, [message.id], exc)
                failure = Failure(context, message, exc)
                if not ordered:
                    found.append(failure)
                elif await self._finish((message,), (failure,), context, settlement):
                    # Now, since what follows depends on it.
                    failed.append(message.id)
                    blocked.add(message.key)
            else:
                if endings:
                    ended(context, message)
        return failed if ordered else await self._finish(messages, found, context, settlement)

    async def _live(
        self, messages: Sequence[Message], context: Context, settlement: Settlement | None
    ) -> Sequence[Message]:
        """Return what a handler is to see, as ``deliver.live``; burying is done in a thread."""
        from portafaas.runtime.deliver import live

        function = self.function
        given = (function, messages, context, settlement)
        most = function.retry["attempts"]
        if settlement is not None and any(message.attempt > most for message in messages):
            found: Sequence[Message] = await _in_thread(live, given, context, None)
            return found
        return live(*given)

    async def _finish(
        self,
        messages: Sequence[Message],
        failed: Sequence[Failure],
        context: Context,
        settlement: Settlement | None,
    ) -> list[str]:
        """Return the ids to report as failed, as ``deliver.finish``; settling is in a thread."""
        from portafaas.runtime.deliver import finish

        given = (self.function, context, messages, failed, settlement)
        if settlement is None or not failed:
            return finish(*given)
        found: list[str] = await _in_thread(finish, given, context, None)
        return found

    async def _load(self, context: Context) -> None:
        function = self.function
        if _loaded(function):
            return
        async with self._lock:
            if not _loaded(function):
                import atexit

                # In a thread: user modules take their time, and an async init needs this loop.
                await _in_thread(function.load, (), context, None)
                # Before the handlers' own shutdowns, which then get a loop that still runs.
                atexit.unregister(_release_loop)
                atexit.register(_release_loop)

    async def _call(self, payload: Any, context: Context, seconds: float) -> Any:
        from time import monotonic

        await self._load(context)
        function = self.function
        if function.is_async:
            return await _in_task(function.handle(payload, context), seconds)
        ends = monotonic() + seconds
        result = await _in_thread(function.handle, (payload, context), context, seconds)
        if hasattr(result, "__await__"):
            return await _in_task(result, max(0.0, ends - monotonic()))
        return result


def _loaded(function: Function) -> bool:
    try:
        # Not getattr: that would load the handler here and now.
        object.__getattribute__(function, "handle")
    except AttributeError:
        return False
    return True


def _release_loop() -> None:
    from portafaas.runtime import aio

    aio.adopt(None)


def _cancelled(error: BaseException) -> bool:
    # Only the worker cancels: a CancelledError of the handler's own arrives as RuntimeError.
    from asyncio import CancelledError

    return isinstance(error, CancelledError)


async def _in_task(awaitable: Any, seconds: float) -> Any:
    """Await *awaitable* on this loop; raise HandlerTimeout after *seconds*, however it behaves."""
    import asyncio

    from portafaas.runtime.aio import guarded

    task = asyncio.get_running_loop().create_task(guarded(awaitable))
    try:
        done, _ = await asyncio.wait((task,), timeout=seconds)
    except asyncio.CancelledError:
        task.cancel()
        raise
    if not done:
        # Not wait_for: that waits for the handler to accept its cancellation.
        _abandoned.add(task)
        task.add_done_callback(_abandoned.discard)
        task.cancel()
        raise HandlerTimeout
    if task.cancelled():
        raise RuntimeError("the handler was cancelled")
    result, error = task.result()
    if error is not None:
        raise error
    return result


async def _in_thread(
    call: Callable[..., Any], arguments: tuple[Any, ...], context: Context, seconds: float | None
) -> Any:
    """Call in a thread of its own; after *seconds* interrupt it and raise HandlerTimeout."""
    import asyncio
    import contextvars
    import threading

    loop = asyncio.get_running_loop()
    finished: asyncio.Future[tuple[Any, BaseException | None]] = loop.create_future()

    def settle(outcome: tuple[Any, BaseException | None]) -> None:
        if not finished.done():
            finished.set_result(outcome)

    def work() -> None:
        # The worker files log records under the invocation that it finds here.
        local = getattr(context.raw, "thread_local_storage", None)
        if local is not None:
            local.invocation_id = context.invocation_id
        try:
            outcome = (call(*arguments), None)
        except GeneratorExit as exc:
            # Raised on in a coroutine it would mean that this one is being closed.
            outcome = (None, RuntimeError(f"the handler raised {exc!r}"))  # type: ignore[assignment]
        except BaseException as exc:
            outcome = (None, exc)  # type: ignore[assignment]
        try:
            loop.call_soon_threadsafe(settle, outcome)
        except (RuntimeError, HandlerTimeout):
            pass  # The loop has closed, or the interrupt came when all was done.

    # Daemon: an abandoned handler must not keep the worker from ending.
    worker = threading.Thread(
        target=contextvars.copy_context().run,
        args=(work,),
        name=f"portafaas-{context.function}",
        daemon=True,
    )
    worker.start()
    try:
        done, _ = await asyncio.wait((finished,), timeout=seconds)
        if not done:
            await _end_of(worker, finished)
    except asyncio.CancelledError:
        _stop(worker, finished)
        raise
    if not finished.done():
        _stop(worker, finished)
        raise HandlerTimeout
    result, error = finished.result()
    if error is not None:
        if _cancelled(error):
            raise RuntimeError("the handler was cancelled") from error
        raise error
    return result


async def _end_of(worker: threading.Thread, finished: asyncio.Future[Any]) -> None:
    """Wait while *worker* is at something that must not be left halfway; see ``deadline``."""
    import asyncio
    from time import monotonic

    from portafaas.runtime import deadline

    until = monotonic() + deadline.GRACE
    while not finished.done() and deadline.halfway(worker) and monotonic() < until:
        await asyncio.wait((finished,), timeout=deadline.LOOK)


def _stop(worker: threading.Thread, finished: asyncio.Future[Any]) -> None:
    from portafaas.runtime.deadline import interrupt

    finished.cancel()
    interrupt(worker)
