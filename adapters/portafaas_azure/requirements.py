"""Which distributions a package needs beside what the project itself asks for; pure."""

from __future__ import annotations

from portafaas.plan import BuildPlan

#: By kind of resource; the lowest versions that the tests were run with. Secrets are read, and
#: tokens got, with the standard library.
DISTRIBUTIONS = {
    "queue": "azure-servicebus>=7.15",
    "topic": "azure-servicebus>=7.15",
    "table": "azure-cosmos>=4.9",
    "bucket": "azure-storage-blob>=12.19",
    "durable": "azure-functions-durable>=1.7,<2",
}


def requirements(plan: BuildPlan) -> tuple[str, ...]:
    """Return requirements (PEP 508) in alphabetical order: those of what any function uses.

    Every function but those for HTTP and of workflows sends what failed to a queue: again, or as a
    dead letter.
    """
    kinds: set[str] = {use.kind for function in plan.functions for use in function.uses}
    if any(function.kind not in ("http", "task") for function in plan.functions):
        kinds.add("queue")
    if plan.workflows:
        kinds.add("durable")
    return tuple(sorted({DISTRIBUTIONS[kind] for kind in kinds if kind in DISTRIBUTIONS}))
