"""Which function an HTTP request is for.

The rules of ``docs/spec/http.md`` are the shipped runtime's, in the function's process. Here it is
only found out whose process that is: of several routes that a path fits the one that says most, and
of the functions that share it the one for the method.
"""

from __future__ import annotations

from portafaas.plan import BuildPlan, FunctionPlan, HttpTrigger
from portafaas.runtime.route import Route
from portafaas.runtime.text import percent_decode

#: The header by which a preflight request is known: https://fetch.spec.whatwg.org/#cors-preflight-fetch
PREFLIGHT = "access-control-request-method"


class _Shared:
    """The functions of one path."""

    def __init__(self, template: str) -> None:
        self.route = Route(template)
        self.by_method: dict[str, str] = {}
        self.any: str | None = None
        self.preflight: str | None = None
        self.first = ""
        self.allowed: list[str] = []

    def add(self, function: FunctionPlan, trigger: HttpTrigger) -> None:
        self.first = self.first or function.name
        if not trigger.methods:
            self.any = function.name
        for method in trigger.methods:
            self.by_method[method] = function.name
            self.allowed.append(method)
        if trigger.cors is not None and trigger.cors.answers_preflight:
            self.preflight = function.name

    def choose(self, method: str, preflight: bool) -> str | tuple[str, ...]:
        """Return the function, or the methods that there are instead of *method*."""
        if method == "OPTIONS" and preflight and self.preflight is not None:
            return self.preflight
        found = self.by_method.get(method) or self.any
        if found is not None:
            return found
        # One function says so itself, with its CORS headers.
        alone = len(set(self.by_method.values())) == 1
        return self.first if alone else tuple(dict.fromkeys(self.allowed))


class Routes:
    """All routes of a plan."""

    def __init__(self, plan: BuildPlan) -> None:
        shapes: dict[tuple[tuple[int, str], ...], _Shared] = {}
        self._plain: dict[str, _Shared] = {}
        for function in plan.functions:
            trigger = function.trigger
            if not isinstance(trigger, HttpTrigger):
                continue
            shared = shapes.setdefault(_shape(trigger.path), _Shared(trigger.path))
            shared.add(function, trigger)
        # What says most comes first: a word before a name before the rest.
        ordered = sorted(shapes.items())
        self._others = [shared for shape, shared in ordered if any(kind for kind, _ in shape)]
        for shape, shared in ordered:
            if not any(kind for kind, _ in shape):
                self._plain[shared.route.template] = shared

    def find(self, method: str, path: str, preflight: bool) -> str | tuple[str, ...]:
        """Return the name of the function for *path*, as sent.

        Instead an empty tuple when no route fits, and the methods that are allowed when none is for
        *method*. *preflight*: it has ``access-control-request-method``.
        """
        decoded = percent_decode(path) if "%" in path else path
        shared = self._plain.get(decoded)
        if shared is None:
            for other in self._others:
                if other.route.match(decoded) is not None:
                    shared = other
                    break
            else:
                return ()
        return shared.choose(method, preflight)


def _shape(template: str) -> tuple[tuple[int, str], ...]:
    """Return what sorts templates by how much they say, the same for those that fit the same."""
    parts = []
    for part in template.split("/"):
        if part.startswith("{"):
            parts.append((2, "") if part.endswith("*}") else (1, ""))
        else:
            parts.append((0, part))
    return tuple(parts)
