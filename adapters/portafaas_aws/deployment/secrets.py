"""The secrets of a manifest, in Secrets Manager. Values are passed on and kept nowhere."""

from __future__ import annotations

import builtins
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC
from typing import Any

from portafaas.deployment.contract import SecretFacts, Secrets
from portafaas.errors import guess
from portafaas_aws.deployment import data
from portafaas_aws.deployment.cloud import Cloud, speaking
from portafaas_aws.deployment.faults import fail
from portafaas_aws.deployment.stack import current, ours, resources, who
from portafaas_aws.infrastructure.document import tags
from portafaas_aws.names import SECRET_NAME, physical_name

#: Label of a version that stands for a value that was removed.
REMOVED = "portafaas-removed"
_UNCHANGED = "the secret was not changed:"


class AwsSecrets(Secrets):
    """Secrets called ``service-stage-name``; the stack has them, values are put past it."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud

    @property
    def _client(self) -> Any:
        return self.cloud.client("secretsmanager")

    def _physical(self, name: str) -> str:
        declared = [secret.name for secret in self.cloud.plan.secrets]
        if name not in declared:
            raise fail(
                _UNCHANGED, "PF8011", f"the manifest declares no secret {name!r}",
                guess(name, declared),
            )  # fmt: skip
        return physical_name(self.cloud.plan, name, SECRET_NAME)

    @speaking(_UNCHANGED)
    def set(self, name: str, value: bytes) -> None:
        """Put a new value: as text where it is UTF-8, else as bytes."""
        physical = self._physical(name)
        given = _given(value)
        self.cloud.hidden.update(v for v in given.values() if isinstance(v, str))
        token = str(uuid.uuid4())
        held = self._held(physical)
        if held is None:
            self._client.create_secret(
                Name=physical, ClientRequestToken=token, Tags=tags(self.cloud.plan), **given
            )
            return
        if held.doomed:
            self._client.restore_secret(SecretId=held.physical)
        self._client.put_secret_value(SecretId=held.physical, ClientRequestToken=token, **given)

    def _held(self, physical: str) -> data.Held | None:
        held = data.find(self.cloud, data.SECRET, physical)
        if held is not None and not ours(self.cloud.plan, held.tags):
            raise fail(
                _UNCHANGED, "PF8008",
                f"secret {physical} is there and is not of {who(self.cloud.plan)}",
                "rename or remove one of the two",
            )  # fmt: skip
        return held

    @speaking("the secrets cannot be listed:")
    def list(self) -> Sequence[SecretFacts]:
        """Return name and time of each declared secret."""
        found: builtins.list[SecretFacts] = []
        for secret in self.cloud.plan.secrets:
            physical = physical_name(self.cloud.plan, secret.name, SECRET_NAME)
            found.append(SecretFacts(secret.name, physical, changed(self.cloud, physical)))
        return found

    @speaking(_UNCHANGED)
    def remove(self, name: str) -> None:
        """Remove the secret; one of a deployed stack loses its values and stays.

        Its ARN, which the stack and the functions know, would not come back. Its current value is
        replaced by a mark, and no label leads to the one before: Secrets Manager forgets versions
        without a label, in its own time.
        https://docs.aws.amazon.com/secretsmanager/latest/userguide/whats-in-a-secret.html
        """
        physical = self._physical(name)
        held = self._held(physical)
        if held is None:
            raise fail(_UNCHANGED, "PF8011", f"there is no secret {physical}")
        stack = current(self.cloud)
        owned = stack and any(
            resource.physical == held.physical
            for resource in resources(self.cloud, str(stack["StackId"]))
        )
        if not owned:
            data.remove(self.cloud, held)
            return
        if not _current(self.cloud, physical):
            return
        self._client.put_secret_value(
            SecretId=held.physical,
            ClientRequestToken=str(uuid.uuid4()),
            SecretString="removed",
            VersionStages=["AWSCURRENT", REMOVED],
        )
        for version in _versions(self.cloud, physical):
            if "AWSPREVIOUS" in version.get("VersionStages", ()):
                self._client.update_secret_version_stage(
                    SecretId=held.physical,
                    VersionStage="AWSPREVIOUS",
                    RemoveFromVersionId=version["VersionId"],
                )


def _given(value: bytes) -> dict[str, str | bytes]:
    try:
        return {"SecretString": value.decode()}
    except UnicodeDecodeError:
        return {"SecretBinary": value}


def changed(cloud: Cloud, physical: str) -> str:
    """Return the RFC 3339 time of the value that is read, "" when there is none."""
    version = _current(cloud, physical)
    if version is None:
        return ""
    at = version["CreatedDate"].astimezone(UTC)
    return str(at.isoformat(timespec="seconds")).replace("+00:00", "Z")


def _current(cloud: Cloud, physical: str) -> Mapping[str, Any] | None:
    held = data.find(cloud, data.SECRET, physical)
    if held is None or held.doomed:
        return None
    for version in _versions(cloud, physical):
        stages = version.get("VersionStages", ())
        if "AWSCURRENT" in stages:
            return None if REMOVED in stages else version
    return None


def _versions(cloud: Cloud, physical: str) -> Iterator[Mapping[str, Any]]:
    more: dict[str, str] = {}
    while True:
        client = cloud.client("secretsmanager")
        page = client.list_secret_version_ids(SecretId=physical, **more)
        yield from page["Versions"]
        if not page.get("NextToken"):
            return
        more = {"NextToken": page["NextToken"]}
