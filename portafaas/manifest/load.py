"""Read a manifest: YAML, stage overrides, schema; every problem of a step at once.

``load_manifest`` is the front half of the pipeline (load, validate, model).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any

from portafaas.errors import Diagnostic, ManifestError, guess
from portafaas.manifest.model import Manifest, locate
from portafaas.manifest.text import Path, parse
from portafaas.manifest.validate import Validator

DEFAULT_NAME = "portafaas.yaml"
MAX_BYTES = 1_048_576

# What a stage may override: everything but the identity of the service and other stages.
_STAGE_KEYS = (
    "defaults",
    "functions",
    "queues",
    "topics",
    "buckets",
    "tables",
    "secrets",
    "workflows",
    "config",
    "logs",
    "channels",
    "alerts",
    "targets",
)


def manifest_schema() -> dict[str, Any]:
    """Return the published JSON Schema of the manifest."""
    # Not through importlib.resources, whose import takes longer than all the rest of this.
    text = (FilePath(__file__).parent / "schema/manifest.v1.schema.json").read_text("utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def load_manifest(file: FilePath, stage: str | None = None) -> Manifest:
    """Return the manifest in *file* with the overrides of *stage* applied.

    Raises ManifestError with every problem found: PF1000 unreadable, PF1001 wrong value, PF1002
    unknown key, PF1003 repeated key, PF1004 missing key, PF1005 not YAML, PF1006 YAML that a
    manifest may not use, PF1007 unknown stage.
    """
    text = _read(file)
    document, positions, problems = parse(text, file.name)
    if problems:
        raise ManifestError(f"cannot read {file.name}:", problems)
    found = _validate(file, document, positions)
    if found:
        raise ManifestError(f"{file.name} is not a valid manifest:", found)
    if stage is not None:
        document, positions = _apply_stage(file, document, positions, stage)
        found = _validate(file, document, positions)
        if found:
            raise ManifestError(f"{file.name} is not valid with stage {stage!r}:", found)
    return Manifest(file, document, positions, stage or "")


def _read(file: FilePath) -> str:
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        raise ManifestError(
            "no manifest:",
            [
                Diagnostic(
                    "PF1000",
                    f"{file} does not exist",
                    hint="run 'portafaas init', or name the file with --manifest",
                )
            ],
        ) from None
    except OSError as exc:
        raise ManifestError(
            "no manifest:", [Diagnostic("PF1000", f"{file} cannot be read: {exc.strerror}")]
        ) from exc
    if len(data) > MAX_BYTES:
        raise ManifestError(
            "no manifest:",
            [Diagnostic("PF1000", f"{file} has {len(data)} bytes; at most {MAX_BYTES}")],
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = data[: exc.start].count(b"\n") + 1
        raise ManifestError(
            f"cannot read {file.name}:",
            [
                Diagnostic(
                    "PF1005",
                    f"byte {data[exc.start]:#04x} is not UTF-8",
                    file=file.name,
                    line=line,
                    hint="save the file as UTF-8",
                )
            ],
        ) from exc


def _validate(
    file: FilePath, document: Any, positions: Mapping[Path, tuple[int, int]]
) -> list[Diagnostic]:
    problems = Validator(manifest_schema()).problems(document)
    if any(code == "PF1002" and path[0] == "workflows" for code, path, *_ in problems):
        from portafaas.manifest.asl_hints import with_hints

        problems = with_hints(problems)
    found = [locate(file, positions, *problem) for problem in problems]
    if isinstance(document, dict):
        for name, block in (document.get("stages") or {}).items():
            if not isinstance(block, dict):
                continue
            for key in block:
                if key not in _STAGE_KEYS:
                    found.append(
                        locate(
                            file,
                            positions,
                            "PF1002",
                            ("stages", name, key),
                            f"a stage cannot set {key!r}; allowed: {', '.join(_STAGE_KEYS)}",
                            guess(key, _STAGE_KEYS),
                        )
                    )
    return found


def _apply_stage(
    file: FilePath,
    document: dict[str, Any],
    positions: Mapping[Path, tuple[int, int]],
    stage: str,
) -> tuple[dict[str, Any], dict[Path, tuple[int, int]]]:
    """Merge the stage's block over the document: mappings by key, everything else replaced."""
    stages = document.get("stages") or {}
    if stage not in stages:
        declared = ", ".join(stages) or "none"
        raise ManifestError(
            f"cannot use stage {stage!r}:",
            [
                locate(
                    file,
                    positions,
                    "PF1007",
                    ("stages",),
                    f"stage {stage!r} is not declared; declared: {declared}",
                    guess(stage, stages),
                )
            ],
        )
    moved = dict(positions)
    prefix: Path = ("stages", stage)
    for path, where in positions.items():
        if path[:2] == prefix and len(path) > 2:
            moved[path[2:]] = where

    def merge(base: Any, over: Any) -> Any:
        if isinstance(base, dict) and isinstance(over, dict):
            return {**base, **{key: merge(base.get(key), over[key]) for key in over}}
        return over

    return merge(document, stages[stage]), moved
