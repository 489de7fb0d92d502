"""Where the published cases are: beside the repository, or beside the folder of a work tree."""

from __future__ import annotations

from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]


def shared(path: str) -> Path:
    """Return the folder *path* of ``shared/cases``, which may not exist."""
    places = [folder / "shared" / "cases" / path for folder in _ROOT.parents[:2]]
    return next((place for place in places if place.is_dir()), places[0])
