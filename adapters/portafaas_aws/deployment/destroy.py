"""Remove the stack, and what outlives it if asked."""

from __future__ import annotations

from collections.abc import Sequence

from portafaas.deployment.contract import Kept, Progress, Report
from portafaas.errors import DeploymentError, Diagnostic
from portafaas_aws.deployment import changes, data, documents
from portafaas_aws.deployment.cloud import Cloud
from portafaas_aws.deployment.events import Follower
from portafaas_aws.deployment.faults import fail
from portafaas_aws.deployment.stack import (
    HUSKS,
    STACK,
    Resource,
    Stack,
    current,
    nothing,
    stack_name,
)


def destroy(cloud: Cloud, remove: bool, report: Report) -> Sequence[Kept]:
    """Remove the stack, and with *remove* all data of the service and stage.

    What keeps data is read from the deployed templates before they are gone; what earlier releases
    left is found by its tags. A second run goes on where one was broken off.
    """
    stack = current(cloud)
    retained: list[Resource] = []
    if stack:
        retained = changes.retained(cloud, str(stack["StackId"]))
    held = _held(cloud, retained)
    if stack is None and not (remove and held):
        raise nothing(cloud)
    if stack:
        _delete(cloud, stack, report)
    if not remove:
        return [Kept(entry.name, entry.type) for entry in held]
    problems: list[Diagnostic] = []
    for entry in held:
        try:
            data.remove(cloud, entry)
        except DeploymentError as exc:
            problems += exc.diagnostics
            continue
        report(Progress(entry.name, entry.type, "DELETE_COMPLETE"))
    if problems:
        raise DeploymentError(
            "not all data was removed; portafaas destroy --data goes on:", problems
        )
    return []


def _held(cloud: Cloud, retained: Sequence[Resource]) -> list[data.Held]:
    """Return what holds data of the service: in the stack, and left by earlier ones."""
    found: dict[tuple[str, str], data.Held] = {}
    for resource in retained:
        if resource.type not in documents.NAMED:
            continue
        name = data.name_of(resource.type, resource.physical)
        held = data.find(cloud, resource.type, name)
        if held is not None:
            found[held.type, held.name] = held
    for held in data.orphans(cloud):
        found.setdefault((held.type, held.name), held)
    # Dead-letter queues go after the queues that send to them, by their longer names.
    return [found[key] for key in sorted(found)]


def _delete(cloud: Cloud, stack: Stack, report: Report) -> None:
    state, name = stack["StackStatus"], stack_name(cloud.plan)
    if state.endswith("_IN_PROGRESS") and state not in HUSKS:
        raise fail(
            "nothing was removed:",
            "PF8005",
            f"another deployment of stack {name} is under way ({state})",
            "portafaas status tells when it is over",
        )
    if stack.get("EnableTerminationProtection"):
        raise fail(
            "nothing was removed:",
            "PF8006",
            f"stack {name} is protected from its removal",
            "aws cloudformation update-termination-protection --no-enable-termination-protection "
            f"--stack-name {name} --region {cloud.region}",
        )
    id = str(stack["StackId"])
    follower = Follower(cloud, id, report)
    cloud.client("cloudformation").delete_stack(StackName=id)
    left = follower.wait()
    if left["StackStatus"] == "DELETE_COMPLETE":
        return
    reasons = follower.failures() or [
        Diagnostic("PF8007", f"{name} ({STACK}): {left.get('StackStatusReason', '')}")
    ]
    raise DeploymentError(
        f"stack {name} is in {left['StackStatus']}; mend what failed, and portafaas destroy "
        "goes on:",
        reasons,
    )
