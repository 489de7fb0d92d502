"""Queues, topics, buckets, tables and secrets: empty, and kept when the rest goes."""

from __future__ import annotations

from typing import Any

from portafaas.plan import BucketPlan, BuildPlan, QueuePlan, QueueTrigger
from portafaas.plan.claims import days_of_claims
from portafaas.runtime.control import CLAIMS
from portafaas_gcp import names
from portafaas_gcp.infrastructure.document import KEEP, Document, key, literal, ref
from portafaas_gcp.runtime.shapes import EXPIRES

#: Seconds; the longest that a subscription keeps a message:
#: https://cloud.google.com/pubsub/docs/reference/rest/v1/projects.subscriptions
LONGEST = 2_678_400
#: Eventarc has a region for each of Firestore's multi-regions:
#: https://cloud.google.com/firestore/docs/eventarc#eventarc_and_firestore_locations
EVENT_LOCATION = (
    '${lookup({nam5 = "us-central1", eur3 = "europe-west4"}, '
    "local.database_location, local.database_location)}"
)
#: Acts for Pub/Sub in a project: https://cloud.google.com/pubsub/docs/dead-letter-topics#grant_forwarding_permissions
AGENT = (
    "serviceAccount:service-${data.google_project.project.number}"
    "@gcp-sa-pubsub.iam.gserviceaccount.com"
)


def declared(document: Document) -> None:
    """Add what the manifest declares, but the subscriptions that functions consume queues by."""
    plan = document.plan
    consumed = {f.trigger.queue for f in plan.functions if isinstance(f.trigger, QueueTrigger)}
    for queue in plan.queues:
        document.ask(f"$.queues.{queue.name}")
        _queue(document, queue, queue.name in consumed)
    for topic in plan.topics:
        name = names.physical(plan, topic.name)
        document.ask(f"$.topics.{topic.name}")
        document.add("google_pubsub_topic", key("topic", topic.name), {"name": name})
    for bucket in plan.buckets:
        document.ask(f"$.buckets.{bucket.name}")
        document.add(
            "google_storage_bucket",
            key(bucket.name),
            {
                "name": f"${{var.project}}-{names.physical(plan, bucket.name, names.BUCKET)}",
                "location": "${var.region}",
                "uniform_bucket_level_access": True,
                "public_access_prevention": "enforced",
                "force_destroy": False,
                **({"versioning": {"enabled": True}} if bucket.versioned else {}),
                **_claims(plan, bucket),
                "lifecycle": dict(KEEP),
            },
        )
    _tables(document)
    for secret in plan.secrets:
        document.ask(f"$.secrets.{secret.name}")
        document.add(
            "google_secret_manager_secret",
            key(secret.name),
            {
                "secret_id": names.physical(plan, secret.name, names.SECRET),
                "replication": {"auto": {}},
                "lifecycle": dict(KEEP),
            },
        )


def _claims(plan: BuildPlan, bucket: BucketPlan) -> dict[str, Any]:
    """Return the rules that delete the bodies of a claim check when nothing leads to them.

    https://cloud.google.com/storage/docs/lifecycle#conditions
    """
    days = days_of_claims(plan, bucket.name)
    if not days:
        return {}
    conditions: list[dict[str, Any]] = [{"age": days, "matches_prefix": [CLAIMS]}]
    if bucket.versioned:
        conditions.append({"days_since_noncurrent_time": 1, "matches_prefix": [CLAIMS]})
    return {
        "lifecycle_rule": [
            {"action": {"type": "Delete"}, "condition": condition} for condition in conditions
        ]
    }


def _queue(document: Document, queue: QueuePlan, consumed: bool) -> None:
    plan = document.plan
    name = names.physical(plan, queue.name)
    topic = document.add(
        "google_pubsub_topic", key("queue", queue.name), {"name": name, "lifecycle": dict(KEEP)}
    )
    if not consumed:
        # A topic alone keeps nothing: what is sent waits here for who reads it.
        subscription = waiting(name, topic, queue.retention)
        if queue.ordered:
            subscription["enable_message_ordering"] = True
        document.add("google_pubsub_subscription", key("queue", queue.name), subscription)
    if queue.dead_letter is True:
        name = names.physical(plan, names.dead_letter(queue.name, True))
        block = key("dead_letter", queue.name)
        document.ask(f"$.queues.{queue.name}.dead-letter")
        topic = document.add(
            "google_pubsub_topic", block, {"name": name, "lifecycle": dict(KEEP)}
        )
        document.add("google_pubsub_subscription", block, waiting(name, topic, LONGEST))


def waiting(name: str, topic: str, retention: int) -> dict[str, Any]:
    """Return a subscription that keeps what is sent to *topic*, to be pulled."""
    return {
        "name": name,
        "topic": ref(topic, "id"),
        "message_retention_duration": f"{retention}s",
        # Unless told otherwise, a subscription that nobody reads is gone after 31 days.
        "expiration_policy": {"ttl": ""},
        "lifecycle": dict(KEEP),
    }


def _tables(document: Document) -> None:
    """Add the database; its collections come to be with their first documents."""
    plan = document.plan
    if not plan.tables:
        return
    document.variables["database_location"] = {
        "type": "string",
        "default": None,
        "description": "Location of the Firestore database; by default the region.",
    }
    document.locals["database_location"] = "${coalesce(var.database_location, var.region)}"
    document.locals["event_location"] = EVENT_LOCATION
    if names.owns_database(plan):
        document.ask(*(f"$.tables.{table.name}" for table in plan.tables))
        document.add(
            "google_firestore_database",
            "tables",
            {
                "name": names.database(plan),
                "location_id": "${local.database_location}",
                "type": "FIRESTORE_NATIVE",
                "delete_protection_state": "DELETE_PROTECTION_ENABLED",
                "deletion_policy": "ABANDON",
                "lifecycle": dict(KEEP),
            },
        )
    for table in plan.tables:
        if table.ttl:
            document.ask(f"$.tables.{table.name}.ttl")
            document.add(
                "google_firestore_field",
                key(table.name, "ttl"),
                {
                    "database": database_of(plan),
                    "collection": table.name,
                    # A timestamp that the driver makes of the attribute.
                    "field": EXPIRES,
                    "ttl_config": {},
                },
            )
        if table.sort:
            document.ask(f"$.tables.{table.name}.sort")
            for order in ("ascending", "descending"):
                document.add(
                    "google_firestore_index",
                    key(table.name, order),
                    {
                        "database": database_of(plan),
                        "collection": table.name,
                        "fields": [
                            {"field_path": _field_path(table.key), "order": "ASCENDING"},
                            {"field_path": _field_path(table.sort), "order": order.upper()},
                        ],
                    },
                )


def _field_path(attribute: str) -> str:
    """Return the path of a field: its name, and in backticks what is no plain word.

    https://cloud.google.com/firestore/docs/reference/rest/v1/Document (field paths)
    """
    if attribute.isascii() and attribute.isidentifier():
        return attribute
    quoted = attribute.replace("\\", "\\\\").replace("`", "\\`")
    return literal(f"`{quoted}`")


def database_of(plan: BuildPlan) -> str:
    """Return an expression for the name of the database that holds the tables."""
    if names.owns_database(plan):
        return "${google_firestore_database.tables.name}"
    return names.database(plan)


def dead_letter_topic(queue: QueuePlan) -> str:
    """Return the address of the topic that takes what *queue* gives up on."""
    if isinstance(queue.dead_letter, str):
        return f"google_pubsub_topic.{key('queue', queue.dead_letter)}"
    return f"google_pubsub_topic.{key('dead_letter', queue.name)}"


def dead_letter_subscription(queue: QueuePlan) -> str:
    """Return the address of the subscription that keeps what *queue* gives up on."""
    if isinstance(queue.dead_letter, str):
        return f"google_pubsub_subscription.{key('queue', queue.dead_letter)}"
    return f"google_pubsub_subscription.{key('dead_letter', queue.name)}"


def address_of(kind: str, name: str) -> str:
    """Return the address of a declared queue, topic, bucket or secret."""
    match kind:
        case "queue" | "topic":
            return f"google_pubsub_topic.{key(kind, name)}"
        case "bucket":
            return f"google_storage_bucket.{key(name)}"
        case "secret":
            return f"google_secret_manager_secret.{key(name)}"
    raise AssertionError(kind)


def location_of(plan: BuildPlan, kind: str, name: str) -> str:
    """Return what Google's clients call a declared resource; ``PORTAFAAS_<KIND>_<NAME>``.

    ``projects/P/topics/T`` for a queue or topic, the bucket's name, ``projects/P/secrets/S``, and
    ``projects/P/databases/D/documents/C`` for a table, ``projects/P/locations/R/workflows/W``.
    """
    if kind == "workflow":
        # No reference: the workflow may call the function that is told.
        workflow = names.physical(plan, name, names.WORKFLOW)
        return f"projects/${{var.project}}/locations/${{var.region}}/workflows/{workflow}"
    if kind == "table":
        return f"projects/${{var.project}}/databases/{database_of(plan)}/documents/{name}"
    return ref(address_of(kind, name), "name" if kind == "bucket" else "id")
