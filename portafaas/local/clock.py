"""The clock of the store: this machine's, set forward, or one that stands still.

Times in ``deliveries`` and of runs are its own. Handlers have the machine's clock, by which what
waits is as old as it is by this one.
"""

from __future__ import annotations

import fcntl
import os
from time import time

from portafaas.local.driver.portafaas_local_resources import now
from portafaas.local.store import Store, explained


class StoreClock:
    """The clock of one store, for all processes that use it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._keeping: int | None = None

    def close(self) -> None:
        """Want it no longer to stand still."""
        if self._keeping is not None:
            os.close(self._keeping)
            self._keeping = None

    def now(self) -> float:
        """Return the time, in seconds since 1970."""
        return now(self._store.connection)

    def ahead(self) -> float:
        """Return how many seconds it is before this machine's clock."""
        return self.now() - time()

    def held(self) -> bool:
        """Tell whether it stands still."""
        found = self._store.connection.execute("select 1 from broker where name = 'held'")
        return found.fetchone() is not None

    def hold(self, at: float | None = None, *, anew: bool = False) -> None:
        """Have it stand still, at *at* (default: now), until it is set forward.

        *anew*: schedules fire again at instants that come again.
        """
        with self._store.transaction() as do:
            value = self.now() if at is None else at
            if anew:
                do.execute("delete from broker where name like 'fired/%' and value > ?", (value,))
            do.execute("insert or replace into broker (name, value) values ('held', ?)", (value,))

    def keep_held(self) -> None:
        """Have nobody :meth:`release` it for as long as this process lives.

        But who keeps it, too.
        """
        if self._keeping is None:
            self._keeping = self._keeper()
            fcntl.flock(self._keeping, fcntl.LOCK_SH)

    def _keeper(self) -> int:
        folder = self._store.folder
        with explained(folder, (OSError,)):
            return os.open(folder / "virtual.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def release(self) -> None:
        """Have it go on, from where it is, or from this machine's time if later.

        Not while somebody wants it to stand still (:meth:`keep_held`).
        """
        keeper = self._keeper()
        try:
            fcntl.flock(keeper, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return
        finally:
            os.close(keeper)
        with self._store.transaction() as do:
            ahead = max(0.0, self.ahead())
            if do.execute("delete from broker where name = 'held'").rowcount:
                do.execute(
                    "insert or replace into broker (name, value) values ('clock', ?)", (ahead,)
                )
                # Schedules go by this machine's time again, whose instants are yet to come.
                do.execute("delete from broker where name like 'fired/%' and value > ?", (time(),))

    def advance(self, seconds: float) -> None:
        """Set it forward: what waits is older, and sooner due."""
        if self.held():
            self.hold(self.now() + max(0.0, seconds))
            return
        with self._store.transaction() as do:
            do.execute(
                "insert into broker (name, value) values ('clock', ?) "
                "on conflict (name) do update set value = value + excluded.value",
                (max(0.0, seconds),),
            )
