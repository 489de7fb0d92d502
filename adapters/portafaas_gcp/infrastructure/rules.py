"""What no schema says: who may call, who may publish, what is kept, what goes together."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from portafaas_gcp.infrastructure import failing, orchestrating
from portafaas_gcp.infrastructure.deliveries import deliveries
from portafaas_gcp.infrastructure.functions import TASK
from portafaas_gcp.infrastructure.view import View
from portafaas_gcp.infrastructure.watching import watching

#: Roles on the whole project, and whether a condition must narrow them.
PROJECT_ROLES = {
    "roles/logging.logWriter": False,
    "roles/storage.objectViewer": True,
    "roles/datastore.viewer": True,
    "roles/datastore.user": True,
    "roles/eventarc.eventReceiver": False,
    "roles/workflows.invoker": False,
}
#: Roles on one resource, by the type that grants them.
RESOURCE_ROLES = {
    "google_artifact_registry_repository_iam_member": {"roles/artifactregistry.writer"},
    "google_cloud_run_service_iam_member": {"roles/run.invoker"},
    "google_cloud_tasks_queue_iam_member": {"roles/cloudtasks.enqueuer"},
    "google_pubsub_topic_iam_member": {"roles/pubsub.publisher"},
    "google_pubsub_subscription_iam_member": {"roles/pubsub.subscriber"},
    "google_service_account_iam_member": {
        "roles/iam.serviceAccountTokenCreator",
        "roles/iam.serviceAccountUser",
    },
    "google_storage_bucket_iam_member": {
        "roles/storage.objectViewer",
        "roles/storage.legacyBucketWriter",
    },
    "google_secret_manager_secret_iam_member": {"roles/secretmanager.secretAccessor"},
}
#: Argument that names what a grant is on.
ON = {
    "google_pubsub_topic_iam_member": "topic",
    "google_storage_bucket_iam_member": "bucket",
    "google_secret_manager_secret_iam_member": "secret_id",
}
#: What the account that builds images may do.
BUILDERS = {
    "google_artifact_registry_repository_iam_member._build",
    "google_project_iam_member._build_logs",
    "google_project_iam_member._build_sources",
}
#: Where resources are.
HERE = ("${var.region}", "${local.database_location}", "${local.event_location}")
KINDS = {"QUEUE", "TOPIC", "BUCKET", "TABLE", "SECRET", "DEAD", "SOURCE"}


def rules(view: View) -> Iterator[str]:
    """Yield each broken rule as ``address: problem``; the document must fit the schema."""
    yield from _functions(view)
    yield from _callers(view)
    yield from deliveries(view)
    yield from failing.failures(view)
    yield from watching(view)
    yield from orchestrating.rules(view)
    yield from _grants(view)
    yield from _kept(view)
    yield from _names(view)
    yield from _places(view)


def _functions(view: View) -> Iterator[str]:
    owners: dict[str, str] = {}
    for address, body in view.of("google_cloudfunctions2_function"):
        config, name = body["service_config"], address.partition(".")[2]
        account = config["service_account_email"]
        if account in owners:
            yield f"{address}: shares its service account with {owners[account]}"
        owners[account] = address
        if account != f"${{google_service_account.{name}.email}}":
            yield f"{address}: runs as {account}, which is not its own"
        if config["max_instance_request_concurrency"] > 1 and "available_cpu" not in config:
            yield f"{address}: needs a whole processor to serve requests at the same time"
        if config.get("min_instance_count", 0) > config.get("max_instance_count", 1000):
            yield f"{address}: min_instance_count is over max_instance_count"
        source = body["build_config"]["source"]["storage_source"]
        if "var.source_digest" not in source["object"]:
            yield f"{address}: does not change when its package does"
        if source["bucket"] != "${var.source_bucket}":
            yield f"{address}: is not made from the package"
        if body["build_config"]["entry_point"] != name:
            yield f"{address}: calls {body['build_config']['entry_point']}"
        if not set(body.get("depends_on", ())) >= BUILDERS:
            yield f"{address}: may be built before its builder may do anything"
        if config["environment_variables"].get("THREADS") != str(
            config["max_instance_request_concurrency"]
        ):
            yield f"{address}: has not as many threads as requests at the same time"
        if config["environment_variables"].get("GOOGLE_CLOUD_PROJECT") is None:
            yield f"{address}: its log records cannot name their trace"
        yield from _environment(view, address, config)


def _environment(view: View, address: str, config: Mapping[str, Any]) -> Iterator[str]:
    """Yield resources that a function is told of but may not use, and the reverse."""
    member = config["service_account_email"].replace(".email}", ".member}")
    told: set[str] = set()
    for variable, value in config["environment_variables"].items():
        kind = variable.removeprefix("PORTAFAAS_").partition("_")[0]
        if not variable.startswith("PORTAFAAS_") or kind not in KINDS or value == "ordered":
            continue
        told.add("tables" if kind == "TABLE" else value)
        if kind == "TABLE":
            allowed = any(
                view.has("google_project_iam_member", role=f"roles/datastore.{word}", member=member)
                for word in ("viewer", "user")
            )
        else:
            allowed = any(view.has(t, **{on: value, "member": member}) for t, on in ON.items())
        if not allowed:
            yield f"{address}: is told {variable}, but may not use it"
    yield from failing.tasks(view, address, config)
    for grant, on in ON.items():
        for other, body in view.where(grant, "member", member):
            if body[on] not in told:
                yield f"{other}: {address} may use what it is not told of"
    account = member.replace(".member}", ".name}")
    buckets = any(value.startswith("${google_storage_bucket.") for value in told)
    own = {"service_account_id": account, "role": "roles/iam.serviceAccountTokenCreator"}
    if buckets != view.has("google_service_account_iam_member", member=member, **own):
        yield f"{address}: signs URLs and uses no bucket, or the reverse"
    for other, body in view.where("google_service_account_iam_member", "member", member):
        if body["service_account_id"] != account:
            yield f"{other}: {address} may act as another"
    for other, body in view.where("google_project_iam_member", "member", member):
        if body["role"].startswith("roles/datastore.") and "tables" not in told:
            yield f"{other}: {address} may use tables that it is not told of"


def _callers(view: View) -> Iterator[str]:
    """Yield doors that are open, or closed, to the wrong people."""
    workflows = orchestrating.callers(view)
    for address, body in view.of("google_cloud_run_service_iam_member"):
        service = body["service"].partition(".")[2].removesuffix(".name}")
        function = view.resources["google_cloudfunctions2_function"].get(service, {})
        ingress = function.get("service_config", {}).get("ingress_settings")
        outside = body["member"] in ("allUsers", "${each.value}")
        if outside != (ingress == "ALLOW_ALL"):
            yield f"{address}: {body['member']} does not go with ingress {ingress}"
        own = {f"${{google_service_account.{service}.member}}"}
        if not outside and body["member"] not in workflows.get(service, own):
            yield f"{address}: {body['member']} is not the function's own account, or who calls it"
    callers = str(
        [
            view.resources.get(kind, {})
            for kind in (
                "google_pubsub_subscription",
                "google_cloud_scheduler_job",
                "google_eventarc_trigger",
            )
        ]
    )
    called = set(re.findall(r"google_cloudfunctions2_function\.(\w+)\.", callers))
    called |= workflows.keys()
    for address, body in view.of("google_cloudfunctions2_function"):
        if body.get("description") == TASK and address.partition(".")[2] not in called:
            continue  # no workflow has it yet
        if not view.has(
            "google_cloud_run_service_iam_member", service=f"${{{address}.name}}"
        ):
            yield f"{address}: nobody may call it"
        inside = body["service_config"]["ingress_settings"] == "ALLOW_INTERNAL_ONLY"
        if inside and address.partition(".")[2] not in called:
            yield f"{address}: nothing calls it"


def _grants(view: View) -> Iterator[str]:
    for address, body in view.of("google_project_iam_member"):
        narrowed = PROJECT_ROLES.get(body["role"])
        if narrowed is None:
            yield f"{address}: {body['role']} is not to be granted on a project"
        elif narrowed != ("condition" in body):
            yield f"{address}: {body['role']} must {'' if narrowed else 'not '}have a condition"
        elif body["role"].startswith("roles/datastore.") and not body["condition"][
            "expression"
        ].startswith('resource.name == "projects/${var.project}/databases/'):
            yield f"{address}: the condition is not that of one database"
    for kind, allowed in RESOURCE_ROLES.items():
        for address, body in view.of(kind):
            if body["role"] not in allowed:
                yield f"{address}: {body['role']} is more than any function asks for"
            public = body["member"] in ("allUsers", "allAuthenticatedUsers")
            if public and kind != "google_cloud_run_service_iam_member":
                yield f"{address}: is open to everybody"


def _kept(view: View) -> Iterator[str]:
    """Yield data that `terraform destroy` would delete."""
    kinds = (
        "google_cloud_tasks_queue",
        "google_firestore_database",
        "google_pubsub_subscription",
        "google_pubsub_topic",
        "google_secret_manager_secret",
        "google_storage_bucket",
    )
    for kind in kinds:
        for address, body in view.of(kind):
            name = address.partition(".")[2]
            if kind.startswith("google_pubsub") and not name.startswith(
                ("queue__", "dead_letter__", "_dead__")
            ):
                continue
            if body.get("lifecycle") != {"prevent_destroy": True}:
                yield f"{address}: is not protected from destroy"
            if body.get("force_destroy") or body.get("uniform_bucket_level_access") is False:
                yield f"{address}: is not protected"


def _names(view: View) -> Iterator[str]:
    """Yield two resources of one type and name."""
    for kind in view.resources:
        if kind.endswith("_iam_member"):
            continue
        taken: dict[str, str] = {}
        for address, body in view.of(kind):
            for argument in ("name", "account_id", "secret_id"):
                if argument in body:
                    other = taken.setdefault(body[argument], address)
                    if other != address:
                        yield f"{address}: has the name of {other}"


def _places(view: View) -> Iterator[str]:
    """Yield resources in no region, project or bucket of the document's."""
    for kind in view.resources:
        for address, body in view.of(kind):
            for argument in ("location", "region", "location_id"):
                value = body.get(argument, "${var.region}")
                own = value.startswith("${google_") and value.endswith(".location}")
                if not own and value not in HERE:
                    yield f"{address}: is in {value}"
            if body.get("project", "${var.project}") != "${var.project}":
                yield f"{address}: is in project {body['project']}"
            if kind.endswith("_iam_member"):
                given = set(body) - {"role", "member", "project", "condition", "for_each"}
                on = [body[name] for name in sorted(given - {"depends_on"})]
                if not all(str(value).startswith("${google_") for value in on):
                    yield f"{address}: is on {on}, which the document does not make"
    if not view.has("google_project_iam_member", project="${var.project}"):
        return
    sources = view.resources["google_project_iam_member"].get("_build_sources", {})
    expression = sources.get("condition", {}).get("expression", "")
    if sources and "projects/_/buckets/gcf-v2-sources-" not in expression:
        yield "google_project_iam_member._build_sources: reads more than sources of functions"
