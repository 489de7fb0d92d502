"""What the provider's resources take, as far as portafaas writes them.

Written down from the pages of hashicorp/google 7.45
(https://registry.terraform.io/providers/hashicorp/google/latest/docs) and, for ranges and patterns,
which the pages give in prose only, from the REST reference of each API. A name that ends in ``!``
must be there.

Long, since all types of resources stand side by side.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from portafaas_gcp.infrastructure.spec import (
    Amount,
    Block,
    Flag,
    Map,
    Number,
    Resource,
    Text,
    Texts,
)

ANY = Text()
DURATION = Text(r"\d+(\.\d{1,9})?s")
#: https://cloud.google.com/pubsub/docs/pubsub-basics#resource_names
PUBSUB_NAME = Text(r"(?!goog)[A-Za-z][\w.~+%-]{2,254}")
PUSHED = Text(r"https://\S+")
MEMBER = Text(r"allUsers|(serviceAccount|user|group|domain|principal(Set)?):\S+")
ROLE = Text(r"roles/[a-z]+\.[A-Za-z]+")
OIDC = Block({"service_account_email!": Text(r"[^@\s]+@[^@\s]+"), "audience": PUSHED})


#: https://cloud.google.com/monitoring/api/ref_v3/rest/v3/projects.alertPolicies#MetricThreshold
_THRESHOLD: Mapping[str, Any] = {
    "filter!": Text(r"resource\.type = .{1,2000}"),
    "comparison!": Text(choices=("COMPARISON_GT",)),
    "threshold_value!": Amount(0),
    # Missing data may be told anything about with another duration only.
    "duration!": Text(choices=("0s",)),
    "aggregations!": Block(
        {
            "alignment_period!": Text(choices=("60s", "300s", "900s", "1800s", "3600s")),
            "per_series_aligner!": Text(choices=("ALIGN_MAX", "ALIGN_SUM")),
            "cross_series_reducer!": Text(
                choices=("REDUCE_MAX", "REDUCE_PERCENTILE_95", "REDUCE_SUM")
            ),
        },
        many=True,
    ),
    "trigger!": Block({"count!": Number(1, 1)}),
}

#: Names what Monitoring may not know yet: https://cloud.google.com/monitoring/alerts/using-promql
_PROMQL: Mapping[str, Any] = {
    "query!": Text(r"sum\(increase\(.{1,1000}\)\) > \d+(\.\d+)?"),
    "duration!": Text(choices=("0s",)),
    "disable_metric_validation!": Flag(),
}


def _member(**arguments: Any) -> Resource:
    taken = {f"{name}!": spec for name, spec in arguments.items()}
    return Resource({**taken, "role!": ROLE, "member!": MEMBER})


RESOURCES: Mapping[str, Resource] = {
    "google_artifact_registry_repository": Resource(
        {
            "repository_id!": Text(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?"),
            "location!": ANY,
            "format!": Text(choices=("DOCKER",)),
            "cleanup_policies": Block(
                {
                    "id!": ANY,
                    "action!": Text(choices=("DELETE", "KEEP")),
                    "condition": Block({"older_than": DURATION}),
                    "most_recent_versions": Block({"keep_count": Number(1, 10_000)}),
                },
                many=True,
            ),
        },
        ("id", "name"),
    ),
    "google_artifact_registry_repository_iam_member": _member(repository=ANY, location=ANY),
    "google_cloud_run_service_iam_member": _member(location=ANY, service=ANY),
    "google_cloud_scheduler_job": Resource(
        {
            "name!": Text(r"[\w-]{1,500}"),
            "region!": ANY,
            "schedule!": ANY,
            "time_zone!": ANY,
            "attempt_deadline!": DURATION,
            "retry_config": Block(
                {
                    "retry_count": Number(0, 5),
                    "min_backoff_duration": DURATION,
                    "max_backoff_duration": DURATION,
                }
            ),
            "http_target!": Block(
                {"uri!": PUSHED, "http_method!": Text(choices=("POST",)), "oidc_token!": OIDC}
            ),
        }
    ),
    "google_cloud_tasks_queue": Resource(
        {
            "name!": Text(r"[A-Za-z0-9-]{1,100}"),
            "location!": ANY,
            "retry_config!": Block(
                {
                    # For as long as tasks are kept.
                    "max_attempts!": Number(-1, -1),
                    "min_backoff!": DURATION,
                    "max_backoff!": DURATION,
                    "max_doublings!": Number(0, 16),
                }
            ),
        }
    ),
    "google_cloud_tasks_queue_iam_member": _member(name=ANY, location=ANY),
    "google_cloudfunctions2_function": Resource(
        {
            # A Cloud Run service has fewer characters than a function, a function at least 4.
            "name!": Text(r"[a-z][a-z0-9-]{2,47}[a-z0-9]"),
            "location!": ANY,
            "description": ANY,
            "build_config!": Block(
                {
                    "runtime!": Text(choices=tuple(f"python3{n}" for n in (10, 11, 12, 13))),
                    "entry_point!": Text(r"[a-z]\w*"),
                    "environment_variables": Map(),
                    "service_account!": Text(r"projects/[^/]+/serviceAccounts/[^/]+"),
                    "docker_repository!": Text(r"projects/[^/]+/locations/[^/]+/repositories/.+"),
                    "source!": Block(
                        {"storage_source!": Block({"bucket!": ANY, "object!": Text(r"\S+\.zip")})}
                    ),
                }
            ),
            "service_config!": Block(
                {
                    "available_memory!": Text(r"\d+Mi"),
                    "available_cpu": Text(choices=("1", "2", "4", "6", "8")),
                    "timeout_seconds!": Number(1, 3600),
                    "max_instance_request_concurrency!": Number(1, 1000),
                    "min_instance_count": Number(0, 1000),
                    "max_instance_count": Number(1, 1000),
                    "service_account_email!": Text(r"[^@\s]+@[^@\s]+"),
                    "ingress_settings!": Text(choices=("ALLOW_ALL", "ALLOW_INTERNAL_ONLY")),
                    "environment_variables!": Map(),
                }
            ),
        },
        ("id", "url"),
    ),
    "google_eventarc_trigger": Resource(
        {
            "name!": Text(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?"),
            "location!": ANY,
            "matching_criteria!": Block(
                {
                    "attribute!": ANY,
                    "value!": ANY,
                    "operator": Text(choices=("match-path-pattern",)),
                },
                many=True,
            ),
            "event_data_content_type!": Text(choices=("application/json", "application/protobuf")),
            "service_account!": Text(r"[^@\s]+@[^@\s]+"),
            "destination!": Block(
                {"cloud_run_service!": Block({"service!": ANY, "region!": ANY, "path": ANY})}
            ),
        }
    ),
    "google_firestore_database": Resource(
        {
            "name!": Text(r"\(default\)|[a-z][a-z0-9-]{2,61}[a-z0-9]"),
            "location_id!": ANY,
            "type!": Text(choices=("FIRESTORE_NATIVE",)),
            "delete_protection_state!": Text(choices=("DELETE_PROTECTION_ENABLED",)),
            "deletion_policy!": Text(choices=("ABANDON",)),
        },
        ("id",),
    ),
    "google_firestore_field": Resource(
        {"database!": ANY, "collection!": ANY, "field!": ANY, "ttl_config": Block({})}
    ),
    "google_firestore_index": Resource(
        {
            "database!": ANY,
            "collection!": ANY,
            "fields!": Block(
                {"field_path!": ANY, "order!": Text(choices=("ASCENDING", "DESCENDING"))},
                many=True,
            ),
        }
    ),
    "google_logging_project_bucket_config": Resource(
        {
            "project!": ANY,
            "location!": ANY,
            "bucket_id!": Text(r"[A-Za-z0-9][\w.-]{0,99}"),
            "retention_days!": Number(1, 3650),
        },
        ("id", "name"),
    ),
    "google_logging_project_sink": Resource(
        {
            "name!": Text(r"[A-Za-z0-9][\w.-]{0,99}"),
            "destination!": Text(r"logging\.googleapis\.com/projects/.+/buckets/.+"),
            "filter!": Text(r".{1,20000}"),
            "unique_writer_identity": Flag(),
        },
        ("id", "writer_identity"),
    ),
    "google_logging_metric": Resource(
        {
            "name!": Text(r"[\w.,+!*'()%-][\w.,+!*'()%/-]{0,99}"),
            "filter!": Text(r".{1,20000}"),
            "metric_descriptor!": Block(
                {
                    "metric_kind!": Text(choices=("DELTA",)),
                    "value_type!": Text(choices=("INT64",)),
                    "unit!": Text(choices=("1",)),
                }
            ),
        },
        ("id", "name"),
    ),
    "google_monitoring_alert_policy": Resource(
        {
            "display_name!": Text(r".{1,512}"),
            "combiner!": Text(choices=("OR",)),
            "conditions!": Block(
                {
                    "display_name!": ANY,
                    "condition_threshold": Block(_THRESHOLD),
                    "condition_prometheus_query_language": Block(_PROMQL),
                },
                many=True,
            ),
            "alert_strategy!": Block({"auto_close!": Text(choices=("1800s",))}),
            "notification_channels!": Texts(
                Text(r"projects/[^/]+/notificationChannels/[^/]+")
            ),
            "documentation!": Block(
                {"content!": Text(r".{1,8192}"), "mime_type!": Text(choices=("text/markdown",))}
            ),
            "user_labels!": Map(),
        },
        ("id", "name"),
    ),
    "google_monitoring_notification_channel": Resource(
        {
            "display_name!": Text(r".{1,512}"),
            "type!": Text(choices=("email", "webhook_tokenauth")),
            "labels!": Map(),
            "user_labels!": Map(),
            "force_delete!": Flag(),
        },
        ("id", "name"),
    ),
    "google_project_iam_member": Resource(
        {
            "project!": ANY,
            "role!": ROLE,
            "member!": MEMBER,
            "condition": Block({"title!": Text(r".{1,100}"), "expression!": ANY}),
        }
    ),
    "google_pubsub_subscription": Resource(
        {
            "name!": PUBSUB_NAME,
            "topic!": Text(r"projects/[^/]+/topics/[^/]+"),
            "ack_deadline_seconds": Number(10, 600),
            "message_retention_duration": DURATION,
            "expiration_policy!": Block({"ttl!": Text(choices=("",))}),
            "enable_message_ordering": Flag(),
            "filter": Text(r".{1,256}"),
            "push_config": Block({"push_endpoint!": PUSHED, "oidc_token!": OIDC}),
            "retry_policy": Block({"minimum_backoff!": DURATION, "maximum_backoff!": DURATION}),
            "dead_letter_policy": Block(
                {
                    "dead_letter_topic!": Text(r"projects/[^/]+/topics/[^/]+"),
                    "max_delivery_attempts!": Number(5, 100),
                }
            ),
        }
    ),
    "google_pubsub_subscription_iam_member": _member(subscription=ANY),
    "google_pubsub_topic": Resource({"name!": PUBSUB_NAME}),
    "google_pubsub_topic_iam_member": _member(topic=ANY),
    "google_secret_manager_secret": Resource(
        {"secret_id!": Text(r"[\w-]{1,255}"), "replication!": Block({"auto!": Block({})})},
        ("id", "name"),
    ),
    "google_secret_manager_secret_iam_member": _member(secret_id=ANY),
    "google_service_account": Resource(
        {"account_id!": Text(r"[a-z][a-z0-9-]{4,28}[a-z0-9]"), "display_name": Text(r".{0,100}")},
        ("id", "email", "member", "name", "unique_id"),
    ),
    "google_service_account_iam_member": _member(
        service_account_id=Text(r"projects/[^/]+/serviceAccounts/[^/]+")
    ),
    "google_storage_bucket": Resource(
        {
            "name!": Text(r"(?!goog)(?!.*google)[a-z0-9][a-z0-9_.-]{1,61}[a-z0-9]"),
            "location!": ANY,
            "uniform_bucket_level_access!": Flag(),
            "public_access_prevention!": Text(choices=("enforced",)),
            "force_destroy!": Flag(),
            "versioning": Block({"enabled!": Flag()}),
            "lifecycle_rule": Block(
                {
                    "action!": Block({"type!": Text(choices=("Delete",))}),
                    "condition!": Block(
                        {
                            "age": Number(1, 1000),
                            "days_since_noncurrent_time": Number(1, 1000),
                            "matches_prefix!": Texts(Text(r"pf-claims/")),
                        }
                    ),
                },
                many=True,
            ),
        },
        ("id", "url"),
    ),
    "google_storage_bucket_iam_member": _member(bucket=ANY),
    "google_storage_notification": Resource(
        {
            "bucket!": ANY,
            "topic!": Text(r"projects/[^/]+/topics/[^/]+"),
            "payload_format!": Text(choices=("JSON_API_V1",)),
            "event_types!": Texts(
                Text(choices=("OBJECT_FINALIZE", "OBJECT_DELETE", "OBJECT_ARCHIVE"))
            ),
            "object_name_prefix": ANY,
        }
    ),
    "google_workflows_workflow": Resource(
        {
            # https://cloud.google.com/workflows/docs/reference/rest/v1/projects.locations.workflows/create
            "name!": Text(r"[A-Za-z]([\w-]{0,62}[A-Za-z0-9])?"),
            "region!": ANY,
            "service_account!": ANY,
            "source_contents!": Text(r"\{.{1,131071}"),
            "call_log_level!": Text(choices=("LOG_ERRORS_ONLY",)),
            "deletion_protection!": Flag(),
        }
    ),
}
DATA: Mapping[str, Resource] = {
    "google_project": Resource({"project_id!": ANY}, ("number",)),
    "google_storage_project_service_account": Resource({"project": ANY}, ("email_address",)),
}
#: Arguments that Terraform itself takes in every resource.
META = ("depends_on", "for_each", "lifecycle")
