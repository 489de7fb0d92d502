"""The templates of a release: their parameters, what they keep, and where they lie."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from portafaas.deployment.release import Release, key_variables
from portafaas.errors import DeploymentError, Diagnostic
from portafaas.record import dataclass
from portafaas_aws.deployment.cloud import Cloud
from portafaas_aws.deployment.stack import STACK, Stack
from portafaas_aws.deployment.store import Store
from portafaas_aws.infrastructure.functions import keys_parameter

#: Says where the templates of nested stacks lie.
PREFIX = "TemplatesPrefix"

#: Name of what holds data, by type: the property that is its name.
NAMED = {
    "AWS::SQS::Queue": "QueueName",
    "AWS::S3::Bucket": "BucketName",
    "AWS::DynamoDB::Table": "TableName",
    "AWS::SecretsManager::Secret": "Name",
}


@dataclass(frozen=True, slots=True)
class Holder:
    """A resource of a template that outlives the stack; ``part`` is "" in the root template."""

    part: str
    logical: str
    type: str
    name: str


def root_name(release: Release) -> str:
    """Return the name of the document that is the stack's own template."""
    return f"{release.plan.service}.template.json"


def root(release: Release) -> Mapping[str, Any]:
    """Return the stack's own template.

    Raises DeploymentError (PF8007) for a release without one: its manifest could not be emitted.
    """
    name = root_name(release)
    if name not in release.documents:
        raise DeploymentError(
            "nothing was changed:", [Diagnostic("PF8007", f"the release has no {name}")]
        )
    document: Mapping[str, Any] = release.documents[name]
    return document


def parts(release: Release) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each template with the path that resources of its stack have: "" and ``Part/``."""
    document = root(release)
    yield "", document
    for logical, resource in document["Resources"].items():
        if resource["Type"] == STACK:
            url = json.dumps(resource["Properties"]["TemplateURL"])
            found = re.search(r"/([^/\"]+\.template\.json)", url)
            if found and found[1] in release.documents:
                yield f"{logical}/", release.documents[found[1]]


def nested(release: Release) -> bool:
    """Return whether the template has nested stacks."""
    return any(r["Type"] == STACK for r in root(release)["Resources"].values())


def holders(cloud: Cloud, release: Release) -> Iterator[Holder]:
    """Yield what keeps data, with the name it has or will have."""
    for part, document in parts(release):
        for logical, resource in document["Resources"].items():
            key = NAMED.get(resource["Type"])
            name = resolved(cloud, resource["Properties"].get(key)) if key else ""
            if name and resource.get("DeletionPolicy", "").startswith("Retain"):
                yield Holder(part, logical, resource["Type"], name)


def resolved(cloud: Cloud, value: Any) -> str:
    """Return a name with account and region in their places, "" when it hangs on more."""
    if isinstance(value, Mapping):
        value = value.get("Fn::Sub")
    if not isinstance(value, str):
        return ""
    for variable, found in (
        ("AccountId", cloud.account), ("Region", cloud.region), ("Partition", cloud.partition)
    ):  # fmt: skip
        value = value.replace(f"${{AWS::{variable}}}", found)
    return "" if "${" in value else value


def folder(release: Release) -> str:
    """Return the key that all templates of *release* begin with."""
    plan = release.plan
    digest = release.digest.removeprefix("sha256:")
    return f"templates/{plan.service}/{plan.stage or '-'}/{digest}"


def upload(cloud: Cloud, release: Release) -> str:
    """Store the templates and return the address of the root: always so, whatever its size.

    A template in the request may have 51,200 bytes, one in S3 a megabyte.
    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
    """
    store = Store(cloud)
    store.make()
    for name, document in release.documents.items():
        text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
        store.write(f"{folder(release)}/{name}", text.encode())
    return store.url(f"{folder(release)}/{root_name(release)}")


def parameters(cloud: Cloud, release: Release, stack: Stack | None) -> list[dict[str, Any]]:
    """Return the values of exactly the parameters that the template declares and we know.

    Digests of keys that the deployer did not give stay as *stack* has them. Others that have a
    default keep it. Raises DeploymentError (PF8013), naming all variables without a value.
    """
    store = Store(cloud)
    variables = {keys_parameter(v): v for v in (*key_variables(release.plan), *release.keys)}
    known = {
        "CodeBucket": store.bucket,
        "CodeKey": release.package_key,
        "CodeDigest": release.package_digest.removeprefix("sha256:"),
        PREFIX: store.url(folder(release)),
        **{keys_parameter(variable): value for variable, value in release.keys.items()},
    }
    cloud.hidden.update(release.keys.values())
    deployed = {p["ParameterKey"] for p in stack.get("Parameters", ())} if stack else set()
    values: list[dict[str, Any]] = []
    missing: list[Diagnostic] = []
    for name, declared in root(release).get("Parameters", {}).items():
        if name in known:
            values.append({"ParameterKey": name, "ParameterValue": known[name]})
        elif "Default" in declared:
            continue
        elif name in deployed:
            values.append({"ParameterKey": name, "UsePreviousValue": True})
        else:
            missing.append(_missing(variables.get(name, name)))
    if missing:
        raise DeploymentError("nothing was changed: values are missing", missing)
    return values


def _missing(variable: str) -> Diagnostic:
    return Diagnostic(
        "PF8013",
        f"{variable} has no value, and none is deployed",
        hint=f'set it to name=SHA-256 of each key: export {variable}="ada=$(printf %s "$KEY" | '
        'sha256sum | cut -d" " -f1)"',
    )
