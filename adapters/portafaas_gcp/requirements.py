"""Which distributions a package needs beside what the project itself asks for; pure."""

from __future__ import annotations

from portafaas.plan import BuildPlan

#: By kind of resource. The lowest versions are the first with what ``runtime`` calls: a Firestore
#: client for a database by name, Storage's and Pub/Sub's with a retry for each call. Secrets are
#: read with the standard library.
DISTRIBUTIONS = {
    "queue": "google-cloud-pubsub>=2.20",
    "topic": "google-cloud-pubsub>=2.20",
    "table": "google-cloud-firestore>=2.16",
    "bucket": "google-cloud-storage>=2.16",
}


def requirements(plan: BuildPlan) -> tuple[str, ...]:
    """Return requirements (PEP 508) in alphabetical order: those of what any function uses."""
    kinds = {use.kind for function in plan.functions for use in function.uses}
    return tuple(sorted({DISTRIBUTIONS[kind] for kind in kinds if kind in DISTRIBUTIONS}))
