"""Change sets: CloudFormation's own reckoning of what a release would do.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-updating-stacks-changesets.html
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from portafaas.deployment.contract import Action, Change
from portafaas.deployment.release import Release
from portafaas.errors import DeploymentError, Diagnostic
from portafaas_aws.deployment import documents
from portafaas_aws.deployment.cloud import Cloud
from portafaas_aws.deployment.faults import code_of, masked, of_resource
from portafaas_aws.deployment.stack import STACK, Resource, Stack, resources, stack_name, template
from portafaas_aws.infrastructure.document import tag_map

#: Change sets of ours, which nobody else's are taken for.
NAME = "portafaas-"

_EMPTY = ("didn't contain changes", "No updates are to be performed")
#: Types that decide who may do what.
_ACCESS = frozenset({
    "AWS::ApiGatewayV2::Authorizer", "AWS::Lambda::Permission", "AWS::Lambda::Url",
    "AWS::S3::BucketPolicy", "AWS::SecretsManager::ResourcePolicy", "AWS::SNS::TopicPolicy",
    "AWS::SQS::QueuePolicy",
})  # fmt: skip
#: Properties that do, of other types.
_GUARDS = frozenset({
    "AuthType", "AuthorizationScopes", "AuthorizationType", "AuthorizerId", "KmsMasterKeyId",
    "OwnershipControls", "PublicAccessBlockConfiguration", "RedriveAllowPolicy",
    "ResourcePolicy", "Role", "RoleArn", "SSESpecification",
})  # fmt: skip


def create(
    cloud: Cloud,
    release: Release,
    kind: str,
    url: str,
    values: Sequence[Mapping[str, Any]],
    **more: Any,
) -> tuple[str, str]:
    """Make a change set of *kind* and return its id and the stack's, as soon as it is named.

    The name holds the release's digest: a tag of the stack would be one of every resource, and
    every deployment would change them all. :func:`wait` tells when it is ready.
    """
    name = f"{NAME}{release.digest.removeprefix('sha256:')}-{uuid.uuid4().hex[:8]}"
    wanted = ["CAPABILITY_IAM"]
    if any("Transform" in document for document in release.documents.values()):
        wanted.append("CAPABILITY_AUTO_EXPAND")
    if kind != "IMPORT":
        more["Tags"] = [{"Key": k, "Value": v} for k, v in tag_map(cloud.plan).items()]
        if documents.nested(release):
            more["IncludeNestedStacks"] = True
    answer = cloud.client("cloudformation").create_change_set(
        StackName=stack_name(cloud.plan),
        ChangeSetName=name,
        ChangeSetType=kind,
        TemplateURL=url,
        Parameters=list(values),
        Capabilities=wanted,
        Description=f"portafaas release {release.digest}",
        **more,
    )
    return str(answer["Id"]), str(answer["StackId"])


def wait(cloud: Cloud, id: str) -> list[Mapping[str, Any]] | None:
    """Wait until the change set *id* is ready and return its changes; None when it has none.

    Raises DeploymentError with CloudFormation's reasons when it refuses.
    """
    for _ in cloud.pauses():
        found, changes = describe(cloud, id)
        if found["Status"] in ("CREATE_PENDING", "CREATE_IN_PROGRESS"):
            continue
        if found["Status"] == "CREATE_COMPLETE":
            return changes
        reason = found.get("StatusReason", "")
        if any(word in reason for word in _EMPTY):
            return None
        raise DeploymentError("CloudFormation refuses the release:", _reasons(cloud, id, reason))
    raise AssertionError("pauses end never")


def describe(cloud: Cloud, id: str) -> tuple[Mapping[str, Any], list[Mapping[str, Any]]]:
    """Return what CloudFormation says of a change set, and all its changes."""
    first: Mapping[str, Any] = {}
    changes: list[Mapping[str, Any]] = []
    more: dict[str, str] = {}
    while True:
        page = cloud.client("cloudformation").describe_change_set(ChangeSetName=id, **more)
        first = first or page
        changes += [c["ResourceChange"] for c in page.get("Changes", ()) if "ResourceChange" in c]
        if not page.get("NextToken"):
            return first, changes
        more = {"NextToken": page["NextToken"]}


def _reasons(cloud: Cloud, id: str, reason: str) -> list[Diagnostic]:
    """Return why a change set failed: what was found wrong with each resource, if it was checked.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/validate-stack-deployments.html
    """
    found: list[Diagnostic] = []
    if cloud.has("cloudformation", "DescribeEvents"):
        formation = cloud.client("cloudformation")
        try:
            answer = formation.describe_events(ChangeSetName=id, Filters={"FailedEvents": True})
        except formation.exceptions.ClientError:
            # It only explains; what it explains is told anyway.
            answer = {}
        for event in answer.get("OperationEvents", ()):
            why = event.get("ValidationStatusReason") or event.get("ResourceStatusReason")
            if why and event.get("LogicalResourceId"):
                found.append(
                    of_resource(
                        event["LogicalResourceId"], event.get("ResourceType", ""), why,
                        cloud.hidden,
                    )
                )  # fmt: skip
    return found or [of_resource("the change set", "", masked(reason, cloud.hidden))]


def discard(cloud: Cloud, stack: str) -> None:
    """Remove change sets of ours that nobody has applied."""
    formation = cloud.client("cloudformation")
    for page in formation.get_paginator("list_change_sets").paginate(StackName=stack):
        for found in page["Summaries"]:
            if found["StackId"] != stack or not found["ChangeSetName"].startswith(NAME):
                continue
            if found.get("ParentChangeSetId"):
                continue
            if found.get("ExecutionStatus") in ("AVAILABLE", "UNAVAILABLE", "OBSOLETE"):
                remove(cloud, found["ChangeSetId"])


def remove(cloud: Cloud, id: str) -> None:
    """Remove a change set, if it is there and does not run."""
    formation = cloud.client("cloudformation")
    try:
        formation.delete_change_set(ChangeSetName=id)
    except formation.exceptions.ClientError as exc:
        if code_of(exc) not in (
            "ChangeSetNotFound", "ChangeSetNotFoundException", "InvalidChangeSetStatus",
            "InvalidChangeSetStatusException",
        ):  # fmt: skip
            raise


def read(
    cloud: Cloud, release: Release, stack: Stack, found: Sequence[Mapping[str, Any]]
) -> list[Change]:
    """Return the changes of a change set in our words, always in the same order."""
    secret = _secret_parameters(release)
    policies = _Policies(cloud, str(stack["StackId"]))
    changes = list(_each(cloud, found, "", secret, policies))
    return sorted(changes, key=lambda change: (change.resource, change.type))


def _each(
    cloud: Cloud,
    found: Sequence[Mapping[str, Any]],
    path: str,
    secret: frozenset[str],
    policies: _Policies,
) -> Iterator[Change]:
    for change in found:
        name, type = f"{path}{change['LogicalResourceId']}", change["ResourceType"]
        inner: list[Mapping[str, Any]] = []
        if type == STACK and change.get("ChangeSetId"):
            inner = describe(cloud, change["ChangeSetId"])[1]
            yield from _each(cloud, inner, f"{name}/", secret, policies)
        if inner:
            continue
        names = _details(change)
        action, note = _action(change, name, policies)
        causes = {d.get("CausingEntity", "") for d in change.get("Details", ())}
        yield Change(
            action,
            name,
            type,
            ", ".join([*names, *note]),
            security=access(type) or bool(causes & secret) or bool(_GUARDS & set(names)),
        )


def access(type: str) -> bool:
    """Return whether *type* decides who may do what, whatever its properties.

    Routes say who may call: adding one opens a door.
    """
    return type in _ACCESS or type.startswith("AWS::IAM::") or type == "AWS::ApiGatewayV2::Route"


def _action(
    change: Mapping[str, Any], name: str, policies: _Policies
) -> tuple[Action, tuple[str, ...]]:
    policy = change.get("PolicyAction", "")
    match change["Action"]:
        case "Add":
            return "add", ()
        case "Import":
            return "change", ("taken back with its data",)
        case "Remove":
            kept = "Retain" in policy if policy else policies.kept(name)
            return ("keep", ()) if kept else ("remove", ())
    if change.get("Replacement") == "True":
        return "replace", ("the old one is kept",) if policy == "ReplaceAndRetain" else ()
    return "change", ("may be replaced",) if change.get("Replacement") == "Conditional" else ()


def _details(change: Mapping[str, Any]) -> list[str]:
    names: list[str] = []
    for detail in change.get("Details", ()):
        target = detail.get("Target", {})
        name = target.get("Name") or target.get("Attribute", "")
        if name and name not in names:
            names.append(name)
    return names


def _secret_parameters(release: Release) -> frozenset[str]:
    declared = documents.root(release).get("Parameters", {})
    return frozenset(name for name, facts in declared.items() if facts.get("NoEcho"))


class _Policies:
    """What becomes of resources that leave the template, where the engine does not say."""

    def __init__(self, cloud: Cloud, stack: str) -> None:
        self._cloud, self._stack = cloud, stack
        self._kept: set[str] | None = None

    def kept(self, name: str) -> bool:
        if self._kept is None:
            self._kept = {resource.name for resource in retained(self._cloud, self._stack)}
        return name in self._kept


def retained(cloud: Cloud, stack: str) -> list[Resource]:
    """Return the resources that outlive the stack (an id), by the templates that are deployed."""
    templates: dict[str, Mapping[str, Any]] = {}
    found: list[Resource] = []
    for resource in resources(cloud, stack):
        if resource.stack not in templates:
            templates[resource.stack] = template(cloud, resource.stack).get("Resources", {})
        facts = templates[resource.stack].get(resource.logical, {})
        if facts.get("DeletionPolicy", "").startswith("Retain") and resource.physical:
            found.append(resource)
    return found
