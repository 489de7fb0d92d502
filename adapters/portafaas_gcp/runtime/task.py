"""Bridge of task functions: calls of a workflow's steps. Ships.

Google Workflows posts ``{"input", "workflow", "run", "step", "attempt", "key"}`` with an ID token
of the workflow's account, which Cloud Run has checked. The answer is 200 with ``{"ok"}`` or
``{"error", "cause"}``: any other status is that of a call that never came to the handler.
https://cloud.google.com/workflows/docs/calling-run-functions
"""

from __future__ import annotations

from portafaas.runtime.task import checked, run_task, task_of
from portafaas_gcp.runtime.bridge import context_of, publish, reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from portafaas.runtime.function import Function

_JSON = [("content-type", "application/json")]


def bind(function: Function) -> Callable[[Any], Any]:
    """Return the framework's entry function for a task function."""

    def entry(request: Any) -> Any:
        from json import dumps, loads

        if request.method != "POST":
            return reply(405, [("allow", "POST")])
        context = context_of(function, request)
        try:
            document = loads(request.get_data())
            if not isinstance(document, dict):
                raise ValueError(f"it is a {type(document).__name__}, not an object")
            answer = checked(document)
            if answer is not None:
                return reply(200, _JSON, dumps(answer).encode("ascii"))
            task = task_of(document, request)
        except (TypeError, ValueError, RecursionError) as exc:
            context.logger.error("unreadable task: %s", exc)
            text = f"unreadable task: {exc}".encode("utf-8", "replace")
            return reply(400, [("content-type", "text/plain; charset=utf-8")], text)
        # ASCII: lone surrogates have no UTF-8.
        return reply(200, _JSON, dumps(run_task(function, task, context)).encode("ascii"))

    return publish(entry, function.name.replace("-", "_"))
