"""The manifest as read: a checked document that knows where each value stands."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any

from portafaas.errors import Diagnostic
from portafaas.record import dataclass, field

Path = tuple[str | int, ...]

#: The Python version of a manifest that names none.
DEFAULT_PYTHON = "3.12"


@dataclass(frozen=True, slots=True)
class Manifest:
    """One manifest file, valid against its schema, with a stage's overrides applied."""

    file: FilePath
    document: Mapping[str, Any]
    positions: Mapping[Path, tuple[int, int]] = field(repr=False)
    stage: str = ""

    @property
    def root(self) -> FilePath:
        """Folder of the manifest: the project."""
        return self.file.parent

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the declared stages."""
        return tuple(self.document.get("stages") or ())

    @property
    def python(self) -> str:
        """The Python version: ``3.12``."""
        return str(self.document.get("python", DEFAULT_PYTHON))

    @property
    def include(self) -> tuple[str, ...]:
        """Patterns of ``sources.include``."""
        return tuple((self.document.get("sources") or {}).get("include", ()))

    @property
    def exclude(self) -> tuple[str, ...]:
        """Patterns of ``sources.exclude``."""
        return tuple((self.document.get("sources") or {}).get("exclude", ()))

    def diagnostic(
        self,
        code: str,
        path: Path,
        message: str,
        hint: str | None = None,
        *,
        severity: str = "error",
    ) -> Diagnostic:
        """Return a diagnostic that points at *path*, or at its nearest known ancestor."""
        return locate(self.file, self.positions, code, path, message, hint, severity=severity)


def locate(
    file: FilePath,
    positions: Mapping[Path, tuple[int, int]],
    code: str,
    path: Path,
    message: str,
    hint: str | None = None,
    *,
    severity: str = "error",
) -> Diagnostic:
    """Return a diagnostic with the position of *path* or of its nearest known ancestor."""
    from portafaas.manifest.text import json_path

    known = path
    while known and known not in positions:
        known = known[:-1]
    line, column = positions.get(known, (1, 1))
    return Diagnostic(
        code,
        message,
        path=json_path(path),
        file=file.name,
        line=line,
        column=column,
        hint=hint,
        severity=severity,
    )
