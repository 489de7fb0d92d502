"""What a package is made from, and what came out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from portafaas.record import dataclass

if TYPE_CHECKING:
    from portafaas.adapter.contract import Layout
    from portafaas.errors import Diagnostic
    from portafaas.plan import BuildPlan


@dataclass(frozen=True, slots=True)
class PackageRequest:
    """One package of one service for one target."""

    #: The project's folder.
    root: Path
    plan: BuildPlan
    target: str
    layout: Layout
    #: ``Lowered.files``: content by path inside the package.
    generated: Mapping[str, bytes]
    #: Output folder relative to *root*; never shipped.
    out: str | None = None
    #: Requirements that the adapter adds to the project's: a platform's client library.
    added: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Package:
    """A finished package; *file* and *sbom* are in the scratch folder, for the caller to move."""

    file: Path
    sbom: Path
    #: ``sha256:...`` over names, modes and bytes of the content; independent of compression.
    digest: str
    #: Bytes of the zip.
    size: int
    #: Bytes of all files together.
    unzipped: int
    #: Number of files.
    files: int
    #: Diagnostics of severity ``note`` or ``warning``.
    notes: tuple[Diagnostic, ...]
    #: True when nothing had to be resolved, installed or compiled: all came from the cache.
    reused: bool
