"""Faults that a test asks for, where the handler runs: in the test's process or in another.

A module on its own, as the packages of targets have nothing of the kit: standard library and
``portafaas.runtime`` only, Python 3.10. :func:`install` has every ``Function`` put :func:`faulty`
closest around its handler, within what idempotency puts around it: a crash leaves behind what a
crash leaves behind.
"""

# ruff: noqa: PTH123 (plain strings, as in all that runs inside a package)
from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

#: Variable with the file that holds the faults still to come: JSON, function -> list of faults,
#: each ``{"what": "fail"|"crash"|"hang", "after": bool, "error": pickled, in base64}``.
FAULTS = "PORTAFAAS_TEST_FAULTS"
#: What takes the place of that file's suffix in the name of one that is touched before each order.
ORDER = ".order"
#: ... and of the one that lines of the log are written to.
LOG = ".log"
#: Exit status of a process that crashes on request.
STATUS = 70


class Crash(BaseException):
    """The process of the handler has ended, as far as the handler can tell."""


#: What a process of its own does when it is to crash; the test's own process raises instead.
crash: Callable[[], None] = lambda: os._exit(STATUS)  # noqa: E731
#: Where the next fault of a function comes from, in the test's own process.
source: Callable[[str], dict[str, Any] | None] | None = None


def taken(function: str) -> dict[str, Any] | None:
    """Return the next fault of *function*, which is no longer one to come; None when none is."""
    if source is not None:
        return source(function)
    file = os.environ.get(FAULTS)
    if not file:
        return None
    import json

    try:
        with open(file) as text:
            faults = json.load(text)
    except FileNotFoundError:
        return None
    waiting = faults.get(function)
    if not waiting:
        return None
    fault: dict[str, Any] = waiting.pop(0)
    with open(f"{file}.new", "w") as text:
        json.dump(faults, text)
    os.replace(f"{file}.new", file)  # noqa: PTH105
    return fault


def _strike(fault: dict[str, Any]) -> None:
    if fault["what"] == "crash":
        crash()
    if fault["what"] == "hang":
        from portafaas.runtime.context import HandlerTimeout

        raise HandlerTimeout
    error = fault["error"]
    if isinstance(error, str):
        import base64
        import pickle

        try:
            error = pickle.loads(base64.b64decode(error))
        except Exception as exc:
            raise RuntimeError(f"the test's error is of a class that is not here: {exc}") from exc
    raise error


def faulty(handle: Callable[..., Any], function: Any) -> Callable[..., Any]:
    """Return *handle* such that it fails when the test says so; sync or async as it was."""
    name = function.name

    async def waited(awaitable: Any, fault: dict[str, Any]) -> Any:
        await awaitable
        _strike(fault)

    def call(payload: Any, context: Any) -> Any:
        fault = taken(name)
        if fault is None:
            return handle(payload, context)
        if not fault["after"]:
            _strike(fault)
        result = handle(payload, context)
        if hasattr(result, "__await__"):
            return waited(result, fault)
        _strike(fault)

    if not function.is_async:
        return call

    async def call_async(payload: Any, context: Any) -> Any:
        fault = taken(name)
        if fault is not None and not fault["after"]:
            _strike(fault)
        result = await handle(payload, context)
        if fault is not None:
            _strike(fault)
        return result

    return call_async


class _Waits:
    """Time that bridges wait within an invocation, and which passes for portafaas alone.

    Where a platform cannot put off a delivery its bridge sleeps. Here nothing is waited for: the
    clocks that portafaas reads go ahead instead, until the next order.
    """

    def __init__(self, file: str) -> None:
        import time

        self._file = beside(file, ORDER)
        self._skew = 0.0
        self._order = 0
        self._time, self._monotonic, self._sleep = time.time, time.monotonic, time.sleep
        for name in ("time", "monotonic", "sleep"):
            setattr(time, name, getattr(self, name))

    def _at(self) -> int:
        try:
            return os.stat(self._file).st_mtime_ns  # noqa: PTH116
        except FileNotFoundError:
            return 0

    def _ahead(self, caller: Any) -> float:
        if not self._skew or not _ours(caller):
            return 0.0
        if self._at() != self._order:
            self._skew = 0.0
        return self._skew

    def time(self) -> float:
        return self._time() + self._ahead(sys._getframe(1))

    def monotonic(self) -> float:
        return self._monotonic() + self._ahead(sys._getframe(1))

    def sleep(self, seconds: float) -> None:
        if not _ours(sys._getframe(1)):
            self._sleep(seconds)
            return
        if self._at() != self._order:
            self._skew, self._order = 0.0, self._at()
        self._skew += seconds


def _ours(frame: Any) -> bool:
    name = str(frame.f_globals.get("__name__"))
    return name.startswith(("portafaas.", "portafaas_")) and not name.startswith(
        "portafaas_local_resources"
    )


def load(function: Any, original: Callable[[Any], None]) -> None:
    """Load *function* as *original*, ``Function._load``, does; its handler is :func:`faulty`."""
    if function.idempotency is None:
        original(function)
        function.handle = faulty(function.handle, function)
        return
    from portafaas.runtime import idempotency

    once = idempotency.once
    idempotency.once = lambda handle, function: once(faulty(handle, function), function)
    try:
        original(function)
    finally:
        idempotency.once = once


def install(module: Any) -> None:
    """Change ``portafaas.runtime.function``, or ``.log``, of this process.

    Every function is :func:`faulty`, and nothing is waited for; what is logged is also written
    down as JSON, whatever the platform makes of it.
    """
    if module.__name__.endswith(".log"):
        configure = module.configure

        class _Log(module.logging.Handler):  # type: ignore[misc]
            """Opens the file for each line: of another test it is another one."""

            def emit(self, record: Any) -> None:
                line = self.format(record)
                with open(beside(os.environ[FAULTS], LOG), "a", encoding="utf-8") as file:
                    file.write(line + "\n")

        def configured(*, propagate: bool) -> None:
            configure(propagate=propagate)
            root = module.logging.getLogger("portafaas")
            if not any(isinstance(handler, _Log) for handler in root.handlers):
                handler = _Log()
                handler.setFormatter(module.JsonFormatter())
                root.addHandler(handler)

        module.configure = configured
        return
    _Waits(os.environ[FAULTS])
    original = module.Function._load

    def loading(self: Any) -> None:
        load(self, original)

    module.Function._load = loading


def beside(file: str, suffix: str) -> str:
    """Return the name of another file of :data:`FAULTS`."""
    return os.path.splitext(file)[0] + suffix  # noqa: PTH122
