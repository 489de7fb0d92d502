"""Mistakes that a generator of Terraform makes, each as a change of a sound document.

The first group is that of a study of what the tools themselves catch, as far as the documents here
have what it spoils; what they have not is replaced by what is nearest.
"""

from __future__ import annotations

from typing import Any


def _of(kind: str, name: str, *path: Any) -> Any:
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
    "a variable that was forgotten": lambda d: d["variable"].pop("source_digest"),
    "no labels": lambda d: d["provider"]["google"].pop("default_labels"),
    "any release of the provider": _set(
        lambda d: d["terraform"]["required_providers"]["google"], "version", ">= 6.0.0"
    ),
    "a feature of a later Terraform": _set(_whole, "ephemeral", {}),
}

LISTEN_CONFIG = _of("cloudfunctions2_function", "listen", "service_config")
TASKS_ACCOUNT = "${google_service_account.echo.email}"


def _told(name: str, variable: str, value: str | None) -> Any:
    """Give a function another variable, or take it away."""

    def spoil(document: dict[str, Any]) -> None:
        config = document["resource"]["google_cloudfunctions2_function"][name]["service_config"]
        if value is None:
            del config["environment_variables"][variable]
        else:
            config["environment_variables"][variable] = value

    return spoil


#: Of what failed: these are held against the plan, too.
FAILED = {
    "a crash that leaves no dead letter": _drop(LISTEN, "dead_letter_policy"),
    "a crash whose dead letter is another's": _set(
        _of("pubsub_subscription", "listen", "dead_letter_policy"),
        "dead_letter_topic",
        "${google_pubsub_topic._dead__files.id}",
    ),
    "dead letters of another function": _told(
        "listen", "PORTAFAAS_DEAD_LISTEN", "${google_pubsub_topic._dead__files.id}"
    ),
    "a function that does not know its dead letters": _told(
        "rows", "PORTAFAAS_DEAD_ROWS", None
    ),
    "dead letters that the function may not write": lambda d: _kind("pubsub_topic_iam_member")(
        d
    ).pop("rows__send__dead"),
    "dead letters that Pub/Sub may not write": lambda d: _kind("pubsub_topic_iam_member")(
        d
    ).pop("_dead__files"),
    "a subscription that Pub/Sub may not take from": lambda d: _kind(
        "pubsub_subscription_iam_member"
    )(d).pop("files"),
    "a function's dead letters that nothing keeps": lambda d: _kind("pubsub_subscription")(d).pop(
        "_dead__rows"
    ),
    "dead letters that are kept for a week": _drop(
        _of("pubsub_subscription", "_dead__rows"), "message_retention_duration"
    ),
    "dead letters that go with the rest": _drop(
        _of("pubsub_subscription", "_dead__rows"), "lifecycle"
    ),
    "dead letters that are delivered": lambda d: _of("pubsub_subscription", "_dead__files")(
        d
    ).update(push_config=_of("pubsub_subscription", "files", "push_config")(d)),
    "more deliveries than attempts": _set(
        _of("pubsub_subscription", "listen", "dead_letter_policy"), "max_delivery_attempts", 8
    ),
    "other delays": _set(
        _of("pubsub_subscription", "listen", "retry_policy"), "minimum_backoff", "5s"
    ),
    "no delays": _drop(LISTEN, "retry_policy"),
    "copies that go elsewhere": _told(
        "take_orders", "PORTAFAAS_SOURCE_TAKE_ORDERS", "${google_pubsub_topic.queue__turns.id}"
    ),
    "copies that break the order": _told(
        "take_in_turn", "PORTAFAAS_SOURCE_TAKE_IN_TURN", "${google_pubsub_topic.queue__turns.id}"
    ),
    "no copies though nothing is ordered": _told(
        "files", "PORTAFAAS_SOURCE_FILES", "ordered"
    ),
    "copies that nobody may send": lambda d: _kind("pubsub_topic_iam_member")(d).pop(
        "files__send__source"
    ),
    "tasks that nobody may make": lambda d: _kind("cloud_tasks_queue_iam_member")(d).pop("files"),
    "tasks that cannot publish": lambda d: _kind("service_account_iam_member")(d).pop("files"),
    "tasks as another": _told("files", "PORTAFAAS_TASKS_ACCOUNT", TASKS_ACCOUNT),
    "an account that another may use": _set(
        _of("service_account_iam_member", "files"),
        "service_account_id",
        "${google_service_account.echo.name}",
    ),
    "tasks that the function is not told of": _told("files", "PORTAFAAS_TASKS", None),
    "a role to change tasks": _set(
        _of("cloud_tasks_queue_iam_member", "files"), "role", "roles/cloudtasks.admin"
    ),
    "a role to make keys of the account": _set(
        _of("service_account_iam_member", "files"), "role", "roles/iam.serviceAccountKeyAdmin"
    ),
    "tasks that are given up": _set(
        _of("cloud_tasks_queue", "tasks", "retry_config"), "max_attempts", 5
    ),
    "tasks that go with the rest": _drop(_of("cloud_tasks_queue", "tasks"), "lifecycle"),
}


def _condition(alert: str, *path: Any) -> Any:
    return _of(
        "monitoring_alert_policy", alert, "conditions", 0, "condition_threshold", *path
    )


def _filter(alert: str, old: str, new: str) -> Any:
    def spoil(document: dict[str, Any]) -> None:
        condition = _condition(alert)(document)
        condition["filter"] = condition["filter"].replace(old, new)

    return spoil


def _count(name: str, old: str, new: str) -> Any:
    def spoil(document: dict[str, Any]) -> None:
        COUNT(document)[name] = COUNT(document)[name].replace(old, new)

    return spoil


def _query(old: str, new: str) -> Any:
    def spoil(document: dict[str, Any]) -> None:
        found = _of(*QUERY)(document)
        found["query"] = found["query"].replace(old, new)

    return spoil


COUNT = _of("logging_metric", "take_orders")
QUERY = (
    "monitoring_alert_policy", "broken_orders", "conditions", 0,
    "condition_prometheus_query_language",
)  # fmt: skip
SINK = _of("logging_project_sink", "logs")
BROKEN = _of("monitoring_alert_policy", "broken")
CHANNEL = "${google_monitoring_notification_channel.%s.id}"

#: Of alerts, logs and most instances: these are held against the plan, too.
WATCH = {
    "a metric of functions of the 1st generation": _filter(
        "broken", "run.googleapis.com/request_count", "cloudfunctions.googleapis.com/function/x"
    ),
    "the time of answers for their number": _filter(
        "broken", "request_count", "request_latencies"
    ),
    "the age of messages for their number": _filter(
        "lost_orders", "num_undelivered_messages", "oldest_unacked_message_age"
    ),
    "a namespace that is none": _filter("slow", "run.googleapis.com", "run.google.com"),
    "another type of resource": _filter("slow", "cloud_run_revision", "cloud_function"),
    "another label": _filter("waiting", "subscription_id", "subscription"),
    "all answers for the failed": _filter(
        "broken", ' AND metric.labels.response_code_class = "5xx"', ""
    ),
    "what a client did wrong for what failed": _filter("broken", "5xx", "4xx"),
    "a delivery that cannot be read is none": _count("filter", "httpRequest.status=400 OR ", ""),
    "crashes are none": _count("filter", " OR httpRequest.status>500", ""),
    "what is logged and answered is two": _count("filter", "status>500", "status>=500"),
    "what is settled is none": _count("filter", "jsonPayload.pf_failed_attempts>0", "severity=X"),
    "the attempts of another function": _count("filter", ".take_orders.", ".echo."),
    "a count of nobody": lambda d: _kind("logging_metric")(d).update(other=COUNT(d)),
    "an alert on another count": _query("google_logging_metric.take_orders", "x.y"),
    "an alert that is refused while its count is new": _set(
        _of(*QUERY), "disable_metric_validation", False
    ),
    "attempts over another time": _query("[60s]", "[300s]"),
    "attempts above another threshold": _query("> 0", "> 5"),
    "attempts a second": _query("increase", "rate"),
    "the answers alone": lambda d: d["resource"]["google_monitoring_alert_policy"][
        "broken_orders"
    ].update(conditions=BROKEN(d)["conditions"]),
    "a condition of two kinds": lambda d: _of(*QUERY[:-1])(d).update(
        condition_threshold=_condition("broken")(d)
    ),
    "another function": _filter("slow", ".echo.", ".answer."),
    "the queue for its dead letters": _filter("lost_orders", "dead_letter__", "queue__"),
    "another queue's dead letters": _filter("lost_turns", "queue__lost", "dead_letter__orders"),
    "the dead letters for the queue": _filter("waiting", "queue__orders", "dead_letter__orders"),
    "an average": _set(_condition("slow", "aggregations", 0), "per_series_aligner", "ALIGN_MEAN"),
    "the greatest of all series for their sum": _set(
        _condition("broken", "aggregations", 0), "cross_series_reducer", "REDUCE_MAX"
    ),
    "seconds for milliseconds": _set(_condition("slow"), "threshold_value", 1.5),
    "another threshold": _set(_condition("broken"), "threshold_value", 4),
    "another window": _set(_condition("broken", "aggregations", 0), "alignment_period", "900s"),
    "a window that is none": _set(
        _condition("broken", "aggregations", 0), "alignment_period", "30s"
    ),
    "below for above": _set(_condition("broken"), "comparison", "COMPARISON_LT"),
    "only what lasts": _set(_condition("broken"), "duration", "300s"),
    "missing data that fires": _set(
        _condition("broken"), "evaluation_missing_data", "EVALUATION_MISSING_DATA_ACTIVE"
    ),
    "an alert that nobody hears": _drop(BROKEN, "notification_channels"),
    "one of two channels": lambda d: BROKEN(d)["notification_channels"].pop(),
    "another channel": _set(
        _of("monitoring_alert_policy", "slow"),
        "notification_channels",
        [CHANNEL % "ops__email"],
    ),
    "a channel that is not there": _set(
        BROKEN, "notification_channels", [CHANNEL % "ops__email", CHANNEL % "nobody__email"]
    ),
    "a channel of nobody": lambda d: _kind("monitoring_notification_channel")(d).update(
        unused={**d["resource"]["google_monitoring_notification_channel"]["ops__email"]}
    ),
    "another address": _set(
        _of("monitoring_notification_channel", "ops__email", "labels"),
        "email_address",
        "somebody@example.com",
    ),
    "an address in the wrong label": lambda d: _of(
        "monitoring_notification_channel", "ops__email", "labels"
    )(d).update(url="https://example.com"),
    "a webhook with a user": _set(
        _of("monitoring_notification_channel", "pager__webhook"), "type", "webhook_basicauth"
    ),
    "a channel that cannot be taken away": _set(
        _of("monitoring_notification_channel", "ops__email"), "force_delete", False
    ),
    "a webhook in the clear": _set(
        _of("monitoring_notification_channel", "both__webhook", "labels"),
        "url",
        "http://hooks.example.com/both",
    ),
    "a description that is a template": _set(
        _of("monitoring_alert_policy", "broken", "documentation"), "content", "${should} look"
    ),
    "an alert of no service": _drop(BROKEN, "user_labels"),
    "an alert that was forgotten": lambda d: _kind("monitoring_alert_policy")(d).pop("waiting")
    and _kind("monitoring_notification_channel")(d).update({}),
    "an alert that nobody asked for": lambda d: _kind("monitoring_alert_policy")(d).update(
        other=BROKEN(d)
    ),
    "logs that are kept for less": _set(
        _of("logging_project_bucket_config", "logs"), "retention_days", 30
    ),
    "logs of a function that go nowhere": lambda d: SINK(d).update(
        filter=SINK(d)["filter"].replace('"shop-test-echo" OR ', "")
    ),
    "logs of all services": _set(SINK, "filter", 'resource.type="cloud_run_revision"'),
    "no sink of logs": lambda d: d["resource"].pop("google_logging_project_sink"),
    "no bucket of logs": lambda d: (
        d["resource"].pop("google_logging_project_sink"),
        d["resource"].pop("google_logging_project_bucket_config"),
    ),
    "any number of instances": _drop(
        _of("cloudfunctions2_function", "echo", "service_config"), "max_instance_count"
    ),
    "another number of instances": _set(
        _of("cloudfunctions2_function", "take_orders", "service_config"), "max_instance_count", 7
    ),
    "no instances kept ready": _drop(
        _of("cloudfunctions2_function", "rows", "service_config"), "min_instance_count"
    ),
    "instances kept ready that nobody asked for": _set(
        _of("cloudfunctions2_function", "take_orders", "service_config"), "min_instance_count", 1
    ),
    "nobody signs": lambda d: d["resource"].pop("google_service_account_iam_member"),
    "one that signs for another": _set(
        _of("service_account_iam_member", "echo__signs"),
        "service_account_id",
        "${google_service_account.take_orders.name}",
    ),
    "one that signs without a bucket": lambda d: _kind("service_account_iam_member")(d).update(
        rows__signs={
            "service_account_id": "${google_service_account.rows.name}",
            "role": "roles/iam.serviceAccountTokenCreator",
            "member": "${google_service_account.rows.member}",
        }
    ),
    "more than to sign": _set(
        _of("service_account_iam_member", "echo__signs"), "role", "roles/iam.serviceAccountUser"
    ),
    "an index of another order": lambda d: _of("firestore_index", "pairs__descending", "fields", 1)(
        d
    ).update(order="SIDEWAYS"),
    "an index of another database": _set(
        _of("firestore_index", "pairs__ascending"), "database", "other"
    ),
}
