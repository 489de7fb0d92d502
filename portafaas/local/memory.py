"""How much memory a process has, and its end when that is too much."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")
#: Seconds between two looks.
_WEIGH = 0.2


def resident(pid: int) -> int:
    """Return the bytes of memory that process *pid* has now; 0 when it is gone."""
    if sys.platform == "linux":
        # https://man7.org/linux/man-pages/man5/proc_pid_statm.5.html
        try:
            return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
        except (OSError, IndexError):
            return 0
    found = subprocess.run(
        ["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.strip()
    return int(found) * 1024 if found.isdigit() else 0


def below(pid: int) -> list[int]:
    """Return the processes that *pid* has started, and those that they have; Linux only."""
    # https://man7.org/linux/man-pages/man5/proc_tid_children.5.html
    found: list[int] = []
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            own = [int(number) for number in file.read_text().split()]
        except OSError:
            continue
        found += own
        for number in own:
            found += below(number)
    return found


def outgrown(used: int, most: int) -> str:
    """Return why a function is ended that has *used* MiB of memory, and may have *most*."""
    return f"the function used {used} MiB of memory; it has {most} MiB"


class Scales:
    """Ends what this process has started when it takes more than *most* MiB; a context manager."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        #: Why it was ended, if it was.
        self.why = ""

    def _run(self) -> None:
        while not self._over.wait(_WEIGH):
            processes = below(os.getpid())
            used = sum(map(resident, processes)) >> 20
            if used > self._most:
                self.why = outgrown(used, self._most)
                for number in processes:
                    with contextlib.suppress(OSError):
                        os.kill(number, signal.SIGKILL)
                return

    def __enter__(self) -> Scales:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
