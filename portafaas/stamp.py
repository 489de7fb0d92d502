"""Tells whether a build would change anything, without reading the manifest.

A stamp holds a digest of everything a build reads - the project's files, portafaas and the
adapters themselves - and the sizes and times of what it wrote. Imports little: it decides how long
a build takes that has nothing to do.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from portafaas.pipeline import Built

#: Larger files count by size and time; smaller ones by content, so that a checkout that only
#: touches times, or an edit that keeps them, is told apart.
_BY_CONTENT = 262_144
_SKIPPED = frozenset(("__pycache__", "node_modules"))


def _files(folder: str, skip: str) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            name = entry.name
            if entry.is_dir(follow_symlinks=False):
                if name[0] == "." or name in _SKIPPED or entry.path == skip:
                    continue
                if os.path.exists(f"{entry.path}/pyvenv.cfg"):  # noqa: PTH110
                    continue
                yield from _files(entry.path, skip)
            elif not name.endswith(".pyc"):
                yield entry


def fingerprint(root: str, out: str, tools: Sequence[str]) -> str:
    """Return a digest of the project in *root* (but for *out*), and of the *tools*' own files."""
    from hashlib import blake2b

    digest = blake2b(repr((sys.version, sys.flags.dont_write_bytecode)).encode(), digest_size=16)
    for entry in _files(root, out):
        stat = entry.stat(follow_symlinks=False)
        facts: object = stat.st_mtime_ns
        if entry.is_symlink():
            facts = os.readlink(entry.path)  # noqa: PTH115
        elif stat.st_size <= _BY_CONTENT and entry.is_file():
            with open(entry.path, "rb", buffering=0) as file:  # noqa: PTH123
                facts = blake2b(file.read(), digest_size=16).digest()
        digest.update(repr((entry.path, stat.st_size, stat.st_mode, facts)).encode())
    for tool in tools:
        for entry in _files(tool, ""):
            stat = entry.stat()
            digest.update(repr((entry.path, stat.st_size, stat.st_mtime_ns)).encode())
    return digest.hexdigest()


def _tools(targets: Iterable[str]) -> list[str]:
    """Return the folders of portafaas and of the adapters in use."""
    from importlib.util import find_spec

    from portafaas.registry import installed_targets

    folders = [os.path.dirname(os.path.abspath(__file__))]  # noqa: PTH100, PTH120
    points = installed_targets()
    for target in sorted(targets):
        package = points[target].value.partition(":")[0].partition(".")[0]
        spec = find_spec(package)
        if spec is not None and spec.submodule_search_locations:
            folders += spec.submodule_search_locations
    return folders


def _place(root: Path, targets: Sequence[str], stage: str | None, out: Path, name: str) -> Path:
    from hashlib import blake2b

    key = repr((sorted(targets), stage, str(out), name)).encode()
    digest = blake2b(key, digest_size=8).hexdigest()
    return root / ".portafaas" / "stamps" / f"{digest}.json"


def _written(files: Iterable[str]) -> list[list[Any]]:
    facts = []
    for file in files:
        stat = os.stat(file)  # noqa: PTH116
        facts.append([file, stat.st_size, stat.st_mtime_ns])
    return facts


def unchanged(
    manifest: Path, targets: Sequence[str], stage: str | None, out: Path, extra: str = ""
) -> list[dict[str, Any]] | None:
    """Return the facts of the last build when another one would give the same, else None.

    *extra* tells builds with other options apart.
    """
    import json

    root = manifest.parent
    try:
        stamp = json.loads(_place(root, targets, stage, out, manifest.name + extra).read_bytes())
        if stamp["written"] != _written(file for file, _, _ in stamp["written"]):
            return None
        if stamp["inputs"] != fingerprint(str(root), str(out), stamp["tools"]):
            return None
        built: list[dict[str, Any]] = stamp["built"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return built


def remember(
    manifest: Path,
    targets: Sequence[str],
    stage: str | None,
    out: Path,
    built: Sequence[Built],
    inputs: str,
    extra: str = "",
) -> None:
    """Write the stamp of a build whose inputs had the fingerprint *inputs* before it began.

    A stamp that cannot be written costs the next build its shortcut and nothing else.
    """
    import json

    from portafaas.artifact.cache import write_atomically

    root = manifest.parent
    place = _place(root, targets, stage, out, manifest.name + extra)
    tools = _tools(targets)
    if inputs != fingerprint(str(root), str(out), tools):
        return  # something changed while the build ran
    written = [str(f) for b in built for f in (b.package, b.deployment, b.sbom, *b.infrastructure)]
    # What the next build compares its schemas with; written by this one, if there are any.
    schemas = f"{root}/.portafaas/schemas/{stage or '-'}.json"
    written += [schemas] * os.path.exists(schemas)  # noqa: PTH110
    stamp = {
        "inputs": inputs,
        "tools": tools,
        "written": _written(written),
        "built": [facts(item) for item in built],
    }
    try:
        write_atomically(str(place), json.dumps(stamp).encode())
    except OSError:
        return


def before(manifest: Path, targets: Sequence[str], out: Path) -> str:
    """Return the fingerprint of the inputs as they are now."""
    return fingerprint(str(manifest.parent), str(out), _tools(targets))


def facts(built: Built) -> dict[str, Any]:
    """Return one package's facts as JSON values; ``build --format json`` prints them."""
    return {
        "target": built.target,
        "package": str(built.package),
        "deployment": str(built.deployment),
        "sbom": str(built.sbom),
        "digest": built.digest,
        "size": built.size,
        "unzipped": built.unzipped,
        "files": built.files,
        "infrastructure": [str(file) for file in built.infrastructure],
        "notes": [note.as_dict() for note in built.notes],
    }
