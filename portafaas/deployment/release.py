"""What is deployed: one package and the documents around it, named by the digest of all."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from portafaas.adapter import Permission
from portafaas.plan import BuildPlan, HttpTrigger
from portafaas.record import dataclass, field


@dataclass(frozen=True, slots=True)
class Release:
    """One build of a service and stage for one target.

    ``digest`` is ``sha256:…`` over the package's content and all documents: the same build has the
    same digest on every machine. ``package`` is None for a release that was read back from a
    record, whose package the store has already.
    """

    plan: BuildPlan
    package: Path | None
    #: ``sha256:…`` of the package's content, as ``build`` prints it.
    package_digest: str
    #: ``sha256:…`` of the zip file itself, which engines and object stores compare.
    file_digest: str
    documents: Mapping[str, Any]
    permissions: tuple[Permission, ...]
    digest: str
    #: Digests of API keys by variable (``PORTAFAAS_HTTP_KEYS``), from the deployer's environment.
    #: A variable that is missing keeps the value that is deployed.
    keys: Mapping[str, str] = field(default_factory=dict)

    @property
    def package_key(self) -> str:
        """Key of the package in the store: the same content is stored once."""
        return package_key(self.plan.service, self.file_digest)


def package_key(service: str, file_digest: str) -> str:
    """Return ``packages/shop/<hex>.zip``."""
    return f"packages/{service}/{file_digest.removeprefix('sha256:')}.zip"


def release_digest(package_digest: str, documents: Mapping[str, Any]) -> str:
    """Return the digest of a package's digest and all documents, whatever their key order."""
    from hashlib import sha256

    text = json.dumps([package_digest, documents], sort_keys=True, ensure_ascii=False)
    return f"sha256:{sha256(text.encode()).hexdigest()}"


def file_digest(path: Path) -> str:
    """Return ``sha256:…`` of a file's bytes."""
    from hashlib import sha256

    return f"sha256:{sha256(path.read_bytes()).hexdigest()}"


def key_variables(plan: BuildPlan) -> tuple[str, ...]:
    """Return the variables with API keys' digests that the deployment must say, sorted."""
    names: set[str] = set()
    for function in plan.functions:
        trigger = function.trigger
        if isinstance(trigger, HttpTrigger) and trigger.auth is not None and trigger.auth.keys:
            if trigger.auth.keys not in function.environment:
                names.add(trigger.auth.keys)
    return tuple(sorted(names))


def make_release(
    plan: BuildPlan,
    package: Path,
    package_digest: str,
    documents: Mapping[str, Any],
    permissions: Sequence[Permission],
    environ: Mapping[str, str],
) -> Release:
    """Return the release of what a build wrote; *environ* may hold the API keys' digests."""
    keys = {name: environ[name] for name in key_variables(plan) if environ.get(name)}
    return Release(
        plan=plan,
        package=package,
        package_digest=package_digest,
        file_digest=file_digest(package),
        documents=documents,
        permissions=tuple(permissions),
        digest=release_digest(package_digest, documents),
        keys=keys,
    )
