"""Deploy, roll back, destroy: the order of things, the same for every engine.

Nothing is asked of the person here and nothing printed: ``portafaas.cli.deploying`` does that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from portafaas.deployment import record as audit
from portafaas.deployment.contract import Blobs, Caller, Engine, Kept, Preview, Report, Status
from portafaas.deployment.record import Record
from portafaas.deployment.release import Release, key_variables, make_release
from portafaas.errors import DeploymentError, Diagnostic
from portafaas.plan import BuildPlan
from portafaas.record import dataclass

if TYPE_CHECKING:
    from portafaas.adapter import Adapter, Permission

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Proposal:
    """What would be done, for people to agree to. ``permissions``: ``+``/``-`` lines."""

    release: Release
    preview: Preview
    permissions: tuple[str, ...]
    #: The record of what is deployed now, None when nothing is or nobody knows.
    current: Record | None
    #: Secrets that functions read and nobody has set yet (PF8011), and the engine's own.
    notes: tuple[Diagnostic, ...]
    #: True when the very same release is deployed and nothing would change.
    unchanged: bool


class Session:
    """One service and stage on one platform; the credentials are proved when it is made."""

    def __init__(self, adapter: Adapter, plan: BuildPlan, environ: Mapping[str, str]) -> None:
        self.target = adapter.target
        self.plan = plan
        self.adapter = adapter
        self.environ = environ
        self.engine: Engine = adapter.engine(plan)
        self.caller: Caller = self.engine.caller()

    def release(self, package: Path, digest: str, documents: Mapping[str, object]) -> Release:
        """Return the release of what a build wrote. Raises DeploymentError (PF8013)."""
        self._keys()
        permissions = self.adapter.infrastructure(self.plan).placed(self.plan).permissions
        return make_release(self.plan, package, digest, documents, permissions, self.environ)

    def propose(self, release: Release) -> Proposal:
        """Return what deploying *release* would change; changes nothing."""
        preview = self.engine.preview(release)
        blobs = self.engine.blobs()
        records = audit.history(blobs, self.plan)
        current = audit.current(records, self.engine.status)
        before: Sequence[Permission] = ()
        if current is not None and not preview.first:
            try:
                before = audit.recorded(blobs, self.plan, current.release, {}).permissions
            except DeploymentError:
                # Unreadable or removed: all permissions count as new, which is the careful way.
                current = None
        permissions = audit.permission_changes(before, release.permissions)
        unchanged = (
            not preview.first
            and not preview.changes
            and current is not None
            and current.release == release.digest
            # What was cut off is recorded when it is whole.
            and current.outcome == "succeeded"
            # After a failure the engine's own state counts, whatever was there before it.
            and (records[0] == current or self.engine.status().health == "ready")
        )
        notes = (*preview.notes, *self._unset())
        return Proposal(release, preview, permissions, current, notes, unchanged)

    def _unset(self) -> list[Diagnostic]:
        """Return a warning for each secret that a function reads and that has no value."""
        readers: dict[str, list[str]] = {}
        for function in self.plan.functions:
            for use in function.uses:
                if use.kind == "secret":
                    readers.setdefault(use.name, []).append(function.name)
        if not readers:
            return []
        try:
            valued = {facts.name for facts in self.engine.secrets().list() if facts.changed}
        except DeploymentError:
            # Who deploys need not be allowed to see secrets.
            return []
        stage = f" --stage {self.plan.stage}" if self.plan.stage else ""
        return [
            Diagnostic(
                "PF8011",
                f"secret {name!r} has no value; needed by {', '.join(functions)}",
                path=f"$.secrets.{name}",
                hint=f"portafaas secrets set {name} --target {self.target}{stage}",
                severity="warning",
            )
            for name, functions in readers.items()
            if name not in valued
        ]

    def earlier(self, digest: str = "") -> Release:
        """Return the recorded release *digest*, by default what ran before the last deployment.

        That is the release before the current one, or after a failed deployment the current one.

        Raises DeploymentError (PF8013, PF8014).
        """
        blobs = self.engine.blobs()
        keys = self._keys()
        if not digest:
            records = audit.history(blobs, self.plan)
            current = audit.current(records, self.engine.status)
            if current is not None and _left_behind(records[0], current):
                return audit.recorded(blobs, self.plan, current.release, keys)
            others = [
                item
                for item in records
                if item.outcome == "succeeded"
                and item.release
                and (current is None or item.release != current.release)
            ]
            if not others:
                raise DeploymentError(
                    "there is nothing to go back to:",
                    [Diagnostic("PF8014", "no other release of this stage has been deployed")],
                )
            digest = others[0].release
        return audit.recorded(blobs, self.plan, digest, keys)

    def _keys(self) -> dict[str, str]:
        """Return the digests of keys in the environment; with others no caller would get in."""
        from portafaas.runtime.auth import AuthMisconfigured, parse_digests

        keys = {n: self.environ[n] for n in key_variables(self.plan) if self.environ.get(n)}
        found = []
        for name, value in keys.items():
            try:
                parse_digests(name, value)
            except AuthMisconfigured as exc:
                hint = "docs/deploying.md says how to make them"
                found.append(Diagnostic("PF8013", str(exc), hint=hint))
        if found:
            raise DeploymentError("nothing was changed:", found)
        return keys

    def apply(
        self,
        proposal: Proposal,
        report: Report,
        *,
        rollback: bool = False,
        commit: str = "",
    ) -> Status:
        """Do what was proposed, with a record of it; see :meth:`Engine.apply`."""
        blobs = self.engine.blobs(create=True)
        release = proposal.release
        audit.store(blobs, release)
        entry = audit.begin(
            self.plan,
            self.target,
            "rollback" if rollback else "deploy",
            self.caller,
            release,
            proposal.current,
            proposal.permissions,
            proposal.preview.changes,
            commit,
        )
        return _recorded(
            blobs, entry, lambda: self.engine.apply(release, proposal.preview, report)
        )

    def destroy(self, data: bool, report: Report, commit: str = "") -> Sequence[Kept]:
        """Remove the service, with a record of it; see :meth:`Engine.destroy`."""
        records = self.history()
        if not records and self.engine.status().health == "absent":
            # Of what was never there nothing is recorded: no store is made for that.
            return self.engine.destroy(data, report)
        blobs = self.engine.blobs(create=True)
        current = audit.current(records, self.engine.status)
        entry = audit.begin(
            self.plan, self.target, "destroy", self.caller, None, current, commit=commit
        )
        return _recorded(blobs, entry, lambda: self.engine.destroy(data, report))

    def history(self, limit: int = 0) -> list[Record]:
        """Return the records of this stage, newest first."""
        return audit.history(self.engine.blobs(), self.plan, limit)


def _left_behind(newest: Record, current: Record) -> bool:
    """Tell whether a deployment of another release has failed, or was cut off, since *current*."""
    return newest.outcome != "succeeded" and newest.release not in ("", current.release)


def _recorded(blobs: Blobs, entry: Record, work: Callable[[], T]) -> T:
    """Return what *work* returns; what becomes of it is written to the store."""
    audit.write(blobs, entry)
    try:
        result = work()
    except BaseException as exc:
        outcome: audit.Outcome = "interrupted" if isinstance(exc, KeyboardInterrupt) else "failed"
        try:
            audit.write(blobs, audit.finished(entry, outcome, _reason(exc)))
        except Exception:
            # What the engine said matters more than the record of it, which still says "started".
            raise exc from None
        raise
    audit.write(blobs, audit.finished(entry, "succeeded"))
    return result


def _reason(error: BaseException) -> str:
    if isinstance(error, DeploymentError):
        return "; ".join(f"{item.code} {item.message}" for item in error.diagnostics)
    return type(error).__name__


def commit_of(root: Path) -> str:
    """Return the commit of the project's git checkout, ``+`` behind it when files differ."""
    import subprocess

    def git(*arguments: str) -> str:
        try:
            done = subprocess.run(
                ["git", *arguments], cwd=root, capture_output=True, text=True, timeout=10,
                check=True,
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError):
            return ""
        return done.stdout.strip()

    head = git("rev-parse", "HEAD")
    return head + "+" if head and git("status", "--porcelain", "--", ".") else head
