"""Example Cloud: a folder, named by EXAMPLE_CLOUD, that EXAMPLE_USER may write to.

Files there decide how it behaves: ``broken`` names a resource that fails, ``slow`` makes each
resource wait until it is gone, ``lock`` is a deployment under way.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Collection, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from portafaas.adapter import Infrastructure, Permission
from portafaas.deployment import (
    Blobs,
    Box,
    Caller,
    Change,
    DeadLetter,
    DeadLetters,
    DeploymentError,
    Drift,
    Engine,
    Kept,
    LogLine,
    Preview,
    Progress,
    Redriven,
    Release,
    Report,
    SecretFacts,
    Secrets,
    Status,
    dead_letter_boxes,
)
from portafaas.errors import Diagnostic
from portafaas.plan import BuildPlan


def emit(plan: BuildPlan) -> Infrastructure:
    """Return one document: resources by name, each with its type and settings."""
    resources: dict[str, Any] = {}
    for queue in plan.queues:
        resources[f"queue/{queue.name}"] = {"kept": True, "retention": queue.retention}
    permissions = []
    for function in plan.functions:
        name = f"function/{function.name}"
        resources[name] = {"memory": function.memory, "environment": dict(function.environment)}
        resources[f"role/{function.name}"] = {"may": [f"{u.verb} {u.name}" for u in function.uses]}
        permissions += [
            Permission(function.name, use.verb, f"{use.kind}/{use.name}", f"$.functions.{function.name}")
            for use in function.uses
        ]
    return Infrastructure({f"{plan.service}.example.json": resources}, tuple(permissions))


def engine(plan: BuildPlan) -> Engine:
    """Return the engine of *plan*'s service and stage."""
    return ExampleEngine(plan)


class Folder(Blobs):
    """The store: ``blobs`` in the cloud's folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, key: str) -> bytes | None:
        file = self._root / key
        return file.read_bytes() if file.is_file() else None

    def write(self, key: str, content: bytes | Path) -> None:
        file = self._root / key
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.read_bytes())

    def names(self, prefix: str) -> Sequence[str]:
        files = (f for f in self._root.rglob("*") if f.is_file())
        names = (f.relative_to(self._root).as_posix() for f in files)
        return sorted(name for name in names if name.startswith(prefix))

    def remove(self, key: str) -> None:
        (self._root / key).unlink(missing_ok=True)


class Vault(Secrets):
    """Digests of secrets: enough to tell that they changed."""

    def __init__(self, root: Path, plan: BuildPlan) -> None:
        self._root, self._plan = root, plan

    def set(self, name: str, value: bytes) -> None:
        self._root.mkdir(parents=True, exist_ok=True)
        (self._root / name).write_text(sha256(value).hexdigest())

    def list(self) -> Sequence[SecretFacts]:
        return [
            SecretFacts(s.name, f"vault/{s.name}", "2026-01-01T00:00:00Z" if (self._root / s.name).exists() else "")
            for s in self._plan.secrets
        ]

    def remove(self, name: str) -> None:
        (self._root / name).unlink(missing_ok=True)


class Graveyard(DeadLetters):
    """``<box>.json`` holds a list of letters; what is redriven goes to ``<box>.again.json``."""

    def __init__(self, root: Path, plan: BuildPlan) -> None:
        self._root, self._plan = root, plan

    def _read(self, name: str) -> list[dict[str, Any]]:
        file = self._root / f"{name}.json"
        return json.loads(file.read_text()) if file.exists() else []

    def boxes(self) -> Sequence[Box]:
        return [Box(n, kind, f"yard/{n}", len(self._read(n))) for n, kind in dead_letter_boxes(self._plan)]

    def list(self, box: str, limit: int) -> Sequence[DeadLetter]:
        return [
            DeadLetter(**{**letter, "box": box, "body": letter["body"].encode()})
            for letter in self._read(box)[:limit]
        ]

    def _take(self, box: str, ids: Collection[str] | None) -> list[dict[str, Any]]:
        letters = self._read(box)
        taken = [letter for letter in letters if ids is None or letter["id"] in ids]
        left = [letter for letter in letters if letter not in taken]
        (self._root / f"{box}.json").write_text(json.dumps(left))
        return taken

    def redrive(self, box: str, ids: Collection[str] | None) -> Redriven:
        stuck = [x["id"] for x in self._read(box) if x["error"] == "stuck" and (ids is None or x["id"] in ids)]
        moved = self._take(box, [x["id"] for x in self._read(box) if (ids is None or x["id"] in ids) and x["id"] not in stuck])
        (self._root / f"{box}.again.json").write_text(json.dumps(moved))
        return Redriven(len(moved), tuple((id_, "it is stuck") for id_ in stuck))

    def purge(self, box: str, ids: Collection[str] | None) -> int:
        return len(self._take(box, ids))


class ExampleEngine(Engine):
    """Deploys resources one after the other and stops at the first that fails."""

    def __init__(self, plan: BuildPlan) -> None:
        self.plan = plan
        self.cloud = Path(os.environ.get("EXAMPLE_CLOUD", ""))
        name = "-".join(filter(None, (plan.service, plan.stage)))
        self.state = self.cloud / "services" / f"{name}.json"
        self.vault = self.cloud / "secrets" / name
        self.yard = self.cloud / "yard" / name

    def caller(self) -> Caller:
        user = os.environ.get("EXAMPLE_USER")
        if not user:
            raise _error("PF8001", "EXAMPLE_USER is not set")
        return Caller(user, str(self.cloud))

    def blobs(self, create: bool = False) -> Blobs:
        return Folder(self.cloud / "blobs")

    def _read(self) -> dict[str, Any]:
        found: dict[str, Any] = {"resources": {}, "package": "", "state": ""}
        return json.loads(self.state.read_text()) if self.state.exists() else found

    def _write(self, state: dict[str, Any]) -> None:
        self.state.parent.mkdir(parents=True, exist_ok=True)
        self.state.write_text(json.dumps(state))

    def preview(self, release: Release) -> Preview:
        if (self.cloud / "lock").exists():
            raise _error("PF8005", "the service is locked")
        old, state = self._read()["resources"], self._read()
        (new,) = release.documents.values()
        changes = [
            Change(action, name, name.partition("/")[0], "", name.startswith("role/"))
            for name in sorted({*old, *new})
            if (action := _action(old.get(name), new.get(name)))
        ]
        if old and state["package"] != release.package_digest:
            changes.append(Change("change", "package", "package"))
        return Preview(tuple(changes), first=not self.state.exists())

    def apply(self, release: Release, preview: Preview, report: Report) -> Status:
        assert self.blobs().names(release.package_key)
        state = self._read()
        (new,) = release.documents.values()
        broken = self.cloud / "broken"
        for change in preview.changes:
            while (self.cloud / "slow").exists():
                time.sleep(0.02)
            if broken.exists() and broken.read_text() == change.resource:
                state["state"] = "HALF"
                self._write(state)
                report(Progress(change.resource, change.type, "FAILED", "no room"))
                raise _error("PF8007", f"{change.resource}: no room")
            if change.resource in new:
                state["resources"][change.resource] = new[change.resource]
            elif change.action == "remove":
                del state["resources"][change.resource]
            report(Progress(change.resource, change.type, "DONE"))
        state |= {"state": "WHOLE", "package": release.package_digest}
        self._write(state)
        return self.status()

    def status(self) -> Status:
        if not self.state.exists():
            return Status("absent")
        state = self._read()
        rows = tuple((name, name.partition("/")[0], "DONE") for name in state["resources"])
        whole = state["state"] == "WHOLE"
        outputs = {f.name: f"https://example.test/{f.name}" for f in self.plan.functions}
        return Status(
            "ready" if whole else "failed", state["state"], "" if whole else "no room",
            "" if whole else "portafaas deploy", state["package"], outputs, rows,
        )  # fmt: skip

    def drift(self) -> Sequence[Drift]:
        if not self.state.exists():
            raise _error("PF8010", "nothing is deployed")
        edited = self._read().get("edited", {})
        return [Drift(name, "function", "changed", (text,)) for name, text in edited.items()]

    def destroy(self, data: bool, report: Report) -> Sequence[Kept]:
        if not self.state.exists():
            raise _error("PF8010", "nothing is deployed")
        state = self._read()
        kept = [n for n, r in state["resources"].items() if r.get("kept") and not data]
        for name in state["resources"]:
            report(Progress(name, name.partition("/")[0], "KEPT" if name in kept else "GONE"))
        self.state.unlink()
        return [Kept(name, "queue") for name in kept]

    def logs(self, functions: Sequence[str], since: float, follow: bool) -> Iterator[LogLine]:
        for function in functions:
            yield LogLine("2026-01-01T00:00:00Z", function, f"hello of {function}, {follow}")

    def secrets(self) -> Secrets:
        return Vault(self.vault, self.plan)

    def dead_letters(self) -> DeadLetters:
        return Graveyard(self.yard, self.plan)


def _action(old: Any, new: Any) -> Any:
    if old is None or new is None:
        return "add" if old is None else "keep" if old.get("kept") else "remove"
    return "change" if old != new else ""


def _error(code: str, message: str) -> DeploymentError:
    return DeploymentError("Example Cloud did not do it:", [Diagnostic(code, message)])
