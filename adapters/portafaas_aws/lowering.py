"""Lowers a build plan to a Lambda package: the entry module, and how each function is started."""

from __future__ import annotations

from portafaas.adapter import Deployment, Lowered
from portafaas.plan import BuildPlan, FunctionPlan
from portafaas.plan.entry import function_spec
from portafaas_aws.bindings import Sharing, binding
from portafaas_aws.names import handler_timeout, lambda_timeout, physical_name

ENTRY = "_portafaas"

_HEADER = '''"""Written by portafaas for AWS Lambda: Lambda calls the names in ``_SPECS``."""

_SPECS = {
'''
_FOOTER = '''}


def __getattr__(name):
    """Build a function when Lambda first asks for it, with the bridge of its own kind only."""
    spec = _SPECS.get(name)
    if spec is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from portafaas.runtime.function import Function

    bridge = __import__(f"portafaas_aws.runtime.{spec['kind']}", fromlist=("bind",))
    globals()[name] = found = bridge.bind(Function(spec))
    return found
'''


def lower(plan: BuildPlan) -> Lowered:
    """Return the generated entry module and one deployment per function."""
    return Lowered({f"{ENTRY}.py": _entry(plan)}, deployed(plan))


def deployed(plan: BuildPlan) -> tuple[Deployment, ...]:
    """Return one deployment per function, as :func:`lower` does, without the entry module."""
    sharing = Sharing(plan)
    return tuple(_deployment(plan, function, sharing) for function in plan.functions)


def _entry(plan: BuildPlan) -> bytes:
    lines = []
    for function in plan.functions:
        spec = function_spec(plan, function) | {"timeout": handler_timeout(function)}
        lines.append(f"    {function.entry!r}: {spec!r},\n")
    return (_HEADER + "".join(lines) + _FOOTER).encode("utf-8")


def _deployment(plan: BuildPlan, function: FunctionPlan, sharing: Sharing) -> Deployment:
    return Deployment(
        function=function.name,
        entry=f"{ENTRY}.{function.entry}",
        memory=function.memory,
        timeout=lambda_timeout(function),
        environment=dict(function.environment),
        binding={
            "functionName": physical_name(plan, function.name),
            **binding(plan, function, sharing),
        },
    )
