"""Calls of Step Functions to task handlers. Ships.

An error is told by raising an exception whose class has its name: Lambda's runtime client writes
the class's name as ``errorType``, which is the error's name in the state machine.
https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html

Names that begin with ``States.`` are the service's own, and nobody says what it makes of a function
that uses one: ``States.Timeout`` is told as ``Portafaas.Timeout``, which the machine reads.
https://states-language.net/spec.html#error-names
"""

from __future__ import annotations

from portafaas_aws.runtime.start import context_of, load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from portafaas.runtime.function import Function

#: Bytes of a cause as JSON has it. Step Functions keeps 32 768 of the whole document.
#: https://docs.aws.amazon.com/step-functions/latest/apireference/API_LambdaFunctionFailedEventDetails.html
LONGEST = 30_000
RESERVED, OWN = "States.", "Portafaas."


def bind(function: Function) -> Callable[[Any, Any], Any]:
    """Return the Lambda handler of a task function: the task's result, or it raises its error.

    The event is ``{"input", "workflow", "run", "step", "attempt", "key"}``; what is no object
    raises ValueError.
    """
    from portafaas.runtime.task import checked, failure, run_task, task_of

    load(function)

    def invoke(event: Any, context: Any) -> Any:
        if not isinstance(event, dict):
            raise ValueError(f"a task's event must be an object, not {type(event).__name__!r}")
        answer = checked(event)
        if answer is not None:
            if "error" in answer:
                raise told(answer["error"], answer["cause"])
            return None
        task = task_of(event, event)
        found = context_of(function, context, task.attempt)
        try:
            answer = run_task(function, task, found)
        except Exception as exc:  # the handler could not be loaded
            answer = failure(function, task, found, exc)
        if "error" in answer:
            raise told(answer["error"], answer["cause"])
        return answer["ok"]

    return invoke


def told(error: str, cause: str) -> Exception:
    """Return the exception that tells Step Functions of *error* and *cause*."""
    # Six bytes a character at most, twelve of one outside the basic plane.
    if len(cause) * 12 > LONGEST:
        import json

        while len(json.dumps(cause)) > LONGEST:
            cause = cause[: len(cause) * 9 // 10]
    if error.startswith(RESERVED):
        error = OWN + error[len(RESERVED) :]
    made: type[Exception] = type(error, (Exception,), {"__module__": "portafaas"})
    return made(cause)
