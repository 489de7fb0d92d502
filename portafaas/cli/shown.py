"""What functions print and log, for people to read: as ``portafaas dev`` shows it."""

from __future__ import annotations

import json
import os
import select
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

#: Seconds that the last lines are waited for, should somebody else hold the pipe.
_PATIENCE = 1.0


def shown_logs(functions: Sequence[str], readable: bool) -> AbstractContextManager[Shown | None]:
    """Return what shows the logs of *functions*; None: they are to be shown as they are."""
    return Shown(functions) if readable else nullcontext()


class Shown:
    """Shows on stderr what is written to the descriptor ``to``; a context manager.

    Processes of *functions* have it as their stderr.
    """

    def __init__(self, functions: Sequence[str]) -> None:
        from portafaas.dev.logs import Console

        # What is no record of the runtime does not say whose it is.
        self._name = functions[0] if len(functions) == 1 else "-"
        self._console = Console()
        self._console.names(functions)
        self._from, self.to = os.pipe()
        os.set_blocking(self._from, False)
        self._lock = threading.Lock()
        self._part = b""
        self._thread = threading.Thread(target=self._read, name="shown", daemon=True)

    def __enter__(self) -> Shown:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.to)
        self._thread.join(_PATIENCE)
        self.text(self._part.decode(errors="replace"))

    def drain(self) -> None:
        """Show what has been written until now."""
        with self._lock:
            self._take()

    def text(self, text: str) -> None:
        """Show lines that were kept."""
        from portafaas.dev.logs import entry_of

        for line in text.splitlines():
            if line:
                self._console.log(_function_of(line) or self._name, line, entry_of(line))

    def _read(self) -> None:
        going = True
        while going:
            select.select([self._from], [], [])
            with self._lock:
                going = self._take()
        os.close(self._from)

    def _take(self) -> bool:
        """Show what is there; tell whether more may come."""
        while True:
            try:
                read = os.read(self._from, 1 << 16)
            except BlockingIOError:
                return True
            whole, newline, self._part = (self._part + read).rpartition(b"\n")
            self.text((whole + newline).decode(errors="replace"))
            if not read:
                return False


def _function_of(line: str) -> str:
    if not line.startswith("{"):
        return ""
    try:
        return str(json.loads(line).get("function", ""))
    except ValueError:
        return ""
