"""Take back data that an earlier stack left: its names are taken, by what is ours.

CloudFormation's automatic import takes only names without functions, and only types whose name is
their primary id: of ours, tables alone. So an explicit import comes first, with as little of each
resource as an import asks for; the release's change set follows and brings the rest.
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/import-resources-automatically.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/import-resources-manually.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from portafaas.deployment.release import Release
from portafaas.errors import DeploymentError, Diagnostic
from portafaas.record import dataclass
from portafaas_aws.deployment import changes, data, documents
from portafaas_aws.deployment.cloud import Cloud
from portafaas_aws.deployment.stack import Stack, ours, resources, template, who
from portafaas_aws.deployment.store import Store
from portafaas_aws.infrastructure.document import tag_map

#: Properties that an import needs of a type that is not imported whole. The next change set sets
#: the others, as they may have been different in the release that left it.
_LEAST = {
    data.QUEUE: ("QueueName", "FifoQueue"),
    data.BUCKET: ("BucketName",),
    data.SECRET: ("Name",),
}


@dataclass(frozen=True, slots=True)
class Taken:
    """A resource of the template, and what is there of it already."""

    logical: str
    held: data.Held


def find(cloud: Cloud, release: Release, stack: Stack | None) -> list[Taken]:
    """Return what the release would make that is there already, and ours.

    Raises DeploymentError (PF8008), naming all, for what is not ours or cannot be taken back.
    """
    known = {r.name for r in resources(cloud, str(stack["StackId"]))} if stack else set()
    found: list[Taken] = []
    refused: list[Diagnostic] = []
    for holder in documents.holders(cloud, release):
        if holder.part + holder.logical in known:
            continue
        held = data.find(cloud, holder.type, holder.name)
        if held is None:
            continue
        why, hint = _objection(cloud, holder, held)
        if why:
            message = f"{holder.name} ({holder.type}) {why}"
            refused.append(Diagnostic("PF8008", message, hint=hint))
        else:
            found.append(Taken(holder.logical, held))
    if refused:
        raise DeploymentError("nothing was changed: names are taken", refused)
    return found


def _objection(cloud: Cloud, holder: documents.Holder, held: data.Held) -> tuple[str, str | None]:
    if not ours(cloud.plan, held.tags):
        return f"is there and is not of {who(cloud.plan)}", "rename or remove one of the two"
    if held.doomed:
        command = f"aws secretsmanager restore-secret --secret-id {held.name}"
        return "waits for its removal", f"take it back first: {command} --region {cloud.region}"
    if holder.part:
        return "was left by an earlier stack, and an import cannot reach into nested stacks", None
    return "", None


def prepare(
    cloud: Cloud, release: Release, stack: Stack | None, taken: Sequence[Taken]
) -> tuple[str, str]:
    """Make the change set that imports *taken* and nothing else; return its id and the stack's."""
    found = documents.root(release)["Resources"]
    imported = {entry.logical: _least(found[entry.logical], entry, taken) for entry in taken}
    if stack:
        document = template(cloud, str(stack["StackId"]))
        document["Resources"] = {**document["Resources"], **imported}
        declared = document.get("Parameters", {})
        tags = {}
    else:
        document = {key: value for key, value in documents.root(release).items() if key in _FRAME}
        document["Resources"] = imported
        declared = {}
        tags = {"Tags": [{"Key": k, "Value": v} for k, v in tag_map(cloud.plan).items()]}
    store, key = Store(cloud), f"{documents.folder(release)}/import.json"
    store.make()
    store.write(key, json.dumps(document, separators=(",", ":")).encode())
    return changes.create(
        cloud,
        release,
        "IMPORT",
        store.url(key),
        [{"ParameterKey": name, "UsePreviousValue": True} for name in declared],
        ResourcesToImport=[
            {
                "ResourceType": entry.held.type,
                "LogicalResourceId": entry.logical,
                "ResourceIdentifier": entry.held.identifier,
            }
            for entry in taken
        ],
        **tags,
    )


_FRAME = ("AWSTemplateFormatVersion", "Description")


def _least(
    resource: Mapping[str, Any], entry: Taken, taken: Sequence[Taken]
) -> dict[str, Any]:
    """Return *resource* without what an import does not need or cannot refer to."""
    least = _LEAST.get(entry.held.type)
    there = {other.logical for other in taken}
    properties = {
        name: value
        for name, value in resource["Properties"].items()
        if (least is None or name in least) and set(_references(value)) <= there
    }
    return {
        "Type": resource["Type"],
        **{key: resource[key] for key in _POLICIES if key in resource},
        "Properties": properties,
    }


_POLICIES = ("DeletionPolicy", "UpdateReplacePolicy")


def _references(value: Any) -> Iterator[str]:
    """Yield the logical ids that *value* refers to."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key == "Ref":
                yield str(inner)
            elif key == "Fn::GetAtt":
                yield str(inner[0])
            elif key == "Fn::Sub":
                text = inner if isinstance(inner, str) else inner[0]
                for name in re.findall(r"\$\{([A-Za-z0-9]+)[^}]*\}", text):
                    if name != "AWS":
                        yield name
            else:
                yield from _references(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _references(inner)
