"""Mistakes that a generator of Terraform makes, each as a change of a sound document.

The first group is that of a study of what the tools themselves catch, as far as the documents here
have what it spoils; what they have not is replaced by what is nearest.
"""

from __future__ import annotations

from typing import Any


def _of(kind: str, name: str, *path: str) -> Any:
    def find(document: dict[str, Any]) -> Any:
        found = document["resource"][f"google_{kind}"][name]
        for step in path:
            found = found[step]
        return found

    return find


FUNCTION = _of("cloudfunctions2_function", "take_orders")
CONFIG = _of("cloudfunctions2_function", "take_orders", "service_config")
QUEUE = _of("pubsub_subscription", "queue__orders")
LISTEN = _of("pubsub_subscription", "listen")
JOB = _of("cloud_scheduler_job", "nightly")
ROWS = _of("eventarc_trigger", "rows__created")
FILES = _of("storage_notification", "files")
BUCKET = _of("storage_bucket", "uploads")


def _set(find: Any, name: Any, value: Any) -> Any:
    return lambda document: find(document).__setitem__(name, value)


def _drop(find: Any, name: Any) -> Any:
    return lambda document: find(document).pop(name)


def _whole(document: dict[str, Any]) -> Any:
    return document


def _kind(kind: str) -> Any:
    return lambda document: document["resource"][f"google_{kind}"]


STUDY = {
    "a misspelt argument": _set(CONFIG, "available_memry", "1Gi"),
    "an unknown type of resource": lambda d: d["resource"].update(google_cloudfunction3={"x": {}}),
    "no name": _drop(QUEUE, "name"),
    "no account of a token": _drop(
        _of("pubsub_subscription", "queue__orders", "push_config", "oidc_token"),
        "service_account_email",
    ),
    "a word for a number": _set(QUEUE, "ack_deadline_seconds", "soon"),
    "a truth for a word": _set(_of("pubsub_topic", "queue__orders"), "name", True),
    "an acknowledgement of 700 s": _set(QUEUE, "ack_deadline_seconds", 700),
    "three attempts": _set(
        _of("pubsub_subscription", "queue__orders", "dead_letter_policy"),
        "max_delivery_attempts",
        3,
    ),
    "a duration in days": _set(QUEUE, "message_retention_duration", "7d"),
    "an unknown ingress": _set(CONFIG, "ingress_settings", "INTERNAL"),
    "an unknown type of database": _set(_of("firestore_database", "tables"), "type", "NATIVE"),
    "an unknown method": _set(
        _of("cloud_scheduler_job", "nightly", "http_target"), "http_method", "SEND"
    ),
    "an unknown payload": _set(FILES, "payload_format", "JSON"),
    "an unknown runtime": _set(
        _of("cloudfunctions2_function", "take_orders", "build_config"), "runtime", "python99"
    ),
    "a reference to nothing": _set(QUEUE, "topic", "${google_pubsub_topic.nope.id}"),
    "a reference to no attribute": _set(
        QUEUE, "topic", "${google_pubsub_topic.queue__orders.arn}"
    ),
    "a circle": _set(
        _of("pubsub_topic", "queue__orders"),
        "name",
        "${google_pubsub_subscription.queue__orders.name}",
    ),
    "a block twice": _set(
        _of("secret_manager_secret", "token"), "replication", [{"auto": {}}, {"auto": {}}]
    ),
    "a filter that does not parse": _set(LISTEN, "filter", "kind == a"),
    "a schedule of four fields": _set(JOB, "schedule", "0 3 * *"),
    "a short name of an account": _set(_of("service_account", "echo"), "account_id", "pf"),
    "nine retries": _set(
        _of("cloud_scheduler_job", "nightly", "retry_config"), "retry_count", 9
    ),
    "an unknown operator": lambda d: ROWS(d)["matching_criteria"][2].update(operator="glob"),
    "a template without end": _set(QUEUE, "topic", "${google_pubsub_topic.queue__orders.id"),
}

OWN = {
    "the pushing account may not call": lambda d: _kind("cloud_run_service_iam_member")(d).pop(
        "take_orders"
    ),
    "anybody may call a consumer": _set(
        _of("cloud_run_service_iam_member", "take_orders"), "member", "allUsers"
    ),
    "anybody may call auth iam's ingress": _set(
        _of("cloudfunctions2_function", "take_orders", "service_config"),
        "ingress_settings",
        "ALLOW_ALL",
    ),
    "a route that nobody reaches": _set(
        _of("cloudfunctions2_function", "echo", "service_config"),
        "ingress_settings",
        "ALLOW_INTERNAL_ONLY",
    ),
    "a token for another function": _set(
        _of("pubsub_subscription", "queue__orders", "push_config", "oidc_token"),
        "audience",
        "${google_cloudfunctions2_function.echo.service_config[0].uri}",
    ),
    "two functions share an account": _set(
        CONFIG, "service_account_email", "${google_service_account.echo.email}"
    ),
    "a message comes again while it is handled": _set(QUEUE, "ack_deadline_seconds", 10),
    "a job gives up while it is handled": _set(
        _of("cloudfunctions2_function", "nightly", "service_config"), "timeout_seconds", 60
    ),
    "Pub/Sub may not publish dead letters": lambda d: _kind("pubsub_topic_iam_member")(d).pop(
        "dead_letter__orders"
    ),
    "Pub/Sub may not take dead letters off": lambda d: _kind("pubsub_subscription_iam_member")(
        d
    ).pop("queue__orders"),
    "dead letters that nothing keeps": lambda d: _kind("pubsub_subscription")(d).pop(
        "dead_letter__orders"
    ),
    "Storage may not publish": lambda d: _kind("pubsub_topic_iam_member")(d).pop("files__objects")
    and FILES(d).pop("depends_on"),
    "notifications before the grant": _drop(FILES, "depends_on"),
    "events that may not be received": lambda d: (
        _kind("project_iam_member")(d).pop("rows__events"),
        ROWS(d)["depends_on"].pop(),
    ),
    "a type of event that is none": lambda d: ROWS(d)["matching_criteria"][0].update(
        value="google.cloud.firestore.document.v1.inserted"
    ),
    "events as JSON": _set(ROWS, "event_data_content_type", "application/json"),
    "a trigger where the database is not": _set(ROWS, "location", "${var.region}"),
    "an owner": _set(_of("project_iam_member", "rows__events"), "role", "roles/owner"),
    "an administrator of a topic": _set(
        _of("pubsub_topic_iam_member", "who_calls__publish__topic__news"),
        "role",
        "roles/pubsub.admin",
    ),
    "a role on all databases": _drop(
        _of("project_iam_member", "echo__read__tables"), "condition"
    ),
    "a grant that was forgotten": lambda d: _kind("storage_bucket_iam_member")(d).pop(
        "echo__read__bucket__uploads"
    ),
    "a grant that nobody asked for": lambda d: _kind("secret_manager_secret_iam_member")(d).update(
        echo={
            "secret_id": "${google_secret_manager_secret.token.id}",
            "role": "roles/secretmanager.secretAccessor",
            "member": "${google_service_account.echo.member}",
        }
    ),
    "a bucket for everybody": _set(
        _of("storage_bucket_iam_member", "echo__read__bucket__uploads"), "member", "allUsers"
    ),
    "a bucket that destroy deletes": _drop(BUCKET, "lifecycle"),
    "a bucket that is emptied": _set(BUCKET, "force_destroy", True),
    "access by object": _set(BUCKET, "uniform_bucket_level_access", False),
    "a bucket of a taken name": _set(BUCKET, "name", "google-uploads"),
    "two topics of a name": _set(
        _of("pubsub_topic", "queue__turns"), "name", "shop-test-orders"
    ),
    "a package that is never deployed again": _set(
        _of("cloudfunctions2_function", "echo", "build_config", "source", "storage_source"),
        "object",
        "shop/latest.zip",
    ),
    "requests without threads": _set(
        _of("cloudfunctions2_function", "echo", "service_config", "environment_variables"),
        "THREADS",
        "1",
    ),
    "requests without a processor": _drop(
        _of("cloudfunctions2_function", "echo", "service_config"), "available_cpu"
    ),
    "a template of a user": _set(
        _of("cloudfunctions2_function", "echo", "service_config", "environment_variables"),
        "TEMPLATE",
        "${not} %{this}",
    ),
    "a zone that is none": _set(JOB, "time_zone", "Berlin"),
    "a subscription that ends by itself": _drop(QUEUE, "expiration_policy"),
    "a back-off upside down": _set(
        _of("pubsub_subscription", "queue__orders", "retry_policy"), "minimum_backoff", "120s"
    ),
    "logs that go nowhere": lambda d: _kind("logging_project_sink")(d).pop("echo"),
    "a variable that was forgotten": lambda d: d["variable"].pop("source_digest"),
    "no labels": lambda d: d["provider"]["google"].pop("default_labels"),
    "any release of the provider": _set(
        lambda d: d["terraform"]["required_providers"]["google"], "version", ">= 6.0.0"
    ),
    "a feature of a later Terraform": _set(_whole, "ephemeral", {}),
}
