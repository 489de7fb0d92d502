"""Where dead letters are kept, who may put them there, and what publishes later.

https://cloud.google.com/pubsub/docs/dead-letter-topics and
https://cloud.google.com/tasks/docs/creating-http-target-tasks
"""

from __future__ import annotations

from portafaas.adapter import Permission
from portafaas.plan import BuildPlan, FunctionPlan, QueueTrigger
from portafaas_gcp import names, recovery
from portafaas_gcp.infrastructure.document import KEEP, Document, key, ref
from portafaas_gcp.infrastructure.grants import member_of
from portafaas_gcp.infrastructure.resources import (
    AGENT,
    LONGEST,
    dead_letter_subscription,
    dead_letter_topic,
    waiting,
)
from portafaas_gcp.runtime.settlement import ORDERED
from portafaas_gcp.runtime.tasks import ACCOUNT, QUEUE

TASKS = "google_cloud_tasks_queue.tasks"


def block_of(function: FunctionPlan) -> str:
    """Return the key of the function's own dead letters; no word of a manifest begins so."""
    return f"_{key('dead', function.name)}"


def topic_of(plan: BuildPlan, function: FunctionPlan) -> str:
    """Return the address of the topic that takes the function's dead letters, or ""."""
    if not recovery.dead_letters(plan, function):
        return ""
    if isinstance(function.trigger, QueueTrigger):
        return dead_letter_topic(plan.queue(function.trigger.queue))
    return f"google_pubsub_topic.{block_of(function)}"


def subscription_of(plan: BuildPlan, function: FunctionPlan) -> str:
    """Return the address of the subscription that keeps the function's dead letters."""
    if isinstance(function.trigger, QueueTrigger):
        return dead_letter_subscription(plan.queue(function.trigger.queue))
    return f"google_pubsub_subscription.{block_of(function)}"


def source_of(function: FunctionPlan) -> str:
    """Return the address of the topic that the function is delivered from."""
    name = names.source(function)
    match function.kind:
        case "object":
            return f"google_pubsub_topic.{key(function.name, 'objects')}"
        case kind:
            return f"google_pubsub_topic.{key(kind, name)}"


def variables(plan: BuildPlan, function: FunctionPlan) -> dict[str, str]:
    """Return what tells the function's bridge where a failure goes."""
    found = {}
    if topic := topic_of(plan, function):
        found[names.variable("dead", function.name)] = ref(topic, "id")
    if function.kind in recovery.COUNTED:
        source = ref(source_of(function), "id")
        found[names.variable("source", function.name)] = (
            source if recovery.is_copied(plan, function) else ORDERED
        )
    if recovery.makes_tasks(plan, function):
        found[QUEUE] = ref(TASKS, "id")
        found[ACCOUNT] = ref(f"google_service_account.{key(function.name)}", "email")
    return found


def tasks(document: Document) -> None:
    """Add the queue of what is to be published later, if there may be any.

    It is kept as the queues are: messages wait in it, and after a deletion its name cannot be had
    for 7 days. Nothing is given up before Cloud Tasks does, after 31 days.
    https://cloud.google.com/tasks/docs/quotas
    """
    plan = document.plan
    if not recovery.needs_tasks(plan):
        return
    document.ask(
        *(
            f"$.functions.{function.name}"
            for function in plan.functions
            if function.kind in ("table", "schedule") or recovery.makes_tasks(plan, function)
        )
    )
    document.add(
        "google_cloud_tasks_queue",
        "tasks",
        {
            "name": names.tasks(plan),
            "location": "${var.region}",
            "retry_config": {
                "max_attempts": -1,
                "min_backoff": "1s",
                "max_backoff": "60s",
                "max_doublings": 6,
            },
            "lifecycle": dict(KEEP),
        },
    )


def failures(document: Document, function: FunctionPlan) -> None:
    """Add where the function's dead letters are kept, and what its bridge may do with a failure."""
    plan = document.plan
    path = f"$.functions.{function.name}.trigger.{function.kind}"
    trigger = f"$.functions.{function.name}.trigger"
    document.ask(path, function=function.name)
    if topic := topic_of(plan, function):
        why = trigger
        if isinstance(function.trigger, QueueTrigger):
            why = f"$.queues.{function.trigger.queue}.dead-letter"
            document.ask(why)
        else:
            name = names.physical(plan, names.dead(function))
            block = block_of(function)
            document.add("google_pubsub_topic", block, {"name": name, "lifecycle": dict(KEEP)})
            document.add("google_pubsub_subscription", block, waiting(name, topic, LONGEST))
        if function.kind in recovery.COUNTED:
            _agent(document, function, topic)
        document.ask(why, function=function.name)
        publisher(document, function, topic, key(function.name, "send", "dead"), why)
    document.ask(path, function=function.name)
    if recovery.is_copied(plan, function):
        block = key(function.name, "send", "source")
        publisher(document, function, source_of(function), block, trigger)
    if recovery.makes_tasks(plan, function):
        whys = [trigger] if recovery.is_copied(plan, function) else []
        whys += [
            f"$.functions.{function.name}.uses[{index}]"
            for index in recovery.delayed_queues(plan, function)
        ]
        document.ask(*whys, function=function.name)
        _delays(document, function, whys)


def publisher(
    document: Document, function: FunctionPlan, topic: str, block: str, why: str
) -> None:
    """Let the function publish to a topic, for which one grant is enough."""
    role, target = "roles/pubsub.publisher", ref(topic, "id")
    body = {"topic": target, "role": role, "member": member_of(function)}
    document.grant("google_pubsub_topic_iam_member", block, body)
    document.permissions.append(Permission(function.name, role, target, why))


def _agent(document: Document, function: FunctionPlan, topic: str) -> None:
    """Let Pub/Sub move what got no answer.

    https://cloud.google.com/pubsub/docs/dead-letter-topics#grant_forwarding_permissions
    """
    document.data["google_project"] = {"project": {"project_id": "${var.project}"}}
    body = {"topic": ref(topic, "id"), "role": "roles/pubsub.publisher", "member": AGENT}
    # Several queues may share one.
    document.grant("google_pubsub_topic_iam_member", topic.partition(".")[2], body)
    own = key(function.name)
    if isinstance(function.trigger, QueueTrigger):
        own = key("queue", function.trigger.queue)
    document.add(
        "google_pubsub_subscription_iam_member",
        own,
        {
            "subscription": ref(f"google_pubsub_subscription.{own}", "id"),
            "role": "roles/pubsub.subscriber",
            "member": AGENT,
        },
    )


def _delays(document: Document, function: FunctionPlan, whys: list[str]) -> None:
    """Let the function make tasks that publish as itself."""
    block, member = key(function.name), member_of(function)
    account = f"google_service_account.{block}"
    enqueuer, user = "roles/cloudtasks.enqueuer", "roles/iam.serviceAccountUser"
    document.add(
        "google_cloud_tasks_queue_iam_member",
        block,
        {
            "name": ref(TASKS, "name"),
            "location": ref(TASKS, "location"),
            "role": enqueuer,
            "member": member,
        },
    )
    document.add(
        "google_service_account_iam_member",
        block,
        {"service_account_id": ref(account, "name"), "role": user, "member": member},
    )
    for why in whys:
        document.permissions += [
            Permission(function.name, enqueuer, ref(TASKS, "id"), why),
            Permission(function.name, user, ref(account, "name"), why),
        ]
