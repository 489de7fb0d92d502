"""Whether anything a package is made from has changed: a listing of sizes and times, no content.

A caller keeps ``fingerprint_settings(...)`` (JSON-ready) and the fingerprint beside its output, and
the next time asks ``fingerprint(root, **settings)`` again: no manifest has to be parsed for that,
since the manifest's own size and time are part of it.
"""

# Plain strings instead of pathlib: it would cost more than the work itself.
# ruff: noqa: PTH116, PTH118
from __future__ import annotations

import os
from collections.abc import Sequence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from portafaas.adapter.contract import Layout
    from portafaas.plan import BuildPlan


def fingerprint_settings(
    root: str, plan: BuildPlan, layout: Layout, out: str | None
) -> dict[str, Any]:
    """Return the keyword arguments of :func:`fingerprint` for this build, as JSON values."""
    extra: list[str] = []
    if plan.dependencies.file:
        from portafaas.artifact.lockfile import inputs_of, lock_name, platform_tag

        extra += (name for name, _ in inputs_of(root, plan.dependencies.file))
        tag = platform_tag(layout.glibc.get(plan.python, "2.17"), plan.architecture)
        extra.append(lock_name(plan.dependencies.file, plan.python, tag))
    return {
        "include": list(plan.include),
        "exclude": list(plan.exclude),
        "out": out,
        "extra": extra,
        "packages": [layout.runtime_package],
    }


def fingerprint(
    root: str,
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    out: str | None = None,
    extra: Sequence[str] = (),
    packages: Sequence[str] = (),
) -> str:
    """Return a digest over path, size and modification time of every input of a build.

    *extra* are further files, relative to *root*; *packages* the import packages whose runtime is
    shipped. The manifest and portafaas itself are always part of it. A file that is missing counts
    as such, so that its appearance is a change.
    """
    from hashlib import sha256

    from portafaas import __version__
    from portafaas.artifact.cache import FORMAT
    from portafaas.artifact.runtime import runtime_files
    from portafaas.artifact.sources import MANIFESTS, select

    found, problems = select(root, include, exclude, out)
    lines = [f"{source.name}\0{source.size}\0{source.mtime}\0{source.mode}" for source in found]
    lines += map(str, problems)
    lines += (_line(os.path.join(root, name), name) for name in (*MANIFESTS, *extra))
    for package in ("portafaas.runtime", *packages):
        lines += (_line(path, name) for name, path in runtime_files(package))
    lines += (__version__, FORMAT)
    return sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()


def _line(path: str, name: str) -> str:
    try:
        facts = os.stat(path)
    except OSError:
        return f"{name}\0missing"
    return f"{name}\0{facts.st_size}\0{facts.st_mtime_ns}"
