"""A project as a stack, by the AWS API alone: package into a bucket, change set, secrets."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from portafaas.pipeline import build
from tests.aws_cloud.cloud import REGION, Cloud

CODE = "code"


def built(project: Path, service: str) -> tuple[bytes, dict[str, Any]]:
    """Build *project* with the running Python's version; return the package and the template."""
    manifest = project / "portafaas.yaml"
    text = manifest.read_text().replace(
        'python: "3.11"', f'python: "{sys.version_info[0]}.{sys.version_info[1]}"'
    )
    manifest.write_text(text)
    build(manifest, ["aws"], infrastructure=True)
    out = project / "out" / "aws"
    template = json.loads((out / f"{service}.template.json").read_text())
    return (out / f"{service}.zip").read_bytes(), template


def deploy(
    cloud: Cloud,
    stack: str,
    package: bytes,
    template: Mapping[str, Any],
    kind: str = "CREATE",
    parameters: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Make and run a change set; return the physical ids by logical id."""
    s3, formation = cloud.client("s3"), cloud.client("cloudformation")
    if CODE not in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]:
        s3.create_bucket(Bucket=CODE, CreateBucketConfiguration={"LocationConstraint": REGION})
    digest = hashlib.sha256(package).hexdigest()
    s3.put_object(Bucket=CODE, Key=f"{digest}.zip", Body=package)
    # By its address, as templates of any size go.
    text = json.dumps(template).encode()
    key = f"{hashlib.sha256(text).hexdigest()}.json"
    s3.put_object(Bucket=CODE, Key=key, Body=text)
    values = {"CodeBucket": CODE, "CodeKey": f"{digest}.zip", "CodeDigest": digest}
    values |= parameters or {}
    changes = formation.create_change_set(
        StackName=stack,
        ChangeSetName=f"{kind.lower()}-{digest[:8]}",
        ChangeSetType=kind,
        TemplateURL=f"https://{CODE}.s3.{REGION}.amazonaws.com/{key}",
        Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in values.items()],
        Capabilities=["CAPABILITY_IAM"],
    )
    formation.execute_change_set(ChangeSetName=changes["Id"], StackName=stack)
    assert settled(cloud, stack) == f"{kind}_COMPLETE"
    pages = formation.get_paginator("list_stack_resources").paginate(StackName=stack)
    return {
        resource["LogicalResourceId"]: resource["PhysicalResourceId"]
        for page in pages
        for resource in page["StackResourceSummaries"]
    }


def settled(cloud: Cloud, stack: str) -> str:
    """Return the stack's state once nothing is done to it; DELETE_COMPLETE when there is none."""
    formation = cloud.client("cloudformation")
    while True:
        try:
            (found,) = formation.describe_stacks(StackName=stack)["Stacks"]
        except formation.exceptions.ClientError:
            return "DELETE_COMPLETE"
        if not found["StackStatus"].endswith("_IN_PROGRESS"):
            return str(found["StackStatus"])
        # There is no other way to learn of it, on AWS neither.
        time.sleep(0.02)
