"""What calls each function, from the description that lowering gives of its trigger.

Everything but clients calls with an ID token of the function's own account, which may call that
one service. https://cloud.google.com/run/docs/triggering/pubsub-push
"""

from __future__ import annotations

from typing import Any

from portafaas.adapter import Deployment, Permission
from portafaas.plan import FunctionPlan, QueuePlan, QueueTrigger
from portafaas_gcp import names
from portafaas_gcp.infrastructure.document import KEEP, Document, key, literal, ref, snake
from portafaas_gcp.infrastructure.grants import invoker, member_of, project_member
from portafaas_gcp.infrastructure.recovering import failures, topic_of
from portafaas_gcp.infrastructure.resources import database_of

EVENTARC = "https://cloud.google.com/eventarc/docs/all-roles-permissions"


def trigger(document: Document, function: FunctionPlan, deployment: Deployment) -> None:
    """Add what the function's trigger needs, and who may call the function."""
    binding = deployment.binding
    document.ask(f"$.functions.{function.name}.trigger.{function.kind}", function=function.name)
    described = binding["trigger"]
    if described["type"] == "http":
        _clients(document, function, binding["invoker"] == "allUsers")
        failures(document, function)
        return
    if described["type"] == "task":
        return  # workflows say who they call
    grant = invoker(document, function, member_of(function))
    why = f"$.functions.{function.name}.trigger"
    document.permissions.append(
        Permission(function.name, "roles/run.invoker", str(binding["name"]), why)
    )
    match described["type"]:
        case "pubsub" if isinstance(function.trigger, QueueTrigger):
            _queue(document, function, described, grant)
        case "pubsub":
            topic = f"google_pubsub_topic.{key('topic', described['topic'])}"
            _push(document, function, described["subscription"], topic, grant)
        case "storage":
            _objects(document, function, described, grant)
        case "eventarc":
            _changes(document, function, described, grant, why)
        case "scheduler":
            _schedule(document, function, described, grant)
        case other:
            raise AssertionError(other)
    failures(document, function)


def _clients(document: Document, function: FunctionPlan, public: bool) -> None:
    if public:
        # Keys and tokens are checked by the bridge.
        invoker(document, function, "allUsers")
        return
    variable = key(function.name, "invokers")
    document.variables[variable] = {
        "type": "set(string)",
        "default": [],
        "description": f"Who may call {function.name}, such as user:jane@example.com.",
    }
    address = invoker(document, function, "${each.value}")
    kind, _, block = address.partition(".")
    body = document.resources[kind][block]
    document.resources[kind][block] = {"for_each": f"${{var.{variable}}}", **body}


def _uri(function: FunctionPlan) -> str:
    address = f"google_cloudfunctions2_function.{key(function.name)}"
    return ref(address, "service_config[0].uri")


def _token(function: FunctionPlan) -> dict[str, str]:
    email = ref(f"google_service_account.{key(function.name)}", "email")
    return {"service_account_email": email, "audience": _uri(function)}


def _push(
    document: Document,
    function: FunctionPlan,
    described: dict[str, Any],
    topic: str,
    grant: str,
    queue: QueuePlan | None = None,
) -> str:
    """Add a subscription that pushes to the function, and return its address.

    A queue's own subscription has the name of the queue: it outlives the function.
    """
    owner = function.name if queue is None else queue.name
    body: dict[str, Any] = {
        "name": names.physical(document.plan, owner),
        "topic": ref(topic, "id"),
        "ack_deadline_seconds": described["ackDeadlineSeconds"],
        "expiration_policy": {"ttl": ""},
        "push_config": {"push_endpoint": _uri(function), "oidc_token": _token(function)},
    }
    if "messageRetentionDuration" in described:
        body["message_retention_duration"] = described["messageRetentionDuration"]
    if "retryPolicy" in described:
        body["retry_policy"] = snake(described["retryPolicy"])
    if described.get("enableMessageOrdering"):
        body["enable_message_ordering"] = True
    if "filter" in described:
        # A subscription cannot change it: one with another filter takes the place of the old.
        body["filter"] = literal(described["filter"])
    if "deadLetterPolicy" in described:
        body["dead_letter_policy"] = {
            "dead_letter_topic": ref(topic_of(document.plan, function), "id"),
            "max_delivery_attempts": described["deadLetterPolicy"]["maxDeliveryAttempts"],
        }
    body["depends_on"] = [grant]
    if queue is None:
        return document.add("google_pubsub_subscription", key(function.name), body)
    body["lifecycle"] = dict(KEEP)
    return document.add("google_pubsub_subscription", key("queue", queue.name), body)


def _queue(
    document: Document, function: FunctionPlan, described: dict[str, Any], grant: str
) -> None:
    """Add the queue's subscription."""
    queue = document.plan.queue(described["topic"])
    topic = f"google_pubsub_topic.{key('queue', queue.name)}"
    _push(document, function, described["subscription"], topic, grant, queue)


def _objects(
    document: Document, function: FunctionPlan, described: dict[str, Any], grant: str
) -> None:
    """Add a bucket's notifications, the topic they go to, and its subscription."""
    plan = document.plan
    block = key(function.name, "objects")
    topic = document.add(
        "google_pubsub_topic", block, {"name": names.physical(plan, f"{function.name}-objects")}
    )
    document.data["google_storage_project_service_account"] = {
        "storage": {"project": "${var.project}"}
    }
    account = "data.google_storage_project_service_account.storage"
    publisher = document.add(
        "google_pubsub_topic_iam_member",
        block,
        {
            "topic": ref(topic, "id"),
            "role": "roles/pubsub.publisher",
            "member": f"serviceAccount:{ref(account, 'email_address')}",
        },
    )
    prefix = described.get("objectNamePrefix")
    document.add(
        "google_storage_notification",
        key(function.name),
        {
            "bucket": ref(f"google_storage_bucket.{key(described['bucket'])}", "name"),
            "topic": ref(topic, "id"),
            "payload_format": described["payloadFormat"],
            "event_types": list(described["eventTypes"]),
            **({"object_name_prefix": literal(prefix)} if prefix else {}),
            "depends_on": [publisher],
        },
    )
    _push(document, function, described["subscription"], topic, grant)


def _changes(
    document: Document,
    function: FunctionPlan,
    described: dict[str, Any],
    grant: str,
    why: str,
) -> None:
    """Add an Eventarc trigger for each kind of change; a trigger takes one type of event.

    It is where the database is, or next to it.
    """
    plan = document.plan
    receiver = project_member(
        document, key(function.name, "events"), "roles/eventarc.eventReceiver", member_of(function)
    )
    scope = "projects/${var.project}"
    document.permissions.append(
        Permission(function.name, "roles/eventarc.eventReceiver", scope, why)
    )
    document.note(
        f"roles/eventarc.eventReceiver can be granted on a project only ({EVENTARC})", why
    )
    service = f"google_cloudfunctions2_function.{key(function.name)}"
    for filters in described["eventFilters"]:
        word = filters[0]["value"].rpartition(".")[2]
        criteria = [
            {**item, "value": database_of(plan)} if item["attribute"] == "database" else item
            for item in filters
        ]
        document.add(
            "google_eventarc_trigger",
            key(function.name, word),
            {
                "name": f"{names.service_name(plan, function)}-{word}",
                "location": "${local.event_location}",
                "matching_criteria": criteria,
                "event_data_content_type": described["eventDataContentType"],
                "service_account": ref(f"google_service_account.{key(function.name)}", "email"),
                "destination": {
                    "cloud_run_service": {
                        "service": ref(service, "name"),
                        "region": ref(service, "location"),
                    }
                },
                "depends_on": [grant, receiver],
            },
        )


def _schedule(
    document: Document, function: FunctionPlan, described: dict[str, Any], grant: str
) -> None:
    body: dict[str, Any] = {
        "name": names.physical(document.plan, function.name, names.JOB),
        "region": "${var.region}",
        "schedule": described["schedule"],
        "time_zone": described["timeZone"],
        "attempt_deadline": described["attemptDeadline"],
        "http_target": {
            "uri": _uri(function),
            "http_method": described["httpMethod"],
            "oidc_token": _token(function),
        },
    }
    if "retryConfig" in described:
        body["retry_config"] = snake(described["retryConfig"])
    body["depends_on"] = [grant]
    document.add("google_cloud_scheduler_job", key(function.name), body)
