"""What is not as it was deployed: CloudFormation's own detection, and the code that runs.

CloudFormation does not look at the code of a function, which it cannot read back; Lambda says what
it runs. https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-stack-drift.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from portafaas.deployment.contract import Drift
from portafaas_aws.deployment.cloud import Cloud
from portafaas_aws.deployment.faults import code_of, fail, masked
from portafaas_aws.deployment.stack import (
    HUSKS,
    STACK,
    Resource,
    Stack,
    current,
    nothing,
    parameter,
    resources,
    touchable,
)
from portafaas_aws.deployment.status import FUNCTION

#: Below these are values that may be secret: digests of keys, for one.
_SECRET = ("/Environment",)
_LONGEST = 200

Kind = Literal["changed", "removed"]


def drift(cloud: Cloud) -> Sequence[Drift]:
    """Return what differs, by name. Raises DeploymentError (PF8010) when nothing is deployed."""
    stack = current(cloud)
    if stack is None or stack["StackStatus"] in HUSKS:
        raise nothing(cloud)
    touchable(cloud, stack)
    there = list(resources(cloud, str(stack["StackId"])))
    stacks = {str(stack["StackId"]): ""}
    stacks.update({r.physical: f"{r.name}/" for r in there if r.type == STACK})
    detections = {id: _begin(cloud, id) for id in stacks}
    found: dict[str, Drift] = {}
    for id, path in stacks.items():
        _wait(cloud, detections[id])
        for entry in _drifted(cloud, id, path):
            found[entry.resource] = entry
    for entry in _code(cloud, stack, there):
        old = found.get(entry.resource)
        if old is None:
            found[entry.resource] = entry
        elif old.kind == "changed":
            found[entry.resource] = Drift(
                old.resource, old.type, old.kind, (*old.detail, *entry.detail)
            )
    return [found[name] for name in sorted(found)]


def _begin(cloud: Cloud, stack: str) -> str:
    answer = cloud.client("cloudformation").detect_stack_drift(StackName=stack)
    return str(answer["StackDriftDetectionId"])


def _wait(cloud: Cloud, id: str) -> None:
    formation = cloud.client("cloudformation")
    for _ in cloud.pauses():
        found = formation.describe_stack_drift_detection_status(StackDriftDetectionId=id)
        if found["DetectionStatus"] == "DETECTION_IN_PROGRESS":
            continue
        if found["DetectionStatus"] == "DETECTION_FAILED":
            raise fail(
                "CloudFormation could not compare everything:",
                "PF8007",
                found.get("DetectionStatusReason", "no reason given"),
            )
        return


def _drifted(cloud: Cloud, stack: str, path: str) -> Iterator[Drift]:
    formation = cloud.client("cloudformation")
    more: dict[str, str] = {}
    while True:
        page = formation.describe_stack_resource_drifts(
            StackName=stack, StackResourceDriftStatusFilters=["MODIFIED", "DELETED"], **more
        )
        for entry in page["StackResourceDrifts"]:
            if entry["ResourceType"] == STACK:
                continue
            kind: Kind = "changed"
            if entry["StackResourceDriftStatus"] == "DELETED":
                kind = "removed"
            yield Drift(
                f"{path}{entry['LogicalResourceId']}",
                entry["ResourceType"],
                kind,
                tuple(_detail(cloud, d) for d in entry.get("PropertyDifferences", ())),
            )
        if not page.get("NextToken"):
            return
        more = {"NextToken": page["NextToken"]}


def _detail(cloud: Cloud, difference: Mapping[str, Any]) -> str:
    path = difference["PropertyPath"]
    if path.startswith(_SECRET):
        # Names of variables are no secret; when all of them differ, not even these are told.
        return str(path)
    expected, actual = (
        _short(cloud, difference.get(key)) for key in ("ExpectedValue", "ActualValue")
    )
    return f"{path}: expected {expected}, found {actual}"


def _short(cloud: Cloud, value: str | None) -> str:
    if value is None or value == "":
        return "nothing"
    text = masked(value, cloud.hidden)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _code(cloud: Cloud, stack: Stack, there: Sequence[Resource]) -> Iterator[Drift]:
    """Yield the functions that do not run the package of the release."""
    from base64 import b64encode

    name = parameter(stack, "CodeKey").rpartition("/")[2].removesuffix(".zip")
    try:
        expected = b64encode(bytes.fromhex(name)).decode()
    except ValueError:
        # Deployed by hand under a key that says nothing.
        return
    for resource in there:
        if resource.type != FUNCTION:
            continue
        try:
            found = cloud.client("lambda").get_function_configuration(
                FunctionName=resource.physical
            )
        except Exception as exc:
            if code_of(exc) != "ResourceNotFoundException":
                raise
            yield Drift(resource.name, FUNCTION, "removed")
            continue
        if found["CodeSha256"] != expected:
            detail = f"Code: expected {expected}, found {found['CodeSha256']} (SHA-256)"
            yield Drift(resource.name, FUNCTION, "changed", (detail,))
