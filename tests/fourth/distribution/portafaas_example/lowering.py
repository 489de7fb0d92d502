"""Plan to the entry module ``_portafaas`` and the platform's triggers; pure."""

from __future__ import annotations

from typing import Any

from portafaas.adapter import Deployment, Lowered
from portafaas.plan import BuildPlan, FunctionPlan
from portafaas.plan.entry import function_spec, trigger_spec

#: Seconds that the platform waits longer than a handler may take.
MARGIN = 5

_ENTRY = '''"""Entry points of {service}, made by portafaas for Example Functions; edits are lost."""

_SPECS = {{
{specs}}}


def __getattr__(name):
    spec = _SPECS.get(name)
    if spec is None:
        raise AttributeError(f"module {{__name__!r}} has no attribute {{name!r}}")
    from importlib import import_module

    from portafaas.runtime.function import Function

    bridge = import_module("portafaas_example.runtime." + spec["kind"])
    globals()[name] = entry = bridge.bind(Function(spec))
    return entry
'''


def lower(plan: BuildPlan) -> Lowered:
    """Return the generated module and one deployment a function."""
    specs = "".join(f"    {f.entry!r}: {function_spec(plan, f)!r},\n" for f in plan.functions)
    module = _ENTRY.format(service=plan.service, specs=specs)
    deployments = tuple(_deployment(plan, function) for function in plan.functions)
    return Lowered({"_portafaas.py": module.encode("utf-8")}, deployments)


def _deployment(plan: BuildPlan, function: FunctionPlan) -> Deployment:
    binding: dict[str, Any] = {function.kind: trigger_spec(plan, function), **function.options}
    return Deployment(
        function=function.name,
        entry=f"_portafaas:{function.entry}",
        memory=function.memory,
        timeout=function.timeout + MARGIN,
        environment=dict(function.environment),
        binding=binding,
    )
