"""What each function may do: exactly its ``uses`` and what its trigger needs.

A function's logs are taken from its output by the platform, which needs no grant.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from portafaas.adapter import Permission
from portafaas.plan import FunctionPlan, Use
from portafaas_gcp.infrastructure.document import Document, key, ref
from portafaas_gcp.infrastructure.resources import address_of, database_of

IAM = "https://cloud.google.com/iam/docs/roles-permissions"
WORKFLOWS = "https://cloud.google.com/iam/docs/roles-permissions/workflows"
FIRESTORE = "https://cloud.google.com/firestore/docs/security/iam"


class Grant(NamedTuple):
    """A role, the type of the resource that gives it, and how that names what it is given on."""

    role: str
    member_type: str
    argument: str
    attribute: str


#: By verb and kind. ``legacyBucketWriter`` creates, replaces, deletes and lists objects; the roles
#: for objects that write read, too: https://cloud.google.com/storage/docs/access-control/iam-roles
GRANTS = {
    ("send", "queue"): Grant(
        "roles/pubsub.publisher", "google_pubsub_topic_iam_member", "topic", "id"
    ),
    ("publish", "topic"): Grant(
        "roles/pubsub.publisher", "google_pubsub_topic_iam_member", "topic", "id"
    ),
    ("read", "bucket"): Grant(
        "roles/storage.objectViewer", "google_storage_bucket_iam_member", "bucket", "name"
    ),
    ("write", "bucket"): Grant(
        "roles/storage.legacyBucketWriter", "google_storage_bucket_iam_member", "bucket", "name"
    ),
    ("read", "secret"): Grant(
        "roles/secretmanager.secretAccessor",
        "google_secret_manager_secret_iam_member",
        "secret_id",
        "id",
    ),
}
SIGNER = "roles/iam.serviceAccountTokenCreator"
TABLE_ROLES = {"read": "roles/datastore.viewer", "write": "roles/datastore.user"}


def member_of(function: FunctionPlan) -> str:
    """Return an expression for the function as a member of a policy."""
    return ref(f"google_service_account.{key(function.name)}", "member")


def uses(document: Document, function: FunctionPlan) -> None:
    """Grant what ``uses`` lists."""
    for index, use in enumerate(function.uses):
        why = function.why(index)
        document.ask(why, function=function.name)
        if use.kind == "table":
            _table(document, function, use, why)
            continue
        if use.kind == "workflow":
            _workflow(document, function, use, why)
            continue
        grant = GRANTS[use.verb, use.kind]
        target = ref(address_of(use.kind, use.name), grant.attribute)
        body = {grant.argument: target, "role": grant.role, "member": member_of(function)}
        # Its trigger may need the same.
        block = key(function.name, use.verb, use.kind, use.name)
        document.grant(grant.member_type, block, body)
        document.permissions.append(Permission(function.name, grant.role, target, why))
        if use.kind == "bucket":
            _signing(document, function, why)


def _signing(document: Document, function: FunctionPlan, why: str) -> None:
    """Let the function's account sign in its own name: URLs of objects, by IAM's ``signBlob``.

    https://cloud.google.com/storage/docs/authentication/creating-signatures
    """
    kind, block = "google_service_account_iam_member", key(function.name, "signs")
    account = ref(f"google_service_account.{key(function.name)}", "name")
    if block in document.resources.get(kind, {}):
        document.also(f"{kind}.{block}")
    else:
        document.add(
            kind,
            block,
            {"service_account_id": account, "role": SIGNER, "member": member_of(function)},
        )
    document.permissions.append(Permission(function.name, SIGNER, account, why))


def _table(document: Document, function: FunctionPlan, use: Use, why: str) -> None:
    """Grant a role on the database: Firestore's policies know no collections."""
    role = TABLE_ROLES[use.verb]
    scope = f"projects/${{var.project}}/databases/{database_of(document.plan)}"
    block = key(function.name, use.verb, "tables")
    if block not in document.resources.get("google_project_iam_member", {}):
        project_member(
            document,
            block,
            role,
            member_of(function),
            {
                "title": f"tables of {document.plan.service}",
                "expression": f'resource.name == "{scope}"',
            },
        )
    else:
        document.also(f"google_project_iam_member.{block}")
    document.permissions.append(Permission(function.name, role, scope, why))
    reads_too = " and for reading, too" if use.verb == "write" else ""
    document.note(
        f"Firestore grants {role} on a whole database{reads_too}, not on the table {use.name!r} "
        f"({FIRESTORE})",
        why,
    )


def _workflow(document: Document, function: FunctionPlan, use: Use, why: str) -> None:
    """Let the function start runs, read them and signal them; no narrower than a project.

    A function that starts runs has no other right on the workflow itself.
    """
    role, block = "roles/workflows.invoker", key(function.name, "start", "workflows")
    if block in document.resources.get("google_project_iam_member", {}):
        document.also(f"google_project_iam_member.{block}")
    else:
        project_member(document, block, role, member_of(function))
    document.permissions.append(
        Permission(function.name, role, "projects/${var.project}", why)
    )
    document.note(
        f"{role} can be granted on a project only, not on the workflow {use.name!r} ({WORKFLOWS})",
        why,
    )


def project_member(
    document: Document, block: str, role: str, member: str, condition: Any = None
) -> str:
    """Add a role on the project, and return the address of the grant."""
    body = {"project": "${var.project}", "role": role, "member": member}
    if condition is not None:
        body["condition"] = condition
    return document.add("google_project_iam_member", block, body)


def invoker(document: Document, function: FunctionPlan, member: str, block: str = "") -> str:
    """Let *member* call the function's service, and return the address of the grant."""
    service = f"google_cloudfunctions2_function.{key(function.name)}"
    return document.add(
        "google_cloud_run_service_iam_member",
        block or key(function.name),
        {
            "location": ref(service, "location"),
            "service": ref(service, "name"),
            "role": "roles/run.invoker",
            "member": member,
        },
    )
