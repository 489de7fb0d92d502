"""What ``check`` says for each installed target, again whenever something has changed."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from portafaas.errors import Diagnostic

#: Seconds until it is looked for, so that it does not slow down a start or what follows a change.
_SETTLED = 1.0


class Findings:
    """Calls *found* with the findings by target; in a thread of its own."""

    def __init__(
        self,
        manifest: Path,
        stage: str | None,
        found: Callable[[Mapping[str, list[Diagnostic]]], None],
    ) -> None:
        self._manifest = manifest
        self._stage = stage
        self._found = found
        self._wanted = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="findings", daemon=True)
        self._thread.start()

    def look(self) -> None:
        """Have it looked for again."""
        self._wanted.set()

    def stop(self) -> None:
        """End it, and the process that it may have."""
        self._stopped.set()
        self._wanted.set()
        self._thread.join(5)

    def _run(self) -> None:
        from portafaas.registry import installed_targets

        while True:
            self._wanted.wait()
            if self._stopped.wait(_SETTLED):
                return
            self._wanted.clear()
            found: dict[str, list[Diagnostic]] = {}
            for target in installed_targets():
                found[target] = self._check(target)
                if self._stopped.is_set() or self._wanted.is_set():
                    break
            else:
                self._found(found)

    def _check(self, target: str) -> list[Diagnostic]:
        # In a process of its own, for it takes as long as this one takes to start.
        stage = ("--stage", self._stage) if self._stage else ()
        with subprocess.Popen(
            [
                *(sys.executable, "-m", "portafaas", "check", "--format", "json"),
                *("-m", str(self._manifest), "-t", target, *stage),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        ) as process:
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, process.pid, 10)
            while True:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    text, _ = process.communicate(timeout=0.2)
                    break
                if self._stopped.is_set():
                    process.kill()
        try:
            document = json.loads(text)
        except ValueError:
            return []
        notes = document.get("targets", {}).get(target, {}).get("notes", [])
        return [Diagnostic(**note) for note in (*notes, *document.get("diagnostics", ()))]
