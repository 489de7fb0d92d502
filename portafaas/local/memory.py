"""How much memory a process has."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")


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
