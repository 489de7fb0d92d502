"""Functions as a built package in a platform's own runtime, delivered to by its rules.

A process of ``portafaas.local.vendor_child`` takes the orders that one of
``portafaas.local.child`` takes: who gives them need not know which it is.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from portafaas.adapter import Adapter
from portafaas.adapter.delivery import DeliveryRules
from portafaas.local.driver import portafaas_local_resources as driver
from portafaas.local.process import Child
from portafaas.local.resources import environment
from portafaas.plan import BuildPlan, FunctionPlan
from portafaas.runtime.resources import DRIVER

#: Variable of a child with those of its function, as JSON: not for everyone's eyes, as arguments.
VARIABLES = "PORTAFAAS_VENDOR_VARIABLES"
#: Seconds for a child to end its runtime.
_ENDS = 5.0


class Vendor:
    """A built package, unpacked in *package*, and what starts its functions.

    *descriptor* is the deployment description, *python* an interpreter with what the vendor's
    runtime needs, *scratch* a folder for files of its own that ends with it.
    """

    def __init__(
        self,
        adapter: Adapter,
        plan: BuildPlan,
        package: Path,
        descriptor: Mapping[str, Any],
        python: Path,
        scratch: Path,
    ) -> None:
        self.adapter = adapter
        self.plan = plan
        self.package = package
        self._facts: Mapping[str, Any] = descriptor["functions"]
        self._emulation = adapter.emulation()
        self._scratch = scratch
        #: What a ``portafaas.local.place.Place`` is made of.
        self.file = scratch / "vendor.pickle"
        # Ours alone: made here, read by our own children.
        self.file.write_bytes(pickle.dumps((adapter, plan, package, self._facts, python)))

    @cached_property
    def _rules(self) -> dict[str, DeliveryRules]:
        return {
            function.name: self._emulation.rules(self.plan, function)
            for function in self.plan.functions
            if function.kind not in ("http", "task")
        }

    def rules(self) -> Mapping[str, DeliveryRules]:
        """Return how each function is delivered to that has deliveries."""
        return self._rules

    def seconds(self, function: FunctionPlan) -> float:
        """Return after how long the platform ends an invocation of *function*."""
        return float(self._facts[function.name]["timeout"])

    def variables(
        self, function: FunctionPlan, root: Path, extra: Mapping[str, str]
    ) -> dict[str, str]:
        """Return the function's variables: as deployed, and what leads its clients to *root*."""
        return {
            **self._facts[function.name]["environment"],
            **environment(self.plan, function, root, "", packaged=True),
            DRIVER: driver.__name__.rpartition(".")[2],
            "PYTHONPATH": str(Path(driver.__file__).parent.parent),
            **self._emulation.environment(self.plan, function),
            **extra,
        }

    def child(
        self,
        function: FunctionPlan,
        root: Path,
        extra: Mapping[str, str],
        keep: Sequence[int] = (),
        output: IO[Any] | int | None = None,
        observed: Callable[[Mapping[str, Any]], None] | None = None,
    ) -> Child:
        """Start a process for *function*, as ``portafaas.local.process.Child`` is one."""
        variables = self.variables(function, root, extra)
        return _VendorChild(
            root,
            {VARIABLES: json.dumps(variables)},
            keep=keep,
            output=output,
            apart=True,
            observed=observed,
            module="portafaas.local.vendor_child",
            arguments=(str(self.file), function.name, str(self._scratch)),
        )


class _VendorChild(Child):
    """A child that has processes of its own: it is asked to end, so that it ends them."""

    def kill(self) -> int:
        """End it and its runtime, and return its exit status."""
        if self._process.poll() is None:
            os.kill(self._process.pid, signal.SIGTERM)
            try:
                self._process.wait(_ENDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
        return self.close()
