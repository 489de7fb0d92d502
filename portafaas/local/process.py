"""A child process that runs functions from their sources; see ``portafaas.local.child``."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from portafaas.local.orphan import PATIENCE


class Child:
    """One process: takes an order a line, and answers each, one after the other.

    It has *root* as working folder and first on its import path, as a package has. *keep* are file
    descriptors that it holds open for as long as it lives; *output* is where what handlers print
    goes, *errors* where what they log does (default: to this process' own). *apart*: Ctrl-C at the
    terminal is not for it.
    *observed* gets what its functions print and what spans they had: it goes to nobody else, and
    an order may have a ``run``, which these say (``portafaas.local.observed``). *module* is what
    runs, with *arguments* behind the descriptors of orders and answers.
    """

    def __init__(
        self,
        root: Path,
        environment: Mapping[str, str],
        *,
        keep: Sequence[int] = (),
        output: IO[Any] | int | None = None,
        errors: IO[Any] | int | None = None,
        apart: bool = False,
        observed: Callable[[Mapping[str, Any]], None] | None = None,
        module: str = "portafaas.local.child",
        arguments: Sequence[str] = (),
    ) -> None:
        self._observed = observed
        orders, self._orders = os.pipe()
        self._answers, answers = os.pipe()
        # By their numbers, rather than moved to known ones by a preexec_fn: that would run, between
        # fork and exec, what libraries of this process do after a fork (gRPC's aborts it).
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", module, str(orders), str(answers), *arguments),
                *(() if observed is None else ("observed",)),
            ],
            cwd=root,
            env={**os.environ, **environment},
            pass_fds=(orders, answers, *keep),
            stdout=output,
            stderr=errors,
            start_new_session=apart,
        )
        os.close(orders)
        os.close(answers)
        self._reader = os.fdopen(self._answers, "rb", buffering=0)
        self._writer = os.fdopen(self._orders, "w", encoding="utf-8")
        self._part = b""

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def fileno(self) -> int:
        """Return the descriptor that can be read when there is an answer, or none will come."""
        return self._answers

    def ask(self, order: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the answer, or None when the process has ended."""
        self.send(order)
        try:
            while (answer := self.receive()) is None:
                continue
        except EOFError:
            return None
        return answer

    def send(self, order: Mapping[str, Any]) -> None:
        """Give it an order; when it has ended, :meth:`receive` will say so."""
        with contextlib.suppress(BrokenPipeError):
            self._writer.write(json.dumps(order) + "\n")
            self._writer.flush()

    def receive(self) -> dict[str, Any] | None:
        """Wait for a part of the answer; return it when it is whole.

        Raises EOFError when the process has ended.
        """
        read = self._reader.read(1 << 16)
        if not read:
            raise EOFError
        *lines, self._part = (self._part + read).split(b"\n")
        answer: dict[str, Any] | None = None
        for line in lines:
            value: dict[str, Any] = json.loads(line)
            if self._observed is not None and "observed" in value:
                self._observed(value)
            else:
                answer = value
        return answer

    def kill(self) -> int:
        """End it at once, and return its exit status."""
        self._process.kill()
        return self.close()

    def close(self) -> int:
        """Close the pipes, so that it ends, and return its exit status."""
        for stream in (self._writer, self._reader):
            with contextlib.suppress(BrokenPipeError):
                stream.close()
        try:
            return self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


def described(status: int) -> str:
    """Return an exit status in words: ``status 3``, ``SIGKILL``."""
    if status >= 0:
        return f"status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"


def ending(how: int | str) -> str:
    """Return that a function's process has ended, and *how*: by its exit status, or in words."""
    return f"the function ended its process: {how if isinstance(how, str) else described(how)}"
