"""The task bridge: one activity of a workflow an invocation. Ships.

Texts go to and fro, not JSON values: the SDK would make objects of some of them, and .NET reads
times and numbers its own way.
"""

from __future__ import annotations

from portafaas.runtime.context import Context
from portafaas.runtime.task import task_of
from portafaas_azure.runtime.run import Runner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

    from portafaas.runtime.function import Function


def bind(function: Function) -> Callable[[Any, Any], Awaitable[str]]:
    """Return the coroutine function that the worker calls; it answers with JSON text.

    ``{"ok": value}`` or ``{"error", "cause"}``, and under ``of`` what the call was, since Durable
    Functions keeps the answers of tasks and not their inputs where people look. It never raises
    for the handler's sake, so that no error is repeated or worded by the platform.
    """
    runner = Runner(function)

    async def entry(native: Any, raw: Any) -> str:
        from json import dumps, loads

        async with runner.slot():
            document = native
            while isinstance(document, str):
                document = loads(document)
            task = task_of(document, raw=native)
            context = Context(
                function, raw.invocation_id, target="azure", attempt=task.attempt, raw=raw
            )
            answer = await runner.run_task(task, context)
            answer["of"] = [document.get("place", ""), task.step, task.attempt]
            return dumps(answer)

    return entry
