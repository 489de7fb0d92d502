"""What is there now."""

from __future__ import annotations

from typing import Literal

from portafaas.deployment.contract import Status
from portafaas.plan import HttpTrigger
from portafaas_aws.deployment.cloud import Cloud
from portafaas_aws.deployment.faults import masked
from portafaas_aws.deployment.stack import STACK, Stack, current, mend, parameter, resources
from portafaas_aws.infrastructure.document import logical_id
from portafaas_aws.infrastructure.http import API
from portafaas_aws.names import front

FUNCTION = "AWS::Lambda::Function"

Health = Literal["ready", "busy", "failed", "absent"]

#: An operation begins with one of these, and its events name who began it.
_BEGINS = frozenset({"CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS",
                     "IMPORT_IN_PROGRESS"})  # fmt: skip


def status(cloud: Cloud) -> Status:
    """Return what CloudFormation says of the stack, with the addresses of its functions."""
    stack = current(cloud)
    if stack is None or stack["StackStatus"] == "REVIEW_IN_PROGRESS":
        return Status("absent")
    state, id = stack["StackStatus"], str(stack["StackId"])
    found = list(resources(cloud, id))
    health: Health = _health(state)
    resume = mend(cloud, state)
    if health == "ready" and cloud.plan.functions:
        # Data was taken back, and what should have followed failed or was broken off.
        health = "ready" if any(r.type == FUNCTION for r in found) else "failed"
    reason = stack.get("StackStatusReason") or ""
    if health == "failed" or "ROLLBACK" in state:
        reason = _why(cloud, id) or reason
    if health == "failed" and not resume:
        resume = "portafaas deploy"
    if state == "UPDATE_ROLLBACK_COMPLETE" and health == "ready":
        reason = f"the last deployment failed, what ran before runs: {reason}"
    digest = parameter(stack, "CodeDigest")
    return Status(
        health,
        state,
        reason,
        resume,
        f"sha256:{digest}" if digest else "",
        _outputs(cloud, stack, {resource.logical for resource in found}),
        tuple((r.name, r.type, r.state) for r in found if r.type != STACK),
    )


def _health(state: str) -> Health:
    if state.endswith("_IN_PROGRESS"):
        return "busy"
    if state.endswith("_FAILED") or state == "ROLLBACK_COMPLETE":
        return "failed"
    return "ready"


def _why(cloud: Cloud, id: str) -> str:
    """Return why the last operation failed, by the resources that failed first."""
    reasons: list[str] = []
    pages = cloud.client("cloudformation").get_paginator("describe_stack_events")
    for page in pages.paginate(StackName=id):
        for event in page["StackEvents"]:
            why = event.get("ResourceStatusReason") or ""
            own = event.get("PhysicalResourceId") == id
            if own and event["ResourceStatus"] in _BEGINS:
                return masked("; ".join(reversed(reasons)), cloud.hidden)
            if event["ResourceStatus"].endswith("_FAILED") and why and not own:
                if "cancelled" not in why:
                    reasons.append(f"{event['LogicalResourceId']}: {why}")
    return masked("; ".join(reversed(reasons)), cloud.hidden)


def _outputs(cloud: Cloud, stack: Stack, there: set[str]) -> dict[str, str]:
    """Return the address of each http function that is deployed."""
    values = {o["OutputKey"]: o["OutputValue"] for o in stack.get("Outputs", ())}
    found: dict[str, str] = {}
    for function in cloud.plan.functions:
        trigger = function.trigger
        if not isinstance(trigger, HttpTrigger):
            continue
        if logical_id(function.name, "Function") not in there:
            continue
        own = front(function) == "function-url"
        base = values.get(logical_id(function.name, "Url") if own else f"{API}Endpoint")
        if base:
            found[function.name] = base.rstrip("/") + trigger.path
    return found
