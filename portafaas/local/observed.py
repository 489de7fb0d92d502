"""What a function's process tells of its invocations beside their answers, a JSON object a line.

``{"observed": "log", "run", "time", "stream", "text"}``: printed; ``stream`` is 1 or 2.
``{"observed": "span", "run", ...}``: an invocation, or a message of a run of them, has ended.
``run`` is what the order said, times are seconds since 1970.
"""

from __future__ import annotations

import json
import os
import threading
import time
from typing import Any

from portafaas.local import marks
from portafaas.local.printed import divert


class Observer:
    """Takes the place of ``sys.stdout`` and ``sys.stderr``, and hears of the end of invocations."""

    def __init__(self, descriptor: int) -> None:
        from portafaas.runtime import deadline
        from portafaas.runtime.context import endings

        self._descriptor = descriptor
        self._lock = threading.Lock()
        self._run = ""
        # A deadline must not leave half a line behind.
        deadline.whole(_all)
        divert(self._printed)
        endings.append(self._ended)

    def _printed(self, descriptor: int, raw: bytes) -> None:
        text = raw.decode("utf-8", "replace")
        self.tell("log", time=time.time(), stream=descriptor, text=text)

    def begin(self, run: str) -> None:
        """Say to which order belongs what comes now."""
        self._run = run
        if run:
            marks.current = run

    def write(self, line: str) -> None:
        """Write an answer."""
        with self._lock:
            _all(self._descriptor, line.encode("utf-8", "surrogatepass"))

    def tell(self, what: str, **facts: Any) -> None:
        """Write a line beside the answers."""
        line = json.dumps({"observed": what, "run": self._run, **facts}, default=repr)
        self.write(line + "\n")

    def _ended(self, context: Any, payload: Any, result: Any, error: Any) -> None:
        span = context.span
        ids = getattr(payload, "id", None)
        self.tell(
            "span", start=span.start, end=time.time(), trace_id=span.trace_id,
            span_id=span.span_id, parent_id=span.parent_id, of=ids if isinstance(ids, str) else "",
            invocation_id=context.invocation_id, correlation_id=context.correlation_id,
            error="" if error is None else repr(error)[:2000],
            failed=bool(result) if isinstance(result, (list, tuple)) else error is not None,
        )  # fmt: skip


def _all(descriptor: int, data: bytes) -> None:
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BrokenPipeError:
            # Nobody wants to know.
            return
