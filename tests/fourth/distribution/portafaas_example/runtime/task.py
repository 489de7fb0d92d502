"""Bridge of a workflow's tasks. Ships."""

from __future__ import annotations

from portafaas.runtime.task import failure, run_task, task_of
from portafaas_example.runtime.common import context_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from portafaas.runtime.function import Function
    from portafaas_example.runtime.common import Entry


def bind(function: Function) -> Entry:
    """Return the entry of a task function."""

    def entry(event: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
        task = task_of(event["task"], event)
        context = context_of(function, event, facts)
        try:
            return run_task(function, task, context)
        except Exception as exc:  # the handler could not be loaded
            return failure(function, task, context, exc)

    return entry
