"""How the process of a function is started: from the sources, or in a platform's own runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from portafaas.local.boxes import letters_to
from portafaas.local.owners import Owner
from portafaas.local.process import Child
from portafaas.local.resources import environment
from portafaas.plan import BuildPlan, FunctionPlan

if TYPE_CHECKING:
    from portafaas.local.vendor import Vendor


class Starter:
    """Starts processes that work for *owner*; see ``Dispatcher`` for what else is said."""

    def __init__(
        self,
        plan: BuildPlan,
        root: Path,
        owner: Owner,
        vendor: Vendor | None,
        *,
        output: IO[Any] | int,
        errors: IO[Any] | int | None,
        extra: Mapping[str, str],
        debugging: Mapping[str, Mapping[str, str]],
        observed: Callable[[Mapping[str, Any]], None] | None,
    ) -> None:
        self.plan = plan
        self.vendor = vendor
        self.debugging = debugging
        self._root = root
        self._owner = owner
        self._output = output
        self._errors = errors
        self._extra = dict(extra)
        self._observed = observed

    def start(self, function: FunctionPlan) -> Child:
        """Start a process of *function*."""
        keep = (self._owner.lock(),)
        if self.vendor is not None:
            return self.vendor.child(
                function, self._root, self._extra, keep, self._output, self._observed
            )
        variables = {
            **function.environment,
            **environment(self.plan, function, self._root, "", packaged=False),
            **self._extra,
            **self.debugging.get(function.name, {}),
            **letters_to(self.plan, function),
        }
        return Child(
            self._root, variables, keep=keep, output=self._output, errors=self._errors, apart=True,
            observed=self._observed,
        )  # fmt: skip
