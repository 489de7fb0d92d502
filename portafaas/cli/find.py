"""Finding the function that a command names."""

from __future__ import annotations

from portafaas.errors import InvocationError, guess
from portafaas.plan import BuildPlan, FunctionPlan


def find(plan: BuildPlan, name: str) -> FunctionPlan:
    """Return the function called *name*; raises InvocationError (PF7002) that names near ones."""
    names = [function.name for function in plan.functions]
    if name not in names:
        raise InvocationError(
            f"there is no function {name!r}; the manifest has: {', '.join(names)}",
            hint=guess(name, names),
            code="PF7002",
        )
    return plan.function(name)
