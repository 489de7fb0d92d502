"""Who works on a store: each broker has a file with a lock, which ends with its processes."""

from __future__ import annotations

import fcntl
import os
import uuid
from contextlib import suppress
from pathlib import Path
from time import time

from portafaas.local.store import explained

#: Seconds for which what another broker has made may not be locked yet.
_YOUNG = 3600.0


class Owner:
    """One broker, as others see it, by its ``id``; *folder* is the store's."""

    def __init__(self, folder: Path) -> None:
        self.id = uuid.uuid4().hex
        self._folder = folder
        self._lock: int | None = None

    @property
    def locked(self) -> bool:
        """Tell whether there may be leases of its."""
        return self._lock is not None

    def lock(self) -> int:
        """Return the file descriptor whose lock keeps this broker's leases alive.

        Processes that work on them inherit it: else one that outlives this process might still be
        at a message when another gets it.
        """
        if self._lock is None:
            file = self._file(self.id)
            with explained(self._folder, (OSError,)):
                file.parent.mkdir(parents=True, exist_ok=True)
                self._lock = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                fcntl.flock(self._lock, fcntl.LOCK_EX)
                self._forget_the_killed(file.parent)
        return self._lock

    def close(self) -> None:
        """Be gone, as far as this process goes."""
        if self._lock is not None:
            self.gone(self.id)
            os.close(self._lock)
            self._lock = None

    def alive(self, other: str) -> bool:
        """Tell whether another broker is there, or processes that work for it."""
        try:
            descriptor = os.open(self._file(other), os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(descriptor)
        return False

    def gone(self, other: str) -> None:
        """Remove what a broker leaves that is not :meth:`alive`."""
        self._file(other).unlink(missing_ok=True)

    def _forget_the_killed(self, folder: Path) -> None:
        """Remove the files of brokers that were killed; not one that is locked the next moment."""
        before = time() - _YOUNG
        for file in list(folder.iterdir()):
            with suppress(FileNotFoundError):
                if file.stat().st_mtime < before and not self.alive(file.name):
                    file.unlink()

    def _file(self, owner: str) -> Path:
        return self._folder / "dispatchers" / owner
