"""What CloudFormation knows of a stack, whose it is, and in which states it can be touched.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from portafaas.errors import DeploymentError
from portafaas.plan import BuildPlan
from portafaas.record import dataclass
from portafaas_aws.deployment.cloud import Cloud
from portafaas_aws.deployment.faults import code_of, fail, text_of
from portafaas_aws.infrastructure.document import tag_map

STACK = "AWS::CloudFormation::Stack"
#: A stack that never came up: nothing of it is there, and it cannot be updated.
HUSKS = frozenset({"REVIEW_IN_PROGRESS", "ROLLBACK_COMPLETE"})

_DELETE = "aws cloudformation delete-stack --stack-name {name} --region {region}"
#: What mends a state, by the state; the data of a deleted stack stays.
_MEND = {
    "UPDATE_ROLLBACK_FAILED": (
        "aws cloudformation continue-update-rollback --stack-name {name} --region {region}"
    ),
    "UPDATE_FAILED": "aws cloudformation rollback-stack --stack-name {name} --region {region}",
    "CREATE_FAILED": _DELETE,
    "ROLLBACK_FAILED": _DELETE,
    "DELETE_FAILED": _DELETE,
    "IMPORT_ROLLBACK_FAILED": _DELETE,
}

Stack = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource of a stack; ``name`` has the parts of nested stacks before it: ``Part/Queue``."""

    stack: str
    name: str
    logical: str
    physical: str
    type: str
    state: str


def stack_name(plan: BuildPlan) -> str:
    """Return ``shop-prod``."""
    return "-".join(part for part in (plan.service, plan.stage) if part)


def describe(cloud: Cloud, name: str) -> Stack | None:
    """Return what CloudFormation says of the stack *name* (or id), None when there is none."""
    formation = cloud.client("cloudformation")
    try:
        (stack,) = formation.describe_stacks(StackName=name)["Stacks"]
    except formation.exceptions.ClientError as exc:
        if code_of(exc) == "ValidationError" and "does not exist" in text_of(exc):
            return None
        raise
    found: Stack = stack
    return found


def current(cloud: Cloud) -> Stack | None:
    """Return the service's stack, None when there is none.

    Raises DeploymentError (PF8008) for a stack of that name which is not the service's.
    """
    name = stack_name(cloud.plan)
    stack = describe(cloud, name)
    if stack is None or stack["StackStatus"] == "DELETE_COMPLETE":
        return None
    if not ours(cloud.plan, {tag["Key"]: tag["Value"] for tag in stack.get("Tags", ())}):
        raise fail(
            "nothing was changed:",
            "PF8008",
            f"stack {name} in {cloud.region} is not {who(cloud.plan)}: its tags say otherwise",
            "another name for the service, or another account or region",
        )
    return stack


def ours(plan: BuildPlan, tags: Mapping[str, str]) -> bool:
    """Return whether *tags* are those of the service and stage."""
    keys = ("managed-by", "service", "stage")
    return {key: tags[key] for key in keys if key in tags} == tag_map(plan)


def who(plan: BuildPlan) -> str:
    """Return ``service shop, stage prod``."""
    return f"service {plan.service}" + (f", stage {plan.stage}" if plan.stage else "")


def touchable(cloud: Cloud, stack: Stack | None) -> None:
    """Raise DeploymentError where nothing can be deployed now: PF8005, PF8006."""
    state = stack["StackStatus"] if stack else ""
    name = stack_name(cloud.plan)
    if state.endswith("_IN_PROGRESS") and state not in HUSKS:
        raise fail(
            "nothing was changed:",
            "PF8005",
            f"another deployment of stack {name} is under way ({state})",
            "portafaas status tells when it is over",
        )
    command = mend(cloud, state)
    if command and stack:
        reason = stack.get("StackStatusReason", "")
        raise fail(
            "nothing was changed:",
            "PF8006",
            f"stack {name} is in {state}" + (f": {reason}" if reason else ""),
            f"mend it first: {command}",
        )


def mend(cloud: Cloud, state: str) -> str:
    """Return the command that mends a stack in *state*, "" when none is needed."""
    if state not in _MEND:
        return ""
    return _MEND[state].format(name=stack_name(cloud.plan), region=cloud.region)


def resources(cloud: Cloud, stack: str, prefix: str = "") -> Iterator[Resource]:
    """Yield what is in the stack (an id) and its nested ones, but for what is gone."""
    pages = cloud.client("cloudformation").get_paginator("list_stack_resources")
    for page in pages.paginate(StackName=stack):
        for found in page["StackResourceSummaries"]:
            physical = found.get("PhysicalResourceId", "")
            if found["ResourceStatus"] == "DELETE_COMPLETE":
                continue
            logical, type = found["LogicalResourceId"], found["ResourceType"]
            name = f"{prefix}{logical}"
            yield Resource(stack, name, logical, physical, type, found["ResourceStatus"])
            if type == STACK and physical:
                yield from resources(cloud, physical, f"{name}/")


def template(cloud: Cloud, stack: str) -> dict[str, Any]:
    """Return the template that is deployed."""
    body = cloud.client("cloudformation").get_template(StackName=stack)["TemplateBody"]
    # boto3 decodes JSON.
    found: dict[str, Any] = dict(body) if isinstance(body, Mapping) else json.loads(body)
    return found


def parameter(stack: Stack, name: str) -> str:
    """Return the value of a parameter of *stack*, "" when it has none."""
    found = (p for p in stack.get("Parameters", ()) if p["ParameterKey"] == name)
    return next((str(p.get("ParameterValue", "")) for p in found), "")


def nothing(cloud: Cloud) -> DeploymentError:
    """Return the error of a service that is not there."""
    return fail(
        "there is nothing:",
        "PF8010",
        f"{who(cloud.plan)} is not deployed in account {cloud.account}, region {cloud.region}",
        "portafaas deploy",
    )
