"""Where packages go, what goes with them, and how they get there: by renaming."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from portafaas.errors import ArtifactError, Diagnostic

if TYPE_CHECKING:
    from portafaas.adapter import Adapter, Lowered
    from portafaas.plan import BuildPlan


def output_folder(out: Path, stage: str | None, target: str) -> Path:
    """Return the folder of one target's package: ``out/[stage/]target``."""
    return out / stage / target if stage else out / target


@contextmanager
def scratch_beside(out: Path) -> Iterator[Path]:
    """Make a folder beside the final one, on the same file system, so that renaming is atomic.

    It is removed at the end. Raises ArtifactError (PF5030).
    """
    from portafaas.artifact.tree import remove

    made = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
        # What tempfile does, without its imports.
        folder = out / f".building-{os.getpid()}-{time.time_ns():x}"
        folder.mkdir(mode=0o700)
    except OSError as exc:
        raise ArtifactError(
            "nothing was built:",
            [Diagnostic("PF5030", f"cannot write to {out}: {exc.strerror}")],
        ) from exc
    try:
        yield folder
    finally:
        remove(str(folder))
        if made:
            with suppress(OSError):
                out.rmdir()  # fails unless nothing was built


def publish(scratch: Path, pairs: Sequence[tuple[Path, Path]]) -> None:
    """Rename every new folder into place; put the old ones back when one rename fails.

    *pairs* are new and final folders. Raises ArtifactError (PF5030).
    """
    from portafaas.artifact.tree import remove

    done: list[tuple[Path, Path | None]] = []
    try:
        for number, (new, place) in enumerate(pairs):
            place.parent.mkdir(parents=True, exist_ok=True)
            old = None
            if place.exists() or place.is_symlink():
                old = scratch / f"old-{number}"
                place.rename(old)
            done.append((place, old))
            new.rename(place)
    except OSError as exc:
        for place, old in reversed(done):
            if place.exists():
                remove(str(place))
            if old is not None:
                old.rename(place)
        raise ArtifactError(
            "nothing was published:",
            [Diagnostic("PF5030", f"cannot write to {exc.filename}: {exc.strerror}")],
        ) from exc


def descriptor(plan: BuildPlan, adapter: Adapter, lowered: Lowered, digest: str) -> dict[str, Any]:
    """Return what a deployment needs to know beside the package, as JSON values."""
    return {
        "portafaas": 1,
        "service": plan.service,
        "stage": plan.stage,
        "target": adapter.target,
        "python": plan.python,
        "architecture": plan.architecture,
        "package": f"{plan.service}.zip",
        "digest": digest,
        "functions": {
            deployment.function: {
                "entry": deployment.entry,
                "memory": deployment.memory,
                "timeout": deployment.timeout,
                "environment": dict(deployment.environment),
                "binding": dict(deployment.binding),
            }
            for deployment in lowered.deployments
        },
    }
