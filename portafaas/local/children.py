"""A process for each function of an application, for one caller who waits for every answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Self

from portafaas.errors import InvocationError
from portafaas.local.process import Child, described
from portafaas.plan import FunctionPlan


class Children(ABC):
    """Processes that start when their function is first called, and stay; a context manager.

    Each function has its own, as it has its own environment on every platform. Not for several
    threads.
    """

    def __init__(self) -> None:
        self._children: dict[str, Child] = {}

    @abstractmethod
    def start(self, function: FunctionPlan) -> Child:
        """Start a process of *function*."""

    def ask(self, function: FunctionPlan, order: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer to *order*; raises InvocationError (PF7003) when the process ends."""
        child = self._children.get(function.name)
        if child is None:
            child = self._children[function.name] = self.start(function)
        answer = child.ask(order)
        if answer is None:
            del self._children[function.name]
            how = described(child.close())
            # The call was made, and failed.
            raise InvocationError(
                f"function {function.name!r} ended its process: {how}", code="PF7003", exit_code=1
            )
        return answer

    def close(self) -> None:
        """End all processes."""
        children, self._children = self._children, {}
        for child in children.values():
            child.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
