"""Who deployed what and when: records and releases, kept beside the packages on the platform.

| key in the store | what it is |
|---|---|
| ``packages/<service>/<sha256>.zip`` | a package, once |
| ``releases/<service>/<stage>/<sha256>.json`` | the documents and permissions around it |
| ``records/<service>/<stage>/<time>-<id>.json`` | one deployment, rollback or removal |

A stage without a name is ``-``. Records are written twice: before the engine is asked, and with the
outcome; one that says ``started`` belongs to a deployment that goes on or was cut off.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from portafaas.adapter import Permission
from portafaas.deployment.contract import Blobs, Caller, Change, Status
from portafaas.deployment.release import Release, package_key
from portafaas.errors import DeploymentError, Diagnostic
from portafaas.plan import BuildPlan
from portafaas.record import dataclass

Outcome = Literal["started", "succeeded", "failed", "interrupted"]


@dataclass(frozen=True, slots=True)
class Record:
    """One deployment. ``time`` is RFC 3339 in UTC; digests are ``sha256:…``, "" for a removal.

    ``permissions`` is what functions may do now and could not before (``+``), and the reverse.
    """

    key: str
    time: str
    action: Literal["deploy", "rollback", "destroy"]
    outcome: Outcome
    who: str
    place: str
    target: str
    service: str
    stage: str
    release: str
    package: str
    previous: str
    permissions: tuple[str, ...]
    changes: tuple[str, ...]
    #: Commit of the project, with ``+`` when there were changes besides; "" when not known.
    commit: str = ""
    reason: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the record as JSON values, as it is stored."""
        values = {name: getattr(self, name) for name in _FIELDS}
        return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}


_FIELDS = tuple(Record.__annotations__)


def folder(kind: str, plan: BuildPlan) -> str:
    """Return ``records/shop/prod/``."""
    return f"{kind}/{plan.service}/{plan.stage or '-'}/"


def now() -> datetime:
    """Return the time, in UTC."""
    return datetime.now(UTC)


def begin(
    plan: BuildPlan,
    target: str,
    action: Literal["deploy", "rollback", "destroy"],
    caller: Caller,
    release: Release | None,
    previous: Record | None,
    permissions: Iterable[str] = (),
    changes: Iterable[Change] = (),
    commit: str = "",
) -> Record:
    """Return the record of what is about to be done."""
    import secrets

    time = now()
    key = f"{folder('records', plan)}{time:%Y%m%dT%H%M%S.%fZ}-{secrets.token_hex(4)}.json"
    return Record(
        key=key,
        time=time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        action=action,
        outcome="started",
        who=caller.name,
        place=caller.place,
        target=target,
        service=plan.service,
        stage=plan.stage,
        release=release.digest if release is not None else "",
        package=release.package_digest if release is not None else "",
        previous=previous.release if previous is not None else "",
        permissions=tuple(permissions),
        changes=tuple(f"{change.action} {change.type} {change.resource}" for change in changes),
        commit=commit,
    )


def write(blobs: Blobs, record: Record) -> None:
    """Write *record* to the store."""
    text = json.dumps(record.as_dict(), indent=2, ensure_ascii=False) + "\n"
    blobs.write(record.key, text.encode())


def finished(record: Record, outcome: Outcome, reason: str = "") -> Record:
    """Return *record* with what became of it."""
    from dataclasses import replace

    return replace(record, outcome=outcome, reason=reason)


def history(blobs: Blobs, plan: BuildPlan, limit: int = 0) -> list[Record]:
    """Return the records of the plan's stage, newest first; at most *limit* unless that is 0."""
    keys = sorted(blobs.names(folder("records", plan)), reverse=True)
    found = []
    for key in keys[: limit or None]:
        record = _read(blobs, key)
        if record is not None:
            found.append(record)
    return found


def _read(blobs: Blobs, key: str) -> Record | None:
    """Return the record, None for one that this version cannot read or that has just gone."""
    content = blobs.read(key)
    try:
        values = json.loads(content or b"")
        values["permissions"] = tuple(values["permissions"])
        values["changes"] = tuple(values["changes"])
        return Record(**{name: values[name] for name in _FIELDS if name in values})
    except (ValueError, KeyError, TypeError):
        return None


def current(records: Sequence[Record], status: Callable[[], Status]) -> Record | None:
    """Return the newest record that succeeded, unless that removed the service.

    A deployment that was cut off may have been finished by the engine: it counts when *status* is
    ready with its package, which is not the one before.
    """
    cut: list[Record] = []
    last = None
    for record in records:
        if record.outcome == "succeeded":
            last = record
            break
        if record.outcome != "failed" and record.package:
            cut.append(record)
    if cut:
        found = status()
        for record in cut:
            if found.health != "ready" or (last is not None and last.package == found.package):
                break
            if record.package == found.package:
                return record
    return None if last is None or last.action == "destroy" else last


def store(blobs: Blobs, release: Release) -> None:
    """Keep *release* so that it can be rolled back to: its package, documents and permissions."""
    if release.package is not None and not blobs.names(release.package_key):
        blobs.write(release.package_key, release.package)
    document = {
        "release": release.digest,
        "package": release.package_digest,
        "file": release.file_digest,
        "documents": release.documents,
        "permissions": [
            [p.function, p.grant, p.scope, p.why] for p in release.permissions
        ],
    }  # fmt: skip
    key = f"{folder('releases', release.plan)}{release.digest.removeprefix('sha256:')}.json"
    # The order of keys is the documents' own, which people read.
    blobs.write(key, (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode())


def recorded(blobs: Blobs, plan: BuildPlan, digest: str, keys: Mapping[str, str]) -> Release:
    """Return the stored release whose digest begins with *digest*.

    Raises DeploymentError (PF8014) when there is none, or several.
    """
    start = f"{folder('releases', plan)}{digest.removeprefix('sha256:')}"
    names = blobs.names(start)
    if len(names) != 1:
        what = "no release is recorded" if not names else f"{len(names)} releases are recorded"
        raise _unknown(f"{what} whose digest begins with {digest!r}")
    try:
        values = json.loads(blobs.read(names[0]) or b"")
        release = Release(
            plan=plan,
            package=None,
            package_digest=values["package"],
            file_digest=values["file"],
            documents=values["documents"],
            permissions=tuple(Permission(*entry) for entry in values["permissions"]),
            digest=values["release"],
            keys=keys,
        )
    except (ValueError, KeyError, TypeError) as exc:
        raise _unknown(f"the record {names[0]} cannot be read: {exc!r}") from exc
    if not blobs.names(package_key(plan.service, release.file_digest)):
        raise _unknown(f"the package of {release.digest[:19]} is no longer in the store")
    return release


def _unknown(message: str) -> DeploymentError:
    return DeploymentError(
        "there is nothing to go back to:",
        [Diagnostic("PF8014", message, hint="'portafaas history' lists what is")],
    )


def permission_changes(
    before: Iterable[Permission], after: Iterable[Permission]
) -> tuple[str, ...]:
    """Return ``+ function: grant on scope`` for what is new, ``-`` for what is gone."""
    old = {(p.function, p.grant, p.scope) for p in before}
    new = {(p.function, p.grant, p.scope) for p in after}
    lines = [("+", entry) for entry in new - old] + [("-", entry) for entry in old - new]
    return tuple(
        f"{sign} {function}: {grant} on {scope}"
        for sign, (function, grant, scope) in sorted(lines, key=lambda line: (line[1], line[0]))
    )
