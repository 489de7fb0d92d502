"""Routes and methods that the host is told of. Pure.

An app has a host name of its own. So what matters is which functions share a path within an app:
the same package, run as several apps, registers other methods in each.
"""

from __future__ import annotations

from collections.abc import Iterable

from portafaas.plan import BuildPlan, FunctionPlan, HttpTrigger
from portafaas_azure.grouping import apps_of

#: Methods that the SDK can register, in the order they are written.
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def route_methods(functions: Iterable[FunctionPlan]) -> dict[str, tuple[str, ...]]:
    """Return the methods each http function of one app registers, by its name; empty means all.

    A function registers every method, so that the bridge answers 405 and preflight requests. Of
    functions that share a path each gets its own, and one of them the rest.
    """
    shapes: dict[str, list[tuple[FunctionPlan, HttpTrigger]]] = {}
    for function in functions:
        if isinstance(function.trigger, HttpTrigger):
            shape = "/".join(
                ("{*}" if part.endswith("*}") else "{}") if part.startswith("{") else part.lower()
                for part in function.trigger.path.split("/")
            )
            shapes.setdefault(shape, []).append((function, function.trigger))
    out: dict[str, tuple[str, ...]] = {}
    for sharing in shapes.values():
        if len(sharing) == 1:
            out[sharing[0][0].name] = ()
            continue
        taken = {method for _, trigger in sharing for method in trigger.methods}
        # A function of any method takes all that is left; else the one that answers preflights.
        ranked = sorted(
            sharing,
            key=lambda pair: (
                bool(pair[1].methods),
                pair[1].cors is None or not pair[1].cors.answers_preflight,
            ),
        )
        rest_to = ranked[0][0].name
        for function, trigger in sharing:
            own = {*trigger.methods, *(set(METHODS) - taken if function.name == rest_to else ())}
            out[function.name] = tuple(method for method in METHODS if method in own)
    return out


def route(path: str) -> str:
    """Return the host's route template: ``/files/{path*}`` is ``files/{*path}``.

    https://learn.microsoft.com/aspnet/core/fundamentals/routing#route-templates
    """
    parts = [
        "{*" + part[1:-2] + "}" if part.startswith("{") and part.endswith("*}") else part
        for part in path.strip("/").split("/")
    ]
    # An empty route would be replaced by the function's name.
    return "/".join(parts) or "/"


def methods_of_apps(plan: BuildPlan) -> dict[str, dict[str, list[str] | None]]:
    """Return the methods that differ from those in an app of all functions; None means all.

    By the value of ``PORTAFAAS_FUNCTIONS``, then by entry.
    """
    together = route_methods(plan.functions)
    found = {}
    for app in apps_of(plan):
        own = route_methods(app.functions)
        differing = {
            function.entry: list(own[function.name]) or None
            for function in app.functions
            if own.get(function.name) != together.get(function.name)
        }
        if differing:
            found[app.entries] = differing
    return found
