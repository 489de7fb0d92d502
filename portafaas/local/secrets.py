"""Secrets on this machine: one file each under ``.portafaas/secrets``, for their owner only."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from portafaas.deployment.contract import SecretFacts, Secrets
from portafaas.plan import BuildPlan


class LocalSecrets(Secrets):
    """The secrets of a project's stage, ``-`` for none; ``invoke`` gives them to handlers."""

    def __init__(self, root: Path, plan: BuildPlan) -> None:
        self._folder = root / ".portafaas" / "secrets" / (plan.stage or "-")
        self._plan = plan

    def set(self, name: str, value: bytes) -> None:
        """Write the value, readable for its owner alone from the first byte on."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        new = self._folder / f".{name}.{os.getpid()}"
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(value)
            new.replace(self._folder / name)
        finally:
            new.unlink(missing_ok=True)

    def list(self) -> Sequence[SecretFacts]:
        """Return name, file and time of each declared secret."""
        facts = []
        for secret in self._plan.secrets:
            file = self._folder / secret.name
            changed = ""
            if file.is_file():
                moment = datetime.fromtimestamp(file.stat().st_mtime, UTC)
                changed = moment.isoformat(timespec="seconds").replace("+00:00", "Z")
            facts.append(SecretFacts(secret.name, str(file), changed))
        return facts

    def remove(self, name: str) -> None:
        """Remove the file."""
        (self._folder / name).unlink(missing_ok=True)
