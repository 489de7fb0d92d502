"""An adapter whose parts are the modules of its package, loaded when they are needed.

| module | what it offers |
|---|---|
| ``limits`` | ``check(plan)`` |
| ``lowering`` | ``lower(plan)`` |
| ``infrastructure`` | ``emit(plan)`` |
| ``deployment`` | ``engine(plan)`` |
| ``requirements`` | ``requirements(plan)`` |
| ``events`` | ``encode(plan, function, stimulus)`` |
| ``outcomes`` | ``decode(plan, function, stimulus, results)`` |
| ``vendor`` | ``runtime()`` |
| ``emulation`` | ``Emulated(adapter)``; may be missing |
| ``options.schema.json`` | ``{"service": schema, "function": schema}`` |

The names are the same in every adapter, so that one who knows one finds the way in all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from portafaas.adapter.contract import Adapter, Infrastructure, Lowered, NativeRequest
from portafaas.adapter.stimulus import Outcome, Stimulus
from portafaas.errors import Diagnostic
from portafaas.plan import BuildPlan, FunctionPlan

if TYPE_CHECKING:
    from portafaas.adapter.delivery import Emulation
    from portafaas.deployment.contract import Engine


class ModularAdapter(Adapter):
    """Implements the contract by the sibling modules of the class's own module."""

    @classmethod
    def _part(cls, name: str) -> Any:
        import importlib

        return importlib.import_module(f"{cls.__module__.rpartition('.')[0]}.{name}")

    def options_schema(self) -> Mapping[str, Any]:
        """Return ``options.schema.json``."""
        import json
        from importlib.resources import files

        package = type(self).__module__.rpartition(".")[0]
        text = files(package).joinpath("options.schema.json").read_text("utf-8")
        schemas: dict[str, Any] = json.loads(text)
        return schemas

    def check(self, plan: BuildPlan) -> Sequence[Diagnostic]:
        """Return what ``limits.check`` finds."""
        found: Sequence[Diagnostic] = self._part("limits").check(plan)
        return found

    def lower(self, plan: BuildPlan) -> Lowered:
        """Return what ``lowering.lower`` makes."""
        lowered: Lowered = self._part("lowering").lower(plan)
        return lowered

    def requirements(self, plan: BuildPlan) -> Sequence[str]:
        """Return what ``requirements.requirements`` says."""
        if not any(function.uses or function.kind != "http" for function in plan.functions):
            # Saves an import.
            return ()
        needed: Sequence[str] = self._part("requirements").requirements(plan)
        return needed

    def infrastructure(self, plan: BuildPlan) -> Infrastructure:
        """Return what ``infrastructure.emit`` makes."""
        emitted: Infrastructure = self._part("infrastructure").emit(plan)
        return emitted

    def engine(self, plan: BuildPlan) -> Engine:
        """Return what ``deployment.engine`` makes."""
        made: Engine = self._part("deployment").engine(plan)
        return made

    def encode(
        self, plan: BuildPlan, function: FunctionPlan, stimulus: Stimulus
    ) -> Sequence[NativeRequest]:
        """Return what ``events.encode`` makes."""
        requests: Sequence[NativeRequest] = self._part("events").encode(plan, function, stimulus)
        return requests

    def decode(
        self,
        plan: BuildPlan,
        function: FunctionPlan,
        stimulus: Stimulus,
        results: Sequence[tuple[NativeRequest, Mapping[str, Any]]],
    ) -> Outcome:
        """Return what ``outcomes.decode`` concludes."""
        outcome: Outcome = self._part("outcomes").decode(plan, function, stimulus, results)
        return outcome

    def vendor_runtime(self) -> Any:
        """Return what ``vendor.runtime`` makes."""
        return self._part("vendor").runtime()

    def emulation(self) -> Emulation:
        """Return ``emulation.Emulated``; without that module it is neutral."""
        try:
            made: Emulation = self._part("emulation").Emulated(self)
        except ModuleNotFoundError as exc:
            if exc.name != f"{type(self).__module__.rpartition('.')[0]}.emulation":
                raise
            return super().emulation()
        return made
