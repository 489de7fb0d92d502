"""What is around a handler that runs in the test's own process, as in one of its own."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from portafaas.runtime import deadline
from portafaas.testing.files import line_of
from portafaas.testing.records import Line


class Collector(logging.Handler):
    """Keeps what is logged, as it would be written."""

    def __init__(self) -> None:
        super().__init__()
        from portafaas.runtime.log import JsonFormatter

        self.setFormatter(JsonFormatter())
        self.lines: list[Line] = []
        self.over = False

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it, unless the process has ended."""
        if not self.over:
            with contextlib.suppress(Exception):
                self.lines.append(line_of(json.loads(self.format(record))))


@contextlib.contextmanager
def variables(values: Mapping[str, str]) -> Iterator[None]:
    """Have environment variables."""
    kept = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in kept.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def working_folder(root: Path) -> Iterator[None]:
    """Have *root* as working folder, as a package has."""
    before = os.getcwd()  # noqa: PTH109 (a plain string is all that is wanted)
    os.chdir(root)
    try:
        yield
    finally:
        os.chdir(before)


@contextlib.contextmanager
def patched(module: Any, **values: Any) -> Iterator[None]:
    """Have other *values* in *module*."""
    kept = {name: getattr(module, name) for name in values}
    for name, value in values.items():
        setattr(module, name, value)
    try:
        yield
    finally:
        for name, value in kept.items():
            setattr(module, name, value)


@contextlib.contextmanager
def logging_to(collector: Collector) -> Iterator[None]:
    """Hand records to *collector*, and on to pytest's own handlers."""
    from portafaas.runtime.log import level

    root = logging.getLogger("portafaas")
    kept = root.level, root.propagate, root.handlers[:]
    root.handlers[:] = [collector]
    root.setLevel(level())
    root.propagate = True
    try:
        yield
    finally:
        root.setLevel(kept[0])
        root.propagate = kept[1]
        root.handlers[:] = kept[2]


@contextlib.contextmanager
def timer() -> Iterator[None]:
    """Have handlers end at their deadline, unless somebody debugs them or needs the alarm.

    pytest-timeout may have it; then it is what ends a handler that hangs.
    """
    import signal

    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGALRM)
    # Who has called a handler in this process before, without the kit, has left ours.
    free = main and before in (signal.SIG_DFL, deadline._on_alarm)

    def set_timer(which: int, seconds: float) -> None:
        if free:
            signal.setitimer(signal.ITIMER_REAL, seconds)

    def alarm(signum: int, frame: Any) -> None:
        if not _debugging():
            deadline._on_alarm(signum, frame)

    with patched(
        deadline, _ident=lambda: 0, _main_ident=0, _setitimer=set_timer, _timer=0, _fires=0.0,
        _ends=0.0,
    ):  # fmt: skip
        if not free:
            yield
            return
        signal.signal(signal.SIGALRM, alarm)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)


def _debugging() -> bool:
    """Tell whether a debugger is at work: its pauses are none of the handler's."""
    # Of debugpy and PyCharm alike; it may be imported, and nobody there.
    home = sys.modules.get("_pydevd_bundle.pydevd_constants")
    if home is not None and home.get_global_debugger() is not None:
        return True
    trace = sys.gettrace()
    return trace is not None and (trace.__module__ or "").partition(".")[0] in ("bdb", "pdb")
