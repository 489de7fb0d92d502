"""What a function prints, for who started its process: in the place of its output streams."""

from __future__ import annotations

import io
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    #: Is told the number of the stream, 1 or 2, and what was printed to it.
    Told = Callable[[int, bytes], None]


class _Printed(io.RawIOBase):
    def __init__(self, descriptor: int, told: Told) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._told = told

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return False

    def write(self, data: Any) -> int:
        text = bytes(data)
        self._told(self._descriptor, text)
        return len(text)


def divert(told: Told) -> None:
    """Have *told* get what is printed to ``sys.stdout`` and ``sys.stderr`` from now on."""
    for name, number in (("stdout", 1), ("stderr", 2)):
        raw: Any = _Printed(number, told)
        printed = io.TextIOWrapper(
            raw, encoding="utf-8", errors="backslashreplace", line_buffering=True
        )
        setattr(sys, name, printed)
