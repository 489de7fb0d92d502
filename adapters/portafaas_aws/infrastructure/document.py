"""A CloudFormation template as it grows, and the small words it is written in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from portafaas.plan import BuildPlan

#: Parameters and nested stacks, which share one namespace with the logical ids of resources.
PARAMETERS = (
    "CodeBucket", "CodeKey", "CodeDigest", "TemplatesPrefix",
    *(f"FunctionStack{number}" for number in range(1, 21)),
)  # fmt: skip
#: What nested stacks are called, with their numbers.
STACK = "FunctionStack"

#: What survives the stack, and a replacement; a stack that fails to come up leaves nothing behind.
#: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-attribute-deletionpolicy.html
KEPT: Mapping[str, str] = {
    "DeletionPolicy": "RetainExceptOnCreate",
    "UpdateReplacePolicy": "Retain",
}


class Template:
    """Resources, parameters and outputs in the order they were added."""

    __slots__ = ("asked", "outputs", "owner", "owners", "parameters", "plan", "resources", "whys")

    def __init__(self, plan: BuildPlan) -> None:
        self.plan = plan
        self.parameters: dict[str, Any] = {}
        self.resources: dict[str, Any] = {}
        self.outputs: dict[str, Any] = {}
        #: The function that what is added belongs to; "" for what functions share.
        self.owner = ""
        #: Function by logical id.
        self.owners: dict[str, str] = {}
        #: The lines of the manifest that ask for what is added: ``$.path``, or ``platform``.
        self.asked: tuple[str, ...] = ("platform",)
        #: Those lines by logical id.
        self.whys: dict[str, tuple[str, ...]] = {}

    def add(
        self, logical_id: str, type: str, properties: Mapping[str, Any], **attributes: Any
    ) -> str:
        """Add a resource and return its logical id; *attributes* are ``DependsOn`` and the like.

        Raises AssertionError for an id that is taken, which would lose a resource.
        """
        if logical_id in self.resources or logical_id in self.parameters:
            raise AssertionError(f"two resources of the template are called {logical_id!r}")
        self.resources[logical_id] = {
            "Type": type,
            **attributes,
            "Properties": dict(properties),
        }
        self.owners[logical_id] = self.owner
        self.whys[logical_id] = self.asked
        return logical_id

    def document(self) -> dict[str, Any]:
        """Return the template as JSON values."""
        plan = self.plan
        stage = f", stage {plan.stage}" if plan.stage else ""
        document: dict[str, Any] = {
            "AWSTemplateFormatVersion": "2010-09-09",
            "Description": f"Service {plan.service}{stage}. Written by portafaas; do not edit.",
            "Parameters": self.parameters,
            "Resources": self.resources,
        }
        if self.outputs:
            document["Outputs"] = self.outputs
        return document


def logical_id(name: str, kind: str) -> str:
    """Return the logical id of the *kind* (``Queue``) of thing that the manifest calls *name*.

    No kind ends in another kind, so ids of different kinds never meet; ``create-order`` is
    ``CreateOrder``. A digit has no upper case: ``a-1`` gets a hash to differ from ``a1``.
    """
    parts = name.split("-")
    text = "".join(part[:1].upper() + part[1:] for part in parts)
    if any(not part[:1].isalpha() for part in parts[1:]) or text + kind in PARAMETERS:
        from hashlib import sha256

        text += f"X{sha256(name.encode()).hexdigest()[:6]}"
    return text + kind


def ref(logical_id: str) -> dict[str, str]:
    """Return a ``Ref``."""
    return {"Ref": logical_id}


def att(logical_id: str, attribute: str = "Arn") -> dict[str, list[str]]:
    """Return a ``Fn::GetAtt``."""
    return {"Fn::GetAtt": [logical_id, attribute]}


def sub(text: str) -> dict[str, str]:
    """Return a ``Fn::Sub``."""
    return {"Fn::Sub": text}


def arn(service: str, resource: str, account: bool = True) -> str:
    """Return an ARN of this account and region for ``Fn::Sub``; S3 names neither."""
    place = "${AWS::Region}:${AWS::AccountId}" if account else ":"
    return f"arn:${{AWS::Partition}}:{service}:{place}:{resource}"


def tag_map(plan: BuildPlan) -> dict[str, str]:
    """Return the tags of everything in the stack."""
    stage = {"stage": plan.stage} if plan.stage else {}
    return {"managed-by": "portafaas", "service": plan.service, **stage}


def tags(plan: BuildPlan) -> list[dict[str, str]]:
    """Return the tags as most types want them."""
    return [{"Key": key, "Value": value} for key, value in tag_map(plan).items()]
