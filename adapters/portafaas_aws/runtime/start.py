"""What every bridge does when Lambda loads a function. Ships; imports nothing."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from portafaas.runtime.context import Context
    from portafaas.runtime.function import Function


def load(function: Function) -> None:
    """Build the handler in Lambda's init phase, which has a full processor and is not timed.

    An error is left to the first invocation, which tries again and reports it: an error here would
    make Lambda restart the environment and answer with nothing a caller could read.
    https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
    """
    try:
        function.load()
    except (Exception, SystemExit):
        return


def context_of(
    function: Function, context: Any, attempt: int = 1, trace_parent: str | None = None
) -> Context:
    """Return the neutral context of an invocation that is no HTTP request."""
    from portafaas.runtime.context import Context

    return Context(
        function,
        context.aws_request_id,
        target="aws",
        attempt=attempt,
        trace_parent=trace_parent,
        raw=context,
    )


def read(reader: Callable[..., Any], *arguments: Any) -> Any:
    """Return ``reader(*arguments)``, which reads a payload.

    Raises ValueError for whatever the payload's shape makes it raise, so that the delivery fails
    with a clear message.
    """
    try:
        return reader(*arguments)
    except (AttributeError, LookupError, OverflowError, RecursionError, TypeError) as exc:
        raise ValueError(f"the payload is malformed: {exc}") from exc


def records_of(event: Any, *sources: str) -> list[dict[str, Any]]:
    """Return ``event["Records"]``, all of which come from one of *sources*.

    Raises ValueError for any other payload, so that the delivery fails with a clear message.
    """
    records = event.get("Records") if isinstance(event, dict) else None
    if not isinstance(records, list) or not records:
        raise ValueError(f"not an event of {' or '.join(sources)}: it holds no Records")
    for record in records:
        # SNS alone writes it with a capital letter.
        source = isinstance(record, dict) and (
            record.get("eventSource") or record.get("EventSource")
        )
        if source not in sources:
            raise ValueError(f"a record comes from {source!r}, not from {' or '.join(sources)}")
    return records
