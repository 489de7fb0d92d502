"""One call of a workflow's task, the same on every target. Ships.

Rules W-5 and W-6 of ``docs/spec/workflows.md``: a bridge makes a :class:`Task` of what its platform
delivers, and of what :func:`run_task` returns what its platform takes.
"""

from __future__ import annotations

from portafaas.runtime import deadline
from portafaas.runtime.context import HandlerTimeout, ended, endings
from portafaas.runtime.deliver import report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from portafaas.runtime.context import Context
    from portafaas.runtime.function import Function
    from portafaas.runtime.signals import Key

#: Characters of a cause; Step Functions keeps 32 768 bytes.
LONGEST = 4096


class Task:
    """What a task's handler gets.

    Attributes:
        input: JSON value.
        workflow: name of the workflow.
        run: id of the run.
        step: name of the step.
        attempt: 1 for the first call, more after a retry.
        key: the same for all attempts at one entry into the step, another one for every other; it
            makes a good idempotency key.
        raw: what the platform delivered.
    """

    __slots__ = ("attempt", "input", "key", "raw", "run", "step", "workflow")

    def __init__(
        self,
        input: Any,
        *,
        workflow: str = "",
        run: str = "",
        step: str = "",
        attempt: int = 1,
        key: str = "",
        raw: Any = None,
    ) -> None:
        self.input = input
        self.workflow = workflow
        self.run = run
        self.step = step
        self.attempt = attempt
        self.key = key
        self.raw = raw

    @property
    def id(self) -> str:
        """The key."""
        return self.key

    def signal_url(
        self, url: str, name: str, *, key: Key, expires: float = 86_400, **payload: Any
    ) -> str:
        """Return *url* with a signed token that lets its bearer give this run the signal *name*.

        As ``signal_url`` of ``context.workflows[...]``, which takes the token at the other end.
        """
        from portafaas.runtime.signals import linked, sign

        token = sign(self.workflow, self.run, name, key=key, expires=expires, **payload)
        return linked(url, token)


def task_of(document: Mapping[str, Any], raw: Any = None) -> Task:
    """Return the task of ``{"input", "workflow", "run", "step", "attempt", "key"}``."""
    return Task(
        document.get("input"),
        workflow=str(document.get("workflow", "")),
        run=str(document.get("run", "")),
        step=str(document.get("step", "")),
        attempt=int(document.get("attempt", 1)),
        key=str(document.get("key", "")),
        raw=raw,
    )


def checked(document: Mapping[str, Any]) -> dict[str, Any] | None:
    """Answer a call that asks whether ``input`` fits a schema (W-21); None for one of a task.

    Engines that cannot check by themselves send ``{"input", "schema", "error"}``: the schema as
    JSON text, and the error's name if it does not fit.
    """
    if "schema" not in document:
        return None
    import json

    from portafaas.runtime.schema import first

    cause = first(json.loads(document["schema"]), document.get("input"))
    return {"error": str(document["error"]), "cause": cause[:LONGEST]} if cause else {"ok": None}


def run_task(function: Function, task: Task, context: Context) -> dict[str, Any]:
    """Call the handler on this thread; return ``{"ok": value}`` or ``{"error", "cause"}``.

    Never raises for the handler's sake. What is no JSON is ``States.Runtime``.
    """
    context.payload = task
    context.attempt = task.attempt
    try:
        result = deadline.call(function.handle, task, context, function.timeout)
    except BaseException as exc:
        return failure(function, task, context, exc)
    return success(function, task, context, result)


def success(function: Function, task: Task, context: Context, result: Any) -> dict[str, Any]:
    """Return what a handler's result is to the workflow."""
    import json

    try:
        text = json.dumps(result, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as exc:
        return failure(function, task, context, exc, "States.Runtime")
    if endings:
        ended(context, task)
    # As every platform hands it on: names are text, tuples lists.
    return {"ok": json.loads(text)}


def failure(
    function: Function, task: Task, context: Context, error: BaseException, name: str = ""
) -> dict[str, Any]:
    """Log *error* and return what it is to the workflow."""
    report(function, context, error)
    if endings:
        ended(context, task, None, error)
    if isinstance(error, HandlerTimeout):
        cause = f"{function.name} took over {function.timeout} s"
        return {"error": "States.Timeout", "cause": cause}
    try:
        cause = str(error)
    except Exception as exc:
        cause = f"its text cannot be had: {type(exc).__name__}"
    return {"error": name or type(error).__name__, "cause": cause[:LONGEST]}
