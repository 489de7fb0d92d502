"""Names of what a service owns in a project; pure.

``<service>[-<stage>]-<name>``. A name over its platform's limit is cut and ends in eight
hexadecimal digits of the SHA-256 of the whole, so that it stays the same from build to build. Names
in a manifest have single hyphens only, so that ``--`` marks what is portafaas' own.
"""

from __future__ import annotations

from collections.abc import Iterator

from portafaas.plan import (
    BuildPlan,
    FunctionPlan,
    ObjectTrigger,
    QueueTrigger,
    TopicTrigger,
)

#: Characters: https://cloud.google.com/pubsub/docs/pubsub-basics#resource_names
PUBSUB = (3, 255)
#: https://cloud.google.com/iam/docs/reference/rest/v1/projects.serviceAccounts/create
ACCOUNT = (6, 30)
#: https://cloud.google.com/firestore/docs/reference/rest/v1/projects.databases/create
DATABASE = (4, 63)
#: What is left of a bucket's 63 beside the longest id of a project, 30, and a hyphen:
#: https://cloud.google.com/storage/docs/buckets#naming
BUCKET = (1, 32)
#: https://cloud.google.com/artifact-registry/docs/repositories/create-repos
REPOSITORY = (1, 63)
#: https://cloud.google.com/secret-manager/docs/reference/rest/v1/projects.secrets/create
SECRET = (1, 255)
#: https://cloud.google.com/logging/docs/reference/v2/rest/v2/projects.locations.buckets/create
LOGS = (1, 100)
#: A metric made of logs: https://cloud.google.com/logging/docs/reference/v2/rest/v2/projects.metrics
METRIC = (1, 100)
#: Of an alert policy or a notification channel:
#: https://cloud.google.com/monitoring/api/ref_v3/rest/v3/projects.alertPolicies
DISPLAY = (1, 512)
#: A queue of Cloud Tasks: https://cloud.google.com/tasks/docs/reference/rest/v2/projects.locations.queues
TASKS = (1, 100)
#: A workflow: https://cloud.google.com/workflows/docs/reference/rest/v1/projects.locations.workflows/create
WORKFLOW = (1, 64)
#: A Cloud Scheduler job: https://cloud.google.com/scheduler/docs/reference/rest/v1/projects.locations.jobs
JOB = (1, 500)


def physical(plan: BuildPlan, name: str = "", limit: tuple[int, int] = PUBSUB) -> str:
    """Return the name of *name* in the cloud, within *limit* (fewest, most characters)."""
    whole = "-".join(part for part in (plan.service, plan.stage, name) if part)
    fewest, most = limit
    if fewest <= len(whole) <= most:
        return whole
    import hashlib

    digest = hashlib.sha256(whole.encode("utf-8")).hexdigest()[:8]
    return f"{whole[: most - 9].rstrip('-')}-{digest}"


def service_name(plan: BuildPlan, function: FunctionPlan) -> str:
    """Return the name of the function's Cloud Run service: unique in the project.

    Never cut: it is in the function's address. ``limits`` refuses one that does not fit.
    """
    return "-".join(part for part in (plan.service, plan.stage, function.name) if part)


def variable(kind: str, name: str) -> str:
    """Return the name of the variable that tells a function where a resource is."""
    return f"PORTAFAAS_{kind}_{name}".upper().replace("-", "_")


def dead_letter(queue: str, named: bool | str) -> str:
    """Return the manifest's name of the dead-letter queue of *queue*."""
    return named if isinstance(named, str) else f"{queue}-dead-letter"


def dead(function: FunctionPlan) -> str:
    """Return the name of the function's own dead letters, those that are of no queue."""
    return f"{function.name}-dead"


def source(function: FunctionPlan) -> str:
    """Return the name of the topic that the function is delivered from, "" if it is from none."""
    trigger = function.trigger
    match trigger:
        case QueueTrigger():
            return trigger.queue
        case TopicTrigger():
            return trigger.topic
        case ObjectTrigger():
            return f"{function.name}-objects"
    return ""


def tasks(plan: BuildPlan) -> str:
    """Return the name of the service's queue of tasks, in the cloud."""
    return physical(plan, "-tasks", TASKS)


def database(plan: BuildPlan) -> str:
    """Return the Firestore database of the tables: the one in the options, or the service's own."""
    chosen: str = plan.options.get("database", "") or physical(plan, "tables", DATABASE)
    return chosen


def owns_database(plan: BuildPlan) -> bool:
    """Return whether the database is made for the service."""
    return bool(plan.tables) and "database" not in plan.options


def topics(plan: BuildPlan) -> Iterator[tuple[str, str]]:
    """Yield the name of each Pub/Sub topic before it is made physical, and where it comes from."""
    for queue in plan.queues:
        yield queue.name, f"$.queues.{queue.name}"
        if queue.dead_letter is True:
            yield dead_letter(queue.name, True), f"$.queues.{queue.name}.dead-letter"
    for topic in plan.topics:
        yield topic.name, f"$.topics.{topic.name}"
    for function in plan.functions:
        path = f"$.functions.{function.name}.trigger.{function.kind}"
        if isinstance(function.trigger, ObjectTrigger):
            yield f"{function.name}-objects", path
        if function.kind not in ("http", "queue", "task"):
            yield dead(function), path


def subscriptions(plan: BuildPlan) -> Iterator[tuple[str, str]]:
    """Yield the same of each Pub/Sub subscription."""
    for queue in plan.queues:
        yield queue.name, f"$.queues.{queue.name}"
        if queue.dead_letter is True:
            yield dead_letter(queue.name, True), f"$.queues.{queue.name}.dead-letter"
    for function in plan.functions:
        if isinstance(function.trigger, (TopicTrigger, ObjectTrigger)):
            yield function.name, f"$.functions.{function.name}"
        if function.kind not in ("http", "queue", "task"):
            yield dead(function), f"$.functions.{function.name}.trigger.{function.kind}"
