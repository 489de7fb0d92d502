"""The build cache: content-addressed, shared by all projects, deletable at any time.

Everything in it is written under a temporary name and renamed, so that two builds may share it
without a lock: the second to finish replaces equal bytes with equal bytes.
"""

# Plain strings instead of pathlib: it would cost more than the work itself.
# ruff: noqa: PTH100, PTH103, PTH105, PTH108, PTH111, PTH118, PTH120, PTH123
from __future__ import annotations

import contextlib
import os

#: Part of every key: bump it when the meaning of cached bytes changes.
FORMAT = "1"


def home() -> str:
    """Return the user's cache: ``$PORTAFAAS_HOME``, else ``portafaas`` in the caches' folder."""
    chosen = os.environ.get("PORTAFAAS_HOME")
    if chosen:
        return os.path.abspath(os.path.expanduser(chosen))
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(base, "portafaas")


def write_atomically(path: str, data: bytes) -> None:
    """Write *data* to *path* so that a reader sees all of it or none; creates the folder."""
    temporary = f"{path}.{os.getpid()}.new"
    try:
        handle = open(temporary, "wb")
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        handle = open(temporary, "wb")
    try:
        with handle:
            handle.write(data)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def read(path: str) -> bytes | None:
    """Return the content of *path*, or None when there is no such file."""
    try:
        with open(path, "rb") as handle:
            return handle.read()
    except OSError:
        return None
