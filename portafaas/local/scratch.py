"""Folders that end with the process that made them, or soon after when that was killed."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import time

_PREFIX = "portafaas-as-"
#: Seconds for which what another process has made may not be locked yet.
_YOUNG = 60.0


@contextmanager
def scratch() -> Iterator[Path]:
    """Yield an empty folder, and remove it afterwards; first, those of processes that were killed.

    A lock tells: it is held for as long as the process lives, and by nobody else.
    """
    _forget_the_killed(Path(tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    try:
        lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield folder
        finally:
            os.close(lock)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _forget_the_killed(place: Path) -> None:
    for folder in place.glob(f"{_PREFIX}*"):
        # Somebody else's, or gone this moment: not ours to care about.
        with suppress(OSError):
            facts = folder.lstat()
            if facts.st_uid != os.getuid() or facts.st_mtime > time() - _YOUNG:
                continue
            lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)
            finally:
                os.close(lock)
