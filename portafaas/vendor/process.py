"""One child process with its own process group and one log, and its certain end."""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from weakref import WeakSet

from portafaas.vendor.contract import VendorRuntimeError

_alive: WeakSet[Child] = WeakSet()
#: Waits until nobody has the other end of its standard input, then kills the group.
_WATCH = 'read -r line; kill -s KILL -- "-$1"'


class Child:
    """A process that leads its own group; stdout and stderr go to one unnamed file.

    The group is killed when this process ends in whatever way: a shell waits for that, beside it.

    A file instead of a pipe: nobody has to read it for the child to go on, and what was written
    before a reply is there when the reply arrives. Raises PF6003 when it cannot be started.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        cwd: Path,
        env: Mapping[str, str],
        pass_fds: Sequence[int] = (),
    ) -> None:
        self._log = tempfile.TemporaryFile()  # closed by close
        try:
            self._process = subprocess.Popen(
                [str(part) for part in command],
                cwd=cwd,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=pass_fds,
            )
        except OSError as exc:
            self._log.close()
            raise VendorRuntimeError("PF6003", f"cannot start {command[0]}: {exc}") from exc
        self._closed = False
        self._watch = self._watched()
        _alive.add(self)

    def _watched(self) -> subprocess.Popen[bytes] | None:
        try:
            return subprocess.Popen(
                ["/bin/sh", "-c", _WATCH, "sh", str(self._process.pid)],
                env={},
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError:
            # No shell, or no more processes: then only what ends here in good order is ended.
            return None

    def exit_status(self) -> int | None:
        """Return the exit status, negative for a signal, or None while the process runs."""
        status = self._process.poll()
        if status is not None:
            self._signal_group(signal.SIGKILL)
        return status

    def wait(self, seconds: float) -> int | None:
        """Return the exit status as soon as there is one, or None after *seconds*."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        return self.exit_status()

    def log_size(self) -> int:
        """Return how many bytes the process has written so far."""
        return os.fstat(self._log.fileno()).st_size

    def log(self, start: int = 0) -> str:
        """Return what the process has written since position *start*."""
        size = self.log_size() - start
        if size <= 0:
            return ""
        return os.pread(self._log.fileno(), size, start).decode("utf-8", "replace")

    def close(self) -> None:
        """Kill the whole group and reap the process; may be called twice."""
        if self._closed:
            return
        self._closed = True
        if self._watch is not None:
            # First: the number of a group that is gone may soon be another's.
            self._watch.kill()
            self._watch.wait()
            assert self._watch.stdin is not None
            self._watch.stdin.close()
        self._signal_group(signal.SIGKILL)
        self._process.wait()
        self._log.close()

    def _signal_group(self, which: signal.Signals) -> None:
        # Members of the group outlive its leader; nothing left is the usual case.
        try:
            os.killpg(self._process.pid, which)
        except (ProcessLookupError, PermissionError):
            return


class Clock:
    """Time left of a number of seconds."""

    def __init__(self, seconds: float) -> None:
        self._start = time.perf_counter()
        self._seconds = seconds

    def left(self) -> float:
        """Return the seconds left, never below zero."""
        return max(0.0, self._start + self._seconds - time.perf_counter())

    def elapsed_ms(self) -> float:
        """Return the milliseconds since the start."""
        return (time.perf_counter() - self._start) * 1000


@atexit.register
def _close_all() -> None:
    for child in list(_alive):
        child.close()
