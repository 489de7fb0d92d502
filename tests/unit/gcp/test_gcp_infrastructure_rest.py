"""The resources, as the requests that the provider makes of them, against Google's own description.

The discovery documents come with google-api-python-client. They know fields, types, choices and
durations; ranges are in their prose only.
"""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

#: Type of resource: discovery document, schema, arguments that are no fields of the request's body
#: (part of its address, or the provider's own), other names of fields.
REQUESTS: Mapping[str, tuple[str, str, tuple[str, ...], Mapping[str, str]]] = {
    "artifact_registry_repository": (
        "artifactregistry.v1", "Repository", ("location", "repository_id"), {}),
    "cloud_scheduler_job": ("cloudscheduler.v1", "Job", ("region",), {}),
    "cloud_tasks_queue": ("cloudtasks.v2", "Queue", ("location",), {}),
    "cloudfunctions2_function": ("cloudfunctions.v2", "Function", ("location",), {}),
    "eventarc_trigger": (
        "eventarc.v1",
        "Trigger",
        ("location",),
        {"matchingCriteria": "eventFilters", "cloudRunService": "cloudRun"},
    ),
    "firestore_database": (
        "firestore.v1", "GoogleFirestoreAdminV1Database", ("deletion_policy",), {}),
    "firestore_field": (
        "firestore.v1", "GoogleFirestoreAdminV1Field", ("database", "collection", "field"), {}),
    "firestore_index": (
        "firestore.v1", "GoogleFirestoreAdminV1Index", ("database", "collection"), {}),
    "logging_metric": ("logging.v2", "LogMetric", (), {}),
    "logging_project_bucket_config": (
        "logging.v2", "LogBucket", ("project", "location", "bucket_id"), {}),
    "logging_project_sink": ("logging.v2", "LogSink", ("unique_writer_identity",), {}),
    "monitoring_alert_policy": ("monitoring.v3", "AlertPolicy", (), {}),
    "monitoring_notification_channel": (
        "monitoring.v3", "NotificationChannel", ("force_delete",), {}),
    "project_iam_member": (
        "cloudresourcemanager.v1", "Binding", ("project",), {"member": "members"}),
    "pubsub_subscription": ("pubsub.v1", "Subscription", (), {}),
    "pubsub_topic": ("pubsub.v1", "Topic", (), {}),
    "secret_manager_secret": ("secretmanager.v1", "Secret", ("secret_id",), {"auto": "automatic"}),
    "service_account": ("iam.v1", "ServiceAccount", ("account_id",), {}),
    "storage_bucket": (
        "storage.v1",
        "Bucket",
        ("force_destroy", "uniform_bucket_level_access", "public_access_prevention"),
        {},
    ),
    "storage_notification": ("storage.v1", "Notification", ("bucket",), {}),
}  # fmt: skip
#: Maps whose keys are the user's, and lists that the request has as maps or the reverse.
_KEPT = {"environmentVariables", "labels", "userLabels"}
_META = ("depends_on", "for_each", "lifecycle")


@lru_cache
def _schemas(name: str) -> Any:
    spec = importlib.util.find_spec("googleapiclient")
    assert spec is not None and spec.origin is not None
    path = Path(spec.origin).parent / "discovery_cache" / "documents" / f"{name}.json"
    return json.loads(path.read_text("utf-8"))["schemas"]


def _body(kind: str, resource: Mapping[str, Any]) -> Any:
    _, _, outside, renamed = REQUESTS[kind]

    def convert(value: Any) -> Any:
        if isinstance(value, list):
            return [convert(item) for item in value]
        if not isinstance(value, dict):
            return value
        out = {}
        for name, item in value.items():
            camel = name if kind == "storage_notification" else re.sub(
                r"_([a-z])", lambda found: found[1].upper(), name)
            new = renamed.get(camel, camel)
            out[new] = item if new in _KEPT else convert(item)
            if new == "cleanupPolicies":
                out[new] = {policy["id"]: policy for policy in out[new]}
            if new == "members":
                out[new] = [item]
            if new == "ttl" and item == "":
                del out[new]  # says never
        return out

    return convert({n: v for n, v in resource.items() if n not in (*outside, *_META)})


def _problems(schemas: Any, schema: Mapping[str, Any], value: Any, where: str) -> Iterator[str]:
    if "$ref" in schema:
        yield from _problems(schemas, schemas[schema["$ref"]], value, where)
        return
    if schema.get("readOnly"):
        yield f"{where} is output only"
    is_reference = isinstance(value, str) and value.startswith("${")
    match schema.get("type"):
        case "object":
            if not isinstance(value, dict):
                yield f"{where} is no object"
                return
            for name, item in value.items():
                known = schema.get("properties", {}).get(name) or schema.get("additionalProperties")
                if known is None:
                    yield f"{where}.{name} is unknown"
                else:
                    yield from _problems(schemas, known, item, f"{where}.{name}")
        case "array":
            if not isinstance(value, list):
                yield f"{where} is no array"
                return
            for item in value:
                yield from _problems(schemas, schema["items"], item, where)
        case "integer":
            if not is_reference and (isinstance(value, bool) or not isinstance(value, int)):
                yield f"{where} is no integer"
        case "number":
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                yield f"{where} is no number"
        case "boolean":
            if not isinstance(value, bool):
                yield f"{where} is no boolean"
        case "string":
            if not isinstance(value, str):
                yield f"{where} is no string"
            elif "enum" in schema and value not in schema["enum"]:
                yield f"{where} is {value!r}"
            elif schema.get("format") == "google-duration" and not re.fullmatch(
                r"\d+(\.\d+)?s", value
            ):
                yield f"{where} is {value!r}, no duration"


def _check(document: dict[str, Any]) -> list[str]:
    found: list[str] = []
    for kind, blocks in document["resource"].items():
        short = kind.removeprefix("google_")
        if short.endswith("_iam_member") and short not in REQUESTS:
            continue  # the same Binding as on the project, less its condition
        name, schema, _, _ = REQUESTS[short]
        schemas = _schemas(name)
        for key, resource in blocks.items():
            where = f"{short}.{key}"
            found += _problems(schemas, schemas[schema], _body(short, resource), where)
    return found


def test_requests_are_as_google_describes_them(document: dict[str, Any]) -> None:
    assert _check(document) == []
    kinds = {kind.removeprefix("google_") for kind in document["resource"]}
    assert REQUESTS.keys() <= kinds


@pytest.mark.parametrize(
    ("kind", "name", "path", "value", "says"),
    [
        ("cloudfunctions2_function", "echo", ("service_config", "available_memry"), "1Gi",
         "unknown"),
        ("cloudfunctions2_function", "echo", ("service_config", "ingress_settings"), "INTERNAL",
         "INTERNAL"),
        ("cloudfunctions2_function", "echo", ("service_config", "uri"), "x", "output only"),
        ("pubsub_subscription", "queue__orders", ("message_retention_duration",), "7d", "duration"),
        ("pubsub_subscription", "queue__orders", ("enable_message_ordering",), "yes", "boolean"),
        ("cloud_scheduler_job", "nightly", ("retry_config", "retry_count"), "5", "integer"),
        ("firestore_database", "tables", ("type",), "NATIVE", "NATIVE"),
        ("monitoring_alert_policy", "slow",
         ("conditions", 0, "condition_threshold", "aggregations", 0, "per_series_aligner"),
         "ALIGN_P95", "ALIGN_P95"),
        ("monitoring_alert_policy", "slow", ("conditions", 0, "condition_threshold", "duration"),
         "5m", "duration"),
        ("monitoring_alert_policy", "slow", ("alert_strategy", "auto_close"), "never", "duration"),
        ("monitoring_notification_channel", "ops__email", ("labels", "email_address"), 5,
         "no string"),
    ],
)  # fmt: skip
def test_the_check_notices(
    document: dict[str, Any], kind: str, name: str, path: tuple[str, ...], value: Any, says: str
) -> None:
    place = document["resource"][f"google_{kind}"][name]
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    [found] = _check(document)
    assert says in found
