"""What a plan may not exceed on Google Cloud; each number with the page that states it.

Long, since all limits stand side by side.
"""

from __future__ import annotations

from collections.abc import Iterator

from portafaas.adapter.delivery import is_ordered
from portafaas.errors import Diagnostic
from portafaas.plan import (
    BuildPlan,
    FunctionPlan,
    HttpTrigger,
    ObjectTrigger,
    QueueTrigger,
    Use,
)
from portafaas_gcp import names
from portafaas_gcp.alerting import watched
from portafaas_gcp.lowering import most_instances
from portafaas_gcp.recovery import COUNTED, MOST, dead_letters, makes_tasks
from portafaas_gcp.runtime.settlement import LONGEST
from portafaas_gcp.runtime.tasks import ACCOUNT, QUEUE
from portafaas_gcp.workflows.limits import over

QUOTAS = "https://cloud.google.com/functions/quotas"
CONCURRENCY = "https://cloud.google.com/run/docs/about-concurrency"
SUBSCRIPTIONS = "https://cloud.google.com/pubsub/docs/reference/rest/v1/projects.subscriptions"
SCHEDULER = "https://cloud.google.com/scheduler/docs/reference/rest/v1/projects.locations.jobs"
VARIABLES = "https://cloud.google.com/run/docs/configuring/services/overview-environment-variables"
SERVICES = "https://cloud.google.com/run/docs/deploying"
CORS = "https://cloud.google.com/functions/docs/writing/write-http-functions#limitations"
FUNCTIONS = (
    "https://cloud.google.com/functions/docs/reference/rest/v2/projects.locations.functions/create"
)
NOTIFICATIONS = "https://cloud.google.com/storage/docs/pubsub-notifications"
RESOURCES = "https://cloud.google.com/pubsub/docs/pubsub-basics#resource_names"
WORKFLOWS = "https://cloud.google.com/workflows/quotas"
BUCKETS = "https://cloud.google.com/storage/docs/buckets#naming"

#: MiB: https://cloud.google.com/run/docs/configuring/services/memory-limits
MEMORY = (128, 32_768)
#: Instances serve at most so many requests at once (CONCURRENCY).
MOST_CONCURRENT = 1000
#: Seconds by kind of trigger. http: QUOTAS. queue, topic and object: the longest acknowledgement
#: deadline (SUBSCRIPTIONS). table: QUOTAS for event-driven functions, the shorter of the two
#: numbers its versions state. schedule: the longest attempt deadline (SCHEDULER). task: the longest
#: call of a workflow (WORKFLOWS).
TIMEOUTS = {
    "http": (3600, QUOTAS),
    "queue": (600, SUBSCRIPTIONS),
    "topic": (600, SUBSCRIPTIONS),
    "object": (600, SUBSCRIPTIONS),
    "table": (540, QUOTAS),
    "schedule": (1800, SCHEDULER),
    "task": (1800, WORKFLOWS),
}
#: Characters of a Cloud Run service's name (SERVICES), and the fewest of a function's (FUNCTIONS).
LONGEST_NAME = 49
SHORTEST_NAME = 4
#: Configurations of a bucket that tell of one kind of event (NOTIFICATIONS).
MOST_NOTIFICATIONS = 10
#: Bytes of all names and values together (VARIABLES).
ENVIRONMENT = 32_768
#: Instances of a service: https://cloud.google.com/run/docs/configuring/max-instances
MOST_INSTANCES = 1000
#: Of a service that names no bound:
#: https://cloud.google.com/run/docs/configuring/max-instances-limits
USUAL_INSTANCES = 100
#: Service accounts of a project.
ACCOUNTS = 100
IAM_QUOTAS = "https://cloud.google.com/iam/quotas"
#: Characters of the longest id of a project:
#: https://cloud.google.com/resource-manager/docs/creating-managing-projects
PROJECT = 30
#: The same of a region, and of the address of a service account.
REGION = 32
ADDRESS = 30 + len("@") + PROJECT + len(".iam.gserviceaccount.com")
_RESERVED = (
    "PORT", "K_SERVICE", "K_REVISION", "K_CONFIGURATION", "FUNCTION_TARGET",
    "FUNCTION_SIGNATURE_TYPE", "THREADS", "WORKERS",
)  # fmt: skip


def check(plan: BuildPlan) -> list[Diagnostic]:
    """Return PF3002 for everything over a limit, and a warning where browsers will be refused."""
    found: list[Diagnostic] = []
    for function in plan.functions:
        found += _function(plan, function)
        found += _environment(plan, function)
        trigger = function.trigger
        found += _retries(plan, function)
        if isinstance(trigger, QueueTrigger):
            found += _consumer(plan, function, trigger)
        if (
            isinstance(trigger, HttpTrigger)
            and trigger.cors is not None
            and trigger.auth is not None
            and trigger.auth.scheme == "iam"
        ):
            found.append(
                Diagnostic(
                    "PF3002",
                    "Cloud Run refuses preflight requests to a function with auth iam, because "
                    f"browsers send them without a token ({CORS})",
                    path=f"$.functions.{function.name}.trigger.http.cors",
                    hint="use auth jwt for functions that browsers call",
                    severity="warning",
                )
            )
    found += _queues(plan)
    found += _names(plan)
    found += _notifications(plan)
    found += watched(plan)
    found += _accounts(plan)
    found += over(plan)
    return found


def _accounts(plan: BuildPlan) -> Iterator[Diagnostic]:
    """Warn where a project's quota, which can be raised, is not enough for this service alone."""
    wanted = len(plan.functions) + len(plan.workflows) + 1
    if wanted > ACCOUNTS:
        yield Diagnostic(
            "PF3002",
            f"the service needs {wanted} service accounts, one a function or workflow and one that "
            f"builds; a project has {ACCOUNTS} unless its quota is raised ({IAM_QUOTAS})",
            path="$.functions",
            hint="ask for more before deploying",
            severity="warning",
        )


def _over(path: str, message: str, source: str, hint: str | None = None) -> Diagnostic:
    return Diagnostic("PF3002", f"{message} ({source})", path=path, hint=hint)


def _function(plan: BuildPlan, function: FunctionPlan) -> Iterator[Diagnostic]:
    path = f"$.functions.{function.name}"
    low, high = MEMORY
    if not low <= function.memory <= high:
        yield _over(
            f"{path}.memory",
            f"memory {function.memory} MiB is not between {low} and {high} MiB",
            QUOTAS,
        )
    most, source = TIMEOUTS[function.kind]
    if function.timeout > most:
        yield _over(
            f"{path}.timeout",
            f"timeout {function.timeout} s is over the {most} s of {function.kind} triggers",
            source,
        )
    if function.concurrency > MOST_CONCURRENT:
        yield _over(
            f"{path}.concurrency",
            f"concurrency {function.concurrency} is over {MOST_CONCURRENT}",
            CONCURRENCY,
        )
    name = names.service_name(plan, function)
    if len(name) > LONGEST_NAME:
        yield _over(
            path,
            f"the Cloud Run service {name!r} would have {len(name)} characters; "
            f"the limit is {LONGEST_NAME}",
            SERVICES,
            "shorten the name of the function or of the service",
        )
    if len(name) < SHORTEST_NAME:
        yield _over(path, f"the function {name!r} has under {SHORTEST_NAME} characters", FUNCTIONS)
    if function.module.partition(".")[0] == "main":
        # https://cloud.google.com/run/docs/runtimes/python#source_structure
        yield Diagnostic(
            "PF3002",
            "the handler's module main is where Google Cloud expects the entry points",
            path=f"{path}.handler",
            hint="rename main.py",
        )
    if function.max_instances > MOST_INSTANCES:
        yield _over(
            f"{path}.max-instances",
            f"{function.max_instances} instances are over {MOST_INSTANCES}",
            "https://cloud.google.com/run/docs/configuring/max-instances",
        )
    most_allowed = most_instances(plan, function) or USUAL_INSTANCES
    if function.min_instances > most_allowed:
        yield Diagnostic(
            "PF3002",
            f"min-instances is greater than the most instances there may be, {most_allowed}",
            path=f"{path}.min-instances",
            hint="raise max-instances, or the max-concurrency of the queue",
        )


def _environment(plan: BuildPlan, function: FunctionPlan) -> Iterator[Diagnostic]:
    path = f"$.functions.{function.name}.environment"
    for name in function.environment:
        if name in _RESERVED or name.startswith("X_GOOGLE_"):
            yield _over(f"{path}.{name}", f"the environment variable {name} is reserved", VARIABLES)
    everything = {
        "GOOGLE_CLOUD_PROJECT": "p" * PROJECT,
        **function.environment,
        "THREADS": str(function.concurrency),
        "WORKERS": "1",
    }
    for use in function.uses:
        everything[names.variable(use.kind, use.name)] = _longest_location(plan, use)
    topic = f"projects/{'p' * PROJECT}/topics/"
    if dead := dead_letters(plan, function):
        everything[names.variable("dead", function.name)] = topic + names.physical(plan, dead)
    if source := names.source(function):
        everything[names.variable("source", function.name)] = topic + names.physical(plan, source)
    if makes_tasks(plan, function):
        everything[QUEUE] = f"projects/{'p' * PROJECT}/locations/{'r' * REGION}/queues/" + (
            names.tasks(plan)
        )
        everything[ACCOUNT] = "a" * ADDRESS
    size = sum(len(k.encode()) + len(v.encode()) for k, v in everything.items())
    if size > ENVIRONMENT:
        added = len(everything) - len(function.environment)
        message = (
            f"the environment has {size} bytes with the {added} variables that portafaas adds; "
            f"the limit is {ENVIRONMENT}"
        )
        yield _over(path, message, VARIABLES)


def _longest_location(plan: BuildPlan, use: Use) -> str:
    """Return what a function is told of *use* in the project of the longest name."""
    project = "p" * PROJECT
    match use.kind:
        case "table":
            return f"projects/{project}/databases/{names.database(plan)}/documents/{use.name}"
        case "workflow":
            workflow = names.physical(plan, use.name, names.WORKFLOW)
            return f"projects/{project}/locations/{'r' * REGION}/workflows/{workflow}"
        case "bucket":
            return f"{project}-{names.physical(plan, use.name, names.BUCKET)}"
    return f"projects/{project}/secrets/{names.physical(plan, use.name)}"


def _consumer(
    plan: BuildPlan, function: FunctionPlan, trigger: QueueTrigger
) -> Iterator[Diagnostic]:
    queue = plan.queue(trigger.queue)
    wanted = queue.max_concurrency
    if wanted and wanted < function.concurrency:
        # There is at least one instance.
        yield _over(
            f"$.queues.{queue.name}.max-concurrency",
            f"max-concurrency {wanted} is under the {function.concurrency} messages that one "
            f"instance of {function.name} takes at once",
            CONCURRENCY,
            f"lower the concurrency of {function.name}, or raise max-concurrency",
        )


def _retries(plan: BuildPlan, function: FunctionPlan) -> Iterator[Diagnostic]:
    """Yield what neither Pub/Sub's own retries nor copies can keep."""
    path, retry = f"$.functions.{function.name}.retry", function.retry
    if retry.attempts > MOST and function.kind in COUNTED and dead_letters(plan, function):
        yield _over(
            f"{path}.attempts",
            f"{retry.attempts} attempts are over {MOST}, after which a dead-letter policy gives up",
            SUBSCRIPTIONS,
        )
    if not is_ordered(plan, function):
        return  # what comes later than a retry policy has it is a copy
    delays = [("initial", retry.initial)]
    if retry.backoff == "exponential":
        delays.append(("max", retry.maximum))
    for name, seconds in delays:
        if seconds > LONGEST:
            yield _over(
                f"{path}.{name}",
                f"a back-off of {seconds:g} s is over the {LONGEST:g} s of a retry policy, and "
                "a copy that comes later would break the order",
                SUBSCRIPTIONS,
            )


def _queues(plan: BuildPlan) -> Iterator[Diagnostic]:
    for queue in plan.queues:
        path = f"$.queues.{queue.name}"
        if queue.delay:
            yield _over(
                f"{path}.delay",
                "Pub/Sub cannot delay all messages of a queue",
                SUBSCRIPTIONS,
                "give each message its delay: send(..., delay=...)",
            )
        if not 600 <= queue.retention <= 2_678_400:
            yield _over(
                f"{path}.retention",
                f"retention {queue.retention} s is not between 10 minutes and 31 days",
                SUBSCRIPTIONS,
            )


def _names(plan: BuildPlan) -> Iterator[Diagnostic]:
    """Yield what could not be made under the name it would have."""
    for what, found in (("topic", names.topics(plan)), ("subscription", names.subscriptions(plan))):
        taken: dict[str, str] = {}
        for name, path in found:
            if name in taken:
                yield _over(
                    path,
                    f"the Pub/Sub {what} {names.physical(plan, name)!r} would be that of "
                    f"{taken[name]}, too",
                    RESOURCES,
                    "rename one of them",
                )
            taken.setdefault(name, path)
        if taken and plan.service.startswith("goog"):
            message = f"the name of a Pub/Sub {what} cannot begin with goog"
            yield _over("$.name", message, RESOURCES, "rename the service")
    for bucket in plan.buckets:
        if "google" in names.physical(plan, bucket.name):
            message = "the name of a bucket cannot hold google"
            yield _over(f"$.buckets.{bucket.name}", message, BUCKETS)


def _notifications(plan: BuildPlan) -> Iterator[Diagnostic]:
    for bucket in plan.buckets:
        for kind in ("created", "deleted"):
            told = [
                function.name
                for function in plan.functions
                if isinstance(function.trigger, ObjectTrigger)
                and function.trigger.bucket == bucket.name
                and kind in function.trigger.on
            ]
            if len(told) > MOST_NOTIFICATIONS:
                yield _over(
                    f"$.buckets.{bucket.name}",
                    f"{len(told)} functions are told of {kind} objects; "
                    f"a bucket tells at most {MOST_NOTIFICATIONS}",
                    NOTIFICATIONS,
                )
