"""Functions: the service, its identity and its environment.

https://registry.terraform.io/providers/hashicorp/google/latest/docs/resources/cloudfunctions2_function
"""

from __future__ import annotations

from typing import Any

from portafaas.adapter import Deployment
from portafaas.plan import BuildPlan, FunctionPlan, HttpTrigger
from portafaas_gcp import names
from portafaas_gcp.infrastructure import recovering
from portafaas_gcp.infrastructure.document import Document, key, literal, ref, snake
from portafaas_gcp.infrastructure.resources import location_of

#: Of the account that builds images: no manifest can have this name.
BUILD = "-build"
#: Description of a function that nobody but workflows may call.
TASK = "A task of workflows"
#: The digest in a package's deployment.json begins with the name of the hash.
DIGEST = '${trimprefix(var.source_digest, "sha256:")}'


def service_wide(document: Document) -> None:
    """Add what all functions share: parameters, and the image builder."""
    plan = document.plan
    region = plan.options.get("region")
    document.variables.update(
        {
            "project": {"type": "string", "description": "Id of the project."},
            "region": {
                "type": "string",
                "description": "Region of everything that has one.",
                **({"default": region} if region else {}),
            },
            "source_bucket": {
                "type": "string",
                "description": "Cloud Storage bucket that holds the package.",
            },
            "source_digest": {
                "type": "string",
                "description": "Digest of the package, whose object is <service>/<digest>.zip.",
                "validation": {
                    "condition": '${can(regex("^(sha256:)?[0-9a-f]{64}$", var.source_digest))}',
                    "error_message": "The digest must be 64 hexadecimal digits after sha256:.",
                },
            },
        }
    )
    if plan.functions:
        _builder(document)


def _builder(document: Document) -> None:
    """Add who builds the images, and where they are kept.

    Without it the project's default account would build, which may do much more, or, in newer
    organisations, nothing: https://cloud.google.com/functions/docs/securing/build-custom-sa
    """
    plan = document.plan
    document.ask("platform")
    account = document.add(
        "google_service_account",
        "_build",
        {
            "account_id": names.physical(plan, BUILD, names.ACCOUNT),
            "display_name": f"{_title(plan)}: builds images",
        },
    )
    images = document.add(
        "google_artifact_registry_repository",
        "images",
        {
            "repository_id": names.physical(plan, limit=names.REPOSITORY),
            "location": "${var.region}",
            "format": "DOCKER",
            "cleanup_policies": [
                {
                    "id": "keep-recent",
                    "action": "KEEP",
                    "most_recent_versions": {"keep_count": 5},
                },
                {"id": "delete-old", "action": "DELETE", "condition": {"older_than": "2592000s"}},
            ],
        },
    )
    member = ref(account, "member")
    document.add(
        "google_artifact_registry_repository_iam_member",
        "_build",
        {
            "repository": ref(images, "name"),
            "location": ref(images, "location"),
            "role": "roles/artifactregistry.writer",
            "member": member,
        },
    )
    document.add(
        "google_project_iam_member",
        "_build_logs",
        {"project": "${var.project}", "role": "roles/logging.logWriter", "member": member},
    )
    document.add(
        "google_project_iam_member",
        "_build_sources",
        {
            "project": "${var.project}",
            "role": "roles/storage.objectViewer",
            "member": member,
            # The buckets that Cloud Functions copies sources to; made with the first function.
            "condition": {
                "title": "sources of functions",
                "expression": 'resource.name.startsWith("projects/_/buckets/gcf-v2-sources-")',
            },
        },
    )
    document.note(
        "the account that builds images writes build logs for the whole project, and reads the "
        "sources of all its functions: Google Cloud has no narrower grant "
        "(https://cloud.google.com/functions/docs/securing/build-custom-sa)",
        "$.functions",
    )


def function(document: Document, item: FunctionPlan, deployment: Deployment) -> None:
    """Add the function *item* and its service account."""
    plan, name = document.plan, key(item.name)
    document.ask(f"$.functions.{item.name}", function=item.name)
    account = document.add(
        "google_service_account",
        name,
        {
            "account_id": names.physical(plan, item.name, names.ACCOUNT),
            "display_name": f"{_title(plan)}: {item.name}",
        },
    )
    binding = deployment.binding
    build = binding["build"]
    address = document.add(
        "google_cloudfunctions2_function",
        name,
        {
            "name": binding["name"],
            "location": "${var.region}",
            **({"description": TASK} if item.kind == "task" else {}),
            "build_config": {
                "runtime": build["runtime"],
                "entry_point": build["entryPoint"],
                "environment_variables": dict(build["environmentVariables"]),
                "service_account": "${google_service_account._build.id}",
                "docker_repository": "${google_artifact_registry_repository.images.id}",
                "source": {
                    "storage_source": {
                        "bucket": "${var.source_bucket}",
                        "object": f"{plan.service}/{DIGEST}.zip",
                    }
                },
            },
            "service_config": {
                **snake(binding["service"]),
                "service_account_email": ref(account, "email"),
                # What is not called over HTTP by clients is called from within the project:
                # https://cloud.google.com/run/docs/securing/ingress
                "ingress_settings": "ALLOW_ALL" if item.kind == "http" else "ALLOW_INTERNAL_ONLY",
                "environment_variables": _environment(document, item, deployment),
            },
            "depends_on": [
                "google_artifact_registry_repository_iam_member._build",
                "google_project_iam_member._build_logs",
                "google_project_iam_member._build_sources",
            ],
        },
    )
    if item.kind == "http":
        document.outputs[f"{name}_url"] = {
            "value": ref(address, "service_config[0].uri"),
            "description": f"Address of {item.name}.",
        }


def _environment(document: Document, item: FunctionPlan, deployment: Deployment) -> dict[str, Any]:
    values: dict[str, Any] = {
        literal(name): literal(value) for name, value in deployment.environment.items()
    }
    # The platform does not say it, and log records name their trace by it.
    # https://cloud.google.com/run/docs/container-contract#services-env-vars
    values.setdefault("GOOGLE_CLOUD_PROJECT", "${var.project}")
    trigger = item.trigger
    if isinstance(trigger, HttpTrigger) and trigger.auth is not None and trigger.auth.keys:
        wanted = trigger.auth.keys
        if wanted not in values:
            variable = f"env_{wanted}"
            document.variables.setdefault(
                variable,
                {
                    "type": "string",
                    "sensitive": True,
                    "description": f"Value of {wanted}: digests of the keys that are valid.",
                },
            )
            values[wanted] = f"${{var.{variable}}}"
    for use in item.uses:
        values[names.variable(use.kind, use.name)] = location_of(document.plan, use.kind, use.name)
    values.update(recovering.variables(document.plan, item))
    return values


def _title(plan: BuildPlan) -> str:
    return f"{plan.service} {plan.stage}".rstrip()
