"""The names of a manifest, as a test says them: those that it does not have are LookupErrors."""

from __future__ import annotations

from collections.abc import Iterable

from portafaas.deployment.dead_letters import dead_letter_boxes
from portafaas.errors import guess
from portafaas.plan import BuildPlan, FunctionPlan
from portafaas.plan.entry import resources_spec


class Names:
    """The functions, resources and boxes of *plan*."""

    def __init__(self, plan: BuildPlan) -> None:
        self._plan = plan
        self._functions = {function.name: function for function in plan.functions}
        self._resources: dict[str, set[str]] = {
            kind: set(names) for kind, names in resources_spec(plan).items()
        }

    def function(self, name: str, *kinds: str) -> FunctionPlan:
        """Return a function, of one of *kinds* if any are given."""
        known = [f.name for f in self._plan.functions if not kinds or f.kind in kinds]
        if name not in known:
            what = f"{' or '.join(kinds)} function" if kinds else "function"
            raise unknown(what, name, known)
        return self._functions[name]

    def resource(self, kind: str, name: str) -> str:
        """Return *name*, which is that of a resource of *kind*."""
        known = self._resources.get(kind, set())
        if name not in known:
            raise unknown(kind, name, sorted(known))
        return name

    def letters(self, name: str) -> str:
        """Return the box that dead letters of a queue, or of a function, are from."""
        known = dict(dead_letter_boxes(self._plan))
        if name not in known:
            raise unknown("box of dead letters", name, list(known))
        return f"{known[name]}/{name}"

    def inbox(self, name: str) -> str:
        """Return the box of a queue, or of a function with another trigger."""
        queues = [queue.name for queue in self._plan.queues]
        functions = [
            f.name for f in self._plan.functions if f.kind not in ("http", "task", "queue")
        ]
        if name in queues:
            return f"queue/{name}"
        if name in functions:
            return f"function/{name}"
        raise unknown("queue, or function with a trigger of its own,", name, queues + functions)


def unknown(what: str, name: str, known: Iterable[str]) -> LookupError:
    """Return the error of a name that the manifest does not have, with those that it has."""
    known = list(known)
    hint = guess(name, known)
    rest = f" {hint}" if hint else ""
    return LookupError(
        f"the manifest has no {what} {name!r};{rest} there are: {', '.join(known) or 'none'}"
    )
