"""Durations and sizes as written in a manifest."""

from __future__ import annotations

_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400}


def seconds(value: int | str) -> float:
    """Return the seconds of ``30``, ``30s``, ``500ms``, ``1.5h``; the schema checked the form."""
    if isinstance(value, (int, float)):
        return float(value)
    unit = "ms" if value.endswith("ms") else value[-1]
    return float(value[: -len(unit)]) * _SECONDS[unit]


def mebibytes(value: int | str) -> int:
    """Return the MiB of ``256``, ``256MB`` or ``1GB``; MB means MiB, as on the clouds."""
    if isinstance(value, int):
        return value
    number = int(value.rstrip("MGiB"))
    return number * 1024 if "G" in value else number
