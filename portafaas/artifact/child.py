"""Child processes without ``subprocess``, whose import alone costs as much as a small build.

POSIX only, as is the rest of the build. Each child leads its own process group, so that stopping
it stops whatever it started.
"""

# Plain strings instead of pathlib: it would cost more than the work itself.
# ruff: noqa: PTH123
from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence

#: SIGKILL on every POSIX system; ``signal`` takes longer to import than a child takes to start.
_KILL = 9


class Child:
    """A running child. ``log`` is the file that has its output and errors.

    *pipes* are the ends for its standard input, empty otherwise, and for its descriptor 3.
    """

    __slots__ = ("_code", "log", "pid")

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        log: str,
        pipes: tuple[int, int] | None = None,
    ) -> None:
        self.log = log
        self._code: int | None = None
        create = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        actions: list[tuple[object, ...]] = []
        if pipes is None:
            actions.append((os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0))
        else:
            actions += ((os.POSIX_SPAWN_DUP2, pipes[0], 0), (os.POSIX_SPAWN_DUP2, pipes[1], 3))
        actions += ((os.POSIX_SPAWN_OPEN, 1, log, create, 0o600), (os.POSIX_SPAWN_DUP2, 1, 2))
        self.pid = os.posix_spawn(
            command[0],
            list(command),
            dict(environment),
            file_actions=actions,
            setpgroup=0,
        )

    def wait(self, timeout: float | None = None) -> int | None:
        """Return the exit code, negative for a signal, or None after *timeout* seconds."""
        if self._code is not None:
            return self._code
        if timeout is not None and not self._ended_within(timeout):
            return None
        _, status = os.waitpid(self.pid, 0)
        self._code = os.waitstatus_to_exitcode(status)
        return self._code

    def _ended_within(self, timeout: float) -> bool:
        if hasattr(os, "pidfd_open"):
            import select

            handle = os.pidfd_open(self.pid)
            try:
                return bool(select.select([handle], [], [], timeout)[0])
            finally:
                os.close(handle)
        import time

        end = time.monotonic() + timeout
        while not os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG):
            if time.monotonic() > end:
                return False
            time.sleep(0.005)
        return True

    def stop(self) -> None:
        """Kill the child and its descendants, unless it has been waited for."""
        if self._code is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, _KILL)
            self.wait()

    def output(self) -> str:
        """Return what the child wrote."""
        with open(self.log, encoding="utf-8", errors="replace") as handle:
            return handle.read()


def environment(**extra: str) -> dict[str, str]:
    """Return a clean environment: what an interpreter needs to start, and *extra*."""
    keep = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT")
    clean = {name: os.environ[name] for name in keep if name in os.environ}
    return clean | {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"} | extra
